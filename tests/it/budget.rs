//! What it may cost, and how many people may be written to first in a day.

use bellwire_tests::{
    Broker, Gateway, PHONE_NUMBER_ID, Simulator, Site, bellwire, post_json, publish, wait_for,
};
use serde_json::{Value, json};

const OTHER_NUMBER: &str = "209876543210123";

/// `main` has the budget; the owner hears over `other`.
fn rules(main: &str, rest: &str) -> String {
    format!(
        "{main}\n[[connection]]\nname = \"other\"\nphone_number_id = \"{OTHER_NUMBER}\"\naccess_token_file = \"access-token\"\n\
         app_secret_file = \"app-secret\"\nverify_token_file = \"verify-token\"\napi_url = \"API\"\n\
         [[contact]]\nid = \"nino\"\nphone = \"+995 555 12 34 56\"\n{rest}"
    )
}

fn rule(name: &str, severity: &str) -> String {
    format!(
        "[[rule]]\nname = \"{name}\"\ntopic = \"{name}\"\nmessage = \"{name} says {{{{ payload }}}}\"\nseverity = \"{severity}\"\n\
         connection = \"main\"\nnotify = [\"nino\"]\n"
    )
}

struct Shop {
    broker: Broker,
    site: Site,
    _simulator: Simulator,
    _gateway: Gateway,
}

impl Shop {
    fn open(rules: &str) -> Self {
        let broker = Broker::start();
        let site = Site::new(broker.port, rules);
        let config = std::fs::read_to_string(site.config()).unwrap();
        let config = config.replace("\"API\"", &format!("\"{}\"", site.api("")));
        let config = config.replacen("name = \"Test\"", "name = \"Test\"\nowner = [\"nino\"]", 1);
        std::fs::write(site.config(), config).unwrap();
        let (simulator, gateway) = (Simulator::start(&site), Gateway::start(&site));
        Self { broker, site, _simulator: simulator, _gateway: gateway }
    }

    /// So many were charged; what is sent after the free thousand is billed like this.
    fn bill(&self, count: u32) {
        let bill = format!(
            "DELETE FROM usage WHERE connection = 'main';
             INSERT INTO usage VALUES ('main', strftime('%Y-%m', 'now'), 'service', 'regular', {count});"
        );
        self.site.database().execute_batch(&bill).unwrap();
    }

    fn over_main(&self) -> Vec<String> {
        let sent = self.site.sent();
        let main = sent.iter().filter(|sent| sent["phone_number_id"] == PHONE_NUMBER_ID);
        main.map(|sent| sent["text"].as_str().unwrap_or_default().to_owned()).collect()
    }

    fn told(&self, words: &str) -> usize {
        let sent = self.site.sent();
        let other = sent.iter().filter(|sent| sent["phone_number_id"] == OTHER_NUMBER);
        other.filter(|sent| sent["text"].as_str().is_some_and(|text| text.contains(words))).count()
    }
}

#[test]
fn a_spent_budget_lets_only_critical_messages_through() {
    let rest = [rule("door", "warning"), rule("fire", "critical")].concat();
    let shop = Shop::open(&rules("budget = 5", &rest));
    for number in 1..=5 {
        publish(shop.broker.port, "door", number.to_string().as_bytes());
        let read = format!(
            "SELECT count(*) FROM message WHERE connection = 'main' AND state = 'read' AND id > 0 HAVING count(*) >= {number}"
        );
        wait_for(20, "a message", || {
            (shop.site.database().query_row(&read, [], |row| row.get::<_, i64>(0)).is_ok()).then_some(())
        });
        shop.bill(number);
        if number == 4 {
            wait_for(25, "the warning", || (shop.told("80 %") == 1).then_some(()));
        }
    }
    publish(shop.broker.port, "door", b"6");
    let held = wait_for(20, "the held one", || {
        let sql = "SELECT id, reason FROM message WHERE state = 'held' AND held_for = 'budget'";
        shop.site
            .database()
            .query_row(sql, [], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?)))
            .ok()
    });
    assert!(held.1.contains("budget of 5") && held.1.contains("outbox retry"), "{}", held.1);
    wait_for(25, "the owner to hear", || (shop.told("is used up") == 1).then_some(()));
    publish(shop.broker.port, "fire", b"now");
    wait_for(20, "the critical one", || {
        shop.over_main().iter().any(|text| text.starts_with("fire")).then_some(())
    });
    assert_eq!(shop.over_main().len(), 6);

    let config = shop.site.config();
    let retry = bellwire(&["outbox", "retry", &held.0.to_string(), "--config", &config.to_string_lossy()]);
    assert!(retry.status.success());
    wait_for(20, "what an operator sends all the same", || (shop.over_main().len() == 7).then_some(()));
    assert_eq!((shop.told("80 %"), shop.told("is used up")), (1, 1), "each is told once");

    // A new month: last month's bill does not count any more.
    publish(shop.broker.port, "door", b"7");
    wait_for(20, "it to be held", || {
        (shop.site.count("SELECT count(*) FROM message WHERE held_for = 'budget'") == 1).then_some(())
    });
    let month = "UPDATE usage SET month = '2020-01'; UPDATE sent SET counted = 1;";
    shop.site.database().execute_batch(month).unwrap();
    wait_for(20, "it to leave", || (shop.over_main().len() == 8).then_some(()));
}

/// Of the thousand that Meta gives away: what is left stands on the page, in the status and in the API, and the owner hears once
/// that none is. What the statuses say counts, not how many were sent.
#[test]
fn free_messages_are_shown_and_their_end_is_told() {
    let shop = Shop::open(&rules("", &rule("door", "warning")));
    let site = &shop.site;
    crate::web::choose_password(site);
    let bill = |kind: &str, count: u32| {
        let sql = format!(
            "INSERT OR REPLACE INTO usage VALUES ('main', strftime('%Y-%m', 'now'), 'service', '{kind}', {count});
             INSERT OR REPLACE INTO usage VALUES ('main', '2026-09', 'service', 'free_customer_service', 5000);"
        );
        site.database().execute_batch(&sql).unwrap();
    };
    bill("free_customer_service", 640);
    let cookie = crate::web::log_in(site);
    let token = crate::web::token(site, &["read"]);
    let shown = || {
        let page = crate::web::get(site, "/", &[&cookie, "Accept-Language: de"]).body;
        let page = page.split("Freie Nachrichten übrig, von 1000").nth(1).unwrap_or_default();
        let page =
            page.split("<b>").nth(1).and_then(|rest| rest.split('<').next()).unwrap_or_default().to_owned();
        let api = crate::web::get(site, "/api/usage", &[&token]).json()["free"].clone();
        let status = bellwire(&["status", "--config", &site.config().to_string_lossy()]);
        let status = String::from_utf8_lossy(&status.stdout).into_owned();
        let line = status.lines().find(|line| line.contains("free messages are left")).unwrap_or_default();
        (
            page,
            api[0]["left"].clone(),
            api.as_array().map_or(0, Vec::len),
            line.split(": ").nth(1).unwrap_or_default().to_owned(),
        )
    };
    assert_eq!(shown(), ("360".into(), json!(360), 1, "360 of 1000 free messages are left".into()));
    assert_eq!(site.count("SELECT count(*) FROM notice WHERE field LIKE 'free %'"), 0);
    bill("regular", 2);
    assert_eq!(
        shown(),
        ("0".into(), json!(0), 1, "0 of 1000 free messages are left, and 2 were charged".into())
    );
    let told = "SELECT count(*) FROM notice WHERE field LIKE 'free %' AND text LIKE '%free messages of % are used up%'";
    wait_for(25, "the owner to hear, over another number", || {
        (shop.told("free messages of") == 1).then_some(())
    });
    assert_eq!(site.count(told), 1, "once");
}

/// Meta's own tier, as it is asked for at the start: two people a day.
#[test]
fn a_third_person_waits_until_tomorrow() {
    let people: String =
        (2..=4).map(|n| format!("[[contact]]\nid = \"p{n}\"\nphone = \"+995 555 00 00 0{n}\"\n")).collect();
    let rule = "[[rule]]\nname = \"door\"\ntopic = \"door\"\nmessage = \"door\"\nconnection = \"main\"\nnotify = [\"p2\", \"p3\", \"p4\"]\n\
                [[rule.template]]\nname = \"hello_world\"\nlanguage = \"en_US\"\n";
    let broker = Broker::start();
    let site = Site::new(broker.port, &rules("", &format!("{people}{rule}")));
    let config =
        std::fs::read_to_string(site.config()).unwrap().replace("\"API\"", &format!("\"{}\"", site.api("")));
    std::fs::write(site.config(), config).unwrap();
    let _simulator = Simulator::start(&site);
    let limit = json!({ "whatsapp_business_manager_messaging_limit": "2" });
    let set = |body: &Value| assert_eq!(post_json(&site.api("/_simulator/node"), body).0, 200);
    set(&json!({ "id": PHONE_NUMBER_ID, "fields": limit }));
    let _gateway = Gateway::start(&site);
    wait_for(10, "the limit", || {
        (site.count("SELECT count(*) FROM fact WHERE name = 'messaging_limit' AND value = '2'") == 1)
            .then_some(())
    });
    publish(broker.port, "door", b"open");
    assert_eq!(site.wait_sent(2).len(), 2);
    let reason = wait_for(20, "the third to be put off", || {
        let sql = "SELECT reason FROM message WHERE state = 'queued' AND reason LIKE '%2 were written to%'";
        site.database().query_row(sql, [], |row| row.get::<_, String>(0)).ok()
    });
    assert!(reason.contains("to 2 people a day"), "{reason}");
    std::thread::sleep(std::time::Duration::from_secs(6));
    assert_eq!(site.sent().len(), 2);
    assert!(site.count("SELECT count(*) FROM notice WHERE text LIKE '%people were written to first%'") >= 1);
    site.database()
        .execute_batch(
            "UPDATE attempt SET started_at = started_at - 86400000; UPDATE message SET not_before = not_before - 86400000 WHERE not_before > 0",
        )
        .unwrap();
    wait_for(20, "the next day", || (site.sent().len() == 3).then_some(()));
}
