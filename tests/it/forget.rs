//! Erasing a person: nothing of theirs is left in the file, and what was done is still counted.

use bellwire_tests::{Broker, Gateway, Simulator, Site, Subscriber, bellwire, post_json, publish, wait_for};
use serde_json::{Value, json};

const NINO: &str = "+995555123456";
/// As Meta writes it, and as Meta's message ids carry it.
const TRACES: [&str; 5] = ["995555123456", "OTk1NTU1MTIzNDU2", "Nino Beridze", "the door is open", "nino"];

/// An alert with a life, of which somebody takes care.
const DOOR: &str = r#"
[[rule]]
name = "door"
topic = "site/{door}/door"
when = "payload == 'open'"
resolve_when = "payload == 'shut'"
message = "Door {{ door }} is open"
notify = ["nino"]
buttons = ["acknowledge"]
"#;

/// Every byte of the state directory.
fn bytes(site: &Site) -> Vec<u8> {
    let files = std::fs::read_dir(site.path().join("state")).expect("the state directory");
    let database =
        files.map(|file| file.unwrap().path()).filter(|path| path.to_string_lossy().contains(".db"));
    database.flat_map(|path| std::fs::read(path).expect("a file")).collect()
}

fn holds(bytes: &[u8], trace: &str) -> bool {
    bytes.windows(trace.len()).any(|window| window == trace.as_bytes())
}

fn counts(site: &Site) -> Vec<i64> {
    let tables =
        ["event", "alert", "message", "attempt", "sent", "receipt", "reply", "command", "usage", "inbox"];
    tables.map(|table| site.count(&format!("SELECT count(*) FROM {table}"))).to_vec()
}

/// Alerts, a tap, words and receipts: a person with a history.
fn history(site: &Site, broker: &Broker) {
    let commands = Subscriber::start(broker.port, "site/+/freezer/+/set");
    for celsius in ["-12.5", "-11"] {
        publish(
            broker.port,
            "site/bar/freezer/2/temperature",
            format!(r#"{{"celsius": {celsius}}}"#).as_bytes(),
        );
    }
    let sent = site.wait_sent(2);
    let reply = |body: &Value| assert_eq!(post_json(&site.api("/_simulator/reply"), body).0, 200);
    reply(
        &json!({ "from": NINO, "name": "Nino Beridze", "message_id": sent[0]["id"], "tap": "Stop defrost" }),
    );
    wait_for(10, "the command", || (!commands.messages().is_empty()).then_some(()));
    reply(&json!({ "from": NINO, "name": "Nino Beridze", "text": "the door is open" }));
    wait_for(10, "the words", || {
        (site.count("SELECT count(*) FROM reply WHERE contact = 'nino'") >= 2).then_some(())
    });
    publish(broker.port, "site/back/door", b"open");
    assert_eq!(
        site.wait_sent(3)[2]["text"].as_str().map(|text| text.starts_with("Door back is open")),
        Some(true)
    );
    reply(&json!({ "from": NINO, "name": "Nino Beridze", "tap": "I take care" }));
    wait_for(10, "the care", || {
        (site.count("SELECT count(*) FROM alert WHERE state = 'acknowledged'") == 1).then_some(())
    });
    wait_for(10, "all receipts", || {
        (site.count("SELECT count(*) FROM message WHERE state != 'read'") == 0
            && site.count("SELECT count(*) FROM inbox WHERE state = 'new'") == 0)
            .then_some(())
    });
}

#[test]
fn erasing_a_person_leaves_no_byte_of_theirs() {
    let broker = Broker::start();
    let rules =
        crate::round_trip::FREEZER.replace("id = \"nino\"", "id = \"nino\"\nname = \"Nino Beridze\"") + DOOR;
    let site = Site::new(broker.port, &rules);
    let (_simulator, gateway) = (Simulator::start(&site), Gateway::start(&site));
    history(&site, &broker);
    let run = |arguments: &[&str]| {
        let config = site.config();
        let output = bellwire(&[arguments, &["--config", &config.to_string_lossy()]].concat());
        (output.status.code(), String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
    };
    let before = counts(&site);
    for trace in TRACES {
        assert!(holds(&bytes(&site), trace), "{trace} is not there before: the test would show nothing");
    }
    let export: Value = serde_json::from_str(&run(&["contact", "export", "nino"]).1).expect("JSON");
    assert!(
        export.to_string().contains("the door is open") && export["messages"].as_array().unwrap().len() >= 2
    );
    assert!(run(&["contact", "erase", "nino"]).1.contains("nothing was changed"));
    assert_eq!(counts(&site), before);

    // While the daemon runs, and again when it has gone: then there is no log left either.
    let (code, said) = run(&["contact", "erase", "nino", "--yes"]);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("erased-1") && said.contains("Take [[contact]] `nino` out"), "{said}");
    let (code, status) = run(&["status"]);
    assert!(code == Some(0) && status.contains("messages"), "{status}");
    assert_eq!(gateway.stop(), Some(0));
    let left = bytes(&site);
    for trace in TRACES {
        assert!(!holds(&left, trace), "{trace} is still in the file");
    }
    assert_eq!(counts(&site), before, "what was done is still counted");
    let broken: i64 = site.count("SELECT count(*) FROM pragma_foreign_key_check");
    assert_eq!(broken, 0, "each row still finds what it belongs to");
    assert_eq!(site.count("SELECT count(*) FROM consent WHERE source = 'erasure' AND given = 0"), 1);
}
