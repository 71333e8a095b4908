//! Mistakes that the simulation has found in the gateway and that are not mended yet, each as the narrowest excuse. When
//! one is mended, its excuse goes; when all are, this file goes. `BELLWIRE_STRICT=1` excuses nothing.

use std::collections::{BTreeMap, BTreeSet};

use bellwire::alert::state::State;

use crate::broker::Token;
use crate::check::{Row, Said};

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Known {
    /// `store/outbox.rs`, `change`: `Sending` and `Held` are written over whatever the row has become since it was loaded:
    /// a receipt, an operator's hold or cancel. The message goes out all the same, and its state goes back.
    SendingOverwrites,
    /// `store/outbox.rs`, `receive`: that an earlier copy failed takes the row out of `sending` while the next copy is
    /// under way, so the row does not say that a request may have left, and a third copy follows.
    FailedCopyFreesRow,
    /// `alert/delivery.rs`, `after_status`: a failure that may be tried again queues a message that an operator holds or
    /// has cancelled.
    OperatorOverruled,
    /// `store/act.rs`, `stop`: to hold or cancel an `unknown` message, then to retry it, forgets that it may come twice.
    MarkForgotten,
    /// `command/dispatch.rs`, `Published` of a command that is not in flight any more (the PUBACK is told after the end
    /// of a connection): it is entered as `Committing` without a commit, and not looked at again until a restart.
    LatePuback,
    /// `app/commands.rs`: the time of the question is used after the answer; a full disk lies between, and a command is
    /// published after its time.
    StaleCommand,
    /// `store/outbox.rs`, `change`: `Sending` is tried again until the disk has room, and the age of the message is not
    /// looked at again.
    StaleMessage,
    /// `store/accept.rs`, `seen`: a packet identifier may be used again after its PUBACK (MQTT 5, 2.2.1), and the look for
    /// a repetition goes through all events ever kept: an event that was not committed at its first delivery, and is
    /// like an earlier one in number and words, is dropped as its duplicate.
    ReusedPacket,
    /// `store/outbox.rs`, `tend`: the age of a message that was accepted before the clock was set is reckoned from 1970,
    /// so all that waited expire, unsent, in the moment that the clock is set.
    ExpiredByClock,
    /// `store/act.rs`: an operator may retry, hold or cancel a member of a digest. Retried, it is queued for ever, since
    /// only digests are loaded; held or cancelled, it goes out with its digest all the same.
    MemberDecided,
}

#[derive(Debug, Default)]
pub struct Excuses {
    is_strict: bool,
    pub given: BTreeMap<Known, u32>,
    /// Rows that a mistake has touched: what follows for them says nothing.
    touched: BTreeSet<i64>,
    stopped_unknown: BTreeSet<i64>,
    ignored: BTreeSet<i64>,
    /// Which events came under one packet identifier with the same words.
    packets: BTreeMap<(u16, String, Vec<u8>), BTreeSet<u64>>,
    /// Those of them that were acknowledged after a second delivery.
    alike: BTreeMap<Said, BTreeSet<u64>>,
}

impl Excuses {
    pub fn new() -> Self {
        Self { is_strict: std::env::var_os("BELLWIRE_STRICT").is_some(), ..Self::default() }
    }

    fn give(&mut self, known: Known) -> bool {
        if !self.is_strict {
            *self.given.entry(known).or_default() += 1;
        }
        !self.is_strict
    }

    fn give_row(&mut self, known: Known, id: i64) -> bool {
        if !self.is_strict {
            self.touched.insert(id);
        }
        self.give(known)
    }

    pub fn is_touched(&self, id: i64) -> bool {
        self.touched.contains(&id)
    }

    /// A change of state that may not be.
    pub fn change(&mut self, id: i64, old: &Row, new: &Row, fails: bool) -> bool {
        let by_operator = old.state == State::Cancelled || old.reason.starts_with("an operator holds it");
        match (old.state, new.state) {
            (_, State::Held) if new.waits => self.give_row(Known::SendingOverwrites, id),
            (_, State::Sending) if !self.is_touched(id) => self.give_row(Known::SendingOverwrites, id),
            (State::Cancelled | State::Held, State::Queued) if fails && by_operator => {
                self.give(Known::OperatorOverruled)
            }
            (_, _) => self.is_touched(id),
        }
    }

    /// An operator's decision, remembered for `second_copy`.
    pub fn decided(&mut self, id: i64, old: &Row, new: &Row) {
        if new.carrier != id {
            self.give_row(Known::MemberDecided, id);
        }
        if old.state == State::Unknown && matches!(new.state, State::Held | State::Cancelled) {
            self.stopped_unknown.insert(id);
        }
    }

    /// A request that leaves for a row that is not `sending`.
    pub fn request(&mut self, id: i64, state: State, fails: bool) -> bool {
        let freed = fails && matches!(state, State::Queued | State::Failed | State::Held | State::Expired);
        freed && self.give_row(Known::FailedCopyFreesRow, id)
    }

    /// A second copy at Meta that the row says nothing of.
    pub fn second_copy(&mut self, id: i64) -> bool {
        self.is_touched(id) || (self.stopped_unknown.contains(&id) && self.give(Known::MarkForgotten))
    }

    /// A message that expired although it is young by the true time.
    pub fn expired_by_clock(&mut self, id: i64, row: &Row) -> bool {
        row.state != State::Expired || self.is_touched(id) || self.give_row(Known::ExpiredByClock, id)
    }

    pub fn puback_is_ignored(&mut self, id: i64) {
        self.ignored.insert(id);
    }

    /// A command that never ends.
    pub fn stuck(&mut self, id: i64) -> bool {
        self.ignored.contains(&id) && self.give(Known::LatePuback)
    }

    /// A command that is published too late, though it was in time when the store was asked.
    pub fn late_command(&mut self, expires_at: i64, asked: i64) -> bool {
        expires_at > asked && self.give(Known::StaleCommand)
    }

    /// A message that leaves too late, though it was in time when `sending` was decided.
    pub fn late_message(&mut self, expires_at: i64, started_at: i64) -> bool {
        expires_at > started_at && self.give(Known::StaleMessage)
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
        missing <= i64::try_from(alike).unwrap_or(0) && self.give(Known::ReusedPacket)
    }
}
