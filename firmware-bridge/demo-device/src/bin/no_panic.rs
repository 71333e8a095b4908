//! Links only if no panic is reachable from any public operation; the panic handler in `lib.rs` says how.
//!
//! Every operation is called with what the compiler cannot know, so that none is optimised away or shown to be harmless
//! for one input only. It is never run.

#![no_std]
#![no_main]

use core::convert::Infallible;
use core::hint::black_box;
use core::pin::pin;
use core::task::{Context, Waker};

use demo_device::Uart;
use embedded_storage::nor_flash::{ErrorType, NorFlash, NorFlashErrorKind, ReadNorFlash};
use embedded_svc::mqtt::client::{self, Enqueue, EventPayload, MessageId, QoS};
use firmware_bridge::count::Count;
use firmware_bridge::flash::FlashQueue;
use firmware_bridge::frame::{Decoder, Encoder};
use firmware_bridge::gateway::{Greeting, Link, Saved, UnderWay};
use firmware_bridge::message::{CommandResult, Hello};
use firmware_bridge::mqtt::Mqtt;
use firmware_bridge::serial::Serial;
use firmware_bridge::serial_async;
use firmware_bridge::{Client, Device, Event, Field, Kind, Outcome, Position, Queue, RamQueue, Value};

/// A flash, a port and an MQTT client of which nothing is known.
struct Unknown;

impl ErrorType for Unknown {
    type Error = NorFlashErrorKind;
}

impl ReadNorFlash for Unknown {
    const READ_SIZE: usize = 1;
    fn read(&mut self, _: u32, bytes: &mut [u8]) -> Result<(), NorFlashErrorKind> {
        black_box(bytes);
        black_box(Err(NorFlashErrorKind::Other))
    }
    fn capacity(&self) -> usize {
        black_box(1 << 16)
    }
}

impl NorFlash for Unknown {
    const WRITE_SIZE: usize = 8;
    const ERASE_SIZE: usize = 4096;
    fn erase(&mut self, _: u32, _: u32) -> Result<(), NorFlashErrorKind> {
        black_box(Ok(()))
    }
    fn write(&mut self, _: u32, bytes: &[u8]) -> Result<(), NorFlashErrorKind> {
        black_box(bytes);
        black_box(Ok(()))
    }
}

impl embedded_io_async::ErrorType for Unknown {
    type Error = Infallible;
}

impl embedded_io_async::Read for Unknown {
    async fn read(&mut self, bytes: &mut [u8]) -> Result<usize, Infallible> {
        black_box(bytes);
        Ok(black_box(3))
    }
}

impl embedded_io_async::Write for Unknown {
    async fn write(&mut self, bytes: &[u8]) -> Result<usize, Infallible> {
        black_box(bytes);
        Ok(black_box(3))
    }
    async fn flush(&mut self) -> Result<(), Infallible> {
        Ok(())
    }
}

impl client::ErrorType for Unknown {
    type Error = Infallible;
}

impl client::Client for Unknown {
    fn subscribe<'a>(&'a mut self, topic: &'a str, _: QoS) -> Result<MessageId, Infallible> {
        black_box(topic);
        Ok(0)
    }
    fn unsubscribe<'a>(&'a mut self, _: &'a str) -> Result<MessageId, Infallible> {
        Ok(0)
    }
}

impl Enqueue for Unknown {
    fn enqueue<'a>(
        &'a mut self,
        topic: &'a str,
        _: QoS,
        _: bool,
        payload: &'a [u8],
    ) -> Result<MessageId, Infallible> {
        black_box((topic, payload));
        Ok(0)
    }
}

#[unsafe(no_mangle)]
pub extern "C" fn reset() -> ! {
    loop {
        if black_box(true) {
            device(RamQueue::<1024>::with_boot(black_box(1)));
        } else if let Ok(queue) = FlashQueue::<_, 256>::open(Unknown) {
            device(queue);
        }
        gateway();
    }
}

fn unknown_bytes() -> &'static [u8] {
    black_box(b"\x01\x02\x03")
}

fn device<Q: Queue>(queue: Q) {
    let device = Device {
        id: black_box("freezer-2"),
        firmware: black_box("check"),
        commands: black_box(&["open", "close"]),
        seed: black_box(7),
    };
    let Ok(client) = Client::<Q, 320>::new(device, queue) else { return };
    let mut client = client.with_unique_id(unknown_bytes());
    let mut serial = Serial::new(Uart);
    let mut mqtt = Mqtt::default();
    let mut port = serial_async::Serial::new(Unknown);
    loop {
        let now = black_box(1u64);
        if let Some(field) = Field::new(black_box("celsius"), Value::Float(black_box(1.5))) {
            let _ = black_box(client.event(black_box(&[field]), now));
        }
        if let Some(field) = Field::text(black_box("state"), black_box("warm")) {
            let _ = black_box(client.event(black_box(&[field]), now));
        }
        if let Some(command) = black_box(client.command_to_obey(now)) {
            let id = command.id;
            client.answer(id, black_box(Outcome::Refused), black_box("no"));
        }
        let Ok(()) = serial.exchange(&mut client, now);
        let arrived: EventPayload<'_, Infallible> = EventPayload::Received {
            id: black_box(1),
            topic: black_box(Some("bellwire/device/freezer-2/ack")),
            data: unknown_bytes(),
            details: black_box(client::Details::Complete),
        };
        mqtt.receive(&mut client, black_box(&arrived), now);
        mqtt.receive(&mut client, black_box(&EventPayload::<'_, Infallible>::Connected(true)), now);
        let Ok(()) = mqtt.subscribe(&client, &mut Unknown);
        let Ok(()) = mqtt.send(&mut client, &mut Unknown, now);
        let mut context = Context::from_waker(Waker::noop());
        let _ = black_box(pin!(port.listen()).poll(&mut context));
        let _ = black_box(pin!(port.exchange(&mut client, now)).poll(&mut context));
        black_box((
            client.wake_at(),
            client.unix_ms(now),
            client.is_welcomed(),
            client.queued(),
            client.boot(),
            client.name(),
        ));
        black_box(client.counters().get(black_box(Count::Damaged)));
        for (name, number) in client.counters().iter() {
            black_box((name, number));
        }
    }
}

fn gateway() {
    let under_way = UnderWay { id: black_box(1), boot: black_box(2), expires_at_ms: black_box(3) };
    let mut link = Link::new(black_box(Saved::default()), black_box(Some(under_way)), black_box(4));
    if let Ok(hello) = Hello::decode(unknown_bytes()) {
        match link.hello(&hello, black_box(1), black_box(2)) {
            Greeting::Wait => {}
            Greeting::Known(answer) | Greeting::Save { answer, .. } => {
                let mut buffer = [0; 32];
                let _ = black_box(answer.welcome(hello.token, black_box(1)).encode(&mut buffer));
            }
        }
        link.greeted(black_box(Saved::default()));
        black_box(link.took_turns());
    }
    if let Ok(event) = Event::decode(unknown_bytes()) {
        black_box(link.event(event.position()));
        let _ = black_box(link.committed(black_box(Position::default())));
    }
    if let Ok(result) = CommandResult::decode(unknown_bytes()) {
        black_box(link.result(&result));
    }
    let _ = black_box(link.begin(black_box(1), black_box(2)));
    link.recorded(black_box(1));
    black_box((link.step(black_box(1)), link.wake_at()));
    link.settled(black_box(1));
    link.failed();
    let mut decoder = Decoder::<1200>::default();
    for byte in Encoder::new(black_box(Kind::Event), unknown_bytes()) {
        black_box(decoder.push(byte));
    }
}
