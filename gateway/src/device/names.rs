//! Names: two devices with one of them, and more than the gateway keeps.

use std::time::Duration;

use crate::device::exchange::ExchangeEffect;
use crate::device::member::Member;
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
    let device = device.to_owned();
    if is_over(member.clash.written_at, WRITE_EVERY) {
        member.clash.written_at = Some(now);
        effects.push(ExchangeEffect::Write(DeviceWrite::Clash { device: device.clone(), at: Some(now) }));
    }
    if is_over(member.clash.told_at, TELL_AGAIN) {
        member.clash.told_at = Some(now);
        effects.push(ExchangeEffect::Warn { device, text });
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

/// How little is lost with a name, the least first; `None`: it stays. One that never had an event counted goes before all
/// that had, and one that is silent before one that is not.
pub fn worth(member: &Member, is_approved: bool) -> Option<(bool, Timestamp)> {
    let is_known = member.link.saved().counted().sequence > 0;
    let stays = is_approved || member.order.is_some() || member.route != Route::Mqtt;
    let stays = stays || (is_known && !member.silent);
    (!stays).then_some((is_known, member.heard_at))
}
