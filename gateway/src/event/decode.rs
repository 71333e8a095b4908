//! Bytes to a value that conditions and messages can read. Total: any bytes give a value or a sentence.

use serde_json::{Map, Value, json};

use crate::event::json;
use crate::hex::hex;
use crate::words::word_enum;

/// A payload larger than this is not looked into: 64 KiB hold any reading, and a message shows 4,096 characters.
pub const PAYLOAD_LIMIT_BYTES: usize = 64 * 1024;

word_enum! {
    /// How a payload is read.
    PayloadFormat {
        /// By the MQTT 5 content type; without one by looking: JSON, or a text that does not begin like it.
        Auto = "auto",
        Json = "json",
        Text = "text",
        /// A number alone, such as `-12.5`.
        Number = "number",
        Cbor = "cbor",
        /// `firmware_bridge::Event`, encoded with postcard.
        Postcard = "postcard",
        /// Sparkplug B, with the names from its births.
        Sparkplug = "sparkplug",
        /// Not read at all: what counts is that it came. For Sparkplug's NDEATH and its like.
        None = "none",
    }
}

/// Why a payload is not what the rule reads.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    #[error("it is not JSON: {0}")]
    Json(String),
    #[error("it is not UTF-8 text: the byte at position {0} does not belong")]
    Text(usize),
    #[error("it is UTF-16 text; send UTF-8")]
    Utf16,
    #[error("`{0}` is no number: the device had no reading")]
    NoReading(String),
    #[error("`{0}` is not a number such as -12.5")]
    Number(String),
    #[error("it is not CBOR: {0}")]
    Cbor(String),
    #[error("{0}")]
    Sparkplug(String),
    #[error("it is not a firmware-bridge event: {0}")]
    Postcard(firmware_bridge::FrameError),
}

impl DecodeError {
    /// Without what was there: the same for all payloads that fail alike.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Json(_) => "it is not JSON",
            Self::Text(_) => "it is not UTF-8 text",
            Self::Utf16 => "it is UTF-16 text",
            Self::NoReading(_) => "it says that there was no reading",
            Self::Number(_) => "it is not a number",
            Self::Cbor(_) => "it is not CBOR",
            Self::Sparkplug(_) => "it is not what Sparkplug sends",
            Self::Postcard(_) => "it is not a firmware-bridge event",
        }
    }
}

#[cfg(test)]
thread_local! {
    /// How often this thread has decoded, for tests that count it.
    pub(crate) static DECODED: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
}

/// Reads the payload in the rule's format, or in the one that the content type names, or by looking.
pub fn decode(
    format: PayloadFormat,
    content_type: Option<&str>,
    payload: &[u8],
) -> Result<Value, DecodeError> {
    #[cfg(test)]
    DECODED.set(DECODED.get() + 1);
    let named = content_type.and_then(named_format).filter(|_| format == PayloadFormat::Auto);
    let format = named.unwrap_or(format);
    match format {
        PayloadFormat::Auto => by_looking(text(payload)?),
        PayloadFormat::Json => json::read(text(payload)?).map_err(DecodeError::Json),
        PayloadFormat::Text => text(payload).map(|text| Value::String(text.to_owned())),
        PayloadFormat::Number => number(payload),
        PayloadFormat::Cbor => cbor(payload),
        PayloadFormat::Postcard => postcard(payload),
        // Alone, without what was heard before.
        PayloadFormat::Sparkplug => Err(DecodeError::Sparkplug("its topic is not known here".into())),
        PayloadFormat::None => Ok(Value::Null),
    }
}

/// RFC 6838 names; parameters such as `; charset=utf-8` aside. A name that we do not know decides nothing.
fn named_format(content_type: &str) -> Option<PayloadFormat> {
    let name = content_type.split(';').next()?.trim().to_ascii_lowercase();
    match name.as_str() {
        "application/cbor" => Some(PayloadFormat::Cbor),
        "application/vnd.postcard" => Some(PayloadFormat::Postcard),
        "text/plain" => Some(PayloadFormat::Text),
        json if json == "application/json" || json.ends_with("+json") => Some(PayloadFormat::Json),
        _ => None,
    }
}

/// JSON, or a text as devices send it: `offline`, `12 %`, `2026-03-11`. What begins as only JSON does and is none is no
/// text: read as one, a broken report would be a No to every question. Nothing at all (a retained message is deleted
/// with it: MQTT 5, 3.3.1.3) is null, and no state either.
fn by_looking(text: &str) -> Result<Value, DecodeError> {
    let word = text.trim();
    if word.is_empty() {
        Ok(Value::Null)
    } else if word.starts_with('{') {
        json::read(text).map_err(DecodeError::Json)
    } else if word.starts_with(['[', '"']) {
        // A log line may begin so.
        let hint = |why| format!("{why}; if it is meant as text, the rule needs payload = \"text\"");
        json::read(text).map_err(|why| DecodeError::Json(hint(why)))
    } else if json::is_no_number(word) {
        Err(DecodeError::NoReading(word.to_owned()))
    } else {
        Ok(json::read(text).unwrap_or_else(|_| Value::String(text.to_owned())))
    }
}

/// Without what programs on Windows put before a text, and C's programs after it.
fn text(payload: &[u8]) -> Result<&str, DecodeError> {
    let is_wide = |bytes: &[u8; 4]| {
        matches!(bytes.map(|byte| byte == 0), [false, true, false, true] | [true, false, true, false])
    };
    if payload.starts_with(b"\xff\xfe")
        || payload.starts_with(b"\xfe\xff")
        || payload.first_chunk().is_some_and(is_wide)
    {
        return Err(DecodeError::Utf16);
    }
    let payload = payload.strip_prefix(b"\xef\xbb\xbf").unwrap_or(payload);
    let end = payload.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    std::str::from_utf8(&payload[..end]).map_err(|error| DecodeError::Text(error.valid_up_to()))
}

fn number(payload: &[u8]) -> Result<Value, DecodeError> {
    let text = text(payload)?.trim();
    if let Ok(whole) = text.parse::<i64>() {
        return Ok(json!(whole));
    }
    if json::is_no_number(text) {
        return Err(DecodeError::NoReading(text.to_owned()));
    }
    let other = || DecodeError::Number(text.chars().take(40).collect());
    let real: f64 = text.parse().map_err(|_| other())?;
    serde_json::Number::from_f64(real).map(Value::Number).ok_or_else(other) // no infinity
}

fn cbor(payload: &[u8]) -> Result<Value, DecodeError> {
    let value: ciborium::Value = ciborium::de::from_reader_with_recursion_limit(payload, 64)
        .map_err(|error| DecodeError::Cbor(error.to_string()))?;
    cbor_value(value)
}

/// JSON has no bytes, tags or keys that are not text: they become hex, their content, and text.
fn cbor_value(value: ciborium::Value) -> Result<Value, DecodeError> {
    Ok(match value {
        ciborium::Value::Bool(value) => json!(value),
        ciborium::Value::Integer(value) => {
            i64::try_from(value).map_or_else(|_| json!(i128::from(value) as f64), |whole| json!(whole))
        }
        ciborium::Value::Float(value) => json!(value),
        ciborium::Value::Text(text) => Value::String(text),
        ciborium::Value::Bytes(bytes) => Value::String(hex(&bytes)),
        ciborium::Value::Tag(_, content) => cbor_value(*content)?,
        ciborium::Value::Array(items) => items.into_iter().map(cbor_value).collect::<Result<_, _>>()?,
        ciborium::Value::Map(pairs) => {
            let field = |(key, value)| Ok((key_text(key)?, cbor_value(value)?));
            pairs.into_iter().map(field).collect::<Result<_, _>>()?
        }
        ciborium::Value::Null | _ => Value::Null, // and whatever a later version of the library adds
    })
}

/// A list or a map is no key: written as text, and that as part of the next key, each level doubles the backslashes of the
/// one inside, and 60 bytes of nested maps fill the memory.
fn key_text(key: ciborium::Value) -> Result<String, DecodeError> {
    match cbor_value(key)? {
        Value::String(text) => Ok(text),
        plain @ (Value::Null | Value::Bool(_) | Value::Number(_)) => Ok(plain.to_string()),
        Value::Array(_) | Value::Object(_) => {
            Err(DecodeError::Cbor("a key is a list or a map; use text or a number".into()))
        }
    }
}

fn postcard(payload: &[u8]) -> Result<Value, DecodeError> {
    let event = firmware_bridge::Event::decode(payload).map_err(DecodeError::Postcard)?;
    let mut fields = Map::new();
    for field in &event.fields {
        let value = match &field.value {
            firmware_bridge::Value::Bool(value) => json!(value),
            firmware_bridge::Value::Integer(value) => json!(value),
            firmware_bridge::Value::Float(value) => json!(value),
            firmware_bridge::Value::Text(text) => json!(text.as_str()),
        };
        fields.insert(field.name.to_string(), value);
    }
    // The three that name the event last, so that no field can pass for them.
    fields.insert("device".into(), json!(event.device.as_str()));
    fields.insert("boot".into(), json!(event.boot));
    fields.insert("sequence".into(), json!(event.sequence));
    Ok(Value::Object(fields))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_are_read_by_their_word() {
        let words = ["auto", "json", "text", "number", "cbor", "postcard", "sparkplug", "none"];
        let formats = words.map(PayloadFormat::parse);
        use PayloadFormat::{Auto, Cbor, Json, None as Nothing, Number, Postcard, Sparkplug, Text};
        assert_eq!(formats, [Auto, Json, Text, Number, Cbor, Postcard, Sparkplug, Nothing].map(Some));
        assert_eq!(PayloadFormat::parse("xml"), None);
    }
    use proptest::prelude::*;

    #[test]
    fn each_format_gives_a_value_or_a_sentence() {
        use PayloadFormat::{Auto, Cbor, Json, Number, Postcard, Text};
        let check = |format, content_type: Option<&str>, payload: &[u8], expected: Result<Value, &str>| {
            let found = decode(format, content_type, payload).map_err(|error| error.to_string());
            assert_eq!(
                found,
                expected.map_err(str::to_owned),
                "{format:?} {:?}",
                String::from_utf8_lossy(payload)
            );
        };
        check(Auto, None, br#"{"celsius":-12.5}"#, Ok(json!({"celsius": -12.5})));
        check(Auto, None, b"-12.5", Ok(json!(-12.5)));
        check(Auto, None, b"offline", Ok(json!("offline")));
        check(Auto, None, b"12 \xb0C", Err("it is not UTF-8 text: the byte at position 3 does not belong"));
        check(Auto, Some("text/plain; charset=utf-8"), b"12", Ok(json!("12")));
        check(Auto, Some("application/cbor"), b"\xa1\x61c\x38\x0e", Ok(json!({"c": -15})));
        check(Auto, Some("application/senml+json"), b"[1]", Ok(json!([1])));
        for (name, payload, why) in [
            ("application/json", "offline", "it is not JSON"),
            ("application/ld+json", "offline", "it is not JSON"),
            ("application/vnd.postcard", "", "it is not a firmware-bridge event"),
        ] {
            let refused = decode(Auto, Some(name), payload.as_bytes()).expect_err(name).to_string();
            assert!(refused.starts_with(why), "{name}: {refused}");
        }
        check(Auto, Some("application/octet-stream"), b"offline", Ok(json!("offline")));
        check(Json, None, b"{", Err("it is not JSON: it is cut off after 1 bytes"));
        check(Text, None, b"[1]", Ok(json!("[1]")));
        check(Number, None, b" 42 ", Ok(json!(42)));
        check(Number, None, b"NaN", Err("`NaN` is no number: the device had no reading"));
        check(Number, None, b"12 %", Err("`12 %` is not a number such as -12.5"));
        check(Cbor, None, b"\xc1\x18\x2a", Ok(json!(42)));
        check(Cbor, None, b"\x42\x01\xff", Ok(json!("01ff")));
        check(Cbor, None, b"\xa1\x01\x02", Ok(json!({"1": 2})));
        check(
            Cbor,
            None,
            b"\xa1\xa0\x02",
            Err("it is not CBOR: a key is a list or a map; use text or a number"),
        );
        check(
            Postcard,
            None,
            b"\x09",
            Err("it is not a firmware-bridge event: the frame is of version 9, this side reads version 1"),
        );
    }

    #[test]
    fn broken_json_is_an_error_and_never_text() {
        use PayloadFormat::{Auto, Json, Text};
        let auto = |payload: &str| decode(Auto, None, payload.as_bytes()).map_err(|error| error.to_string());
        for broken in [
            r#"{"water_leak":true,"temperature":nan}"#,
            r#"{"water_leak":true"#,
            r#"{"water_leak":true}{"water_leak":false}"#,
            "  {'water_leak': True}",
            "[1, 2",
            "[E][sensor:3] no answer",
            r#""on"#,
            "{",
        ] {
            let why = auto(broken).expect_err(broken);
            assert!(why.starts_with("it is not JSON: "), "{why}");
            assert_eq!(why.ends_with("needs payload = \"text\""), !broken.trim().starts_with('{'), "{why}");
            assert_eq!(decode(Text, None, broken.as_bytes()), Ok(json!(broken)));
        }
        for (word, what) in [("nan", "nan"), (" NaN\n", "NaN"), ("-inf", "-inf"), ("Infinity", "Infinity")] {
            let why = format!("`{what}` is no number: the device had no reading");
            assert_eq!(auto(word), Err(why), "{word}");
        }
        // As devices send it; `None` is an effect of a lamp, `True` a word to compare with.
        for plain in [
            "offline",
            "ON",
            "12 %",
            "-12.5 °C",
            "12,5",
            "2026-03-11T10:00:00",
            "007",
            "None",
            "True",
            "-",
            "1e999",
        ] {
            assert_eq!(auto(plain), Ok(json!(plain)));
        }
        for (payload, expected) in [
            (&b"\xef\xbb\xbf{\"a\": 1}\r\n\0\0"[..], json!({"a": 1})),
            (b"-12.5\0", json!(-12.5)),
            (b"ON\0", json!("ON")),
            (b"1\0\0\0", json!(1)),
            (b"true", json!(true)),
            (b"null", json!(null)),
            (b"", json!(null)),
            (b"\0", json!(null)),
        ] {
            assert_eq!(decode(Auto, None, payload), Ok(expected), "{payload:?}");
        }
        assert_eq!(decode(Json, None, b"\xef\xbb\xbf[1]\0"), Ok(json!([1])));
        assert_eq!(decode(Text, None, b"\xef\xbb\xbfON\0"), Ok(json!("ON")));
        for wide in [&b"\xff\xfe{\0"[..], b"\xfe\xff\0{", b"{\0\"\0a\0", b"\0{\0\"\0a"] {
            for format in [Auto, Json, Text, PayloadFormat::Number] {
                assert_eq!(decode(format, None, wide), Err(DecodeError::Utf16), "{wide:?}");
            }
        }
    }

    #[test]
    fn a_device_event_shows_its_fields() {
        let frame = b"\x01\x09freezer-2\x07\xac\x02\x01\x07celsius\x02\x00\x00\x48\xc1";
        let expected = json!({"celsius": -12.5, "device": "freezer-2", "boot": 7, "sequence": 300});
        assert_eq!(decode(PayloadFormat::Postcard, None, frame), Ok(expected));
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(payload in proptest::collection::vec(any::<u8>(), 0..512)) {
            use PayloadFormat::{Auto, Cbor, Json, Number, Postcard, Text};
            for format in [Auto, Json, Text, Number, Cbor, Postcard] {
                drop(decode(format, None, &payload));
            }
        }
    }
}
