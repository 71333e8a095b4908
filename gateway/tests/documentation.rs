//! The book in docs/: every key of the configuration is in it, its examples are good, its commands exist, its links lead
//! somewhere.

#![expect(clippy::expect_used, reason = "a test that cannot read the source stops")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use bellwire::config::{LoadOptions, read};
use clap::{CommandFactory, Parser};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn text(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).expect(path)
}

/// Every page, with its path below docs/.
fn pages() -> Vec<(PathBuf, String)> {
    let docs = root().join("docs");
    let (mut found, mut folders) = (Vec::new(), vec![docs.clone()]);
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "md") {
                let page = std::fs::read_to_string(&path).expect("readable");
                found.push((path.strip_prefix(&docs).expect("inside").to_owned(), page));
            }
        }
    }
    found.sort();
    found
}

/// The keys that the code asks a section for: `section.text("key")`, `file("key")`.
fn keys() -> Vec<String> {
    let readers = [
        "text",
        "required",
        "parsed",
        "required_parsed",
        "word",
        "truth",
        "integer",
        "texts",
        "named_texts",
        "translated",
        "one_or_more",
        "file",
        "time",       // in config/alert_lifecycle.rs: a duration
        "expression", // in config/alert_lifecycle.rs: Jinja
    ];
    let mut keys = Vec::new();
    let folder = std::fs::read_dir(root().join("gateway/src/config")).expect("a folder");
    for path in folder.map(|entry| entry.expect("an entry").path()) {
        if !path.is_file() || path.ends_with("tests.rs") {
            continue;
        }
        let source = std::fs::read_to_string(&path).expect("readable");
        // A call may be broken after its bracket.
        let source: String = source.split_whitespace().collect::<Vec<_>>().join(" ").replace("( \"", "(\"");
        for (at, _) in source.match_indices("(\"") {
            let name = source[..at].rsplit(|c: char| !c.is_ascii_alphanumeric() && c != '_').next();
            let key = source[at + 2..].split('"').next().unwrap_or_default();
            if readers.contains(&name.unwrap_or_default()) && !keys.contains(&key.to_owned()) {
                keys.push(key.to_owned());
            }
        }
    }
    keys
}

#[test]
fn every_key_of_the_configuration_is_documented() {
    let (page, keys) =
        (text("docs/configuration.md") + &text("docs/alerts.md") + &text("docs/replies.md"), keys());
    assert!(keys.len() > 60, "the test has lost sight of the keys: {keys:?}");
    let missing: Vec<&String> = keys
        .iter()
        .filter(|key| {
            ![format!("`{key}`"), format!("`{key} = "), format!(" {key} = ")]
                .iter()
                .any(|named| page.contains(named))
        })
        .collect();
    assert!(
        missing.is_empty(),
        "docs/configuration.md, docs/alerts.md and docs/replies.md say nothing of {missing:?}"
    );
}

#[test]
fn complete_examples_are_good() {
    let mut seen = 0;
    for (path, page) in pages() {
        for block in page.split("```toml\n").skip(1).filter_map(|rest| rest.split("```").next()) {
            if block.starts_with("[site]") {
                seen += 1;
                let wishes = LoadOptions { without_secrets: true, ..LoadOptions::default() };
                let problems = read(&path.to_string_lossy(), block, &wishes).err();
                assert!(problems.is_none(), "{}: {}", path.display(), problems.expect("some"));
            } else {
                let parsed: Result<toml::Table, _> = block.parse();
                assert!(parsed.is_ok(), "{}: {parsed:?}", path.display());
            }
        }
    }
    assert!(seen > 0, "no page shows a complete configuration");
}

#[test]
fn every_command_that_is_named_exists() {
    let program = bellwire::cli::Arguments::command();
    let exists =
        |name: &str| name == "help" || program.get_subcommands().any(|command| command.get_name() == name);
    let mut wrong = Vec::new();
    for (path, page) in pages().into_iter().chain([(PathBuf::from("../README.md"), text("README.md"))]) {
        let (mut in_block, mut is_console, mut spans) = (false, false, Vec::new());
        for line in page.lines() {
            if line.trim_start().starts_with("```") {
                in_block = !in_block;
                is_console = line.ends_with("console");
            } else if in_block && is_console && !line.starts_with("$ ") {
                // what the program said
            } else if in_block {
                spans.push(line);
            } else {
                spans.extend(line.split('`').skip(1).step_by(2));
            }
        }
        for span in spans {
            let words: Vec<&str> = span.split_whitespace().collect();
            // `systemctl start bellwire` ends with it, `sudo -u bellwire bellwire check` has it twice.
            let named = words.windows(2).filter(|pair| pair[0] == "bellwire" && pair[1] != "bellwire");
            for command in named.map(|pair| pair[1].trim_end_matches([';', ',', '.'])) {
                if command.starts_with(|c: char| c.is_ascii_lowercase()) && !exists(command) {
                    wrong.push(format!("{}: `bellwire {command}` does not exist ({span})", path.display()));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// What a shell runs of a block: lines that end with \\ go on, prompts and what the program said are left out.
fn commands(page: &str) -> Vec<String> {
    let mut commands = Vec::new();
    for kind in ["sh", "console"] {
        let begun =
            page.split(format!("```{kind}\n").as_str()).skip(1).map(str::to_owned).collect::<Vec<_>>();
        for block in begun.iter().filter_map(|rest| rest.split("```").next()) {
            let lines = block.replace("\\\n", " ");
            let typed =
                lines.lines().map(str::trim_start).filter(|line| kind == "sh" || line.starts_with("$ "));
            commands.extend(typed.map(|line| line.trim_start_matches("$ ").to_owned()));
        }
    }
    commands
}

/// A shell's words: blanks part them, ' keeps them together.
fn words(command: &str) -> Vec<String> {
    let parts = command.split('\'').enumerate();
    parts
        .flat_map(|(index, part)| match index % 2 {
            0 => part.split_whitespace().map(str::to_owned).collect(),
            _ => vec![part.to_owned()],
        })
        .collect()
}

/// The arguments too: an option that does not exist, or takes another value, is found here.
#[test]
fn every_command_line_of_bellwire_is_taken() {
    let (mut wrong, mut seen) = (Vec::new(), 0);
    for (path, page) in pages().into_iter().chain([(PathBuf::from("../README.md"), text("README.md"))]) {
        for command in commands(&page) {
            let words: Vec<_> = words(&command).into_iter().take_while(|word| word != "|").collect();
            let Some(at) =
                words.iter().rposition(|word| word == "bellwire").filter(|at| at + 1 < words.len())
            else {
                continue; // another program
            };
            if at > 0 && words[0] != "sudo" {
                continue; // systemctl restart bellwire
            }
            seen += 1;
            if let Err(error) = bellwire::cli::Arguments::try_parse_from(&words[at..]) {
                wrong.push(format!("{}: {command}\n{error}", path.display()));
            }
        }
    }
    assert!(seen > 10, "the test has lost sight of the commands: {seen}");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The README begins with `cargo run`. With several programs in the workspace cargo would ask which one, and build none.
#[test]
fn cargo_run_starts_bellwire_and_named_packages_exist() {
    let metadata = std::process::Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--offline", "--format-version", "1"])
        .current_dir(root())
        .output()
        .expect("cargo");
    let workspace: serde_json::Value = serde_json::from_slice(&metadata.stdout).expect("JSON");
    let packages = workspace["packages"].as_array().expect("packages");
    let runs: Vec<&str> = packages.iter().filter_map(|package| package["default_run"].as_str()).collect();
    assert_eq!(runs, ["bellwire"], "cargo run without -p");
    let (mut wrong, mut seen) = (Vec::new(), 0);
    for (path, page) in pages().into_iter().chain([(PathBuf::from("../README.md"), text("README.md"))]) {
        let spans = commands(&page).into_iter().chain(page.split('`').skip(1).step_by(2).map(str::to_owned));
        for command in spans.filter(|command| command.starts_with("cargo ")) {
            let words: Vec<&str> = command.split_whitespace().collect();
            seen += 1;
            for pair in words.windows(2).take_while(|pair| pair[0] != "--").filter(|pair| pair[0] == "-p") {
                if !packages.iter().any(|package| package["name"] == pair[1]) {
                    wrong.push(format!("{}: {command}", path.display()));
                }
            }
        }
    }
    assert!(seen > 5, "the test has lost sight of the commands: {seen}");
    assert!(wrong.is_empty(), "no such package: {}", wrong.join("\n"));
}

#[test]
fn every_query_can_be_asked() {
    let folder = tempfile::tempdir().expect("a folder");
    let store =
        bellwire::store::Store::open(folder.path(), &mut bellwire::random::Rng::seeded(1)).expect("opens");
    drop(store);
    let database = rusqlite::Connection::open(folder.path().join("bellwire.db")).expect("a database");
    let mut asked = 0;
    for (path, page) in pages() {
        for query in page.split("```sql\n").skip(1).filter_map(|rest| rest.split("```").next()) {
            let answered = database.prepare(query).and_then(|mut query| query.query([]).map(drop));
            assert!(answered.is_ok(), "{}: {answered:?}\n{query}", path.display());
            asked += 1;
        }
    }
    assert!(asked > 0, "no page has a query");
}

/// docs/database.md names each table, and nothing that is none.
#[test]
fn every_table_of_the_database_is_documented() {
    let folder = tempfile::tempdir().expect("a folder");
    let store =
        bellwire::store::Store::open(folder.path(), &mut bellwire::random::Rng::seeded(1)).expect("opens");
    drop(store);
    let database = rusqlite::Connection::open(folder.path().join("bellwire.db")).expect("a database");
    let sql = "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite%'";
    let mut tables = database.prepare(sql).expect("a question");
    let tables: BTreeSet<String> =
        tables.query_map([], |row| row.get(0)).expect("rows").collect::<Result<_, _>>().expect("names");
    let page = text("docs/database.md");
    let rows = page.lines().filter(|line| line.starts_with("| ")).filter_map(|line| line.split(" | ").nth(1));
    // A table's name stands before its explanation in brackets or behind a comma.
    let named = rows.flat_map(|row| {
        let mut depth = 0_i32;
        let outside: String = row
            .chars()
            .filter(|c| {
                depth += i32::from(*c == '(') - i32::from(*c == ')');
                depth == 0
            })
            .collect();
        outside.split('`').skip(1).step_by(2).map(str::to_owned).collect::<Vec<_>>()
    });
    let named: BTreeSet<String> = named.filter(|name| !name.contains(' ')).collect();
    assert_eq!(named, tables, "docs/database.md, and what the migrations make");
}

/// The anchors of a page's headings, as GitHub and mdBook make them.
fn anchors(page: &str) -> Vec<String> {
    let mut in_block = false;
    let headings = page.lines().filter(|line| {
        in_block ^= line.starts_with("```");
        !in_block && line.starts_with('#')
    });
    headings
        .map(|heading| {
            let words = heading.trim_start_matches('#').trim().to_lowercase();
            let kept = words.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
            kept.map(|c| if c == ' ' { '-' } else { c }).collect()
        })
        .collect()
}

#[test]
fn every_page_is_in_the_summary_and_links_resolve() {
    let summary = text("docs/SUMMARY.md");
    let (mut wrong, mut seen) = (Vec::new(), 0);
    let beside = ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md", "firmware-bridge/README.md"];
    let beside = beside.map(|path| (PathBuf::from("..").join(path), text(path)));
    for (path, page) in pages().into_iter().chain(beside) {
        let name = path.to_string_lossy().into_owned();
        if name != "SUMMARY.md" && !path.starts_with("..") && !summary.contains(&format!("({name})")) {
            wrong.push(format!("{name} is not in SUMMARY.md"));
        }
        let folder = root().join("docs").join(path.parent().expect("a folder"));
        for link in page.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            if link.contains("://") {
                continue;
            }
            let (target, anchor) = link.split_once('#').unwrap_or((link, ""));
            if !target.is_empty() && !folder.join(target).exists() {
                wrong.push(format!("{name}: {link} leads nowhere"));
                continue;
            }
            if !anchor.is_empty() {
                seen += 1;
                let there = match target {
                    "" => page.clone(),
                    other => std::fs::read_to_string(folder.join(other)).expect(link),
                };
                if !anchors(&there).iter().any(|known| known == anchor) {
                    wrong.push(format!("{name}: {link}: no such heading"));
                }
            }
        }
    }
    assert!(seen > 5, "the test has lost sight of the anchors: {seen}");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Nobody sees the workflow run before a tag is pushed: what it calls must be there, and be what the book tells.
#[test]
fn the_release_workflow_calls_scripts_and_targets_that_exist() {
    let is_part = |c: char| c.is_ascii_alphanumeric() || "/-_.".contains(c);
    let release = text(".github/workflows/release.yml");
    let both = format!("{release}\n{}", text(".github/workflows/check.yml"));
    let calls: BTreeSet<&str> = both
        .split(|c| !is_part(c))
        .filter(|word| word.starts_with("tests/") || word.starts_with("tools/"))
        .collect();
    for call in &calls {
        assert!(root().join(call).is_file(), "{call} is no script of this repository");
    }
    for call in
        ["tests/run", "tests/reproducible", "tests/image", "tools/image", "tools/addon", "tools/release"]
    {
        assert!(calls.contains(call), "the workflows do not call {call}");
    }
    let book = text("docs/release.md");
    let [built, told] = [&release, &book].map(|text| -> BTreeSet<&str> {
        text.split(|c| !is_part(c)).filter(|word| word.contains("-unknown-linux-")).collect()
    });
    assert_eq!(built, told, "the targets of the workflow and of docs/release.md");
    assert_eq!(built.len(), 5);
}
