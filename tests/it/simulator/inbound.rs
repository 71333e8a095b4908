use bellwire_tests::{PHONE_NUMBER_ID, post_json};
use serde_json::{Value, json};

use super::{NINO, World, fixture, same_shape};

/// The first value of one of Meta's example webhooks.
fn example(name: &str) -> Value {
    fixture(&format!("webhooks/messages/{name}.json"))["entry"][0]["changes"][0]["value"].clone()
}

/// A world in Meta's older form, as most of its examples are, where Nino was written to.
fn world() -> World {
    let world = World::start();
    world.control("webhooks", &json!({ "user_ids": false }));
    assert_eq!(world.text("hello").0, 200);
    world
}

#[test]
fn every_kind_comes_as_meta_sends_it() {
    let world = world();
    let contact = json!({ "name": { "formatted_name": "Ana Q", "first_name": "Ana" },
                          "phones": [{ "phone": "+1 555-010-0199", "wa_id": "15550100199", "type": "CELL" }] });
    let place = json!({ "latitude": 48.85837, "longitude": 2.294481 });
    for (body, name) in [
        (json!({ "text": "status pump-7" }), "text"),
        (json!({ "text": "fwd", "forwarded": true }), "text_forwarded"),
        (json!({ "text": "team ack", "group_id": "G1" }), "text_group"),
        (json!({ "audio": "aGVsbG8=", "voice": true }), "audio_file"),
        (json!({ "video": "aGVsbG8=", "caption": "leak" }), "video"),
        (json!({ "document": "aGVsbG8=", "caption": "log", "filename": "log.pdf" }), "document"),
        (json!({ "sticker": "aGVsbG8=", "animated": true }), "sticker"),
        (json!({ "location": place }), "location_current"),
        (json!({ "contacts": [contact] }), "contacts"),
        (json!({ "reaction": "👍" }), "reaction"),
        (json!({ "media_error": true }), "media_too_large_131052"),
        (json!({ "request_welcome": true }), "request_welcome"),
        (json!({ "system": { "type": "customer_identity_changed" } }), "system_customer_identity_changed"),
    ] {
        let (_, mut value) = world.reply(body);
        // Meta's pages give `href` with an error in some places and not in others.
        if let Some(Value::Object(error)) = value.pointer_mut("/messages/0/errors/0") {
            error.remove("href");
        }
        same_shape(&example(name), &value, name);
    }
    let (removed, _) = world.reply(json!({ "reaction": "" }));
    assert!(removed["reaction"].get("emoji").is_none(), "{removed}");
    let (poll, _) = world.reply(json!({ "unsupported": "poll_creation" }));
    assert_eq!(
        (&poll["errors"][0]["code"], &poll["unsupported"]["type"]),
        (&json!(131_051), &json!("poll_creation"))
    );
    let (edit, _) = world.reply(json!({ "edit": "wamid.1", "text": "new words" }));
    assert_eq!(edit["edit"]["original_message_id"], "wamid.1");
    let (revoke, _) = world.reply(json!({ "delete": "wamid.1" }));
    assert_eq!(revoke["revoke"]["original_message_id"], "wamid.1");
    let (raw, _) = world.reply(json!({ "raw": { "type": "order", "order": { "catalog_id": "1" } } }));
    assert_eq!((&raw["type"], &raw["from"]), (&json!("order"), &json!("995555123456")));
}

#[test]
fn a_tap_comes_as_what_was_tapped() {
    let world = world();
    super::templates::catalogue(&world);
    for name in [
        "interactive_buttons",
        "interactive_list",
        "template_header_image_and_quick_reply",
        "interactive_flow",
    ] {
        let mut body = fixture(&format!("requests/{name}.json"));
        body["to"] = json!(NINO);
        if name.starts_with("template") {
            body["template"]["components"][0]["parameters"][0]["image"] =
                json!({ "link": "https://example.com/a.jpg" });
        }
        assert_eq!(world.send(&body).0, 200, "{name}");
    }
    let shown = world.look("messages");
    assert_eq!(
        shown[2]["buttons"],
        json!([{ "id": "restart", "title": "Restart" }, { "id": "mute:1h", "title": "Mute 1 h" }])
    );
    let template = shown[3]["id"].clone();
    for (body, name) in [
        (json!({ "tap": "esc:evt-42" }), "interactive_button_reply"),
        (json!({ "tap": "Restart" }), "interactive_list_reply"),
        (json!({ "tap": "Mute 1 h" }), "interactive_list_reply_no_description"),
        (json!({ "tap": "Acknowledge", "message_id": template }), "button_template_quick_reply"),
        (json!({ "flow": { "choice": "restart" } }), "interactive_nfm_reply"),
    ] {
        let (_, value) = world.reply(body);
        same_shape(&example(name), &value, name);
    }
    let (status, answer) =
        post_json(&world.site.api("/_simulator/reply"), &json!({ "from": NINO, "tap": "Explode" }));
    assert_eq!(status, 404);
    assert!(answer["error"].as_str().is_some_and(|error| error.contains("Explode")), "{answer}");
    let values: Vec<Value> = world.inbox.changes().into_iter().map(|(_, value)| value).collect();
    let payload = |value: &&Value| value["messages"][0]["button"]["payload"] == "ack:evt-42";
    assert!(values.iter().any(|value| payload(&value)), "the payload that the request gave");
}

#[test]
fn a_person_has_a_user_id_and_may_hide_numbers() {
    let world = World::start();
    assert_eq!(world.text("hello").0, 200);
    let user = json!("US.90010020030040050060");
    let (_, both) = world.reply(json!({ "from": NINO, "user_id": user, "text": "hi" }));
    same_shape(&example("text_phone_and_bsuid"), &both, "both");
    let (_, hidden) = world.reply(json!({ "user_id": "US.7", "username": "test.person", "text": "ack",
                                           "phone_number_id": PHONE_NUMBER_ID }));
    same_shape(&example("text_bsuid_only"), &hidden, "hidden");

    let old = json!({ "from": NINO, "system": { "type": "user_changed_number", "wa_id": "+995555000000" } });
    let (_, changed) = world.reply(old);
    same_shape(&example("system_user_changed_number_bsuid"), &changed, "changed");
    assert_eq!(changed["messages"][0]["from"], "995555123456", "the old number");
    assert_eq!(changed["messages"][0]["system"]["previous_user_id"], user);
    let (_, answer) = world.text("to the old number");
    let failed = world.status(&answer["messages"][0]["id"], "failed");
    assert_eq!(failed["statuses"][0]["errors"][0]["code"], 131_026);

    let ids = json!({ "user_id": "US.7", "system": { "type": "user_changed_user_id", "user_id": "US.8" } });
    let (message, _) = world.reply(ids);
    assert_eq!(message["system"]["previous_user_id"], "US.7");
    assert_eq!(message["system"]["user_id"], "US.8");
}

#[test]
fn what_is_not_understood_is_refused_with_a_sentence() {
    let world = World::start();
    for (path, body) in [
        ("reply", json!({ "text": "nobody" })),
        ("reply", json!({ "from": NINO })),
        ("reply", json!({ "from": NINO, "text": "a", "tap": "b" })),
        ("reply", json!({ "from": NINO, "txet": "a" })),
        ("reply", json!({ "from": NINO, "image": "not base64!" })),
        ("reply", json!({ "from": NINO, "raw": [1] })),
        ("reply", json!({ "from": NINO, "system": { "type": "user_changed_number" } })),
        ("window", json!({ "enforce": "yes" })),
        ("webhooks", json!({ "version": "25" })),
        ("templates", json!({ "name": "none", "status": "PAUSED" })),
        ("templates", json!({ "name": "hello_world", "status": "SLEEPING" })),
        ("statuses", json!({ "batch": 1_001 })),
        ("webhook", json!({ "value": {} })),
        ("nothing", json!({})),
    ] {
        let (status, answer) = post_json(&world.site.api(&format!("/_simulator/{path}")), &body);
        assert!((400..405).contains(&status), "{path} {body}: {status}");
        assert!(answer["error"].as_str().is_some_and(|error| error.len() > 20), "{path} {body}: {answer}");
    }
}
