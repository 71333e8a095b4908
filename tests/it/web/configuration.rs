use std::os::unix::fs::{MetadataExt, PermissionsExt};

use bellwire_tests::{Site, publish, wait_for};
use serde_json::{Value, json};

use super::{Answer, ask, form, get, json as post, log_in, proof, start, token};

const RULES: &str = r#"
# Who is told.
[[contact]]
id = "nino"
name = "Nino"
phone = "+995 555 12 34 56" # her own
[[rule]]
name = "door"
topic = "site/{door}/door"
when = "payload == 'open'"
message = "Door {{ door }} is open"
notify = ["nino"]
[[rule.action]]
id = "shut"
title = "Shut"
topic = "site/{door}/set"
payload = "shut"
[[rule]]
name = "bell"
topic = "site/{door}/bell"
when = "payload.pressed"
message = "Somebody is at the {{ door }}"
notify = ["nino"]
"#;

fn text(site: &Site) -> String {
    std::fs::read_to_string(site.config()).expect("readable")
}

/// The address bar's and a form's way to write any text.
fn encoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

/// Presses a button of the draft.
fn press(site: &Site, cookie: &str, fields: &[(&str, &str)]) -> Answer {
    let mut body = format!("csrf={}", proof(site, cookie));
    for (name, value) in fields {
        body += &format!("&{name}={}", encoded(value));
    }
    form(site, "/configuration", &[cookie], &body)
}

/// What a page has in the textarea of the draft, and the fingerprint that it began with.
fn draft(page: &Answer) -> (String, String) {
    let between = |before: &str, after: &str| {
        let (_, rest) = page.body.split_once(before).expect(before);
        rest.split(after).next().expect("its end").to_owned()
    };
    let (_, rest) = page.body.split_once("name=\"text\"").expect("a draft");
    let text =
        rest.split_once(">\n").and_then(|(_, rest)| rest.split_once("</textarea>")).expect("its end").0;
    let plain =
        [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&#x27;", "'"), ("&#x2f;", "/"), ("&amp;", "&")];
    let text = plain.iter().fold(text.to_owned(), |text, (from, to)| text.replace(from, to));
    (text, between("name=\"base\" value=\"", "\""))
}

fn configuration(site: &Site, token: &str) -> Value {
    get(site, "/api/configuration", &[token]).json()
}

fn put(site: &Site, token: &str, tag: &str, text: &str) -> Answer {
    let headers = [token, "Content-Type: application/json", &format!("If-Match: {tag}")];
    ask(site, "PUT", "/api/configuration", &headers, &json!({ "text": text }).to_string())
}

#[test]
fn a_form_edit_keeps_the_files_comments() {
    let (_broker, site, _gateway) = start(RULES);
    let cookie = log_in(&site);
    std::fs::set_permissions(site.config(), std::fs::Permissions::from_mode(0o640)).expect("set");
    let before = text(&site);
    let page = get(&site, "/configuration", &[&cookie]);
    assert!(page.body.contains("The gateway runs with this configuration"), "{}", page.body);
    let (shown, base) = draft(&page);
    assert_eq!(shown, before, "the whole file, as it is");
    let form = press(&site, &cookie, &[("text", &shown), ("base", &base), ("form", "contact/nino")]);
    assert!(form.body.contains("value=\"+995 555 12 34 56\""), "{}", form.body);
    let changed = press(
        &site,
        &cookie,
        &[
            ("text", &shown.replace('\n', "\r\n")),
            ("base", &base),
            ("list", "contact"),
            ("name", "nino"),
            ("of", ""),
            ("field.id", "nino"),
            ("field.phone", "+49 30 901820"),
            ("field.quiet_hours", "22:00-07:00"),
            ("do", "set"),
        ],
    );
    let (new, same_base) = draft(&changed);
    assert_eq!(same_base, base);
    assert!(changed.body.contains("+<span") && changed.body.contains("value=\"save\""), "{}", changed.body);
    assert_eq!(text(&site), before, "nothing is saved yet");
    let saved =
        press(&site, &cookie, &[("text", &new.replace('\n', "\r\n")), ("base", &base), ("do", "save")]);
    assert_eq!(
        (saved.status, saved.header("location")),
        (303, Some("/configuration?saved=2#state")),
        "{}",
        saved.body
    );
    let expected = before
        .replace("+995 555 12 34 56\" # her own", "+49 30 901820\" # her own\nquiet_hours = \"22:00-07:00\"");
    assert_eq!(text(&site), expected);
    assert_eq!(site.config().metadata().expect("there").mode() & 0o777, 0o640);
    let taken =
        "SELECT count(*) FROM configuration_version WHERE id = 2 AND who = 'page' AND outcome = 'taken'";
    wait_for(20, "the gateway to take it over", || (site.count(taken) == 1).then_some(()));
    let page = get(&site, "/configuration", &[&cookie]).body;
    assert!(page.contains("version 2, by the page") && page.contains("The gateway runs with this"), "{page}");
    let contact = get(&site, "/contacts", &[&cookie]).body;
    assert!(contact.contains("+4930901820"), "it holds: {contact}");
    let audit = get(&site, "/commands?show=audit", &[&cookie]).body;
    assert!(audit.contains("configuration, version 2") && audit.contains("+2 -1 lines"), "{audit}");
}

#[test]
fn a_faulty_draft_shows_its_problems_and_is_not_saved() {
    let (_broker, site, _gateway) = start(RULES);
    let cookie = log_in(&site);
    let (before, base) = draft(&get(&site, "/configuration", &[&cookie]));
    let wrong = before.replace("notify = [\"nino\"]", "notify = [\"nono\"]");
    let line = wrong.lines().position(|line| line.starts_with("notify")).expect("a line") + 1;
    for button in ["check", "save"] {
        let page = press(&site, &cookie, &[("text", &wrong), ("base", &base), ("do", button)]);
        assert_eq!(page.status, if button == "save" { 422 } else { 200 });
        let (_, at) =
            page.body.split_once(&format!("<li id=\"line-{line}\" class=\"old\">")).expect("the line");
        assert!(at.split("</li>").next().expect("its end").contains("did you mean `nino`?"), "{at}");
        assert!(!page.body.contains("value=\"save\""), "it cannot be saved");
        assert_eq!(draft(&page).0, wrong, "what somebody typed stays");
    }
    let broken = press(&site, &cookie, &[("text", "[site\n"), ("base", &base), ("do", "check")]);
    assert!(broken.body.contains("The text has a mistake in its form"), "{}", broken.body);
    assert_eq!(text(&site), before);
}

#[test]
fn a_draft_is_tried_with_events_of_the_last_day() {
    let (broker, site, _gateway) = start(RULES);
    for door in ["back", "front", "yard"] {
        publish(broker.port, &format!("site/{door}/door"), b"open");
    }
    let long = format!("{{\"pressed\": true, \"more\": \"{}\"}}", "x".repeat(5_000));
    publish(broker.port, "site/front/bell", long.as_bytes());
    wait_for(10, "the alerts", || (site.count("SELECT count(*) FROM event") == 4).then_some(()));
    let cookie = log_in(&site);
    let (before, base) = draft(&get(&site, "/configuration", &[&cookie]));
    let other = before
        .replace("Door {{ door }} is open", "Shut the {{ door }} door")
        .replace("payload == 'open'", "payload == 'open' and door != 'yard'");
    let draft_of = [("text", other.as_str()), ("base", base.as_str())];
    let tried = press(
        &site,
        &cookie,
        &[&draft_of[..], &[("topic", "site/back/door"), ("payload", "open"), ("do", "try")]].concat(),
    );
    assert!(tried.body.contains("Shut the back door"), "{}", tried.body);
    let replayed = press(&site, &cookie, &[&draft_of[..], &[("do", "replay")]].concat());
    for words in [
        "4 events that are kept, since",
        "1 of them were too long to be kept whole",
        "Nino: told 2 times (now: 3)",
        "Shut the front door",
    ] {
        assert!(replayed.body.contains(words), "{words}: {}", replayed.body);
    }
    assert_eq!(site.count("SELECT count(*) FROM message"), 4, "nothing is sent");
    assert_eq!(text(&site), before);
}

#[test]
fn two_editors_never_overwrite_each_other_unseen() {
    let (_broker, site, _gateway) = start(RULES);
    let cookie = log_in(&site);
    let (before, base) = draft(&get(&site, "/configuration", &[&cookie]));
    let of_shell = before.replace("her own", "her new one");
    std::fs::write(site.config(), &of_shell).expect("written");
    let page = get(&site, "/configuration", &[&cookie]).body;
    assert!(page.contains("The file was changed on the machine itself"), "{page}");
    let mine = before.replace("Door {{ door }} is open", "Shut the {{ door }} door");
    let page = press(&site, &cookie, &[("text", &mine), ("base", &base), ("do", "save")]);
    assert_eq!(page.status, 412);
    assert!(
        page.body.contains("id=\"stale\"") && page.body.contains("her new one"),
        "both are shown: {}",
        page.body
    );
    assert_eq!(draft(&page).0, mine, "what somebody typed stays");
    assert_eq!(text(&site), of_shell);
    let kept = press(&site, &cookie, &[("text", &mine), ("base", &base), ("do", "keep")]);
    let (mine, base) = draft(&kept);
    assert!(!kept.body.contains("id=\"stale\""));
    assert_eq!(press(&site, &cookie, &[("text", &mine), ("base", &base), ("do", "save")]).status, 303);
    assert_eq!(text(&site), mine);
}

#[test]
fn an_earlier_version_can_be_saved_again() {
    let (_broker, site, _gateway) = start(RULES);
    let cookie = log_in(&site);
    let (before, base) = draft(&get(&site, "/configuration", &[&cookie]));
    let new = before.replace("Nino\"", "Nino Beridze\"");
    assert_eq!(press(&site, &cookie, &[("text", &new), ("base", &base), ("do", "save")]).status, 303);
    let page = get(&site, "/configuration", &[&cookie]).body;
    assert!(page.contains("/configuration?version=1#result"), "{page}");
    let back = get(&site, "/configuration?version=1", &[&cookie]);
    let (text_of_then, base) = draft(&back);
    assert_eq!(text_of_then, before);
    assert!(back.body.contains("value=\"save\""), "the difference with its button: {}", back.body);
    assert_eq!(
        press(&site, &cookie, &[("text", &text_of_then), ("base", &base), ("do", "save")]).status,
        303
    );
    assert_eq!(text(&site), before);
    assert_eq!(site.count("SELECT max(id) FROM configuration_version"), 3);
    assert_eq!(get(&site, "/configuration?version=99", &[&cookie]).status, 404);
}

#[test]
fn an_unusable_version_leaves_the_former_one_running() {
    let (broker, site, _gateway) = start(RULES);
    let token = token(&site, &["configure"]);
    let before = text(&site);
    let tag = format!("\"{}\"", configuration(&site, &token)["fingerprint"].as_str().expect("a fingerprint"));
    assert_eq!(put(&site, &token, &tag, &before.replace("/state\"", "/other\"")).status, 200);
    let newest = wait_for(20, "the refusal", || {
        let newest = configuration(&site, &token)["versions"][0].clone();
        (newest["outcome"] == "refused").then_some(newest)
    });
    assert!(newest["reason"].as_str().is_some_and(|why| why.contains("state_directory")), "{newest}");
    let page = get(&site, "/configuration", &[&log_in(&site)]).body;
    assert!(page.contains("Not taken over: the gateway runs with the one before"), "{page}");
    publish(broker.port, "site/back/door", b"open");
    wait_for(10, "an alert", || (site.count("SELECT count(*) FROM alert") == 1).then_some(()));
}

#[test]
fn the_configuration_api_needs_a_token_and_the_etag() {
    let (_broker, site, _gateway) = start(RULES);
    let reader = token(&site, &["read", "manage"]);
    assert_eq!(get(&site, "/api/configuration", &[&reader]).status, 403);
    let token = token(&site, &["configure"]);
    let answer = get(&site, "/api/configuration", &[&token]);
    let tag = answer.header("etag").expect("an ETag").to_owned();
    let found = answer.json();
    assert_eq!((found["text"].as_str(), &found["edit"]), (Some(text(&site).as_str()), &json!(true)));
    assert_eq!(format!("\"{}\"", found["fingerprint"].as_str().expect("a fingerprint")), tag);
    let new = text(&site).replace("Nino\"", "Nino Beridze\"");
    let checked = post(&site, "/api/configuration/check", &[&token], &json!({ "text": new })).json();
    assert_eq!(
        (&checked["problems"], checked["difference"].as_array().map(Vec::len)),
        (&json!([]), Some(10))
    );
    let headers = [&*token, "Content-Type: application/json"];
    assert_eq!(
        ask(&site, "PUT", "/api/configuration", &headers, &json!({ "text": new }).to_string()).status,
        428
    );
    assert_eq!(put(&site, &token, "\"x\"", &new).status, 412);
    let wrong = put(&site, &token, &tag, "[site]\n");
    assert_eq!((wrong.status, wrong.json()["checks"][0]["line"].clone()), (422, json!(1)));
    assert_eq!(put(&site, &token, &tag, &text(&site)).status, 409, "there is nothing to save");
    let saved = put(&site, &token, &tag, &new);
    assert_eq!((saved.status, saved.json()["version"].clone()), (200, json!(2)), "{}", saved.body);
    assert_eq!(text(&site), new);
    let newest = configuration(&site, &token)["versions"][0].clone();
    assert_eq!((&newest["who"], &newest["id"]), (&json!("token test"), &json!(2)));
    assert_eq!(put(&site, &token, &tag, &new).status, 412, "that tag is of the file before");
}

#[test]
fn neither_page_nor_token_brings_a_secret_elsewhere() {
    let (_broker, site, _gateway) = start(RULES);
    let token = token(&site, &["configure"]);
    let before = text(&site);
    let tag = format!("\"{}\"", configuration(&site, &token)["fingerprint"].as_str().expect("a fingerprint"));
    for (from, to) in [
        ("api_url = \"http://127.0.0.1", "api_url = \"http://127.0.0.2"),
        (
            "url = \"mqtt://127.0.0.1",
            "username = \"x\"\npassword_file = \"access-token\"\nurl = \"mqtt://127.0.0.2",
        ),
    ] {
        let refused = put(&site, &token, &tag, &before.replace(from, to));
        assert_eq!(refused.status, 403, "{to}: {}", refused.body);
        assert!(refused.body.contains("on the machine itself"), "{}", refused.body);
    }
    assert_eq!(text(&site), before);
}

#[test]
fn whoever_manages_files_turns_editing_off() {
    let (_broker, site, gateway) = start(RULES);
    let off = text(&site).replace("[http]\n", "[http]\nedit = false\n");
    std::fs::write(site.config(), &off).expect("written");
    assert_eq!(gateway.stop(), Some(0));
    let _gateway = bellwire_tests::Gateway::start(&site);
    let cookie = log_in(&site);
    let page = get(&site, "/configuration", &[&cookie]).body;
    assert!(
        page.contains("id=\"managed\"") && page.contains("id=\"line-1\"") && !page.contains("<textarea"),
        "{page}"
    );
    let token = token(&site, &["configure"]);
    let found = configuration(&site, &token);
    assert_eq!((&found["edit"], &found["versions"][0]["who"]), (&json!(false), &json!("file")));
    let tag = format!("\"{}\"", found["fingerprint"].as_str().expect("a fingerprint"));
    let refused = put(&site, &token, &tag, &off.replace("Nino", "Anna"));
    assert_eq!(refused.status, 403);
    assert!(refused.body.contains("edit = false"), "{}", refused.body);
    assert_eq!(text(&site), off);
}

#[test]
fn an_unwritable_file_is_reported_with_a_next_step() {
    let (_broker, site, _gateway) = start(RULES);
    let token = token(&site, &["configure"]);
    let tag = format!("\"{}\"", configuration(&site, &token)["fingerprint"].as_str().expect("a fingerprint"));
    std::fs::set_permissions(site.config(), std::fs::Permissions::from_mode(0o444)).expect("set");
    let refused = put(&site, &token, &tag, &text(&site).replace("Nino", "Anna"));
    assert_eq!(refused.status, 409, "{}", refused.body);
    assert!(refused.body.contains("chmod u+w"), "{}", refused.body);
    let newest = configuration(&site, &token)["versions"][0].clone();
    assert_eq!(newest["outcome"], "refused", "{newest}");
    let cookie = log_in(&site);
    assert!(get(&site, "/commands?show=audit", &[&cookie]).body.contains("was not written"));
}
