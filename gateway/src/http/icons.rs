//! Line drawings of the pages, in the page itself: a file of its own would need a policy of its own.

use minijinja::Value;

/// Paths in a square of 24; drawn with a line of 1.75.
const ICONS: [(&str, &str); 24] = [
    ("overview", "M4 12l8-8 8 8M6 10.5V20h12v-9.5"),
    ("timeline", "M4 5h16v11H10l-4 4v-4H4z"),
    ("alerts", "M12 4c-4 0-6 3-6 6 0 5-2 6-2 7h16c0-1-2-2-2-7 0-3-2-6-6-6zM10 20h4"),
    ("outbox", "M4 13l2.5-8h11L20 13v6H4zM4 13h5l1 2.5h4l1-2.5h5"),
    ("commands", "M5 7l5 5-5 5M12.5 17H19"),
    (
        "contacts",
        "M9 11a3.5 3.5 0 1 0 0-7 3.5 3.5 0 0 0 0 7zM3 20c0-4 2.5-6 6-6s6 2 6 6M16 4.5a3.5 3.5 0 0 1 0 6M17.5 14.5c2.5.5 3.5 2.5 3.5 5.5",
    ),
    ("devices", "M7 7h10v10H7zM10 10h4v4h-4zM9 3v4M15 3v4M9 17v4M15 17v4M3 9h4M3 15h4M17 9h4M17 15h4"),
    ("rules", "M4 6h9M17 6h3M15 4v4M4 12h3M11 12h9M9 10v4M4 18h10M18 18h2M16 16v4"),
    ("configuration", "M6 3h8l4 4v14H6zM14 3v4h4M9 12h6M9 16h6"),
    (
        "setup",
        "M12 15a3 3 0 1 0 0-6 3 3 0 0 0 0 6zM12 3v3M12 18v3M3 12h3M18 12h3M5.6 5.6l2.1 2.1M16.3 16.3l2.1 2.1M5.6 18.4l2.1-2.1M16.3 7.7l2.1-2.1",
    ),
    ("more", "M5 12h.01M12 12h.01M19 12h.01"),
    ("leave", "M14 4h5v16h-5M4 12h10M10 8l4 4-4 4"),
    ("back", "M19 12H5M11 6l-6 6 6 6"),
    ("search", "M10.5 17a6.5 6.5 0 1 0 0-13 6.5 6.5 0 0 0 0 13zM15.5 15.5L20 20"),
    ("ok", "M5 12.5l4.5 4.5L19 7.5"),
    ("bad", "M12 4l9 16H3zM12 10v5M12 17.5h.01"),
    ("quiet", "M20 14a8 8 0 1 1-10-10 6.5 6.5 0 0 0 10 10z"),
    ("tick-queued", "M12 20a8 8 0 1 0 0-16 8 8 0 0 0 0 16zM12 8v4l3 2"),
    ("tick-accepted", "M5 12.5l4.5 4.5L19 7.5"),
    ("tick-sent", "M5 12.5l4.5 4.5L19 7.5"),
    ("tick-delivered", "M2 12.5l4.5 4.5L15 8M11 16.5l.5.5L22 7"),
    ("tick-read", "M2 12.5l4.5 4.5L15 8M11 16.5l.5.5L22 7"),
    ("tick-failed", "M6 6l12 12M18 6L6 18"),
    ("tick-held", "M9 6v12M15 6v12"),
];

/// Nothing to see for those who listen: the words are beside it.
pub fn icon(name: &str) -> Value {
    let found = ICONS.iter().find(|(known, _)| *known == name);
    Value::from_safe_string(found.map_or_else(String::new, |(_, path)| {
        format!("<svg class=\"icon\" viewBox=\"0 0 24 24\" aria-hidden=\"true\"><path d=\"{path}\"/></svg>")
    }))
}
