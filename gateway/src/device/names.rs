//! Names: two devices with one of them, topics that say another, and more than the gateway keeps. What is said of them; `fleet.rs`
//! notices.

use std::time::Duration;

use firmware_bridge::message::Ack;
use firmware_bridge::{DEVICE_MAX_BYTES, Position};

use crate::device::exchange::ExchangeEffect;
use crate::device::member::{Allowance, Member, acknowledge};
use crate::device::record::{DeviceWrite, Route};
use crate::time::Timestamp;

/// A clash that goes on is told again after this long, and shown as over after a quarter of it without a sign: a device is
/// heard once a minute.
const TELL_AGAIN: Duration = Duration::from_secs(3_600);
const OVER_AFTER: Duration = Duration::from_secs(15 * 60);
/// Its last sign is written down this often: each write costs a card a page and a sync.
const WRITE_EVERY: Duration = Duration::from_secs(10 * 60);

/// Two starts of one name are heard by turns.
pub fn by_turns(device: &str, member: &mut Member, now: Timestamp, effects: &mut Vec<ExchangeEffect>) {
    let text = format!(
        "two devices call themselves {device}. Each event of both is counted once, but nobody can tell their alerts apart, \
         and a command reaches the one that spoke last: give one of them another name"
    );
    clash(device, member, text, now, effects);
}

/// Somebody speaks over the broker under the name of a device on a wire.
pub fn not_on_its_wire(device: &str, member: &mut Member, now: Timestamp, effects: &mut Vec<ExchangeEffect>) {
    let text = format!(
        "{device} is on the serial port {}, and somebody says to be {device} over MQTT: nothing of that is believed. If it is a \
         second device, give it another name; if the device has moved: bellwire devices forget {device}",
        member.route
    );
    clash(device, member, text, now, effects);
}

fn clash(device: &str, member: &mut Member, text: String, now: Timestamp, effects: &mut Vec<ExchangeEffect>) {
    let is_over = |last: Option<Timestamp>, pause| last.is_none_or(|last| last.until(now) >= pause);
    member.clash.seen_at = Some(now);
    // People first: after a kill between the two they are told again, and not an hour later.
    if is_over(member.clash.told_at, TELL_AGAIN) {
        member.clash.told_at = Some(now);
        effects.push(ExchangeEffect::Warn { device: device.to_owned(), text });
    }
    if is_over(member.clash.written_at, WRITE_EVERY) {
        member.clash.written_at = Some(now);
        effects.push(ExchangeEffect::Write(DeviceWrite::Clash { device: device.to_owned(), at: Some(now) }));
    }
}

/// Whether it is over by now.
pub fn settle(device: &str, member: &mut Member, now: Timestamp, effects: &mut Vec<ExchangeEffect>) {
    if member.clash.seen_at.is_some_and(|seen| seen.until(now) >= OVER_AFTER) {
        member.clash = super::member::Clash::default();
        let device = device.to_owned();
        effects.push(ExchangeEffect::Write(DeviceWrite::Clash { device: device.clone(), at: None }));
        let text = format!("{device} has not been heard from two places for a while");
        effects.push(ExchangeEffect::Tell { device, text });
    }
}

/// Topics told of in an hour: anybody at the broker can make names up.
const MISNAMED_MAX: usize = 8;

/// Messages over topics that name another device than they do.
#[derive(Debug)]
pub struct Misnamed {
    answers: Allowance,
    /// The topic's name, at most [`MISNAMED_MAX`].
    told: Vec<(String, Timestamp)>,
    /// Since the start.
    count: u64,
}

impl Misnamed {
    pub fn new(now: Timestamp) -> Self {
        Self { answers: Allowance::new(now), told: Vec::new(), count: 0 }
    }

    /// Nothing of it is believed. The answer goes to the topic's name, where the program that is wrong may listen.
    pub fn hear(&mut self, topic: &str, said: &str, now: Timestamp, effects: &mut Vec<ExchangeEffect>) {
        self.count = self.count.saturating_add(1);
        let answer = acknowledge(&Route::Mqtt, topic, &Ack { counted: Position::default() });
        effects.extend(answer.filter(|_| self.answers.take(now)));
        self.told.retain(|(_, at)| at.until(now) < TELL_AGAIN);
        let topic: String = topic.chars().take(DEVICE_MAX_BYTES).collect();
        if self.told.len() >= MISNAMED_MAX || self.told.iter().any(|(name, _)| *name == topic) {
            return;
        }
        let text = format!(
            "a message on the topic of the device {} says that it is of {said}; nothing of it is counted: its program must publish \
             under the name that its messages say, or say the name that it publishes under ({} such messages so far)",
            topic.escape_debug(),
            self.count
        );
        effects.push(ExchangeEffect::Note { device: said.to_owned(), text });
        self.told.push((topic, now));
    }
}

/// How little is lost with a name, the least first; `None`: it stays. One that never had an event counted goes before all
/// that had, and one that is silent before one that is not.
pub fn worth(member: &Member, is_approved: bool) -> Option<(bool, Timestamp)> {
    let is_known = member.link.saved().counted().sequence > 0;
    let stays = is_approved || member.order.is_some() || member.route != Route::Mqtt;
    let stays = stays || (is_known && !member.silent);
    (!stays).then_some((is_known, member.heard_at))
}
