//! CloudEvents 1.0: events with the same `source` and `id` are one (CloudEvents, `id`). An `id` alone says nothing: another
//! source may have the same, and a device may call itself so.

use std::fmt::{self, Display, Formatter};

use serde::Deserialize;

use crate::event::decode::PAYLOAD_LIMIT_BYTES;

/// What begins so is in structured mode (MQTT Protocol Binding for CloudEvents 1.0.2, 3).
const MEDIA_TYPE: &str = "application/cloudevents";
/// Every CloudEvent in JSON has it, and little else: most payloads need no second reading.
const MARK: &[u8] = b"\"specversion\"";

/// What the sender of an event calls it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Name {
    pub source: String,
    pub id: String,
}

/// The attributes that every CloudEvent has.
#[derive(Deserialize)]
struct Structured {
    specversion: String,
    #[serde(rename = "type")]
    kind: String,
    source: String,
    id: String,
}

impl Name {
    #[must_use]
    pub fn new(source: impl Into<String>, id: impl Into<String>) -> Option<Self> {
        let (source, id) = (source.into(), id.into());
        (!source.is_empty() && !id.is_empty()).then_some(Self { source, id })
    }

    /// Binary mode: each attribute is a user property (MQTT Protocol Binding 3.1.3).
    #[must_use]
    pub fn of_properties(properties: &[(String, String)]) -> Option<Self> {
        let find =
            |wanted| properties.iter().find(|(name, _)| name == wanted).map(|(_, value)| value.as_str());
        Self::new(find("source")?, find("id")?)
    }

    /// Structured mode: the whole event is JSON (MQTT Protocol Binding 3.2). MQTT 3.1.1 has no content type, and implies
    /// this one (3.2.1): there an event is one that has all that CloudEvents require.
    #[must_use]
    pub fn of_payload(content_type: Option<&str>, payload: &[u8]) -> Option<Self> {
        let may_be = content_type.is_none_or(|known| known.to_ascii_lowercase().starts_with(MEDIA_TYPE));
        let is_object = payload.trim_ascii_start().starts_with(b"{");
        if !may_be || !is_object || payload.len() > PAYLOAD_LIMIT_BYTES {
            return None;
        }
        if !payload.windows(MARK.len()).any(|part| part == MARK) {
            return None;
        }
        let event: Structured = serde_json::from_slice(payload).ok()?;
        let is_whole = !event.specversion.is_empty() && !event.kind.is_empty();
        Self::new(event.source, event.id).filter(|_| is_whole)
    }
}

/// With quotes, so that no other pair makes the same text.
impl Display for Name {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} {:?}", self.source, self.id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_named_by_source_and_id_together() {
        let named = |pairs: &[(&str, &str)]| {
            let pairs: Vec<_> = pairs.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
            Name::of_properties(&pairs).map(|name| name.to_string())
        };
        assert_eq!(named(&[("id", "1")]), None, "a device may call itself so");
        assert_eq!(named(&[("source", "/press")]), None);
        assert_eq!(named(&[("source", ""), ("id", "1")]), None);
        let press = named(&[("id", "1"), ("source", "/press/1")]);
        assert_eq!(press.as_deref(), Some(r#""/press/1" "1""#));
        assert_ne!(press, named(&[("source", "/oven/2"), ("id", "1")]));
        let pairs =
            [named(&[("source", "a\" \"b"), ("id", "c")]), named(&[("source", "a"), ("id", "b\" \"c")])];
        assert_ne!(pairs[0], pairs[1]);
    }

    #[test]
    fn a_whole_event_as_json_is_named_likewise() {
        let named = |kind: Option<&str>, text: &str| {
            Name::of_payload(kind, text.as_bytes()).map(|name| name.to_string())
        };
        let event = r#" {"specversion":"1.0","type":"t","source":"/press/1","id":"1","data":{"hot":true}}"#;
        let expected = Some(r#""/press/1" "1""#.to_owned());
        let said = Some("application/cloudevents+json; charset=utf-8");
        assert_eq!(named(said, event), expected);
        assert_eq!(named(Some("Application/CloudEvents+JSON"), event), expected);
        assert_eq!(named(None, event), expected, "MQTT 3.1.1 has no content type");
        assert_eq!(named(Some("application/json"), event), None, "binary mode: this is its data");
        for (without, with) in [("\"specversion\"", "\"version\""), ("\"type\"", "\"kind\""), ("\"1\"", "1")]
        {
            assert_eq!(named(None, &event.replace(without, with)), None, "{without}");
        }
        assert_eq!(named(said, &format!("[{event}]")), None, "a batch is several");
        assert_eq!(named(None, &event.replace("true", &"9".repeat(PAYLOAD_LIMIT_BYTES))), None);
    }
}
