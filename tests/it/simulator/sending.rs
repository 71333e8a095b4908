use bellwire_tests::PHONE_NUMBER_ID;
use serde_json::{Value, json};

use super::media::upload;
use super::{NINO, World, code, fixture, raw, same_shape};

/// Puts ids of real media, and templates that exist, into Meta's examples.
fn prepared(world: &World, mut body: Value) -> Value {
    let kind = body["type"].as_str().unwrap_or_default().to_owned();
    if body[&kind]["id"].is_string() {
        body[&kind]["id"] = json!(upload(world, &kind));
    }
    if let Some(image) = body.pointer_mut("/template/components/0/parameters/0/image/id") {
        *image = json!(upload(world, "image"));
    }
    body
}

#[test]
fn every_request_example_of_meta_is_answered_as_documented() {
    let world = World::start();
    super::templates::catalogue(&world);
    let folder = format!("{}/fixtures/cloud-api/requests", env!("CARGO_MANIFEST_DIR"));
    for file in std::fs::read_dir(folder).expect("a folder") {
        let name = file.expect("a file").file_name().to_string_lossy().into_owned();
        let body = prepared(&world, fixture(&format!("requests/{name}")));
        let (status, answer) = world.send(&body);
        assert_eq!(status, 200, "{name}: {answer}");
        let expected = match name.as_str() {
            read if read.starts_with("mark_read") => "ok_mark_read",
            user if user.contains("bsuid") || user.contains("request_contact_info") => "ok_bsuid",
            template if template.starts_with("template") => "ok_template_accepted",
            _ => "ok_text",
        };
        same_shape(&fixture(&format!("responses/{expected}.json"))["body"], &answer, &name);
    }
}

#[test]
fn what_is_wrong_is_refused_with_metas_code() {
    let world = World::start();
    let long = |count: usize| "x".repeat(count);
    let buttons = |titles: &[&str]| {
        let buttons =
            titles.iter().map(|title| json!({ "type": "reply", "reply": { "id": title, "title": title } }));
        json!({ "type": "button", "body": { "text": "x" }, "action": { "buttons": buttons.collect::<Vec<_>>() } })
    };
    let rows = |count: usize| {
        let rows = (0..count).map(|n| json!({ "id": n.to_string(), "title": n.to_string() }));
        json!({ "type": "list", "body": { "text": "x" },
                "action": { "button": "b", "sections": [{ "rows": rows.collect::<Vec<_>>() }] } })
    };
    let link = |url: &str| {
        json!({ "type": "cta_url", "body": { "text": "x" },
                "action": { "name": "cta_url", "parameters": { "display_text": "go", "url": url } } })
    };
    let cases = [
        ("text", json!({ "body": long(4_096) }), 0),
        ("text", json!({ "body": long(4_097) }), 100),
        ("text", json!({ "body": "" }), 100),
        ("text", json!({}), 131_008),
        ("text", json!({ "body": "x", "previewurl": true }), 100),
        ("hologram", json!({}), 131_051),
        ("image", json!({ "link": "https://example.com/a.jpg", "caption": long(1_025) }), 100),
        ("image", json!({ "id": "1", "link": "https://example.com/a.jpg" }), 100),
        ("image", json!({}), 131_008),
        ("image", json!({ "id": "123" }), 131_053),
        ("audio", json!({ "link": "https://example.com/a.ogg", "caption": "x" }), 100),
        ("location", json!({ "latitude": "91", "longitude": "2" }), 131_009),
        ("location", json!({ "latitude": 48.85, "longitude": 2.29 }), 0),
        ("contacts", json!([]), 131_009),
        ("contacts", json!([{ "name": { "formatted_name": "Nino" } }]), 131_009),
        ("interactive", buttons(&["a", "b", "c"]), 0),
        ("interactive", buttons(&["a", "b", "c", "d"]), 131_009),
        ("interactive", buttons(&["a", "a"]), 131_009),
        ("interactive", buttons(&[&long(21)]), 131_009),
        ("interactive", buttons(&[" a"]), 131_009),
        ("interactive", rows(10), 0),
        ("interactive", rows(11), 131_009),
        ("interactive", rows(0), 131_009),
        ("interactive", link("https://example.com"), 0),
        ("interactive", link("example"), 131_009),
        ("interactive", json!({ "type": "carousel", "body": { "text": "x" }, "action": {} }), 131_009),
        ("template", json!({ "name": "nothing", "language": { "code": "en" } }), 132_001),
        ("template", json!({ "name": "hello_world" }), 131_008),
    ];
    for (kind, object, expected) in cases {
        let answer = world.send_kind(kind, object.clone());
        assert_eq!(code(&answer), expected, "{kind} {object}: {answer:?}");
    }
    let title = world.send_kind("interactive", buttons(&[&long(21)]));
    let details = &fixture("responses/err_131009_value.json")["body"]["error"]["error_data"]["details"];
    assert_eq!(title.1["error"]["error_data"]["details"], *details);
    assert_eq!(world.send_kind("template", json!({ "name": "no", "language": { "code": "en" } })).0, 404);
    let data = json!({ "messaging_product": "whatsapp", "to": NINO, "text": { "body": "x" },
                       "biz_opaque_callback_data": long(513) });
    assert_eq!(code(&world.send(&data)), 100);
    assert_eq!(code(&world.send(&json!({ "to": NINO, "text": { "body": "x" } }))), 100);
}

#[test]
fn what_is_not_there_gets_metas_error_form() {
    let world = World::start();
    for (method, path) in [
        ("GET", "1/nothing"),
        ("POST", "1/message_history"),
        ("DELETE", "109876543210123/messages"),
        ("GET", "me"),
        ("GET", "1/2/3/4"),
    ] {
        let (status, body) = world.call(method, path, None);
        assert_eq!((status, body["error"]["code"].as_i64()), (400, Some(100)), "{method} {path}: {body}");
        assert_eq!(body["error"]["error_subcode"], 33, "{body}");
    }
    for (method, path) in
        [("GET", "1/message_templates?limit=many"), ("DELETE", "1/message_templates"), ("GET", "debug_token")]
    {
        let answer = world.call(method, path, None);
        assert_eq!((answer.0, code(&answer)), (400, 100), "{method} {path}");
    }
    let url = world.site.api(&format!("/v25.0/{PHONE_NUMBER_ID}/messages"));
    for headers in [&[][..], &[("Authorization", "Bearer wrong")]] {
        let (status, body) = raw(&url, "POST", headers, b"{}");
        let body: Value = serde_json::from_slice(&body).expect("JSON");
        assert_eq!((status, body["error"]["code"].as_i64()), (401, Some(190)));
    }
}

#[test]
fn a_user_id_is_an_address_too() {
    let world = World::start();
    let (_, answer) = world.text("by number");
    assert_eq!(answer["contacts"][0], json!({ "input": NINO, "wa_id": "995555123456" }));
    let seen = world.status(&answer["messages"][0]["id"], "delivered");
    let user = seen["statuses"][0]["recipient_user_id"].clone();
    assert_eq!(seen["statuses"][0]["recipient_id"], "995555123456");
    assert_eq!(seen["contacts"][0]["user_id"], user);

    let body = json!({ "messaging_product": "whatsapp", "recipient": user, "type": "text", "text": { "body": "x" } });
    let (_, answer) = world.send(&body);
    assert_eq!(answer["contacts"][0], json!({ "input": user, "user_id": user }));
    assert_eq!(world.look("messages")[1]["wa_id"], "995555123456", "the same person");
}

#[test]
fn statuses_say_what_it_cost_and_what_it_was_for() {
    let world = World::start();
    let body = json!({ "messaging_product": "whatsapp", "to": NINO, "type": "text", "text": { "body": "x" },
                       "biz_opaque_callback_data": "gw1:42" });
    let (_, answer) = world.send(&body);
    let wamid = &answer["messages"][0]["id"];
    let sent = world.status(wamid, "sent")["statuses"][0].clone();
    assert_eq!(sent["biz_opaque_callback_data"], "gw1:42");
    assert_eq!(sent["pricing"]["category"], "service");
    assert_eq!(sent["conversation"], Value::Null, "gone since v24.0");
    let read = world.status(wamid, "read")["statuses"][0].clone();
    assert_eq!(read["pricing"], Value::Null);

    world.control("webhooks", &json!({ "version": "v23.0", "user_ids": false }));
    let hello = json!({ "name": "hello_world", "language": { "code": "en_US" } });
    let (_, answer) = world.send_kind("template", hello);
    let sent = world.status(&answer["messages"][0]["id"], "sent");
    let expected = fixture("webhooks/statuses/sent_v23_conversation.json");
    let expected = &expected["entry"][0]["changes"][0]["value"]["statuses"][0];
    same_shape(expected, &sent["statuses"][0], "sent in v23.0");
    assert_eq!(sent["statuses"][0]["pricing"]["category"], "utility");
}

#[test]
fn some_messages_fail_later() {
    let world = World::start();
    let voice = upload(&world, "audio");
    let (_, answer) = world.send_kind("audio", json!({ "id": voice, "voice": true }));
    world.status(&answer["messages"][0]["id"], "played");

    let (_, answer) = world.send_kind("image", json!({ "link": "http://192.168.1.20/snap.jpg" }));
    let failed = world.status(&answer["messages"][0]["id"], "failed");
    assert_eq!(failed["statuses"][0]["errors"][0]["code"], 131_053);
    assert_eq!(failed["contacts"], Value::Null, "failed statuses come without contacts");
    let expected = fixture("webhooks/statuses/failed_131053.json");
    let expected = &expected["entry"][0]["changes"][0]["value"]["statuses"][0];
    same_shape(expected, &failed["statuses"][0], "failed");

    let (_, answer) = world.send_kind("reaction", json!({ "message_id": "wamid.nothing", "emoji": "👍" }));
    let failed = world.status(&answer["messages"][0]["id"], "failed");
    assert_eq!(failed["statuses"][0]["errors"][0]["code"], 131_009);
}

#[test]
fn a_fault_can_stop_the_statuses_and_add_headers() {
    let world = World::start();
    world.control("faults", &json!({ "count": 1, "statuses": { "last": "sent" } }));
    let (_, quiet) = world.text("the phone is off");
    let (_, read) = world.text("the phone is on");
    world.status(&read["messages"][0]["id"], "read");
    let words = world.inbox.changes().into_iter().filter_map(|(_, value)| {
        let status = &value["statuses"][0];
        (status["id"] == quiet["messages"][0]["id"]).then(|| status["status"].clone())
    });
    assert_eq!(words.collect::<Vec<_>>(), ["sent"]);

    let usage = json!({ "1": [{ "type": "whatsapp", "estimated_time_to_regain_access": 5 }] }).to_string();
    let headers = json!({ "X-Business-Use-Case-Usage": usage });
    world.control("faults", &json!({ "count": 1, "code": 80_007, "headers": headers }));
    let body = json!({ "messaging_product": "whatsapp", "to": NINO, "text": { "body": "x" } });
    let url = world.site.api(&format!("/v25.0/{PHONE_NUMBER_ID}/messages"));
    let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
    let answer = agent.post(url).header("Authorization", "Bearer token").send_json(&body).expect("an answer");
    assert_eq!(answer.status(), 400);
    assert_eq!(answer.headers()["x-business-use-case-usage"], usage.as_str());
}

#[test]
fn reading_marks_what_a_person_wrote_before_too() {
    let world = World::start();
    assert_eq!(world.text("hello").0, 200);
    for text in ["one", "two", "three"] {
        world.reply(json!({ "text": text }));
    }
    let second = world.look("written")[1]["id"].clone();
    let read = json!({ "messaging_product": "whatsapp", "status": "read", "message_id": second,
                       "typing_indicator": { "type": "text" } });
    assert_eq!(world.send(&read), (200, json!({ "success": true })));
    let written = world.look("written");
    let read: Vec<bool> = (0..3).filter_map(|at: usize| written[at]["read"].as_bool()).collect();
    assert_eq!(read, [true, true, false]);
    assert_eq!(written[1]["typing"], true);
}
