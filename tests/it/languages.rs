//! One alert, two people, two languages and two clocks: with a real broker, a kill in between, and answers.

use bellwire_tests::{
    Broker, Gateway, PHONE_NUMBER_ID, Simulator, Site, bellwire, post_json, publish, publish_lines, wait_for,
};
use serde_json::{Value, json};

const NINO: &str = "+995555123456";
const HEIKE: &str = "+4930901820";

/// Fiji and Niue are a day apart, so that a time is by somebody's clock on every day of the year.
const SITE: &str = r#"
[[contact]]
id = "nino"
name = "Nino"
phone = "+995 555 12 34 56"
time_zone = "Pacific/Niue"
roles = ["manager"]
[[contact]]
id = "heike"
name = "Heike"
phone = "+49 30 901820"
language = "de"
time_zone = "Pacific/Fiji"
[[rule]]
name = "freezer"
topic = "site/{area}/freezer/{unit}/temperature"
when = "payload > -15"
message = { en = "Freezer {{ unit }} is at {{ payload }} °C", de = "Tiefkühler {{ unit }} hat {{ payload }} °C" }
notify = ["nino", "heike"]
buttons = ["acknowledge", "snooze 1h"]
value = "payload"
[[rule.template]]
name = "alarm_v1"
language = "en_US"
parameters = ["{{ text }}"]
[[rule.template]]
name = "alarm_v1"
language = "de"
parameters = ["{{ text }}"]
[[rule]]
name = "bell"
topic = "site/{door}/bell"
message = { en = "Somebody is at door {{ door }}", de = "Jemand ist an Tür {{ door }}" }
notify = ["heike"]
severity = "info"
[[rule.action]]
id = "unlock"
title = { en = "Let in", de = "Einlassen" }
topic = "site/{door}/lock/set"
payload = "UNLOCK"
[[ask]]
name = "refund"
topic = "pos/{till}/refund"
text = { en = "Till {{ till }}: a refund of {{ payload }}?", de = "Kasse {{ till }}: Erstattung von {{ payload }}?" }
choices = ["OK", "STOP"]
who = ["nino", "heike"]
within = "2m"
default = "STOP"
response_topic = "pos/{till}/decision"
[[command]]
name = "open"
words = ["open {door}", "öffne {door}"]
topic = "site/{door}/set"
payload = "OPEN"
roles = ["manager"]
[[command]]
name = "lamp"
words = ["lamp on", "Lampe an"]
topic = "site/lamp/set"
payload = "ON"
confirm = true
"#;

struct Shop {
    broker: Broker,
    site: Site,
    _simulator: Simulator,
}

impl Shop {
    fn open() -> (Self, Gateway) {
        let broker = Broker::start();
        let site = Site::new(broker.port, SITE);
        let (simulator, gateway) = (Simulator::start(&site), Gateway::start(&site));
        (Self { broker, site, _simulator: simulator }, gateway)
    }

    fn reply(&self, what: &Value) {
        let (status, told) = post_json(&self.site.api("/_simulator/reply"), what);
        assert_eq!(status, 200, "{told}");
    }

    /// The words of the messages to this person, once there are so many.
    fn read_by(&self, number: &str, count: usize) -> Vec<String> {
        wait_for(15, "messages", || {
            let all = self.site.sent();
            let own = all.iter().filter(|sent| sent["to"] == number);
            let own: Vec<String> =
                own.map(|sent| sent["text"].as_str().unwrap_or_default().to_owned()).collect();
            (own.len() >= count).then_some(own)
        })
    }

    fn buttons(&self, number: &str) -> Vec<String> {
        let all = self.site.sent();
        let last = all.iter().rfind(|sent| sent["to"] == number).expect("a message");
        let titles = last["buttons"].as_array().into_iter().flatten();
        titles.map(|button| button["title"].as_str().unwrap_or_default().to_owned()).collect()
    }
}

fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}

/// What stands behind the clock face.
/// The clock, and the day in whichever language.
fn time(text: &str) -> (&str, &str) {
    let time = text.lines().last().and_then(|line| line.strip_prefix("🕑 ")).expect(text);
    let (day, clock) = time.rsplit_once(", ").expect(text);
    (day.split([' ', '.']).next().unwrap_or_default(), clock)
}

#[test]
fn an_alert_uses_each_persons_language_and_zone() {
    let (shop, gateway) = Shop::open();
    publish(shop.broker.port, "site/bar/freezer/2/temperature", b"-9.5");
    let (nino, heike) = (shop.read_by(NINO, 1), shop.read_by(HEIKE, 1));
    assert_eq!(first_line(&nino[0]), "Freezer 2 is at -9.5 °C");
    assert_eq!(first_line(&heike[0]), "Tiefkühler 2 hat -9.5 °C");
    assert_ne!(time(&nino[0]), time(&heike[0]), "{nino:?} {heike:?}");
    assert_eq!(shop.buttons(NINO), ["I take care", "Snooze 1 h"]);
    assert_eq!(shop.buttons(HEIKE), ["Ich kümmere mich", "Ruhe für 1 Std."]);

    shop.reply(&json!({ "from": HEIKE, "tap": "Ich kümmere mich" }));
    let (nino, heike) = (shop.read_by(NINO, 2), shop.read_by(HEIKE, 2));
    assert_eq!(nino[1], "👍 Heike takes care: Freezer 2 is at -9.5 °C");
    assert_eq!(heike[1], "👍 Notiert, Sie kümmern sich: Tiefkühler 2 hat -9.5 °C");

    gateway.kill();
    let gateway = Gateway::start(&shop.site);
    publish(shop.broker.port, "site/bar/freezer/2/temperature", b"-18");
    let (nino, heike) = (shop.read_by(NINO, 3), shop.read_by(HEIKE, 3));
    assert!(first_line(&nino[2]).starts_with("✅ Over after "), "{nino:?}");
    assert!(first_line(&nino[2]).ends_with(", worst -9.5: Freezer 2 is at -9.5 °C"), "{nino:?}");
    assert!(first_line(&heike[2]).starts_with("✅ Vorbei nach "), "{heike:?}");
    assert!(
        first_line(&heike[2]).ends_with(", schlimmster Wert -9,5: Tiefkühler 2 hat -9.5 °C"),
        "{heike:?}"
    );

    // Outside the 24 h window the template is the one of the language.
    let contents = "SELECT count(*) FROM message WHERE json_extract(content, '$.templates[0].language') = ";
    assert_eq!(shop.site.count(&format!("{contents} 'de' AND contact = 'heike'")), 3);
    assert_eq!(shop.site.count(&format!("{contents} 'en_US' AND contact = 'nino'")), 3);
    assert_eq!(gateway.stop(), Some(0));
}

#[test]
fn who_writes_is_answered_in_their_own_language() {
    let (shop, gateway) = Shop::open();
    let mut count = 0;
    let mut ask = |number: &str, words: &str| {
        shop.reply(&json!({ "from": number, "text": words, "phone_number_id": PHONE_NUMBER_ID }));
        let before = if number == HEIKE {
            count += 1;
            count
        } else {
            1
        };
        shop.read_by(number, before).last().expect("an answer").clone()
    };
    let help = ask(HEIKE, "Hilfe");
    assert!(help.starts_with("Tippen Sie auf einen Knopf") && help.contains("\n• lamp on\n"), "{help}");
    let refused = ask(HEIKE, "öffne front");
    assert_eq!(refused, "„open front“ wurde nicht ausgeführt: dafür braucht es die Rolle manager.");
    let status = ask(HEIKE, "Zustand");
    assert!(status.ends_with("\nKein Alarm dauert an, nichts ist offline."), "{status}");
    assert_eq!(ask(HEIKE, "hlife"), "Es ist nichts geschehen. Meinten Sie „hilfe“?");
    let asked = ask(HEIKE, "Lampe an");
    assert_eq!(asked, "lamp on?\nsite/lamp/set\nJa gilt 2 Min. lang.");
    assert_eq!(shop.buttons(HEIKE), ["Ja", "Nein"]);
    shop.reply(&json!({ "from": HEIKE, "tap": "Ja" }));
    wait_for(10, "the lamp", || {
        (shop.site.count("SELECT count(*) FROM command WHERE state = 'published'") == 1).then_some(())
    });
    let nino = ask(NINO, "status");
    assert!(nino.ends_with("\nNothing fires, nothing is offline."), "{nino}");
    assert_eq!(gateway.stop(), Some(0));
}

#[test]
fn buttons_and_questions_are_in_the_readers_language_too() {
    let (shop, gateway) = Shop::open();
    publish(shop.broker.port, "site/back/bell", b"1");
    shop.read_by(HEIKE, 1);
    assert_eq!(shop.buttons(HEIKE), ["Einlassen"]);
    let commands = "SELECT count(*) FROM command WHERE topic = 'site/back/lock/set'";
    shop.reply(&json!({ "from": HEIKE, "tap": "Einlassen" }));
    wait_for(10, "the lock", || (shop.site.count(commands) == 1).then_some(()));
    let bell = shop.site.sent()[0]["id"].clone();
    shop.reply(&json!({ "from": HEIKE, "quote": bell, "text": "let in" }));
    wait_for(10, "the title of another language", || (shop.site.count(commands) == 2).then_some(()));

    publish(shop.broker.port, "pos/1/refund", b"12.5");
    let (nino, heike) = (shop.read_by(NINO, 1), shop.read_by(HEIKE, 2));
    assert_eq!(nino[0], "Till 1: a refund of 12.5?\nWithout an answer in 2 min: STOP.");
    assert_eq!(heike[1], "Kasse 1: Erstattung von 12.5?\nOhne Antwort in 2 Min.: STOP.");
    assert_eq!(gateway.stop(), Some(0));
}

#[test]
fn silences_are_understood_in_a_persons_language() {
    let (shop, gateway) = Shop::open();
    publish(shop.broker.port, "site/bar/freezer/2/temperature", b"-9.5");
    shop.read_by(HEIKE, 1);
    let alarm = shop.site.sent().iter().find(|sent| sent["to"] == HEIKE).expect("hers")["id"].clone();
    shop.reply(&json!({ "from": HEIKE, "quote": alarm, "text": "Ruhe für 2 Stunden" }));
    let config = shop.site.config();
    let alerts = |words: &[&str]| {
        let output =
            bellwire(&[&["alerts"], words, &["--config", config.to_str().expect("a path")]].concat());
        (output.status.code(), String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
    };
    let listed = wait_for(10, "the silence", || {
        let listed = alerts(&["silences"]).1;
        listed.contains("Heike").then_some(listed)
    });
    let (code, said) = alerts(&["expire", "99"]);
    assert!(code == Some(64) && said.contains("there is no silence 99"), "{code:?} {said}");
    let number = listed.split_whitespace().next().expect("its number");
    assert_eq!(alerts(&["expire", number]).0, Some(0));
    wait_for(10, "no silence", || alerts(&["silences"]).1.contains("nothing is silenced").then_some(()));
    assert_eq!(gateway.stop(), Some(0));
}

#[test]
fn a_flood_is_counted_in_the_readers_language() {
    let (shop, gateway) = Shop::open();
    let lines: Vec<String> = (0..60).map(|number| number.to_string()).collect();
    publish_lines(shop.broker.port, "site/back/bell", &lines);
    let told = wait_for(30, "a digest", || {
        let sent = shop.site.sent();
        let digest =
            sent.iter().find_map(|sent| sent["text"].as_str().filter(|text| text.starts_with("🔔 ")));
        digest.map(str::to_owned)
    });
    assert!(first_line(&told).ends_with(" Alarme"), "{told}");
    assert!(told.contains(" Jemand ist an Tür back · 🕑 "), "{told}");
    assert_eq!(gateway.stop(), Some(0));
}

#[test]
fn the_command_line_foretells_each_in_their_own_words() {
    let broker = Broker::start();
    let site = Site::new(broker.port, SITE);
    let config = site.config();
    let place = ["--config", config.to_str().expect("a path")];
    let run = |words: &[&str]| {
        let out = bellwire(&[words, &place].concat());
        assert!(out.status.success(), "{out:?}");
        String::from_utf8_lossy(&out.stdout).into_owned()
    };
    let told = run(&["try", "--topic", "site/bar/freezer/2/temperature", "--payload=-9.5"]);
    assert!(
        told.contains("| Freezer 2 is at -9.5 °C") && told.contains("| Tiefkühler 2 hat -9.5 °C"),
        "{told}"
    );
    assert!(told.contains("[ I take care ]") && told.contains("[ Ich kümmere mich ]"), "{told}");

    let file = site.path().join("day.jsonl");
    let lines = [
        r#"{"at": "2026-03-10 10:00:00", "topic": "site/bar/freezer/2/temperature", "payload": -9.5}"#,
        r#"{"at": "2026-03-10 12:00:00", "topic": "site/bar/freezer/2/temperature", "payload": -18}"#,
    ];
    std::fs::write(&file, lines.join("\n")).expect("written");
    let told = run(&["try", "--replay", file.to_str().expect("a path")]);
    for part in [
        "Freezer 2 is at -9.5 °C",
        "🕑 9 Mar, 23:00",
        "Tiefkühler 2 hat -9.5 °C",
        "🕑 10. März, 22:00",
        "✅ Over after 2 h 0 min, worst -9.5: ",
        "✅ Vorbei nach 2 Std. 0 Min., schlimmster Wert -9,5: ",
    ] {
        assert!(told.contains(part), "{part}: {told}");
    }
    let listed = run(&["contact", "list"]);
    assert!(
        listed.lines().any(|line| line.starts_with("heike ") && line.contains(" de Pacific/Fiji")),
        "{listed}"
    );
    let json = run(&["try", "--json", "--topic", "site/back/bell", "--payload", "1"]);
    assert!(json.contains("Jemand ist an Tür back") && !json.contains("Somebody"), "{json}");
    let checked = run(&["check"]);
    assert!(
        checked.contains("good (3 rules, 2 contacts)") || checked.contains("good (2 rules, 2 contacts)"),
        "{checked}"
    );
    assert!(!checked.contains("note:"), "{checked}");
    let german = std::fs::read_to_string(&config)
        .expect("read")
        .replace("language = \"de\"\nparameters", "language = \"ka\"\nparameters");
    std::fs::write(&config, german).expect("written");
    assert!(
        run(&["check"])
            .contains("note: rule `freezer`: heike reads de, and it has no template in that language")
    );
}
