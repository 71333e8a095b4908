use bellwire_tests::{Broker, Gateway, PHONE_NUMBER_ID, Simulator, Site, publish, wait_for};
use serde_json::{Value, json};

use super::{ask, code, form, get, json as post, token};
use crate::round_trip::FREEZER;

const BUSINESS: &str = "102290129340398";
const SECRETS: [&str; 3] = ["EAAtoken-of-the-test", "secret", "my-verify-token"];

/// A gateway whose configuration has no number.
fn without_a_number() -> (Broker, Site, Simulator, Gateway) {
    let broker = Broker::start();
    let site = Site::new(broker.port, FREEZER);
    let config = std::fs::read_to_string(site.config()).unwrap();
    let (before, rest) = config.split_once("[[connection]]").unwrap();
    let (_, after) = rest.split_once("[[").unwrap();
    std::fs::write(site.config(), format!("{before}[[{after}")).unwrap();
    let simulator =
        Simulator::start_with(&site, &["--business-account-id", BUSINESS, "--access-token", SECRETS[0]]);
    let gateway = Gateway::start(&site);
    let fields = format!("code={}&password=correct+horse&again=correct+horse", code(&site));
    assert_eq!(form(&site, "/welcome", &[], &fields).status, 303);
    (broker, site, simulator, gateway)
}

fn number(site: &Site) -> Value {
    json!({ "name": "main", "phone_number_id": PHONE_NUMBER_ID, "business_account_id": BUSINESS, "access_token": SECRETS[0],
            "app_secret": SECRETS[1], "verify_token": SECRETS[2], "api_url": site.api("") })
}

/// Nothing of a secret in any file of the state directory, or in the log.
fn nowhere_in_the_open(site: &Site) {
    for entry in std::fs::read_dir(site.path().join("state")).unwrap() {
        let path = entry.unwrap().path();
        let bytes = std::fs::read(&path).unwrap_or_default();
        for secret in [SECRETS[0], SECRETS[2]] {
            assert!(!bytes.windows(secret.len()).any(|part| part == secret.as_bytes()), "{}", path.display());
        }
    }
    assert!(!site.log().contains(SECRETS[0]));
}

#[test]
fn a_number_is_connected_and_disconnected_while_it_runs() {
    let (broker, site, _simulator, gateway) = without_a_number();
    publish(broker.port, "site/bar/freezer/2/temperature", br#"{"celsius": -12.5}"#);
    wait_for(10, "the message", || (site.count("SELECT count(*) FROM message") == 1).then_some(()));
    let manage = token(&site, &["read", "manage"]);
    let steps = get(&site, "/api/whatsapp/setup", &[&manage]).json();
    assert_eq!(steps["items"][1], json!({ "name": "connected", "state": "open", "detail": null }));

    let mut wrong = number(&site);
    wrong["access_token"] = "EAAnonsense".into();
    let refused = post(&site, "/api/whatsapp/connect", &[&manage], &wrong);
    assert_eq!((refused.status, refused.header("content-type")), (422, Some("application/problem+json")));
    let checks = refused.json()["checks"].clone();
    assert!(checks[0]["severity"] == "error" && checks[0]["next"].is_string(), "{checks}");
    assert_eq!(site.count("SELECT count(*) FROM connection"), 0, "nothing is kept before it is right");
    wrong = number(&site);
    wrong["app_secret"] = "another".into();
    let refused = post(&site, "/api/connections", &[&manage], &wrong);
    assert_eq!(
        (refused.status, refused.json()["checks"].to_string().contains("not the secret")),
        (422, true)
    );

    let connected = post(&site, "/api/connections", &[&manage], &number(&site));
    assert_eq!(connected.status, 201, "{}", connected.body);
    assert_eq!(site.wait_sent(1).len(), 1, "what waited goes out, without a restart");
    for path in ["/api/connections", "/api/connections/main", "/api/whatsapp/status", "/api/audit"] {
        let answer = get(&site, path, &[&manage]);
        assert!(
            SECRETS.iter().all(|secret| !answer.body.contains(&format!("\"{secret}\""))),
            "{path}: {}",
            answer.body
        );
    }
    nowhere_in_the_open(&site);
    wait_for(20, "the receipts: the app secret works", || {
        (site.count("SELECT count(*) FROM message WHERE state = 'read'") == 1).then_some(())
    });
    let changed = json!({ "messages_per_second": 20 });
    let kind = "Content-Type: application/json";
    let changed = ask(&site, "PATCH", "/api/connections/main", &[&manage, kind], &changed.to_string());
    assert_eq!(
        (changed.status, changed.json()["connection"]["messages_per_second"].clone()),
        (200, json!(20))
    );
    let checked = ask(&site, "POST", "/api/connections/main/check", &[&manage], "").json();
    assert_eq!(checked["checks"][0]["severity"], "ok", "{checked}");

    gateway.kill();
    let _gateway = Gateway::start(&site);
    publish(broker.port, "site/bar/freezer/3/temperature", br#"{"celsius": -12.5}"#);
    assert_eq!(site.wait_sent(2).len(), 2, "it is still connected after a restart");

    let gone = post(&site, "/api/whatsapp/disconnect", &[&manage], &json!({ "name": "main" }));
    assert_eq!(gone.status, 200, "{}", gone.body);
    assert_eq!(site.count("SELECT count(*) FROM connection WHERE sealed IS NULL"), 1, "the token is wiped");
    publish(broker.port, "site/bar/freezer/4/temperature", br#"{"celsius": -12.5}"#);
    wait_for(10, "the third message", || (site.count("SELECT count(*) FROM message") == 3).then_some(()));
    wait_for(10, "the reason", || {
        (site.count("SELECT count(*) FROM message WHERE state = 'queued' AND reason LIKE '%not connected%'")
            == 1)
            .then_some(())
    });
    assert_eq!(site.sent().len(), 2);
    assert_eq!(get(&site, "/api/messages/1", &[&manage]).status, 200, "the history stays");
    assert_eq!(ask(&site, "DELETE", "/api/connections/main", &[&manage], "").status, 200);
    assert_eq!(ask(&site, "DELETE", "/api/connections/main", &[&manage], "").status, 404);
    let changes = site.count(
        "SELECT count(*) FROM change WHERE deed IN ('connect', 'disconnect', 'delete') AND outcome = 'done'",
    );
    assert_eq!(changes, 4, "each change is written down: two connects, a disconnect, a delete");
}

#[test]
fn deleting_a_number_sends_its_messages_over_another() {
    let (broker, site, _simulator, _gateway) = without_a_number();
    let manage = token(&site, &["read", "manage"]);
    assert_eq!(post(&site, "/api/connections", &[&manage], &number(&site)).status, 201);
    assert_eq!(post(&site, "/api/whatsapp/disconnect", &[&manage], &json!({ "name": "main" })).status, 200);
    publish(broker.port, "site/bar/freezer/4/temperature", br#"{"celsius": -12.5}"#);
    let waits = || site.count("SELECT count(*) FROM message WHERE state = 'queued' AND connection = 'main'");
    wait_for(10, "the message", || (waits() == 1).then_some(()));
    let mut another = number(&site);
    another["name"] = "shop".into();
    assert_eq!(post(&site, "/api/connections", &[&manage], &another).status, 201);
    assert_eq!((waits(), site.sent().len()), (1, 0), "it waits until its number is connected again");
    assert_eq!(ask(&site, "DELETE", "/api/connections/main", &[&manage], "").status, 200);
    assert_eq!(site.wait_sent(1).len(), 1);
    assert_eq!(waits(), 0);
}

#[test]
fn numbers_from_the_file_cannot_be_changed_over_the_api() {
    let (_broker, site, _gateway) = super::start(FREEZER);
    let (read, manage) = (token(&site, &["read", "act", "events"]), token(&site, &["manage"]));
    let given = json!({ "name": "main", "phone_number_id": "1" });
    assert_eq!(post(&site, "/api/connections", &[&read], &given).status, 403);
    assert_eq!(post(&site, "/api/connections", &[&manage], &given).status, 409);
    assert_eq!(ask(&site, "DELETE", "/api/connections/main", &[&manage], "").status, 409);
    assert_eq!(post(&site, "/api/whatsapp/disconnect", &[&manage], &json!({ "name": "main" })).status, 409);
    let check = |given: Value, words: &str| {
        let answer = post(&site, "/api/connections", &[&manage], &given);
        assert_eq!(answer.status, 422, "{given}");
        assert!(answer.body.contains(words), "{given}: {}", answer.body);
    };
    check(json!({ "name": "second" }), "phone_number_id: it is missing");
    check(json!({ "name": "a b" }), "name:");
    check(
        json!({ "name": "x", "phone_number_id": "+995555123456", "business_account_id": "1", "access_token": "a",
                  "app_secret": "b", "verify_token": "c" }),
        "not the phone number",
    );
    check(
        json!({ "name": "x", "phone_number_id": "1", "business_account_id": "1", "access_token": "a", "app_secret": "b",
                  "verify_token": "c", "api_url": "http://evil.example" }),
        "https://",
    );
    check(json!({ "name": "x", "token": "a" }), "token");
}

/// Somebody else's server that would like to be Meta: what it was sent.
fn listener() -> (String, std::sync::Arc<std::sync::Mutex<Vec<u8>>>) {
    use std::io::{Read, Write};
    let server = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}", server.local_addr().expect("an address"));
    let heard = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let hears = std::sync::Arc::clone(&heard);
    std::thread::spawn(move || {
        for stream in server.incoming() {
            let Ok(mut stream) = stream else { return };
            let mut bytes = [0; 4_096];
            let read = stream.read(&mut bytes).unwrap_or_default();
            hears.lock().expect("sound").extend_from_slice(&bytes[..read]);
            drop(stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}"));
        }
    });
    (url, heard)
}

#[test]
fn another_api_address_needs_every_secret_again() {
    let (_broker, site, _simulator, _gateway) = without_a_number();
    let manage = token(&site, &["read", "manage"]);
    assert_eq!(post(&site, "/api/connections", &[&manage], &number(&site)).status, 201);
    let (elsewhere, heard) = listener();
    let patch = |given: Value| {
        let kind = "Content-Type: application/json";
        ask(&site, "PATCH", "/api/connections/main", &[&manage, kind], &given.to_string())
    };
    for (given, missing) in [
        (json!({ "api_url": elsewhere }), "access_token"),
        (json!({ "api_url": elsewhere, "access_token": "EAAnew" }), "app_secret"),
        (json!({ "api_url": elsewhere, "access_token": "EAAnew", "app_secret": "new" }), "verify_token"),
        (
            json!({ "api_url": elsewhere, "access_token": " ", "app_secret": "", "verify_token": "" }),
            "access_token",
        ),
    ] {
        let answer = patch(given.clone());
        assert_eq!(answer.status, 422, "{given}: {}", answer.body);
        assert!(answer.body.contains(&format!("{missing}: enter it again")), "{given}: {}", answer.body);
    }
    for url in [
        elsewhere.replace("127.0.0.1", "localhost@127.0.0.1"),
        "http://127.0.0.1.attacker.example".into(),
        "http://localhost.attacker.example:80".into(),
        "https://graph.facebook.com@attacker.example".into(),
    ] {
        let answer = patch(json!({ "api_url": url }));
        assert!(answer.status == 422 && answer.body.contains("api_url: "), "{url}: {}", answer.body);
    }
    // On the page, too; and with all secrets given anew the new address gets those alone.
    let cookie = super::log_in(&site);
    let fields = format!("csrf={}&name=main&api_url={elsewhere}", super::proof(&site, &cookie));
    let page = form(&site, "/setup/connect", &[&cookie], &fields);
    assert!(page.status == 422 && page.body.contains("enter it again"), "{}", page.body);
    let anew =
        json!({ "api_url": elsewhere, "access_token": "EAAnew", "app_secret": "new", "verify_token": "v" });
    assert_eq!(patch(anew).status, 422, "what answers there is not Meta");
    let heard = String::from_utf8_lossy(&heard.lock().expect("sound")).into_owned();
    assert!(heard.contains("EAAnew"), "{heard}");
    assert!(SECRETS.iter().all(|secret| !heard.contains(secret)), "{heard}");
    let kept = get(&site, "/api/connections/main", &[&manage]).json();
    assert_eq!(kept["api_url"], site.api(""), "{kept}");
    assert_eq!(patch(json!({ "messages_per_second": 20 })).status, 200, "the same address needs none");
}
