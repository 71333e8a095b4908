//! Message templates as the business account lists them (docs/cloud-api.md 1.3, 6): what `choose` needs to know of each.

use serde_json::Value;

use crate::outbox::window::TemplateInfo;

/// One page of `GET /{business_account_id}/message_templates`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Page {
    /// Name, language, facts.
    pub templates: Vec<(String, String, TemplateInfo)>,
    /// The cursor of the next page.
    pub after: Option<String>,
}

/// Path and query, to be put behind the version. `after` comes from the page before.
#[must_use]
pub fn path(business_account_id: &str, after: Option<&str>) -> String {
    let fields = "name,language,status,category,components,parameter_format";
    let after = after.map(|cursor| format!("&after={cursor}")).unwrap_or_default();
    format!("{business_account_id}/message_templates?fields={fields}&limit=100{after}")
}

#[must_use]
pub fn read(page: &Value) -> Page {
    let templates = page["data"].as_array().map_or(&[][..], Vec::as_slice);
    let next = page["paging"]["next"].is_string();
    Page {
        templates: templates.iter().filter_map(read_one).collect(),
        after: page["paging"]["cursors"]["after"].as_str().filter(|_| next).map(str::to_owned),
    }
}

fn read_one(template: &Value) -> Option<(String, String, TemplateInfo)> {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let components = template["components"].as_array().map_or(&[][..], Vec::as_slice);
    let of_type = |kind: &str| components.iter().find(|component| component["type"] == kind);
    let blanks = of_type("BODY").and_then(|body| body["text"].as_str()).map(blanks).unwrap_or_default();
    let named = template["parameter_format"] == "NAMED";
    let header = of_type("HEADER").and_then(|header| match header["format"].as_str()? {
        "TEXT" if self::blanks(header["text"].as_str().unwrap_or_default()).is_empty() => None,
        format => Some(format.to_owned()),
    });
    let buttons =
        of_type("BUTTONS").and_then(|buttons| buttons["buttons"].as_array()).map_or(&[][..], Vec::as_slice);
    let quick_replies = buttons.iter().filter(|button| button["type"] == "QUICK_REPLY").count();
    let facts = TemplateInfo {
        status: text(&template["status"])?,
        category: text(&template["category"]).unwrap_or_default(),
        parameters: u32::try_from(blanks.len()).unwrap_or(u32::MAX),
        names: if named { blanks } else { Vec::new() },
        header,
        quick_replies: u32::try_from(quick_replies).unwrap_or(u32::MAX),
    };
    Some((text(&template["name"])?, text(&template["language"])?, facts))
}

/// What stands between `{{` and `}}`, each once.
fn blanks(text: &str) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    for piece in text.split("{{").skip(1) {
        if let Some((name, _)) = piece.split_once("}}") {
            let name = name.trim().to_owned();
            if !found.contains(&name) {
                found.push(name);
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_listing_is_read() {
        let page = json!({
            "data": [
                { "name": "alarm_v1", "language": "en_US", "status": "APPROVED", "category": "UTILITY",
                  "parameter_format": "POSITIONAL", "components": [
                    { "type": "HEADER", "format": "TEXT", "text": "Alarm" },
                    { "type": "BODY", "text": "At {{1}} this happened: {{2}}. Again: {{1}}." },
                    { "type": "BUTTONS", "buttons": [{ "type": "QUICK_REPLY" }, { "type": "URL" }] }] },
                { "name": "alarm_v2", "language": "ka", "status": "PAUSED", "category": "MARKETING",
                  "parameter_format": "NAMED", "components": [
                    { "type": "HEADER", "format": "IMAGE" },
                    { "type": "BODY", "text": "{{device}}: {{ event }}" }] },
                { "name": "broken" }
            ],
            "paging": { "cursors": { "after": "abc" }, "next": "https://graph.facebook.com/…" }
        });
        let page = read(&page);
        assert_eq!(page.after.as_deref(), Some("abc"));
        let [(first, _, plain), (_, language, named)] = &page.templates[..] else { panic!("{page:?}") };
        assert_eq!((first.as_str(), language.as_str()), ("alarm_v1", "ka"));
        assert_eq!((plain.parameters, plain.quick_replies, &plain.header), (2, 1, &None));
        assert_eq!((named.status.as_str(), named.names.join(" ")), ("PAUSED", "device event".to_owned()));
        assert_eq!(named.header.as_deref(), Some("IMAGE"));
        assert_eq!(read(&json!({ "data": [], "paging": { "cursors": { "after": "x" } } })).after, None);
    }
}
