use std::process::{Command, Stdio};

use bellwire_tests::{PHONE_NUMBER_ID, free_port, get_json, wait_for};
use serde_json::{Value, json};

use super::{ACCOUNT, World, code, fixture, raw, same_shape};

#[test]
fn a_number_shows_what_is_asked_for() {
    let world = World::start();
    let expected = fixture("responses/phone_number_doctor.json")["body"].clone();
    let fields: Vec<&str> = expected.as_object().expect("an object").keys().map(String::as_str).collect();
    let path = format!("{PHONE_NUMBER_ID}?fields={}", fields.join(","));
    let (status, shown) = world.call("GET", &path, None);
    assert_eq!(status, 200, "{shown}");
    same_shape(&expected, &shown, "a number");
    assert_eq!(code(&world.call("GET", &format!("{PHONE_NUMBER_ID}?fields=id,colour"), None)), 100);

    let (_, health) = world.call("GET", &format!("{ACCOUNT}?fields=health_status"), None);
    assert_eq!(health["health_status"]["can_send_message"], "AVAILABLE");
    let blocked = fixture("responses/health_status_blocked.json")["body"]["health_status"].clone();
    let fields = json!({ "health_status": blocked, "quality_rating": "RED" });
    world.control("node", &json!({ "id": PHONE_NUMBER_ID, "fields": fields }));
    let (_, shown) =
        world.call("GET", &format!("{PHONE_NUMBER_ID}?fields=health_status,quality_rating"), None);
    assert_eq!((&shown["health_status"], &shown["quality_rating"]), (&blocked, &json!("RED")));
}

#[test]
fn a_number_is_registered_and_taken_away() {
    let world = World::start();
    let register = |pin: &str| {
        let body = json!({ "messaging_product": "whatsapp", "pin": pin });
        world.call("POST", &format!("{PHONE_NUMBER_ID}/register"), Some(&body))
    };
    assert_eq!(code(&register("12345")), 100);
    assert_eq!(register("123456"), (200, json!({ "success": true })));
    assert_eq!(code(&register("654321")), 133_005);
    assert_eq!(world.call("POST", &format!("{PHONE_NUMBER_ID}/deregister"), None).0, 200);
    assert_eq!(code(&world.text("nobody there")), 133_010);
    let (_, shown) = world.call("GET", &format!("{PHONE_NUMBER_ID}?fields=status"), None);
    assert_eq!(shown["status"], "DISCONNECTED");
    let (_, listed) = world.call("GET", &format!("{ACCOUNT}/phone_numbers?fields=status"), None);
    assert_eq!(listed["data"][0], json!({ "id": PHONE_NUMBER_ID, "status": "DISCONNECTED" }));
    for _ in 0..7 {
        assert_eq!(register("123456").0, 200);
    }
    assert_eq!(code(&register("123456")), 133_016, "10 in 72 hours");
    world.advance(72 * 3_600);
    assert_eq!(register("123456").0, 200);
}

#[test]
fn without_a_subscription_nothing_is_told() {
    let world = World::start();
    let path = format!("{ACCOUNT}/subscribed_apps");
    let (_, apps) = world.call("GET", &path, None);
    assert_eq!(apps["data"][0]["whatsapp_business_api_data"]["id"], "900000000000701");
    assert_eq!(world.call("DELETE", &path, None).0, 200);
    assert_eq!(world.call("GET", &path, None).1, json!({ "data": [] }));
    let (_, silent) = world.text("nobody is told");
    wait_for(5, "the last status", || (world.look("messages")[0]["status"] == "read").then_some(()));
    assert_eq!(world.call("POST", &path, None).0, 200);
    let (_, told) = world.text("and now");
    world.status(&told["messages"][0]["id"], "read");
    let of_silent = |value: &Value| value["statuses"][0]["id"] == silent["messages"][0]["id"];
    assert!(!world.inbox.changes().iter().any(|(_, value)| of_silent(value)));

    // An address of one's own is asked for the challenge first.
    let callback = |token: &str| {
        let url = world.site.url("/another/path");
        world.call("POST", &path, Some(&json!({ "override_callback_uri": url, "verify_token": token })))
    };
    assert_eq!(code(&callback("wrong")), 2_200);
    assert_eq!(callback("my-verify-token").0, 200);
    let (_, apps) = world.call("GET", &path, None);
    assert_eq!(apps["data"][0]["override_callback_uri"], world.site.url("/another/path"));
    let own = json!({ "webhook_configuration": { "override_callback_uri": world.site.url("/own"),
                                                 "verify_token": "my-verify-token" } });
    assert_eq!(world.call("POST", PHONE_NUMBER_ID, Some(&own)).0, 200);
    let (_, shown) = world.call("GET", &format!("{PHONE_NUMBER_ID}?fields=webhook_configuration"), None);
    assert_eq!(shown["webhook_configuration"]["phone_number"], world.site.url("/own"));
    assert_eq!(world.control("handshake", &json!({})), json!({ "status": 200, "verified": true }));
}

#[test]
fn a_token_is_inspected_refused_and_replaced() {
    let world = World::start();
    let inspect = |token: &str| {
        let url = world.site.api(&format!("/v25.0/debug_token?input_token={token}"));
        let (status, body) = raw(&url, "GET", &[("Authorization", "Bearer 900000000000701|secret")], b"");
        (status, serde_json::from_slice::<Value>(&body).expect("JSON"))
    };
    let (_, right) = inspect("token");
    same_shape(&fixture("responses/debug_token_ok.json")["body"], &right, "a right token");
    assert_eq!(right["data"]["is_valid"], true);
    let accounts = &right["data"]["granular_scopes"][0]["target_ids"];
    assert_eq!(accounts, &json!([]), "any id names its account, so the token is for no other one");
    let (_, wrong) = inspect("another");
    same_shape(&fixture("responses/debug_token_invalid.json")["body"], &wrong, "a wrong token");

    world.control("token", &json!({ "valid": false, "subcode": 463 }));
    let refused = world.text("expired");
    assert_eq!((code(&refused), &refused.1["error"]["error_subcode"]), (190, &json!(463)));
    assert_eq!(inspect("token").1["data"]["error"]["subcode"], 463);
    world.control("token", &json!({ "valid": false, "code": 0 }));
    let (status, body) = world.text("revoked");
    assert_eq!((status, &body["error"]["code"]), (401, &json!(0)));
    world.control("token", &json!({ "valid": true, "access_token": "newer" }));
    assert_eq!(code(&world.text("with the old one")), 190);
    world.control("token", &json!({ "access_token": "token", "scopes": ["whatsapp_business_messaging"] }));
    assert_eq!(world.text("again").0, 200);
    assert_eq!(inspect("token").1["data"]["scopes"], json!(["whatsapp_business_messaging"]));
}

#[test]
fn a_webhook_is_signed_and_repeated_until_accepted() {
    let world = World::start();
    let body = fixture("webhooks/fields/security_pin_changed.json");
    let value = body["entry"][0]["changes"][0]["value"].clone();
    let answer =
        world.control("webhook", &json!({ "field": "security", "value": value, "time": 1_790_000_500 }));
    assert_eq!(answer, json!({ "status": 200 }));
    let (signature, bytes) = world.inbox.all().remove(0);
    assert_eq!(serde_json::from_slice::<Value>(&bytes).expect("JSON"), body);
    assert_eq!(signature, crate::webhook::sign("secret", &bytes));

    world.inbox.answer(500);
    assert_eq!(world.control("webhook", &json!({ "body": body })), json!({ "status": 500 }));
    wait_for(10, "two more tries", || (world.inbox.all().len() >= 4).then_some(()));
    world.inbox.answer(200);
    let forged = world.control("webhook", &json!({ "body": body, "forge": true }));
    assert_eq!(forged["status"], 200, "this test's webhook does not look");
    assert!(world.inbox.all().iter().any(|(found, bytes)| *found != crate::webhook::sign("secret", bytes)));
}

#[test]
fn statuses_come_by_the_thousand() {
    let world = World::start();
    world.control("faults", &json!({ "statuses": { "drop": true } }));
    for number in 0..3 {
        assert_eq!(world.text(&number.to_string()).0, 200);
    }
    let answer = world.control("statuses", &json!({ "status": "delivered", "unknown": 1_997 }));
    assert_eq!(
        (&answer["statuses"], &answer["posts"], &answer["taken"]),
        (&json!(2_000), &json!(2), &json!(2))
    );
    assert!(answer["elapsed_ms"].is_u64());
    let changes = world.inbox.changes();
    let sizes: Vec<usize> =
        changes.iter().filter_map(|(_, value)| Some(value["statuses"].as_array()?.len())).collect();
    assert_eq!(sizes, [1_000, 1_000]);
    assert_eq!(changes[0].1["statuses"][0]["id"], world.look("messages")[0]["id"]);
    let single = world.control("statuses", &json!({ "batch": 1, "status": "failed", "code": 131_049 }));
    assert_eq!((&single["statuses"], &single["posts"]), (&json!(3), &json!(3)));
    let failed = world.inbox.wait("a failure", |value| value["statuses"][0]["status"] == "failed");
    assert_eq!(failed["statuses"][0]["errors"][0]["code"], 131_049);
}

#[test]
fn command_line_limits_are_enforced() {
    let port = free_port();
    let program = std::env::current_exe().expect("a path");
    let program = program.ancestors().nth(2).expect("target/PROFILE").join("bellwire");
    let listen = format!("127.0.0.1:{port}");
    let mut process = Command::new(program)
        .args([
            "simulator",
            "--listen",
            &listen,
            "--app-secret",
            "s",
            "--verify-token",
            "v",
            "--enforce-window",
        ])
        .args(["--enforce-pair-limit", "--business-account-id", "7", "--phone-number-id", "1"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("the simulator starts");
    let url = |path: &str| format!("http://{listen}/{path}");
    wait_for(10, "the simulator", || std::net::TcpStream::connect(&listen).ok());
    let (window, limits) = (get_json(&url("_simulator/window")), get_json(&url("_simulator/limits")));
    let any = [("Authorization", "Bearer any")];
    let listed = raw(&url("v25.0/7/phone_numbers?fields=id"), "GET", &any, b"");
    let stranger = raw(&url("v25.0/8/phone_numbers"), "GET", &any, b"");
    let nobody = raw(&url("v25.0/2/messages"), "POST", &any, b"{}");
    process.kill().expect("ended");
    process.wait().expect("ended");
    assert_eq!((&window["enforce"], &limits["pair"]), (&json!(true), &json!(true)));
    assert_eq!((listed.0, stranger.0, nobody.0), (200, 400, 400));
    assert_eq!(serde_json::from_slice::<Value>(&listed.1).expect("JSON"), json!({ "data": [{ "id": "1" }] }));
}
