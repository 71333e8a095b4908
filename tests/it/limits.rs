//! What Meta limits, and what a person has to put right: in the simulator's own time, with the gateway's rows moved along.

use bellwire_tests::{Broker, Gateway, PHONE_NUMBER_ID, Simulator, Site, post_json, publish, wait_for};
use serde_json::{Value, json};

const TOPIC: &str = "site/bar/freezer/2/temperature";
const WARM: &[u8] = br#"{"celsius": -12.5}"#;
const OTHER_NUMBER: &str = "209876543210123";

struct Shop {
    broker: Broker,
    site: Site,
    _simulator: Simulator,
    gateway: Gateway,
}

impl Shop {
    fn open(rules: &str) -> Self {
        let broker = Broker::start();
        let site = Site::new(broker.port, rules);
        std::fs::copy(site.path().join("access-token"), site.path().join("other-token")).unwrap();
        let (simulator, gateway) = (Simulator::start(&site), Gateway::start(&site));
        Self { broker, site, _simulator: simulator, gateway }
    }

    fn alarm(&self) {
        publish(self.broker.port, TOPIC, WARM);
    }

    fn control(&self, path: &str, body: &Value) -> Value {
        let answer = post_json(&self.site.api(&format!("/_simulator/{path}")), body);
        assert_eq!(answer.0, 200, "{answer:?}");
        answer.1
    }

    fn state(&self, id: i64) -> (String, String) {
        let sql = "SELECT state, reason FROM message WHERE id = ?1";
        let read = |row: &rusqlite::Row| Ok((row.get(0)?, row.get(1)?));
        self.site.database().query_row(sql, [id], read).unwrap_or_default()
    }

    fn wait_state(&self, id: i64, state: &str) -> String {
        wait_for(20, &format!("message {id} to be {state}; it is {:?}", self.state(id)), || {
            Some(self.state(id)).filter(|(now, _)| now == state)
        })
        .1
    }

    fn attempts(&self, id: i64) -> i64 {
        self.site.count(&format!("SELECT attempts FROM message WHERE id = {id}"))
    }

    /// Time passes: the simulator's clock goes forward, and what the gateway has written down is as much older.
    fn hours_pass(&self, hours: i64) {
        self.control("clock", &json!({ "advance_s": hours * 3_600 }));
        let changed = self.site.database().execute(
            "UPDATE message SET created_at = created_at - ?1, changed_at = changed_at - ?1, expires_at = expires_at - ?1,
                 not_before = CASE not_before WHEN 0 THEN 0 ELSE not_before - ?1 END",
            [hours * 3_600_000],
        );
        assert!(changed.is_ok_and(|rows| rows > 0));
    }
}

fn days(expires: &str) -> String {
    crate::round_trip::FREEZER
        .replace("notify = [\"nino\"]", &format!("notify = [\"nino\"]\nexpires = \"{expires}\""))
}

#[test]
fn what_meta_keeps_from_a_person_waits_24_hours() {
    for later in [false, true] {
        let shop = Shop::open(&days("7d"));
        shop.site.fault(&match later {
            true => json!({ "count": 1, "statuses": { "fail_code": 131_049 } }),
            false => json!({ "count": 1, "code": 131_049 }),
        });
        shop.alarm();
        wait_for(15, "the refusal", || shop.state(1).1.contains("code 131049").then_some(()));
        assert_eq!((shop.state(1).0.as_str(), shop.attempts(1)), ("queued", 1));
        shop.hours_pass(23);
        std::thread::sleep(std::time::Duration::from_secs(2)); // two looks at the outbox
        assert_eq!((shop.state(1).0.as_str(), shop.attempts(1)), ("queued", 1), "not after 23 h");
        shop.hours_pass(1);
        shop.wait_state(1, "read");
        assert_eq!(shop.attempts(1), 2, "later: {later}");
    }
}

/// Whether it comes as an answer or as a status: the next try would be 24 h later, after the default of 24 h and after less.
#[test]
fn what_a_retry_would_send_too_late_is_given_up() {
    for (later, expires) in [(false, "12h"), (true, "24h")] {
        let shop = Shop::open(&days(expires));
        shop.site.fault(&match later {
            true => json!({ "count": 1, "statuses": { "fail_code": 131_049 } }),
            false => json!({ "count": 1, "code": 131_049 }),
        });
        shop.alarm();
        let reason = shop.wait_state(1, "failed");
        assert!(
            reason.contains("code 131049") && reason.contains("before it could be tried again"),
            "{reason}"
        );
        assert_eq!(shop.attempts(1), 1);
        let told = "SELECT count(*) FROM notice WHERE field = 'undelivered'";
        wait_for(10, "the notice", || (shop.site.count(told) == 1).then_some(()));
    }
}

/// A second message would make a restricted number worse: whether the restriction came as an answer or as a status,
/// nothing leaves until a person decides, and the owner is told over another number.
#[test]
fn a_number_with_a_bad_name_sends_nothing_by_itself() {
    for later in [false, true] {
        let rules = format!(
            "[[connection]]\nname = \"other\"\nphone_number_id = \"{OTHER_NUMBER}\"\naccess_token_file = \"other-token\"\n\
             app_secret_file = \"app-secret\"\nverify_token_file = \"verify-token\"\napi_url = \"API\"\n{}",
            crate::round_trip::FREEZER.replace("notify =", "connection = \"main\"\nnotify =")
        );
        let shop = Shop::open_with_other(&rules);
        shop.site.fault(&match later {
            true => json!({ "count": 1, "statuses": { "fail_code": 131_048 } }),
            false => json!({ "count": 1, "code": 131_048 }),
        });
        shop.alarm();
        let reason = shop.wait_state(1, "held");
        assert!(reason.contains("code 131048"), "{reason}");
        shop.alarm();
        let told = wait_for(10, &format!("the owner's message {}", shop.site.log()), || {
            // Of the number, and that nobody got the alert: two messages, in whichever order.
            let to_owner = |sent: &&Value| sent["phone_number_id"] == OTHER_NUMBER;
            let text = |sent: &Value| sent["text"].as_str().unwrap_or_default().to_owned();
            let told: Vec<String> = shop.site.sent().iter().filter(to_owner).map(text).collect();
            (told.len() == 2).then(|| told.join("\n"))
        });
        assert!(told.contains("sending has stopped") && told.contains("nobody got this alert"), "{told}");
        std::thread::sleep(std::time::Duration::from_secs(2));
        assert_eq!(shop.attempts(1), 1, "no automatic retry");
        let second = shop.site.count("SELECT max(id) FROM message WHERE alert IS NOT NULL");
        assert_eq!((shop.state(second).0.as_str(), shop.attempts(second)), ("queued", 0), "later: {later}");
        // Nor after a restart: a try would make it worse.
        let Shop { site, gateway, _simulator: _simulator_, broker: _broker } = shop;
        gateway.kill();
        let _gateway = Gateway::start(&site);
        std::thread::sleep(std::time::Duration::from_secs(3));
        assert_eq!(
            site.count(&format!("SELECT attempts FROM message WHERE id = {second}")),
            0,
            "later: {later}"
        );
    }
}

impl Shop {
    /// With a second number, the owner named, and the simulator's address written in.
    fn open_with_other(rules: &str) -> Self {
        let broker = Broker::start();
        let site = Site::new(broker.port, rules);
        let config = std::fs::read_to_string(site.config()).unwrap();
        let api = site.api("");
        let config = config.replace("\"API\"", &format!("\"{}\"", api.trim_end_matches('/')));
        let config = config.replacen("name = \"Test\"", "name = \"Test\"\nowner = [\"nino\"]", 1);
        std::fs::write(site.config(), config).unwrap();
        std::fs::copy(site.path().join("access-token"), site.path().join("other-token")).unwrap();
        let (simulator, gateway) = (Simulator::start(&site), Gateway::start(&site));
        Self { broker, site, _simulator: simulator, gateway }
    }
}

#[test]
fn a_refused_token_stops_its_own_number_alone() {
    for code in [0, 190] {
        let rules = format!(
            "[[connection]]\nname = \"other\"\nphone_number_id = \"{OTHER_NUMBER}\"\naccess_token_file = \"other-token\"\n\
             app_secret_file = \"app-secret\"\nverify_token_file = \"verify-token\"\napi_url = \"API\"\n{}\n\
             [[rule]]\nname = \"door\"\ntopic = \"door\"\nmessage = \"the door\"\nconnection = \"other\"\nnotify = [\"nino\"]\n",
            crate::round_trip::FREEZER.replace("notify =", "connection = \"main\"\nnotify =")
        );
        let mut shop = Shop::open_with_other(&rules);
        let good = if code == 190 { "new-token" } else { "token" };
        match code {
            190 => drop(shop.control("token", &json!({ "access_token": good }))),
            _ => shop.site.fault(&json!({ "code": code, "status": 401, "count": 1 })),
        }
        std::fs::write(shop.site.path().join("other-token"), good).unwrap();
        shop.alarm();
        wait_for(10, "the refusal", || (shop.attempts_or_zero(1) == 1).then_some(()));
        let reason =
            wait_for(10, "the reason", || Some(shop.state(1).1).filter(|reason| reason.contains("code")));
        assert!(reason.contains(&format!("code {code}")) && reason.contains("make a new token"), "{reason}");

        publish(shop.broker.port, "door", b"open");
        wait_for(10, "the other number's message", || {
            let sent = shop.site.sent();
            sent.iter()
                .any(|sent| sent["text"].as_str().is_some_and(|text| text.starts_with("the door")))
                .then_some(())
        });
        for _ in 0..3 {
            shop.alarm();
        }
        wait_for(10, "the queue", || {
            (shop.site.count("SELECT count(*) FROM message WHERE state = 'queued' AND connection = 'main'")
                >= 4)
                .then_some(())
        });
        assert_eq!(shop.site.count("SELECT count(*) FROM attempt a JOIN message m ON m.id = a.message WHERE m.connection = 'main'"), 1);

        std::fs::write(shop.site.path().join("access-token"), good).unwrap();
        wait_for(10, "what waited", || {
            let waiting = "SELECT count(*) FROM message WHERE state = 'queued'";
            (shop.site.count(waiting) == 0).then_some(())
        });
        shop.wait_state(1, "read");
        assert!(shop.gateway.is_running());
        let again = "SELECT count(*) FROM notice WHERE connection = 'main' AND field = 'sending' ORDER BY id";
        wait_for(10, "both notices", || (shop.site.count(again) == 2).then_some(()));
    }
}

impl Shop {
    fn attempts_or_zero(&self, id: i64) -> i64 {
        self.site.count(&format!("SELECT coalesce(max(attempts), 0) FROM message WHERE id = {id}"))
    }
}

#[test]
fn a_code_that_nobody_knows_is_tried_three_times() {
    let shop = Shop::open(crate::round_trip::FREEZER);
    shop.site.fault(&json!({ "code": 987_654 }));
    shop.alarm();
    for attempt in 1..=3 {
        wait_for(15, "a refusal", || (shop.attempts_or_zero(1) == attempt).then_some(()));
        wait_for(15, "its row", || shop.state(1).1.contains("code 987654").then_some(()));
        let skip = "UPDATE message SET not_before = 0 WHERE state = 'queued'";
        shop.site.database().execute(skip, []).unwrap();
    }
    let reason = shop.wait_state(1, "failed");
    assert!(reason.contains("not in Meta's table"), "{reason}");
    assert_eq!(shop.attempts(1), 3);
}

/// Meta puts up to 1,000 updates into a POST. The factor stands in docs/webhooks.md.
#[test]
fn a_thousand_statuses_are_cheaper_together() {
    let shop = Shop::open(crate::round_trip::FREEZER);
    shop.site.fault(&json!({ "statuses": { "drop": true } }));
    let measure = |batch: u32| {
        let mut spent = 0;
        for _ in 0..1_000 / batch.max(100) {
            let load =
                json!({ "unknown": batch.max(100), "batch": batch, "phone_number_id": PHONE_NUMBER_ID });
            let answer = shop.control("statuses", &load);
            assert_eq!(answer["taken"], answer["posts"], "{answer}");
            spent += answer["elapsed_ms"].as_u64().unwrap();
        }
        let done = "SELECT count(*) FROM inbox WHERE state = 'new'";
        wait_for(60, "all to be read", || (shop.site.count(done) == 0).then_some(()));
        spent.max(1)
    };
    let (singly, together) = (measure(1), measure(1_000));
    let factor = singly / together;
    println!("1,000 statuses: {singly} ms one by one, {together} ms in one POST: {factor} times as fast");
    assert!(factor >= 5, "{singly} ms against {together} ms");
}
