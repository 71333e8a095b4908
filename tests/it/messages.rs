//! The examples of docs/messages.md, sent as a reader would.

use bellwire_tests::{Broker, Gateway, Simulator, Site, bellwire};
use serde_json::json;

/// What each example becomes, in the order of the page.
const KINDS: [&str; 16] = [
    "button",
    "text",
    "image",
    "video",
    "audio",
    "document",
    "sticker",
    "location",
    "contacts",
    "reaction",
    "list",
    "cta_url",
    "location_request_message",
    "request_contact_info",
    "flow",
    "template",
];

#[test]
fn every_example_of_a_message_is_taken() {
    let page =
        std::fs::read_to_string(format!("{}/../docs/messages.md", env!("CARGO_MANIFEST_DIR"))).unwrap();
    let examples: Vec<&str> =
        page.split("```json\n").skip(1).filter_map(|rest| rest.split("\n```").next()).collect();
    assert_eq!(examples.len(), KINDS.len(), "one for each kind");
    let broker = Broker::start();
    let site = Site::new(broker.port, crate::round_trip::FREEZER);
    let (_simulator, _gateway) = (Simulator::start(&site), Gateway::start(&site));
    for (number, (example, kind)) in examples.iter().zip(KINDS).enumerate() {
        let file = site.path().join("message.json");
        std::fs::write(&file, example).unwrap();
        let config = site.config();
        let (file, config) = (file.to_string_lossy(), config.to_string_lossy());
        let output = bellwire(&["send", "--to", "nino", "--content", &file, "--config", &config]);
        assert!(output.status.success(), "{example}: {}", String::from_utf8_lossy(&output.stderr));
        let sent = site.wait_sent(number + 1);
        let body = &sent[number]["body"];
        let found = match body["type"].as_str() {
            Some("interactive") => &body["interactive"]["type"],
            _ => &body["type"],
        };
        assert_eq!(found, kind, "{example}: {body:#}");
    }
    let mistake = site.path().join("message.json");
    std::fs::write(&mistake, json!({ "text": "x", "part": { "imagee": {} } }).to_string()).unwrap();
    let output = bellwire(&[
        "send",
        "--to",
        "nino",
        "--content",
        &mistake.to_string_lossy(),
        "--config",
        &site.config().to_string_lossy(),
    ]);
    assert_eq!(output.status.code(), Some(64));
    assert!(String::from_utf8_lossy(&output.stderr).contains("docs/messages.md"));
}
