use bellwire_tests::{Broker, Gateway, Simulator, Site, bellwire, publish, publish_5, wait_for};
use serde_json::Value;

const RULES: &str = r#"
[[contact]]
id = "nino"
phone = "+995 555 12 34 56"
[[rule]]
name = "strict"
topic = "strict/{unit}"
payload = "json"
when = "payload.celsius > -15"
message = "{{ payload.celsius }}"
notify = ["nino"]
[[rule]]
name = "wide"
topic = "wide/#"
message = "at {{ payload.missing }}"
notify = ["nino"]
"#;

#[test]
fn bad_events_are_counted_shown_and_acknowledged() {
    for version in ["5", "3.1.1"] {
        let broker = Broker::start();
        let site = Site::with_mqtt(
            &format!("url = \"mqtt://127.0.0.1:{}\"\nversion = \"{version}\"", broker.port),
            RULES,
        );
        let (_simulator, mut gateway) = (Simulator::start(&site), Gateway::start(&site));
        publish(broker.port, "strict/1", b"{not json");
        publish(broker.port, "strict/1", br#"{"celsius": "warm"}"#);
        publish(broker.port, "strict/1", br#"{"fahrenheit": 3}"#);
        publish(broker.port, "strict/1", &[0xff, 0xfe, 0x00]);
        publish(broker.port, "strict/1", &vec![b'x'; 256 * 1024]);
        publish(broker.port, "elsewhere", b"nobody listens");
        publish(broker.port, "wide/a/b", br#"{"celsius": 3}"#);
        publish(broker.port, "strict/1", br#"{"celsius": 4}"#);

        let texts: Vec<String> = site
            .wait_sent(2)
            .iter()
            .map(|sent| sent["text"].as_str().unwrap_or_default().to_owned())
            .collect();
        assert!(texts.iter().any(|text| text.starts_with("⚠ wide: wide/a/b {\"celsius\": 3}")), "{texts:?}");
        assert!(texts.iter().any(|text| text.starts_with("4\n")), "{texts:?}");
        assert!(gateway.is_running());

        let output = bellwire(&["events", "--json", "--config", &site.config().to_string_lossy()]);
        let seen: Value = serde_json::from_slice(&output.stdout).expect("JSON");
        let counted: Vec<String> = seen["counted"]
            .as_array()
            .unwrap()
            .iter()
            .map(|row| {
                format!(
                    "{} {} {}",
                    row["rule"].as_str().unwrap(),
                    row["outcome"].as_str().unwrap(),
                    row["count"]
                )
            })
            .collect();
        assert_eq!(
            counted,
            ["strict condition-failed 2", "strict too-large 1", "strict undecodable 2"],
            "version {version}"
        );
        let reasons: String =
            seen["events"].as_array().unwrap().iter().filter_map(|row| row["reason"].as_str()).collect();
        for words in
            ["it is not JSON", "compares the text \"warm\"", "`payload.celsius` is undefined", "262144 bytes"]
        {
            assert!(reasons.contains(words), "{words}: {reasons}");
        }

        // All of them were acknowledged: after a restart the broker has nothing left for us.
        let before = site.count("SELECT coalesce(sum(count), 0) FROM tally")
            + site.count("SELECT count(*) FROM event");
        assert_eq!(gateway.stop(), Some(0));
        let gateway = Gateway::start(&site);
        publish(broker.port, "strict/1", br#"{"celsius": -18}"#);
        wait_for(10, "the last event", || {
            (site.count("SELECT coalesce(sum(count), 0) FROM tally WHERE outcome = 'condition-false'") == 1)
                .then_some(())
        });
        let after = site.count("SELECT coalesce(sum(count), 0) FROM tally")
            + site.count("SELECT count(*) FROM event");
        assert_eq!(after, before + 1);
        drop(gateway);
    }
}

/// What counts is that it came: 70 kB end an alert.
#[test]
fn what_is_not_read_may_be_of_any_size() {
    let broker = Broker::start();
    let rules = r#"
[[contact]]
id = "nino"
phone = "+995 555 12 34 56"
[[rule]]
name = "node"
topic = "spBv1.0/{group}/{type}/{node}"
key = ["group", "node"]
payload = "none"
when = "type == 'NDEATH'"
resolve_when = "type == 'NBIRTH'"
message = "Node {{ node }} is offline"
notify = ["nino"]
"#;
    let site = Site::with_mqtt(&format!("url = \"mqtt://127.0.0.1:{}\"", broker.port), rules);
    let (_simulator, _gateway) = (Simulator::start(&site), Gateway::start(&site));
    publish(broker.port, "spBv1.0/g/NDEATH/n1", b"x");
    drop(site.wait_sent(1));
    publish(broker.port, "spBv1.0/g/NBIRTH/n1", &[0; 70_000]);
    let sent = site.wait_sent(2);
    let texts: Vec<&str> = sent.iter().filter_map(|sent| sent["text"].as_str()).collect();
    assert!(texts[0].starts_with("Node n1 is offline"), "{texts:?}");
    assert!(texts[1].starts_with("✅ Over"), "{texts:?}");
}

const ALARMS: &str = r#"
[[contact]]
id = "nino"
phone = "+995 555 12 34 56"
[[rule]]
name = "alarms"
topic = "plant/alarms"
message = "{{ payload.machine }}: {{ payload.text }}"
notify = ["nino"]
"#;

/// CloudEvents' ids are unique within their source alone, and a device may call itself `id`.
#[test]
fn an_event_is_repeated_by_source_and_id_together() {
    let broker = Broker::start();
    let site = Site::new(broker.port, ALARMS);
    let (_simulator, gateway) = (Simulator::start(&site), Gateway::start(&site));
    let say = |properties: &[(&str, &str)], machine: &str, text: &str| {
        let options: Vec<&str> = properties
            .iter()
            .flat_map(|(name, value)| ["-D", "publish", "user-property", name, value])
            .collect();
        let payload = format!(r#"{{"machine": "{machine}", "text": "{text}"}}"#);
        publish_5(broker.port, "plant/alarms", &payload, &options);
    };
    let expected = |count: usize, expected: &[&str]| {
        let sent = site.wait_sent(count);
        let mut texts: Vec<String> =
            sent.iter().filter_map(|sent| Some(sent["text"].as_str()?.lines().next()?.to_owned())).collect();
        texts.sort_unstable();
        assert_eq!(texts, expected);
    };
    say(&[("source", "/press/1"), ("id", "1")], "press 1", "oil low");
    say(&[("source", "/oven/2"), ("id", "1")], "oven 2", "door open");
    say(&[("source", "/oven/2"), ("id", "2")], "oven 2", "FIRE");
    say(&[("source", "/press/1"), ("id", "2")], "press 1", "stopped");
    let four = ["oven 2: FIRE", "oven 2: door open", "press 1: oil low", "press 1: stopped"];
    expected(4, &four);
    say(&[("source", "/oven/2"), ("id", "2")], "oven 2", "FIRE");
    say(&[("id", "saw")], "saw", "1");
    say(&[("id", "saw")], "saw", "2");
    let whole =
        r#"{"specversion":"1.0","type":"t","source":"/oven/2","id":"3","machine":"oven 2","text":"whole"}"#;
    let content = ["-D", "publish", "content-type", "application/cloudevents+json; charset=utf-8"];
    publish_5(broker.port, "plant/alarms", whole, &content);
    publish_5(broker.port, "plant/alarms", whole, &content);
    publish(broker.port, "plant/alarms", whole.as_bytes()); // MQTT 3.1.1 implies it
    say(&[], "press 1", "on again");
    let more =
        ["oven 2: whole", "press 1: oil low", "press 1: on again", "press 1: stopped", "saw: 1", "saw: 2"];
    expected(8, &[&four[..2], &more[..]].concat());
    assert_eq!(site.count("SELECT count FROM tally WHERE outcome = 'duplicate'"), 3);
    assert_eq!(gateway.stop(), Some(0));
}

const LOOKED_AT: &str = "[[contact]]\nid = \"nino\"\nphone = \"+995555123456\"\n[[rule]]\nname = \"f\"\ntopic = \"f/{a}\"\n\
    when = \"payload > -15\"\nmessage = \"{{ payload }}\"\nnotify = [\"nino\"]\n";

/// sysexits.h, as the README says; help and the version are no mistakes.
#[test]
fn a_wrong_command_line_ends_with_64_whatever_the_command() {
    let code = |words: &[&str]| bellwire(words).status.code();
    let commands = [
        "run",
        "check",
        "setup",
        "doctor",
        "try",
        "record",
        "send",
        "files",
        "outbox",
        "alerts",
        "why",
        "events",
        "audit",
        "status",
        "contact",
        "devices",
        "demo",
        "simulator",
        "completions",
        "man",
    ];
    for command in commands {
        assert_eq!(code(&[command, "--nonsense"]), Some(64), "{command}");
        assert_eq!(code(&[command, "--help"]), Some(0), "{command}");
    }
    for words in [
        &[][..],
        &["nonsense"],
        &["try"],
        &["outbox"],
        &["send", "--to"],
        &["events", "--limit", "many"],
        &["alerts", "silence"],
        &["completions", "nonsense"],
        &["try", "--payload", "x", "--payload-file", "y", "--topic", "z"],
    ] {
        assert_eq!(code(words), Some(64), "{words:?}");
    }
    assert_eq!(code(&["--version"]), Some(0));
}

#[test]
fn command_line_values_may_begin_with_a_minus() {
    let site = Site::new(1883, LOOKED_AT);
    let config = site.config().to_string_lossy().into_owned();
    let tried = |words: &[&str]| {
        let output = bellwire(&[&["try", "--config", &config], words].concat());
        assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    for words in [
        &["--topic", "f/a", "--payload", "-12.5"][..],
        &["--payload", "-12.5", "--topic", "f/a"],
        &["--topic", "f/a", "--payload=-12.5"],
    ] {
        let text = tried(words);
        assert!(text.contains("| -12.5"), "{words:?}: {text}");
    }
    let text = tried(&["--topic", "f/a", "--payload", "-x"]);
    assert!(text.contains("the text \"-x\" with the number"), "{text}");
    assert!(tried(&["--topic", "-f/a", "--payload", "--"]).contains("rule f: not this topic"));
    // Without a daemon's database they go no further than their arguments.
    for words in [
        &["send", "--config", &config, "--to", "nino", "-5 °C at the door"][..],
        &["alerts", "silence", "--for", "1h", "--comment", "-- works on the roof --", "--config", &config],
    ] {
        let told = bellwire(words);
        let text = String::from_utf8_lossy(&told.stderr).into_owned();
        assert!(text.contains("there is no database") && told.status.code() == Some(74), "{words:?}: {text}");
    }
}

#[test]
fn a_replay_explains_events_it_could_not_judge() {
    let site = Site::new(1883, RULES);
    let file = site.path().join("events.jsonl");
    let events = [
        r#"{"at": "2026-03-10 10:00:00", "topic": "strict/1", "payload": {"celsius": "warm"}}"#,
        r#"{"at": "2026-03-10 10:01:00", "topic": "strict/2", "payload": {"humidity": 3}}"#,
        r#"{"at": "2026-03-10 10:02:00", "topic": "strict/3", "payload": "{\"celsius\": "}"#,
        r#"{"at": "2026-03-10 10:03:00", "topic": "wide/1", "payload": {"celsius": 1}}"#,
        r#"{"at": "2026-03-10 10:04:00", "topic": "strict/1", "payload": {"celsius": -20}}"#,
    ];
    std::fs::write(&file, events.join("\n")).expect("written");
    let (file, config) = (file.to_string_lossy().into_owned(), site.config().to_string_lossy().into_owned());
    let words = ["try", "--replay", &file, "--reasons", "--config", &config];
    let text = String::from_utf8_lossy(&bellwire(&words).stdout).into_owned();
    let said: Vec<&str> =
        text.lines().filter(|line| line.starts_with("2026") && line.contains(": ")).collect();
    assert_eq!(said.len(), 4, "{text}");
    for (line, parts) in said.iter().zip([
        [
            "2026-03-10 10:00:00  strict: strict/1: `when` could not be judged: ",
            "`payload.celsius",
            "\"warm\"",
        ],
        [
            "2026-03-10 10:01:00  strict: strict/2: `when` could not be judged: ",
            "`payload.celsius",
            "undefined",
        ],
        ["2026-03-10 10:02:00  strict: strict/3: ", "the payload could not be read", "cut off"],
        ["2026-03-10 10:03:00  wide: wide/1: `message` failed", "missing", "undefined"],
    ]) {
        assert!(parts.iter().all(|part| line.contains(part)), "{parts:?}: {line}");
    }
    let output = bellwire(&[&words[..], &["--json"]].concat());
    let seen: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(seen["reasons"].as_array().map(Vec::len), Some(4), "{seen:#}");
}

/// Nothing was heard since the start: the words are the rule's all the same.
#[test]
fn a_never_heard_device_uses_the_rules_message() {
    let broker = Broker::start();
    let rules = r#"
[[contact]]
id = "nino"
phone = "+995 555 12 34 56"
[[rule]]
name = "never"
topic = "site/cellar/heartbeat"
expect = { every = "3s" }
message = "The cellar sensor is silent"
notify = ["nino"]
"#;
    let site = Site::new(broker.port, rules);
    let (_simulator, _gateway) = (Simulator::start(&site), Gateway::start(&site));
    let text = site.wait_sent(1)[0]["text"].as_str().unwrap_or_default().to_owned();
    assert!(text.starts_with("The cellar sensor is silent\nNothing heard for 3 s"), "{text}");
}
