//! What a number was: the picture that an alert carries, above buttons and templates too.

use bellwire_tests::{Broker, Gateway, PHONE_NUMBER_ID, Simulator, Site, post_json, publish, wait_for};
use serde_json::{Value, json};

const TOPIC: &str = "site/bar/freezer/2/temperature";

fn rules(more: &str) -> String {
    format!(
        "business_account_id = \"900000000000001\"\n[[contact]]\nid = \"nino\"\nphone = \"+995 555 12 34 56\"\n\
         [[contact]]\nid = \"giorgi\"\nphone = \"+995 555 65 43 21\"\n[[rule]]\nname = \"freezer\"\n\
         topic = \"site/{{area}}/freezer/{{unit}}/temperature\"\nwhen = \"value > -15\"\nresolve_when = \"value < -17\"\n\
         value = \"payload.celsius\"\nchart = \"6h\"\nmessage = \"Freezer {{{{ unit }}}} is at {{{{ value }}}} °C\"\n\
         notify = [\"nino\", \"giorgi\"]\n{more}"
    )
}

fn warm_up(port: u16) {
    for celsius in ["-18.2", "-18.1", "-17.9", "-12.5"] {
        publish(port, TOPIC, format!("{{\"celsius\": {celsius}}}").as_bytes());
    }
}

/// The bytes that were uploaded under this id.
fn uploaded(site: &Site, id: &Value) -> Vec<u8> {
    let id = id.as_str().expect("an id");
    let mut answer = ureq::get(site.api(&format!("/_simulator/media/{id}"))).call().expect("the file");
    answer.body_mut().read_to_vec().expect("its bytes")
}

fn kept(site: &Site) -> Vec<u8> {
    site.database().query_row("SELECT bytes FROM media", [], |row| row.get(0)).expect("one picture")
}

#[test]
fn an_alert_carries_a_chart_that_survives_a_restart() {
    let broker = Broker::start();
    let site = Site::new(broker.port, &rules(""));
    let (_simulator, gateway) = (Simulator::start(&site), Gateway::start(&site));
    warm_up(broker.port);
    let sent = site.wait_sent(2);
    assert_eq!((&sent[0]["type"], &sent[1]["type"]), (&json!("image"), &json!("image")), "{sent:#?}");
    assert!(sent[0]["body"]["image"]["caption"].as_str().unwrap().starts_with("Freezer 2 is at -12.5 °C"));
    let [bytes, other] = [0, 1].map(|one| uploaded(&site, &sent[one]["body"]["image"]["id"]));
    assert_eq!(bytes, other, "one picture for both");
    assert_eq!(&bytes[..24], b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR\0\0\x03\x20\0\0\x01\xa2", "800 by 418");
    assert_eq!(bytes, kept(&site));

    // What the alert came from is on disk with it, whatever becomes of the process.
    gateway.kill();
    let points = "SELECT json_array_length(state, '$.points') FROM alert_memory WHERE kind = 'curve'";
    assert_eq!(site.count(points), 1, "within a minute");
    let _gateway = Gateway::start(&site);
    publish(broker.port, TOPIC, br#"{"celsius": -18}"#);
    let over = site.wait_sent(4);
    assert_eq!(over[2]["type"], "text", "{:#?}", over[2]);
    let lowest = "SELECT json_extract(state, '$.points[0][2]') > -18.3 AND json_extract(state, '$.points[0][3]') = -12.5
                  FROM alert_memory WHERE kind = 'curve'";
    assert_eq!(site.count(lowest), 1, "lowest and highest of before go on");
}

#[test]
fn the_picture_stands_above_buttons_and_in_a_templates_header() {
    let broker = Broker::start();
    let template = "buttons = [\"acknowledge\"]\n\
                    template = { name = \"pictured\", language = \"en\", parameters = [\"{{ text }}\"], header_file = true }\n";
    let site = Site::new(broker.port, &rules(template));
    let _simulator = Simulator::start(&site);
    let control = |path: &str, body: Value| {
        assert_eq!(post_json(&site.api(&format!("/_simulator/{path}")), &body).0, 200);
    };
    control("window", json!({ "enforce": true }));
    let header = json!({ "type": "HEADER", "format": "IMAGE" });
    let body = json!({ "type": "BODY", "text": "This just happened: {{1}}. Please look." });
    control(
        "templates",
        json!({ "name": "pictured", "language": "en", "parameter_format": "POSITIONAL", "components": [header, body] }),
    );
    let _gateway = Gateway::start(&site);
    wait_for(10, "the catalogue", || (site.count("SELECT count(*) FROM template") >= 1).then_some(()));
    control("reply", json!({ "from": "+995555123456", "text": "hello", "phone_number_id": PHONE_NUMBER_ID }));
    wait_for(10, "Nino's window", || (site.count("SELECT count(*) FROM window") == 1).then_some(()));
    warm_up(broker.port);
    let sent = site.wait_sent(2);
    let of = |to: &str| &sent.iter().find(|one| one["to"] == to).expect(to)["body"];
    let (open, closed) = (of("+995555123456"), of("+995555654321"));
    let above = &open["interactive"]["header"]["image"]["id"];
    assert_eq!(uploaded(&site, above), kept(&site), "{open:#?}");
    let header = &closed["template"]["components"][0];
    assert_eq!(header["type"], "header", "{closed:#?}");
    assert_eq!(uploaded(&site, &header["parameters"][0]["image"]["id"]), kept(&site));
}

#[test]
fn a_picture_that_cannot_be_uploaded_holds_no_words_back() {
    let broker = Broker::start();
    let site = Site::new(broker.port, &rules(""));
    let (_simulator, _gateway) = (Simulator::start(&site), Gateway::start(&site));
    site.fault(&json!({ "on": "media", "code": 131_016, "status": 500, "count": 100 }));
    let began = std::time::Instant::now();
    warm_up(broker.port);
    let sent = site.wait_sent(2);
    assert!(began.elapsed() < std::time::Duration::from_secs(10), "{:?}", began.elapsed());
    for one in &sent {
        let text = one["text"].as_str().unwrap();
        assert!(one["type"] == "text" && text.starts_with("Freezer 2 is at -12.5 °C"), "{one:#?}");
        assert!(text.contains("(no picture: "), "{text}");
    }
}
