//! What a device makes of what the gateway says.

use super::{Client, HELLO_EVERY_MS};
use crate::clock::{Clock, Millis, Retry};
use crate::count::Count;
use crate::message::{Ack, Command, Welcome};
use crate::orders::Order;
use crate::position::Position;
use crate::queue::Queue;

/// After so long without a new number the next one is taken at once.
const CALM_MS: u64 = 600_000;

impl<Q: Queue, const BUFFER: usize> Client<'_, Q, BUFFER> {
    pub(super) fn welcome(&mut self, welcome: Welcome, now: Millis) {
        let asked_at = match self.asked_at.take() {
            Some(asked_at) if welcome.token == self.token => asked_at,
            asked_at => {
                self.asked_at = asked_at;
                return self.counters.add(Count::Stale, 1);
            }
        };
        self.old_hellos = 0;
        self.clock = Clock::heard(welcome.unix_ms, asked_at, now).or(self.clock);
        // If more is counted than this start ever had, its number was used before, or is used by another one. Before it is
        // welcomed for the first time a start has sent nothing.
        let own = if self.was_welcomed { self.sequence } else { 0 };
        let used = |boot| welcome.counted.boot == boot && welcome.counted.sequence > own;
        if self.boot().is_none_or(|boot| boot < welcome.boot || used(boot)) {
            return self.take_boot(welcome.boot, now);
        }
        if !self.welcomed {
            self.welcomed = true;
            self.was_welcomed = true;
            self.events = Retry::default();
        }
        self.hello = Retry::at(now.saturating_add(HELLO_EVERY_MS));
        self.counted = welcome.counted;
        self.let_go(now);
    }

    /// Each kept boot number is 1 or more, so with this base all of them are new to the gateway.
    fn take_boot(&mut self, seen: u32, now: Millis) {
        if self.boot_above(seen).is_none() {
            return self.damaged(); // the numbers would run out: no gateway that counts says so
        }
        if self.queue.base().is_some() {
            self.counters.add(Count::Renumbered, 1);
        }
        if self.queue.set_base(seen).is_err() {
            return self.counters.add(Count::StorageFailed, 1); // the next hello leads here again
        }
        self.welcomed = false;
        self.reach = Position::default();
        self.sent = 0;
        self.repeated_below = 0;
        // The gateway learns the new number before anything goes by it: at once, but not again and again. Two devices with one
        // name would push each other's number up for ever, and each number is written to flash.
        if now >= self.renumber.due.saturating_add(CALM_MS) {
            self.renumber = Retry::default();
        }
        self.renumber_from = now.max(self.renumber.due);
        self.hello = Retry::at(self.renumber_from);
        self.again_from = self.again_from.max(self.renumber_from);
        self.renumber.tried(self.renumber_from, &mut self.dice);
        // From 2 s to 128 s: in the first hour 7 and then 26.
        self.renumber.due =
            self.renumber.due.saturating_add(self.renumber.due.saturating_sub(self.renumber_from));
    }

    pub(super) fn ack(&mut self, ack: Ack, now: Millis) {
        let own = Position { boot: self.boot().unwrap_or(0), sequence: self.sequence };
        if !self.welcomed || ack.counted > own {
            self.counters.add(Count::Stale, 1);
        } else if ack.counted == Position::default() {
            // Perhaps it does not know us. Over MQTT it may be said to another one with our name.
            if self.sent > 0 {
                self.hello.due = self.hello.due.min(now.max(self.events.due).max(self.again_from));
            }
        } else if ack.counted < self.counted {
            self.counters.add(Count::Stale, 1);
        } else {
            self.counted = ack.counted;
            self.let_go(now);
        }
    }

    /// Lets go of what the gateway has on disk, as far as this start has sent it: no word of the gateway's can make a device
    /// drop what it never said.
    fn let_go(&mut self, now: Millis) {
        let mut gone = 0u32;
        while let Ok(Some((kept, _))) = self.queue.get(0, &mut self.buffer) {
            if self.on_wire(kept) > self.counted.min(self.reach) {
                break;
            }
            if self.queue.pop().is_err() {
                self.counters.add(Count::StorageFailed, 1);
                break;
            }
            self.sent = self.sent.saturating_sub(1);
            self.repeated_below = self.repeated_below.saturating_sub(1);
            gone = gone.saturating_add(1);
        }
        if gone > 0 {
            self.counters.add(Count::Acknowledged, gone);
            self.events = Retry::default();
            if self.sent > 0 {
                self.events.tried(now, &mut self.dice);
            }
        }
        self.more = true;
        self.settle_name(now);
    }

    pub(super) fn command(&mut self, command: &Command<'_>, message: &[u8], now: Millis) {
        let Some(clock) = self.clock.filter(|_| self.boot() == Some(command.boot)) else {
            return self.counters.add(Count::CommandForeign, 1);
        };
        match self.orders.receive(command, message, clock.latest(now)) {
            Order::New => {}
            Order::Again => self.counters.add(Count::CommandRepeated, 1),
            Order::Expired => self.counters.add(Count::CommandExpired, 1),
        }
    }
}
