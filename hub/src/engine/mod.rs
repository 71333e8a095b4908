//! What keeps everything that a hub may not lose: logs to which things are appended once, and tables whose rows are changed by
//! revision. Few verbs, so that another engine could take NATS's place (docs/decisions/0037).

/// NATS JetStream.
mod jetstream;
/// A table in memory, kept up to date.
mod follow;
/// A start waits for the engine.
mod ready;
/// What an append costs.
mod bench;
/// The same in memory, for tests of what stands on it: it can lose an acknowledgement on purpose.
#[cfg(test)]
pub mod memory;

use std::future::Future;
use std::time::Duration;

use bytes::Bytes;
use serde::Serialize;
use tokio::sync::mpsc;

pub use bench::{IN_FLIGHT, bench};
pub use follow::{Rows, follow, rows};
pub use jetstream::{JetStream, Signals};
pub use ready::until_ready;

/// Appended to, and read in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Log {
    /// Webhook bodies as Meta sent them, before anybody has judged them: a rule that was wrong can be run again.
    Raw,
    /// What is for a site, one subject each.
    Inbound,
    /// What is for no site, or for more than one.
    Unrouted,
    /// Who did what, in chains.
    Audit,
}

/// Rows by key, the newest alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Table {
    /// Sites by name.
    Sites,
    /// Enrolment codes, by digest. The engine forgets them after an hour.
    Codes,
    /// Sends by key: begun, then done.
    Sent,
    /// Which site a store belongs to, by the store's tag.
    Tags,
    /// Which site sent a message, by its wamid; and which may ask for a file, by its id.
    Routes,
    /// Which sites wrote to a person in the last 24 h.
    Wrote,
    /// When each site asked last.
    Seen,
    /// How far the raw log has been routed, and who does it.
    Router,
    /// How much of its day's quota each site has taken.
    Quota,
    /// What each person has been sent over each number in the last minutes.
    Pairs,
    /// When each person was last written to with a template, which may be the first to them in a day.
    Reached,
    /// Where each chain of the audit ends.
    Heads,
}

impl Log {
    pub const ALL: [Self; 4] = [Self::Raw, Self::Inbound, Self::Unrouted, Self::Audit];

    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Raw => "RAW",
            Self::Inbound => "IN",
            Self::Unrouted => "UNROUTED",
            Self::Audit => "AUDIT",
        }
    }

    /// The first word of its subjects.
    #[must_use]
    pub fn subject(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::Inbound => "in",
            Self::Unrouted => "unrouted",
            Self::Audit => "audit",
        }
    }

    /// Long enough to run a wrong rule again; a shop that is closed for two weeks; a month for a person to look; a quarter of a year
    /// for who asks what was done.
    #[must_use]
    pub fn keeps(self) -> Duration {
        match self {
            Self::Raw => days(7),
            Self::Inbound => days(14),
            Self::Unrouted => days(30),
            Self::Audit => days(90),
        }
    }
}

impl Table {
    pub const ALL: [Self; 12] = [
        Self::Sites,
        Self::Codes,
        Self::Sent,
        Self::Tags,
        Self::Routes,
        Self::Wrote,
        Self::Seen,
        Self::Router,
        Self::Quota,
        Self::Pairs,
        Self::Reached,
        Self::Heads,
    ];

    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Sites => "SITES",
            Self::Codes => "CODES",
            Self::Sent => "SENT",
            Self::Tags => "TAGS",
            Self::Routes => "ROUTES",
            Self::Wrote => "WROTE",
            Self::Seen => "SEEN",
            Self::Router => "ROUTER",
            Self::Quota => "QUOTA",
            Self::Pairs => "PAIRS",
            Self::Reached => "REACHED",
            Self::Heads => "HEADS",
        }
    }

    /// `None`: for ever. A site repeats a key for a minute and a half, so that three days are plenty; a person may quote a
    /// message of a month ago; a burst to a person is paid back in 270 s.
    #[must_use]
    pub fn keeps(self) -> Option<Duration> {
        match self {
            Self::Sites | Self::Tags | Self::Seen | Self::Router | Self::Quota => None,
            Self::Codes => Some(Duration::from_secs(3_600)),
            Self::Sent => Some(days(3)),
            Self::Routes => Some(days(30)),
            Self::Wrote => Some(days(1)),
            Self::Pairs => Some(Duration::from_secs(300)),
            Self::Reached => Some(Duration::from_secs(25 * 3_600)),
            Self::Heads => Some(Log::Audit.keeps()),
        }
    }
}

const fn days(number: u64) -> Duration {
    Duration::from_secs(number * 24 * 3_600)
}

/// Something of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Appended {
    pub sequence: u64,
    pub subject: String,
    pub body: Bytes,
}

/// Where a log ends: which life of it this is (one that was lost and made anew has another), and the sequence that was given last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Last {
    pub epoch: String,
    pub sequence: u64,
}

/// A row of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    pub revision: u64,
    pub value: Bytes,
}

/// A change of a table: its key, and the value unless it was removed.
pub type Change = (String, Option<Bytes>);

/// It did not answer, or refused: what was asked may have been done, or not.
#[derive(Debug, Clone, thiserror::Error)]
#[error("the engine did not answer, or refused: {0}")]
pub struct Unavailable(pub String);

pub type Result<T> = std::result::Result<T, Unavailable>;

pub trait Engine: Clone + Send + Sync + 'static {
    /// On disk at a majority when it returns. The same `id` again within ten minutes changes nothing. Where in
    /// the log it is.
    fn append(
        &self,
        log: Log,
        subject: &str,
        id: &str,
        body: Bytes,
    ) -> impl Future<Output = Result<u64>> + Send;
    /// The first under that subject behind `after`. A replica that lags behind finds nothing yet; it skips nothing.
    fn next(
        &self,
        log: Log,
        subject: &str,
        after: u64,
    ) -> impl Future<Output = Result<Option<Appended>>> + Send;
    /// As of the last write that was acknowledged before, whichever hub made it.
    fn get(&self, table: Table, key: &str) -> impl Future<Output = Result<Option<Row>>> + Send;
    /// `None`: there is such a row already.
    fn create(
        &self,
        table: Table,
        key: &str,
        value: Bytes,
    ) -> impl Future<Output = Result<Option<u64>>> + Send;
    /// `None`: it is not of that revision any more.
    fn update(
        &self,
        table: Table,
        key: &str,
        value: Bytes,
        revision: u64,
    ) -> impl Future<Output = Result<Option<u64>>> + Send;
    /// `false`: it is not of that revision any more.
    fn remove(&self, table: Table, key: &str, revision: u64) -> impl Future<Output = Result<bool>> + Send;
    /// Whatever is there.
    fn put(&self, table: Table, key: &str, value: Bytes) -> impl Future<Output = Result<()>> + Send;
    /// All rows there are, and then each change. The first number is how many of them are there now. It ends when the engine
    /// does not bring changes any more: ask again.
    fn watch(&self, table: Table) -> impl Future<Output = Result<(usize, mpsc::Receiver<Change>)>> + Send;
    /// Where a log ends: one question for all sites that wait at a hub.
    fn last(&self, log: Log) -> impl Future<Output = Result<Last>> + Send;
}

/// As rows, entries of the audit and what hubs tell each other are written.
pub fn json(value: &impl Serialize) -> Bytes {
    serde_json::to_vec(value).unwrap_or_default().into()
}

/// Reads a row, lets `change` make another of it and writes that, until nobody came in between. `change` returns `None` to leave
/// it as it is. Five times: rows that are changed so belong to one person or one site.
pub async fn change<E: Engine>(
    engine: &E,
    table: Table,
    key: &str,
    change: impl Fn(Option<&[u8]>) -> Option<Bytes>,
) -> Result<bool> {
    for _ in 0..5 {
        let row = engine.get(table, key).await?;
        let Some(value) = change(row.as_ref().map(|row| &row.value[..])) else { return Ok(false) };
        let written = match row {
            Some(row) => engine.update(table, key, value, row.revision).await?,
            None => engine.create(table, key, value).await?,
        };
        if written.is_some() {
            return Ok(true);
        }
    }
    Err(Unavailable(format!("{key} in {} is changed by others all the time", table.name())))
}
