//! A configuration that changes while something goes on leaves no ghosts: what has no place in it ends with a reason, people
//! hear so, and the commands tell what really happens.

use std::process::Output;

use bellwire_tests::{Broker, Gateway, Simulator, Site, bellwire, publish, wait_for};

const RULES: &str = r#"
[[contact]]
id = "nino"
name = "Nino"
phone = "+995 555 12 34 56"
[[contact]]
id = "dato"
phone = "+995 555 65 43 21"
[[rule]]
name = "door"
topic = "site/{door}/door"
when = "payload == 'open'"
message = "Door {{ door }} is open"
notify = ["nino", "dato"]
buttons = ["acknowledge"]
repeat_interval = "1h"
"#;

fn run(site: &Site, words: &[&str]) -> Output {
    let config = site.config();
    bellwire(&[words, &["--config", config.to_str().expect("a path")]].concat())
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn texts(site: &Site) -> Vec<String> {
    site.sent().iter().map(|sent| sent["text"].as_str().unwrap_or_default().to_owned()).collect()
}

fn change(site: &Site, changes: &[(&str, &str)]) {
    let before = std::fs::read_to_string(site.config()).expect("readable");
    let after = changes.iter().fold(before, |text, (from, to)| {
        assert!(text.contains(from), "{from}");
        text.replace(from, to)
    });
    std::fs::write(site.config(), after).expect("written");
}

#[test]
fn a_renamed_rule_ends_its_alert_as_check_predicts() {
    let broker = Broker::start();
    let site = Site::new(broker.port, RULES);
    let (_simulator, gateway) = (Simulator::start(&site), Gateway::start(&site));
    publish(broker.port, "site/back/door", b"open");
    assert_eq!(site.wait_sent(2).len(), 2);
    assert_eq!(gateway.stop(), Some(0));
    let clean = run(&site, &["check", "--no-secrets"]);
    assert!(!said(&clean).contains("at the next start"), "{}", said(&clean));

    change(&site, &[("name = \"door\"", "name = \"back-door\"")]);
    let before = std::fs::read(site.path().join("state/bellwire.db")).expect("readable");
    let checked = run(&site, &["check", "--no-secrets"]);
    let ends = "at the next start alert 1 (door door=back) ends: its rule is gone";
    assert!(checked.status.success() && said(&checked).contains(ends), "{}", said(&checked));
    let examined = run(&site, &["doctor"]);
    assert!(said(&examined).contains(ends), "{}", said(&examined));
    let resolved = run(&site, &["alerts", "resolve", "1"]);
    assert!(
        said(&resolved).contains("at its next start the alert ends by itself: its rule is gone"),
        "{}",
        said(&resolved)
    );
    assert!(!said(&resolved).contains("hear"), "{}", said(&resolved));
    let checked = std::fs::read(site.path().join("state/bellwire.db")).expect("readable");
    assert_eq!(before.len(), checked.len(), "a check makes nothing");

    let gateway = Gateway::start(&site);
    let sent = site.wait_sent(4);
    for news in &sent[2..] {
        let text = news["text"].as_str().unwrap_or_default();
        assert!(
            text.starts_with("⏹ Not watched any more, its rule was changed: Door back is open"),
            "{text}"
        );
    }
    let again = run(&site, &["alerts", "resolve", "1"]);
    assert_eq!(again.status.code(), Some(64), "{}", said(&again));
    assert!(said(&again).contains("over already: its rule is gone"), "{}", said(&again));
    publish(broker.port, "site/back/door", b"open");
    let sent = site.wait_sent(6);
    assert!(
        sent[4]["text"].as_str().is_some_and(|text| text.starts_with("Door back is open")),
        "{:?}",
        sent[4]
    );
    assert_eq!(gateway.stop(), Some(0));
}

#[test]
fn who_was_removed_gets_nothing_that_waited() {
    let broker = Broker::start();
    let site = Site::new(broker.port, RULES);
    let gateway = Gateway::start(&site); // WhatsApp cannot be reached: what is decided waits
    publish(broker.port, "site/back/door", b"open");
    wait_for(15, "two messages", || (site.count("SELECT count(*) FROM message") == 2).then_some(()));
    assert_eq!(gateway.stop(), Some(0));
    let dato = "[[contact]]\nid = \"dato\"\nphone = \"+995 555 65 43 21\"\n";
    change(&site, &[(dato, ""), (", \"dato\"]", "]"), ("12 34 56", "12 34 57")]);
    let checked = run(&site, &["check", "--no-secrets"]);
    assert!(said(&checked).contains("1 message to dato will be cancelled"), "{}", said(&checked));
    let (_simulator, gateway) = (Simulator::start(&site), Gateway::start(&site));
    let sent = site.wait_sent(1);
    assert_eq!(sent[0]["to"], "+995555123457", "the new number: {sent:?}");
    let reason = "SELECT count(*) FROM message WHERE contact = 'dato' AND state = 'cancelled' AND reason LIKE '%not in the configuration any more'";
    assert_eq!(site.count(reason), 1);
    assert!(site.sent().iter().all(|sent| sent["to"] == "+995555123457"), "{:?}", site.sent());
    assert_eq!(gateway.stop(), Some(0));
}

/// Each decision with what the daemon made of it, and what nobody took.
#[test]
fn alert_commands_report_who_is_actually_told() {
    let broker = Broker::start();
    let site = Site::new(broker.port, RULES);
    let (_simulator, gateway) = (Simulator::start(&site), Gateway::start(&site));
    publish(broker.port, "site/back/door", b"open");
    assert_eq!(site.wait_sent(2).len(), 2);
    let taken = run(&site, &["alerts", "ack", "1", "--by", "dato"]);
    assert!(taken.status.success(), "{}", said(&taken));
    for part in ["alert 1 is acknowledged: dato takes care", "nino was told who takes care"] {
        assert!(said(&taken).contains(part), "{part}: {}", said(&taken));
    }
    let again = run(&site, &["alerts", "ack", "1", "--by", "nino"]);
    assert_eq!(again.status.code(), Some(64), "{}", said(&again));
    assert!(said(&again).contains("nothing has changed, dato takes care"), "{}", said(&again));
    assert_eq!(gateway.stop(), Some(0));
    let waits = run(&site, &["alerts", "resolve", "1", "--by", "dato"]);
    assert!(
        waits.status.success() && said(&waits).contains("nobody hears it before bellwire runs"),
        "{}",
        said(&waits)
    );
    let gateway = Gateway::start(&site);
    wait_for(15, "the end", || {
        texts(&site).iter().any(|text| text.starts_with("✅ Ended by dato")).then_some(())
    });
    assert_eq!(gateway.stop(), Some(0));
}

#[test]
fn a_message_to_a_removed_contact_is_never_retried() {
    let broker = Broker::start();
    let site = Site::new(broker.port, RULES);
    let gateway = Gateway::start(&site); // without the Cloud API: everything waits
    publish(broker.port, "site/back/door", b"open");
    let messages = || said(&run(&site, &["outbox", "list"]));
    wait_for(15, "two messages", || (messages().matches("Door back is open").count() == 2).then_some(()));
    assert_eq!(gateway.stop(), Some(0));
    let dato = "[[contact]]\nid = \"dato\"\nphone = \"+995 555 65 43 21\"\n";
    change(&site, &[(dato, ""), ("\"nino\", \"dato\"", "\"nino\"")]);
    let (_simulator, _gateway) = (Simulator::start(&site), Gateway::start(&site));
    assert_eq!(site.wait_sent(1).len(), 1);
    let id = messages()
        .lines()
        .find(|line| line.contains("dato"))
        .and_then(|line| line.split_whitespace().next().map(str::to_owned));
    let id = id.expect("their message");

    let refused = run(&site, &["outbox", "retry", &id]);
    assert_eq!(refused.status.code(), Some(64), "{}", said(&refused));
    let why = format!("message {id} is to dato, who is not in the configuration any more: it is not sent");
    assert!(said(&refused).contains(&why) && !said(&refused).contains("sent again"), "{}", said(&refused));
    let shown = said(&run(&site, &["outbox", "show", &id]));
    assert!(shown.contains("cancelled: the person is not in the configuration any more"), "{shown}");

    let own = messages()
        .lines()
        .find(|line| line.contains("nino"))
        .and_then(|line| line.split_whitespace().next().map(str::to_owned));
    let held = run(&site, &["outbox", "hold", &own.clone().expect("their message")]);
    assert_eq!(held.status.code(), Some(64), "it has left: {}", said(&held));
    assert_eq!(site.sent().len(), 1, "nobody but Nino got anything");
}
