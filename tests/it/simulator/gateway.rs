use bellwire_tests::{
    Broker, Gateway, PHONE_NUMBER_ID, Simulator, Site, Subscriber, post_json, publish, wait_for,
};
use serde_json::{Value, json};

use super::{NINO, fixture};

#[test]
fn the_gateway_accepts_every_simulated_webhook() {
    let broker = Broker::start();
    let site = Site::new(broker.port, crate::round_trip::FREEZER);
    let (_simulator, mut gateway) = (Simulator::start(&site), Gateway::start(&site));
    let device = Subscriber::start(broker.port, "site/+/freezer/+/set");
    let control = |path: &str, body: &Value| {
        let (status, answer) = post_json(&site.api(&format!("/_simulator/{path}")), body);
        assert_eq!(status, 200, "{path} {body}: {answer}");
        answer
    };
    publish(broker.port, "site/bar/freezer/2/temperature", br#"{"celsius": -12.5}"#);
    assert_eq!(site.wait_sent(1).len(), 1);

    for body in [
        json!({ "image": "aGVsbG8=", "caption": "the meter" }),
        json!({ "reaction": "👍" }),
        json!({ "location": { "latitude": 1.5, "longitude": 2.5 } }),
        json!({ "unsupported": "poll_creation" }),
        json!({ "request_welcome": true }),
        json!({ "raw": { "type": "from_the_future" } }),
    ] {
        let mut body = body;
        body["from"] = json!(NINO);
        control("reply", &body);
    }
    for folder in ["fields", "messages", "statuses", "batches"] {
        let path = format!("{}/fixtures/cloud-api/webhooks/{folder}", env!("CARGO_MANIFEST_DIR"));
        for file in std::fs::read_dir(path).expect("a folder") {
            let name = file.expect("a file").file_name().to_string_lossy().into_owned();
            let body = fixture(&format!("webhooks/{folder}/{name}"));
            let answer = control("webhook", &json!({ "body": body }));
            assert_eq!(answer, json!({ "status": 200 }), "{name}");
        }
    }
    let load = json!({ "unknown": 1_000, "phone_number_id": PHONE_NUMBER_ID });
    let answer = control("statuses", &load);
    assert_eq!((&answer["posts"], &answer["taken"]), (&json!(2), &json!(2)), "{answer}");

    control("reply", &json!({ "from": NINO, "tap": "Stop defrost" }));
    wait_for(20, "the command", || (!device.messages().is_empty()).then_some(()));
    assert!(gateway.is_running());
}
