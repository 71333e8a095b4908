//! An alert that reaches nobody is news: the owner, the page, the log and the broker say so, and the escalation goes on.

use bellwire_tests::{Broker, Gateway, Simulator, Site, Subscriber, publish, wait_for};
use serde_json::{Value, json};

const RULES: &str = r#"
[[contact]]
id = "nino"
phone = "+995 555 12 34 56"
[[contact]]
id = "keti"
phone = "+995 555 65 43 21"
[[contact]]
id = "boss"
phone = "+995 555 11 22 33"
[[rule]]
name = "door"
topic = "site/{door}/door"
when = "payload == 'open'"
severity = "critical"
message = "Door {{ door }} is open"
notify = ["nino"]
escalate = [{ after = "2h", unless = "acknowledged", notify = ["keti"] }]
"#;

fn sent_to(site: &Site, number: &str) -> Vec<String> {
    let of = |sent: &&Value| sent["to"].as_str().is_some_and(|to| to.trim_start_matches('+') == number);
    let text = |sent: &Value| sent["text"].as_str().unwrap_or_default().to_owned();
    site.sent().iter().filter(of).map(text).collect()
}

/// By an answer, and by a status after Meta had accepted it.
#[test]
fn an_alert_that_does_not_arrive_reaches_the_owner() {
    for fault in [
        json!({ "count": 1, "code": 131_026 }),
        json!({ "count": 1, "statuses": { "fail_code": 131_026 } }),
        json!({ "count": 1, "code": 135_000 }),
        json!({ "count": 1, "statuses": { "fail_code": 130_472 } }),
    ] {
        let broker = Broker::start();
        let site = Site::new(broker.port, RULES);
        let config = std::fs::read_to_string(site.config()).expect("a configuration");
        let config = config.replacen("name = \"Test\"", "name = \"Test\"\nowner = [\"boss\"]", 1);
        std::fs::write(site.config(), config).expect("written");
        let (_simulator, gateway) = (Simulator::start(&site), Gateway::start(&site));
        let notices = Subscriber::start(broker.port, "bellwire/+/notice");
        site.fault(&fault);
        publish(broker.port, "site/back/door", b"open");

        let told = wait_for(20, "the owner's message", || sent_to(&site, "995555112233").pop());
        let expected =
            "⚠ Test: nobody got this alert: Door back is open\nIt went to nino, and did not arrive.";
        assert!(told.starts_with(expected), "{told}");
        let next = wait_for(20, "the next step, two hours early", || sent_to(&site, "995555654321").pop());
        assert!(next.contains("Door back is open"), "{next}");
        let said = |text: &str| text.contains("nobody got alert 1 of rule door (Door back is open); nino: ");
        wait_for(10, "the notice", || notices.messages().iter().any(|notice| said(notice)).then_some(()));
        wait_for(10, "a warning in the log", || {
            site.log().lines().any(|line| line.contains("WARN") && said(line)).then_some(())
        });
        assert_eq!(sent_to(&site, "995555112233").len(), 1, "once");
        assert_eq!(gateway.stop(), Some(0));
    }
}

/// It stays on top of the page until somebody got it, in the visitor's language, and leads to the alert; programs read it, too.
#[test]
fn the_page_says_on_top_that_nobody_got_it() {
    let (broker, site, _gateway) = crate::web::start(&RULES.replace("escalate", "#"));
    let _simulator = Simulator::start(&site);
    site.fault(&json!({ "count": 1, "code": 131_026 }));
    publish(broker.port, "site/back/door", b"open");
    let told = "SELECT count(*) FROM alert WHERE undelivered_told > 0";
    wait_for(20, "the alert", || (site.count(told) == 1).then_some(()));
    let cookie = crate::web::log_in(&site);
    for (language, title, words) in [
        ("en", "Something needs you", "Nobody got alert 1 of rule door: Door back is open"),
        (
            "de",
            "Hier werden Sie gebraucht",
            "Niemand hat Meldung 1 der Regel door erhalten: Door back is open",
        ),
    ] {
        let page = crate::web::get(&site, "/", &[&cookie, &format!("Accept-Language: {language}")]).body;
        let top = page.split("id=\"tiles\"").next().unwrap_or_default();
        assert!(top.contains(title) && top.contains(words) && top.contains("href=\"/alerts/1\""), "{top}");
        let story =
            crate::web::get(&site, "/alerts/1", &[&cookie, &format!("Accept-Language: {language}")]).body;
        let told = if language == "en" { "the owner was told" } else { "der Eigentümer weiß es" };
        assert!(story.contains(told), "{story}");
    }
    let overview = crate::web::get(&site, "/api/overview", &[&crate::web::token(&site, &["read"])]).json();
    assert_eq!(overview["undelivered"][0]["rule"], "door", "{overview}");
}
