//! What people asked for, what waits for them, and who wrote without being known.

use bellwire_tests::wait_for;
use serde_json::{Value, json};

use super::{code, form, get, log_in, token};
use crate::replies::{GIORGI, NINO, RULES, Shop, text};

const REFUND: &str = r#"
[[ask]]
name = "refund"
topic = "pos/{till}/refund"
text = "Till {{ till }}: refund of {{ payload.amount }} GEL?"
choices = ["Approve", "Deny"]
who = ["nino", "giorgi"]
within = "5m"
default = "Deny"
response_topic = "pos/{till}/decision"
"#;

#[test]
fn the_page_shows_what_waits_for_people_and_the_audit() {
    let shop = Shop::open(&format!("{RULES}{REFUND}"), "site/#");
    let site = &shop.site;
    let fields = format!("code={}&password=correct+horse&again=correct+horse", code(site));
    assert_eq!(form(site, "/welcome", &[], &fields).status, 303);
    let (cookie, token) = (log_in(site), token(site, &["read"]));
    let api = |path: &str| get(site, path, &[&token]).json();
    let page = |path: &str| get(site, path, &[&cookie]).body;
    assert_eq!(
        api("/api/trail")["chain"],
        json!({ "holds": true, "checked": 0, "entries": 0, "flaw": null })
    );

    // One wants the safe open, which two must want.
    shop.writes(NINO, "open the safe");
    bellwire_tests::publish(shop.broker.port, "pos/1/refund", br#"{"amount": 12.5}"#);
    shop.does(&json!({ "from": "+4915112345678", "text": "<b>who are you?</b>" }));
    wait_for(10, "the stranger", || (site.count("SELECT count(*) FROM stranger") == 1).then_some(()));
    wait_for(10, "the question", || (site.count("SELECT count(*) FROM question") == 1).then_some(()));
    let request = api("/api/requests?state=open")["items"][0].clone();
    assert_eq!((&request["contact"], &request["approvals"]), (&json!("nino"), &json!(2)), "{request}");
    assert_eq!(
        (&request["agreed"], &request["words"]),
        (&json!(["nino"]), &json!("open the safe")),
        "{request}"
    );
    let question = api("/api/questions?state=open")["items"][0].clone();
    assert_eq!((&question["choices"], &question["votes"]), (&json!(["Approve", "Deny"]), &json!([])));
    let open = page("/commands?show=open");
    for word in ["open the safe", "1 of 2", "refund of 12.5 GEL", "<b class=\"count\">2</b>"] {
        assert!(open.contains(word), "{word}: {open}");
    }
    let strangers = api("/api/strangers");
    assert_eq!((&strangers["total"], &strangers["items"][0]["messages"]), (&json!(1), &json!(1)));
    assert!(page("/contacts").contains("+4915112345678"));

    // The other agrees: it is done, and each step stands in the audit, by name. Which of the two came last is chance.
    let asked = wait_for(10, "the request at the other", || {
        shop.to(GIORGI).into_iter().find(|message| text(message).starts_with("nino asks for"))
    });
    let yes = json!({ "from": GIORGI, "tap": "Yes", "message_id": asked["id"] });
    assert_eq!(shop.outcome(&yes), "vote");
    shop.wait_device(&["site/bar/safe/set OPEN"]);
    wait_for(10, "the request's end", || {
        api("/api/requests?state=open")["items"].as_array().is_some_and(Vec::is_empty).then_some(())
    });
    assert_eq!(api("/api/requests?state=done")["items"][0]["agreed"], json!(["giorgi", "nino"]));
    let trail = wait_for(10, "its publishing", || {
        let trail = api("/api/trail");
        let items = trail["items"].as_array().unwrap().clone();
        items.iter().any(|entry| entry["what"] == "published").then_some(items)
    });
    let told = |what: &str, contact: Value| {
        trail.iter().any(|entry| entry["what"] == what && entry["contact"] == contact)
    };
    assert!(told("asked", json!("nino")) && told("agreed", json!("giorgi")), "{trail:?}");
    assert!(told("commanded", json!("nino")) && told("published", Value::Null), "{trail:?}");
    let whole = api("/api/trail/check");
    assert_eq!((&whole["holds"], &whole["entries"]), (&json!(true), &trail[0]["id"]));
    assert!(page("/commands?show=trail").contains("The audit is whole"));
    let second = api("/api/trail?limit=1");
    let next = second["next"].as_str().unwrap();
    assert_eq!(api(&format!("/api/trail?limit=1&cursor={next}"))["items"][0]["id"], trail[1]["id"]);

    // Somebody changes it by hand, and everybody who looks is told.
    let spoil =
        "DROP TRIGGER audit_is_not_changed; UPDATE audit SET who = 'p-000000000000' WHERE what = 'agreed'";
    site.database().execute_batch(spoil).unwrap();
    let broken = api("/api/trail")["chain"].clone();
    assert_eq!(broken["holds"], false, "{broken}");
    assert!(broken["flaw"].as_str().unwrap().contains("was changed"), "{broken}");
    assert_eq!(api("/api/trail/check")["holds"], false);
    let page = page("/commands?show=trail");
    assert!(page.contains("The audit is broken") && page.contains("role=\"alert\""), "{page}");
}
