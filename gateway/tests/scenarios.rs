//! What a site sees: each file in `tests/fixtures/scenarios` has events with their times, and the messages that follow.
//!
//! A line of `events` is `TIME | TOPIC | PAYLOAD`, or `TIME | @VERB | WHO | ALERT` for what people do, or
//! `TIME | @clock | TIME` when the clock is set. A line of `messages` is `TIME | WHO | TEXT [BUTTON]`, the lines of the text
//! joined with ` / `. Times without a day are on `date`.

#![expect(clippy::expect_used, clippy::panic, reason = "a scenario that cannot be read stops the test")]

use std::path::{Path, PathBuf};

use bellwire::alert::intake::RuleSet;
use bellwire::alert::replay::{RecordedInput, Replay, ReplayedMessage, Timed};
use bellwire::config::{Config, LoadOptions, read};
use bellwire::event::cloudevents::Name;
use bellwire::time::Timestamp;
use jiff::tz::TimeZone;

const SITE: &str = include_str!("../../tests/fixtures/connected.toml");

const PEOPLE: &str = r#"
[[contact]]
id = "nino"
phone = "+995 555 12 34 56"
[[contact]]
id = "giorgi"
phone = "+995 555 65 43 21"
[[contact]]
id = "dato"
name = "Dato"
phone = "+995 555 00 00 01"
[[team]]
id = "kitchen"
members = ["nino", "giorgi"]
"#;

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Scenario {
    /// What it shows, in a sentence.
    about: String,
    /// One of `config/examples`.
    example: Option<String>,
    #[serde(default)]
    rules: String,
    people: Option<String>,
    zone: Option<String>,
    date: String,
    events: Vec<String>,
    messages: Vec<String>,
    /// Sentences that `bellwire why` must know.
    #[serde(default)]
    reasons: Vec<String>,
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

impl Scenario {
    fn config(&self) -> Config {
        let text = match &self.example {
            Some(name) => {
                std::fs::read_to_string(root().join("config/examples").join(name).with_extension("toml"))
                    .expect("the example")
            }
            None => {
                let zone = self.zone.as_deref().unwrap_or("Asia/Tbilisi");
                let people = self.people.as_deref().unwrap_or(PEOPLE);
                format!(
                    "[site]\nname = \"Corner Bakery\"\ntime_zone = \"{zone}\"\n{SITE}{people}{}",
                    self.rules
                )
            }
        };
        let wishes = LoadOptions { without_secrets: true, ..LoadOptions::default() };
        read("scenario.toml", &text, &wishes).unwrap_or_else(|problems| panic!("{}:\n{problems}", self.about))
    }

    fn time(&self, text: &str, zone: &TimeZone) -> Timestamp {
        let text = text.trim();
        let whole = if text.contains('-') { text.to_owned() } else { format!("{} {text}", self.date) };
        Timestamp::parse(&whole, zone).unwrap_or_else(|| panic!("{}: `{text}` is not a time", self.about))
    }

    fn timed(&self, line: &str, config: &Config) -> Timed {
        let parts: Vec<&str> = line.split(" | ").map(str::trim).collect();
        let [at, what, rest @ ..] = parts.as_slice() else { panic!("{}: `{line}` has no topic", self.about) };
        let zone = &config.site.time_zone;
        let at = self.time(at, zone);
        let part = |index: usize| rest.get(index).copied().unwrap_or_default();
        let what = match what.strip_prefix('@') {
            Some("clock") => RecordedInput::Clock(self.time(part(0), zone)),
            Some(verb) => RecordedInput::of_words(verb, part(0), part(1), &config.people, at).expect(line),
            None => {
                let topic = what.strip_prefix("retained ").unwrap_or(what);
                RecordedInput::Publish {
                    topic: topic.to_owned(),
                    payload: part(0).to_owned().into(),
                    retained: topic.len() < what.len(),
                    id: rest.get(1).and_then(|id| Name::new("scenario", *id)),
                    content_type: None,
                }
            }
        };
        Timed { at, what }
    }

    fn line(&self, sent: &ReplayedMessage, zone: &TimeZone) -> String {
        let at = sent.at.for_tables(zone);
        let at = at.strip_prefix(&format!("{} ", self.date)).unwrap_or(&at).to_owned();
        let buttons: String = sent.buttons.iter().map(|title| format!(" [{title}]")).collect();
        let words: Vec<&str> = sent.text.lines().collect();
        format!("{at} | {} | {}{buttons}", sent.to, words.join(" / "))
    }

    fn judge(config: &Config) -> RuleSet {
        config.rule_set().expect("compiles")
    }

    /// What is wrong, if anything is.
    fn play(&self, name: &str) -> Option<String> {
        let config = self.config();
        let judge = Self::judge(&config);
        let mut replay = Replay::new(&judge, judge.watch());
        for line in &self.events {
            replay.step(self.timed(line, &config));
        }
        let zone = &config.site.time_zone;
        let found: Vec<String> = replay.sent.iter().map(|sent| self.line(sent, zone)).collect();
        let known =
            |reason: &&String| replay.records.iter().any(|record| record.what.contains(reason.as_str()));
        let missing: Vec<&String> = self.reasons.iter().filter(|reason| !known(reason)).collect();
        if found == self.messages && missing.is_empty() {
            return None;
        }
        let found: Vec<String> = found.iter().map(|line| format!("  {line:?},\n")).collect();
        let records: Vec<String> = replay
            .records
            .iter()
            .map(|record| format!("  # {} {}: {}", record.at.for_tables(zone), record.alert, record.what))
            .collect();
        let records = records.join("\n");
        Some(format!(
            "=== {name}\nmissing reasons: {missing:?}\nmessages = [\n{}]\n{records}",
            found.concat()
        ))
    }
}

fn scenarios() -> Vec<(String, Scenario)> {
    let folder = root().join("tests/fixtures/scenarios");
    let mut found: Vec<(String, Scenario)> = std::fs::read_dir(folder)
        .expect("the folder")
        .map(|entry| {
            let path = entry.expect("an entry").path();
            let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
            let text = std::fs::read_to_string(&path).expect("readable");
            let scenario =
                toml::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            (name, scenario)
        })
        .collect();
    found.sort_by(|a, b| a.0.cmp(&b.0));
    found
}

#[test]
fn every_scenario_sends_what_it_says() {
    let scenarios = scenarios();
    let only = std::env::var("SCENARIO").ok(); // one alone, while it is being written
    let chosen = scenarios.iter().filter(|(name, _)| only.as_ref().is_none_or(|only| name.contains(only)));
    let wrong: Vec<String> = chosen.filter_map(|(name, scenario)| scenario.play(name)).collect();
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n\n"));
    assert!(scenarios.len() >= 40, "{} scenarios", scenarios.len());
}

#[test]
fn the_four_examples_are_among_them() {
    let scenarios = scenarios();
    for name in ["cold-room", "pos-terminal", "pump-station", "small-hotel"] {
        let plays = |scenario: &Scenario| scenario.example.as_deref() == Some(name);
        assert!(scenarios.iter().any(|(_, scenario)| plays(scenario)), "{name}");
    }
}
