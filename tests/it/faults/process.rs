//! What a kernel gives too little of, or takes away.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Stdio;
use std::time::{Duration, Instant};

use bellwire_tests::{Broker, Gateway, Simulator, Site, publish_lines, wait_for};
use serde_json::json;

use super::{flood, messages, warm};
use crate::round_trip::FREEZER;

/// SIGTERM while answers are on their way: they are waited for, nothing goes out twice.
#[test]
fn f12_an_end_in_the_middle_sends_nothing_twice() {
    let broker = Broker::start();
    let site = Site::new(broker.port, FREEZER);
    let _simulator = Simulator::start(&site);
    site.fault(&json!({ "delay_ms": 1_500, "count": 100 }));
    let mut runs = 0;
    warm(&broker, 1..=1); // nobody listens yet: not an event of ours
    let first = Gateway::start(&site);
    warm(&broker, 1..=12);
    wait_for(10, "the alerts", || (messages(&site) == 12).then_some(()));
    let mut gateway = Some(first);
    while site.count("SELECT count(*) FROM message WHERE state IN ('queued', 'sending')") > 0 && runs < 6 {
        runs += 1;
        std::thread::sleep(Duration::from_millis(700));
        let begin = Instant::now();
        assert_eq!(gateway.take().map(Gateway::stop), Some(Some(0)));
        assert!(begin.elapsed() < Duration::from_secs(15), "{:?}", begin.elapsed());
        assert_eq!(site.count("SELECT count(*) FROM message WHERE state = 'sending'"), 0);
        gateway = Some(Gateway::start(&site));
    }
    wait_for(60, "every message", || {
        (site.count("SELECT count(*) FROM message WHERE state IN ('queued', 'sending', 'unknown')") == 0)
            .then_some(())
    });
    assert_eq!(site.count("SELECT count(*) FROM message WHERE possible_duplicate = 1"), 0);
    assert_eq!(site.count("SELECT max(attempts) FROM message"), 1, "each was sent once");
}

fn resident_kib(gateway: &Gateway) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", gateway.id())).expect("it runs");
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).expect("a line");
    line.split_whitespace().nth(1).and_then(|number| number.parse().ok()).expect("a number")
}

/// 20,000 events as fast as the broker gives them: the peak of memory does not follow their number.
#[test]
fn f13_f26_a_flood_does_not_grow_the_memory() {
    let broker = Broker::start();
    let site = Site::new(broker.port, FREEZER);
    let _simulator = Simulator::start(&site);
    let gateway = Gateway::start(&site);
    let counted = |count: i64| {
        wait_for(120, "every event counted", || {
            (site.count("SELECT coalesce(sum(count), 0) FROM tally") >= count).then_some(())
        });
    };
    flood(&broker, 2_000);
    counted(2_000);
    let before = resident_kib(&gateway);
    flood(&broker, 20_000);
    counted(22_000);
    let after = resident_kib(&gateway);
    assert!(after < before + 4_096, "{before} KiB before, {after} KiB after");
    assert_eq!(site.count("SELECT sum(count) FROM tally"), 22_000, "each is in a sum");
}

/// A house whose devices keep their last word at the broker: 5,000 topics, all warm enough for an alert. Each is a state of
/// some time ago, so nobody hears of it, and what happens next is told.
#[test]
fn f25_five_thousand_retained_messages_alert_nobody() {
    let broker = Broker::start();
    let site = Site::new(broker.port, FREEZER);
    let mut house = TcpStream::connect(("127.0.0.1", broker.port)).expect("the broker");
    let connect = b"\x10\x11\x00\x04MQTT\x04\x02\x00\x3c\x00\x05house"; // MQTT 3.1.1, a clean session
    house.write_all(connect).expect("written");
    house.read_exact(&mut [0; 4]).expect("a CONNACK");
    for unit in 0..5_000 {
        let topic = format!("site/bar/freezer/{unit:04}/temperature");
        let payload = br#"{"celsius": -1}"#;
        let length = 2 + topic.len() + payload.len();
        let mut packet =
            vec![0x31, u8::try_from(length).expect("short"), 0, u8::try_from(topic.len()).expect("short")];
        packet.extend_from_slice(topic.as_bytes());
        packet.extend_from_slice(payload);
        house.write_all(&packet).expect("written");
    }
    house.write_all(b"\xc0\x00").expect("written");
    house.read_exact(&mut [0; 2]).expect("a PINGRESP: the broker has them all");
    let _simulator = Simulator::start(&site);
    let gateway = Gateway::start(&site);
    wait_for(60, "every state", || {
        (site.count("SELECT coalesce(sum(count), 0) FROM tally WHERE outcome = 'retained'") == 5_000)
            .then_some(())
    });
    assert_eq!(site.count("SELECT count(*) FROM event"), 0);
    warm(&broker, 1..=1);
    assert_eq!(site.wait_sent(1).len(), 1);
    assert_eq!(messages(&site), 1);
    assert_eq!(gateway.stop(), Some(0));
}

/// 40 sockets that say nothing and 32 descriptors: the servers wait, and alerts go out.
#[test]
fn f14_without_descriptors_alerts_still_go_out() {
    let broker = Broker::start();
    let site = Site::new(broker.port, FREEZER);
    let _simulator = Simulator::start(&site);
    let gateway = Gateway::launch_under(&site, &["prlimit", "--nofile=32"], &[]);
    gateway.wait_ready(&site);
    warm(&broker, 1..=1);
    let _arrived = site.wait_sent(1); // its connection to the Cloud API is open
    let idle: Vec<TcpStream> =
        (0..40).filter_map(|_| TcpStream::connect(("127.0.0.1", site.http_port)).ok()).collect();
    warm(&broker, 2..=4);
    let _arrived = site.wait_sent(4);
    drop(idle);
    wait_for(20, "the servers", || ureq::get(&site.url("/healthz")).call().ok());
    assert_eq!(gateway.stop(), Some(0));
}

/// A journal that hangs: nobody reads the pipe.
#[test]
fn f16_a_log_that_nobody_reads_holds_nothing_up() {
    let broker = Broker::start();
    let site = Site::new(broker.port, FREEZER);
    let _simulator = Simulator::start(&site);
    let (mut reader, writer) = std::io::pipe().expect("a pipe");
    let gateway = Gateway::spawn(&site, &[], &[("BELLWIRE_LOG", "trace")], Stdio::from(writer));
    gateway.wait_ready(&site);
    let words = vec!["warm".to_owned(); 3_000]; // each is worth a line: more than a pipe and the queue hold
    publish_lines(broker.port, "site/bar/freezer/9/temperature", &words);
    warm(&broker, 1..=3);
    let _arrived = site.wait_sent(3);
    let metrics =
        ureq::get(&site.url("/metrics")).call().expect("metrics").body_mut().read_to_string().expect("text");
    let dropped =
        metrics.lines().find_map(|line| line.strip_prefix("bellwire_dropped_total{where=\"log\"} "));
    let dropped: u64 = dropped.and_then(|count| count.parse().ok()).expect("a count");
    assert!(dropped > 0, "lines were dropped, and counted");
    let mut some = [0; 1_024];
    assert!(reader.read(&mut some).expect("lines") > 0);
    drop(reader);
    assert_eq!(gateway.stop(), Some(0));
}
