//! The shape of the code, read from its `use` lines: data goes one way, and edges do not know each other.

#![expect(clippy::expect_used, reason = "a test that cannot read the source stops")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

const CORE: [&str; 9] =
    ["event", "rule", "chart", "alert", "outbox", "reply", "command", "contact", "device"];
const GROUND: [&str; 7] = ["ids", "time", "random", "hex", "packed", "words", "started_by"];
const EDGES: [&str; 5] = ["store", "mqtt", "whatsapp", "http", "serial"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Every file of the gateway with the module that it belongs to, and its text before its tests.
fn files() -> Vec<(String, PathBuf, String)> {
    files_of("gateway")
}

fn files_of(package: &str) -> Vec<(String, PathBuf, String)> {
    let source = root().join(package).join("src");
    let (mut found, mut folders) = (Vec::new(), vec![source.clone()]);
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let inside = path.strip_prefix(&source).expect("inside").to_owned();
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
        let is_test = path.iter().any(|part| part.to_string_lossy().starts_with("tests"));
        let mut only = |library: &str, places: &[&str]| {
            if text.contains(library) && !places.contains(&module.as_str()) {
                wrong.push(format!("{}: {library} belongs to {}", path.display(), places.join(", ")));
            }
        };
        if !is_test {
            only("rusqlite::", &["store"]); // others name `store::Result`
        }
        only("rumqttc", &["mqtt", "demo", "log"]);
        only("serial2", &["serial"]);
        only("jiff::Timestamp", &["time"]);
        only("fastrand", &["random"]);
        // A program of its own begins in `cli` or `doctor`, and the daemon in `app`: what they call is handed its clock and its chance.
        // The store's thread looks at the clock around a commit, and when the disk is full. `HubLine` is a port with a clock, which
        // the client has from the machine; a simulation has its own.
        let edges = ["cli", "doctor", "app", "machine", "time", "store"];
        if !edges.contains(&module.as_str()) && !path.ends_with("whatsapp/hub.rs") && !is_test {
            only("SystemClock", &[]);
        }
        if ["task", "admin", "mqtt"].contains(&module.as_str()) && !is_test {
            only("Rng::from_machine", &[]);
        }
        if module == "admin" {
            only("crate::mqtt", &[]);
        }
        if CORE.contains(&module.as_str()) {
            only("tokio::", &[]);
            only("std::fs", &[]);
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// What people read is decided where it can be tried without a database; `task` carries it out.
#[test]
fn words_for_people_are_composed_outside_the_tasks() {
    let mut wrong = Vec::new();
    for (module, path, text) in files() {
        if module != "task" || path.iter().any(|part| part.to_string_lossy().starts_with("tests")) {
            continue;
        }
        let composes = [".say(|", ".plain(|", "Sentences", "Content::text"];
        wrong.extend(composes.iter().filter(|word| text.contains(**word)).map(|word| {
            format!(
                "{}: `{word}`; compose it in reply/ or command/ and return it as an effect",
                path.display()
            )
        }));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn files_stay_small_and_have_specific_names() {
    let vague =
        ["util", "utils", "helper", "helpers", "common", "misc", "manager", "service", "handler", "types"];
    let mut wrong = Vec::new();
    for (_, path, text) in [files(), files_of("simulator")].concat() {
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

/// Every Rust file below a folder, but what was built or downloaded.
fn rust_files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() && !path.ends_with("target") && !path.ends_with("node_modules") {
            rust_files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// The functions with a test attribute, in modules, programs and `proptest!`.
fn tests_of(text: &str) -> Vec<&str> {
    let (mut found, mut is_test) = (Vec::new(), false);
    for line in text.lines().map(str::trim_start) {
        if line.starts_with("#[test]") || line.starts_with("#[tokio::test") {
            is_test = true;
        } else if let Some(rest) = line.strip_prefix("async ").unwrap_or(line).strip_prefix("fn ") {
            found.extend(rest.split('(').next().filter(|_| is_test));
            is_test = false;
        }
    }
    found
}

#[test]
fn test_names_have_ten_words_at_most() {
    let mut files = Vec::new();
    for folder in ["firmware-bridge", "fuzz", "gateway", "hub", "simulator", "tests", "tools"] {
        rust_files(&root().join(folder), &mut files);
    }
    let (mut wrong, mut seen) = (Vec::new(), 0);
    for path in files {
        let text = std::fs::read_to_string(&path).expect("readable");
        for name in tests_of(&text) {
            seen += 1;
            if name.split('_').count() > 10 {
                wrong.push(format!("{}: say in ten words what `{name}` shows", path.display()));
            }
        }
    }
    assert!(seen > 1_000, "the rule has lost sight of the tests: {seen}");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn each_dependency_says_what_it_is_for() {
    for manifest in ["gateway/Cargo.toml", "simulator/Cargo.toml", "firmware-bridge/Cargo.toml"] {
        let text = std::fs::read_to_string(root().join(manifest)).expect("a manifest");
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

/// The paths that a text names from `crate` or `super`, each as segments; a tree of a `use` is unfolded.
fn paths(text: &str) -> Vec<Vec<String>> {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let mut found = Vec::new();
    for root in ["crate::", "super::"] {
        for (at, _) in text.match_indices(root) {
            if !text[..at].ends_with(|c: char| is_word(c) || c == ':') {
                unfold(&text[at..], &mut Vec::new(), &mut found);
            }
        }
    }
    found
}

/// One path at the beginning of `text`; the rest of it.
fn unfold<'a>(mut text: &'a str, before: &mut Vec<String>, found: &mut Vec<Vec<String>>) -> &'a str {
    let length = before.len();
    loop {
        text = text.trim_start();
        if let Some(mut rest) = text.strip_prefix('{') {
            loop {
                rest = unfold(rest, before, found).trim_start();
                match rest.strip_prefix(',') {
                    Some(more) => rest = more,
                    None => break,
                }
            }
            before.truncate(length);
            return rest.strip_prefix('}').unwrap_or(rest);
        }
        let end = text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(text.len());
        before.push(text[..end].to_owned());
        text = &text[end..];
        match text.strip_prefix("::") {
            Some(rest) => text = rest,
            None => break,
        }
    }
    found.push(before.clone());
    before.truncate(length);
    text
}

/// What devices run has neither the simulated Cloud API nor the demo, and nothing but the demo names the simulator.
#[test]
fn only_the_demo_needs_the_simulator() {
    let manifest = std::fs::read_to_string(root().join("gateway/Cargo.toml")).expect("a manifest");
    let optional =
        |line: &str| line.starts_with("cloud-api-simulator = {") && line.contains("optional = true");
    assert!(manifest.lines().any(optional), "cloud-api-simulator is no optional dependency");
    let features: Vec<&str> =
        manifest.lines().filter(|line| line.contains("dep:cloud-api-simulator")).collect();
    assert!(matches!(features[..], [feature] if feature.starts_with("demo = ")), "{features:?}");
    let wrong: Vec<PathBuf> = files()
        .into_iter()
        .filter(|(module, path, text)| {
            let demo =
                module == "demo" || path.ends_with("cli/demo.rs") || path.ends_with("cli/simulator.rs");
            !demo && text.contains("cloud_api_simulator")
        })
        .map(|(_, path, _)| path)
        .collect();
    assert!(wrong.is_empty(), "the gateway must not know the simulator: {wrong:?}");
}

/// What a file of a package names of others: `alert/engine/mod.rs` is `["alert", "engine"]`.
fn imports(package: &str) -> BTreeMap<Vec<String>, BTreeSet<Vec<String>>> {
    let module = |path: &Path| -> Vec<String> {
        let path = path.with_extension("");
        let all: Vec<String> = path.iter().map(|part| part.to_string_lossy().into_owned()).collect();
        all.strip_suffix(&["mod".to_owned()][..]).map_or(all.clone(), <[String]>::to_vec)
    };
    let texts: Vec<(Vec<String>, String)> = files_of(package)
        .into_iter()
        .filter(|(_, path, _)| !path.iter().any(|part| part.to_string_lossy().starts_with("tests")))
        .map(|(_, path, text)| {
            let code = text.lines().map(|line| line.split("//").next().unwrap_or_default());
            (module(&path), code.collect::<Vec<_>>().join("\n"))
        })
        .collect();
    let modules: BTreeSet<Vec<String>> = texts.iter().map(|(of, _)| of.clone()).collect();
    let resolve = |of: &Vec<String>, path: &[String]| {
        let ups = path.iter().take_while(|part| *part == "super").count();
        let mut whole = match ups {
            0 => Vec::new(),
            _ => of[..of.len().saturating_sub(ups)].to_vec(),
        };
        whole.extend(path[ups.max(1)..].iter().cloned());
        (1..=whole.len()).rev().map(|length| whole[..length].to_vec()).find(|known| modules.contains(known))
    };
    let named = |of: &Vec<String>, text: &str| {
        paths(text).iter().filter_map(|path| resolve(of, path)).filter(|other| other != of).collect()
    };
    texts.iter().map(|(of, text)| (of.clone(), named(of, text))).collect()
}

/// Whoever opens one file of a circle has to open them all: two that know each other are one thought in two files, more are a
/// tangle.
#[test]
fn no_import_circle_has_more_than_two_files() {
    let tangles: BTreeSet<Vec<String>> =
        [("gateway", 200, 800), ("simulator", 35, 100)].into_iter().flat_map(tangles).collect();
    assert!(tangles.is_empty(), "files that import each other in a circle: {tangles:#?}");
}

/// The circles of a package, which has at least so many files and imports: else the test has lost sight of them.
fn tangles((package, files, named): (&str, usize, usize)) -> BTreeSet<Vec<String>> {
    let imports = imports(package);
    let reached = |from: &Vec<String>| {
        let (mut seen, mut open) = (BTreeSet::new(), vec![from.clone()]);
        while let Some(next) = open.pop() {
            for other in imports.get(&next).into_iter().flatten() {
                if seen.insert(other.clone()) {
                    open.push(other.clone());
                }
            }
        }
        seen
    };
    let from: BTreeMap<_, _> = imports.keys().map(|of| (of.clone(), reached(of))).collect();
    assert!(from.len() > files && imports.values().map(BTreeSet::len).sum::<usize>() > named, "{package}");
    let circle = |of: &Vec<String>| -> Vec<String> {
        let back = from[of].iter().filter(|other| from.get(*other).is_some_and(|far| far.contains(of)));
        back.map(|part| part.join("/")).collect()
    };
    imports.keys().map(circle).filter(|circle| circle.len() > 2).collect()
}

#[test]
fn app_rs_builds_spawns_and_drains_and_no_more() {
    let lines = std::fs::read_to_string(root().join("gateway/src/app.rs")).expect("app.rs").lines().count();
    assert!(
        lines <= 250,
        "app.rs has {lines} lines: what does it do besides building, spawning and draining?"
    );
}
