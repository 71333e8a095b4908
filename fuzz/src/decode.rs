//! A format, or a content type, in the first line; then the payload. Sparkplug's is read as a birth, and as what follows it.

use bellwire::event::cloudevents::Name;
use bellwire::event::decode::PayloadFormat;
use bellwire::event::decode::decode as read;
use bellwire::event::sparkplug::BirthCertificates;
use serde_json::Value;

use super::text_line;

/// The most that a byte may grow to: a number of three bytes has 25 digits, and texts are escaped.
const GROWTH: usize = 32;

pub fn decode(data: &[u8]) {
    let Some((name, payload)) = text_line(data) else { return };
    if name == "sparkplug" {
        return sparkplug(payload);
    }
    let (format, content_type) = match name {
        "json" => (PayloadFormat::Json, None),
        "text" => (PayloadFormat::Text, None),
        "number" => (PayloadFormat::Number, None),
        "cbor" => (PayloadFormat::Cbor, None),
        "postcard" => (PayloadFormat::Postcard, None),
        other => (PayloadFormat::Auto, Some(other)),
    };
    if let Some(name) = Name::of_payload(content_type, payload) {
        assert!(!name.source.is_empty() && !name.id.is_empty() && !name.to_string().contains('\n'));
    }
    match read(format, content_type, payload) {
        Ok(value) => {
            let size = size(&value);
            assert!(size <= GROWTH * payload.len() + 256, "{} bytes became {size}", payload.len());
            assert_eq!(read(format, content_type, payload), Ok(value), "the same twice");
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

/// Each metric is written twice, with what is known of it: the words of that are longer than the smallest metric.
const METRIC_GROWTH: usize = 64;

fn sparkplug(payload: &[u8]) {
    let mut births = BirthCertificates::default();
    for topic in ["spBv1.0/g/NBIRTH/n", "spBv1.0/g/NDATA/n", "spBv1.0/g/DDATA/n/d", "spBv1.0/g/NDEATH/n"] {
        match births.read(topic, payload) {
            Ok(value) => {
                let size = size(&value);
                assert!(size <= METRIC_GROWTH * payload.len() + 256, "{} bytes became {size}", payload.len());
            }
            Err(error) => assert!(!error.is_empty()),
        }
    }
}

/// As JSON, without writing it.
fn size(value: &Value) -> usize {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => 8,
        Value::String(text) => text.len(),
        Value::Array(items) => items.iter().map(size).sum(),
        Value::Object(fields) => fields.iter().map(|(name, field)| name.len() + size(field)).sum(),
    }
}
