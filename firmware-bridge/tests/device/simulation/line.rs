//! A bad line. Serial: bytes in order, some wrong or missing. MQTT: whole messages, late, lost, twice, out of order.

use std::collections::BTreeMap;

use firmware_bridge::Kind;
use firmware_bridge::frame::{Decoder, Encoder, Found};

use crate::dice::Dice;

pub type Message = (Kind, Vec<u8>);

pub enum Line {
    Serial { flying: BTreeMap<(u64, u64), Vec<u8>>, decoder: Box<Decoder<1200>> },
    Mqtt { flying: BTreeMap<(u64, u64), Message> },
}

/// How bad it is, in percent.
#[derive(Clone, Copy)]
pub struct Faults {
    pub lost: u64,
    pub twice: u64,
    pub damaged: u64,
    pub late_ms: u64,
    pub down: bool,
}

impl Faults {
    pub const NONE: Self = Self { lost: 0, twice: 0, damaged: 0, late_ms: 5, down: false };
}

impl Line {
    pub fn new(serial: bool) -> Self {
        let flying = BTreeMap::new();
        if serial {
            Self::Serial { flying, decoder: Box::default() }
        } else {
            Self::Mqtt { flying: BTreeMap::new() }
        }
    }

    /// `number` is another one for each message.
    pub fn send(&mut self, (kind, message): Message, now: u64, number: u64, faults: Faults, dice: &mut Dice) {
        if faults.down || dice.percent(faults.lost) {
            return;
        }
        match self {
            Self::Serial { flying, .. } => {
                let mut bytes: Vec<u8> = Encoder::new(kind, &message).collect();
                if dice.percent(faults.damaged) {
                    let at = dice.below(bytes.len() as u64) as usize;
                    match dice.below(3) {
                        0 => bytes[at] ^= 1 << dice.below(8),
                        1 => bytes.truncate(at),
                        _ => bytes.insert(at, dice.roll() as u8),
                    }
                }
                flying.insert((now + 5, number), bytes);
            }
            Self::Mqtt { flying } => {
                if dice.percent(faults.twice) {
                    let late = now + dice.below(faults.late_ms * 4);
                    flying.insert((late, number + 1), (kind, message.clone()));
                }
                flying.insert((now + dice.below(faults.late_ms), number), (kind, message));
            }
        }
    }

    pub fn next_at(&self) -> Option<u64> {
        match self {
            Self::Serial { flying, .. } => flying.keys().next().map(|key| key.0),
            Self::Mqtt { flying } => flying.keys().next().map(|key| key.0),
        }
    }

    /// What arrives next.
    pub fn deliver(&mut self) -> Vec<Message> {
        match self {
            Self::Mqtt { flying } => flying.pop_first().into_iter().map(|(_, message)| message).collect(),
            Self::Serial { flying, decoder } => {
                let mut found = Vec::new();
                for byte in flying.pop_first().into_iter().flat_map(|(_, bytes)| bytes) {
                    if let Found::Frame { kind: Some(kind), message } = decoder.push(byte) {
                        found.push((kind, message.to_vec()));
                    }
                }
                found
            }
        }
    }
}
