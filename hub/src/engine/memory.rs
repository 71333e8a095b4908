//! An engine in memory. What it is asked to create next can be kept while its acknowledgement is lost, as in an election.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use tokio::sync::mpsc;

use super::{Appended, Change, Engine, Last, Log, Result, Row, Table, Unavailable};

#[derive(Clone, Default)]
pub struct Memory {
    rows: Arc<Mutex<BTreeMap<(Table, String), Row>>>,
    revision: Arc<Mutex<u64>>,
    /// Of all logs, in one order.
    appended: Arc<Mutex<Vec<(Log, String, Appended)>>>,
    asked: Arc<AtomicUsize>,
    /// Appends that are under way now, and the most that ever were.
    at_a_time: Arc<(AtomicUsize, AtomicUsize)>,
    /// The next acknowledgement of a `create` is lost, and what it asked for is kept.
    pub loses_next_create: Arc<AtomicBool>,
    /// Nothing is taken: no quorum.
    pub is_down: Arc<AtomicBool>,
}

impl Memory {
    /// How many things were appended, each id once.
    pub fn appended(&self) -> usize {
        self.appended.lock().expect("a lock").len()
    }

    /// How often a log was read.
    pub fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }

    pub fn most_at_a_time(&self) -> usize {
        self.at_a_time.1.load(Ordering::Relaxed)
    }

    fn write(&self, table: Table, key: &str, value: Bytes) -> u64 {
        let mut revision = self.revision.lock().expect("a lock");
        *revision += 1;
        let row = Row { revision: *revision, value };
        self.rows.lock().expect("a lock").insert((table, key.to_owned()), row);
        *revision
    }

    fn row(&self, table: Table, key: &str) -> Result<Option<Row>> {
        if self.is_down.load(Ordering::Relaxed) {
            return Err(Unavailable("no quorum".into()));
        }
        Ok(self.rows.lock().expect("a lock").get(&(table, key.to_owned())).cloned())
    }
}

impl Engine for Memory {
    async fn append(&self, log: Log, subject: &str, id: &str, body: Bytes) -> Result<u64> {
        self.row(Table::Router, "")?; // an error when it is down
        let (now, most) = &*self.at_a_time;
        most.fetch_max(now.fetch_add(1, Ordering::Relaxed) + 1, Ordering::Relaxed);
        // One takes longer than another: what is begun later may be there first.
        for _ in 0..id.bytes().fold(0, u8::wrapping_add) % 8 {
            tokio::task::yield_now().await;
        }
        now.fetch_sub(1, Ordering::Relaxed);
        let mut all = self.appended.lock().expect("a lock");
        if let Some((.., kept)) = all.iter().find(|(of, known, _)| (*of, known.as_str()) == (log, id)) {
            return Ok(kept.sequence);
        }
        let sequence = all.len() as u64 + 1;
        all.push((log, id.to_owned(), Appended { sequence, subject: subject.to_owned(), body }));
        Ok(sequence)
    }

    async fn next(&self, log: Log, subject: &str, after: u64) -> Result<Option<Appended>> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        self.row(Table::Router, "")?;
        let of = |known: &str| match subject.strip_suffix('>') {
            Some(begin) => known.starts_with(begin),
            None => known == subject,
        };
        let all = self.appended.lock().expect("a lock");
        let mut found = all.iter().filter(|(of_log, _, one)| *of_log == log && of(&one.subject));
        Ok(found.find(|(_, _, one)| one.sequence > after).map(|(_, _, one)| one.clone()))
    }

    async fn get(&self, table: Table, key: &str) -> Result<Option<Row>> {
        self.row(table, key)
    }

    async fn create(&self, table: Table, key: &str, value: Bytes) -> Result<Option<u64>> {
        if self.row(table, key)?.is_some() {
            return Ok(None);
        }
        let revision = self.write(table, key, value);
        if self.loses_next_create.swap(false, Ordering::Relaxed) {
            return Err(Unavailable("no acknowledgement came".into()));
        }
        Ok(Some(revision))
    }

    async fn update(&self, table: Table, key: &str, value: Bytes, revision: u64) -> Result<Option<u64>> {
        let is_of = self.row(table, key)?.is_some_and(|row| row.revision == revision);
        Ok(is_of.then(|| self.write(table, key, value)))
    }

    async fn remove(&self, table: Table, key: &str, revision: u64) -> Result<bool> {
        let is_of = self.row(table, key)?.is_some_and(|row| row.revision == revision);
        if is_of {
            self.rows.lock().expect("a lock").remove(&(table, key.to_owned()));
        }
        Ok(is_of)
    }

    async fn put(&self, table: Table, key: &str, value: Bytes) -> Result<()> {
        self.row(table, key)?;
        self.write(table, key, value);
        Ok(())
    }

    async fn watch(&self, _: Table) -> Result<(usize, mpsc::Receiver<Change>)> {
        Err(Unavailable("nobody watches in these tests".into()))
    }

    async fn last(&self, _: Log) -> Result<Last> {
        Ok(Last { epoch: "1".into(), sequence: self.appended() as u64 })
    }
}
