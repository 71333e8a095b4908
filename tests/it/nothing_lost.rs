use std::collections::BTreeMap;
use std::time::Duration;

use bellwire_tests::{Broker, Gateway, Simulator, Site, publish, publish_lines, wait_for};

const EVENTS: usize = 1_000;
const CONTACTS: usize = 50;

/// One rule for each contact, so that each event has one recipient: 20 a person, of which ten leave one by one.
fn rules() -> String {
    (0..CONTACTS)
        .map(|n| {
            format!(
                "[[contact]]\nid = \"c{n}\"\nphone = \"+1555010{n:04}\"\n[[rule]]\nname = \"r{n}\"\ntopic = \"till/{n}\"\n\
                 message = \"event {{{{ payload.n }}}} for {n}\"\nnotify = [\"c{n}\"]\n"
            )
        })
        .collect()
}

/// The first line of each alert in a message; in a digest it stands behind a number and a mark, before the time.
fn words_of(text: &str) -> Vec<String> {
    let item =
        |line: &str| line.splitn(3, ' ').nth(2).and_then(|item| item.split(" · ").next()).map(str::to_owned);
    match text.strip_prefix("🔔") {
        Some(digest) => digest.lines().skip(1).filter_map(item).collect(),
        None => text.lines().take(1).map(str::to_owned).collect(),
    }
}

#[test]
fn a_thousand_events_survive_ten_kills_and_two_broker_restarts() {
    let mut broker = Broker::start();
    let site = Site::new(broker.port, &rules());
    // Subscribed once, so that the broker keeps events for us from the first on.
    let mut gateway = Gateway::start(&site);
    let mut random = 0x2545_f491_u32; // xorshift: the moments differ, and are the same in every run
    for round in 0..10 {
        for till in 0..CONTACTS / 10 {
            let till = round * (CONTACTS / 10) + till;
            let lines: Vec<String> =
                (0..EVENTS / CONTACTS).map(|n| format!("{{\"n\": {}}}", till * 20 + n)).collect();
            publish_lines(broker.port, &format!("till/{till}"), &lines);
        }
        random ^= random << 13;
        random ^= random >> 17;
        random ^= random << 5;
        std::thread::sleep(Duration::from_millis(u64::from(random % 120)));
        gateway.kill();
        if round == 3 || round == 7 {
            broker.restart();
        }
        gateway = Gateway::launch(&site);
    }
    let simulator = Simulator::start(&site);
    let arrived = || {
        let mut texts: BTreeMap<String, usize> = BTreeMap::new();
        for message in site.sent() {
            for words in words_of(message["text"].as_str().unwrap_or_default()) {
                *texts.entry(words).or_default() += 1;
            }
        }
        texts
    };
    wait_for(120, "the words of a thousand events", || (arrived().len() == EVENTS).then_some(()));
    let open = "SELECT count(*) FROM message WHERE state IN ('queued', 'sending', 'unknown')";
    wait_for(90, "an empty queue", || (site.count(open) == 0).then_some(()));
    let texts = arrived();
    assert_eq!(texts.len(), EVENTS, "each event's own words arrived");
    assert_eq!(
        site.count("SELECT count(*) FROM alert"),
        EVENTS as i64,
        "no redelivery raised a second alert"
    );
    for (text, count) in texts.iter().filter(|(_, count)| **count > 1) {
        let marked =
            format!("SELECT count(*) FROM message WHERE possible_duplicate = 1 AND content LIKE '%{text}%'");
        assert!(site.count(&marked) >= 1, "`{text}` came {count} times, and no row says so");
    }
    drop((simulator, gateway));
}

#[test]
fn a_kill_under_way_is_marked_and_sent_again() {
    let broker = Broker::start();
    let site = Site::new(broker.port, crate::round_trip::FREEZER);
    let _simulator = Simulator::start(&site);
    let gateway = Gateway::start(&site);
    // The message is taken, no status comes, and the answer never: it may have gone out, for all that we can know.
    site.fault(&serde_json::json!({ "hang_after_accept": true, "count": 1, "statuses": { "drop": true } }));
    publish(broker.port, "site/bar/freezer/2/temperature", br#"{"celsius": -12.5}"#);
    assert_eq!(site.wait_sent(1).len(), 1);
    gateway.kill();
    let gateway = Gateway::start(&site);
    assert_eq!(site.show(1)["state"], "unknown");
    wait_for(40, "the second copy", || (site.sent().len() == 2).then_some(()));
    wait_for(10, "its receipt", || (site.show(1)["state"] == "read").then_some(()));
    let shown = site.show(1);
    assert_eq!(shown["possible_duplicate"], true);
    assert_eq!(shown["attempts"].as_array().map(Vec::len), Some(2));
    let first = &shown["attempts"][0];
    assert_eq!(first["outcome"], "the gateway stopped before the answer came");
    assert_eq!(first["http_status"], serde_json::Value::Null);
    assert_eq!(gateway.stop(), Some(0));
}

#[test]
fn a_status_settles_what_a_lost_answer_left_open() {
    let broker = Broker::start();
    let site = Site::new(broker.port, crate::round_trip::FREEZER);
    let _simulator = Simulator::start(&site);
    let _gateway = Gateway::start(&site);
    site.fault(&serde_json::json!({ "reset_after_accept": true, "count": 1 }));
    publish(broker.port, "site/bar/freezer/2/temperature", br#"{"celsius": -12.5}"#);
    wait_for(10, "the receipt", || {
        let read = "SELECT count(*) FROM message WHERE state = 'read'";
        (site.path().join("state/bellwire.db").exists() && site.count(read) == 1).then_some(())
    });
    std::thread::sleep(Duration::from_secs(1));
    assert_eq!(site.sent().len(), 1, "the status proved that it went out: no second copy");
    assert_eq!(site.show(1)["possible_duplicate"], false);
}

/// A request that is never answered is given up after 30 s (docs/reliability.md F38); what its status proved meanwhile stays.
#[test]
fn a_request_that_hangs_is_given_up() {
    let play = |statuses: bool| {
        std::thread::spawn(move || {
            let broker = Broker::start();
            let site = Site::new(broker.port, crate::round_trip::FREEZER);
            let _simulator = Simulator::start(&site);
            let _gateway = Gateway::start(&site);
            let drop = serde_json::json!({ "drop": !statuses });
            site.fault(&serde_json::json!({ "hang_after_accept": true, "count": 1, "statuses": drop }));
            publish(broker.port, "site/bar/freezer/2/temperature", br#"{"celsius": -12.5}"#);
            let state = if statuses { "read" } else { "unknown" };
            wait_for(40, "the end of the first attempt", || {
                let shown = (site.count("SELECT count(*) FROM message") == 1).then(|| site.show(1))?;
                let ended = shown["attempts"][0]["outcome"].as_str().unwrap_or_default().to_owned();
                (shown["state"] == state && ended.contains("no answer came within 30 s")).then_some(())
            });
            assert_eq!(site.sent().len(), 1);
        })
    };
    for test in [true, false].map(play) {
        test.join().expect("passed");
    }
}
