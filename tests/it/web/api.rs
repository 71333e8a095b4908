use bellwire_tests::{Simulator, publish, wait_for};
use serde_json::{Value, json};

use super::{ask, get, json as post, start, token};
use crate::round_trip::FREEZER;

#[test]
fn an_event_by_http_is_an_event_once() {
    let (_broker, site, _gateway) = start(FREEZER);
    let token = token(&site, &["read", "events"]);
    let event = json!({ "topic": "site/bar/freezer/2/temperature", "payload": { "celsius": -12.5 } });
    let hand_in = |key: &str, event: &Value| {
        post(&site, "/api/events", &[&token, &format!("Idempotency-Key: {key}")], event)
    };
    let first = hand_in("one", &event);
    assert_eq!((first.status, first.json()), (202, json!({ "accepted": true, "repeated": false })));
    assert_eq!(site.count("SELECT count(*) FROM message"), 1, "202 comes after the disk");
    let again = hand_in("one", &event);
    assert_eq!((again.status, again.json()["repeated"].clone()), (202, json!(true)));
    let other =
        hand_in("one", &json!({ "topic": "site/bar/freezer/3/temperature", "payload": { "celsius": -1 } }));
    assert_eq!((other.status, other.header("content-type")), (409, Some("application/problem+json")));
    assert_eq!(hand_in("two", &event).status, 202);
    assert_eq!(site.count("SELECT count(*) FROM message"), 2);
    assert_eq!(post(&site, "/api/events", &[&token], &event).status, 400, "without a key");
    assert_eq!(hand_in("three", &json!({ "topic": "a/#" })).status, 422);
    assert_eq!(hand_in("three", &json!({ "topc": "a" })).status, 422);
    let source: String = site.database().query_row("SELECT source FROM event", [], |row| row.get(0)).unwrap();
    assert_eq!(source, "http");
}

#[test]
fn lists_page_without_gaps_and_a_message_tells_its_story() {
    let (broker, site, _gateway) = start(FREEZER);
    let _simulator = Simulator::start(&site);
    for unit in 1..=5 {
        publish(broker.port, &format!("site/bar/freezer/{unit}/temperature"), br#"{"celsius": -12.5}"#);
    }
    wait_for(40, "the receipts", || {
        (site.count("SELECT count(*) FROM message WHERE state = 'read'") == 5).then_some(())
    });
    let token = token(&site, &["read", "act"]);
    let (mut seen, mut path) = (Vec::new(), "/api/messages?direction=out&limit=2".to_owned());
    loop {
        let page = get(&site, &path, &[&token]).json();
        seen.extend(page["items"].as_array().unwrap().iter().map(|row| row["id"].as_i64().unwrap()));
        let Some(next) = page["next"].as_str() else { break };
        path = format!("/api/messages?direction=out&limit=2&cursor={next}");
    }
    assert_eq!(seen, [5, 4, 3, 2, 1]);
    let story = get(&site, "/api/messages/1", &[&token]).json();
    assert_eq!(story["history"][0]["http_status"], 200);
    let receipts: Vec<&str> =
        story["receipts"].as_array().unwrap().iter().map(|row| row["status"].as_str().unwrap()).collect();
    assert_eq!(receipts, ["sent", "delivered", "read"]);
    assert!(story["at"].as_str().unwrap().ends_with('Z'), "{}", story["at"]);
    let found = |query: &str| {
        get(&site, &format!("/api/messages?{query}"), &[&token]).json()["items"].as_array().unwrap().len()
    };
    assert_eq!(found("text=freezer%203"), 1);
    assert_eq!(found("state=read"), 5);
    assert_eq!(found("state=waiting"), 0);
    assert_eq!(found("contact=nobody"), 0);
    assert_eq!(found("since=2020-01-01T00:00:00Z&until=2020-01-02T00:00:00Z"), 0);
    assert_eq!(found("since=2020-01-01T00:00:00Z&until=2100-01-01T00:00:00Z"), 5);
    let refused = ask(&site, "POST", "/api/outbox/1/cancel", &[&token], "");
    assert_eq!((refused.status, refused.json()["status"].clone()), (409, json!(409)));
    assert_eq!(ask(&site, "POST", "/api/outbox/99/cancel", &[&token], "").status, 404);
    for wrong in ["state=nonsense", "limit=0", "limit=100000", "cursor=x", "since=yesterday", "unknown=1"] {
        assert_eq!(get(&site, &format!("/api/messages?{wrong}"), &[&token]).status, 422, "{wrong}");
    }
}

/// Every GET of the document is asked for: what it requires is there, and nothing that it does not name.
#[test]
fn the_document_describes_the_server() {
    let (broker, site, _gateway) = start(FREEZER);
    let _simulator = Simulator::start(&site);
    publish(broker.port, "site/bar/freezer/2/temperature", br#"{"celsius": -12.5}"#);
    assert_eq!(site.wait_sent(1).len(), 1);
    let token = token(&site, &["read", "manage", "configure"]);
    let document = get(&site, "/api/openapi.json", &[&token]).json();
    let mut asked = 0;
    for (path, operations) in document["paths"].as_object().unwrap() {
        let Some(operation) = operations.get("get") else { continue };
        if path == "/api/devices/{id}" {
            continue; // there is none here; tests/it/fleet.rs has some
        }
        let name = if path.starts_with("/api/contacts") { "nino" } else { "1" };
        let address = path.replace("{id}", name).replace("{name}", "main");
        let answer = get(&site, &address, &[&token]);
        assert_eq!(answer.status, 200, "{address}: {}", answer.body);
        asked += 1;
        let schema = &operation["responses"]["200"]["content"]["application/json"]["schema"];
        check(&document, schema, &answer.json_or_null(), &address);
        assert_eq!(get(&site, &address, &[]).status, 401, "{address} without a token");
    }
    assert!(asked >= 15, "{asked}");
}

impl super::Answer {
    fn json_or_null(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_default()
    }
}

/// The part of JSON Schema that the document uses: required, properties, items, enum, const, anyOf, and what may be null. An object
/// has no field that is not described, unless its fields are named by data.
fn check(document: &Value, schema: &Value, value: &Value, place: &str) {
    assert_eq!(compare(document, schema, value, place), Ok(()));
}

fn compare(document: &Value, schema: &Value, value: &Value, place: &str) -> Result<(), String> {
    if let Some(name) = schema["$ref"].as_str() {
        let name = name.rsplit('/').next().unwrap();
        return compare(document, &document["components"]["schemas"][name], value, place);
    }
    if let Some(ways) = schema["anyOf"].as_array() {
        let flaws: Vec<String> =
            ways.iter().filter_map(|way| compare(document, way, value, place).err()).collect();
        return if flaws.len() < ways.len() { Ok(()) } else { Err(flaws.join("\nor ")) };
    }
    let types = schema["type"].as_array().cloned().unwrap_or_else(|| vec![schema["type"].clone()]);
    let kind = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_i64() && !types.contains(&json!("number")) => "integer",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    if types != [Value::Null] && !types.contains(&json!(kind)) {
        return Err(format!("{place}: {value} is no {types:?}"));
    }
    for name in schema["required"].as_array().into_iter().flatten().filter(|_| value.is_object()) {
        if value.get(name.as_str().unwrap()).is_none() {
            return Err(format!("{place}: {name} is missing in {value}"));
        }
    }
    for (name, found) in value.as_object().into_iter().flatten() {
        let inner = &schema["properties"][name];
        if inner.is_null() && schema["properties"].is_object() {
            return Err(format!("{place}: {name} is not described"));
        }
        compare(document, inner, found, &format!("{place}.{name}"))?;
    }
    for one in value.as_array().into_iter().flatten() {
        compare(document, &schema["items"], one, place)?;
    }
    let words = schema["enum"].as_array().map(Vec::as_slice);
    let words = words.or(schema.get("const").map(std::slice::from_ref));
    match words.is_none_or(|words| words.contains(value)) {
        true => Ok(()),
        false => Err(format!("{place}: {value} is none of {words:?}")),
    }
}
