//! What goes wrong: crashes, lost connections, full disks, operators, and time.

use std::rc::Rc;
use std::time::Duration;

use bellwire::config::Config;
use bellwire::ids::MessageId;
use bellwire::store::Store;
use bellwire::task::orphans;
use bellwire::time::Timestamp;
use rusqlite::{Connection, params};
use sha2::{Digest, Sha256};

use crate::Violation;
use crate::check::DAMAGE;
use crate::gateway::Gateway;
use crate::sabotage::Sabotage;
use crate::told::Notice;
use crate::world::{BOOT, World};

/// The tasks look by themselves as often.
const LOOK_EVERY: Duration = Duration::from_secs(30);
/// A disk is full after some commits more, or in the middle of one, which makes about 50 writes.
const WRITES: u64 = 150;

impl World {
    /// Everything in memory is gone; what was under way arrived or not, and its answer reaches nobody.
    pub fn crash(&mut self) {
        if self.gateway.take().is_some() {
            self.note("CRASH");
            self.line_is_cut();
        }
    }

    /// The same for the disk: what was not synced is there, or not, or in part.
    pub(crate) fn power_cut(&mut self) -> Result<(), Violation> {
        let left = self.disk.cut(|end| self.dice.below(end));
        self.gateway = None;
        self.check.close();
        self.disk.restore(left).expect("the files are written");
        self.note("THE POWER IS CUT");
        self.line_is_cut();
        self.check.reopen(self.directory.path())?;
        self.check.look(&self.meta, self.now, self.ahead)?;
        if self.dice.below(3) == 0 && self.now.is_sane() {
            // No clock of its own: it believes that it is 1970, until it is told.
            self.move_clock(BOOT);
            self.note("the clock is lost");
        }
        Ok(())
    }

    fn line_is_cut(&mut self) {
        self.broker.disconnect();
        self.meta.answers.clear();
        match &mut self.hubs {
            Some(hubs) => hubs.site_is_gone(),
            None => self.meta.give_up(self.now, true),
        }
        self.check.answered.clear();
        self.check.restricted.forget();
        self.check.late.start(self.now);
        self.reconnect_at = self.now;
    }

    pub(crate) fn stop(&mut self) {
        let Some(gateway) = self.gateway.as_mut().filter(|gateway| gateway.stopping.is_none()) else {
            return;
        };
        gateway.stop(self.now);
        self.broker.disconnect();
        self.note("the gateway is asked to stop");
    }

    pub(crate) fn end_if_stopped(&mut self) -> Result<(), Violation> {
        let now = self.now;
        if let Some(gateway) = self.gateway.take_if(|gateway| gateway.has_stopped(now)) {
            gateway.close()?;
            self.note("the gateway has stopped");
            self.line_is_cut();
            self.check.look(&self.meta, self.now, self.ahead)?;
        }
        Ok(())
    }

    /// The owner has written another file, and says so.
    pub(crate) fn reload(&mut self) {
        if let Some(gateway) = self.gateway.as_mut().filter(|gateway| gateway.is_listening()) {
            gateway.reload();
            self.note("the configuration is to be taken over");
        }
    }

    pub(crate) fn disconnect(&mut self, why: &str) {
        if self.broker.connection.is_none() {
            return;
        }
        self.note(why);
        // A PUBACK that had arrived may be told after the end of its connection (`mqtt::connection` tells it from a task).
        let mut late = Vec::new();
        for (id, result) in self.broker.disconnect() {
            match self.dice.below(3) {
                0 => self.tell(Notice::Published(id, result)),
                1 => late.push(Notice::Published(id, result)),
                _ => {}
            }
        }
        self.tell(Notice::Disconnected);
        late.into_iter().for_each(|notice| self.tell(notice));
        let pause = 250 + self.dice.below(20_000);
        self.reconnect_at = self.now + Duration::from_millis(pause);
    }

    pub(crate) fn restart_broker(&mut self) {
        self.disconnect("the broker ends");
        self.broker.is_up = !self.broker.is_up;
        if self.dice.below(3) == 0 {
            self.broker.lose_session();
        }
        self.note(&format!("the broker is up: {}", self.broker.is_up));
    }

    pub(crate) fn fill_disk(&mut self, full: bool) {
        self.disk_full = full;
        let writes = self.dice.below(WRITES);
        self.disk.fill(full.then_some(writes));
        if let Some(gateway) = &mut self.gateway {
            gateway.disk_full = full;
        }
        self.note(&format!("the disk is full: {full}"));
    }

    /// `bellwire outbox retry`, `hold` or `cancel`, beside the daemon.
    pub(crate) fn operate(&mut self) -> Result<(), Violation> {
        let rows: Vec<i64> = self.check.rows.keys().copied().collect();
        let index = usize::try_from(self.dice.below(rows.len() as u64)).unwrap_or(0);
        let Some(id) = rows.get(index).copied().filter(|_| !self.disk_full) else { return Ok(()) };
        let (word, act): (_, fn(&Store, &Config, MessageId, Timestamp) -> _) = match self.dice.below(3) {
            0 => ("retry", orphans::retry),
            1 => ("hold", |store, _, id, now| store.hold(id, now)),
            _ => ("cancel", |store, _, id, now| store.cancel(id, now)),
        };
        let config = Rc::clone(&self.check.config);
        let store = Store::open_existing(self.directory.path()).map_err(|error| error.to_string())?;
        let done = store.transaction(|store| Ok(act(store, &config, MessageId(id), self.now).is_ok()));
        let done = done.map_err(|error| error.to_string())?;
        self.note(&format!("an operator: {word} {id}, done: {done}"));
        if done {
            self.check.operated.insert(id);
            if word == "retry" {
                self.check.consent.retried.insert(id);
            }
            if let Some(gateway) = &mut self.gateway {
                gateway.machine.written();
            }
        }
        self.check.look(&self.meta, self.now, self.ahead)
    }

    /// A bit flips on the card, in something that waits.
    pub(crate) fn rot(&mut self) {
        if self.disk_full {
            return;
        }
        let sql = Connection::open(self.directory.path().join("bellwire.db")).expect("the database");
        let waiting = |sql: &Connection, what: &str| -> Vec<i64> {
            let mut found = sql.prepare(what).expect("a look");
            let ids = found.query_map([], |row| row.get(0)).expect("a look");
            ids.map(|id| id.expect("an id")).collect()
        };
        let messages = waiting(&sql, "SELECT id FROM message WHERE state = 'queued' AND digest IS NULL");
        let index = usize::try_from(self.dice.below(messages.len() as u64)).unwrap_or(0);
        if let Some(id) = messages.get(index) {
            let flip = "UPDATE message SET content = replace(content, '\"text\":\"', '\"text\":\"' || ?2) WHERE id = ?1";
            sql.execute(flip, params![id, DAMAGE]).expect("flipped");
            self.check.damaged.insert(*id);
        }
        for id in waiting(&sql, "SELECT id FROM command WHERE state = 'queued'") {
            sql.execute("UPDATE command SET payload = payload || ?2 WHERE id = ?1", params![id, DAMAGE])
                .expect("flipped");
        }
        if self.sabotage == Some(Sabotage::ForgetChecksum) {
            forge_checksums(&sql);
        }
        self.note("a bit flips on the card");
    }

    pub fn pass(&mut self, wait: Duration) -> Result<(), Violation> {
        if self.hubs.is_some() { self.pass_with_hubs(wait) } else { self.pass_alone(wait) }
    }

    pub(crate) fn pass_alone(&mut self, wait: Duration) -> Result<(), Violation> {
        if self.gateway.as_ref().is_some_and(Gateway::is_mid_task) {
            return Ok(());
        }
        let end = self.now + wait;
        if self.gateway.as_mut().is_some_and(Gateway::is_at_rest) {
            self.sleep(wait)?;
        } else {
            self.check.late.starved(wait);
        }
        self.now = end;
        self.tick();
        self.meta.give_up(self.now, false);
        self.note("time passes");
        Ok(())
    }

    /// The gateway is at rest, and time goes on until it acts. A task that looks around and finds nothing to do does not.
    pub(crate) fn sleep(&mut self, wait: Duration) -> Result<(), Violation> {
        let end = self.now + wait;
        while self.now < end
            && let Some(gateway) = self.gateway.as_mut()
            && gateway.is_at_rest()
        {
            let next = gateway.next_at().min(end);
            let at_hubs = gateway.waits_for();
            self.check.sleeps((&self.meta, at_hubs), self.now, self.now.until(next))?;
            self.now = self.now.max(next);
            self.tick();
            if let Some(gateway) = &mut self.gateway {
                gateway.look_around(&mut self.dice)?;
            }
        }
        Ok(())
    }

    /// Until something happens, but no longer than the tasks wait that look by themselves.
    pub(crate) fn pass_to_next(&mut self) -> Result<(), Violation> {
        if !self.gateway.as_mut().is_some_and(Gateway::is_at_rest) {
            return self.pass(Duration::from_secs(1));
        }
        let wait = self.until_others().min(LOOK_EVERY);
        match self.hubs.is_some() {
            true => self.pass(wait)?,
            false => self.sleep(wait)?,
        }
        self.meta.give_up(self.now, false);
        self.note("time passes until something happens");
        Ok(())
    }

    /// When Meta or a device does something next.
    pub(crate) fn until_others(&self) -> Duration {
        let others = self.meta.next_at().into_iter().chain(self.device.next_at());
        others.filter(|at| *at > self.now).min().map_or(Duration::MAX, |at| self.now.until(at))
    }

    /// The gateway's machine shows the time.
    fn tick(&mut self) {
        let time = self.true_time();
        self.hubs.iter_mut().for_each(|hubs| hubs.tick(time));
        if let Some(gateway) = &mut self.gateway {
            gateway.tick(self.now, self.ahead);
        }
    }

    /// From or to a time that nobody believes: all others' clocks stay right.
    fn move_clock(&mut self, to: Timestamp) {
        let by = to.0 - self.now.0;
        (self.now, self.ahead, self.reconnect_at) = (to, self.ahead - by, to);
        self.meta.machine_clock_moved(by);
        self.device.clock_moved(by);
        self.check.restricted.forget();
        self.meta.ahead = self.ahead;
    }

    /// The network tells the time: for the first time after a power cut, or because the clock was wrong.
    pub(crate) fn set_clock(&mut self) {
        if self.gateway.as_ref().is_some_and(|gateway| gateway.is_mid_task() || gateway.is_posting()) {
            return;
        }
        let at_rest = self.gateway.as_mut().is_none_or(Gateway::is_at_rest);
        let before = self.now;
        match self.now.is_sane() {
            true => {
                // Back by hours, or ahead by days: people's clocks and time servers do both.
                self.now = match self.dice.below(3) {
                    0 => self.now + Duration::from_secs(self.dice.below(250_000)),
                    _ => self.now - Duration::from_secs(self.dice.below(7_200)),
                };
                self.ahead += before.0 - self.now.0;
                self.check.clock_was_set(before, self.now);
                self.check.restricted.forget(); // when it opens again is another matter
                self.reconnect_at = self.now; // waits on tokio's time, which does not jump
                if self.hubs.is_some() {
                    self.meta.machine_clock_moved(self.now.0 - before.0); // hubs and Meta have clocks of their own
                }
            }
            false => self.move_clock(Timestamp(self.now.0 + self.ahead)),
        }
        self.check.late.looks_again(self.now);
        if !at_rest {
            self.check.late.starved(before.until(self.now)); // what it has not heard yet, it hears by the new clock
        }
        self.tick();
        self.note(&format!("the clock is set to {}", self.now));
    }

    /// All faults end.
    pub fn heal(&mut self) {
        self.note("everything is healed");
        self.fill_disk(false);
        self.cut_at = None;
        self.broker.is_up = true;
        (self.meta.is_healed, self.meta.moods) = (true, [None; 2]);
        if let Some(hubs) = &mut self.hubs {
            (hubs.is_healed, hubs.is_line_bad) = (true, false);
            hubs.engine.is_down(false);
        }
    }
}

/// A store that looks at no checksum is one where each of them is right.
fn forge_checksums(sql: &Connection) {
    let read =
        |row: &rusqlite::Row| Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?, row.get::<_, String>(2)?));
    for (table, parts) in [("message", "address, content"), ("command", "topic, payload")] {
        let mut rows = sql.prepare(&format!("SELECT id, {parts} FROM {table}")).expect("a look");
        let rows: Vec<_> = rows.query_map([], read).expect("a look").map(|row| row.expect("a row")).collect();
        for (id, one, other) in rows {
            let mut hash = Sha256::new();
            for part in [one, other] {
                hash.update((part.len() as u64).to_le_bytes());
                hash.update(part);
            }
            let sum = hash.finalize()[..8].to_vec();
            sql.execute(&format!("UPDATE {table} SET checksum = ?2 WHERE id = ?1"), params![id, sum])
                .expect("forged");
        }
    }
}
