//! Never deaf behind a green `/readyz`: what is published comes to us, or the gateway says that it does not.

use std::time::{Duration, Instant};

use bellwire_tests::{
    Broker, Gateway, Loopback, Scripted, Simulator, Site, Subscriber, bellwire, publish, wait_for,
};

use crate::mqtt_contract::obstacle;
use crate::round_trip::FREEZER;

const VERSIONS: [&str; 2] = ["5", "3.1.1"];
const TOPIC: &str = "site/bar/freezer/2/temperature";
const WARM: &[u8] = br#"{"celsius": -12.5}"#;

fn site(port: u16, version: &str) -> Site {
    let mqtt =
        format!("url = \"mqtt://127.0.0.1:{port}\"\nversion = \"{version}\"\nclient_id = \"bellwire-test\"");
    Site::with_mqtt(&mqtt, FREEZER)
}

/// With `[site] owner`, who hears of the gateway itself.
fn owned(site: Site, language: &str) -> Site {
    let text = std::fs::read_to_string(site.config()).unwrap();
    let text =
        text.replacen("[site]\n", &format!("[site]\nlanguage = \"{language}\"\nowner = [\"nino\"]\n"), 1);
    std::fs::write(site.config(), text).unwrap();
    site
}

fn is_ready(site: &Site) -> bool {
    ureq::get(&site.url("/readyz")).call().is_ok()
}

fn text_of(message: &serde_json::Value) -> String {
    message["text"].as_str().unwrap_or_default().to_owned()
}

fn doctor(site: &Site) -> String {
    let found = bellwire(&["doctor", "--config", &site.config().to_string_lossy()]);
    String::from_utf8_lossy(&found.stdout).into_owned()
}

/// A broker that keeps the connection and has lost the session's subscriptions: red within a minute, a new connection, and
/// green when the test message is back. The owner hears of it.
#[test]
fn subscriptions_that_the_broker_lost_are_found_within_a_minute() {
    let play = |version: &'static str| {
        std::thread::spawn(move || {
            let broker = Scripted::start();
            let site = owned(site(broker.port, version), "en");
            let (_simulator, _gateway) = (Simulator::start(&site), Gateway::launch(&site));
            let mut session = broker.accept(10);
            session.welcome(false);
            assert!(session.loops_within(1, Duration::from_secs(5)), "version {version}");
            let began = Instant::now();
            session.loop_as(Loopback::Swallowed);
            wait_for(5, "ready", || is_ready(&site).then_some(()));
            assert!(session.ends_within(Duration::from_secs(60)), "version {version}");
            assert!(began.elapsed() < Duration::from_secs(55), "version {version}: {:?}", began.elapsed());
            obstacle(&site, "events no longer come from the broker");
            // The new connection subscribes to everything, and at first does not help either.
            let mut session = broker.accept(20);
            session.loop_as(Loopback::Swallowed);
            session.welcome(true);
            assert!(session.loops_within(1, Duration::from_secs(5)), "version {version}");
            assert!(!is_ready(&site), "version {version}: nobody knows yet whether this helps");
            assert!(!session.loops_within(2, Duration::from_secs(15)), "version {version}: in peace");
            obstacle(&site, "over a new connection either");
            session.loop_as(Loopback::Back);
            assert!(session.loops_within(2, Duration::from_secs(45)), "version {version}");
            wait_for(15, "ready", || is_ready(&site).then_some(()));
            session.publish(TOPIC, 7, false, WARM);
            let sent = site.wait_sent(2);
            assert!(text_of(&sent[0]).contains("may not reach the gateway"), "version {version}: {sent:?}");
            assert_eq!(sent.len(), 2, "version {version}: told once, and the rule works: {sent:?}");
        })
    };
    for test in VERSIONS.map(play) {
        test.join().unwrap();
    }
}

/// A broker that does not even acknowledge the test message is a dead line, and no lost subscription.
#[test]
fn a_broker_that_answers_nothing_but_pings_is_left() {
    let broker = Scripted::start();
    let site = site(broker.port, "5");
    let _gateway = Gateway::launch(&site);
    let mut session = broker.accept(10);
    session.welcome(false);
    assert!(session.loops_within(1, Duration::from_secs(5)));
    session.loop_as(Loopback::Unanswered);
    assert!(session.ends_within(Duration::from_secs(60)));
    obstacle(&site, "the broker did not answer our own test message");
}

/// Events that come are a proof as good: on a busy line no test message goes.
#[test]
fn where_events_come_no_test_message_is_sent() {
    let broker = Scripted::start();
    let site = site(broker.port, "5");
    let _gateway = Gateway::launch(&site);
    let mut session = broker.accept(10);
    session.welcome(false);
    assert!(session.loops_within(1, Duration::from_secs(5)));
    for id in 1..50 {
        session.publish("site/bar/freezer/2/other", id, false, b"x");
        session.loops_within(2, Duration::from_secs(1));
    }
    assert_eq!(session.looped, 1, "49 s");
}

/// Without the right to its topic the gateway does not know whether events come. It says so and how to help it; what comes
/// is told all the same, and the connection stays.
#[test]
fn missing_rights_for_the_test_message_are_their_own_finding() {
    let play = |version: &'static str| {
        std::thread::spawn(move || {
            let folder = tempfile::tempdir().unwrap();
            let rights = folder.path().join("acl");
            // An access list of the kind that mosquitto takes to mean: granted, and nothing comes.
            std::fs::write(&rights, "topic readwrite site/#\ntopic write bellwire/bellwire-test/status\n")
                .unwrap();
            let broker = Broker::start_with(&format!("acl_file {}", rights.display()));
            let site = owned(site(broker.port, version), "en");
            let (_simulator, _gateway) = (Simulator::start(&site), Gateway::launch(&site));
            obstacle(&site, "nobody knows whether events come");
            obstacle(&site, "topic readwrite bellwire/bellwire-test/loopback");
            publish(broker.port, TOPIC, WARM);
            let sent = site.wait_sent(2);
            let told = sent.iter().map(text_of).find(|text| text.contains("topic readwrite"));
            assert!(told.is_some(), "version {version}: {sent:?} {}", site.log());
            let found = doctor(&site);
            let next = "topic readwrite bellwire/bellwire-test/loopback";
            assert_eq!(found.matches(next).count(), 2, "version {version}: broker and daemon: {found}");
            // mosquitto 2.0.11 may end the connection over what is denied; that is found out, and not done again.
            let connections = site.log().matches("connected to the broker").count();
            std::thread::sleep(Duration::from_secs(5));
            assert!(connections <= 3, "version {version}: {}", site.log());
            assert_eq!(
                site.log().matches("connected to the broker").count(),
                connections,
                "version {version}"
            );
        })
    };
    for test in VERSIONS.map(play) {
        test.join().unwrap();
    }
}

/// A refusal in so many words is told at once, with the broker's reason; and when the right is given it heals by itself.
#[test]
fn a_refused_test_message_is_told_with_the_brokers_reason() {
    let play = |loopback: Loopback| {
        std::thread::spawn(move || {
            let broker = Scripted::start();
            let site = site(broker.port, "5");
            let _gateway = Gateway::launch(&site);
            let mut session = broker.accept(10);
            session.loop_as(loopback);
            session.welcome(false);
            session.loops_within(1, Duration::from_secs(2));
            obstacle(&site, "our own test message on bellwire/bellwire-test/loopback is refused");
            obstacle(&site, "NotAuthorized");
            session.loop_as(Loopback::Back);
            let before = session.looped;
            assert!(session.loops_within(before + 1, Duration::from_secs(100)), "{loopback:?}");
            wait_for(15, "ready", || is_ready(&site).then_some(()));
        })
    };
    for test in [Loopback::Refused(0x87), Loopback::Unread(0x87)].map(play) {
        test.join().unwrap();
    }
}

/// AWS IoT Core ends the connection of who publishes what it may not: rules are worth more than the proof.
#[test]
fn test_messages_pause_when_the_broker_disconnects_over_them() {
    let broker = Scripted::start();
    let site = site(broker.port, "5");
    let (_simulator, _gateway) = (Simulator::start(&site), Gateway::launch(&site));
    for _ in 0..2 {
        let mut session = broker.accept(20);
        session.loop_as(Loopback::Unanswered);
        session.welcome(false);
        assert!(session.loops_within(1, Duration::from_secs(5)));
    }
    let mut session = broker.accept(20);
    session.welcome(true);
    obstacle(&site, "(the broker ends the connection)");
    session.publish(TOPIC, 7, false, WARM);
    assert!(!session.loops_within(1, Duration::from_secs(5)));
    assert_eq!(site.wait_sent(1).len(), 1);
}

/// Two clients with one id: MQTT 5 says so with the first DISCONNECT (0x8E), in every language that the owner reads.
#[test]
fn another_client_with_our_id_is_named_at_once() {
    let languages = [
        ("en", "Another client uses the gateway's MQTT client ID"),
        ("de", "Ein anderer Client benutzt die MQTT-Client-ID"),
        ("fr", "Un autre client utilise l’identifiant MQTT"),
        ("es", "Otro cliente usa el identificador MQTT"),
    ];
    let play = |(language, words): (&'static str, &'static str)| {
        std::thread::spawn(move || {
            let broker = Scripted::start();
            let site = owned(site(broker.port, "5"), language);
            let (_simulator, _gateway) = (Simulator::start(&site), Gateway::launch(&site));
            let mut session = broker.accept(10);
            session.welcome(false);
            assert!(session.loops_within(1, Duration::from_secs(5)));
            session.say_goodbye(0x8e);
            obstacle(&site, "another client has connected with our client id bellwire-test");
            let mut session = broker.accept(10);
            session.welcome(true);
            assert!(session.loops_within(1, Duration::from_secs(5)));
            let told = text_of(&site.wait_sent(1)[0]);
            assert!(told.contains(words) && told.contains("bellwire-test"), "{told}");
            assert!(site.log().contains("another client takes our place at the broker"));
            wait_for(20, "ready", || is_ready(&site).then_some(())); // it stayed away
        })
    };
    for test in languages.map(play) {
        test.join().unwrap();
    }
}

/// With 3.1.1 the broker has no word for it, and closes one connection after the other; so may an MQTT 5 broker.
#[test]
fn repeatedly_closed_connections_mean_another_client() {
    for version in VERSIONS {
        let broker = Scripted::start();
        let site = site(broker.port, version);
        let _gateway = Gateway::launch(&site);
        for _ in 0..3 {
            let mut session = broker.accept(20);
            session.welcome(true);
            session.loops_within(1, Duration::from_secs(5)); // and closes it
        }
        obstacle(&site, "most likely another client has our client id bellwire-test");
        let mut session = broker.accept(20);
        session.welcome(true);
        assert!(!is_ready(&site), "version {version}");
    }
}

/// A real second client that comes back again and again: named within seconds, and not fought at full speed.
#[test]
fn two_clients_with_one_id_are_told_within_seconds() {
    let play = |version: &'static str| {
        std::thread::spawn(move || {
            let broker = Broker::start();
            let site = owned(site(broker.port, version), "en");
            let (_simulator, _gateway) = (Simulator::start(&site), Gateway::start(&site));
            let began = Instant::now();
            let _other = Subscriber::start_with(broker.port, "foo/#", &["-i", "bellwire-test"]);
            obstacle(&site, "our client id bellwire-test");
            assert!(began.elapsed() < Duration::from_secs(15), "version {version}: {:?}", began.elapsed());
            assert!(doctor(&site).contains("our client id bellwire-test"), "version {version}");
            let told = text_of(&site.wait_sent(1)[0]);
            assert!(told.contains("Another client uses the gateway's MQTT client ID"), "{told}");
            std::thread::sleep(Duration::from_secs(20).saturating_sub(began.elapsed()));
            let connections = site.log().matches("connected to the broker").count();
            assert!((2..=9).contains(&connections), "version {version}: {connections} connections in 20 s");
            assert_eq!(site.wait_sent(1).len(), 1, "version {version}: told once");
        })
    };
    for test in VERSIONS.map(play) {
        test.join().unwrap();
    }
}

/// Another client took the id, emptied the session and went: the broker says afterwards that the session is there.
#[test]
fn a_session_that_somebody_emptied_hears_again() {
    for version in VERSIONS {
        let broker = Broker::start();
        let site = site(broker.port, version);
        let (_simulator, _gateway) = (Simulator::start(&site), Gateway::start(&site));
        let kept = if version == "5" { &["-V", "5", "-x", "3600"][..] } else { &["-c"] };
        Subscriber::once(broker.port, "foo/#", &[&["-i", "bellwire-test"], kept].concat());
        wait_for(10, "the next connection", || {
            (site.log().matches("connected to the broker").count() >= 2).then_some(())
        });
        publish(broker.port, TOPIC, WARM);
        assert_eq!(site.wait_sent(1).len(), 1, "version {version}");
    }
}

/// The time that a test message takes is a number for monitors, and it costs the rules nothing: also where a rule listens to
/// its topic, none of it is an event, whoever's it is.
#[test]
fn test_messages_are_no_events_but_a_metric() {
    for version in VERSIONS {
        let broker = Broker::start();
        let all = "[[contact]]\nid = \"nino\"\nphone = \"+995 555 12 34 56\"\n[[rule]]\nname = \"all\"\n\
                   topic = \"+/+/loopback\"\npayload = \"none\"\nmessage = \"x\"\nnotify = [\"nino\"]\n";
        let mqtt = format!("url = \"mqtt://127.0.0.1:{}\"\nversion = \"{version}\"", broker.port);
        let site = Site::with_mqtt(&mqtt, all);
        let _gateway = Gateway::start(&site);
        let metrics = || ureq::get(&site.url("/metrics")).call().ok()?.body_mut().read_to_string().ok();
        wait_for(10, "a round trip", || {
            metrics()?.contains("bellwire_mqtt_round_trip_seconds_count 1").then_some(())
        });
        publish(broker.port, "bellwire/another-gateway/loopback", b"n 1");
        publish(broker.port, "site/bar/loopback", b"x"); // after it
        let topics = "SELECT group_concat(topic) FROM event";
        let topics = wait_for(10, "the event", || {
            site.database().query_row(topics, [], |row| row.get::<_, Option<String>>(0)).unwrap_or_default()
        });
        assert_eq!(topics, "site/bar/loopback", "version {version}");
        let counted = "bellwire_events_received_total{source=\"mqtt\"} 1";
        assert!(metrics().unwrap().contains(counted), "version {version}");
    }
}

/// Two gateways of one name, or of names without a Latin letter, are two clients of the broker; and one that starts again is
/// itself, as is one whose database is from before.
#[test]
fn each_installation_keeps_its_own_client_id() {
    let broker = Broker::start();
    let id_of = |site: &Site| {
        drop(Gateway::start(site));
        let log = site.log();
        let last = log.lines().rev().find(|line| line.contains("client_id=")).expect("it says so");
        last.split("client_id=").nth(1).unwrap().split(' ').next().unwrap().trim_matches('"').to_owned()
    };
    let named = |name: &str| {
        let site = Site::new(broker.port, FREEZER);
        let text = std::fs::read_to_string(site.config()).unwrap();
        let text = text.replace("name = \"Test\"", &format!("name = \"{name}\""));
        std::fs::write(site.config(), text.replace("client_id = \"bellwire-test\"\n", "")).unwrap();
        site
    };
    let mut all = std::collections::BTreeSet::new();
    for (name, start) in
        [("料理店", "bellwire-site-"), ("Ψυγείο", "bellwire-site-"), ("Bar", "bellwire-bar-")]
    {
        for site in [named(name), named(name)] {
            let id = id_of(&site);
            assert!(id.starts_with(start), "{name}: {id}");
            assert_eq!(id_of(&site), id, "{name}: after a restart");
            assert!(doctor(&site).contains(&format!("our client id is {id}")), "{name}");
            assert!(all.insert(id), "{name}: {all:?}");
        }
    }
    let old = named("Bar");
    drop(Gateway::start(&old));
    let mark = "INSERT INTO meta VALUES ('client_id_by_site', '1')"; // as the migration leaves it
    old.database().execute(mark, []).unwrap();
    assert_eq!(id_of(&old), "bellwire-bar");
}

/// Without an id the broker keeps nothing for us, and an MQTT 3.1.1 broker does not even let us in.
#[test]
fn an_empty_client_id_is_refused_with_the_next_step() {
    let site = Site::with_mqtt("url = \"mqtt://127.0.0.1:1\"\nclient_id = \"\"", FREEZER);
    for command in ["check", "run"] {
        let output = bellwire(&[command, "--config", &site.config().to_string_lossy()]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(78), "{command}: {said}");
        assert!(
            said.contains("client_id is empty") && said.contains("leave the line out"),
            "{command}: {said}"
        );
    }
}
