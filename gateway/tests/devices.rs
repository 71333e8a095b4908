//! What devices really send: each file in `tests/fixtures/devices` has sequences of payloads in the shape that the page which it
//! names documents, the rule that a user writes for them, and the messages that are right.
//!
//! A line of `events` is `TIME | TOPIC | PAYLOAD` or `TIME | @restart`; `retained ` before a topic and `sparkplug ` before a payload
//! say what they are, and `content-type=TYPE ` before a payload is MQTT 5's property. A line of `messages` is `TIME | TEXT` without
//! the clock at its end. Times without seconds are whole minutes.

#![expect(clippy::expect_used, clippy::panic, reason = "a sequence that cannot be read stops the test")]

use std::path::Path;

use bellwire::alert::replay::{RecordedInput, Replay, Timed};
use bellwire::config::{Config, LoadOptions, read};
use bellwire::time::Timestamp;
use serde_json::Value;

const SITE: &str = concat!(
    r#"
[site]
name = "Corner Bakery"
time_zone = "Asia/Tbilisi"
"#,
    include_str!("../../tests/fixtures/connected.toml"),
    r#"
[[contact]]
id = "nino"
phone = "+995 555 12 34 56"
[[rule]]
name = "rule"
notify = ["nino"]
"#
);
const DATE: &str = "2026-03-11";

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    sequence: Vec<Sequence>,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Sequence {
    about: String,
    /// Where the shape is documented.
    page: String,
    rule: String,
    events: Vec<String>,
    messages: Vec<String>,
}

impl Sequence {
    fn config(&self) -> Config {
        let wishes = LoadOptions { without_secrets: true, ..LoadOptions::default() };
        read("device.toml", &format!("{SITE}{}", self.rule), &wishes)
            .unwrap_or_else(|problems| panic!("{}:\n{problems}", self.about))
    }

    fn timed(&self, line: &str, config: &Config) -> Timed {
        let mut parts = line.splitn(3, " | ");
        let (at, topic) = (parts.next().expect(line), parts.next().expect(line));
        let payload = parts.next().unwrap_or_default();
        let at = if at.len() == 5 { format!("{at}:00") } else { at.to_owned() };
        let at = Timestamp::parse(&format!("{DATE} {at}"), &config.site.time_zone).expect(line);
        if topic == "@restart" {
            return Timed { at, what: RecordedInput::Restart };
        }
        let name = topic.strip_prefix("retained ").unwrap_or(topic);
        let typed = payload.strip_prefix("content-type=").and_then(|typed| typed.split_once(' '));
        let (content_type, payload) = typed.map_or((None, payload), |(name, rest)| (Some(name), rest));
        let payload = match payload.strip_prefix("sparkplug ") {
            Some(metrics) => sparkplug(&serde_json::from_str(metrics).expect(line)),
            None => payload.as_bytes().to_vec(),
        };
        let what = RecordedInput::Publish {
            topic: name.to_owned(),
            payload: payload.into(),
            retained: name.len() < topic.len(),
            id: None,
            content_type: content_type.map(str::to_owned),
        };
        Timed { at, what }
    }

    /// What is wrong, if anything is.
    fn play(&self) -> Option<String> {
        let config = self.config();
        let judge = config.rule_set().expect("compiles");
        let mut replay = Replay::new(&judge, judge.watch());
        for line in &self.events {
            replay.step(self.timed(line, &config));
        }
        let said = replay.sent.iter().map(|sent| {
            let at = sent.at.for_tables(&config.site.time_zone);
            let at = at.strip_prefix(&format!("{DATE} ")).unwrap_or(&at);
            let at = at.strip_suffix(":00").unwrap_or(at);
            let words: Vec<&str> = sent.text.lines().filter(|line| !line.starts_with('🕑')).collect();
            format!("{at} | {}", words.join(" / "))
        });
        let said: Vec<String> = said.collect();
        (said != self.messages)
            .then(|| format!("{}\n  right: {:#?}\n  found: {said:#?}", self.about, self.messages))
    }
}

/// A payload of Sparkplug B, field by field as its schema numbers them: written by hand, so that what reads is not what wrote.
fn sparkplug(payload: &Value) -> Vec<u8> {
    let mut bytes = Vec::new();
    for metric in payload["metrics"].as_array().expect("metrics") {
        let mut inside = Vec::new();
        let number = |key: &str| metric[key].as_u64();
        if let Some(name) = metric["name"].as_str() {
            field(&mut inside, 1, name.as_bytes());
        }
        for (key, tag) in [("alias", 2), ("type", 4), ("int", 10), ("long", 11)] {
            if let Some(value) = number(key) {
                varint(&mut inside, tag << 3);
                varint(&mut inside, value);
            }
        }
        for (key, tag) in [("historical", 5), ("null", 7), ("boolean", 14)] {
            if let Some(value) = metric[key].as_bool() {
                varint(&mut inside, tag << 3);
                varint(&mut inside, value.into());
            }
        }
        if let Some(value) = metric["float"].as_f64() {
            varint(&mut inside, 12 << 3 | 5);
            #[expect(clippy::cast_possible_truncation, reason = "a float has 32 bits on the wire")]
            inside.extend((value as f32).to_le_bytes());
        }
        if let Some(quality) = number("quality") {
            let (mut set, mut value) = (Vec::new(), vec![3 << 3]);
            varint(&mut value, quality);
            field(&mut set, 1, b"Quality");
            field(&mut set, 2, &value);
            field(&mut inside, 9, &set);
        }
        field(&mut bytes, 2, &inside);
    }
    if let Some(seq) = payload["seq"].as_u64() {
        varint(&mut bytes, 3 << 3);
        varint(&mut bytes, seq);
    }
    bytes
}

fn field(into: &mut Vec<u8>, tag: u64, bytes: &[u8]) {
    varint(into, tag << 3 | 2);
    varint(into, bytes.len() as u64);
    into.extend(bytes);
}

fn varint(into: &mut Vec<u8>, mut value: u64) {
    while value > 127 {
        into.push(value as u8 | 128);
        value >>= 7;
    }
    into.push(value as u8);
}

#[test]
fn every_device_is_told_of_as_its_user_expects() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/devices");
    let only = std::env::var("DEVICE").ok(); // one alone, while it is being written
    let (mut wrong, mut count) = (Vec::new(), 0);
    for entry in std::fs::read_dir(folder).expect("the folder") {
        let path = entry.expect("an entry").path();
        if path.extension().is_none_or(|kind| kind != "toml") {
            continue; // the list of sources
        }
        let text = std::fs::read_to_string(&path).expect("readable");
        let file: File = toml::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        for sequence in &file.sequence {
            assert!(sequence.page.starts_with("https://"), "{}: name the public page", sequence.about);
            count += 1;
            if only.as_ref().is_none_or(|only| sequence.about.contains(only)) {
                let found = sequence.play();
                wrong.extend(found.map(|found| format!("{}: {found}", path.display())));
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {count}\n{}", wrong.len(), wrong.join("\n\n"));
    assert!(count >= 97, "{count} sequences");
}
