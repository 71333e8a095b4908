//! What other programs ask in other words: how Graph reads addresses, parameters, fields and ids.

use bellwire_tests::PHONE_NUMBER_ID;
use serde_json::{Value, json};

use super::{World, code, raw};

/// A request as it is, without the version that `World::call` puts in front.
fn ask(world: &World, method: &str, path: &str, mime: &str, body: &[u8]) -> (u16, Value) {
    let (status, answer) = world.request(method, path, mime, body);
    (status, serde_json::from_slice(&answer).unwrap_or(Value::Null))
}

fn ask_json(world: &World, method: &str, path: &str, body: &Value) -> (u16, Value) {
    ask(world, method, path, "application/json", body.to_string().as_bytes())
}

#[test]
fn addresses_may_end_in_a_slash_or_lack_a_version() {
    let world = World::start();
    let pin = json!({ "pin": "123456" });
    let success = (200, json!({ "success": true }));
    for path in [
        format!("/v25.0/{PHONE_NUMBER_ID}/"),
        format!("/v14.0/{PHONE_NUMBER_ID}"),
        format!("/{PHONE_NUMBER_ID}"),
    ] {
        assert_eq!(ask_json(&world, "POST", &path, &pin), success, "{path}");
    }
    let block = json!({ "messaging_product": "whatsapp", "block_users": [{ "user": "+995555123456" }] });
    let (status, blocked) = ask_json(&world, "POST", &format!("/{PHONE_NUMBER_ID}/block_users"), &block);
    assert_eq!((status, &blocked["block_users"]["added_users"][0]["wa_id"]), (200, &json!("995555123456")));
    let (status, debug) =
        raw_get(&world, "/debug_token/?input_token=token&access_token=900000000000701%7Csecret");
    assert_eq!((status, &debug["data"]["is_valid"]), (200, &json!(true)), "a token in the query: {debug}");
}

fn raw_get(world: &World, path: &str) -> (u16, Value) {
    let (status, body) = raw(&world.site.api(path), "GET", &[], &[]);
    (status, serde_json::from_slice(&body).unwrap_or(Value::Null))
}

#[test]
fn parameters_may_be_in_query_form_or_body() {
    let world = World::start();
    let part = "--X\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.png\"\r\nContent-Type: image/png\r\n\r\nPNG\r\n--X--\r\n";
    let path = format!("/v25.0/{PHONE_NUMBER_ID}/media?messaging_product=whatsapp");
    let uploaded = ask(&world, "POST", &path, "multipart/form-data; boundary=X", part.as_bytes());
    assert!(uploaded.1["id"].is_string(), "{uploaded:?}");

    let path =
        format!("/v25.0/{PHONE_NUMBER_ID}/messages?messaging_product=whatsapp&to=995555123456&type=text");
    let sent = ask_json(&world, "POST", &path, &json!({ "text": { "body": "in both" } }));
    assert_eq!(sent.1["contacts"][0]["wa_id"], "995555123456", "{sent:?}");
    let form = "messaging_product=whatsapp&to=%2B995555123456&text=%7B%22body%22%3A%22a%20form%22%7D";
    let path = format!("/v25.0/{PHONE_NUMBER_ID}/messages");
    let sent = ask(&world, "POST", &path, "application/x-www-form-urlencoded", form.as_bytes());
    assert_eq!(code(&sent), 0, "{sent:?}");
    let texts: Vec<Value> =
        world.look("messages").as_array().expect("a list").iter().map(|sent| sent["text"].clone()).collect();
    assert_eq!(texts, ["in both", "a form"]);

    let path = format!("/v25.0/{PHONE_NUMBER_ID}/whatsapp_commerce_settings");
    assert_eq!(
        ask(&world, "POST", &format!("{path}?is_cart_enabled=false&is_catalog_visible=true"), "", b"").0,
        200
    );
    let (_, settings) = ask(&world, "GET", &path, "", b"");
    assert_eq!(
        settings["data"][0],
        json!({ "id": PHONE_NUMBER_ID, "is_cart_enabled": false, "is_catalog_visible": true })
    );
    let register = format!("/v25.0/{PHONE_NUMBER_ID}/register?messaging_product=whatsapp&pin=123456");
    assert_eq!(ask(&world, "POST", &register, "", b"").0, 200);
}

#[test]
fn documented_fields_are_taken_and_expanded() {
    let world = World::start();
    let get = |path: &str| world.call("GET", path, None);
    let expanded = get(&format!("{PHONE_NUMBER_ID}?fields=id,throughput{{level}},name_status"));
    assert_eq!(
        expanded,
        (
            200,
            json!({ "id": PHONE_NUMBER_ID, "throughput": { "level": "STANDARD" }, "name_status": "APPROVED" })
        )
    );
    let number = get(&format!("{PHONE_NUMBER_ID}?fields=last_onboarded_time,search_visibility,certificate"));
    assert!(
        number.1["last_onboarded_time"].is_string() && number.1["search_visibility"] == "VISIBLE",
        "{number:?}"
    );
    let account = get(
        "102290129340398?fields=owner_business_info{name},on_behalf_of_business_info,phone_numbers{id,status}",
    );
    assert_eq!(account.1["owner_business_info"], json!({ "name": "Simulated Shop" }), "{account:?}");
    assert_eq!(
        account.1["phone_numbers"]["data"][0],
        json!({ "id": PHONE_NUMBER_ID, "status": "CONNECTED" })
    );
    let templates =
        get("102290129340398/message_templates?fields=name,message_send_ttl_seconds,previous_category");
    assert_eq!((templates.0, &templates.1["data"][0]["name"]), (200, &json!("hello_world")));
    for path in [PHONE_NUMBER_ID, "102290129340398/message_templates", "102290129340398/phone_numbers"] {
        assert_eq!(
            code(&get(&format!("{path}?fields=id,colour"))),
            100,
            "{path}: an unknown field is refused"
        );
    }
}

#[test]
fn any_id_names_the_account_unless_one_was_given() {
    let world = World::start();
    let get = |path: &str| world.call("GET", path, None);
    let by_fields = get("102290129340398?fields=id,name");
    assert_eq!(by_fields, (200, json!({ "id": "102290129340398", "name": "Simulated Shop" })));
    assert_eq!(get("202290129340398/message_templates").0, 200);
    assert_eq!(get("202290129340398").1["currency"], "USD", "what it stood for before");
    assert!(get(PHONE_NUMBER_ID).1["display_phone_number"].is_string());
    let (_, numbers) = get("102290129340398/phone_numbers?fields=id");
    assert_eq!(numbers["data"], json!([{ "id": PHONE_NUMBER_ID }]), "an account is no number");
}

#[test]
fn numbers_need_no_plus_unless_american() {
    let world = World::start();
    world.control("reply", &json!({ "from": "+4723456789", "text": "hi" })); // Norwegian, looks American
    for (to, wa_id) in [
        ("995555123456", "995555123456"),
        ("5511987654321", "5511987654321"),
        ("4791234567", "4791234567"),
        ("4723456789", "4723456789"),
        ("6315551234", "16315551234"),
        ("16315551234", "16315551234"),
    ] {
        let body =
            json!({ "messaging_product": "whatsapp", "to": to, "type": "text", "text": { "body": "x" } });
        assert_eq!(world.send(&body).1["contacts"][0], json!({ "input": to, "wa_id": wa_id }));
    }
}

#[test]
fn statuses_of_a_group_name_each_participant() {
    let world = World::start();
    for from in ["+995555123456", "+995555654321"] {
        world.control("reply", &json!({ "from": from, "text": "here", "group_id": "Y2FwaV9ncm91cA" }));
    }
    let to = |group: &str| {
        json!({ "messaging_product": "whatsapp", "recipient_type": "group", "to": group, "type": "text",
                "text": { "body": "x" } })
    };
    let (_, sent) = world.send(&to("Y2FwaV9ncm91cA"));
    let wamid = &sent["messages"][0]["id"];
    for participant in ["995555123456", "995555654321"] {
        let value = world.inbox.wait(participant, |value| {
            let status = &value["statuses"][0];
            status["id"] == *wamid
                && status["status"] == "read"
                && status["recipient_participant_id"] == participant
        });
        let (status, contact) = (&value["statuses"][0], &value["contacts"][0]);
        assert_eq!(
            (&status["recipient_id"], &status["recipient_type"]),
            (&json!("Y2FwaV9ncm91cA"), &json!("group"))
        );
        assert_eq!(
            (&contact["wa_id"], &contact["user_id"]),
            (&json!(participant), &status["recipient_participant_user_id"])
        );
        assert!(contact["user_id"].is_string() && contact["profile"]["name"].is_string(), "{value}");
    }
    let (_, sent) = world.send(&to("bmV3"));
    let value = world.status(&sent["messages"][0]["id"], "sent");
    assert!(
        value["contacts"][0]["wa_id"].is_string(),
        "a group in which nobody wrote has somebody, too: {value}"
    );
}

#[test]
fn a_row_may_have_an_empty_description() {
    let world = World::start();
    let list = |description: &str| {
        json!({ "type": "list", "body": { "text": "B" }, "action": { "button": "Go", "sections": [
            { "title": "A", "rows": [{ "id": "1", "title": "x", "description": description }] }] } })
    };
    assert_eq!(code(&world.send_kind("interactive", list(""))), 0);
    assert_eq!(code(&world.send_kind("interactive", list(&"x".repeat(73)))), 131_009);
}

#[test]
fn a_blocked_person_is_not_written_to_and_cannot_write() {
    let world = World::start();
    let path = format!("{PHONE_NUMBER_ID}/block_users");
    let nino = json!({ "messaging_product": "whatsapp", "block_users": [{ "user": "+995555123456" }] });
    assert_eq!(world.call("POST", &path, Some(&nino)).0, 200);
    assert_eq!(world.call("GET", &path, None).1["data"][0]["wa_id"], "995555123456");
    assert_eq!(code(&world.text("x")), 130_403);
    let word = json!({ "from": "+995555123456", "text": "x", "phone_number_id": PHONE_NUMBER_ID });
    let (status, refused) = bellwire_tests::post_json(&world.site.api("/_simulator/reply"), &word);
    assert_eq!(status, 400, "{refused}");
    assert_eq!(world.call("DELETE", &path, Some(&nino)).0, 200);
    assert_eq!(code(&world.text("x")), 0);
}

#[test]
fn unsupported_requests_are_refused_by_name() {
    let world = World::start();
    for (method, path) in [
        ("GET", "102290129340398/flows"),
        ("POST", "109876543210123/groups"),
        ("POST", "109876543210123/calls"),
    ] {
        let (status, body) = world.call(method, path, Some(&json!({})));
        let words = format!("the simulator does not play {method} /v25.0/{path}");
        assert_eq!((status, &body["error"]["error_subcode"]), (400, &json!(33)), "{body}");
        assert!(body["error"]["message"].as_str().is_some_and(|message| message.contains(&words)), "{body}");
    }
}
