//! A Sparkplug node whose birth was not heard is asked for it, and its next data count.

use bellwire_tests::{Broker, Gateway, Simulator, Site, Subscriber, publish, wait_for};

const RULES: &str = r#"
[[contact]]
id = "nino"
phone = "+995 555 12 34 56"
[[rule]]
name = "tank"
topic = "spBv1.0/{group}/{type}/{node}"
key = ["group", "node"]
payload = "sparkplug"
when = "payload.metrics.Level > 90"
message = "{{ node }} is at {{ payload.metrics.Level }} %"
notify = ["nino"]
"#;

/// A field of Protocol Buffers: a number, or bytes with their length.
enum Field<'a> {
    Number(u8, u8),
    Bytes(u8, &'a [u8]),
}

fn encoded(fields: &[Field]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for field in fields {
        match field {
            Field::Number(tag, number) => bytes.extend([tag << 3, *number]),
            Field::Bytes(tag, of) => {
                bytes.extend([tag << 3 | 2, u8::try_from(of.len()).expect("short")]);
                bytes.extend(*of);
            }
        }
    }
    bytes
}

#[test]
fn a_node_whose_birth_was_missed_is_asked_for_it() {
    let broker = Broker::start();
    let site = Site::new(broker.port, RULES);
    let (_simulator, _gateway) = (Simulator::start(&site), Gateway::start(&site));
    let subscribed = || site.log().contains("the broker has answered all subscriptions");
    wait_for(10, "the subscriptions", || subscribed().then_some(()));
    let asked = Subscriber::start_with(broker.port, "spBv1.0/plant/NCMD/edge", &["-F", "%t QoS %q %x"]);
    // sparkplug_b.proto: metrics are field 2 and seq is 3; of a metric the name is 1, alias 2, datatype 4 (3 is Int32), int_value 10.
    let data = |seq, level| {
        let metric = encoded(&[Field::Number(2, 1), Field::Number(10, level)]);
        encoded(&[Field::Bytes(2, &metric), Field::Number(3, seq)])
    };
    publish(broker.port, "spBv1.0/plant/NDATA/edge", &data(7, 91));
    let asked = wait_for(10, "the request", || asked.messages().first().cloned());
    let name: String = b"Node Control/Rebirth".iter().map(|byte| format!("{byte:02x}")).collect();
    assert!(
        asked.to_lowercase().contains(&name) && asked.ends_with("7001"),
        "boolean_value is true: {asked}"
    );
    assert!(asked.contains("QoS 0"), "as Sparkplug 3.0.0 wants it (tck-id-payloads-ncmd-qos): {asked}");
    assert!(site.sent().is_empty(), "a number without a name says nothing");
    let born = encoded(&[
        Field::Bytes(1, b"Level"),
        Field::Number(2, 1),
        Field::Number(4, 3),
        Field::Number(10, 50),
    ]);
    let born = encoded(&[Field::Bytes(2, &born), Field::Number(3, 0)]);
    publish(broker.port, "spBv1.0/plant/NBIRTH/edge", &born);
    publish(broker.port, "spBv1.0/plant/NDATA/edge", &data(1, 95));
    let sent = site.wait_sent(1);
    assert!(sent[0]["text"].as_str().is_some_and(|text| text.starts_with("edge is at 95 %")), "{sent:?}");
}
