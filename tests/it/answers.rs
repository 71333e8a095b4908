use bellwire_tests::{Broker, Gateway, Simulator, Site, publish, wait_for};
use serde_json::{Value, json};

/// Sets a fault, raises one alert, and returns what `outbox show` says when `settled` holds.
fn after(fault: &Value, settled: impl Fn(&Value) -> bool) -> (Value, Vec<Value>) {
    let broker = Broker::start();
    let site = Site::new(broker.port, crate::round_trip::FREEZER);
    let (_simulator, gateway) = (Simulator::start(&site), Gateway::start(&site));
    site.fault(fault);
    publish(broker.port, "site/bar/freezer/2/temperature", br#"{"celsius": -12.5}"#);
    let shown = wait_for(30, &format!("the outcome of {fault}"), || {
        if site.count("SELECT count(*) FROM message") == 0 {
            return None;
        }
        Some(site.show(1)).filter(&settled)
    });
    let sent = site.sent();
    drop(gateway);
    (shown, sent)
}

fn first_outcome(shown: &Value) -> &str {
    shown["attempts"][0]["outcome"].as_str().unwrap_or_default()
}

/// The first attempt failed with a sentence that holds all of `words`, and a later one went through.
fn goes_through_later(fault: Value, words: &[&str]) {
    let (shown, sent) = after(&fault, |shown| shown["state"] == "read");
    for word in words {
        assert!(first_outcome(&shown).contains(word), "{fault}: {}", first_outcome(&shown));
    }
    assert_eq!(shown["attempts"].as_array().map(Vec::len), Some(2), "{fault}: {shown:#}");
    assert_eq!(sent.len(), 1, "{fault}: a throttle proves that nothing was sent");
    assert_eq!(shown["possible_duplicate"], false, "{fault}");
}

#[test]
fn throttles_are_waited_out() {
    for code in [4, 80_007, 130_429, 131_056] {
        let fault = json!({ "code": code, "count": 1 });
        goes_through_later(fault, &[&format!("code {code}"), "What to do", "fbtrace_id SIM"]);
    }
    goes_through_later(
        json!({ "status": 429, "retry_after": 1, "count": 1 }),
        &["code 429", "too many requests"],
    );
}

#[test]
fn a_refused_token_pauses_and_keeps_the_message() {
    let (shown, sent) = after(&json!({ "code": 190 }), |shown| {
        shown["attempts"].as_array().is_some_and(|tries| !tries.is_empty() && tries[0]["code"] == 190)
    });
    assert_eq!(shown["state"], "queued");
    let reason = shown["reason"].as_str().unwrap_or_default();
    assert!(
        reason.contains("code 190") && reason.contains("make a new token") && reason.contains("fbtrace_id"),
        "{reason}"
    );
    assert_eq!(sent.len(), 0);
}

#[test]
fn a_closed_window_holds_the_message_until_the_person_writes() {
    let (shown, _) = after(&json!({ "code": 131_047, "count": 1 }), |shown| shown["state"] == "held");
    let reason = shown["reason"].as_str().unwrap_or_default();
    assert!(
        reason.contains("code 131047")
            && reason.contains("as soon as the person writes")
            && reason.contains("fbtrace_id"),
        "{reason}"
    );
    assert_eq!(shown["attempts"].as_array().map(Vec::len), Some(1));
}

#[test]
fn a_failure_may_also_come_later_as_a_status() {
    let fault = json!({ "count": 1, "statuses": { "fail_code": 131_026 } });
    let (shown, _) = after(&fault, |shown| shown["state"] == "failed");
    assert!(shown["reason"].as_str().unwrap_or_default().contains("code 131026"), "{shown:#}");
    assert_eq!(shown["code"], 131_026);
}

#[test]
fn an_ambiguous_answer_leaves_the_message_unknown() {
    for (fault, words) in [
        (json!({ "status": 500, "count": 1 }), "HTTP 500"),
        (json!({ "html": true, "status": 502, "count": 1 }), "not the Cloud API's"),
        (json!({ "html": true, "status": 200, "count": 1 }), "not the Cloud API's"),
        (json!({ "code": 131_000, "status": 500, "count": 1 }), "code 131000"),
        (json!({ "reset_before_accept": true, "count": 1 }), "the connection broke before the answer"),
    ] {
        let (shown, _) = after(&fault, |shown| shown["state"] == "unknown");
        let reason = shown["reason"].as_str().unwrap_or_default();
        assert!(
            reason.starts_with("sent or not is not known") && reason.contains(words),
            "{fault}: {reason}"
        );
    }
}

#[test]
fn messages_wait_while_the_cloud_api_is_away() {
    let broker = Broker::start();
    let site = Site::new(broker.port, crate::round_trip::FREEZER);
    let _gateway = Gateway::start(&site);
    publish(broker.port, "site/bar/freezer/2/temperature", br#"{"celsius": -12.5}"#);
    wait_for(10, "the first attempt", || {
        let waiting = "SELECT count(*) FROM message WHERE state = 'queued' AND reason LIKE 'no connection%'";
        (site.count(waiting) == 1).then_some(())
    });
    let _simulator = Simulator::start(&site);
    assert_eq!(site.wait_sent(1).len(), 1);
}
