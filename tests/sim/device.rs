//! The model device: it obeys each command once, by the command's id (promise P5).

use std::collections::BTreeMap;

use bellwire::command::dispatch::Waiting;
use bellwire::time::Timestamp;

#[derive(Debug, Default)]
pub struct Device {
    /// How often each command came, by its id on the wire.
    pub heard: BTreeMap<String, u32>,
    /// What it did, in order.
    pub done: Vec<(Timestamp, String, String)>,
}

impl Device {
    pub fn hear(&mut self, wire_id: &str, command: &Waiting, now: Timestamp) {
        let times = self.heard.entry(wire_id.to_owned()).or_default();
        *times += 1;
        if *times == 1 {
            self.done.push((now, command.topic.clone(), command.payload.clone()));
        }
    }
}
