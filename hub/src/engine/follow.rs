//! A whole table in memory, as the engine has it. A change is known here as soon as it is brought.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{mpsc, watch};

use super::{Change, Engine, Result, Table, Unavailable};

/// After the engine has ended a watch.
const AGAIN: Duration = Duration::from_millis(500);
/// All rows are there within this time, or the engine is not well.
const ALL_WITHIN: Duration = Duration::from_secs(10);

/// What is made of a table's rows.
pub trait Rows: Clone + Default + Send + Sync + 'static {
    fn apply(&mut self, change: Change);
}

impl Rows for BTreeMap<String, Bytes> {
    fn apply(&mut self, (key, value): Change) {
        match value {
            Some(value) => self.insert(key, value),
            None => self.remove(&key),
        };
    }
}

/// Everything there is, before anything is answered; then a task keeps it up to date.
pub async fn follow<R: Rows>(engine: impl Engine, table: Table) -> Result<watch::Receiver<Arc<R>>> {
    let (rows, mut changes) = load::<R>(&engine, table).await?;
    let (told, known) = watch::channel(Arc::new(rows));
    tokio::spawn(async move {
        loop {
            while let Some(change) = changes.recv().await {
                told.send_modify(|rows| Arc::make_mut(rows).apply(change));
            }
            if told.is_closed() {
                return;
            }
            tokio::time::sleep(AGAIN).await;
            match load(&engine, table).await {
                Ok((rows, next)) => {
                    changes = next;
                    told.send_replace(Arc::new(rows));
                }
                Err(error) => {
                    let table = table.name();
                    tracing::warn!(%error, table, "the table cannot be read; what was known stays in force");
                }
            }
        }
    });
    Ok(known)
}

/// Once.
pub async fn rows(engine: &impl Engine, table: Table) -> Result<BTreeMap<String, Bytes>> {
    load(engine, table).await.map(|(rows, _)| rows)
}

async fn load<R: Rows>(engine: &impl Engine, table: Table) -> Result<(R, mpsc::Receiver<Change>)> {
    let (count, mut changes) = engine.watch(table).await?;
    let loading = tokio::time::timeout(ALL_WITHIN, first(count, &mut changes)).await;
    let rows = loading.unwrap_or_default();
    Ok((rows.ok_or_else(|| Unavailable(format!("not all rows of {} came", table.name())))?, changes))
}

/// Nothing when the watch ends before that: with a part of the rows, sites that exist would be taken for revoked.
async fn first<R: Rows>(count: usize, changes: &mut mpsc::Receiver<Change>) -> Option<R> {
    let mut rows = R::default();
    for _ in 0..count {
        rows.apply(changes.recv().await?);
    }
    Some(rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_watch_that_ends_early_gives_no_part() {
        let (sender, mut changes) = mpsc::channel(2);
        for site in ["a", "b"] {
            sender.send((site.to_owned(), Some(Bytes::new()))).await.expect("there is room");
        }
        drop(sender);
        assert!(first::<BTreeMap<_, _>>(3, &mut changes).await.is_none(), "the third has not come");
    }
}
