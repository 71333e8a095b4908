//! What is recorded from a real broker is what a replay plays.

use std::process::{Command, Stdio};

use bellwire_tests::{
    Broker, Gateway, Simulator, Site, bellwire, gateway_command, publish, publish_5, wait_for,
};

const RULES: &str = r#"
[[contact]]
id = "nino"
phone = "+995 555 12 34 56"
[[rule]]
name = "freezer"
topic = "site/{unit}/temperature"
when = "payload.celsius > -15"
resolve_when = "payload.celsius < -17"
message = "Freezer {{ unit }} is at {{ payload.celsius }}"
notify = ["nino"]
[[rule]]
name = "door"
topic = "site/{door}/door"
payload = "cbor"
when = "payload == 1"
message = "Door {{ door }} is open"
notify = ["nino"]
"#;

fn recorder(site: &Site, words: &[&str]) -> Command {
    let mut command = gateway_command();
    command.arg("record").args(words).arg("--config").arg(site.config());
    command.stdout(Stdio::null()).stderr(Stdio::piped());
    command
}

/// It has subscribed when it hears something; what is retained comes to whoever subscribes.
fn wait_for_first(file: &std::path::Path) {
    wait_for(10, "the first line", || {
        std::fs::read_to_string(file).ok().filter(|text| text.contains('\n')).map(drop)
    });
}

fn replayed(site: &Site, file: &std::path::Path) -> String {
    let config = site.config();
    let words =
        ["try", "--replay", file.to_str().expect("a path"), "--config", config.to_str().expect("a path")];
    let output = bellwire(&words);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn a_replay_plays_exactly_what_was_recorded() {
    let broker = Broker::start();
    let site = Site::new(broker.port, RULES);
    let (_simulator, gateway) = (Simulator::start(&site), Gateway::start(&site));
    let property = ["-D", "publish", "user-property"];
    let named = [&property[..], &["source", "/freezer/3"], &property, &["id", "7"]].concat();
    publish_5(broker.port, "site/3/temperature", "{\"celsius\": -20}", &[&["-r"][..], &named].concat());
    let file = site.path().join("night.jsonl");
    let output = file.to_str().expect("a path");
    let recorder = recorder(&site, &["--output", output, "--count", "5"]).spawn().expect("started");
    wait_for_first(&file);
    publish(broker.port, "site/1/temperature", b"{\"celsius\": -3.5}");
    publish(broker.port, "site/back/door", &[0x01]);
    publish(broker.port, "site/1/temperature", &[0xff, 0x00]); // nothing that a rule can read
    publish(broker.port, "site/1/temperature", b"{\"celsius\": -18}");
    let ended = recorder.wait_with_output().expect("ended");
    let told = String::from_utf8_lossy(&ended.stderr).into_owned();
    assert!(ended.status.success() && told.contains("5 events within"), "{told}");

    let text = std::fs::read_to_string(&file).expect("readable");
    assert!(text.contains(r#""payload":{"celsius":-3.5},"topic":"site/1/temperature""#), "{text}");
    assert!(text.contains(r#""payload_hex":"ff00""#) && text.contains(r#""retained":true"#), "{text}");
    assert!(text.contains(r#""id":"7""#) && text.contains(r#""source":"/freezer/3""#), "{text}");
    let played = replayed(&site, &file);
    let sent: Vec<String> =
        site.wait_sent(3).iter().map(|sent| sent["text"].as_str().unwrap_or_default().to_owned()).collect();
    for line in sent.iter().flat_map(|text| text.lines()) {
        assert!(played.contains(line), "the daemon said {line}, and the replay: {played}");
    }
    assert!(played.contains("3 messages would have been sent"), "{played}");
    // A recording is not written over.
    let again =
        bellwire(&["record", "--output", output, "--config", site.config().to_str().expect("a path")]);
    assert_eq!(again.status.code(), Some(64), "{again:?}");
    assert_eq!(gateway.stop(), Some(0));
}

#[test]
fn a_recording_that_is_ended_keeps_what_it_has() {
    let mut broker = Broker::start();
    let site = Site::new(broker.port, RULES);
    publish_5(broker.port, "other/topic", "8.20", &["-r"]);
    let file = site.path().join("some.jsonl");
    let output = file.to_str().expect("a path");
    let words = ["--output", output, "--topic", "other/#"];
    let recorder = recorder(&site, &words).spawn().expect("started");
    wait_for_first(&file);
    broker.restart(); // it listens again without being told
    wait_for(20, "the second connection", || {
        publish(broker.port, "other/more", b"x");
        std::fs::read_to_string(&file).ok().filter(|text| text.contains("other/more")).map(drop)
    });
    let id = recorder.id().to_string();
    assert!(Command::new("kill").args(["-INT", &id]).status().expect("kill").success());
    let ended = recorder.wait_with_output().expect("ended");
    assert_eq!(ended.status.code(), Some(0), "{}", String::from_utf8_lossy(&ended.stderr));
    let text = std::fs::read_to_string(&file).expect("readable");
    assert!(text.lines().next().is_some_and(|line| line.contains(r#""payload":"8.20""#)), "{text}");

    let config = site.config();
    let config = config.to_str().expect("a path");
    let timed = bellwire(&["record", "--for", "1s", "--config", config]);
    assert!(timed.status.success() && timed.stdout.is_empty(), "{timed:?}");
    broker.down();
    let away = bellwire(&["record", "--config", config]);
    assert_eq!(away.status.code(), Some(74), "{away:?}");
}

#[test]
fn try_says_what_would_come_later_when_a_rule_waits() {
    let rules = r#"
[[contact]]
id = "nino"
name = "Nino"
phone = "+995 555 12 34 56"
[[rule]]
name = "door"
topic = "site/{door}/door"
when = "payload == 'open'"
for = "5m"
message = "Door {{ door }} is open"
notify = ["nino"]
buttons = ["acknowledge"]
"#;
    let site = Site::new(1, rules);
    let config = site.config();
    let event = ["try", "--topic", "site/back/door", "--payload", "open", "--config"];
    let words = [&event[..], &[config.to_str().expect("a path")]].concat();
    let told = String::from_utf8_lossy(&bellwire(&words).stdout).into_owned();
    for part in [
        "nobody is told now; in 5 min, if nothing changes:",
        "to Nino",
        "| Door back is open",
        "[ I take care ]",
    ] {
        assert!(told.contains(part), "{part}: {told}");
    }
    let json = bellwire(&[&words[..], &["--json"]].concat()).stdout;
    let json: serde_json::Value = serde_json::from_slice(&json).expect("JSON");
    assert_eq!(
        (&json["later"]["after_s"], &json["later"]["messages"][0]["to"]),
        (&300.into(), &"nino".into())
    );
}
