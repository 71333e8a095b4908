//! The scheduler decides inside a transaction. When that fails, what it decided was not; and what it knows is compared with the
//! store here.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Scheduler;
use crate::outbox::lanes::{LaneContent, LaneRequest, Lanes};
use crate::outbox::row::Conversation;

/// The scheduler as it was, for a transaction that does not hold.
#[derive(Debug)]
pub struct Checkpoint {
    scheduler: Box<Scheduler>,
    lanes: usize,
}

impl Scheduler {
    /// Call it before a turn that may not hold. `first`: all turns before it are on disk.
    pub fn checkpoint(&mut self, first: bool) -> Checkpoint {
        let lanes = self.lanes.mark(first);
        let scheduler = Self {
            rates: Arc::clone(&self.rates),
            in_flight: self.in_flight.clone(),
            settling: self.settling.clone(),
            uploads: self.uploads.clone(),
            connections: self.connections.clone(),
            severities: self.severities.clone(),
            connection_meters: self.connection_meters.clone(),
            lanes: Lanes::default(),
            seen: self.seen,
            last: self.last,
            loading: self.loading,
            again: self.again,
            merged: self.merged,
            stopping: self.stopping,
        };
        Checkpoint { scheduler: Box::new(scheduler), lanes }
    }

    /// The transaction did not hold. What the store was seen to hold may not be so: it is asked for all of it again.
    pub fn put_back(&mut self, before: Checkpoint) {
        let mut lanes = std::mem::take(&mut self.lanes);
        lanes.put_back(before.lanes);
        *self = *before.scheduler;
        self.lanes = lanes;
        self.seen.at = None;
    }

    /// The lanes as far as they are known, and the request: for the simulation, which compares it with the store.
    /// `None`: all of it will be asked again.
    pub fn seen(&self) -> Option<(LaneRequest, BTreeMap<Conversation, LaneContent>)> {
        let since = self.seen.at.filter(|_| self.uploads.is_full() == self.seen.uploads_full)?;
        let asked = LaneRequest {
            all: false,
            reread: self.uploads.changed().clone(),
            since,
            next_at: None,
            uploads: self.uploads.lanes(),
            uploads_full: self.seen.uploads_full,
        };
        Some((asked, self.lanes.iter().map(|(name, lane)| (name.clone(), lane.content)).collect()))
    }
}
