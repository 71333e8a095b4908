//! An event's payload as rules see it: read once in each format, however many rules look at it.

use minijinja::value::{Serde, Value};

use crate::alert::ignored::Ignored;
use crate::event::decode::{DecodeError, PAYLOAD_LIMIT_BYTES, PayloadFormat, decode};
use crate::event::incoming::Event;
use crate::rule::error::EvaluationError;

/// Each reading lives until the last rule has seen the event: one for each of eight formats at most, and none of more than
/// [`PAYLOAD_LIMIT_BYTES`].
#[derive(Debug)]
pub struct Payload<'a> {
    event: &'a Event,
    /// What Sparkplug's memory made of it.
    sparkplug: Option<Result<serde_json::Value, String>>,
    read: Vec<(PayloadFormat, Result<Reading, Ignored>)>,
}

/// The payload in one format. Copies of the value share what is in it.
#[derive(Debug, Clone)]
pub struct Reading {
    /// The value that conditions and messages call `payload`.
    pub value: Value,
    /// The payload itself, if it is a number.
    pub number: Option<f64>,
    /// Messages of its Sparkplug node that are missing before it.
    pub missed: u64,
}

impl<'a> Payload<'a> {
    #[must_use]
    pub fn new(event: &'a Event, sparkplug: Option<Result<serde_json::Value, String>>) -> Self {
        Self { event, sparkplug, read: Vec::new() }
    }

    /// One that was read already.
    #[must_use]
    pub fn known(event: &'a Event, format: PayloadFormat, json: serde_json::Value) -> Self {
        let reading = Reading { value: Value::from(Serde(json)), number: None, missed: 0 };
        Self { event, sparkplug: None, read: vec![(format, Ok(reading))] }
    }

    pub fn read(&mut self, format: PayloadFormat) -> Result<Reading, Ignored> {
        if let Some((_, known)) = self.read.iter().find(|(known, _)| *known == format) {
            return known.clone();
        }
        let read = self.json(format).map(|json| Reading {
            number: json.as_f64(),
            missed: json["missed"].as_u64().filter(|_| self.sparkplug.is_some()).unwrap_or(0),
            value: Value::from(Serde(json)),
        });
        self.read.push((format, read.clone()));
        read
    }

    fn json(&self, format: PayloadFormat) -> Result<serde_json::Value, Ignored> {
        let (payload, bytes) = (&self.event.payload, self.event.payload.len());
        let read = match (format, &self.sparkplug) {
            (PayloadFormat::Sparkplug, Some(metrics)) => metrics.clone().map_err(DecodeError::Sparkplug),
            _ if bytes > PAYLOAD_LIMIT_BYTES && format != PayloadFormat::None => {
                return Err(Ignored::TooLarge(bytes));
            }
            _ => decode(format, self.event.content_type.as_deref(), payload),
        };
        read.map_err(|error| {
            let (kind, what) = (error.kind().to_owned(), error.to_string());
            Ignored::Undecodable(EvaluationError { kind, what, is_missing: false })
        })
    }
}

#[cfg(test)]
mod tests {
    use crate::alert::effect::Effect;
    use crate::alert::tests::{MORNING, event, site};
    use crate::event::decode::{DECODED, PAYLOAD_LIMIT_BYTES};
    use crate::event::incoming::Identity;

    /// Rules with states and without, which all listen to one topic.
    fn rules(formats: &[&str]) -> String {
        let rule = |(index, format): (usize, &&str)| {
            let life = if index % 2 == 0 { "" } else { "resolve_after = \"1h\"\n" };
            format!(
                "[[rule]]\nname = \"r{index}\"\ntopic = \"t\"\npayload = \"{format}\"\nmessage = \"x\"\nnotify = [\"giorgi\"]\n{life}"
            )
        };
        formats.iter().enumerate().map(rule).collect()
    }

    #[test]
    fn an_event_is_decoded_once_per_format() {
        let (auto, three) = (["auto"; 40], ["auto", "text", "number"].repeat(8));
        let large = "9".repeat(PAYLOAD_LIMIT_BYTES + 1);
        for (formats, payload, decoded, told) in [
            (&auto[..], "7", 1, 40),
            (&three, "7", 3, 24),
            (&auto, "{broken", 1, 0),
            (&three, "seven", 3, 16),
            (&three, &large, 0, 0),
        ] {
            let judge = site(&rules(formats)).1;
            DECODED.set(0);
            let decision =
                judge.decide(event("t", payload.to_owned(), Identity::None), &mut judge.watch(), MORNING);
            assert_eq!(DECODED.get(), decoded, "{payload:.9}");
            let fired = |effect: &&Effect| matches!(effect, Effect::Fired(_));
            assert_eq!(decision.effects.iter().filter(fired).count(), told, "{payload:.9}");
        }
    }
}
