//! Writing that waits until it is on disk.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use crate::machine::{FileMark, Machine};
use crate::store::{self, Store, StoreError, StoreHandle};
use crate::task::readiness::Readiness;

/// The time between two tries on a full disk.
pub const DISK_FULL_PAUSE: Duration = Duration::from_secs(1);

/// The database refuses what it was given: the statement or its row is wrong, and would be wrong again.
#[derive(Debug)]
pub struct StatementRefused(pub String);

#[derive(Debug)]
pub struct DurableStore {
    handle: StoreHandle,
    readiness: Arc<Readiness>,
    machine: Arc<dyn Machine>,
    /// What the database refused although nobody can leave it out, so that the process ends.
    refused: watch::Sender<Option<String>>,
}

impl DurableStore {
    pub fn new(handle: StoreHandle, readiness: Arc<Readiness>, machine: Arc<dyn Machine>) -> Self {
        Self { handle, readiness, machine, refused: watch::channel(None).0 }
    }

    /// For those who look, or whose work nobody would miss: a full disk is not waited out.
    pub async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Store) -> store::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.handle.run(work).await
    }

    pub fn handle(&self) -> StoreHandle {
        self.handle.clone()
    }

    /// Changes when anybody, an operator's command included, has written: when and how long SQLite's log is. Asking the
    /// file system wakes nobody, where asking the store's thread wakes two.
    pub fn last_write(&self) -> FileMark {
        self.machine.mark(self.handle.log())
    }

    /// Runs `work` until it is on disk: a full disk is waited out, since the same rows may be written later. `None` means that
    /// the disk has failed, or refused what nobody can leave out; the process is about to end, and whoever asked just stops.
    pub async fn durably<T: Send + 'static>(
        &self,
        work: impl Fn(&Store) -> store::Result<T> + Send + Sync + 'static,
    ) -> Option<T> {
        let end = |StatementRefused(why)| drop(self.refused.send_replace(Some(why)));
        self.durably_unless_refused(work).await?.map_err(end).ok()
    }

    /// The same for whoever can leave out what the database refuses.
    pub async fn durably_unless_refused<T: Send + 'static>(
        &self,
        work: impl Fn(&Store) -> store::Result<T> + Send + Sync + 'static,
    ) -> Option<Result<T, StatementRefused>> {
        let work = Arc::new(work);
        loop {
            let work = Arc::clone(&work);
            match self.handle.run(move |store| work(store)).await {
                Ok(value) => {
                    self.readiness.disk_is_full(false);
                    return Some(Ok(value));
                }
                Err(error @ (StoreError::DiskFull | StoreError::Busy)) => {
                    self.readiness.disk_is_full(matches!(error, StoreError::DiskFull));
                    self.machine.sleep(DISK_FULL_PAUSE).await;
                }
                Err(error @ StoreError::Refused(_)) => {
                    tracing::error!(%error, "a write to the database failed");
                    return Some(Err(StatementRefused(error.to_string())));
                }
                Err(error @ StoreError::Failed(_)) => {
                    tracing::error!(%error, "a write to the database failed");
                    return None;
                }
            }
        }
    }

    /// Waits until the database refuses what nobody can leave out: why.
    pub async fn refused_for_good(&self) -> String {
        let mut refused = self.refused.subscribe();
        let why = refused.wait_for(Option::is_some).await.ok().and_then(|why| why.clone());
        why.unwrap_or_default()
    }
}
