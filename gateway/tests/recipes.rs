//! docs/recipes.md: its rules are good, and `bellwire try` says of its events what stands there.

#![expect(clippy::expect_used, clippy::panic, reason = "a test that cannot read the page stops")]

use std::path::Path;
use std::process::Command;

const PAGE: &str = include_str!("../../docs/recipes.md");
const SITE: &str = r#"
[site]
name = "Corner Bakery"
[mqtt]
url = "mqtt://127.0.0.1"
[[connection]]
name = "main"
phone_number_id = "1"
access_token_file = "t"
app_secret_file = "s"
verify_token_file = "v"
[[contact]]
id = "nino"
phone = "+995 555 12 34 56"
[[team]]
id = "kitchen"
members = ["nino"]
"#;

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

/// Of an answer what the page shows: the rule, its words, its buttons. The time is left out.
fn essence(answer: &str) -> Vec<&str> {
    let lines = answer.lines().filter(|line| !line.starts_with("  | 🕑"));
    let elsewhere = |line: &&str| line.contains(": not this topic");
    let shown = |line: &&str| {
        !elsewhere(line) && ["rule ", "  | ", "  [ "].iter().any(|begin| line.starts_with(begin))
    };
    // Why there is none is more than a recipe has to say.
    lines
        .filter(shown)
        .map(
            |line| {
                if line.contains(": no alert") { &line[..line.find(" alert").expect("it") + 6] } else { line }
            },
        )
        .collect()
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
    essence(&answer).into_iter().map(str::to_owned).collect()
}
