use serde_json::{Value, json};

use super::{ACCOUNT, World, code, fixture, same_shape};

/// The templates that Meta's examples name.
pub fn catalogue(world: &World) {
    let body = |text: &str| json!({ "type": "BODY", "text": text });
    let buttons = json!({ "type": "BUTTONS", "buttons": [
        { "type": "QUICK_REPLY", "text": "Acknowledge" }, { "type": "QUICK_REPLY", "text": "Mute" }] });
    let link = json!({ "type": "BUTTONS", "buttons": [
        { "type": "URL", "text": "Open", "url": "https://example.com/{{1}}" }] });
    let image = json!({ "type": "HEADER", "format": "IMAGE" });
    for (name, format, components) in [
        ("alarm_v1", "POSITIONAL", json!([body("At {{1}} this happened: {{2}}. Please look.")])),
        ("alarm_v2", "NAMED", json!([body("At {{device}} this happened: {{event}}. Please look.")])),
        ("alarm_v3", "POSITIONAL", json!([image, body("This is about {{1}} as you can see."), buttons])),
        ("alarm_v4", "POSITIONAL", json!([body("Look at it."), link])),
    ] {
        let template = json!({ "name": name, "language": "en_US", "parameter_format": format, "components": components });
        world.control("templates", &template);
    }
}

fn send(world: &World, name: &str, components: Value) -> (u16, Value) {
    let template = json!({ "name": name, "language": { "code": "en_US" }, "components": components });
    world.send_kind("template", template)
}

fn text(words: &[&str]) -> Value {
    let words = words.iter().map(|word| json!({ "type": "text", "text": word }));
    json!([{ "type": "body", "parameters": words.collect::<Vec<_>>() }])
}

#[test]
fn what_fills_a_template_must_fit_it() {
    let world = World::start();
    catalogue(&world);
    let named = |name: &str| {
        json!([{ "type": "body", "parameters": [
            { "type": "text", "parameter_name": "device", "text": "Pump 7" },
            { "type": "text", "parameter_name": name, "text": "too hot" }] }])
    };
    let header = |kind: &str| {
        json!([{ "type": "header", "parameters": [{ "type": kind, kind: { "link": "https://example.com/a" } }] },
               { "type": "body", "parameters": [{ "type": "text", "text": "Pump 7" }] }])
    };
    let pressed = |kind: &str, index: &str, parameter: Value| {
        let mut components = header("image");
        let button = json!({ "type": "button", "sub_type": kind, "index": index, "parameters": [parameter] });
        components.as_array_mut().expect("a list").push(button);
        components
    };
    let payload = json!({ "type": "payload", "payload": "ack" });
    for (name, components, expected) in [
        ("alarm_v1", text(&["Pump 7", "too hot"]), 0),
        ("alarm_v1", text(&["Pump 7"]), 132_000),
        ("alarm_v1", text(&[]), 132_000),
        ("alarm_v1", text(&["Pump 7", "too\nhot"]), 132_007),
        ("alarm_v1", text(&["Pump 7", "too     hot"]), 132_007),
        ("alarm_v1", text(&["Pump 7", &"x".repeat(1_000)]), 132_005),
        ("alarm_v1", text(&["Pump 7", ""]), 131_008),
        ("alarm_v1", named("event"), 132_012),
        ("alarm_v2", named("event"), 0),
        ("alarm_v2", named("other"), 132_012),
        ("alarm_v2", text(&["Pump 7", "too hot"]), 132_012),
        ("alarm_v3", header("image"), 0),
        ("alarm_v3", header("video"), 132_012),
        ("alarm_v3", text(&["Pump 7"]), 132_012),
        ("alarm_v3", pressed("quick_reply", "1", payload.clone()), 0),
        ("alarm_v3", pressed("quick_reply", "2", payload.clone()), 132_018),
        ("alarm_v3", pressed("url", "0", payload), 132_018),
        ("alarm_v4", json!([]), 131_008),
        ("alarm_v9", json!([]), 132_001),
    ] {
        let answer = send(&world, name, components.clone());
        assert_eq!(code(&answer), expected, "{name} {components}: {answer:?}");
    }
    let first = world.look("messages")[0].clone();
    assert_eq!(first["shown"], "At Pump 7 this happened: too hot. Please look.", "what the person reads");
    let short = send(&world, "alarm_v1", text(&["Pump 7"])).1;
    let expected = fixture("responses/err_132000_params.json")["body"]["error"].clone();
    assert_eq!(short["error"]["error_data"], expected["error_data"]);
    assert_eq!(short["error"]["message"], expected["message"]);
}

#[test]
fn the_status_decides_and_is_told() {
    let world = World::start();
    catalogue(&world);
    for (status, expected, shape) in [
        ("PAUSED", 132_015, Some("paused")),
        ("DISABLED", 132_016, Some("disabled")),
        ("REJECTED", 132_001, Some("rejected")),
        ("REINSTATED", 0, None),
        ("PENDING", 132_001, None),
        ("APPROVED", 0, Some("approved")),
    ] {
        world.control("templates", &json!({ "name": "alarm_v1", "status": status }));
        let answer = send(&world, "alarm_v1", text(&["Pump 7", "hot"]));
        assert_eq!(code(&answer), expected, "{status}");
        let told = world.inbox.wait_field("message_template_status_update", |value| value["event"] == status);
        if let Some(shape) = shape {
            let path = format!("webhooks/fields/message_template_status_update_{shape}.json");
            let mut expected = fixture(&path)["entry"][0]["changes"][0]["value"].clone();
            expected["message_template_category"] = json!("UTILITY"); // Meta's page has it in some of its examples
            same_shape(&expected, &told, status);
        }
    }
    world.control("templates", &json!({ "name": "alarm_v1", "category": "MARKETING", "quality": "YELLOW" }));
    let told = world.inbox.wait_field("template_category_update", |_| true);
    assert_eq!((&told["previous_category"], &told["new_category"]), (&json!("UTILITY"), &json!("MARKETING")));
    let told = world.inbox.wait_field("message_template_quality_update", |_| true);
    let expected = &fixture("webhooks/fields/message_template_quality_update.json")["entry"][0]["changes"][0];
    same_shape(&expected["value"], &told, "quality");
    world.control("templates", &json!({ "name": "alarm_v2", "correct_category": "MARKETING" }));
    let told =
        world.inbox.wait_field("template_category_update", |value| value["correct_category"].is_string());
    let expected =
        &fixture("webhooks/fields/template_category_update_impending.json")["entry"][0]["changes"][0];
    same_shape(&expected["value"], &told, "category");
}

#[test]
fn held_messages_go_out_or_fail() {
    let world = World::start();
    catalogue(&world);
    let held = |world: &World| {
        world.control("templates", &json!({ "name": "alarm_v1", "held": true }));
        let (_, answer) = send(world, "alarm_v1", text(&["Pump 7", "hot"]));
        assert_eq!(answer["messages"][0]["message_status"], "held_for_quality_assessment");
        let wamid = answer["messages"][0]["id"].clone();
        bellwire_tests::wait_for(5, "held", || {
            let sent = world.look("messages");
            sent.as_array()?.iter().any(|sent| sent["id"] == wamid && sent["status"] == "held").then_some(())
        });
        wamid
    };
    let first = held(&world);
    world.control("templates", &json!({ "name": "alarm_v1", "held": false }));
    world.status(&first, "delivered");
    let second = held(&world);
    world.control("templates", &json!({ "name": "alarm_v1", "status": "PAUSED" }));
    assert_eq!(world.status(&second, "failed")["statuses"][0]["errors"][0]["code"], 132_015);
}

#[test]
fn the_catalogue_is_listed_in_pages_created_and_deleted() {
    let world = World::start();
    catalogue(&world);
    let path = format!("{ACCOUNT}/message_templates");
    let (mut names, mut after, mut pages) = (Vec::new(), String::new(), 0);
    loop {
        let (status, page) =
            world.call("GET", &format!("{path}?limit=2&fields=name,status,rejected_reason{after}"), None);
        assert_eq!(status, 200, "{page}");
        pages += 1;
        names.extend(page["data"].as_array().expect("a list").iter().map(|one| one["name"].clone()));
        if page["paging"]["next"].is_null() {
            break;
        }
        after = format!("&after={}", page["paging"]["cursors"]["after"].as_str().expect("a cursor"));
    }
    assert_eq!((names.len(), pages), (5, 3), "hello_world and four more: {names:?}");
    assert_eq!(code(&world.call("GET", &format!("{path}?after=xyz"), None)), 131_059);
    assert_eq!(code(&world.call("GET", &format!("{path}?fields=colour"), None)), 100);
    let (_, one) = world.call("GET", &format!("{path}?name=alarm_v2"), None);
    assert_eq!(one["data"][0]["parameter_format"], "NAMED");
    let id = one["data"][0]["id"].as_str().expect("an id");
    let (_, node) = world.call("GET", &format!("{id}?fields=name,health_status"), None);
    assert_eq!(node["health_status"]["can_send_message"], "AVAILABLE");

    let draft = |name: &str, text: &str| json!({ "name": name, "language": "en", "category": "UTILITY", "components": [{ "type": "BODY", "text": text }] });
    let (status, created) = world.call("POST", &path, Some(&draft("alarm_v5", "The shop is closed.")));
    assert_eq!(
        (status, &created["status"], &created["category"]),
        (200, &json!("PENDING"), &json!("UTILITY"))
    );
    let subcode = |answer: &(u16, Value)| answer.1["error"]["error_subcode"].as_i64();
    let again = world.call("POST", &path, Some(&draft("alarm_v5", "The shop is closed.")));
    assert_eq!(subcode(&again), Some(2_388_024));
    let loose = world.call("POST", &path, Some(&draft("alarm_v6", "The shop is {{1}}")));
    assert_eq!((code(&loose), subcode(&loose)), (100, Some(2_388_299)));

    assert_eq!(world.call("DELETE", &format!("{path}?name=alarm_v5"), None).0, 200);
    let blocked = world.call("POST", &path, Some(&draft("alarm_v5", "The shop is closed.")));
    assert_eq!(subcode(&blocked), Some(2_388_023));
    world.advance(30 * 86_400);
    assert_eq!(world.call("POST", &path, Some(&draft("alarm_v5", "The shop is closed."))).0, 200);
}

#[test]
fn the_catalogue_is_counted_filtered_turned_back_and_edited() {
    let world = World::start();
    catalogue(&world);
    let path = format!("{ACCOUNT}/message_templates");
    let get = |query: &str| world.call("GET", &format!("{path}?{query}"), None).1;
    let names = |page: &Value| {
        page["data"]
            .as_array()
            .expect("a list")
            .iter()
            .map(|one| one["name"].as_str().unwrap_or_default().to_owned())
            .collect::<Vec<_>>()
    };
    let counted = get("limit=2&summary=total_count,message_template_limit");
    assert_eq!(counted["summary"], json!({ "total_count": 5, "message_template_limit": 250 }));
    let after = counted["paging"]["cursors"]["after"].as_str().expect("a cursor");
    let second = get(&format!("limit=2&after={after}"));
    let before = second["paging"]["cursors"]["before"].as_str().expect("a cursor");
    assert!(second["paging"]["previous"].as_str().is_some_and(|url| url.contains(before)), "{second}");
    assert_eq!(names(&get(&format!("limit=2&before={before}"))), names(&counted));
    assert_eq!(names(&get("status=APPROVED,PAUSED&name=alarm")).len(), 4, "a part of the name");
    assert_eq!(names(&get("content=as%20you%20can%20see")), ["alarm_v3"]);
    assert!(names(&get("status=REJECTED")).is_empty());

    let id = get("name=alarm_v1")["data"][0]["id"].as_str().expect("an id").to_owned();
    let words = |text: &str| json!({ "components": [{ "type": "BODY", "text": text }] });
    let loose = world.call("POST", &id, Some(&words("It is {{1}}")));
    assert_eq!(loose.1["error"]["error_subcode"], 2_388_299, "judged as a new one: {loose:?}");
    assert_eq!(world.call("POST", &id, Some(&words("It is {{1}} and you were asked to look."))).0, 200);
    let shown = world.call("GET", &id, None).1;
    assert_eq!(
        (&shown["status"], &shown["components"][0]["text"]),
        (&json!("APPROVED"), &json!("It is {{1}} and you were asked to look."))
    );
    let gone = world.call("DELETE", &format!("{path}?name=alarm_v1&hsm_id={id}"), None);
    assert_eq!((gone.0, code(&world.call("GET", &id, None))), (200, 100));
}

#[test]
fn the_template_that_the_documentation_shows_is_taken() {
    let world = World::start();
    let page = format!("{}/../docs/whatsapp.md", env!("CARGO_MANIFEST_DIR"));
    let page = std::fs::read_to_string(page).expect("the page");
    let shown =
        page.split("name `alarm_v1`").nth(1).and_then(|rest| rest.split("```").nth(1)).expect("a body");
    let body: Vec<&str> = shown.trim_start_matches("text\n").trim().lines().map(str::trim).collect();
    let draft = |text: &str| {
        json!({ "name": "alarm_v1", "language": "en", "category": "UTILITY",
                "components": [{ "type": "BODY", "text": text, "example": { "body_text": [["x"]] } }] })
    };
    let path = format!("{ACCOUNT}/message_templates");
    let bare = world.call("POST", &path, Some(&draft("Alarm: {{1}}")));
    assert_eq!(bare.1["error"]["error_subcode"], 2_388_299, "a parameter at the end: {bare:?}");
    let created = world.call("POST", &path, Some(&draft(&body.join("\n"))));
    assert_eq!(code(&created), 0, "{body:?}: {created:?}");
}
