//! A device with a queue in flash that is given another name says what it kept under the one before.

use std::convert::Infallible;

use embedded_svc::mqtt::client::EventPayload;
use firmware_bridge::client::{Device, OLD_HELLOS_MAX};
use firmware_bridge::flash::FlashQueue;
use firmware_bridge::gateway::Link;
use firmware_bridge::message::Hello;
use firmware_bridge::mqtt::Mqtt;
use firmware_bridge::{Client, Event, Kind};

use crate::flash::Flash;
use crate::session::{Broker, DEVICE, at, event, talk};

type Kept = Client<'static, FlashQueue<Flash<4>, 96>, 256>;

const OTHER: Device<'_> = Device { id: "freezer-9", ..DEVICE };

fn start(device: Device<'static>, flash: &Flash<4>) -> Kept {
    Client::new(device, FlashQueue::open(flash.clone()).unwrap()).unwrap()
}

/// The gateways of both names, by turns with the one that is spoken to.
fn talk_to(client: &mut Kept, links: &mut [Link; 2], now: u64) -> [Vec<Event>; 2] {
    let mut counted = [Vec::new(), Vec::new()];
    for _ in 0..10 {
        let is_other = usize::from(client.name() == OTHER.id);
        counted[is_other].extend(talk(client, &mut links[is_other], now));
    }
    counted
}

#[test]
fn kept_events_count_once_under_the_old_name() {
    let (flash, mut links) = (Flash::<4>::new(6, 1), [Link::default(), Link::default()]);
    let mut client = start(DEVICE, &flash);
    talk(&mut client, &mut links[0], 0);
    for number in 1..=3 {
        client.event(&event(number), 0).unwrap();
    }
    // The gateway counts all three, and the device never hears of it; three more were never said.
    while let Some((kind, message)) = client.poll(0).map(|said| (said.kind, said.message.to_vec())) {
        assert_eq!(kind, Kind::Event);
        let at = Event::decode(&message).unwrap().position();
        let _ = links[0].event(at);
        let _ = links[0].committed(at);
    }
    for number in 4..=6 {
        client.event(&event(number), 0).unwrap();
    }

    let mut client = start(OTHER, &flash);
    assert_eq!((client.name(), client.id()), ("freezer-2", "freezer-9"));
    client.event(&event(7), 10).unwrap();
    let [before, after] = talk_to(&mut client, &mut links, 10);
    assert_eq!((client.name(), client.queued()), ("freezer-9", 0));
    assert_eq!((at(&before), at(&after)), (vec![(1, 4), (1, 5), (1, 6)], vec![(2, 1)]));

    // What was let go lies in the flash still, and is not said again under the new name.
    let mut client = start(OTHER, &flash);
    client.event(&event(8), 20).unwrap();
    let [before, after] = talk_to(&mut client, &mut links, 20);
    assert_eq!((at(&before), at(&after)), (vec![], vec![(3, 1)]));
}

#[test]
fn an_unanswered_old_name_is_given_up() {
    let (flash, mut link) = (Flash::<4>::new(6, 1), Link::default());
    start(DEVICE, &flash).event(&event(1), 0).unwrap();
    let mut client = start(OTHER, &flash);
    let mut names = Vec::new();
    for now in (0..3_600_000).step_by(1_000) {
        while let Some(message) = client.poll(now).map(|said| said.message.to_vec()) {
            names.push(Hello::decode(&message).unwrap().device.to_owned());
        }
    }
    let old = names.iter().take_while(|name| *name == "freezer-2").count();
    assert_eq!(old, usize::from(OLD_HELLOS_MAX), "{names:?}");
    assert!(names[old..].iter().all(|name| name == "freezer-9") && names.len() > old, "{names:?}");
    assert_eq!(at(&talk(&mut client, &mut link, 4_000_000)), [(1, 1)]);
}

#[test]
fn mqtt_uses_the_old_and_the_new_name_in_turn() {
    let flash = Flash::<4>::new(6, 1);
    start(DEVICE, &flash).event(&event(1), 0).unwrap();
    let mut client = start(OTHER, &flash);
    let (mut mqtt, mut broker) = (Mqtt::default(), Broker::default());
    mqtt.receive(&mut client, &EventPayload::<Infallible>::Connected(false), 0);
    mqtt.subscribe(&client, &mut broker).unwrap();
    assert_eq!(broker.subscribed.len(), 8);
    assert!(broker.subscribed.contains(&"bellwire/device/freezer-9/welcome".to_owned()));
    mqtt.send(&mut client, &mut broker, 0).unwrap();
    assert_eq!(broker.published.last().unwrap().0, "bellwire/device/freezer-2/hello");
    let counted = talk(&mut client, &mut Link::default(), 5_000);
    assert_eq!(at(&counted), [(1, 1)]);
    mqtt.send(&mut client, &mut broker, 70_000).unwrap();
    assert_eq!(broker.published.last().unwrap().0, "bellwire/device/freezer-9/hello");
}
