//! The engine under the hubs: what it has taken outlives every hub. A write happens when the world likes, its acknowledgement may be
//! lost, and rows may be as another version of the hub writes them.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bellwire::random::Rng;
use bellwire_hub::engine::{Appended, Change, Engine, Last, Log, Result, Row, Table, Unavailable};
use bytes::Bytes;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use crate::sabotage::Sabotage;

/// What is appended under the same id within this time is there once, as in the real one.
const REPEATS: Duration = Duration::from_secs(600);
/// What no row has: a sabotage's.
const UNWRITTEN: u64 = 0;

/// How a write ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    Done,
    /// Done, and its acknowledgement is lost.
    Unheard,
    Refused,
}

struct Call {
    hub: usize,
    waker: Waker,
    fate: Option<Fate>,
}

/// One life of a log.
#[derive(Debug, Clone, Default)]
pub struct Life {
    pub number: u64,
    pub items: Vec<Appended>,
    ids: BTreeMap<String, (Duration, u64)>,
}

struct State {
    time: Duration,
    dice: Rng,
    is_down: bool,
    rows: BTreeMap<(Table, String), Row>,
    revision: u64,
    logs: BTreeMap<Log, Life>,
    calls: BTreeMap<u64, Call>,
    last_call: u64,
    /// For whom something was appended.
    news: Vec<(String, u64)>,
    /// Sends of which it did not take or tell what became of them.
    troubled: BTreeSet<String>,
}

/// As one of the hubs sees it.
#[derive(Clone)]
pub struct SimEngine {
    state: Arc<Mutex<State>>,
    hub: usize,
    sabotage: Option<Sabotage>,
}

impl SimEngine {
    pub fn new(dice: Rng, sabotage: Option<Sabotage>) -> Self {
        let state = State {
            time: Duration::ZERO,
            dice,
            is_down: false,
            rows: BTreeMap::new(),
            revision: 0,
            logs: Log::ALL.into_iter().map(|log| (log, Life { number: 1, ..Life::default() })).collect(),
            calls: BTreeMap::new(),
            last_call: 0,
            news: Vec::new(),
            troubled: BTreeSet::new(),
        };
        Self { state: Arc::new(Mutex::new(state)), hub: 0, sabotage }
    }

    pub fn of(&self, hub: usize) -> Self {
        Self { hub, ..self.clone() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn tick(&self, time: Duration) {
        self.state().time = time;
    }

    pub fn is_down(&self, is_down: bool) {
        self.state().is_down = is_down;
    }

    /// Writes that wait.
    pub fn waiting(&self) -> Vec<u64> {
        let state = self.state();
        state.calls.iter().filter(|(_, call)| call.fate.is_none()).map(|(id, _)| *id).collect()
    }

    /// One of them happens, or not.
    pub fn grant(&self, id: u64, fate: Fate) {
        let mut state = self.state();
        let is_down = state.is_down;
        if let Some(call) = state.calls.get_mut(&id) {
            call.fate = Some(if is_down { Fate::Refused } else { fate });
            call.waker.wake_by_ref();
        }
    }

    /// A hub has ended: what it asked for and did not get does not happen.
    pub fn forget(&self, hub: usize) {
        self.state().calls.retain(|_, call| call.hub != hub);
    }

    pub fn news(&self) -> Vec<(String, u64)> {
        std::mem::take(&mut self.state().news)
    }

    pub fn log(&self, log: Log) -> Life {
        self.state().logs[&log].clone()
    }

    /// Which life of it this is.
    pub fn number(&self, log: Log) -> u64 {
        self.state().logs[&log].number
    }

    pub fn end(&self, log: Log) -> Last {
        let life = &self.state().logs[&log];
        let sequence = life.items.last().map_or(0, |item| item.sequence);
        Last { epoch: format!("{:x}", life.number), sequence }
    }

    /// How far the log of what Meta sent is routed, as it was written down last.
    pub fn routed(&self) -> u64 {
        let state = self.state();
        let place = state.rows.get(&(Table::Router, "raw".to_owned()));
        let place: Option<Value> = place.and_then(|row| serde_json::from_slice(&row.value).ok());
        place.and_then(|place| place["sequence"].as_u64()).unwrap_or(0)
    }

    pub fn is_troubled(&self, key: &str) -> bool {
        self.state().troubled.contains(key)
    }

    /// Both logs are made anew. What Meta sent is put back from a copy, what was for sites is not.
    pub fn lose_logs(&self) {
        let mut state = self.state();
        for log in [Log::Raw, Log::Inbound] {
            let Some(life) = state.logs.get_mut(&log) else { continue };
            let kept = if log == Log::Raw { std::mem::take(&mut life.items) } else { Vec::new() };
            let items = kept.into_iter().enumerate();
            let items = items.map(|(at, item)| Appended { sequence: at as u64 + 1, ..item }).collect();
            *life = Life { number: life.number + 1, items, ids: BTreeMap::new() };
        }
    }

    async fn turn(&self) -> Fate {
        let id = {
            let mut state = self.state();
            state.last_call += 1;
            state.last_call
        };
        Turn { id, engine: self.clone() }.await
    }

    /// A write of one row; an error is one of its acknowledgement.
    async fn write<T>(
        &self,
        key: (Table, &str),
        may_trouble: bool,
        change: impl FnOnce(&mut State) -> T,
    ) -> Result<T> {
        let fate = self.turn().await;
        let mut state = self.state();
        if fate != Fate::Done && may_trouble && key.0 == Table::Sent {
            state.troubled.insert(key.1.to_owned());
        }
        match fate {
            Fate::Refused => Err(Unavailable("no quorum".into())),
            Fate::Done => Ok(change(&mut state)),
            Fate::Unheard => {
                change(&mut state);
                Err(Unavailable("no acknowledgement came".into()))
            }
        }
    }

    fn asks_before_it_begins(&self, table: Table) -> bool {
        table == Table::Sent && self.sabotage == Some(Sabotage::AskBeforeBegun)
    }
}

impl State {
    fn put(&mut self, table: Table, key: &str, value: Bytes) -> u64 {
        self.revision += 1;
        self.rows.insert((table, key.to_owned()), Row { revision: self.revision, value });
        self.revision
    }

    fn is_of(&self, table: Table, key: &str, revision: u64) -> bool {
        self.rows.get(&(table, key.to_owned())).is_some_and(|row| row.revision == revision)
    }

    fn append(&mut self, log: Log, subject: &str, id: &str, body: Bytes) -> u64 {
        let time = self.time;
        let life = self.logs.entry(log).or_default();
        if let Some((_, sequence)) = life.ids.get(id).filter(|(at, _)| time.saturating_sub(*at) < REPEATS) {
            return *sequence;
        }
        let sequence = life.items.last().map_or(0, |item| item.sequence) + 1;
        life.ids.insert(id.to_owned(), (time, sequence));
        life.items.push(Appended { sequence, subject: subject.to_owned(), body });
        if let Some(site) = subject.strip_prefix("in.") {
            self.news.push((site.to_owned(), sequence));
        }
        sequence
    }

    /// The same row as an older or a newer hub would have written it: fields are missing that have a default, others are there that
    /// nobody here knows.
    fn as_another_version(&mut self, row: Row) -> Row {
        let Ok(mut value) = serde_json::from_slice::<Value>(&row.value) else { return row };
        let Some(fields) = value.as_object_mut() else { return row };
        match self.dice.below(4) {
            0 => {
                fields.insert("written_by".to_owned(), json!({ "version": "9.9", "build": [1, 2] }));
                if let Some(answer) = fields.get_mut("answer").and_then(Value::as_object_mut) {
                    answer.insert("billed".to_owned(), json!(true));
                }
            }
            1 => {
                fields.retain(|_, value| !value.is_null());
                if let Some(answer) = fields.get_mut("answer").and_then(Value::as_object_mut) {
                    answer.retain(|_, value| *value != json!(false));
                }
            }
            _ => return row,
        }
        Row { value: value.to_string().into(), ..row }
    }
}

struct Turn {
    id: u64,
    engine: SimEngine,
}

impl Future for Turn {
    type Output = Fate;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Fate> {
        let mut state = self.engine.state();
        if let Some(fate) = state.calls.get(&self.id).and_then(|call| call.fate) {
            state.calls.remove(&self.id);
            return Poll::Ready(fate);
        }
        let call = Call { hub: self.engine.hub, waker: context.waker().clone(), fate: None };
        state.calls.insert(self.id, call);
        Poll::Pending
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.engine.state().calls.remove(&self.id);
    }
}

impl Engine for SimEngine {
    async fn append(&self, log: Log, subject: &str, id: &str, body: Bytes) -> Result<u64> {
        self.write((Table::Router, ""), false, |state| state.append(log, subject, id, body)).await
    }

    async fn next(&self, log: Log, subject: &str, after: u64) -> Result<Option<Appended>> {
        let state = self.state();
        if state.is_down {
            return Err(Unavailable("no quorum".into()));
        }
        let is_wanted = |item: &&Appended| {
            let prefix = subject.strip_suffix('>');
            let is_of = prefix.map_or(item.subject == subject, |prefix| item.subject.starts_with(prefix));
            item.sequence > after && is_of
        };
        Ok(state.logs[&log].items.iter().find(is_wanted).cloned())
    }

    async fn get(&self, table: Table, key: &str) -> Result<Option<Row>> {
        let mut state = self.state();
        if state.is_down {
            if table == Table::Sent {
                state.troubled.insert(key.to_owned());
            }
            return Err(Unavailable("no quorum".into()));
        }
        let row = state.rows.get(&(table, key.to_owned())).cloned();
        match table {
            Table::Sent | Table::Router => Ok(row.map(|row| state.as_another_version(row))),
            Table::Sites
            | Table::Codes
            | Table::Tags
            | Table::Routes
            | Table::Wrote
            | Table::Seen
            | Table::Quota
            | Table::Pairs
            | Table::Reached
            | Table::Heads => Ok(row),
        }
    }

    async fn create(&self, table: Table, key: &str, value: Bytes) -> Result<Option<u64>> {
        if self.asks_before_it_begins(table) {
            return Ok(Some(UNWRITTEN));
        }
        let create = |state: &mut State| {
            let is_there = state.rows.contains_key(&(table, key.to_owned()));
            (!is_there).then(|| state.put(table, key, value))
        };
        self.write((table, key), false, create).await
    }

    async fn update(&self, table: Table, key: &str, value: Bytes, revision: u64) -> Result<Option<u64>> {
        let is_forced = revision == UNWRITTEN && self.asks_before_it_begins(table);
        let update = |state: &mut State| {
            (is_forced || state.is_of(table, key, revision)).then(|| state.put(table, key, value))
        };
        self.write((table, key), true, update).await
    }

    async fn remove(&self, table: Table, key: &str, revision: u64) -> Result<bool> {
        let remove = |state: &mut State| {
            let is_of = state.is_of(table, key, revision);
            if is_of {
                state.rows.remove(&(table, key.to_owned()));
            }
            is_of
        };
        self.write((table, key), true, remove).await
    }

    async fn put(&self, table: Table, key: &str, value: Bytes) -> Result<()> {
        self.write((table, key), false, |state| state.put(table, key, value)).await.map(drop)
    }

    async fn watch(&self, _: Table) -> Result<(usize, mpsc::Receiver<Change>)> {
        Err(Unavailable("the sites are known here from the beginning".into()))
    }

    async fn last(&self, log: Log) -> Result<Last> {
        if self.state().is_down {
            return Err(Unavailable("no quorum".into()));
        }
        Ok(self.end(log))
    }
}
