//! What a person gets wrong at a restart: a mistake in the file does not cost the night, and what cannot go away by itself is
//! not tried again every two seconds.

use bellwire_tests::{Broker, Gateway, Simulator, Site, bellwire, get_json, publish};

const RULES: &str = r#"
[[contact]]
id = "nino"
phone = "+995 555 12 34 56"
[[rule]]
name = "door"
topic = "site/{door}/door"
message = "Door {{ door }} is open"
notify = ["nino"]
"#;

fn run(site: &Site, words: &[&str]) -> (Option<i32>, String) {
    let config = site.config();
    let output = bellwire(&[words, &["--config", config.to_str().expect("a path")]].concat());
    let said = [&output.stdout[..], &output.stderr].concat();
    (output.status.code(), String::from_utf8_lossy(&said).into_owned())
}

#[test]
fn a_mistake_in_the_file_leaves_the_last_good_one() {
    let broker = Broker::start();
    let site = Site::new(broker.port, RULES);
    let good = std::fs::read_to_string(site.config()).expect("readable");
    let good = good.replace("name = \"Test\"", "name = \"Test\"\nowner = [\"nino\"]");
    std::fs::write(site.config(), &good).expect("written");
    let (_simulator, gateway) = (Simulator::start(&site), Gateway::start(&site));
    assert_eq!(gateway.stop(), Some(0));

    // A bracket that is not there, and a rule that was renamed with it.
    let bad = good
        .replace("name = \"door\"", "name = \"gate\"")
        .replace("notify = [\"nino\"]", "notify = [\"nino\"");
    std::fs::write(site.config(), &bad).expect("written");
    assert_eq!(run(&site, &["check"]).0, Some(78));
    let gateway = Gateway::start(&site);
    let sent = site.wait_sent(1);
    let told = sent[0]["text"].as_str().unwrap_or_default();
    assert!(
        told.contains("the configuration file") && told.contains("runs with the last good one"),
        "{told}"
    );
    publish(broker.port, "site/back/door", b"open");
    let sent = site.wait_sent(2);
    assert_eq!(sent[1]["text"].as_str().and_then(|text| text.lines().next()), Some("Door back is open"));
    assert!(site.log().contains("runs with the last good one"), "{}", site.log());
    assert_eq!(get_json(&site.url("/readyz"))["ready"], true, "events are accepted");
    let (code, said) = run(&site, &["doctor"]);
    assert!(
        code == Some(2) && said.contains("error    configuration: the configuration file"),
        "{code:?} {said}"
    );
    let (code, said) = run(&site, &["outbox", "list"]);
    assert!(code == Some(0) && said.contains("note: the configuration file"), "{code:?} {said}");
    assert_eq!(gateway.stop(), Some(0));

    // Told once, not at each restart; put right, it holds.
    let gateway = Gateway::start(&site);
    publish(broker.port, "site/side/door", b"open");
    assert_eq!(site.wait_sent(3).len(), 3);
    assert_eq!(gateway.stop(), Some(0));
    std::fs::write(site.config(), bad.replace("notify = [\"nino\"", "notify = [\"nino\"]")).expect("written");
    let gateway = Gateway::start(&site);
    publish(broker.port, "site/front/door", b"open");
    assert_eq!(site.wait_sent(4).len(), 4);
    assert_eq!(site.count("SELECT count(*) FROM alert WHERE rule = 'gate'"), 1);
    assert!(!run(&site, &["doctor"]).1.contains("configuration:"));
    assert_eq!(gateway.stop(), Some(0));
}

/// RestartPreventExitStatus of the unit has 64 and 78.
#[test]
fn permanent_start_errors_prevent_a_restart() {
    let broker = Broker::start();
    let site = Site::new(broker.port, RULES);
    let gateway = Gateway::start(&site);
    assert_eq!(gateway.stop(), Some(0));
    site.database().execute_batch("PRAGMA user_version = 99").expect("set");
    let (code, said) = run(&site, &["run"]);
    assert!(code == Some(78) && said.contains("newer than this bellwire knows"), "{code:?} {said}");
    let unit = include_str!("../../systemd/bellwire.service");
    assert!(unit.contains("RestartPreventExitStatus=64 78"));
}

#[test]
fn a_wrong_argument_is_64_in_every_command() {
    let broker = Broker::start();
    let site = Site::new(broker.port, RULES);
    let gateway = Gateway::start(&site);
    assert_eq!(gateway.stop(), Some(0));
    let help = String::from_utf8_lossy(&bellwire(&["--help"]).stdout).into_owned();
    let commands = help.split("Commands:").nth(1).and_then(|rest| rest.split("\n\n").next()).expect("a list");
    let commands: Vec<&str> = commands.lines().filter_map(|line| line.split_whitespace().next()).collect();
    assert!(commands.len() > 15, "{commands:?}");
    for command in commands.iter().filter(|command| **command != "help") {
        assert_eq!(bellwire(&[command, "--no-such-option"]).status.code(), Some(64), "{command}");
    }
    for wrong in [
        &["alerts", "list", "--only", "x"][..],
        &["alerts", "list", "--limit", "x"],
        &["alerts", "ack", "99"],
        &["alerts", "expire", "99"],
        &["alerts", "silence", "--for", "x"],
        &["alerts", "silence", "--for", "1h", "--rule", "x"],
        &["alerts", "silence", "--for", "1h", "--matcher", "x"],
        &["contact", "remove", "x"],
        &["contact", "accept", "x"],
        &["devices", "show", "x"],
        &["outbox", "list", "--only", "x"],
        &["outbox", "show", "99"],
        &["outbox", "retry", "99"],
        &["send", "--to", "x", "hello"],
        &["why", "x"],
        &["why", "99"],
        &["files", "save", "99", "/tmp/x"],
        &["files", "delete", "99"],
        &["try", "--topic", "a/+", "--payload", "x"],
        &["try", "--topic", "a", "--payload-file", "/no/such/file"],
        &["try", "--replay", "/no/such/file"],
        &["setup", "--no-input", "--time-zone", "Nowhere"],
        &["setup", "--no-input", "--phone", "0555"],
        &["setup", "--no-input", "--phone-number-id", "+995 555 12 34 56"],
        &["setup", "--no-input", "--mqtt-url", "http://x"],
        &["setup", "--no-input", "--webhook", "http://x"],
        &["setup", "--no-input", "--access-token-file", "/no/such/file"],
    ] {
        let (code, said) = run(&site, wrong);
        assert_eq!(code, Some(64), "{wrong:?}: {said}");
    }
}
