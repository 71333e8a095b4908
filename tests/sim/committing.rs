//! The store's side: some of the jobs that wait are committed together, by the daemon's own code, or against a rule.

use std::cell::Cell;
use std::time::Duration;

use bellwire::random::Rng;
use bellwire::store::{GROUP_MAX, GroupOutcome, Job, StoreError};
use rusqlite::Connection;

use crate::Violation;
use crate::gateway::{AN_HOUR, DISPATCH, Gateway, INBOX, SPAWNED};
use crate::ports::Out;
use crate::sabotage::{Sabotage, damage};

impl Gateway {
    /// One group in one transaction. A full disk is found in the middle of it, and all has been done in vain.
    pub(crate) fn commit(&mut self, dice: &mut Rng) -> Result<Vec<Out>, Violation> {
        let most = GROUP_MAX.min(self.queue.len());
        let size = 1 + usize::try_from(dice.below(most as u64)).unwrap_or(0);
        let size = if self.slow_clock().is_zero() { size.min(most) } else { 1 };
        let behind = self.slow_clock();
        let group = self.queue.take(size);
        let owners: Vec<&str> = self.owners.drain(..size).collect();
        if self.disk_full && self.sabotage == Some(Sabotage::AcceptWithoutRoom) {
            return self.pretend(group);
        }
        if self.sabotage == Some(Sabotage::ForgetMessageExpiry) && !self.disk_full {
            let sql = Connection::open(self.directory.join("bellwire.db")).expect("the database");
            let later = "UPDATE message SET expires_at = expires_at + 1000000000000 WHERE state = 'queued' AND expires_at <= ?1";
            sql.execute(later, [self.wall().0]).expect("damaged");
        }
        if self.sabotage == Some(Sabotage::PostBeforeCommit)
            && !self.disk_full
            && owners.iter().all(|owner| *owner == SPAWNED)
        {
            return self.pretend(group);
        }
        self.machine.is_behind(behind);
        let has_written = Cell::new(false);
        let outcome = self.store.commit(group, &|_| has_written.set(true));
        self.machine.is_behind(Duration::ZERO);
        match outcome {
            Ok(GroupOutcome::OnDisk { refused }) if refused.is_empty() => {}
            Ok(GroupOutcome::NoRoom(StoreError::DiskFull)) if self.disk_full => {
                self.say("no room for jobs of", &owners);
                return Ok(Vec::new());
            }
            // No wish of ours may ever be one that the database refuses.
            Ok(outcome) => return Err(format!("the database refused jobs of {owners:?}: {outcome:?}")),
            Err(error) => return Err(format!("the disk failed under jobs of {owners:?}: {error}")),
        }
        let missed = self.context.scheduler.missed_changes(&self.store).expect("compared");
        if !missed.is_empty() {
            return Err(format!("the sender did not see what changed in {missed:?} with jobs of {owners:?}"));
        }
        if !has_written.get() {
            return Ok(Vec::new()); // they only looked
        }
        self.machine.written();
        if !self.disk_full {
            damage(&self.directory, self.sabotage);
        }
        self.say("committed jobs of", &owners);
        Ok(vec![Out::Changed])
    }

    /// A sabotage: how far behind the clock is for the next job.
    fn slow_clock(&self) -> Duration {
        match (self.sabotage, self.owners.front()) {
            (Some(Sabotage::ForgetAge), Some(&INBOX)) => AN_HOUR,
            (Some(Sabotage::ForgetCommandExpiry), Some(&DISPATCH)) => AN_HOUR,
            (_, _) => Duration::ZERO,
        }
    }

    /// A sabotage: all are told that it is on disk, and it is not.
    fn pretend(&mut self, mut group: Vec<Box<dyn Job>>) -> Result<Vec<Out>, Violation> {
        let in_vain: rusqlite::Result<()> = self.store.transaction(|store| {
            group.iter_mut().try_for_each(|job| job.work(store))?;
            Err(rusqlite::Error::InvalidQuery)
        });
        let is_full = !matches!(in_vain, Err(rusqlite::Error::InvalidQuery));
        for job in group {
            job.answer(if is_full { Err(StoreError::DiskFull) } else { Ok(()) });
        }
        Ok(Vec::new())
    }
}
