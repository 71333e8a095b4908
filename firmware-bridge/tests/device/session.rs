use std::convert::Infallible;

use crate::flash::{Flash, PAGE};
use embedded_svc::mqtt::client::{
    self, Details, Enqueue, EventPayload, InitialChunkData, MessageId, QoS, SubsequentChunkData,
};
use firmware_bridge::client::{Client, Device, Refusal, SetupError};
use firmware_bridge::count::Count;
use firmware_bridge::flash::FlashQueue;
use firmware_bridge::gateway::{Gap, Greeting, Link, NotNow, Saved, Verdict};
use firmware_bridge::message::{Ack, Command, Hello, Welcome};
use firmware_bridge::mqtt::Mqtt;
use firmware_bridge::{Event, Field, Kind, Outcome, Position, Queue, RamQueue, Value};

pub const DEVICE: Device<'_> =
    Device { id: "freezer-2", firmware: "test", commands: &["defrost"], seed: 0x1234_5678 };
/// 2026, in milliseconds.
const UNIX_MS: u64 = 1_790_000_000_000;

type Small = Client<'static, RamQueue<160>, 256>;

pub fn event(number: i64) -> [Field; 1] {
    [Field::new("n", Value::Integer(number)).unwrap()]
}

/// A line without faults and a gateway that commits at once: all that either has to say, at one instant and under one name.
pub fn talk<Q: Queue>(client: &mut Client<'_, Q, 256>, link: &mut Link, now: u64) -> Vec<Event> {
    let mut events = Vec::new();
    let mut buffer = [0; 256];
    let name = client.name().to_owned();
    while client.name() == name
        && let Some((kind, message)) = client.poll(now).map(|said| (said.kind, said.message.to_vec()))
    {
        match kind {
            Kind::Hello => {
                let hello = Hello::decode(&message).unwrap();
                let answer = match link.hello(&hello, 0, UNIX_MS + now) {
                    Greeting::Wait => continue,
                    Greeting::Known(answer) => answer,
                    Greeting::Save { saved, answer, .. } => {
                        link.greeted(saved);
                        answer
                    }
                };
                let welcome = answer.welcome(hello.token, UNIX_MS + now);
                client.receive(Kind::Welcome, welcome.encode(&mut buffer).unwrap(), now);
            }
            Kind::Event => {
                let event = Event::decode(&message).unwrap();
                let at = event.position();
                let ack = match link.event(at) {
                    Verdict::Take(_) => {
                        events.push(event);
                        link.committed(at)
                    }
                    Verdict::Again(ack) | Verdict::OutOfOrder(ack) => ack,
                    Verdict::Wait => panic!("it commits at once"),
                };
                client.receive(Kind::Ack, ack.encode(&mut buffer).unwrap(), now);
            }
            Kind::Result | Kind::Welcome | Kind::Ack | Kind::Command | Kind::Version => panic!("{kind:?}"),
        }
    }
    events
}

pub fn at(events: &[Event]) -> Vec<(u32, u32)> {
    events.iter().map(|event| (event.boot, event.sequence)).collect()
}

#[test]
fn a_replacement_board_continues_after_the_old_positions() {
    let old = Saved::new(500, Position { boot: 500, sequence: 20 });
    for queue in [RamQueue::with_boot(1), RamQueue::with_boot(500), RamQueue::new()] {
        let mut link = Link::new(old.clone(), None, 0);
        let mut client = Small::new(DEVICE, queue).unwrap();
        (1..=3).for_each(|number| assert!(client.event(&event(number), 0).is_ok()));
        assert_eq!(at(&talk(&mut client, &mut link, 10)), [(501, 1), (501, 2), (501, 3)]);
        assert_eq!((client.queued(), client.boot()), (0, Some(501)));
    }
}

#[test]
fn a_full_queue_refuses_and_counts_and_takes_events_again() {
    let mut client = Small::new(DEVICE, RamQueue::new()).unwrap();
    let mut accepted = 0;
    while client.event(&event(accepted), 0).is_ok() {
        accepted += 1;
    }
    assert_eq!(client.event(&event(0), 0), Err(Refusal::Full));
    assert_eq!((client.counters().refused(), client.queued()), (2, accepted as usize));
    let mut link = Link::default();
    assert_eq!(talk(&mut client, &mut link, 10).len(), accepted as usize);
    assert_eq!(client.event(&event(99), 20), Ok(accepted as u32 + 1));
    let thirteen: Vec<Field> = (0..13).flat_map(event).collect();
    assert_eq!(client.event(&thirteen, 20), Err(Refusal::TooLarge));
    let long = [Field::text("a", &"x".repeat(64)).unwrap(), Field::text("b", &"y".repeat(64)).unwrap()];
    assert_eq!(client.event(&[&long[..], &long[..]].concat(), 20), Err(Refusal::TooLarge));
    assert_eq!(client.counters().get(Count::RefusedTooLarge), 2);
    let told =
        format!("accepted {0}, acknowledged {accepted}, refused-full 2, refused-too-large 2", accepted + 1);
    assert_eq!(client.counters().to_string(), told);
}

#[test]
fn an_event_carries_the_time_it_happened() {
    let mut client = Small::new(DEVICE, RamQueue::with_boot(3)).unwrap();
    let when = |event: &Event| {
        let at = event.fields.iter().find(|field| field.name == "at_ms").map(|field| &field.value);
        let Some(Value::Integer(at)) = at else { panic!("{event:?}") };
        *at as u64 - UNIX_MS
    };
    client.event(&event(1), 1_000).unwrap(); // before the time is known
    let mut link = Link::default();
    let first = talk(&mut client, &mut link, 50_000);
    client.event(&event(2), 60_000).unwrap();
    let second = talk(&mut client, &mut link, 90_000);
    assert_eq!((when(&first[0]), when(&second[0])), (1_000, 60_000));
    let own = [Field::new("at_ms", Value::Integer(5)).unwrap()];
    client.event(&own, 90_000).unwrap();
    assert_eq!(talk(&mut client, &mut link, 90_000)[0].fields.as_slice(), own);
}

#[test]
fn a_gateway_from_an_old_backup_reports_the_gap() {
    let mut client = Small::new(DEVICE, RamQueue::with_boot(1)).unwrap();
    let mut link = Link::default();
    (1..=4).for_each(|number| assert!(client.event(&event(number), 0).is_ok()));
    assert_eq!(talk(&mut client, &mut link, 0).len(), 4);
    let counted = Position { boot: 1, sequence: 2 };
    let mut old = Link::new(Saved::new(1, counted), None, 0);
    client.event(&event(5), 0).unwrap();
    client.connected();
    let hello = client.poll(100).unwrap().message.to_vec();
    let hello = Hello::decode(&hello).unwrap();
    let before = Position { boot: 1, sequence: 5 };
    let Greeting::Save { gap, saved, .. } = old.hello(&hello, 0, UNIX_MS) else { panic!("nothing to save") };
    assert_eq!(gap, Some(Gap { after: counted, before }));
    old.greeted(saved);
    assert_eq!(at(&talk(&mut client, &mut old, 5_000)), [(1, 5)]);
}

/// A bit of the kept events goes bad: the ones behind it on that page are lost, which the gateway hears of at once, and
/// all others are counted.
#[test]
fn bad_flash_costs_a_page_and_not_the_rest() {
    let flash = Flash::<4>::new(6, 1);
    let start = || Client::<_, 256>::new(DEVICE, FlashQueue::<_, 128>::open(flash.clone()).unwrap()).unwrap();
    let mut client = start();
    let mut link = Link::default();
    talk(&mut client, &mut link, 0);
    for number in 1..=20 {
        client.event(&event(number), 0).unwrap();
    }
    flash.rot(3 * PAGE + 20); // the first event of the ring's second page
    let mut client = start();
    let mut counted = Vec::new();
    for now in (0..20_000).step_by(500) {
        counted.extend(talk(&mut client, &mut link, now));
    }
    let on_page = PAGE as u32 / 32; // a head of 16, a moment of 8, fields of 5, and 3 to the next write unit
    let lost = on_page + 1..=2 * on_page;
    let expected: Vec<_> = (1..=20).filter(|n| !lost.contains(n)).map(|sequence| (1, sequence)).collect();
    assert_eq!((at(&counted), client.queued()), (expected, 0));
}

#[test]
fn a_command_is_obeyed_once_and_in_time() {
    let mut client = Small::new(DEVICE, RamQueue::with_boot(1)).unwrap();
    let mut link = Link::default();
    assert_eq!(link.begin(1, UNIX_MS), Err(NotNow::Unknown));
    talk(&mut client, &mut link, 0);
    let mut buffer = [0; 200];
    let mut give = |client: &mut Small, id, boot, expires, now| {
        let command =
            Command { boot, id, expires_at_ms: UNIX_MS + expires, name: "defrost", payload: b"off" };
        client.receive(Kind::Command, command.encode(&mut buffer).unwrap(), now);
    };
    give(&mut client, 5, 1, 10_000, 1_000);
    give(&mut client, 5, 1, 10_000, 1_100);
    assert_eq!(client.command_to_obey(1_200).map(|command| (command.id, command.name)), Some((5, "defrost")));
    assert_eq!(client.command_to_obey(1_200), None);
    assert!(client.answer(5, Outcome::Done, &"ჰ".repeat(40))); // cut between letters: 21 of 3 bytes
    assert!(!client.answer(5, Outcome::Refused, ""));
    give(&mut client, 4, 1, 10_000, 1_300); // late
    give(&mut client, 6, 2, 10_000, 1_300); // for another start
    give(&mut client, 7, 1, 1_400, 1_390); // too late, as far as one can know
    give(&mut client, 8, 1, 2_000, 1_400);
    assert_eq!(client.command_to_obey(2_000), None); // in time, but asked for too late
    let counted = [Count::CommandRepeated, Count::CommandForeign, Count::CommandExpired];
    assert_eq!(counted.map(|count| client.counters().get(count)), [2, 1, 2]);
}

#[test]
fn foreign_messages_are_counted_and_ignored() {
    let mut client = Small::new(DEVICE, RamQueue::with_boot(1)).unwrap();
    let mut link = Link::default();
    talk(&mut client, &mut link, 0);
    let mut buffer = [0; 64];
    client.receive(Kind::Version, &[2], 0);
    client.receive(Kind::Ack, &[2, 0, 0], 0);
    client.receive(Kind::Ack, &[1, 0], 0);
    client.receive(Kind::Hello, &[1], 0);
    let ack = Ack { counted: Position { boot: 1, sequence: 9 } };
    client.receive(Kind::Ack, ack.encode(&mut buffer).unwrap(), 0);
    let welcome = Welcome { token: 1, boot: 9, counted: Position::default(), unix_ms: 0 };
    client.receive(Kind::Welcome, welcome.encode(&mut buffer).unwrap(), 0);
    let counted = [Count::Version, Count::Damaged, Count::Stale];
    assert_eq!(counted.map(|count| client.counters().get(count)), [2, 2, 2]);
}

/// Whatever a welcome or an ack says: the one that knows how many were sent is the device.
#[test]
fn no_gateway_message_drops_an_unsent_event() {
    let mut buffer = [0; 64];
    let counted = |boot, sequence| Position { boot, sequence };
    for lie in [counted(7, 3), counted(7, 400), counted(6, 9), counted(8, 1), counted(u32::MAX - 1, 5)] {
        let mut client = Small::new(DEVICE, RamQueue::with_boot(7)).unwrap();
        (1..=3).for_each(|number| assert!(client.event(&event(number), 0).is_ok()));
        for now in (0..20_000).step_by(1_000) {
            while let Some((kind, message)) = client.poll(now).map(|said| (said.kind, said.message.to_vec()))
            {
                if kind == Kind::Hello {
                    let hello = Hello::decode(&message).unwrap();
                    let boot = hello.boot.max(lie.boot);
                    let welcome = Welcome { token: hello.token, boot, counted: lie, unix_ms: 0 };
                    client.receive(Kind::Welcome, welcome.encode(&mut buffer).unwrap(), now);
                }
            }
            let ack = Ack { counted: counted(7, 400) };
            client.receive(Kind::Ack, ack.encode(&mut buffer).unwrap(), now);
            assert_eq!(client.queued(), 3, "{lie:?}");
        }
        let mut link = Link::new(Saved::new(1, Position::default()), None, 0);
        let later = 2_000_000;
        assert_eq!(talk(&mut client, &mut link, later).len(), 3, "{lie:?}: an honest gateway gets them all");
    }
}

#[test]
fn an_event_that_the_gateway_would_refuse_is_not_accepted() {
    let mut client = Small::new(DEVICE, RamQueue::with_boot(1)).unwrap();
    talk(&mut client, &mut Link::default(), 0);
    let one = |name, value| Field::new(name, value).unwrap();
    let ahead = |by| one("at_ms", Value::Integer((UNIX_MS + 5_000) as i64 + by));
    for fields in [
        vec![one("", Value::Bool(true))],
        vec![one("device", Value::Bool(true))],
        vec![one("n", Value::Bool(true)), one("m", Value::Bool(true)), one("n", Value::Integer(2))],
        vec![one("celsius", Value::Float(f32::NAN))],
        vec![one("celsius", Value::Float(f32::NEG_INFINITY))],
        vec![one("at_ms", Value::Integer(-1))],
        vec![ahead(62_000)],
    ] {
        assert_eq!(client.event(&fields, 5_000), Err(Refusal::Malformed), "{fields:?}");
    }
    assert_eq!((client.counters().get(Count::RefusedMalformed), client.counters().refused()), (7, 7));
    assert_eq!(client.event(&[ahead(50_000)], 5_000), Ok(1));
}

#[test]
fn a_name_that_fits_no_topic_is_refused() {
    let made = |device| Small::new(device, RamQueue::new()).err();
    for id in ["", "a/b", "a+", "#", "two words", "სამზარეულო", &"x".repeat(33)] {
        let id = id.to_owned().leak();
        assert_eq!(made(Device { id, ..DEVICE }), Some(SetupError::Id));
    }
    assert_eq!(made(Device { firmware: "a name of more than 24 bytes", ..DEVICE }), Some(SetupError::Name));
    assert_eq!(made(Device { commands: &["a"; 9], ..DEVICE }), Some(SetupError::Name));
    assert_eq!(Client::<_, 114>::new(DEVICE, RamQueue::<100>::new()).err(), Some(SetupError::Buffer));
}

#[derive(Default)]
pub struct Broker {
    pub subscribed: Vec<String>,
    pub published: Vec<(String, Vec<u8>)>,
}

impl client::ErrorType for Broker {
    type Error = Infallible;
}

impl client::Client for Broker {
    fn subscribe<'a>(&'a mut self, topic: &'a str, _: QoS) -> Result<MessageId, Infallible> {
        self.subscribed.push(topic.to_owned());
        Ok(0)
    }
    fn unsubscribe<'a>(&'a mut self, _: &'a str) -> Result<MessageId, Infallible> {
        Ok(0)
    }
}

impl Enqueue for Broker {
    fn enqueue<'a>(
        &'a mut self,
        topic: &'a str,
        qos: QoS,
        retain: bool,
        payload: &'a [u8],
    ) -> Result<MessageId, Infallible> {
        assert_eq!((qos, retain), (QoS::AtLeastOnce, false));
        self.published.push((topic.to_owned(), payload.to_vec()));
        Ok(0)
    }
}

#[test]
fn over_mqtt_messages_may_come_in_pieces() {
    let mut client = Small::new(DEVICE, RamQueue::with_boot(1)).unwrap();
    let (mut mqtt, mut broker) = (Mqtt::default(), Broker::default());
    mqtt.send(&mut client, &mut broker, 0).unwrap();
    assert_eq!(broker.published, [], "nothing goes without a connection");
    mqtt.receive(&mut client, &EventPayload::<Infallible>::Connected(false), 0);
    mqtt.subscribe(&client, &mut broker).unwrap();
    assert_eq!(broker.subscribed[1], "bellwire/device/freezer-2/ack");
    mqtt.send(&mut client, &mut broker, 0).unwrap();
    let (topic, hello) = &broker.published[0];
    assert_eq!(topic, "bellwire/device/freezer-2/hello");
    let token = Hello::decode(hello).unwrap().token;
    let mut buffer = [0; 64];
    let welcome = Welcome { token, boot: 1, counted: Position::default(), unix_ms: UNIX_MS };
    let welcome = welcome.encode(&mut buffer).unwrap();
    let mut piece = |topic, from: usize, until: usize, total: usize| {
        let details = match from {
            0 => Details::InitialChunk(InitialChunkData { total_data_size: total }),
            at => {
                let piece = SubsequentChunkData { current_data_offset: at, total_data_size: total };
                Details::SubsequentChunk(piece)
            }
        };
        let data = &welcome[from..until];
        let received: EventPayload<'_, Infallible> = EventPayload::Received { id: 1, topic, data, details };
        mqtt.receive(&mut client, &received, 5);
        (client.is_welcomed(), client.counters().get(Count::Damaged))
    };
    let total = welcome.len();
    let topic = Some("bellwire/device/freezer-2/welcome");
    assert_eq!(piece(Some("bellwire/device/freezer-22/welcome"), 0, 5, total), (false, 1));
    assert_eq!(piece(None, 5, 9, total), (false, 2));
    assert_eq!(piece(topic, 0, 5, total), (false, 2));
    assert_eq!(piece(None, 7, 9, total), (false, 3)); // one piece is missing
    assert_eq!(piece(topic, 0, 5, total), (false, 3));
    assert_eq!(piece(None, 5, total, total), (true, 3));
}
