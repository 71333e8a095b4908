//! A backup while events flow, on another machine: everything is there, nothing is lost, nobody is told twice.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use bellwire_tests::{Broker, Gateway, Simulator, Site, bellwire, publish, publish_lines, wait_for};

use crate::web;

const CONTACTS: usize = 20;

/// One rule for each contact, so that each event has one recipient.
fn rules() -> String {
    let devices = "[[command]]\nwords = \"open gate\"\ntopic = \"site/gate/set\"\npayload = \"OPEN\"\n";
    let people = (0..CONTACTS).map(|n| {
        format!(
            "[[contact]]\nid = \"c{n}\"\nphone = \"+1555010{n:04}\"\n[[rule]]\nname = \"r{n}\"\ntopic = \"till/{n}\"\n\
             message = \"event {{{{ payload.n }}}} for {n}\"\nnotify = [\"c{n}\"]\n"
        )
    });
    people.chain([devices.to_owned()]).collect()
}

/// A passphrase for root's eyes alone, in the site's folder.
fn passphrase(site: &Site, words: &str) -> String {
    let path = site.path().join("passphrase");
    std::fs::write(&path, words).expect("written");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).expect("set");
    path.to_string_lossy().into_owned()
}

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

fn run(words: &[&str]) -> (Option<i32>, String) {
    let output = bellwire(words);
    let said = [&output.stdout[..], &output.stderr].concat();
    (output.status.code(), String::from_utf8_lossy(&said).into_owned())
}

fn backup(site: &Site, to: &Path, more: &[&str]) -> (Option<i32>, String) {
    let (config, words) = (text(&site.config()), passphrase(site, "four words of mine"));
    run(&[&["backup", "--config", &config, "--passphrase-file", &words, &text(to)], more].concat())
}

/// Another machine: the same ports, another folder, with nothing in it.
fn machine(site: &Site) -> Site {
    let mut other = Site::new(1, "");
    (other.http_port, other.api_port) = (site.http_port, site.api_port);
    for name in ["bellwire.toml", "access-token", "app-secret", "verify-token"] {
        std::fs::remove_file(other.path().join(name)).expect("removed");
    }
    other
}

fn restore(site: &Site, from: &Path, more: &[&str]) -> (Option<i32>, String) {
    let (config, state) = (text(&site.config()), text(&site.path().join("state")));
    let words = passphrase(site, "four words of mine");
    let place = ["restore", "--config", &config, "--state", &state, "--passphrase-file", &words, &text(from)];
    run(&[&place[..], more].concat())
}

/// The restored configuration names the folder of the first machine: it is this one's now.
fn settle(other: &Site, site: &Site) {
    let config = std::fs::read_to_string(other.config()).expect("restored");
    std::fs::write(other.config(), config.replace(&text(site.path()), &text(other.path()))).expect("written");
}

/// Every row of every table; what makes it another copy apart.
fn rows(site: &Site) -> BTreeMap<String, Vec<String>> {
    let database = site.database();
    let names = "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT IN ('copy', 'meta', 'sqlite_sequence') \
                 UNION SELECT 'meta WHERE key NOT IN (''tag'', ''client_tag'', ''stopped'')'";
    let mut names = database.prepare(names).expect("a question");
    let names: Vec<String> =
        names.query_map([], |row| row.get(0)).expect("names").collect::<Result<_, _>>().expect("read");
    let of = |name: &String| {
        let mut all = database.prepare(&format!("SELECT * FROM {name}")).expect("a question");
        let width = all.column_count();
        let line = |row: &rusqlite::Row| -> rusqlite::Result<String> {
            (0..width).map(|at| Ok(format!("{:?} ", row.get::<_, rusqlite::types::Value>(at)?))).collect()
        };
        let mut lines: Vec<String> =
            all.query_map([], line).expect("rows").collect::<Result<_, _>>().expect("read");
        lines.sort();
        (name.clone(), lines)
    };
    names.iter().map(of).collect()
}

fn lines(contact: usize, from: usize, to: usize) -> Vec<String> {
    (from..to).map(|n| format!("{{\"n\": {}}}", contact * 1_000 + n)).collect()
}

/// How often each event was told: a digest has several in it.
fn told(site: &Site) -> BTreeMap<usize, usize> {
    let mut told = BTreeMap::new();
    for message in site.sent() {
        let text = message["text"].as_str().unwrap_or_default().to_owned();
        for words in text.split("event ").skip(1) {
            if let Some(number) = words.split(" for ").next().and_then(|number| number.parse().ok()) {
                *told.entry(number).or_default() += 1;
            }
        }
    }
    told
}

#[test]
fn a_move_under_load_loses_nothing_and_tells_nobody_twice() {
    let broker = Broker::start();
    let site = Site::new(broker.port, &rules());
    let _simulator = Simulator::start(&site);
    let gateway = Gateway::start(&site);
    let port = broker.port;
    let flow = std::thread::spawn(move || {
        for round in 0..6 {
            (0..CONTACTS)
                .for_each(|n| publish_lines(port, &format!("till/{n}"), &lines(n, round * 3, round * 3 + 3)));
            std::thread::sleep(Duration::from_millis(300));
        }
    });
    wait_for(20, "the first messages", || (site.sent().len() > 5).then_some(()));
    let (other, file) = (machine(&site), site.path().join("bellwire.backup"));
    let (code, said) = backup(&site, &file, &["--move"]);
    assert_eq!(code, Some(0), "{said}\n{}", site.log());
    assert_eq!(gateway.wait_end(15), Some(78), "the daemon has ended by itself: {}", site.log());
    let (code, said) = run(&["run", "--config", &text(&site.config())]);
    assert!(code == Some(78) && said.contains("was moved to another machine"), "{code:?} {said}");

    let (code, said) = restore(&other, &file, &[]);
    assert!(code == Some(0) && said.contains("restore this backup once"), "{code:?} {said}");
    assert_eq!(rows(&site), rows(&other), "everything that was promised is there");
    for name in ["bellwire.toml", "access-token", "app-secret", "verify-token"] {
        let of = |site: &Site| std::fs::read(site.path().join(name)).expect("a file");
        assert_eq!(of(&site), of(&other), "{name}");
        let mode = other.path().join(name).metadata().expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o640, "{name}");
    }
    let mode = other.path().join("state/bellwire.db").metadata().expect("there").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert!(!other.path().join("state/restore.part").exists());
    settle(&other, &site);
    let moved = Gateway::start(&other);
    flow.join().expect("all events are published");
    let events = CONTACTS * 18;
    wait_for(60, "every event", || (told(&other).len() == events).then_some(()));
    let open = "SELECT count(*) FROM message WHERE state IN ('queued', 'sending', 'unknown', 'held')";
    wait_for(60, "an empty queue", || (other.count(open) == 0).then_some(()));
    let twice: Vec<_> = told(&other).into_iter().filter(|(_, count)| *count > 1).collect();
    assert!(twice.is_empty(), "{twice:?}");
    assert_eq!(run(&["audit", "verify", "--config", &text(&other.config())]).0, Some(0));
    assert_eq!(moved.stop(), Some(0));
}

#[test]
fn a_restored_machine_holds_waiting_messages_until_release() {
    let broker = Broker::start();
    let site = Site::new(broker.port, &rules());
    let simulator = Simulator::start(&site);
    let gateway = Gateway::start(&site);
    publish(broker.port, "till/0", br#"{"n": 1}"#);
    wait_for(20, "its receipt", || {
        (site.count("SELECT count(*) FROM message WHERE state = 'read'") == 1).then_some(())
    });
    drop(simulator); // the line is gone: what comes now waits
    for n in 1..6 {
        publish(broker.port, &format!("till/{n}"), format!("{{\"n\": {n}}}").as_bytes());
    }
    wait_for(20, "five that wait", || {
        (site.count("SELECT count(*) FROM message WHERE state = 'queued'") >= 5).then_some(())
    });
    let (other, file) = (machine(&site), site.path().join("bellwire.backup"));
    let (code, said) = backup(&site, &file, &[]);
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(file.metadata().expect("written").permissions().mode() & 0o777, 0o600);

    // The first machine goes on, and sends them after the backup.
    let _simulator = Simulator::start(&site);
    wait_for(60, "the five", || {
        (site.count("SELECT count(*) FROM message WHERE state = 'read'") == 6).then_some(())
    });
    assert_eq!(gateway.stop(), Some(0));

    let (code, said) = restore(&other, &file, &[]);
    assert!(code == Some(0) && said.contains("since it may have sent them: 5 messages"), "{code:?} {said}");
    settle(&other, &site);
    let before = other.sent().len();
    let restored = Gateway::start(&other);
    publish(broker.port, "till/7", br#"{"n": 7}"#);
    wait_for(20, "the new event", || (other.sent().len() > before).then_some(()));
    std::thread::sleep(Duration::from_secs(4)); // a look of the sender's
    assert_eq!(other.sent().len(), before + 1, "nobody is told twice");
    assert!(other.log().contains("what happened between the two is not known here"), "{}", other.log());
    let (_, said) = run(&["doctor", "--config", &text(&other.config())]);
    assert!(said.contains("may have sent them: 5 messages"), "{said}");
    let (code, said) = run(&["restore", "--release", "--config", &text(&other.config())]);
    assert!(code == Some(0) && said.contains("5 messages may leave now"), "{code:?} {said}");
    wait_for(20, "what was released", || (other.sent().len() == before + 6).then_some(()));
    assert_eq!(restored.stop(), Some(0));
}

#[test]
fn an_older_copy_stops_and_can_be_taken_back() {
    let broker = Broker::start();
    let site = Site::new(broker.port, &rules());
    let _simulator = Simulator::start(&site);
    let gateway = Gateway::start(&site);
    let (mut other, file) = (machine(&site), site.path().join("bellwire.backup"));
    assert_eq!(backup(&site, &file, &[]).0, Some(0));
    assert_eq!(restore(&other, &file, &[]).0, Some(0));
    settle(&other, &site);
    // It listens elsewhere, as on a machine of its own.
    let config = std::fs::read_to_string(other.config()).expect("a configuration");
    let port = bellwire_tests::free_port();
    std::fs::write(other.config(), config.replace(&site.http_port.to_string(), &port.to_string()))
        .expect("written");
    other.http_port = port;
    let newer = Gateway::launch(&other);
    assert_eq!(gateway.wait_end(60), Some(78), "{}", site.log());
    assert!(site.log().contains("a newer copy of this gateway"), "{}", site.log());
    wait_for(60, "the newer one at the broker", || {
        (ureq::get(&other.url("/readyz")).call().is_ok()).then_some(())
    });
    let (code, said) = run(&["run", "--config", &text(&site.config())]);
    assert!(code == Some(78) && said.contains("--take-back"), "{code:?} {said}");

    let (code, said) = run(&["restore", "--take-back", "--config", &text(&site.config())]);
    assert!(code == Some(0) && said.contains("sends again"), "{code:?} {said}");
    let _again = Gateway::launch(&site);
    assert_eq!(newer.wait_end(60), Some(78), "the one that was taken back is the newest: {}", other.log());
}

#[test]
fn damaged_backups_and_occupied_targets_are_refused_untouched() {
    let broker = Broker::start();
    let site = Site::new(broker.port, &rules());
    let _simulator = Simulator::start(&site);
    let gateway = Gateway::start(&site);
    publish(broker.port, "till/0", br#"{"n": 1}"#);
    assert_eq!(site.wait_sent(1).len(), 1);
    let file = site.path().join("bellwire.backup");
    assert_eq!(backup(&site, &file, &[]).0, Some(0));
    let (code, said) = backup(&site, &file, &[]);
    assert!(code == Some(64) && said.contains("--force"), "{code:?} {said}");
    assert_eq!(backup(&site, &file, &["--force"]).0, Some(0));

    let other = machine(&site);
    let untouched =
        |other: &Site| !other.path().join("state/bellwire.db").exists() && !other.config().exists();
    let bytes = std::fs::read(&file).expect("a backup");
    let bent = other.path().join("bent");
    for at in [20, 50, 80, 100, bytes.len() / 2, bytes.len() - 1] {
        let mut changed = bytes.clone();
        changed[at] ^= 1;
        std::fs::write(&bent, &changed).expect("written");
        let (code, said) = restore(&other, &bent, &[]);
        assert!(
            code == Some(65) && said.contains("nothing was written") && untouched(&other),
            "{at}: {code:?} {said}"
        );
    }
    std::fs::write(&bent, &bytes[..bytes.len() - 1_000]).expect("written");
    assert!(restore(&other, &bent, &[]).0 == Some(65) && untouched(&other));

    let (config, state) = (text(&other.config()), text(&other.path().join("state")));
    let wrong = passphrase(&other, "four words of others");
    let place =
        ["restore", "--config", &config, "--state", &state, "--passphrase-file", &wrong, &text(&file)];
    let (code, said) = run(&place);
    assert!(
        code == Some(65) && said.contains("the passphrase is another one") && untouched(&other),
        "{said}"
    );
    let short = passphrase(&site, "short");
    let (code, said) = run(&[
        "backup",
        "--config",
        &text(&site.config()),
        "--passphrase-file",
        &short,
        &text(&bent),
        "--force",
    ]);
    assert!(code == Some(64) && said.contains("12 or more"), "{code:?} {said}");

    let (code, said) = restore(&other, &file, &["--list"]);
    assert!(code == Some(0) && said.contains("it is whole") && untouched(&other), "{code:?} {said}");
    let (code, said) = restore(&site, &file, &[]);
    assert!(code == Some(74) && said.contains("has a database already"), "{code:?} {said}");

    // A token of somebody else's is there already.
    std::fs::write(other.path().join("access-token"), "another").expect("written");
    let (code, said) = restore(&other, &file, &[]);
    assert!(code == Some(74) && said.contains("say something else") && untouched(&other), "{code:?} {said}");
    assert_eq!(restore(&other, &file, &["--force"]).0, Some(0));
    let kept = other.path().join("access-token.before-restore");
    assert_eq!(std::fs::read_to_string(kept).expect("kept"), "another");
    assert_eq!(gateway.stop(), Some(0));
}

/// A stick that is full is told before anything is written; here a folder that is none.
#[test]
fn a_failed_backup_leaves_the_gateway_running() {
    let broker = Broker::start();
    let site = Site::new(broker.port, &rules());
    let _simulator = Simulator::start(&site);
    let gateway = Gateway::start(&site);
    let (code, said) = backup(&site, &site.path().join("missing/bellwire.backup"), &["--move"]);
    assert!(code == Some(74) && said.contains("is not there"), "{code:?} {said}");
    publish(broker.port, "till/0", br#"{"n": 1}"#);
    assert_eq!(site.wait_sent(1).len(), 1, "it runs, and sends");
    assert_eq!(gateway.stop(), Some(0));
    let output = bellwire(&[
        "backup",
        "--config",
        &text(&site.config()),
        "--passphrase-file",
        &passphrase(&site, "four words of mine"),
        "-",
    ]);
    assert!(output.status.success() && output.stdout.starts_with(b"bellwire backup\n"), "to standard output");
}

#[test]
fn messages_held_by_a_restore_are_released_on_the_page() {
    let broker = Broker::start();
    let site = Site::new(broker.port, &rules());
    let gateway = Gateway::start(&site);
    publish(broker.port, "till/0", br#"{"n": 1}"#); // no line: it waits
    wait_for(20, "one that waits", || {
        (site.count("SELECT count(*) FROM message WHERE state = 'queued'") == 1).then_some(())
    });
    let file = site.path().join("bellwire.backup");
    assert_eq!(backup(&site, &file, &[]).0, Some(0));
    assert_eq!(gateway.stop(), Some(0));
    let other = machine(&site);
    assert_eq!(restore(&other, &file, &[]).0, Some(0));
    settle(&other, &site);
    let restored = Gateway::start(&other);
    web::choose_password(&other);
    let cookie = web::log_in(&other);
    let page = web::get(&other, "/", &[&cookie]).body;
    assert!(page.contains("restored from a backup") && page.contains("may have sent them: 1."), "{page}");
    let _simulator = Simulator::start(&other);
    let fields = format!("csrf={}", web::proof(&other, &cookie));
    assert_eq!(web::form(&other, "/outbox/release", &[&cookie], &fields).status, 303);
    assert_eq!(other.wait_sent(1).len(), 1);
    let page = web::get(&other, "/", &[&cookie]).body;
    assert!(!page.contains("restored from a backup"), "{page}");
    let token = web::token(&other, &["act", "read"]);
    let found = web::get(&other, "/api/overview", &[&token]).json();
    assert!(found["restored"].is_null(), "{found}");
    let answer = web::json(&other, "/api/outbox/release", &[&token], &serde_json::json!({}));
    assert_eq!((answer.status, answer.json()["released"].as_i64()), (200, Some(0)), "{}", answer.body);
    let told = other.count("SELECT count(*) FROM change WHERE deed = 'release'");
    assert_eq!(told, 2, "both are in the audit");
    assert_eq!(restored.stop(), Some(0));
}
