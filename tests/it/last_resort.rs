//! When WhatsApp itself fails: another program hears of it by HTTP, and nobody gets a pile of repetitions afterwards.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::mpsc;
use std::time::Duration;

use bellwire_tests::{Broker, Gateway, Simulator, Site, bellwire, publish, wait_for};
use serde_json::{Value, json};

use crate::faults::clock::Watch;

/// Takes one request after the other; the first is refused, so that a second try is seen.
fn listener() -> (u16, mpsc::Receiver<Value>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let (sender, posts) = mpsc::channel();
    std::thread::spawn(move || {
        let mut refuse = true;
        for stream in listener.incoming() {
            let mut stream = stream.expect("a connection");
            let (mut text, mut part) = (Vec::new(), [0; 4_096]);
            let body = loop {
                let read = stream.read(&mut part).expect("readable");
                text.extend_from_slice(&part[..read]);
                let whole = String::from_utf8_lossy(&text).into_owned();
                let body = whole.split_once("\r\n\r\n").map(|(_, body)| body.to_owned());
                match body.and_then(|body| serde_json::from_str(&body).ok()) {
                    Some(body) => break body,
                    None => assert!(read > 0, "{whole}"),
                }
            };
            let status = if refuse { "503 Service Unavailable" } else { "204 No Content" };
            refuse = false;
            write!(stream, "HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
                .expect("written");
            drop(sender.send(body)); // the test may have ended
        }
    });
    (port, posts)
}

#[test]
fn when_whatsapp_fails_another_program_is_told_by_http() {
    let (broker, (port, posts)) = (Broker::start(), listener());
    let site = Site::new(
        broker.port,
        &format!(
            r#"
[[contact]]
id = "nino"
phone = "+995 555 12 34 56"
[[rule]]
name = "freezer"
topic = "site/{{unit}}/temperature"
when = "payload > -15"
message = "Freezer {{{{ unit }}}} is at {{{{ payload }}}}"
severity = "critical"
notify = ["nino"]
escalate = [{{ after = "1s", unless = "delivered", url = "http://127.0.0.1:{port}/alarm" }}]
"#
        ),
    );
    let (_simulator, gateway) = (Simulator::start(&site), Gateway::start(&site));
    site.fault(&json!({ "status": 500 }));
    publish(broker.port, "site/2/temperature", b"-3");
    let refused = posts.recv_timeout(Duration::from_secs(20)).expect("a post");
    let body = posts.recv_timeout(Duration::from_secs(40)).expect("a second try");
    assert_eq!(refused, body);
    assert_eq!((&body["rule"], &body["key"]), (&json!("freezer"), &json!("unit=2")), "{body}");
    assert_eq!((&body["severity"], &body["labels"]["unit"]), (&json!("critical"), &json!("2")), "{body}");
    assert!(body["text"].as_str().is_some_and(|text| text.contains("Freezer 2 is at -3")), "{body}");
    wait_for(10, "the outcome", || {
        (site.count("SELECT count(*) FROM post WHERE state = 'done'") == 1).then_some(())
    });
    let config = site.config();
    let why = bellwire(&["why", "1", "--config", config.to_str().expect("a path")]);
    let why = String::from_utf8_lossy(&why.stdout).into_owned();
    assert!(why.contains("step 1: posted to http://127.0.0.1:"), "{why}");
    assert!(why.contains("answered 503") && !why.contains("/alarm"), "a path may hold a secret: {why}");
    assert_eq!(site.sent().len(), 0);
    assert_eq!(gateway.stop(), Some(0));
}

#[test]
fn a_repetition_replaces_the_waiting_message() {
    let broker = Broker::start();
    let site = Site::new(
        broker.port,
        r#"
[[contact]]
id = "nino"
phone = "+995 555 12 34 56"
[[rule]]
name = "freezer"
topic = "site/{unit}/temperature"
when = "payload > -15"
message = "Freezer {{ unit }} is at {{ payload }}"
notify = ["nino"]
repeat_interval = "1m"
buttons = ["acknowledge"]
"#,
    );
    let watch = Watch::new(&site);
    watch.set("+0");
    let mut gateway = watch.start(&site); // nothing answers where the Cloud API should be
    gateway.wait_ready(&site);
    publish(broker.port, "site/2/temperature", b"-3");
    let written = || site.count("SELECT count(*) FROM message");
    wait_for(20, "the first message", || (written() == 1).then_some(()));
    // An interval is a minute at least: three pass while the gateway is off.
    for repetition in 1..=3 {
        assert_eq!(gateway.stop(), Some(0));
        watch.set(&format!("+{}s", repetition * 61));
        gateway = watch.start(&site);
        gateway.wait_ready(&site);
        wait_for(20, "a repetition", || (written() > repetition).then_some(()));
    }
    let waiting = site.count("SELECT count(*) FROM message WHERE state IN ('queued', 'sending')");
    assert!(waiting <= 2, "{waiting} wait"); // one that was just being tried is left alone
    let replaced = site.count("SELECT count(*) FROM message WHERE reason LIKE '%same alert%'");
    assert!(replaced >= 2, "{replaced} of three made room");
    let config = site.config();
    let run = |words: &[&str]| bellwire(&[words, &["--config", config.to_str().expect("a path")]].concat());
    let why = run(&["why", "1"]);
    let why = String::from_utf8_lossy(&why.stdout).into_owned();
    assert!(why.contains("to nino is cancelled: it had not left when the next one"), "{why}");
    assert!(run(&["alerts", "ack", "1", "--by", "nino"]).status.success());
    wait_for(10, "the end of repetitions", || {
        (site.count("SELECT count(*) FROM alert WHERE state = 'acknowledged'") == 1).then_some(())
    });
    let _simulator = Simulator::start(&site);
    let sent = wait_for(90, "messages", || Some(site.sent()).filter(|sent| !sent.is_empty()));
    std::thread::sleep(Duration::from_secs(2));
    let texts: Vec<&str> = sent.iter().filter_map(|sent| sent["text"].as_str()).collect();
    assert!(site.sent().len() <= 3, "no pile of repetitions: {texts:?}");
    assert_eq!(gateway.stop(), Some(0));
}
