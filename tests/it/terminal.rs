//! What a device, a contact or a file name holds is shown on a terminal, and never obeyed by it.

use std::path::Path;

use bellwire_tests::{Broker, Gateway, Simulator, Site, bellwire, post_json, wait_for};
use serde_json::{Value, json};

use crate::web::{self, json as post_as, token};

/// Renames the window, clears the screen; as C1, which needs no Escape; turns the direction of what follows.
const ORDERS: &str = "\u{1b}]0;taken\u{7}\u{1b}[2J \u{9b}2J \u{202e}gnp";

const RULES: &str = r#"
[[contact]]
id = "nino"
phone = "+995 555 12 34 56"
[[rule]]
name = "any"
topic = "x/{level}"
message = "{{ level }}: {{ payload }}"
notify = ["nino"]
[[rule]]
name = "life"
topic = "l/{level}"
when = "payload.on"
for = "0s"
message = "{{ level }}: {{ payload.t }}"
notify = ["nino"]
[[rule]]
name = "strict"
topic = "s/{level}"
payload = "json"
when = "payload.on > 3"
message = "x"
notify = ["nino"]
"#;

fn has_orders(text: &[u8]) -> bool {
    let text = String::from_utf8_lossy(text);
    text.chars().any(|letter| letter.is_control() && !matches!(letter, '\n' | '\t') || letter == '\u{202e}')
}

#[test]
fn no_command_prints_what_a_terminal_would_obey() {
    let (_broker, site, _gateway) = web::start(RULES);
    let _simulator = Simulator::start(&site);
    let events = token(&site, &["events"]);
    for (number, (topic, payload)) in [
        (format!("x/{ORDERS}"), json!(ORDERS)),
        (format!("l/{ORDERS}"), json!({ "on": true, "t": ORDERS })),
        (format!("s/{ORDERS}"), json!({ "on": ORDERS })),
    ]
    .into_iter()
    .enumerate()
    {
        let key = format!("Idempotency-Key: {number}");
        let answer =
            post_as(&site, "/api/events", &[&events, &key], &json!({ "topic": topic, "payload": payload }));
        assert!(answer.status == 202 || answer.status == 200, "{} {}", answer.status, answer.body);
    }
    assert_eq!(site.wait_sent(2).len(), 2);
    let reply = json!({ "from": "+995555123456", "phone_number_id": bellwire_tests::PHONE_NUMBER_ID, "text": ORDERS });
    assert_eq!(post_json(&site.api("/_simulator/reply"), &reply).0, 200);
    wait_for(10, "the reply", || (site.count("SELECT count(*) FROM reply") > 0).then_some(()));

    let config = site.config();
    let config = config.to_string_lossy();
    let mut shown = String::new();
    for words in [
        "outbox list",
        "outbox show 1",
        "outbox show 2",
        "outbox show 1 --json",
        "alerts list",
        "alerts list --json",
        "alerts show 1",
        "why 1",
        "why 2",
        "events",
        "events --json",
        "files list",
        "audit list",
        "status",
        "devices list",
        "contact export nino",
    ] {
        let mut arguments: Vec<&str> = words.split(' ').collect();
        arguments.extend(["--config", &*config]);
        let output = bellwire(&arguments);
        for text in [&output.stdout, &output.stderr] {
            assert!(!has_orders(text), "{words}: {:?}", String::from_utf8_lossy(text));
        }
        if words.ends_with("--json") {
            let value: Value = serde_json::from_slice(&output.stdout).expect(words);
            assert!(!value.is_null(), "{words}");
        }
        shown.push_str(&String::from_utf8_lossy(&output.stdout));
    }
    assert!(shown.contains("␛]0;taken␇␛[2J �2J �gnp"), "it can be read: {shown}");
    assert!(!has_orders(site.log().as_bytes()), "the log is read on terminals, too");
}

#[test]
fn a_link_where_the_lock_belongs_is_not_followed() {
    let broker = Broker::start();
    let site = Site::new(broker.port, RULES);
    let victim = site.path().join("victim");
    std::fs::write(&victim, "do not touch").expect("written");
    let state = site.path().join("state");
    std::fs::create_dir(&state).expect("made");
    let plant = |name: &str, at: &Path| std::os::unix::fs::symlink(at, state.join(name)).expect("planted");
    plant("bellwire.lock", &victim);
    let ended = Gateway::launch(&site).wait_end(10);
    assert_eq!(ended, Some(74), "{}", site.log());
    assert!(site.log().contains("it is a link"), "{}", site.log());
    assert_eq!(std::fs::read_to_string(&victim).expect("there"), "do not touch");
    std::fs::remove_file(state.join("bellwire.lock")).expect("removed");
    let elsewhere = site.path().join("elsewhere");
    for name in ["reserve", "mark", "under-way"] {
        plant(name, &elsewhere);
    }
    let gateway = Gateway::start(&site);
    assert_eq!(gateway.stop(), Some(0));
    assert!(!elsewhere.exists(), "nothing was written through a link");
}
