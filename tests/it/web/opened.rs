//! Who was let in: tokens with an end and a topic, and sessions, each listed and taken back.

use bellwire_tests::{Site, bellwire};
use serde_json::{Value, json};

use super::{ask, form, get, json as post, log_in, proof, start, token};
use crate::round_trip::FREEZER;

fn command(site: &Site, arguments: &[&str]) -> (bool, String) {
    let config = site.config().to_string_lossy().into_owned();
    let output = bellwire(&[arguments, &["--config", &config]].concat());
    let said =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    (output.status.success(), said.trim_end().to_owned())
}

fn listed(site: &Site, what: &str) -> Value {
    serde_json::from_str(&command(site, &[what, "list", "--json"]).1).expect("JSON")
}

/// Made by the command, as a header.
fn made(site: &Site, arguments: &[&str]) -> String {
    let (is_good, secret) = command(site, &[&["token", "new"], arguments].concat());
    assert!(is_good && secret.starts_with("bw_"), "{secret}");
    format!("Authorization: Bearer {secret}")
}

#[test]
fn a_token_hands_in_events_on_its_topics_alone() {
    let (_broker, site, _gateway) = start(FREEZER);
    let some = made(&site, &["till", "--scope", "events", "--topic", "site/{area}/freezer/#"]);
    let any = made(&site, &["all", "--scope", "events"]);
    let tell = |token: &str, topic: &str, key: &str| {
        let event = json!({ "topic": topic, "payload": { "celsius": -20 } });
        post(&site, "/api/events", &[token, &format!("Idempotency-Key: {key}")], &event)
    };
    assert_eq!(tell(&some, "site/bar/freezer/2/temperature", "a").status, 202);
    for topic in ["site/bar/lock", "site", "bellwire/test", "till/1"] {
        let refused = tell(&some, topic, "b");
        assert_eq!(refused.status, 403, "{topic}");
        assert!(refused.body.contains("site/{area}/freezer/# alone"), "{}", refused.body);
    }
    assert_eq!(tell(&any, "till/1", "c").status, 202);
    // What is the gateway's own is nobody's, whatever the token may.
    for topic in [
        "bellwire/bellwire-test/home-assistant/mute/set",
        "bellwire/device/d/hello",
        "bellwire/bellwire-test/loopback",
    ] {
        assert_eq!(tell(&any, topic, "d").status, 422, "{topic}");
    }
    for (wrong, word) in [
        (&["x", "--scope", "read", "--topic", "a/b"][..], "hand in events"),
        (&["x", "--scope", "events", "--topic", "a/#/b"], "no pattern"),
        (&["x", "--scope", "all"], "no scope `all`"),
        (&["x", "--scope", "read", "--expires", "soon"], "365d"),
        (&["", "--scope", "read"], "needs a name"),
    ] {
        let (is_good, said) = command(&site, &[&["token", "new"], wrong].concat());
        assert!(!is_good && said.contains(word), "{wrong:?}: {said}");
    }
}

#[test]
fn tokens_expire_with_known_last_use_and_a_warning() {
    let (_broker, site, _gateway) = start(FREEZER);
    let month = made(&site, &["panel", "--scope", "read", "--expires", "10d"]);
    let endless = made(&site, &["old", "--scope", "read", "--expires", "never"]);
    let before = listed(&site, "token");
    assert!(before[1]["name"] == "panel" && before[1]["used_at"].is_null(), "{before}");
    assert!(before[1]["expires_at"].is_string() && before[0]["expires_at"].is_null(), "{before}");
    assert_eq!(get(&site, "/api/messages", &[&month]).status, 200);
    assert!(listed(&site, "token")[1]["used_at"].is_string(), "its last use");
    assert!(command(&site, &["token", "list"]).1.contains("ends "));
    let (_, told) = command(&site, &["doctor"]);
    assert!(told.contains("the API token panel ends on"), "{told}");

    site.database().execute("UPDATE token SET expires_at = created_at - 1 WHERE name = 'panel'", []).unwrap();
    let refused = get(&site, "/api/messages", &[&month]);
    assert!(refused.status == 401 && refused.body.contains("has ended"), "{}", refused.body);
    assert_eq!(get(&site, "/api/messages", &[&endless]).status, 200);
    let (_, told) = command(&site, &["doctor"]);
    assert!(told.contains("the API token panel ended on") && !told.contains("token old"), "{told}");

    // On the page: what was chosen, a year where nothing was.
    let cookie = log_in(&site);
    let csrf = proof(&site, &cookie);
    let fields = format!("csrf={csrf}&name=page&events=on&topic=site%2F%2B%2Fdoor&expires=30d");
    let page = form(&site, "/tokens", &[&cookie], &fields).body;
    assert!(page.contains("site/+/door"), "{page}");
    form(&site, "/tokens", &[&cookie], &format!("csrf={csrf}&name=default&read=on"));
    let days = "SELECT (expires_at - created_at + 60000) / 86400000 FROM token WHERE name = ";
    assert_eq!(site.count(&format!("{days}'page'")), 30);
    assert_eq!(site.count(&format!("{days}'default'")), 365);
    let fields = format!("csrf={csrf}&name=x&read=on&expires=0d");
    assert_eq!(form(&site, "/tokens", &[&cookie], &fields).status, 422);

    // Taken back by the command, and by the API.
    let id = |name: &str| site.count(&format!("SELECT id FROM token WHERE name = '{name}'"));
    assert!(command(&site, &["token", "revoke", &id("old").to_string()]).0);
    assert_eq!(get(&site, "/api/messages", &[&endless]).status, 401);
    assert!(!command(&site, &["token", "revoke", &id("old").to_string()]).0, "it was revoked before");
    let manage = made(&site, &["manager", "--scope", "manage"]);
    let path = format!("/api/tokens/{}/revoke", id("page"));
    assert_eq!(ask(&site, "POST", &path, &[&manage], "").status, 200);
    assert_eq!(ask(&site, "POST", &path, &[&manage], "").status, 404);
    assert_eq!(site.count("SELECT count(*) FROM token WHERE revoked_at IS NOT NULL"), 2);
}

#[test]
fn sessions_are_listed_and_ended_in_all_three_places() {
    let (_broker, site, _gateway) = start(FREEZER);
    let (read, manage) = (token(&site, &["read"]), token(&site, &["manage"]));
    assert!(command(&site, &["session", "end", "--all"]).0, "those of the first visit and of the tokens");
    assert_eq!(listed(&site, "session"), json!([]));

    let agent = "User-Agent: Phone <script>";
    let entered = form(&site, "/login", &[agent], "password=correct+horse");
    let cookie = entered.header("set-cookie").unwrap().split(';').next().unwrap().to_owned();
    let (phone, other, third) = (format!("Cookie: {cookie}"), log_in(&site), log_in(&site));
    let is_in = |cookie: &str| get(&site, "/setup", &[cookie]).status == 200;
    assert!(is_in(&phone) && is_in(&other) && is_in(&third));
    let sessions = listed(&site, "session");
    let phones: Vec<&Value> =
        sessions.as_array().unwrap().iter().filter(|one| one["agent"] == "Phone <script>").collect();
    assert_eq!((sessions.as_array().unwrap().len(), phones.len()), (3, 1), "{sessions}");
    assert_eq!(phones[0]["address"], "127.0.0.1");
    assert!(phones[0]["used_at"].is_string() && phones[0]["expires_at"].is_string());
    let secret: String = cookie.split('=').nth(1).unwrap().to_owned();
    assert!(!sessions.to_string().contains(&secret[..12]), "no part of a cookie is told");

    // On the page of another browser.
    let page = get(&site, "/setup", &[&other]).body;
    assert!(page.contains("Phone &lt;script&gt;") && page.matches(">this browser<").count() == 1, "{page}");
    let path = format!("/sessions/{}/end", phones[0]["id"].as_str().unwrap());
    assert_eq!(form(&site, &path, &[&other], "csrf=wrong").status, 403);
    assert_eq!(form(&site, &path, &[&other], &format!("csrf={}", proof(&site, &other))).status, 303);
    assert!(!is_in(&phone) && is_in(&other));

    // By the API, for whoever may manage.
    assert_eq!(get(&site, "/api/sessions", &[&read]).status, 403);
    assert_eq!(get(&site, "/api/tokens", &[&read]).status, 403);
    let found = get(&site, "/api/sessions", &[&manage]).json();
    let id = found["items"][0]["id"].as_str().unwrap().to_owned();
    assert_eq!(ask(&site, "POST", &format!("/api/sessions/{id}/end"), &[&read], "").status, 403);
    assert_eq!(ask(&site, "POST", &format!("/api/sessions/{id}/end"), &[&manage], "").status, 200);
    assert_eq!(ask(&site, "POST", &format!("/api/sessions/{id}/end"), &[&manage], "").status, 404);
    assert_eq!([is_in(&other), is_in(&third)].iter().filter(|is_in| **is_in).count(), 1);

    // By the command.
    let left = listed(&site, "session")[0]["id"].as_str().unwrap().to_owned();
    let (is_good, said) = command(&site, &["session", "end", "000000000000"]);
    assert!(!is_good && said.contains("bellwire session list"), "{said}");
    assert!(command(&site, &["session", "end", &left]).0);
    assert!(!is_in(&other) && !is_in(&third));
    assert_eq!(site.count("SELECT count(*) FROM change WHERE deed = 'end session' AND outcome = 'done'"), 4);
}
