//! Under which name a device speaks. One that keeps its events and is given another name says those of its earlier starts
//! under the old one: the gateway may have counted some of them by it, and would count them again by the new one.

use super::{Client, Device};
use crate::clock::{Millis, Retry};
use crate::count::Count;
use crate::position::Position;
use crate::queue::Queue;

/// Hellos under the old name that nobody answers, one after the other: 18 minutes. A broker's access list may let a device
/// speak under its new name alone, and its events must not wait for ever.
pub const OLD_HELLOS_MAX: u8 = 20;

impl<Q: Queue, const BUFFER: usize> Client<'_, Q, BUFFER> {
    /// The name that messages go under now, so that of the topics over MQTT: the [`id`](Self::id), or the one that the device
    /// had before as long as events are kept of starts with that.
    #[must_use]
    pub fn name(&self) -> &str {
        name_of(&self.queue, &self.device)
    }

    /// Goes on under the id if nothing is kept that may have gone under another name.
    pub(super) fn settle_name(&mut self, now: Millis) {
        let Some(name) = self.queue.name().filter(|name| *name != self.device.id) else { return };
        if !name.is_empty() && self.old_hellos < OLD_HELLOS_MAX {
            let starts = self.queue.starts();
            let is_this_start = self.reach.boot > 0 && Some(self.reach.boot) == self.boot();
            let oldest = self.queue.get(0, &mut self.buffer);
            if is_this_start || oldest.map_or(true, |kept| kept.is_some_and(|(at, _)| at.boot < starts)) {
                return;
            }
        }
        if self.queue.set_name(self.device.id).is_err() {
            return self.counters.add(Count::StorageFailed, 1); // the next event that is let go of leads here again
        }
        // To the gateway it is another device, which has said nothing yet.
        (self.welcomed, self.was_welcomed, self.asked_at) = (false, false, None);
        (self.counted, self.reach) = (Position::default(), Position::default());
        (self.sent, self.repeated_below) = (0, 0);
        self.hello = Retry::at(now);
    }

    /// A hello is said: perhaps one of too many under the old name.
    pub(super) fn count_old_hello(&mut self, now: Millis) {
        if self.queue.name().is_some_and(|name| name != self.device.id) {
            self.settle_name(now);
            self.old_hellos = self.old_hellos.saturating_add(1);
        }
    }
}

/// The same where a part of the client is borrowed.
pub(super) fn name_of<'q, Q: Queue>(queue: &'q Q, device: &Device<'q>) -> &'q str {
    queue.name().filter(|name| !name.is_empty()).unwrap_or(device.id)
}
