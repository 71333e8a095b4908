//! The contract of the MQTT adapter (C1 to C11) where a real broker would have to misbehave.

use std::time::{Duration, Instant};

use bellwire_tests::{Gateway, Kind, Packet, Scripted, Session, Simulator, Site, post_json, wait_for};
use serde_json::json;

use crate::round_trip::FREEZER;

const VERSIONS: [&str; 2] = ["5", "3.1.1"];
const TOPIC: &str = "site/bar/freezer/2/temperature";
const WARM: &[u8] = br#"{"celsius": -12.5}"#;

fn site(broker: &Scripted, version: &str) -> Site {
    let mqtt = format!("url = \"mqtt://127.0.0.1:{}\"\nversion = \"{version}\"", broker.port);
    Site::with_mqtt(&mqtt, FREEZER)
}

/// A gateway that is connected and waits for the answer to its SUBSCRIBE.
fn subscribing(version: &str) -> (Scripted, Site, Gateway, Session, Packet) {
    let broker = Scripted::start();
    let site = site(&broker, version);
    let gateway = Gateway::launch(&site);
    let mut session = broker.accept(10);
    session.connack(false);
    let subscribe = session.expect(Kind::Subscribe);
    (broker, site, gateway, session, subscribe)
}

fn tap(site: &Site) {
    let tap = json!({ "from": "+995555123456", "tap": "Stop defrost" });
    assert_eq!(post_json(&site.api("/_simulator/reply"), &tap).0, 200);
}

/// Raises one alert and waits until it can be tapped.
fn raise(site: &Site, session: &mut Session) {
    session.publish(TOPIC, 1, false, WARM);
    assert_eq!(session.expect(Kind::PubAck).id, 1);
    assert_eq!(site.wait_sent(1).len(), 1);
}

fn command_state(site: &Site) -> (String, String) {
    let read =
        |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get::<_, Option<String>>(1)?.unwrap_or_default()));
    site.database().query_row("SELECT state, reason FROM command", [], read).unwrap_or_default()
}

/// C3: published again in the next connection, until the broker has acknowledged it, and marked only then.
#[test]
fn a_command_is_published_until_it_is_acknowledged() {
    for version in VERSIONS {
        let broker = Scripted::start();
        let site = site(&broker, version);
        let (_simulator, _gateway) = (Simulator::start(&site), Gateway::launch(&site));
        let mut session = broker.accept(10);
        session.welcome(false);
        raise(&site, &mut session);
        tap(&site);
        for _ in 0..2 {
            let command = session.expect(Kind::Publish);
            assert_eq!(command.topic, "site/bar/freezer/2/set", "version {version}");
            assert_eq!(command_state(&site).0, "queued", "version {version}: not acknowledged yet");
            drop(session);
            session = broker.accept(10);
            session.welcome(true);
        }
        let command = session.expect(Kind::Publish);
        session.puback(command.id, 0);
        wait_for(5, "the mark", || (command_state(&site).0 == "published").then_some(()));
    }
}

/// C9: a PUBACK with a reason of 0x80 or more is a refusal (MQTT 5, 3.4.2.1), told by name and not repeated.
#[test]
fn a_command_that_the_broker_refuses_is_told() {
    let broker = Scripted::start();
    let site = site(&broker, "5");
    let (_simulator, _gateway) = (Simulator::start(&site), Gateway::launch(&site));
    let mut session = broker.accept(10);
    session.welcome(false);
    raise(&site, &mut session);
    tap(&site);
    let command = session.expect(Kind::Publish);
    session.puback(command.id, 0x87);
    let (_, reason) =
        wait_for(5, "the refusal", || Some(command_state(&site)).filter(|(state, _)| state == "refused"));
    assert!(reason.contains("NotAuthorized"), "{reason}");
}

/// C8: a subscription that is refused is an obstacle, not a line in a log; and it is asked for again.
#[test]
fn a_refused_subscription_is_told_and_asked_for_again() {
    for (version, code) in [("5", 0x87), ("3.1.1", 0x80)] {
        let (broker, site, _gateway, mut session, subscribe) = subscribing(version);
        session.suback(subscribe.id, &vec![code; subscribe.filters]);
        crate::mqtt_contract::obstacle(
            &site,
            "the broker refused the subscription to site/+/freezer/+/temperature",
        );
        drop(session);
        let mut session = broker.accept(10);
        session.connack(true); // the session is kept; the subscription is not in it
        let subscribe = session.expect(Kind::Subscribe);
        session.suback(subscribe.id, &vec![1; subscribe.filters]);
        wait_for(10, "ready", || ureq::get(&site.url("/readyz")).call().ok());
    }
}

/// C8: what is published before the broker subscribes us goes to nobody, so that whoever waits for readiness must not publish yet.
#[test]
fn it_is_ready_only_once_the_broker_has_subscribed_it() {
    for version in VERSIONS {
        let (_broker, site, _gateway, mut session, subscribe) = subscribing(version);
        crate::mqtt_contract::obstacle(&site, "the broker has not answered all subscriptions yet");
        session.suback(subscribe.id, &vec![1; subscribe.filters]);
        wait_for(10, "ready", || ureq::get(&site.url("/readyz")).call().ok());
    }
}

/// A broker may keep a session and lose its subscriptions: what it says of the session is no reason not to subscribe.
#[test]
fn every_connection_subscribes_though_the_session_is_present() {
    for version in VERSIONS {
        let broker = Scripted::start();
        let site = site(&broker, version);
        let _gateway = Gateway::launch(&site);
        broker.accept(10).welcome(false);
        for _ in 0..2 {
            let mut session = broker.accept(10);
            session.connack(true);
            let subscribe = session.expect(Kind::Subscribe);
            session.suback(subscribe.id, &vec![1; subscribe.filters]);
        }
    }
}

/// A connection that ends before the SUBACK leaves nothing to rely on.
#[test]
fn a_subscription_without_an_answer_is_asked_for_again() {
    for version in VERSIONS {
        let (broker, _site, _gateway, session, _) = subscribing(version);
        drop(session);
        let mut session = broker.accept(10);
        session.connack(true);
        session.expect(Kind::Subscribe);
    }
}

/// docs/reliability.md E4, F24: an acknowledgement of something that was never sent may break the library's state; a new
/// connection heals it.
#[test]
fn a_wild_acknowledgement_costs_a_connection_at_most() {
    for version in VERSIONS {
        let broker = Scripted::start();
        let site = site(&broker, version);
        let (_simulator, _gateway) = (Simulator::start(&site), Gateway::launch(&site));
        let mut session = broker.accept(10);
        session.welcome(false);
        session.puback(31, 0);
        if session.ends_within(Duration::from_secs(2)) {
            session = broker.accept(10);
            session.welcome(true);
        }
        raise(&site, &mut session);
    }
}

/// C11, F29: what the broker sends again with DUP is the same event; what it sends without is another.
#[test]
fn what_the_broker_sends_again_is_one_event() {
    for version in VERSIONS {
        let broker = Scripted::start();
        let site = site(&broker, version);
        let (_simulator, _gateway) = (Simulator::start(&site), Gateway::launch(&site));
        let mut session = broker.accept(10);
        session.welcome(false);
        raise(&site, &mut session);
        session.publish(TOPIC, 1, true, WARM);
        session.expect(Kind::PubAck);
        session.publish(TOPIC, 2, false, WARM);
        session.expect(Kind::PubAck);
        assert_eq!(site.count("SELECT count(*) FROM alert"), 2, "version {version}");
    }
}

/// F23: TCP accepts and nothing comes. Ten seconds, then again.
#[test]
fn a_broker_that_never_answers_is_left() {
    for version in VERSIONS {
        let broker = Scripted::start();
        let site = site(&broker, version);
        let _gateway = Gateway::launch(&site);
        let waited = broker.accept(10).keep_silent(Duration::from_secs(20));
        assert!((9..=12).contains(&waited.as_secs()), "version {version}: {waited:?}");
        crate::mqtt_contract::obstacle(&site, "the broker is not connected: ");
        broker.accept(10).welcome(false);
    }
}

/// F22: a line that is half open is found within one and a half keep-alives, 45 s.
#[test]
fn a_line_that_died_silently_is_found() {
    let play = |version: &'static str| {
        std::thread::spawn(move || {
            let broker = Scripted::start();
            let site = site(&broker, version);
            let _gateway = Gateway::launch(&site);
            let mut session = broker.accept(10);
            session.welcome(false);
            let waited = session.keep_silent(Duration::from_secs(70));
            assert!(waited <= Duration::from_secs(62), "version {version}: {waited:?}");
            broker.accept(10).welcome(true);
        })
    };
    for test in VERSIONS.map(play) {
        test.join().unwrap();
    }
}

/// C4: a broker that refuses is not hammered: 250 ms, doubling, with jitter.
#[test]
fn a_broker_that_is_away_is_asked_ever_more_slowly() {
    let broker = Scripted::start();
    let site = site(&broker, "5");
    let _gateway = Gateway::launch(&site);
    let asked = broker.refuse_for(Duration::from_secs(12));
    assert!((3..=12).contains(&asked), "{asked} connections in 12 s");
    // A long pause must not follow: it grows to a minute only after ten failures.
    let began = Instant::now();
    broker.accept(20).welcome(false);
    assert!(began.elapsed() < Duration::from_secs(20));
}
