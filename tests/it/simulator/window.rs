use bellwire_tests::PHONE_NUMBER_ID;
use serde_json::{Value, json};

use super::{World, code, fixture};

#[test]
fn nothing_is_enforced_that_was_not_asked_for() {
    let world = World::start();
    assert_eq!(world.look("window")["enforce"], false);
    assert_eq!(world.look("limits"), json!({ "pair": false, "throughput": true, "form": "direct" }));
    for number in 0..60 {
        assert_eq!(world.text(&number.to_string()).0, 200);
    }
}

#[test]
fn a_persons_message_opens_the_window_for_a_day() {
    let world = World::start();
    world.control("window", &json!({ "enforce": true }));
    let refused = world.text("too early");
    assert_eq!(code(&refused), 131_047);
    let expected = &fixture("responses/err_131047_window.json")["body"]["error"];
    assert_eq!(refused.1["error"]["error_data"], expected["error_data"]);
    assert_eq!(refused.1["error"]["message"], expected["message"]);
    let hello = json!({ "name": "hello_world", "language": { "code": "en_US" } });
    assert_eq!(world.send_kind("template", hello).0, 200, "templates need no window");

    let write = |body: Value| {
        let mut body = body;
        body["phone_number_id"] = json!(PHONE_NUMBER_ID);
        world.reply(body);
    };
    write(json!({ "reaction": "👍" }));
    assert_eq!(code(&world.text("a reaction opens nothing unless it is told to")), 131_047);
    write(json!({ "text": "hello" }));
    assert_eq!(world.text("now").0, 200);
    assert_eq!(world.look("window")["open"][0]["wa_id"], "995555123456");
    let path = format!("/v25.0/{}/messages", "1");
    let body = json!({ "messaging_product": "whatsapp", "to": super::NINO, "text": { "body": "x" } });
    let (status, _) = world.request("POST", &path, "application/json", body.to_string().as_bytes());
    assert_eq!(status, 400, "another number has its own window");
    world.advance(86_390);
    assert_eq!(world.text("just in time").0, 200);
    world.advance(10);
    assert_eq!(code(&world.text("too late")), 131_047);

    world.control("window", &json!({ "form": "later" }));
    let (status, answer) = world.text("accepted first");
    assert_eq!(status, 200);
    let failed = world.status(&answer["messages"][0]["id"], "failed");
    let expected = fixture("webhooks/statuses/failed_131047.json");
    let expected = &expected["entry"][0]["changes"][0]["value"]["statuses"][0]["errors"];
    assert_eq!(failed["statuses"][0]["errors"], *expected);
    world.control("window", &json!({ "reaction_opens": true }));
    write(json!({ "reaction": "👍" }));
    let (_, answer) = world.text("open again");
    world.status(&answer["messages"][0]["id"], "delivered");
}

#[test]
fn the_pair_limit_lends_45_and_recovers_slowly() {
    let world = World::start();
    world.control("limits", &json!({ "pair": true, "throughput": false }));
    let begin = std::time::Instant::now();
    let burst = (0..60).take_while(|number: &i32| world.text(&number.to_string()).0 == 200).count();
    // A slow machine earns one back in each 6 s that it takes.
    let earned = usize::try_from(begin.elapsed().as_secs() / 6).unwrap() + 1;
    assert!((45..=45 + earned).contains(&burst), "{burst}");
    let refused = world.text("too many");
    let expected = &fixture("responses/err_131056_pair.json")["body"]["error"];
    assert_eq!((refused.0, &refused.1["error"]["message"]), (400, &expected["message"]));
    assert_eq!(refused.1["error"]["error_data"], expected["error_data"]);
    world.advance(6);
    assert_eq!(world.text("one more").0, 200);
    assert_eq!(code(&world.text("and no other")), 131_056);
    world.control("window", &json!({ "enforce": true }));
    world.advance(6);
    assert_eq!(code(&world.text("outside the window")), 131_047);
    world.control("window", &json!({ "enforce": false }));
    assert_eq!(world.text("a refused message used up nothing").0, 200);
    world.control("limits", &json!({ "form": "later" }));
    let (_, answer) = world.text("accepted first");
    let failed = world.status(&answer["messages"][0]["id"], "failed");
    assert_eq!(failed["statuses"][0]["errors"][0]["code"], 131_056);
}

#[test]
fn a_number_sends_80_a_second() {
    let world = World::start();
    world.control("limits", &json!({ "throughput": true }));
    // More than two seconds' worth, as fast as it goes: some are over the limit, or the machine is slower than the limit.
    let begin = std::time::Instant::now();
    let codes: Vec<i64> = (0..200).map(|number| code(&world.text(&number.to_string()))).collect();
    let refused = codes.iter().filter(|code| **code == 130_429).count();
    assert_eq!(codes.iter().filter(|code| **code != 0).count(), refused);
    let seconds = begin.elapsed().as_secs() as usize + 2;
    assert!(codes.len() - refused <= 80 * seconds, "{refused} refused in {seconds} s");
}

#[test]
fn the_clock_moves_and_is_told() {
    let world = World::start();
    let before = world.look("clock");
    assert_eq!(before["ahead_s"], 0);
    world.advance(7_200);
    let after = world.look("clock");
    assert_eq!(after["ahead_s"], 7_200);
    assert!(after["now"].as_str() > before["now"].as_str());
}
