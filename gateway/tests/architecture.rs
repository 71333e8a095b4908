//! The shape of the code, read from its `use` lines: data goes one way, and edges do not know each other.

#![expect(clippy::expect_used, reason = "a test that cannot read the source stops")]

use std::path::{Path, PathBuf};

const CORE: [&str; 8] = ["event", "rule", "alert", "outbox", "reply", "command", "contact", "device"];
const GROUND: [&str; 4] = ["ids", "time", "random", "hex"];
const EDGES: [&str; 5] = ["store", "mqtt", "whatsapp", "http", "serial"];

fn source() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

/// Every file with the module that it belongs to, and its text before its tests.
fn files() -> Vec<(String, PathBuf, String)> {
    let (mut found, mut folders) = (Vec::new(), vec![source()]);
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let inside = path.strip_prefix(source()).expect("inside").to_owned();
                let module = inside
                    .iter()
                    .next()
                    .expect("a name")
                    .to_string_lossy()
                    .trim_end_matches(".rs")
                    .to_owned();
                let text = std::fs::read_to_string(&path).expect("readable");
                let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default().to_owned();
                found.push((module, inside, text));
            }
        }
    }
    found.sort();
    found
}

/// The modules of ours that a text names as `crate::x`.
fn named(text: &str) -> Vec<String> {
    text.split("crate::")
        .skip(1)
        .map(|rest| {
            rest.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_' || *c == '#').collect()
        })
        .collect()
}

#[test]
fn data_goes_one_way() {
    fn allowed(module: &str) -> Option<Vec<&str>> {
        if GROUND.contains(&module) {
            Some(Vec::new())
        } else if CORE.contains(&module) {
            Some([&CORE[..], &GROUND[..]].concat())
        } else if module == "config" {
            Some([&CORE[..], &GROUND[..], &["config"]].concat())
        } else if EDGES.contains(&module) {
            Some([&CORE[..], &GROUND[..], &["config", module]].concat())
        } else {
            None // app, task, admin, cli, demo and main put the parts together
        }
    }
    let mut wrong = Vec::new();
    for (module, path, text) in files() {
        let Some(allowed) = allowed(&module) else { continue };
        wrong.extend(named(&text).into_iter().filter(|name| !allowed.contains(&name.as_str())).map(|name| {
            format!("{}: `{module}` must not know `{name}`; hand in what it needs from task/", path.display())
        }));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn each_library_has_one_place() {
    let mut wrong = Vec::new();
    for (module, path, text) in files() {
        let mut only = |library: &str, places: &[&str]| {
            if text.contains(library) && !places.contains(&module.as_str()) {
                wrong.push(format!("{}: {library} belongs to {}", path.display(), places.join(", ")));
            }
        };
        only("rusqlite::", &["store", "task", "admin", "app", "cli"]);
        only("rusqlite::Connection", &["store"]);
        only("rumqttc", &["mqtt", "demo", "log"]);
        only("serial2", &["serial"]);
        only("jiff::Timestamp", &["time"]);
        only("fastrand", &["random"]);
        if CORE.contains(&module.as_str()) {
            only("tokio::", &[]);
            only("std::fs", &[]);
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn files_stay_small_and_are_named_for_what_is_in_them() {
    let vague =
        ["util", "utils", "helper", "helpers", "common", "misc", "manager", "service", "handler", "types"];
    let mut wrong = Vec::new();
    for (_, path, text) in files() {
        let lines = text.lines().count();
        if lines > 400 {
            wrong.push(format!(
                "{}: {lines} lines before its tests; do two things live in one room?",
                path.display()
            ));
        }
        let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
        if vague.contains(&name.as_str()) {
            wrong.push(format!("{}: name it for what is in it", path.display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn each_dependency_says_what_it_is_for() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    for manifest in ["gateway/Cargo.toml", "firmware-bridge/Cargo.toml"] {
        let text = std::fs::read_to_string(root.join(manifest)).expect("a manifest");
        let mut inside = false;
        for line in text.lines() {
            if line.starts_with('[') {
                inside = line.contains("dependencies");
            } else if inside && line.contains('=') {
                assert!(line.contains('#'), "{manifest}: `{line}` says not what it is for");
            }
        }
    }
}
