//! An engine in memory. What it is asked to create next can be kept while its acknowledgement is lost, as in an election.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use tokio::sync::mpsc;

use super::{Appended, Change, Engine, Log, Result, Row, Table, Unavailable};

#[derive(Clone, Default)]
pub struct Memory {
    rows: Arc<Mutex<BTreeMap<(Table, String), Row>>>,
    revision: Arc<Mutex<u64>>,
    appended: Arc<Mutex<std::collections::BTreeSet<String>>>,
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
    async fn append(&self, _: Log, _: &str, id: &str, _: Bytes) -> Result<()> {
        self.row(Table::Router, "")?; // an error when it is down
        self.appended.lock().expect("a lock").insert(id.to_owned());
        Ok(())
    }

    async fn next(&self, _: Log, _: &str, _: u64) -> Result<Option<Appended>> {
        Ok(None)
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

    async fn epoch(&self, _: Log) -> Result<String> {
        Ok("1".into())
    }
}
