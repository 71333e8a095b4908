//! A rule that cannot judge what its devices send: the owner hears of it, the log is not flooded, page and doctor have it.

use bellwire_tests::{Broker, Gateway, Simulator, Site, bellwire, publish, publish_lines, wait_for};

use crate::web::{code, form, get, log_in};

const RULES: &str = r#"
[[contact]]
id = "nino"
phone = "+995 555 12 34 56"
[[contact]]
id = "boss"
phone = "+995 555 00 00 01"
[[rule]]
name = "cellar"
topic = "cellar/{id}"
when = "payload.celsius > 8"
resolve_when = "payload.celsius < 6"
message = "Cellar {{ id }} is warm"
notify = ["nino"]
[[rule]]
name = "leak"
topic = "leak/{id}"
when = "payload.wet"
message = "Water at {{ id }}"
notify = ["nino"]
"#;
/// As many as a sensor with a loose wire sends in a night.
const EVENTS: usize = 2_000;

fn texts_to(site: &Site, number: &str) -> Vec<String> {
    let mine = |sent: &serde_json::Value| sent["to"].as_str().is_some_and(|to| to.ends_with(number));
    let text = |sent: serde_json::Value| sent["text"].as_str().unwrap_or_default().to_owned();
    site.sent().into_iter().filter(mine).map(text).collect()
}

#[test]
fn unjudged_events_are_reported_once_in_each_place() {
    let broker = Broker::start();
    let site = Site::new(broker.port, RULES);
    let config = std::fs::read_to_string(site.config()).expect("read");
    let config = config.replacen("name = \"Test\"", "name = \"Test\"\nowner = [\"boss\"]", 1);
    std::fs::write(site.config(), config).expect("written");
    let (_simulator, gateway) = (Simulator::start(&site), Gateway::start(&site));
    let subscribed = || site.log().contains("the broker has answered all subscriptions");
    wait_for(10, "the subscriptions", || subscribed().then_some(()));
    publish(broker.port, "leak/1", br#"{"wet": false, "battery": 90}"#);
    publish(broker.port, "leak/1", br#"{"battery": 89}"#);
    publish_lines(broker.port, "cellar/1", &vec![r#"{"celsius": nan}"#.to_owned(); EVENTS]);
    publish(broker.port, "cellar/2", br#"{"celsius": 9}"#);
    let alerted = || texts_to(&site, "123456").iter().any(|text| text.starts_with("Cellar 2 is warm"));
    wait_for(20, "the alert after them", || alerted().then_some(()));
    wait_for(30, "the owner's message", || (!texts_to(&site, "000001").is_empty()).then_some(()));
    let told = texts_to(&site, "000001");
    let told = told[0].lines().collect::<Vec<_>>();
    assert!(told[0].contains(&format!("rule cellar could not judge {EVENTS} events: ")), "{told:?}");
    assert!(told[0].contains("it is not JSON") && told[0].contains("`nan`"), "{told:?}");
    assert_eq!(told[1], r#"For example, cellar/1 sent: {"celsius": nan}"#);

    let fields = format!("code={}&password=correct+horse&again=correct+horse", code(&site));
    assert_eq!(form(&site, "/welcome", &[], &fields).status, 303);
    let cookie = log_in(&site);
    let page = get(&site, "/rules", &[&cookie]).body;
    assert!(page.contains(&format!("{EVENTS} events could not be judged")), "{page}");
    assert!(page.contains("1 partial reports changed nothing"), "{page}");
    let front = get(&site, "/", &[&cookie]).body;
    assert!(front.contains("Rule cellar could not judge 2000 events"), "{front}");
    assert!(!front.contains("rule leak"), "partial reports are nobody's trouble: {front}");
    let config = site.config();
    let found = bellwire(&["doctor", "--config", config.to_str().expect("a path")]);
    let found = String::from_utf8_lossy(&found.stdout).into_owned();
    assert!(found.contains("rule cellar could not judge 2000 events"), "{found}");
    assert!(found.contains(r#"bellwire try --topic 'cellar/1' --payload '{"celsius": nan}'"#), "{found}");

    let lines = |log: &str| log.lines().filter(|line| line.contains("could not be judged")).count();
    assert!(lines(&site.log()) <= 4, "a line a minute for each rule:\n{}", site.log());
    // After a restart it is known already.
    assert_eq!(gateway.stop(), Some(0));
    let _gateway = Gateway::start(&site);
    publish(broker.port, "cellar/1", br#"{"celsius": nan}"#);
    let sum = format!("SELECT count FROM unjudged WHERE rule = 'cellar' AND count = {}", EVENTS + 1);
    wait_for(20, "the count", || (site.count(&format!("SELECT count(*) FROM ({sum})")) == 1).then_some(()));
    std::thread::sleep(std::time::Duration::from_secs(12)); // longer than new reasons are gathered
    assert_eq!(texts_to(&site, "000001").len(), 1);
}
