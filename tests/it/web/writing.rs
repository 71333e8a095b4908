//! What somebody writes to a person, and the link that opens the page once.

use bellwire_tests::{PHONE_NUMBER_ID, Simulator, post_json, wait_for};
use serde_json::json;

use super::{form, get, json as post, log_in, proof, start, token};

const NINO: &str = "[[contact]]\nid = \"nino\"\nname = \"Nino\"\nphone = \"+995 555 12 34 56\"\n";

#[test]
fn a_text_from_the_page_waits_for_the_window() {
    let (_broker, site, _gateway) = start(NINO);
    let _simulator = Simulator::start_with(&site, &["--phone-number-id", PHONE_NUMBER_ID]);
    let cookie = log_in(&site);
    let csrf = proof(&site, &cookie);
    let writes = |text: &str| {
        let reply = json!({ "from": "+995555123456", "text": text });
        assert_eq!(post_json(&site.api("/_simulator/reply"), &reply).0, 200);
    };
    let write =
        |text: &str| form(&site, "/timeline/nino", &[&cookie], &format!("csrf={csrf}&text={text}")).status;
    let page = || get(&site, "/timeline?contact=nino", &[&cookie]).body;

    assert!(page().contains("it is held, and goes out when they write"), "{}", page());
    assert_eq!(write("The+fitter+comes+at+nine"), 303);
    let held = "SELECT count(*) FROM message WHERE state = 'held' AND held_for = 'window'";
    assert_eq!((site.count(held), site.sent().len()), (1, 0));
    writes("hello");
    assert_eq!(site.wait_sent(1)[0]["text"], "The fitter comes at nine");
    assert!(page().contains("It goes out at once"), "{}", page());
    assert_eq!(write("And+brings+a+fan"), 303);
    assert_eq!(site.wait_sent(2).len(), 2);

    let (act, read) = (token(&site, &["act"]), token(&site, &["read"]));
    let api = |token: &str, to: &str, text: &str| {
        post(&site, &format!("/api/contacts/{to}/messages"), &[token], &json!({ "text": text })).status
    };
    assert_eq!(api(&act, "nino", "Until then: keep it shut"), 200);
    assert_eq!(site.wait_sent(3)[2]["text"], "Until then: keep it shut");
    assert_eq!(api(&read, "nino", "x"), 403);
    assert_eq!(api(&act, "nobody", "x"), 404);
    assert_eq!(api(&act, "nino", "  "), 422);
    assert_eq!(api(&act, "nino", &"x".repeat(4_097)), 422);
    assert_eq!(api(&act, "nino", &"x".repeat(4_096)), 200);
    assert_eq!(form(&site, "/timeline/nino", &[&cookie], "text=x").status, 403, "not from a page of ours");
    let who = |like: &str| {
        site.count(&format!("SELECT count(*) FROM change WHERE deed = 'tell' AND who LIKE '{like}'"))
    };
    assert_eq!((who("page, session %"), who("token test")), (2, 2));

    writes("STOP");
    let stopped = "SELECT count(*) FROM person WHERE stopped = 1";
    wait_for(10, "the STOP", || (site.count(stopped) == 1).then_some(()));
    assert_eq!(api(&act, "nino", "x"), 409);
    assert!(page().contains("wrote STOP") && !page().contains("<textarea"), "{}", page());
}

#[test]
fn a_link_opens_the_page_once() {
    let (_broker, site, _gateway) = start("");
    // SHA-256 of `x`.
    let hash = "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881";
    site.database().execute("INSERT INTO meta VALUES ('login_link', ?1)", [hash]).expect("set");
    let follow = |secret: &str| get(&site, &format!("/open/{secret}"), &[]);
    assert_eq!((follow("y").status, follow("y").header("set-cookie").map(str::to_owned)), (303, None));
    let first = follow("x");
    let cookie =
        first.header("set-cookie").expect("a session").split(';').next().expect("a value").to_owned();
    let overview = get(&site, "/", &[&format!("Cookie: {cookie}")]);
    assert_eq!(overview.status, 200);
    assert!(
        overview.body.contains("The next step") && overview.body.contains("[[contact]]"),
        "{}",
        overview.body
    );
    assert_eq!(follow("x").header("set-cookie").map(str::to_owned), None, "it is used up");
}
