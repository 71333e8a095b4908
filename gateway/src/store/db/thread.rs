//! The thread that owns the connection and commits in groups: what waits while one commit's fsync runs shares the
//! next, so a flood costs one fsync a batch, and a lonely event waits for nobody.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rusqlite::{ErrorCode, Result};
use tokio::sync::{mpsc, oneshot, watch};

use crate::store::Store;
use crate::store::db::commit_watermark::NewestIds;
use crate::store::db::salvage;
use crate::time::SystemClock;

/// Jobs in one transaction. The intake hands in all events that came together as one job, so that more jobs are of other tasks.
pub const GROUP_MAX: usize = 32;
/// Jobs that may wait: every task of the daemon has at most a few dozen under way.
const QUEUE_MAX: usize = 256;

/// One piece of work: first inside the transaction, then, after the commit, the answer to whoever waits.
pub trait Job: Send {
    fn work(&mut self, store: &Store) -> Result<()>;
    fn answer(self: Box<Self>, held: std::result::Result<(), StoreError>);
}

/// Jobs that wait. The store's thread takes them as they come; a simulation takes some when it likes.
#[derive(Debug)]
pub struct StoreQueue {
    inbox: mpsc::Receiver<StoreJob>,
    failing: watch::Sender<Option<Arc<str>>>,
}

/// The outcome of a group of jobs. Whoever asked knows already.
#[derive(Debug)]
pub enum GroupOutcome {
    /// But for those that the database refused, and why.
    OnDisk { refused: Vec<String> },
    /// Nothing was written, and it may be tried again.
    NoRoom(StoreError),
}

struct Pending<T, F> {
    work: Option<F>,
    value: Option<T>,
    waiting: oneshot::Sender<std::result::Result<T, StoreError>>,
}

impl<T: Send, F: FnOnce(&Store) -> Result<T> + Send> Job for Pending<T, F> {
    fn work(&mut self, store: &Store) -> Result<()> {
        if let Some(work) = self.work.take() {
            self.value = Some(work(store)?);
        }
        Ok(())
    }

    fn answer(self: Box<Self>, held: std::result::Result<(), StoreError>) {
        let value = self.value;
        let outcome = held.and_then(|()| value.ok_or(StoreError::Failed("the work was not done".into())));
        drop(self.waiting.send(outcome)); // whoever asked may have given up waiting
    }
}

/// The reason why a write is not on disk.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// Nothing was written; the same may be asked again later.
    #[error("the disk is full: free some space, or attach a larger one; nothing is accepted until then")]
    DiskFull,
    /// Nothing was written; somebody else holds the database.
    #[error("another program has been writing to the database for 5 s; close it")]
    Busy,
    /// The statement itself is wrong, or its row is: a mistake of ours, and only this job's.
    #[error("the database refused the statement: {0}")]
    Refused(Arc<rusqlite::Error>),
    /// The disk failed. A commit that failed is never tried again in the same process (fsyncgate): it must end.
    #[error("the disk failed: {0}; the process ends, and the next one reads what is on the disk")]
    Failed(Arc<str>),
}

/// Asks the store's thread.
#[derive(Debug, Clone)]
pub struct StoreHandle {
    log: Arc<Path>,
    orders: mpsc::Sender<StoreJob>,
    failed: watch::Receiver<Option<Arc<str>>>,
}

enum StoreJob {
    Work(Box<dyn Job>),
    /// What was asked before is still done, what comes later is refused.
    Close,
}

/// The thread itself.
#[derive(Debug)]
pub struct StoreThread {
    thread: std::thread::JoinHandle<()>,
    orders: mpsc::Sender<StoreJob>,
    ended: oneshot::Receiver<()>,
}

impl Store {
    /// Jobs for this store come out at the other end.
    #[must_use]
    pub fn queue(&self) -> (StoreHandle, StoreQueue) {
        let (orders, inbox) = mpsc::channel(QUEUE_MAX);
        let (failing, failed) = watch::channel(None);
        let log = self.directory.join("bellwire.db-wal").into();
        (StoreHandle { log, orders, failed }, StoreQueue { inbox, failing })
    }

    /// Moves the store to its thread. `committed` is told how long the disk took for each commit that wrote something.
    pub fn start(
        self,
        committed: impl Fn(Duration) + Send + 'static,
    ) -> std::io::Result<(StoreHandle, StoreThread)> {
        let (handle, queue) = self.queue();
        let (end, ended) = oneshot::channel();
        let thread = std::thread::Builder::new().name("store".into()).spawn(move || {
            run(&self, queue, &committed);
            drop(self); // the database is closed, its WAL folded in
            let _nobody_waits_if_the_disk_failed = end.send(());
        })?;
        let orders = handle.orders.clone();
        Ok((handle, StoreThread { thread, orders, ended }))
    }
}

impl StoreQueue {
    /// The number of jobs that wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.inbox.len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.inbox.is_empty()
    }

    /// As many of those that wait, the oldest first.
    pub fn take(&mut self, most: usize) -> Vec<Box<dyn Job>> {
        let mut group = Vec::new();
        while group.len() < most
            && let Ok(StoreJob::Work(job)) = self.inbox.try_recv()
        {
            group.push(job);
        }
        group
    }
}

impl StoreThread {
    /// Waits for the last commit. It is told to end, rather than left to notice that nobody asks any more: a task that is
    /// still waiting for its answer would keep it, and be kept by it, for ever.
    pub async fn close(self) {
        drop(self.orders.send(StoreJob::Close).await); // it has ended already if the disk failed
        drop(self.ended.await);
        if self.thread.join().is_err() {
            tracing::error!("the store's thread ended in a panic");
        }
    }
}

impl StoreHandle {
    /// Runs `work` in a transaction, perhaps together with others', and answers when it is on disk.
    pub async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Store) -> Result<T> + Send + 'static,
    ) -> std::result::Result<T, StoreError> {
        let (waiting, answered) = oneshot::channel();
        let job = Box::new(Pending { work: Some(work), value: None, waiting });
        if self.orders.send(StoreJob::Work(job)).await.is_err() {
            return Err(self.reason());
        }
        answered.await.unwrap_or_else(|_| Err(self.reason()))
    }

    /// SQLite's log: it changes with each commit.
    #[must_use]
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// Waits until the disk has failed.
    pub async fn failed(&mut self) -> Arc<str> {
        match self.failed.wait_for(Option::is_some).await {
            Ok(reason) => reason.clone().unwrap_or_else(|| "unknown".into()),
            Err(_) => "the store's thread has ended".into(),
        }
    }

    fn reason(&self) -> StoreError {
        match &*self.failed.borrow() {
            Some(reason) => StoreError::Failed(Arc::clone(reason)),
            None => StoreError::Failed("the store has been closed".into()),
        }
    }
}

fn run(store: &Store, mut queue: StoreQueue, committed: &dyn Fn(Duration)) {
    let mut open = true;
    while open {
        let mut group = Vec::new();
        let mut next = queue.inbox.blocking_recv();
        while let Some(order) = next {
            match order {
                StoreJob::Work(job) => group.push(job),
                StoreJob::Close => {
                    open = false;
                    break;
                }
            }
            next = if group.len() < GROUP_MAX { queue.inbox.try_recv().ok() } else { None };
        }
        if group.is_empty() {
            return; // closed, or nobody can ask any more
        }
        match store.commit(group, committed) {
            Ok(GroupOutcome::NoRoom(StoreError::DiskFull)) => {
                tracing::error!("the disk is full; making room from the reserve");
                store.make_room();
            }
            Ok(GroupOutcome::NoRoom(_)) => {
                tracing::error!("another program has been writing to the database for 5 s");
            }
            Ok(GroupOutcome::OnDisk { .. }) => {}
            Err(error) => {
                let reason: Arc<str> = error.to_string().into();
                tracing::error!(error = %reason, "the disk failed");
                if salvage::is_damage(&error) {
                    salvage::suspect(&store.directory);
                }
                queue.failing.send_replace(Some(reason));
                return;
            }
        }
    }
}

impl Store {
    /// Runs the group in one transaction, each job but the first behind its own savepoint, and answers each. An error that is returned is the
    /// disk's.
    pub fn commit(
        &self,
        mut group: Vec<Box<dyn Job>>,
        committed: &dyn Fn(Duration),
    ) -> std::result::Result<GroupOutcome, rusqlite::Error> {
        let error = match transact(self, &mut group, committed) {
            Ok((refused, newest)) => {
                self.held();
                newest.into_iter().for_each(|newest| self.mark_up_to(newest));
                let why = refused.iter().flatten().map(ToString::to_string).collect();
                for (job, refusal) in group.into_iter().zip(refused) {
                    job.answer(refusal.map_or(Ok(()), |error| Err(StoreError::Refused(Arc::new(error)))));
                }
                return Ok(GroupOutcome::OnDisk { refused: why });
            }
            Err(error) => error,
        };
        let _already_rolled_back = self.sql.execute_batch("ROLLBACK");
        self.undone(0);
        let gone = match error.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => StoreError::DiskFull,
            Some(ErrorCode::DatabaseBusy) => StoreError::Busy,
            _ => StoreError::Failed(error.to_string().into()),
        };
        for job in group {
            job.answer(Err(gone.clone()));
        }
        match gone {
            StoreError::DiskFull | StoreError::Busy => Ok(GroupOutcome::NoRoom(gone)),
            StoreError::Failed(_) | StoreError::Refused(_) => Err(error),
        }
    }
}

/// What each job was refused with, if it was, and the newest ids, if something was written. Errors of the disk end the whole group.
fn transact(
    store: &Store,
    group: &mut [Box<dyn Job>],
    committed: &dyn Fn(Duration),
) -> Result<(Vec<Option<rusqlite::Error>>, Option<NewestIds>)> {
    let mut refused = Vec::with_capacity(group.len());
    let step = |words: &str| store.sql.prepare_cached(words)?.execute([]).map(drop);
    let before = store.sql.total_changes();
    step("BEGIN IMMEDIATE")?;
    for job in group {
        // A savepoint makes SQLite copy each page before it is changed. The first job needs none: the transaction is its own
        // until the second begins, and most groups are of one.
        let is_first = refused.is_empty();
        if !is_first {
            step("SAVEPOINT job")?;
        }
        let depth = store.undo_depth();
        let refusal = match job.work(store) {
            Ok(()) => None,
            Err(error) if is_the_disks(&error) => return Err(error),
            Err(error) => {
                tracing::error!(%error, "the database refused a statement");
                if is_first {
                    step("ROLLBACK")?;
                    step("BEGIN IMMEDIATE")?;
                } else {
                    step("ROLLBACK TO job")?;
                }
                store.undone(depth);
                Some(error)
            }
        };
        if !is_first {
            step("RELEASE job")?;
        }
        refused.push(refusal);
    }
    let has_written = store.sql.total_changes() > before;
    // Asked here: after the commit it would be a transaction of its own, with four locks of a file.
    let newest = if has_written { store.newest().ok() } else { None };
    let began = SystemClock.both().steady;
    step("COMMIT")?;
    // What only read waits for no disk, and would make every disk look fast.
    if has_written {
        committed(SystemClock.both().steady.saturating_sub(began));
    }
    Ok((refused, newest))
}

fn is_the_disks(error: &rusqlite::Error) -> bool {
    matches!(
        error.sqlite_error_code(),
        Some(
            ErrorCode::DiskFull
                | ErrorCode::SystemIoFailure
                | ErrorCode::DatabaseCorrupt
                | ErrorCode::NotADatabase
                | ErrorCode::ReadOnly
                | ErrorCode::CannotOpen
                | ErrorCode::DatabaseBusy
                | ErrorCode::OutOfMemory
        )
    )
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    type Seen = Arc<Mutex<Vec<String>>>;

    /// Writes a row, and is refused if it stands there already.
    struct Row(&'static str, Seen);

    impl Job for Row {
        fn work(&mut self, store: &Store) -> Result<()> {
            let Self(key, seen) = self;
            let (seen, undone) = (Arc::clone(seen), format!("{key} undone"));
            store.on_rollback(move || seen.lock().expect("unpoisoned").push(undone));
            let add = |key: &str| store.sql.execute("INSERT INTO meta VALUES (?1, '')", [key]).map(drop);
            add(key)?;
            add(&format!("{key}, its second"))
        }

        fn answer(self: Box<Self>, held: std::result::Result<(), StoreError>) {
            let word = if held.is_ok() { "held" } else { "refused" };
            self.1.lock().expect("unpoisoned").push(format!("{} {word}", self.0));
        }
    }

    #[test]
    fn a_refused_job_leaves_nothing_and_the_others_hold() {
        for refused in 0..3 {
            let (_folder, store) = Store::in_new_folder();
            let seen = Seen::default();
            let keys = ["a", "b", "c"];
            // What it writes first is put back: the second row is there already.
            let second = format!("{}, its second", keys[refused]);
            store.sql.execute("INSERT INTO meta VALUES (?1, '')", [second]).expect("written");
            let group = keys.map(|key| Box::new(Row(key, Arc::clone(&seen))) as Box<dyn Job>);
            store.commit(group.into(), &|_| {}).expect("the disk holds");
            let said: Vec<String> = std::iter::once(format!("{} undone", keys[refused]))
                .chain(
                    keys.iter()
                        .enumerate()
                        .map(|(at, key)| format!("{key} {}", if at == refused { "refused" } else { "held" })),
                )
                .collect();
            assert_eq!(*seen.lock().expect("unpoisoned"), said);
            let has = |key: &str| {
                let count = "SELECT count(*) FROM meta WHERE key = ?1";
                store.sql.query_row(count, [key], |row| row.get::<_, i64>(0)).expect("counted") == 1
            };
            assert_eq!(keys.map(has), [0, 1, 2].map(|at| at != refused));
        }
    }
}
