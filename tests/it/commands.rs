use bellwire_tests::{Broker, Gateway, Simulator, Site, bellwire, wait_for};

#[test]
fn check_prints_each_mistake_with_its_place() {
    let file = format!("{}/fixtures/config/five-mistakes.toml", env!("CARGO_MANIFEST_DIR"));
    let output = bellwire(&["check", "--no-secrets", "--config", &file]);
    assert_eq!(output.status.code(), Some(78));
    let printed = String::from_utf8(output.stderr).expect("text");
    let lines: Vec<&str> = printed.lines().collect();
    assert_eq!(lines.len(), 5, "{printed}");
    for (line, number) in lines.iter().zip([17, 26, 28, 29, 33]) {
        assert!(line.starts_with(&format!("{file}:{number}:")), "{line}");
    }
}

#[test]
fn try_shows_what_would_go_out() {
    let site = Site::new(1, crate::round_trip::FREEZER);
    let config = site.config();
    let config = config.to_string_lossy();
    let tried = |payload: &str| {
        let output = bellwire(&[
            "try",
            "--config",
            &config,
            "--topic",
            "site/bar/freezer/2/temperature",
            "--payload",
            payload,
        ]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("text")
    };
    let alert = tried(r#"{"celsius": -12.5}"#);
    for words in [
        "rule freezer: an alert (warning)",
        "to nino (+995…456)",
        "| Freezer 2 in bar is at -12.5 °C",
        "[ Stop defrost ]",
        "nothing was sent",
    ] {
        assert!(alert.contains(words), "{words}: {alert}");
    }
    assert!(tried(r#"{"celsius": -18}"#).contains("its `when` does not hold"));
    assert!(tried("warm").contains("could not be judged"));
}

#[test]
fn a_message_by_hand_goes_through_the_outbox() {
    let broker = Broker::start();
    let site = Site::new(broker.port, crate::round_trip::FREEZER);
    let (_simulator, _gateway) = (Simulator::start(&site), Gateway::start(&site));
    let config = site.config();
    let config = config.to_string_lossy();
    let output = bellwire(&["send", "--config", &config, "--to", "nino", "hello from the shop"]);
    assert!(String::from_utf8_lossy(&output.stdout).contains("the daemon sends it now"));
    assert_eq!(site.wait_sent(1)[0]["text"], "hello from the shop");
    wait_for(10, "the receipt", || (site.show(1)["state"] == "read").then_some(()));
    let output = bellwire(&["outbox", "cancel", "1", "--config", &config]);
    assert_eq!(output.status.code(), Some(64));
    assert!(String::from_utf8_lossy(&output.stderr).contains("message 1 is read"));
    assert_eq!(bellwire(&["send", "--config", &config, "--to", "nobody", "hello"]).status.code(), Some(64));
}

#[test]
fn held_messages_wait_for_a_person() {
    let broker = Broker::start();
    let site = Site::new(broker.port, crate::round_trip::FREEZER);
    let gateway = Gateway::start(&site);
    let config = site.config();
    let config = config.to_string_lossy();
    for _ in 0..2 {
        assert!(bellwire(&["send", "--config", &config, "--to", "nino", "hello"]).status.success());
    }
    assert!(bellwire(&["outbox", "hold", "1", "--config", &config]).status.success());
    assert!(bellwire(&["outbox", "cancel", "2", "--config", &config]).status.success());
    let _simulator = Simulator::start(&site);
    assert!(bellwire(&["outbox", "retry", "1", "--config", &config]).status.success());
    assert_eq!(site.wait_sent(1).len(), 1);
    assert_eq!(site.show(2)["state"], "cancelled");
    drop(gateway);
}

#[test]
fn a_second_daemon_is_refused() {
    let broker = Broker::start();
    let site = Site::new(broker.port, crate::round_trip::FREEZER);
    let _gateway = Gateway::start(&site);
    let output = bellwire(&["run", "--config", &site.config().to_string_lossy()]);
    assert_eq!(output.status.code(), Some(75));
    assert!(String::from_utf8_lossy(&output.stderr).contains("another bellwire already runs"));
}
