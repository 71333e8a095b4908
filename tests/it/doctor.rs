//! `bellwire doctor`: each thing that goes wrong for installers is found, with its next step, and no secret is told.

use std::fmt::Write as _;
use std::process::Output;

use bellwire_tests::{Broker, Gateway, PHONE_NUMBER_ID, Simulator, Site, bellwire, post_json};
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
        let mut rest = format!("business_account_id = \"{BUSINESS}\"\n{}", crate::round_trip::FREEZER);
        let at = rest.find("notify = ").expect("a rule");
        rest.insert_str(at, &format!("{template}\n"));
        let site = Site::new(broker.port, &rest);
        let simulator = Simulator::start(&site);
        let surgery = Self { site, _broker: broker, _simulator: simulator };
        surgery.account(&json!({
            "phone_numbers": { "data": [{ "id": PHONE_NUMBER_ID }] },
            "message_templates": { "data": [{
                "name": "alarm_v1", "language": "en", "status": "APPROVED", "category": "UTILITY",
                "components": [{ "type": "BODY", "text": "Alarm: {{1}}" }],
            }] },
        }));
        surgery
    }

    fn account(&self, change: &Value) {
        assert_eq!(post_json(&self.site.api("/_simulator/account"), change).0, 200, "{change}");
    }

    fn doctor(&self, more: &[&str]) -> Output {
        let config = self.site.config().to_string_lossy().into_owned();
        bellwire(&[&["doctor", "--config", &config], more].concat())
    }

    /// After that change, it complains in these words.
    fn finds(&self, change: &Value, words: &str) {
        self.account(change);
        let (complaints, code) = self.complaints();
        assert!(complaints.contains(words), "{change}\nwanted: {words}\nfound: {complaints}");
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
fn ailments_of_the_token() {
    let surgery = Surgery::open();
    let _gateway = Gateway::start(&surgery.site);
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("a time");
    let soon = now.as_secs() + 86_400;
    let scopes = json!(["whatsapp_business_messaging", "whatsapp_business_management"]);
    for (change, words) in [
        (json!({ "expires_at": 1_700_000_000 }), "error token: the token expired on 2023-11-14"),
        (json!({ "expires_at": soon }), "warning token: the token expires in "),
        (
            json!({ "expires_at": 0, "scopes": ["whatsapp_business_messaging"] }),
            "lacks the permission whatsapp_business_management → generate a new one",
        ),
        (json!({ "scopes": scopes, "type": "USER" }), "warning token: the token is a person's"),
        (json!({ "type": "SYSTEM_USER", "is_valid": false }), "error token: the access token is not valid"),
    ] {
        surgery.finds(&json!({ "debug_token": change }), words);
    }
}

#[test]
fn ailments_of_the_business_account_and_its_templates() {
    let surgery = Surgery::open();
    let _gateway = Gateway::start(&surgery.site);
    surgery.finds(
        &json!({ "phone_numbers": { "data": [] } }),
        "does not belong to the account 102290129340398 → copy",
    );
    surgery.account(&json!({ "phone_numbers": { "data": [{ "id": PHONE_NUMBER_ID }] } }));
    surgery.finds(&json!({ "subscribed_apps": { "data": [] } }), "error subscription: no app is subscribed");
    let other = json!([{ "whatsapp_business_api_data": { "id": "2" } }]);
    surgery.finds(
        &json!({ "subscribed_apps": { "data": other } }),
        "the token's app 1 is not subscribed, but 2 is",
    );
    let app = json!([{ "whatsapp_business_api_data": { "id": "1" } }]);
    surgery.account(&json!({ "subscribed_apps": { "data": app } }));

    surgery.finds(
        &json!({ "message_templates": { "data": [] } }),
        "alarm_v1 (en) does not exist in this language → What",
    );
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
        let template = json!({ "name": "alarm_v1", "language": "en", "status": status, "category": category,
                               "components": [{ "type": "BODY", "text": text }] });
        surgery.finds(&json!({ "message_templates": { "data": [template] } }), words);
    }
}

#[test]
fn ailments_of_the_number_and_its_webhook() {
    let surgery = Surgery::open();
    let _gateway = Gateway::start(&surgery.site);
    let blocked = json!({ "can_send_message": "BLOCKED", "entities": [{
        "entity_type": "BUSINESS", "id": "1", "can_send_message": "BLOCKED", "errors": [{ "error_code": 141_010,
        "error_description": "The business is not verified", "possible_solution": "Start the verification" }] }] });
    let leads_to = |path: &str| json!({ "webhook_configuration": { "application": surgery.site.url(path) } });
    for (change, words) in [
        (
            json!({ "health_status": blocked }),
            "error health: the business is blocked: The business is not verified (141010) → Start the verification",
        ),
        (
            json!({ "health_status": {}, "status": "DISCONNECTED" }),
            "error number: the number is disconnected",
        ),
        (json!({ "status": "CONNECTED", "quality_rating": "RED" }), "its quality is red"),
        (
            json!({ "quality_rating": "GREEN", "webhook_configuration": {} }),
            "error webhook: Meta has no webhook address for this number",
        ),
        (leads_to("/healthz"), "answers, but it is not bellwire"),
        (leads_to("/nothing"), "fails verification: it answers HTTP 404"),
    ] {
        surgery.finds(&json!({ "phone_number": change }), words);
    }
}

#[test]
fn a_wrong_token_or_a_missing_file_is_the_only_complaint_about_meta() {
    let surgery = Surgery::open();
    let token = surgery.site.path().join("access-token");
    std::fs::write(&token, "another").expect("written");
    let (complaints, code) = surgery.complaints();
    assert!(
        complaints.contains("error token: the token cannot be checked: Meta refuses with code 190"),
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
