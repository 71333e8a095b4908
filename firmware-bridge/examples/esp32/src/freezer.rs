//! The freezer, without a word of ESP-IDF: everything here runs and is tested on a PC, too.

use embedded_svc::mqtt::client::{Client as Subscribe, Enqueue, EventPayload};
use firmware_bridge::client::SetupError;
use firmware_bridge::mqtt::Mqtt;
use firmware_bridge::{Client, Device, Field, Millis, Outcome, Queue, Value};

/// No two devices have one.
pub const NAME: &str = "freezer-2";

pub struct Freezer<Q> {
    pub bridge: Client<'static, Q, 256>,
    mqtt: Mqtt,
    /// The connection has come up since the last turn.
    is_new: bool,
    /// Where the relay should be.
    pub defrosts: bool,
}

impl<Q: Queue> Freezer<Q> {
    /// `seed`: from the chip's random number generator. `unique`: its MAC address.
    pub fn new(queue: Q, seed: u32, unique: &[u8]) -> Result<Self, SetupError> {
        let device = Device { id: NAME, firmware: "esp32 0.1", commands: &["defrost"], seed };
        let bridge = Client::new(device, queue)?.with_unique_id(unique);
        Ok(Self { bridge, mqtt: Mqtt::default(), is_new: false, defrosts: false })
    }

    /// The sensor was read. `false`: the queue is full or broken; the gateway hears how many were left out.
    pub fn measured(&mut self, celsius: f32, now: Millis) -> bool {
        let field = Field::new("celsius", Value::Float(celsius));
        field.is_some_and(|field| self.bridge.event(&[field], now).is_ok())
    }

    /// The connection said something.
    pub fn arrived<E>(&mut self, event: &EventPayload<'_, E>, now: Millis) {
        self.is_new |= matches!(event, EventPayload::Connected(_));
        self.mqtt.receive(&mut self.bridge, event, now);
    }

    /// After each of the above, and at the time that it gives. An error is the MQTT client's, and nothing is lost by it.
    pub fn turn<M: Subscribe + Enqueue>(&mut self, mqtt: &mut M, now: Millis) -> Result<Millis, M::Error> {
        if let Some(command) = self.bridge.command_to_obey(now) {
            let (id, defrost) = (command.id, command.payload == br#"{"defrost": true}"#);
            self.defrosts = defrost;
            self.bridge.answer(id, Outcome::Done, if defrost { "defrosting" } else { "cooling" });
        }
        if self.is_new {
            self.mqtt.subscribe(&self.bridge, mqtt)?;
            self.is_new = false;
        }
        self.mqtt.send(&mut self.bridge, mqtt, now)?;
        Ok(self.bridge.wake_at())
    }
}
