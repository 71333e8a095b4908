//! What the example for the ESP32 does without ESP-IDF.

use std::convert::Infallible;

use embedded_svc::mqtt::client::EventPayload;
use firmware_bridge::RamQueue;
use firmware_bridge::flash::FlashQueue;
use firmware_bridge::testing::{Flash, Gateway};

use crate::session::Broker;

#[path = "../../examples/esp32/src/freezer.rs"]
mod freezer;

use freezer::{Freezer, NAME};

const MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];
const CONNECTED: EventPayload<'_, Infallible> = EventPayload::Connected(false);

#[test]
fn the_example_subscribes_before_it_speaks_and_obeys() {
    let mut freezer = Freezer::new(RamQueue::<1024>::new(), 7, &MAC).unwrap();
    let (mut broker, mut gateway) = (Broker::default(), Gateway::new());
    let due = freezer.turn(&mut broker, 0).unwrap();
    assert_eq!((due, broker.published.len()), (0, 0), "nothing goes without a connection");
    freezer.arrived(&CONNECTED, 10);
    freezer.turn(&mut broker, 10).unwrap();
    assert_eq!(broker.subscribed.len(), 4);
    assert_eq!(broker.published[0].0, format!("bellwire/device/{NAME}/hello"));

    gateway.talk(&mut freezer.bridge, 2_000, |_| {});
    gateway.command("defrost", br#"{"defrost": true}"#, 2_000).unwrap();
    gateway.talk(&mut freezer.bridge, 2_000, |_| {});
    freezer.turn(&mut broker, 2_010).unwrap();
    assert!(freezer.defrosts);
    assert_eq!(broker.published[1].0, format!("bellwire/device/{NAME}/result"));
}

#[test]
fn the_example_keeps_what_it_measured_over_a_power_cut() {
    let mut flash = Flash::<2048>::new();
    let mut freezer = Freezer::new(FlashQueue::<_, 256>::open(&mut flash).unwrap(), 7, &MAC).unwrap();
    assert!(freezer.measured(-9.5, 0) && freezer.measured(-9.0, 10_000));
    drop(freezer);
    let mut freezer = Freezer::new(FlashQueue::<_, 256>::open(&mut flash).unwrap(), 8, &MAC).unwrap();
    let mut counted = 0;
    Gateway::new().talk(&mut freezer.bridge, 0, |_| counted += 1);
    assert_eq!(counted, 2);
}
