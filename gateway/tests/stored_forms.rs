//! What the pure core keeps stands in the database as JSON: a later version reads what an earlier one has written, and writes it so
//! that the earlier one still reads it. Whoever changes a name or a form here changes it in databases that exist
//! (docs/decisions/0044-one-type-and-its-stored-form.md).

#![expect(clippy::expect_used, reason = "a test that cannot go on stops")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use bellwire::alert::alert_key::AlertKey;
use bellwire::alert::engine::AlertCommand;
use bellwire::alert::lifecycle::Alert;
use bellwire::alert::notification::grouping::Group;
use bellwire::alert::notification::quiet_hours_summary::HeldForSummary;
use bellwire::alert::notification::silence::Silence;
use bellwire::alert::request::RequestAction;
use bellwire::chart::curve::Curve;
use bellwire::chart::plot::Plot;
use bellwire::command::action::ResolvedAction;
use bellwire::command::home_assistant::Presence;
use bellwire::outbox::api_error::{Class, Refusal};
use bellwire::outbox::message::{Content, Media, Part};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// A type that is a row's text, and rows of it as they stand in databases today: each field and each variant is in one of them.
struct Stored {
    /// The one that is named, and those that are in it.
    types: &'static str,
    rewrite: fn(&str) -> String,
    rows: &'static [&'static str],
}

fn rewrite<T: DeserializeOwned + Serialize>(row: &str) -> String {
    let value: T = serde_json::from_str(row).expect(row);
    serde_json::to_string(&value).expect("JSON")
}

const STORED: [Stored; 14] = [
    Stored {
        types: "Content Button Header Media Part Section Card Template Parameter Language",
        rewrite: rewrite::<Content>,
        rows: &[
            r#"{"text":"The door is open"}"#,
            r#"{"text":"x","buttons":[{"id":"a1","title":"Lock it"},{"id":"a2","title":"All","description":"of them"}],"quotes":"wamid.1"}"#,
            r#"{"text":"x","header":{"text":"Bar"},"footer":"since 14:03","identity_key_hash":"h"}"#,
            r#"{"text":"x","header":{"image":{"id":"1"}},"language":"de"}"#,
            r#"{"text":"x","header":{"video":{"link":"https://x.example/v.mp4"}},"language":"fr"}"#,
            r#"{"text":"x","header":{"document":{"kept":{"sha256":"00"}}},"language":"es"}"#,
            r#"{"text":"x","header":{"image":{"kept":{"sha256":"00","is_drawn":true}}},"language":"en"}"#,
            r#"{"text":"x","part":{"image":{"fetch":{"url":"http://camera/now.jpg"}}}}"#,
            r#"{"text":"x","part":{"video":{"file":{"path":"v.mp4","within":"/srv"}}}}"#,
            r#"{"text":"","part":{"audio":{"media":{"file":{"path":"a.ogg"}},"voice":true}}}"#,
            r#"{"text":"","part":{"document":{"media":{"id":"1"},"filename":null}}}"#,
            r#"{"text":"","part":{"location":{"latitude":"41.7","longitude":"44.8","name":null,"address":"Corner"}}}"#,
            r#"{"text":"","part":{"contacts":[{"name":"Nino K","first_name":"Nino","phone":"+15550100123"}]}}"#,
            r#"{"text":"","part":{"reaction":{"to":"wamid.1","emoji":"✅"}}}"#,
            r#"{"text":"x","part":{"list":{"label":"More","sections":[{"title":"Door","rows":[{"id":"a1","title":"Lock it"}]}]}}}"#,
            r#"{"text":"x","part":"contact_request"}"#,
            r#"{"text":"x","part":{"flow":{"id":"1","token":"t","label":"Open","screen":"START"}}}"#,
            r#"{"text":"x","templates":[{"name":"alarm","language":"en_US","header":{"image":{"id":"1"}},"parameters":[{"name":"area","text":"Bar"}],"quick_replies":["a1"],"url_suffix":"/1"},{"name":"plain","language":"ka"}]}"#,
            r#"{"text":"","part":{"sticker":{"id":"1"}}}"#,
            r#"{"text":"x","part":{"link":{"label":"Open","url":"https://x.example"}}}"#,
            r#"{"text":"x","part":"location_request"}"#,
        ],
    },
    Stored {
        types: "Alert MessageText Phase Recent Firing Acknowledged Notified Reached Episode EndReason TimeSeries Part",
        rewrite: rewrite::<Alert>,
        rows: &[
            r#"{"bindings":{},"phase":"idle","seen_at":null,"text":"","changes":[],"flapping":false,"recent":[],"history":[],"episode":0}"#,
            r#"{"bindings":{"area":"cellar"},"phase":{"pending":{"since":1000,"worst":-7.5}},"seen_at":1000,"text":"warm","others":{"de":"zu warm"},"happened_at":900,"changes":[500],"flapping":true,"recent":[{"identity":7,"at":1000,"of_session":true}],"history":[{"since":1,"over_at":2,"worst":null,"ending":"cleared"},{"since":3,"over_at":4,"worst":1.0,"ending":"timeout"},{"since":5,"over_at":6,"worst":1.0,"ending":{"person":"Nino"}}],"episode":3}"#,
            r#"{"bindings":{},"phase":{"firing":{"since":1000,"fired_at":1100,"clear_since":1200,"worst":-3.5,"events":4,"text":"warm","acknowledged":{"by":"Nino","contact":"nino","at":1150},"step":1,"told":{"ben":{"at":1100,"reach":"failed","text":9},"eva":{"at":1100,"reach":"sent","text":9},"ida":{"at":1100,"reach":"delivered","text":9},"nino":{"at":1100,"reach":"read","text":9}},"told_at":1100,"owed":false}},"seen_at":1100,"text":"warm","templates":[{"name":"alarm","language":"en"}],"numbers":{"parts":[{"from":0,"count":2,"sum":3.0,"min":1.0,"max":2.0,"first":1.0,"last":2.0,"last_at":60}],"last":2.0},"changes":[],"flapping":false,"recent":[],"history":[],"episode":1}"#,
            r#"{"bindings":{},"phase":{"firing":{"since":1,"fired_at":1,"clear_since":null,"worst":null,"events":1,"text":"x","acknowledged":{"by":"an operator","at":2},"step":0,"told":{},"told_at":null,"owed":true}},"seen_at":1,"text":"x","numbers":{"last":null},"changes":[],"flapping":false,"recent":[],"history":[],"episode":1}"#,
        ],
    },
    Stored {
        types: "AlertCommand Person",
        rewrite: rewrite::<AlertCommand>,
        rows: &[
            r#"{"acknowledge":{"alert":{"rule":"freezer","key":"cellar"},"by":{"name":"Nino","contact":"nino"}}}"#,
            r#"{"resolve":{"alert":{"rule":"freezer","key":"cellar"},"by":{"name":"an operator","contact":null}}}"#,
            r#"{"snooze":{"alert":{"rule":"freezer","key":"cellar"},"by":{"name":"Nino","contact":"nino"},"seconds":3600}}"#,
            r#"{"silence":{"rule":"freezer","key":null,"matchers":{},"contact":null,"until":1000,"by":"Nino","comment":null}}"#,
            r#"{"mute":{"by":"home-assistant","until":1000,"break_through":30}}"#,
            r#"{"expire":{"silence":4}}"#,
            r#"{"undelivered":{"alert":{"rule":"freezer","key":"cellar"},"episode":2}}"#,
            r#"{"receipt":{"alert":{"rule":"freezer","key":"cellar"},"episode":2,"contact":"nino","state":"read"}}"#,
        ],
    },
    Stored {
        types: "Silence",
        rewrite: rewrite::<Silence>,
        rows: &[
            r#"{"rule":"freezer","key":"cellar","matchers":{"area":"cellar"},"contact":"nino","until":1000,"by":"Nino","comment":"defrosting","break_through":30}"#,
        ],
    },
    Stored {
        types: "Group PendingGroup Resolution",
        rewrite: rewrite::<Group>,
        rows: &[
            r#"{"label":"freezers","lines":[{"alert":{"rule":"freezer","key":"a"},"over":null},{"alert":{"rule":"freezer","key":"b"},"over":[["over",["nino","ben"]],["vorbei",["eva"]]]}],"more":2,"due":1000,"flushed_at":null}"#,
            r#"{"label":"freezers","lines":[{"alert":{"rule":"freezer","key":"b"},"over":["over",["nino"]]}],"more":0,"due":null,"flushed_at":900}"#,
        ],
    },
    Stored {
        types: "HeldForSummary HeldLine",
        rewrite: rewrite::<HeldForSummary>,
        rows: &[
            r#"{"until":1000,"lines":[{"alert":{"rule":"freezer","key":"a"},"severity":20,"text":"warm","at":1,"over_at":2,"is_end":false}],"more":1,"templates":[{"name":"alarm","language":"en"}]}"#,
            r#"{"until":1000,"lines":[{"alert":{"rule":"freezer","key":"a"},"severity":20,"text":"over","at":1,"over_at":null,"is_end":true}],"more":0}"#,
        ],
    },
    Stored {
        types: "ResolvedAction Awaited",
        rewrite: rewrite::<ResolvedAction>,
        rows: &[
            r#"{"alert":7,"name":"defrost","title":"Stop defrost","topic":"cellar/set","payload":"off","retain":false,"roles":["keeper"],"expires_ms":600000,"answer":{"topic":"cellar/state","when":"it == 'off'","refused_when":null,"within_ms":5000}}"#,
            r#"{"alert":null,"name":"gate","title":"Open","topic":"gate/set","payload":"{}","retain":true,"roles":[],"expires_ms":60000,"answer":null}"#,
        ],
    },
    Stored {
        types: "Class",
        rewrite: rewrite::<Class>,
        rows: &[
            r#""Auth""#,
            r#""Permission""#,
            r#""Account""#,
            r#""Registration""#,
            r#""Config""#,
            r#""Request""#,
            r#""Recipient""#,
            r#""Window""#,
            r#""Limit""#,
            r#""Quality""#,
            r#""PairThrottle""#,
            r#""Throttle""#,
            r#""HubThrottle""#,
            r#""ServerAmbiguous""#,
            r#""Maintenance""#,
            r#""Media""#,
            r#""Template""#,
            r#""Unknown""#,
        ],
    },
    Stored {
        types: "Refusal",
        rewrite: rewrite::<Refusal>,
        rows: &[
            r#"{"code":131056,"class":"PairThrottle","details":"too fast","fbtrace_id":"A1","http_status":400,"advice":"Wait.","retry_after":{"secs":6,"nanos":0}}"#,
            r#"{"code":1,"class":"Unknown","details":"?","fbtrace_id":null,"http_status":null,"advice":"","retry_after":null}"#,
        ],
    },
    Stored {
        types: "Presence",
        rewrite: rewrite::<Presence>,
        rows: &[r#"{"id":"bellwire_1","parts":{"siren":"switch"}}"#],
    },
    Stored {
        types: "Curve Point",
        rewrite: rewrite::<Curve>,
        rows: &[
            r#"{"of":"value.celsius","points":[[60000,30000,-18.5,-17.0,-17.5]]}"#,
            r#"{"of":"value.celsius","device":"fridge-1","points":[]}"#,
        ],
    },
    Stored {
        types: "Plot Reading Threshold Mark",
        rewrite: rewrite::<Plot>,
        rows: &[
            r#"{"from_at":0,"until_at":60000,"readings":[{"since_at":0,"at":30000,"min":-18.5,"max":-17.0,"last":-17.5}],"thresholds":[{"limit":-15.0,"is_above":true,"ends":false}],"marks":[{"at":30000}]}"#,
        ],
    },
    Stored { types: "AlertKey", rewrite: rewrite::<AlertKey>, rows: &[r#"{"rule":"freezer","key":"a"}"#] },
    Stored {
        types: "RequestAction",
        rewrite: rewrite::<RequestAction>,
        rows: &[r#"{"action":"defrost","title":"Stop"}"#],
    },
];

#[test]
fn stored_rows_are_read_and_written_as_they_stand() {
    for row in STORED.iter().flat_map(|stored| stored.rows.iter().map(|row| (stored.rewrite, *row))) {
        assert_eq!((row.0)(row.1), row.1);
    }
}

#[test]
fn stored_messages_mean_what_they_meant() {
    let of = |row: &str| -> Content { serde_json::from_str(row).expect(row) };
    let reaction = Part::Reaction { to: "wamid.1".into(), emoji: "✅".into() };
    let row = r#"{"text":"","part":{"reaction":{"to":"wamid.1","emoji":"✅"}}}"#;
    assert_eq!(of(row), Content { part: Some(reaction), ..Content::default() });
    let picture = Part::Image(Media::Fetch { url: "http://camera/now.jpg".into() });
    let row = r#"{"text":"x","part":{"image":{"fetch":{"url":"http://camera/now.jpg"}}}}"#;
    assert_eq!(of(row), Content { part: Some(picture), ..Content::text("x") });
    assert_eq!(of("{}"), Content::default(), "the first version wrote no empty field");
}

/// A type of the core that is read from a row, and the names of its fields and variants as they stand in it.
#[derive(Debug, Default)]
struct Declared {
    name: String,
    stored_names: BTreeSet<String>,
}

/// The types with both derives, as rustfmt writes them.
fn declared(source: &str) -> Vec<Declared> {
    let (mut found, mut lines) = (Vec::new(), source.lines());
    while let Some(line) = lines.next() {
        if !(line.starts_with("#[derive(") && line.contains("Serialize") && line.contains("Deserialize")) {
            continue;
        }
        let (mut one, mut attributes, mut is_snake) = (Declared::default(), String::new(), false);
        for line in lines.by_ref() {
            let line = line.trim_start_matches("pub ");
            if let Some(rest) = line.strip_prefix("struct ").or_else(|| line.strip_prefix("enum ")) {
                one.name = rest.split(|c: char| !c.is_alphanumeric()).next().unwrap_or_default().to_owned();
                is_snake = attributes.contains("rename_all = \"snake_case\"");
                break;
            }
            attributes.push_str(line);
        }
        // Its names do not stand in the row.
        let is_nameless = attributes.contains("untagged") || attributes.contains("into = ");
        attributes.clear();
        for line in lines.by_ref().take_while(|line| *line != "}") {
            let line = line.trim().trim_start_matches("pub ");
            if line.starts_with("#[") {
                attributes = line.to_owned();
            } else if !line.starts_with("//") {
                let name: String = line.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
                let is_variant = name.starts_with(|c: char| c.is_uppercase());
                let is_field = line[name.len()..].starts_with(':');
                let is_elsewhere = attributes.contains("flatten") || attributes.contains("skip)");
                if (is_variant || is_field) && !is_nameless && !is_elsewhere {
                    let renamed =
                        attributes.split_once("rename = \"").and_then(|(_, rest)| rest.split('"').next());
                    one.stored_names.insert(match renamed {
                        Some(renamed) => renamed.to_owned(),
                        None if is_variant && is_snake => snake_case(&name),
                        None => name,
                    });
                }
                attributes.clear();
            }
        }
        found.push(one);
    }
    found
}

fn snake_case(name: &str) -> String {
    let parts = name.chars().enumerate().map(|(at, c)| match c {
        'A'..='Z' if at > 0 => format!("_{}", c.to_ascii_lowercase()),
        _ => c.to_ascii_lowercase().to_string(),
    });
    parts.collect()
}

fn sources(folder: PathBuf) -> Vec<String> {
    let (mut found, mut folders) = (Vec::new(), vec![folder]);
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else {
                found.push(std::fs::read_to_string(&path).expect("a source"));
            }
        }
    }
    found
}

#[test]
fn each_stored_type_has_rows_with_all_its_names() {
    let mut rows: BTreeMap<&str, String> = BTreeMap::new();
    for stored in &STORED {
        for name in stored.types.split(' ') {
            rows.entry(name).or_default().push_str(&stored.rows.concat());
        }
    }
    let core = ["event", "rule", "chart", "alert", "outbox", "reply", "command", "contact", "device"];
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let types: Vec<Declared> = core
        .iter()
        .flat_map(|folder| sources(source.join(folder)))
        .flat_map(|source| declared(&source))
        .collect();
    assert!(
        types.len() >= 40,
        "{} types were found: the way in which they are looked for is not true any more",
        types.len()
    );
    for Declared { name, stored_names } in types {
        let rows = rows.get(name.as_str());
        let rows = rows
            .unwrap_or_else(|| panic!("`{name}` can be stored: give it rows here, or take its derives away"));
        for stored in stored_names {
            assert!(
                rows.contains(&format!("\"{stored}\"")),
                "no row of `{name}` has `{stored}`: add one, never change one"
            );
        }
    }
}
