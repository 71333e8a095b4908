use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use bellwire_tests::{Broker, Gateway, Simulator, Site, free_port, publish, wait_for};
use ureq::tls::{Certificate, RootCerts, TlsConfig};

use super::{code, get, log_in, start};
use crate::round_trip::FREEZER;

/// More keys under [http].
fn with_http(site: &Site, keys: &str) {
    let config = std::fs::read_to_string(site.config()).unwrap();
    std::fs::write(site.config(), config.replace("[http]\n", &format!("[http]\n{keys}\n"))).unwrap();
}

/// A certificate for this machine, written; whoever trusts it and nothing else.
fn certificate(site: &Site) -> ureq::Agent {
    let made = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
    let key = site.path().join("page-key.pem");
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    std::fs::set_permissions(&key, Permissions::from_mode(0o600)).unwrap();
    std::fs::write(site.path().join("page.pem"), made.cert.pem()).unwrap();
    let trusted = RootCerts::new_with_certs(&[Certificate::from_pem(made.cert.pem().as_bytes()).unwrap()]);
    let tls = TlsConfig::builder().root_certs(trusted).build();
    let config = ureq::Agent::config_builder().tls_config(tls).max_redirects(0).http_status_as_error(false);
    config.timeout_global(Some(Duration::from_secs(10))).build().new_agent()
}

#[test]
fn the_page_speaks_tls_and_takes_a_renewed_certificate() {
    let broker = Broker::start();
    let site = Site::new(broker.port, FREEZER);
    with_http(&site, "certificate_file = \"page.pem\"\nkey_file = \"page-key.pem\"");
    let trusting = certificate(&site);
    let _gateway = Gateway::launch(&site);
    let url = format!("https://127.0.0.1:{}", site.http_port);
    wait_for(20, "TLS", || trusting.get(&format!("{url}/healthz")).call().ok());
    let fields = format!("code={}&password=correct+horse&again=correct+horse", code(&site));
    let form = trusting.post(&format!("{url}/welcome")).content_type("application/x-www-form-urlencoded");
    let answer = form.send(fields).unwrap();
    let cookie = answer.headers()["set-cookie"].to_str().unwrap().to_owned();
    assert!(cookie.contains("; Secure") && cookie.contains("HttpOnly"), "{cookie}");
    let plain = format!("http://127.0.0.1:{}/login", site.http_port);
    assert!(ureq::get(&plain).call().is_err(), "nothing is said without TLS");

    std::thread::sleep(Duration::from_millis(20)); // a file's time has milliseconds here
    let renewed = certificate(&site);
    assert_eq!(renewed.get(&format!("{url}/healthz")).call().unwrap().status(), 200);
    std::fs::write(site.path().join("page.pem"), "nonsense").unwrap();
    assert_eq!(
        renewed.get(&format!("{url}/healthz")).call().unwrap().status(),
        200,
        "the one before still is"
    );
}

#[test]
fn metrics_can_have_their_own_listener() {
    let broker = Broker::start();
    let site = Site::new(broker.port, FREEZER);
    let port = free_port();
    with_http(&site, &format!("metrics_listen = \"127.0.0.1:{port}\"\nnames = [\"pi.example\"]"));
    let _gateway = Gateway::start(&site);
    let ask = |path: &str| ureq::get(&format!("http://127.0.0.1:{port}{path}")).call();
    let numbers = ask("/metrics").unwrap().body_mut().read_to_string().unwrap();
    for name in ["bellwire_mqtt_connected", "bellwire_outbox_oldest_seconds", "bellwire_build_info"] {
        assert!(numbers.contains(&format!("# TYPE {name} ")), "{name} in {numbers}");
    }
    for path in ["/", "/login", "/api/messages", "/webhook/whatsapp"] {
        assert!(matches!(ask(path), Err(ureq::Error::StatusCode(404))), "{path}: numbers and nothing else");
    }
    // A page somewhere, through a browser that can reach the door.
    let named = |host: &str| {
        ureq::get(&format!("http://127.0.0.1:{port}/metrics"))
            .header("Host", host)
            .call()
            .map(|answer| answer.status())
    };
    assert!(named("pi.example:9464").is_ok());
    assert!(matches!(named("evil.example"), Err(ureq::Error::StatusCode(421))));
}

/// A dashboard that asks for a number or a label that is not there shows nothing, and nobody notices.
#[test]
fn every_metric_of_dashboard_and_rules_exists() {
    let (broker, site, _gateway) = start(FREEZER);
    let _simulator = Simulator::start(&site);
    bellwire_tests::publish(broker.port, "site/bar/freezer/2/temperature", br#"{"celsius": -12.5}"#);
    assert_eq!(site.wait_sent(1).len(), 1);
    let tap = serde_json::json!({ "from": "+995555123456", "tap": "Stop defrost" });
    assert_eq!(bellwire_tests::post_json(&site.api("/_simulator/reply"), &tap).0, 200);
    // One that stays, so that the outbox has a state to tell.
    site.fault(&serde_json::json!({ "reset_before_accept": true }));
    bellwire_tests::publish(broker.port, "site/bar/freezer/3/temperature", br#"{"celsius": -12.5}"#);
    let numbers = || ureq::get(&site.url("/metrics")).call().unwrap().body_mut().read_to_string().unwrap();
    let shown = wait_for(20, "a command, a message that waits, a status, a reply", || {
        let shown = numbers();
        let kept = |kind: &str| format!("bellwire_webhooks_total{{kind=\"{kind}\",result=\"kept\"}}");
        ["bellwire_commands_total{", "bellwire_outbox_messages{", &kept("status"), &kept("message")]
            .iter()
            .all(|name| shown.contains(name))
            .then_some(shown)
            .filter(|shown| !shown.contains("bellwire_store_free_bytes 0\n")) // no rule and no owner asks for it
    });
    let asked =
        [include_str!("../../../config/grafana.json"), include_str!("../../../config/alerts.prometheus.yml")]
            .concat();
    for (by, rest) in asked.split(" by (").skip(1).filter_map(|rest| rest.split_once(") (")) {
        let from = rest.find("bellwire_").unwrap();
        let name = rest[from..].split(|c: char| !c.is_ascii_lowercase() && c != '_').next().unwrap();
        let line = shown.lines().find(|line| line.starts_with(name)).unwrap_or_default();
        for label in by.split(", ").filter(|label| *label != "instance") {
            assert!(line.contains(&format!("{label}=\"")), "{name} by {label}: {line:?}");
        }
    }
    let mut seen = 0;
    for rest in asked.split("bellwire_").skip(1) {
        let end = rest.find(|c: char| !c.is_ascii_lowercase() && c != '_').unwrap_or(rest.len());
        let (name, rest) = rest.split_at(end);
        let mut lines = shown.lines().filter(|line| {
            line.strip_prefix("bellwire_")
                .and_then(|line| line.strip_prefix(name))
                .is_some_and(|rest| rest.starts_with([' ', '{']))
        });
        let line = lines.next().unwrap_or_else(|| panic!("bellwire_{name} is not among\n{shown}"));
        let label = rest
            .strip_prefix('{')
            .and_then(|rest| rest.split_once('='))
            .map(|(label, _)| label.trim_end_matches('!'));
        assert!(
            label.is_none_or(|label| line.contains(&format!("{label}=\""))),
            "bellwire_{name} by {label:?}: {line}"
        );
        seen += 1;
    }
    assert!(seen > 10, "{seen}");
    // What every installation can rely on, also when nothing asks for it yet.
    for name in [
        "bellwire_events_received_total{source=\"mqtt\"}",
        "bellwire_mqtt_reconnects_total{reason=\"line\"} 0",
        "bellwire_mqtt_reconnects_total{reason=\"silence\"} 0",
        "bellwire_send_duration_seconds_count",
        "bellwire_store_free_bytes",
        "bellwire_clock_sane 1",
        "bellwire_dropped_total{where=\"log\"}",
        "bellwire_wal_bytes",
        "bellwire_webhooks_total{kind=\"message\",result=\"kept\"} 1",
        "bellwire_webhooks_total{kind=\"status\",result=\"kept\"}",
        "bellwire_alerts_total{outcome=\"raised\",reason=\"once\"} 2",
        "bellwire_alerts_total{outcome=\"told\",reason=\"once\"} 2",
        "bellwire_store_commit_duration_seconds_bucket{le=\"0.2\"}",
        concat!("bellwire_build_info{version=\"", env!("CARGO_PKG_VERSION"), "\",sha=\""),
    ] {
        assert!(shown.contains(name), "{name} is not among\n{shown}");
    }
}

/// Each label has few words: what came to nothing is told by why, and so is what was turned away.
#[test]
fn metrics_name_the_reason() {
    let rules = FREEZER.replace("[[rule]]", "[[rule]]\nresolve_when = \"payload.celsius < -17\"");
    let (mut broker, site, _gateway) = start(&rules);
    let _simulator = Simulator::start(&site);
    let port = broker.port;
    let freezer = |payload: &[u8]| publish(port, "site/bar/freezer/2/temperature", payload);
    freezer(br#"{"celsius": -20}"#);
    freezer(b"nonsense");
    freezer(br#"{"celsius": -12.5}"#);
    assert_eq!(site.wait_sent(1).len(), 1);
    freezer(br#"{"celsius": -12.4}"#);
    let forged = ureq::post(&site.url("/webhook/whatsapp")).header("x-hub-signature-256", "sha256=00");
    assert!(matches!(forged.send("{}"), Err(ureq::Error::StatusCode(401))));
    let numbers = || ureq::get(&site.url("/metrics")).call().unwrap().body_mut().read_to_string().unwrap();
    let committed = |shown: &str| -> u64 {
        let count = "bellwire_store_commit_duration_seconds_count ";
        shown.lines().find_map(|line| line.strip_prefix(count)).unwrap().parse().unwrap()
    };
    let expected = [
        "bellwire_alerts_total{outcome=\"ignored\",reason=\"condition-false\"} 1",
        "bellwire_alerts_total{outcome=\"ignored\",reason=\"still-firing\"} 1",
        "bellwire_alerts_total{outcome=\"raised\",reason=\"fired\"} 1",
        "bellwire_alerts_total{outcome=\"told\",reason=\"fired\"} 1",
        "bellwire_webhooks_total{kind=\"unread\",result=\"forged\"} 1",
    ];
    let before = wait_for(10, "all of them", || {
        let shown = numbers();
        expected.iter().all(|line| shown.contains(line)).then_some(shown)
    });
    // Whoever only looks writes nothing: the time of a commit is a disk's.
    let quiet = wait_for(20, "quiet", || {
        let before = committed(&numbers());
        std::thread::sleep(Duration::from_millis(500));
        let shown = numbers();
        (committed(&shown) == before).then_some(before)
    });
    broker.restart();
    wait_for(20, "the broker again", || {
        numbers().contains("bellwire_mqtt_reconnects_total{reason=\"line\"} 1").then_some(())
    });
    assert!(quiet > 3 && quiet >= committed(&before), "{quiet}");
}

/// What goes on stands on the first page; a person takes care of it there, and ends it.
#[test]
fn an_alert_is_taken_and_ended_on_the_page() {
    let rules = FREEZER.replace("[[rule]]", "[[rule]]\nresolve_when = \"payload.celsius < -17\"");
    let (broker, site, _gateway) = start(&rules);
    bellwire_tests::publish(broker.port, "site/bar/freezer/2/temperature", br#"{"celsius": -12.5}"#);
    wait_for(10, "the alert", || {
        (site.count("SELECT count(*) FROM alert WHERE state = 'firing'") == 1).then_some(())
    });
    let cookie = log_in(&site);
    let fields = format!("csrf={}", super::proof(&site, &cookie));
    assert!(get(&site, "/", &[&cookie]).body.contains("Something is going on"));
    let act = |action: &str, expected: u16| {
        let answer = super::form(&site, &format!("/alerts/1/{action}"), &[&cookie], &fields);
        assert_eq!(answer.status, expected, "{action}: {}", answer.body);
    };
    assert_eq!(
        super::form(&site, "/alerts/1/resolve", &[&cookie], "").status,
        403,
        "without the form's proof"
    );
    act("nonsense", 404);
    act("acknowledge", 303);
    wait_for(10, "care", || {
        (site.count("SELECT count(*) FROM alert WHERE state = 'acknowledged'") == 1).then_some(())
    });
    act("silence", 303);
    act("resolve", 303);
    wait_for(10, "the end", || {
        (site.count("SELECT count(*) FROM alert WHERE state = 'resolved'") == 1).then_some(())
    });
    act("resolve", 409);
    assert_eq!(site.count("SELECT count(*) FROM change WHERE subject = 'alert 1' AND outcome = 'done'"), 3);
    assert!(get(&site, "/", &[&cookie]).body.contains("All is well"));
}
