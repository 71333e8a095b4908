//! `bellwire doctor`: each thing that goes wrong for installers is found, with its next step, and no secret is told.

use std::fmt::Write as _;
use std::process::Output;

use bellwire_tests::{
    Broker, Gateway, PHONE_NUMBER_ID, Simulator, Site, bellwire, post_json, publish, wait_for,
};
use serde_json::{Value, json};

const BUSINESS: &str = "102290129340398";

struct Surgery {
    site: Site,
    _broker: Broker,
    _simulator: Simulator,
}

impl Surgery {
    fn open() -> Self {
        let broker = Broker::start();
        // The connection's section is the last one that the site writes, and this begins with the rest of it.
        let template = "template = { name = \"alarm_v1\", language = \"en\", parameters = [\"{{ text }}\"] }";
        // No end is known of this version: the machine's clock finds nothing here on any day.
        let mut rest = format!(
            "api_version = \"v27.0\"\nbusiness_account_id = \"{BUSINESS}\"\n{}",
            crate::round_trip::FREEZER
        );
        let at = rest.find("notify = ").expect("a rule");
        rest.insert_str(at, &format!("{template}\n"));
        let site = Site::new(broker.port, &rest);
        let simulator = Simulator::start_with(
            &site,
            &["--business-account-id", BUSINESS, "--phone-number-id", PHONE_NUMBER_ID],
        );
        let surgery = Self { site, _broker: broker, _simulator: simulator };
        surgery.template("APPROVED", "UTILITY", "Alarm: {{1}}");
        surgery
    }

    /// Changes what the simulator tells of the account.
    fn set(&self, what: &str, change: &Value) {
        let answer = post_json(&self.site.api(&format!("/_simulator/{what}")), change);
        assert_eq!(answer.0, 200, "{change}: {}", answer.1);
    }

    fn template(&self, status: &str, category: &str, text: &str) {
        let mut body = json!({ "type": "BODY", "text": text });
        if text.contains("{{") {
            body["example"] = json!({ "body_text": [["the freezer"]] });
        }
        self.set(
            "templates",
            &json!({ "name": "alarm_v1", "language": "en", "status": status, "category": category,
                                       "components": [body], "webhook": false }),
        );
    }

    fn doctor(&self, more: &[&str]) -> Output {
        let config = self.site.config().to_string_lossy().into_owned();
        bellwire(&[&["doctor", "--config", &config], more].concat())
    }

    /// It complains in these words.
    fn finds(&self, words: &str) {
        let (complaints, code) = self.complaints();
        assert!(complaints.contains(words), "wanted: {words}\nfound: {complaints}");
        let expected = if complaints.contains("error ") { 2 } else { 1 };
        assert_eq!(code, Some(expected), "{complaints}");
    }

    /// The findings that are not good, as `severity check: what → next`, and the exit code.
    fn complaints(&self) -> (String, Option<i32>) {
        let output = self.doctor(&["--json"]);
        let report: Value = serde_json::from_slice(&output.stdout).expect("JSON");
        let mut complaints = String::new();
        for finding in report["findings"].as_array().expect("findings") {
            // What this machine's own mosquitto is set to is not under test.
            let ours = finding["check"] != "broker" && finding["check"] != "disk";
            if finding["severity"] != "ok" && ours {
                let text = |key: &str| finding[key].as_str().expect(key).to_owned();
                writeln!(
                    complaints,
                    "{} {}: {} → {}",
                    text("severity"),
                    text("check"),
                    text("what"),
                    text("next")
                )
                .expect("written");
            }
        }
        (complaints, output.status.code())
    }
}

#[test]
fn a_healthy_site_has_no_complaint() {
    let surgery = Surgery::open();
    let _gateway = Gateway::start(&surgery.site);
    assert_eq!(surgery.complaints().0, "");
}

#[test]
fn token_problems_are_found() {
    let surgery = Surgery::open();
    let _gateway = Gateway::start(&surgery.site);
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("a time");
    let soon = now.as_secs() + 86_400;
    for (change, words) in [
        (json!({ "expires_at": 1_700_000_000 }), "error token: the token expired on 2023-11-14"),
        (json!({ "expires_at": soon }), "warning token: the token expires in "),
        (
            json!({ "expires_at": 0, "scopes": ["whatsapp_business_messaging"] }),
            "lacks the permission whatsapp_business_management, which templates and every other webhook field",
        ),
        (json!({ "valid": false }), "error token: the access token is not valid"),
    ] {
        surgery.set("token", &change);
        surgery.finds(words);
    }
}

#[test]
fn business_account_and_template_problems_are_found() {
    let surgery = Surgery::open();
    let _gateway = Gateway::start(&surgery.site);
    for (status, category, text, words) in [
        ("PAUSED", "UTILITY", "Alarm: {{1}}", "error templates: the template alarm_v1 (en) is paused"),
        ("APPROVED", "UTILITY", "Alarm", "has 0 blanks, and the rule fills 1"),
        (
            "APPROVED",
            "MARKETING",
            "Alarm: {{1}}",
            "warning templates: the template alarm_v1 (en) is of the category",
        ),
    ] {
        surgery.template(status, category, text);
        surgery.finds(words);
    }
    let delete = |path: &str| {
        let url = surgery.site.api(&format!("/v25.0/{BUSINESS}/{path}"));
        assert!(ureq::delete(&url).header("Authorization", "Bearer token").call().is_ok(), "{url}");
    };
    delete("message_templates?name=alarm_v1");
    surgery.finds("the template alarm_v1 (en) does not exist in this language → WhatsApp Manager");
    delete("subscribed_apps");
    surgery.finds("error subscription: no app is subscribed");
}

#[test]
fn number_and_webhook_problems_are_found() {
    let surgery = Surgery::open();
    let _gateway = Gateway::start(&surgery.site);
    let health = |state: &str, entities: Value| json!({ "can_send_message": state, "entities": entities });
    let blocked = json!([{
        "entity_type": "BUSINESS", "id": "1", "can_send_message": "BLOCKED", "errors": [{ "error_code": 141_010,
        "error_description": "The business is not verified", "possible_solution": "Start the verification" }] }]);
    let leads_to = |path: &str| json!({ "webhook_configuration": { "application": surgery.site.url(path) } });
    let override_of = |whose: &str, path: &str, app: &str| {
        let mut configured = json!({ "application": surgery.site.url(app) });
        configured[whose] = surgery.site.url(path).into();
        json!({ "webhook_configuration": configured })
    };
    for (fields, words) in [
        (
            json!({ "health_status": health("BLOCKED", blocked) }),
            "error health: the business is blocked: The business is not verified (141010) → Start the verification",
        ),
        (
            json!({ "health_status": health("AVAILABLE", json!([])), "status": "DISCONNECTED" }),
            "error number: the number is disconnected",
        ),
        (json!({ "status": "CONNECTED", "quality_rating": "RED" }), "its quality is red"),
        (
            json!({ "quality_rating": "GREEN", "webhook_configuration": {} }),
            "error webhook: Meta has no webhook address for this number",
        ),
        (leads_to("/healthz"), "answers, but it is not bellwire"),
        (leads_to("/nothing"), "fails verification: it answers HTTP 404"),
        (
            override_of("phone_number", "/nothing", "/webhook/whatsapp"),
            "which counts for this number instead of the app's address, fails verification: it answers HTTP 404",
        ),
        (
            override_of("whatsapp_business_account", "/healthz", "/webhook/whatsapp"),
            "which counts for this account instead of the app's address, answers, but it is not bellwire",
        ),
        (
            override_of("phone_number", "/webhook/whatsapp", "/healthz"),
            "warning webhook: an override of this number counts for messages, and notices of the account and its templates go to",
        ),
    ] {
        surgery.set("node", &json!({ "id": PHONE_NUMBER_ID, "fields": fields }));
        surgery.finds(words);
    }
}

/// Messages that go to another app are an ailment, as far as webhooks tell, and no more once they come here again.
#[test]
fn a_routing_problem_is_reported_until_it_ends() {
    let surgery = Surgery::open();
    let gateway = Gateway::start(&surgery.site);
    let fact = |value: &str| {
        let sql = format!("INSERT OR REPLACE INTO fact VALUES ('main', 'standby', {value}, 1)");
        surgery.site.database().execute_batch(&sql).expect("written");
    };
    fact("'true'");
    surgery.finds("error routing: what people write to this number goes to another app or agent");
    surgery.site.database().execute_batch("DELETE FROM fact WHERE name = 'standby'").expect("written");
    assert_eq!(surgery.complaints().0, "");
    drop(gateway);
}

#[test]
fn doctor_explains_wrong_ids_refusals_and_an_unreachable_meta() {
    let surgery = Surgery::open();
    let _gateway = Gateway::start(&surgery.site);
    surgery.set("faults", &json!({ "on": "debug_token", "code": 80_007, "count": 1 }));
    surgery.finds("Meta refuses with code 80007");
    surgery.set("faults", &json!({ "on": "message_templates", "code": 4, "count": 1 }));
    surgery.finds("error templates: the templates cannot be read: Meta refuses with code 4");

    let config = std::fs::read_to_string(surgery.site.config()).expect("a configuration");
    std::fs::write(surgery.site.config(), config.replace(PHONE_NUMBER_ID, "109876543210999"))
        .expect("written");
    surgery.finds("error number: the number 109876543210999 cannot be read: Meta refuses with code 100");
    surgery.finds("check phone_number_id and business_account_id against WhatsApp > API Setup");

    let silent = format!("http://127.0.0.1:{}", bellwire_tests::free_port());
    std::fs::write(surgery.site.config(), config.replace(&surgery.site.api(""), &silent)).expect("written");
    surgery.finds("does the machine reach the internet, resolve names, and have its clock set?");
}

#[test]
fn another_gateway_at_our_address_is_told_from_ours() {
    let surgery = Surgery::open();
    let _other = Gateway::start(&surgery.site);
    let config = std::fs::read_to_string(surgery.site.config()).expect("read");
    std::fs::write(surgery.site.config(), config.replace("/state\"", "/state-of-ours\"")).expect("written");
    surgery
        .finds("error daemon: it is not running: another gateway, or another program, answers on 127.0.0.1:");
}

#[test]
fn a_closed_window_is_found_with_the_message_that_waits() {
    let broker = Broker::start();
    let rest = format!("business_account_id = \"{BUSINESS}\"\n{}", crate::round_trip::FREEZER);
    let site = Site::new(broker.port, &rest);
    let simulator = Simulator::start_with(&site, &["--business-account-id", BUSINESS, "--enforce-window"]);
    let surgery = Surgery { site, _broker: broker, _simulator: simulator };
    let _gateway = Gateway::start(&surgery.site);
    publish(surgery._broker.port, "site/bar/freezer/2/temperature", br#"{"celsius": -12.5}"#);
    let waits = "SELECT count(*) FROM message WHERE state = 'held'";
    wait_for(20, "a held message", || (surgery.site.count(waits) == 1).then_some(()));
    surgery.finds("warning templates: 1 of the rules have no template, for example `freezer`");
    surgery.finds("warning outbox: 1 of the newest messages are held: ");
}

#[test]
fn a_bad_token_causes_a_single_complaint() {
    let surgery = Surgery::open();
    let token = surgery.site.path().join("access-token");
    std::fs::write(&token, "another").expect("written");
    let (complaints, code) = surgery.complaints();
    assert!(
        complaints.contains("error token: the access token is not valid: Invalid OAuth access token."),
        "{complaints}"
    );
    assert!(complaints.contains("warning daemon: it is not running"), "{complaints}");
    assert_eq!(complaints.lines().count(), 2, "{complaints}");
    assert_eq!(code, Some(2));
    std::fs::remove_file(&token).expect("removed");
    assert!(surgery.complaints().0.contains("cannot be read"), "{}", surgery.complaints().0);
}

#[test]
fn nothing_secret_is_told() {
    let surgery = Surgery::open();
    let planted = "EAAplantedTOKENplanted";
    for file in ["access-token", "app-secret", "verify-token"] {
        std::fs::write(surgery.site.path().join(file), planted).expect("written");
    }
    let bundle = surgery.site.path().join("bundle.json");
    let path = bundle.to_string_lossy().into_owned();
    let mut told = String::new();
    for more in [&["--bundle", &path][..], &["--json"]] {
        let output = surgery.doctor(more);
        told += &String::from_utf8_lossy(&output.stdout);
        told += &String::from_utf8_lossy(&output.stderr);
    }
    told += &std::fs::read_to_string(&bundle).expect("a bundle");
    assert!(!told.contains(planted), "{told}");
    assert!(!told.contains("555123456"), "{told}");
    assert!(told.contains("+995…456"), "{told}");
}

#[test]
fn check_and_doctor_find_an_ended_api_version() {
    let surgery = Surgery::open();
    let text = std::fs::read_to_string(surgery.site.config()).expect("a configuration");
    std::fs::write(surgery.site.config(), text.replace("v27.0", "v17.0")).expect("written");
    let gateway = Gateway::start(&surgery.site);
    publish(surgery._broker.port, "site/bar/freezer/2/temperature", br#"{"celsius": -12.5}"#);
    let sent = "SELECT count(*) FROM message WHERE state IN ('accepted', 'sent', 'delivered', 'read')";
    wait_for(20, "an alert that is sent all the same", || (surgery.site.count(sent) == 1).then_some(()));
    surgery.finds("error version: version v17.0 of Meta's API ended long ago → write api_version = \"v25.0\" under [[connection]]");
    drop(gateway);
    let config = surgery.site.config().to_string_lossy().into_owned();
    let checked = bellwire(&["check", "--config", &config]);
    let said = String::from_utf8_lossy(&checked.stderr);
    assert_eq!(checked.status.code(), Some(78), "{said}");
    assert!(said.contains("version v17.0 of Meta's API ended long ago; write api_version"), "{said}");
}
