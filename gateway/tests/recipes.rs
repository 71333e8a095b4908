//! docs/recipes.md: its rules are good, and `bellwire try` says of its events what stands there. Neither they nor the examples nor
//! the first rule of `bellwire setup` flood anybody.

#![expect(clippy::expect_used, clippy::panic, reason = "a test that cannot read the page stops")]

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use bellwire::alert::replay::{RecordedInput, Replay, Timed};
use bellwire::config::{Config, LoadOptions, read};
use bellwire::time::Timestamp;

const PAGE: &str = include_str!("../../docs/recipes.md");
const SITE: &str = concat!(
    r#"
[site]
name = "Corner Bakery"
"#,
    include_str!("../../tests/fixtures/connected.toml"),
    r#"
[[contact]]
id = "nino"
phone = "+995 555 12 34 56"
[[team]]
id = "kitchen"
members = ["nino"]
"#
);

/// The blocks of a kind.
fn blocks<'a>(section: &'a str, kind: &str) -> Vec<&'a str> {
    let opened = format!("```{kind}\n");
    let begun = section.split(opened.as_str()).skip(1);
    begun.map(|rest| rest.split("```").next().expect("an end")).collect()
}

/// A shell's words, as far as the page needs them: blanks, and text between '.
fn words(command: &str) -> Vec<String> {
    let parts = command.split('\'').enumerate();
    parts
        .flat_map(|(index, part)| match index % 2 {
            0 => part.split_whitespace().map(str::to_owned).collect(),
            _ => vec![part.to_owned()],
        })
        .collect()
}

/// Of an answer what the page shows: what is told now, and of each rule whether it fired. Why one did not is more than a
/// recipe has to say.
fn essence(answer: &str) -> Vec<String> {
    let mut told = true;
    let mut shown = Vec::new();
    for line in answer.lines() {
        told = (told || line.starts_with("rule ")) && !line.starts_with("then, ");
        if let Some(rule) = line.strip_prefix("rule ").filter(|line| !line.contains(": not this topic")) {
            let (name, what) = rule.split_once(": ").expect("what it did");
            let what = if what.starts_with("fired") { "fired" } else { "no alert" };
            shown.push(format!("rule {name}: {what}"));
        } else if told
            && (line.starts_with("  | ") && !line.starts_with("  | 🕑") || line.starts_with("  [ "))
        {
            shown.push(line.to_owned());
        }
    }
    shown
}

#[test]
fn every_recipe_does_what_the_page_says() {
    let mut tried = 0;
    for section in PAGE.split("\n## ").skip(1) {
        let name = section.lines().next().expect("a title");
        let folder = tempfile::tempdir().expect("a folder");
        let config = folder.path().join("bellwire.toml");
        std::fs::write(&config, format!("{SITE}{}", blocks(section, "toml").concat())).expect("written");
        for block in blocks(section, "console") {
            for shown in block.split("$ bellwire ").skip(1) {
                let (command, expected) = shown.split_once('\n').expect("an answer");
                assert_eq!(try_it(command, &config), essence(expected), "{name}: bellwire {command}");
                tried += 1;
            }
        }
    }
    assert!(tried >= 8, "only {tried} events are tried");
}

/// A reading a minute for six hours: the first, two dozen reminders and steps at most, and no more.
const TOLD_MAX: usize = 25;

#[test]
fn what_repeats_itself_is_told_a_few_times_at_most() {
    for section in PAGE.split("\n## ").skip(1) {
        let config = config(section, &format!("{SITE}{}", blocks(section, "toml").concat()));
        for block in blocks(section, "console") {
            for shown in block.split("$ bellwire ").skip(1) {
                let (command, answer) = shown.split_once('\n').expect("an answer");
                let words = words(command);
                let after = |name: &str| {
                    let at = words.iter().position(|word| word == name).expect(name);
                    words[at + 1].as_str()
                };
                let told = flood(&config, after("--topic"), after("--payload"));
                assert_eq!(told > 0, answer.contains(": fired"), "{command}: told {told} times");
            }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for (file, topic, payload) in [
        ("src/setup/first.toml", "bellwire/test", "hello"),
        ("../config/bellwire.toml", "site/bar/freezer/2/temperature", r#"{"celsius": -12}"#),
        ("../config/examples/cold-room.toml", "cold/bar/temperature", r#"{"celsius": 12}"#),
        ("../config/examples/cold-room.toml", "cold/bar/door", "open"),
        ("../config/examples/cold-room.toml", "cold/power", "off"),
        ("../config/examples/pos-terminal.toml", "pos/till/event", r#"{"type": "paper-low"}"#),
        ("../config/examples/pos-terminal.toml", "pos/till/event", r#"{"type": "wrong-pin"}"#),
        ("../config/examples/pump-station.toml", "pump/1/state", r#"{"state": "tripped", "level_cm": 240}"#),
        ("../config/examples/pump-station.toml", "pump/1/status", "offline"),
        ("../config/examples/small-hotel.toml", "hotel/room/3/call", "service"),
        ("../config/examples/small-hotel.toml", "hotel/leak/cellar", "wet"),
    ] {
        let text = std::fs::read_to_string(root.join(file)).expect("readable");
        assert!(flood(&config(file, &text), topic, payload) > 0, "{file}: {payload} on {topic}");
    }
}

/// Of which each rule has a life.
fn config(name: &str, text: &str) -> Config {
    let wishes = LoadOptions { without_secrets: true, ..LoadOptions::default() };
    let config = read("recipe.toml", text, &wishes).unwrap_or_else(|problems| panic!("{name}:\n{problems}"));
    for rule in &config.rules {
        assert!(rule.life.is_some(), "{name}: each event of {} would be a message", rule.name);
    }
    config
}

/// How often the person who hears most is told.
fn flood(config: &Config, topic: &str, payload: &str) -> usize {
    let zone = config.site.time_zone.clone();
    let judge = config.rule_set().expect("compiles");
    let mut replay = Replay::new(&judge, judge.watch());
    let begin = Timestamp::parse("2026-03-11 10:00:00", &zone).expect("a time");
    for minute in 0..360 {
        let what = RecordedInput::Publish {
            topic: topic.to_owned(),
            payload: payload.to_owned().into(),
            retained: false,
            id: None,
            content_type: None,
        };
        replay.step(Timed { at: begin + Duration::from_secs(60 * minute), what });
    }
    let told = |to: &str| replay.sent.iter().filter(|sent| sent.to == to).count();
    let most = replay.sent.iter().map(|sent| told(&sent.to)).max().unwrap_or(0);
    assert!(most <= TOLD_MAX, "{payload} on {topic} is told {most} times");
    most
}

fn try_it(command: &str, config: &Path) -> Vec<String> {
    let output = Command::new(env!("CARGO_BIN_EXE_bellwire"))
        .args(words(command))
        .arg("--config")
        .arg(config)
        .output()
        .expect("bellwire runs");
    if !output.status.success() {
        panic!("bellwire {command}: {}", String::from_utf8_lossy(&output.stderr));
    }
    let answer = String::from_utf8(output.stdout).expect("text");
    essence(&answer)
}
