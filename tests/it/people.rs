//! Who wrote, as WhatsApp really spells people: real webhooks, signed, against a real broker and the simulated Cloud API.

use std::os::unix::fs::PermissionsExt;
use std::time::{SystemTime, UNIX_EPOCH};

use bellwire_tests::{Broker, Gateway, PHONE_NUMBER_ID, Simulator, Site, Subscriber, bellwire, wait_for};
use serde_json::{Value, json};

use crate::webhook::{post, sign};

const OWNER: &str = "+15550100144";
const NINO: &str = "15550100123";

const HOUSE: &str = r#"
[[contact]]
id = "bia"
phone = "+55 11 98765-4321"
roles = ["manager"]
[[contact]]
id = "nino"
phone = "+15550100123"
roles = ["manager"]
[[contact]]
id = "hidden"
user_id = "US.90010020030040050060"
[[contact]]
id = "boss"
phone = "+15550100144"
roles = ["owner", "manager"]
[[command]]
name = "open-door"
words = ["open {door}"]
values = { door = ["front", "back"] }
topic = "site/doors/{door}/set"
payload = "OPEN"
roles = ["manager"]
expires = "1m"
"#;

/// Of another app, with a number of its own.
const SECOND: &str = r#"[[connection]]
name = "second"
phone_number_id = "900000000000777"
access_token_file = "access-token"
app_secret_file = "second-secret"
verify_token_file = "verify-token"
"#;

struct House {
    site: Site,
    doors: Subscriber,
    _simulator: Simulator,
    gateway: Option<Gateway>,
    _broker: Broker,
}

fn seconds_ago(seconds: u64) -> String {
    (SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() - seconds).to_string()
}

fn body(message: &Value) -> Vec<u8> {
    let value = json!({ "messaging_product": "whatsapp",
                        "metadata": { "display_phone_number": "15550100100", "phone_number_id": PHONE_NUMBER_ID },
                        "messages": [message] });
    json!({ "object": "whatsapp_business_account",
            "entry": [{ "id": "900000000000001", "changes": [{ "field": "messages", "value": value }] }] })
    .to_string()
    .into_bytes()
}

fn text(from: &str, id: &str, ago: u64, words: &str) -> Value {
    json!({ "from": from, "id": id, "timestamp": seconds_ago(ago), "type": "text", "text": { "body": words } })
}

impl House {
    fn open() -> Self {
        let broker = Broker::start();
        let site = Site::new(broker.port, &format!("{SECOND}{HOUSE}"));
        let secret = site.path().join("second-secret");
        std::fs::write(&secret, "of the second app").unwrap();
        std::fs::set_permissions(&secret, std::fs::Permissions::from_mode(0o600)).unwrap();
        let config = std::fs::read_to_string(site.config()).unwrap();
        let config = config.replace("[http]", "owner = [\"boss\"]\n[http]");
        let api = format!("second-secret\"\napi_url = \"http://127.0.0.1:{}\"", site.api_port);
        std::fs::write(site.config(), config.replace("second-secret\"", &api)).unwrap();
        let simulator = Simulator::start(&site);
        let gateway = Some(Gateway::start(&site));
        let doors = Subscriber::start(broker.port, "site/doors/#");
        Self { site, doors, _simulator: simulator, gateway, _broker: broker }
    }

    /// What became of it.
    fn hears(&self, message: &Value, secret: &str) -> String {
        let body = body(message);
        assert_eq!(post(&self.site, &body, Some(&sign(secret, &body))), 200);
        // The simulator's own receipts come in between.
        let id = message["id"].as_str().unwrap_or_default();
        let note = "SELECT note FROM inbox WHERE state <> 'new' AND instr(body, CAST(?1 AS BLOB)) > 0 ORDER BY id DESC";
        wait_for(10, "the body to be read", || {
            let read = self.site.database().query_row(note, [id], |row| row.get::<_, Option<String>>(0));
            read.ok().map(Option::unwrap_or_default)
        })
    }

    fn told(&self, whom: &str, words: &str) {
        wait_for(20, &format!("“{words}” to {whom}: {:#?}", self.site.sent()), || {
            let sent = self.site.sent();
            let is_it = |sent: &&Value| {
                sent["to"] == whom && sent["text"].as_str().is_some_and(|text| text.contains(words))
            };
            sent.iter().find(is_it).map(|_| ())
        });
    }

    fn doors(&self, count: usize) {
        wait_for(10, "the door", || (self.doors.messages().len() == count).then_some(()));
    }
}

#[test]
fn a_brazilian_without_the_ninth_digit_commands_and_stops() {
    let house = House::open();
    house.hears(&text("551187654321", "wamid.B1", 0, "open front"), "secret");
    house.doors(1);
    house.hears(&text("551187654321", "wamid.B2", 0, "STOP"), "secret");
    assert_eq!(house.site.count("SELECT stopped FROM person WHERE contact = 'bia'"), 1);
}

#[test]
fn a_number_with_a_new_owner_needs_acceptance() {
    let house = House::open();
    let system = json!({ "body": "x", "wa_id": "15550100999", "type": "user_changed_number" });
    let moved = json!({ "from": NINO, "id": "wamid.SYS1", "timestamp": seconds_ago(100), "type": "system", "system": system });
    house.hears(&moved, "secret");
    let note = house.hears(&text(NINO, "wamid.A2", 0, "open front"), "secret");
    assert!(note.contains("changed hands"), "{note}");
    house.told(OWNER, "nino has a new WhatsApp number");
    let config = house.site.config();
    let accept = bellwire(&["contact", "accept", "nino", "--config", &config.to_string_lossy()]);
    assert!(String::from_utf8_lossy(&accept.stdout).starts_with("accepted"), "{accept:?}");
    house.hears(&text(NINO, "wamid.A3", 0, "open back"), "secret");
    house.doors(1);
    assert!(house.doors.messages()[0].contains("back"), "{:?}", house.doors.messages());
}

#[test]
fn late_messages_say_so_and_undo_nothing_newer() {
    let house = House::open();
    house.hears(&text(NINO, "wamid.L1", 7_200, "open front"), "secret");
    house.told(
        &format!("+{NINO}"),
        "That came too late: it was written 2 h 0 min ago. “open front” was not done.",
    );
    house.hears(&text(NINO, "wamid.S1", 60, "STOP"), "secret");
    house.hears(&text(NINO, "wamid.S2", 3_600, "START"), "secret");
    assert_eq!(house.site.count("SELECT stopped FROM person WHERE contact = 'nino'"), 1);
    assert!(house.doors.messages().is_empty());
}

#[test]
fn a_shared_number_reaches_the_owner() {
    let house = House::open();
    let card = json!({ "origin": "contact_request", "phones": [{ "phone": "+15550100177", "wa_id": "15550100177" }] });
    let answer = json!({ "from_user_id": "US.90010020030040050060", "id": "wamid.K1", "timestamp": seconds_ago(0),
                         "type": "contacts", "contacts": [card] });
    house.hears(&answer, "secret");
    house.told(OWNER, "hidden shared a phone number: +15550100177.");
}

/// The second app's secret is the owner's own, too; and yet it says nothing about the first one's number.
#[test]
fn one_apps_secret_does_not_sign_for_another_number() {
    let mut house = House::open();
    let note = house.hears(&text(NINO, "wamid.F1", 0, "open front"), "of the second app");
    assert!(note.contains("signed with the app secret of second"), "{note}");
    assert!(house.site.log().contains("was signed with another's app secret"));
    house.hears(&text(NINO, "wamid.F1", 0, "open back"), "secret");
    house.doors(1);
    assert!(house.doors.messages()[0].contains("back"), "{:?}", house.doors.messages());
    house.gateway.take().unwrap().stop();
}
