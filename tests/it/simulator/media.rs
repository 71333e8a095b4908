use bellwire_tests::PHONE_NUMBER_ID;
use serde_json::{Value, json};

use super::{World, code, fixture, raw, same_shape};

/// The answer to an upload of these bytes.
fn post(world: &World, mime: &str, bytes: &[u8], product: bool) -> (u16, Value) {
    let mut form = Vec::new();
    if product {
        form.extend(b"--X\r\nContent-Disposition: form-data; name=\"messaging_product\"\r\n\r\nwhatsapp\r\n");
    }
    let head = format!(
        "--X\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a\"\r\nContent-Type: {mime}\r\n\r\n"
    );
    form.extend(head.bytes());
    form.extend(bytes);
    form.extend(b"\r\n--X--\r\n");
    let path = format!("/v25.0/{PHONE_NUMBER_ID}/media");
    let (status, body) = world.request("POST", &path, "multipart/form-data; boundary=X", &form);
    (status, serde_json::from_slice(&body).unwrap_or(Value::Null))
}

/// A medium for this kind of message.
pub fn upload(world: &World, kind: &str) -> String {
    let mime = match kind {
        "image" => "image/jpeg",
        "audio" => "audio/ogg",
        "video" => "video/mp4",
        "sticker" => "image/webp",
        _ => "application/pdf",
    };
    let (status, body) = post(world, mime, b"bytes of it", true);
    assert_eq!(status, 200, "{body}");
    body["id"].as_str().expect("an id").to_owned()
}

#[test]
fn a_medium_lives_from_its_upload_to_its_end() {
    let world = World::start();
    let id = upload(&world, "image");
    assert_eq!(world.send_kind("image", json!({ "id": id, "caption": "snap" })).0, 200);
    assert_eq!(code(&world.send_kind("video", json!({ "id": id }))), 131_053, "a picture is no video");

    let (_, shown) = world.call("GET", &format!("{id}?phone_number_id={PHONE_NUMBER_ID}"), None);
    let mut expected = fixture("responses/ok_media_get.json")["body"].clone();
    expected["file_size"] = shown["file_size"].clone(); // seen as a string and as a number
    same_shape(&expected, &shown, "a medium");
    assert_eq!(code(&world.call("GET", &format!("{id}?phone_number_id=1"), None)), 100);

    let preview = raw(&world.site.api(&format!("/_simulator/media/{id}")), "GET", &[], b"");
    assert_eq!(preview, (200, b"bytes of it".to_vec()), "the phone shows it without a token");
    let url = shown["url"].as_str().expect("a url");
    let right = [("Authorization", "Bearer token"), ("User-Agent", "test/1.0")];
    assert_eq!(raw(url, "GET", &right, b""), (200, b"bytes of it".to_vec()));
    assert_eq!(raw(url, "GET", &[("User-Agent", "test/1.0")], b"").0, 401);
    let forged = format!("{}0", &url[..url.len() - 1]);
    assert!(forged == url || raw(&forged, "GET", &right, b"").0 == 404);
    world.advance(301);
    assert_eq!(raw(url, "GET", &right, b"").0, 404, "a url is good for 5 minutes");
    let (_, again) = world.call("GET", &id, None);
    assert_eq!(raw(again["url"].as_str().expect("a url"), "GET", &right, b"").0, 200);

    assert_eq!(world.call("DELETE", &id, None), (200, json!({ "success": true })));
    assert_eq!(code(&world.call("GET", &id, None)), 100);
    let second = upload(&world, "image");
    world.advance(30 * 86_400);
    assert_eq!(code(&world.send_kind("image", json!({ "id": second }))), 131_053, "30 days");
}

#[test]
fn size_and_type_are_metas() {
    let world = World::start();
    const MB: usize = 1024 * 1024;
    for (mime, size, expected) in [
        ("image/jpeg", 5 * MB, 0),
        ("image/jpeg", 5 * MB + 1, 131_053),
        ("image/webp", 100 * 1024 + 1, 131_053),
        ("video/mp4", 16 * MB, 0),
        ("audio/mpeg", 16 * MB + 1, 131_053),
        ("application/pdf", 20 * MB, 0),
        ("image/gif", 10, 131_053),
        ("application/zip", 10, 131_053),
        ("image/png", 0, 131_053),
    ] {
        let answer = post(&world, mime, &vec![1; size], true);
        assert_eq!(code(&answer), expected, "{mime} {size}: {answer:?}");
    }
    assert_eq!(code(&post(&world, "image/png", b"x", false)), 100, "messaging_product is required");
    let (status, _) = world.request("POST", &format!("/v25.0/{PHONE_NUMBER_ID}/media"), "text/plain", b"x");
    assert_eq!(status, 400);
}

#[test]
fn a_fault_can_concern_media_alone() {
    let world = World::start();
    world.control("faults", &json!({ "on": "media", "code": 131_016, "status": 500, "count": 1 }));
    assert_eq!(world.text("not concerned").0, 200);
    assert_eq!(post(&world, "image/png", b"x", true).0, 500);
    assert_eq!(post(&world, "image/png", b"x", true).0, 200);
    let elsewhere = json!({ "Location": "http://127.0.0.1:9/" });
    world.control("faults", &json!({ "on": "node", "status": 302, "headers": elsewhere, "count": 1 }));
    let agent: ureq::Agent =
        ureq::Agent::config_builder().http_status_as_error(false).max_redirects(0).build().into();
    let url = world.site.api(&format!("/v25.0/{PHONE_NUMBER_ID}"));
    let answer = agent.get(url).header("Authorization", "Bearer token").call().expect("an answer");
    assert_eq!(
        (answer.status().as_u16(), &answer.headers()["location"]),
        (302, &"http://127.0.0.1:9/".parse().unwrap())
    );
}

#[test]
fn what_a_person_sends_can_be_fetched() {
    let world = World::start();
    let (message, _) = world.reply(json!({ "phone_number_id": PHONE_NUMBER_ID, "image": "aGVsbG8=",
                                           "mime_type": "image/png", "caption": "the meter" }));
    let expected = fixture("webhooks/messages/image.json");
    let expected = &expected["entry"][0]["changes"][0]["value"]["messages"][0]["image"];
    same_shape(expected, &message["image"], "an image");
    assert_eq!(message["image"]["caption"], "the meter");
    assert_eq!(message["image"]["sha256"], "LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ=");
    let right = [("Authorization", "Bearer token"), ("User-Agent", "test/1.0")];
    let url = message["image"]["url"].as_str().expect("a url");
    assert_eq!(raw(url, "GET", &right, b""), (200, b"hello".to_vec()));
    let (liar, _) = world.reply(json!({ "image": "aGVsbG8=", "sha256": "bm90IGl0" }));
    assert_eq!(liar["image"]["sha256"], "bm90IGl0", "a digest that the bytes do not have");
    world.advance(7 * 86_400);
    let id = message["image"]["id"].as_str().expect("an id");
    assert_eq!(code(&world.call("GET", id, None)), 100, "7 days");
}
