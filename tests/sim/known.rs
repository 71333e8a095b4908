//! What the simulation finds and the gateway cannot mend, as the narrowest excuse. `BELLWIRE_STRICT=1` excuses nothing.
//!
//! One thing is left. A packet identifier may be used again after its PUBACK (MQTT 5, 2.2.1). When an event comes with one
//! that was used before, and with the same words as the event that had it then, and the power goes before it is
//! committed, the broker sends it again with DUP, and it looks like a second delivery of the earlier one whose
//! acknowledgement was lost. Nothing on either side tells the two apart; a device that gives each event an id of its own
//! (CloudEvents' `source` and `id`, or firmware-bridge) is free of it.

use std::collections::{BTreeMap, BTreeSet};

use crate::broker::Token;
use crate::check::Said;

#[derive(Debug, Default)]
pub struct Excuses {
    is_strict: bool,
    pub given: u32,
    /// Which events came under one packet identifier with the same words.
    packets: BTreeMap<(u16, String, Vec<u8>), BTreeSet<u64>>,
    /// Those of them that were acknowledged after a second delivery.
    alike: BTreeMap<Said, BTreeSet<u64>>,
}

impl Excuses {
    pub fn new() -> Self {
        Self { is_strict: std::env::var_os("BELLWIRE_STRICT").is_some(), ..Self::default() }
    }

    pub fn delivered(&mut self, token: &Token) {
        let said = &token.publication;
        let key = (token.packet, said.topic.clone(), said.payload.clone());
        self.packets.entry(key).or_default().insert(said.serial);
    }

    pub fn acknowledged(&mut self, token: &Token) {
        let said = &token.publication;
        let key = (token.packet, said.topic.clone(), said.payload.clone());
        if token.redelivered && self.packets.get(&key).is_some_and(|serials| serials.len() > 1) {
            self.alike.entry((key.1, key.2)).or_default().insert(said.serial);
        }
    }

    /// Events that were acknowledged and are not on disk.
    pub fn lost_events(&mut self, token: &Token, missing: i64) -> bool {
        let said = (token.publication.topic.clone(), token.publication.payload.clone());
        let alike = self.alike.get(&said).map_or(0, BTreeSet::len);
        let excused = !self.is_strict && missing <= i64::try_from(alike).unwrap_or(0);
        self.given += u32::from(excused);
        excused
    }
}
