//! What a site is given when it asks. The hub keeps no place for it: a thousand sites cost the engine nothing while they wait.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::StreamExt;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout_at};

use crate::engine::{Appended, Engine, Log, Result, Signals};

/// A request is held this long when nothing comes: less than the 30 s after which a site and many a proxy give up.
pub const HOLD: Duration = Duration::from_secs(25);
/// A wake that was lost costs no more than this.
const LOOK_AGAIN: Duration = Duration::from_secs(10);
/// A replica that is behind has what it was woken for a moment later.
const BEHIND: (Duration, u32) = (Duration::from_millis(10), 100);
/// In one answer: what a site takes in one transaction. Its bodies are small, and a site reads a mebibyte at most.
const ITEMS: usize = 64;
const BYTES: usize = 512 * 1024;

/// The newest sequence for each site that has asked. Bounded by the number of sites.
#[derive(Clone, Default)]
pub struct Wakes(Arc<Mutex<BTreeMap<String, watch::Sender<u64>>>>);

/// What came, in its order, and where it ends.
#[derive(Debug, Default)]
pub struct Batch {
    pub cursor: String,
    pub bodies: Vec<bytes::Bytes>,
}

impl Wakes {
    /// Hears of what is appended as long as the process runs.
    pub async fn start(signals: &Signals) -> Result<Self> {
        let (wakes, mut heard) = (Self::default(), signals.hear("wake.>").await?);
        let of_task = wakes.clone();
        tokio::spawn(async move {
            while let Some(message) = heard.next().await {
                let site = message.subject.as_str().strip_prefix("wake.");
                let headers = message.headers.as_ref();
                let sequence =
                    headers.and_then(|headers| headers.get("Nats-Sequence")?.as_str().parse().ok());
                if let (Some(site), Some(sequence)) = (site, sequence) {
                    of_task.wake(site, sequence);
                }
            }
        });
        Ok(wakes)
    }

    fn wake(&self, site: &str, sequence: u64) {
        let wakes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(site) = wakes.get(site) {
            site.send_modify(|newest| *newest = sequence.max(*newest));
        }
    }

    fn of(&self, site: &str) -> watch::Receiver<u64> {
        let mut wakes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        wakes.entry(site.to_owned()).or_default().subscribe()
    }
}

/// What is behind the cursor, as soon as there is something; an empty batch after [`HOLD`]. A cursor of another life of the log
/// begins at its beginning: the site knows again what it has.
pub async fn wait<E: Engine>(
    engine: &E,
    wakes: &Wakes,
    epoch: &str,
    site: &str,
    cursor: Option<&str>,
) -> Result<Batch> {
    let (deadline, mut newest) = (Instant::now() + HOLD, wakes.of(site));
    let subject = format!("in.{site}");
    let mut after = cursor.map_or(0, |cursor| read_cursor(cursor, epoch));
    let mut batch = Batch { cursor: format!("{epoch}-{after}"), bodies: Vec::new() };
    let mut told = after;
    loop {
        let newest_told = *newest.borrow_and_update();
        let mut first = engine.next(Log::Inbound, &subject, after).await?;
        if first.is_none() && newest_told > told {
            first = patiently(engine, &subject, after).await?;
            told = newest_told;
        }
        if let Some(first) = first {
            after = first.sequence;
            batch.bodies.push(first.body);
            break;
        }
        if Instant::now() >= deadline {
            return Ok(batch);
        }
        let until = deadline.min(Instant::now() + LOOK_AGAIN);
        drop(timeout_at(until, newest.changed()).await); // either way it is time to look
    }
    let mut bytes = batch.bodies.iter().map(bytes::Bytes::len).sum::<usize>();
    while batch.bodies.len() < ITEMS && bytes < BYTES {
        // What was got is given, though the next cannot be had now.
        let Ok(Some(next)) = engine.next(Log::Inbound, &subject, after).await else { break };
        after = next.sequence;
        bytes += next.body.len();
        batch.bodies.push(next.body);
    }
    batch.cursor = format!("{epoch}-{after}");
    Ok(batch)
}

async fn patiently<E: Engine>(engine: &E, subject: &str, after: u64) -> Result<Option<Appended>> {
    for _ in 0..BEHIND.1 {
        sleep(BEHIND.0).await;
        if let Some(found) = engine.next(Log::Inbound, subject, after).await? {
            return Ok(Some(found));
        }
    }
    Ok(None)
}

fn read_cursor(cursor: &str, epoch: &str) -> u64 {
    let sequence = cursor.strip_prefix(epoch).and_then(|rest| rest.strip_prefix('-')?.parse().ok());
    sequence.unwrap_or_else(|| {
        tracing::warn!(
            cursor,
            epoch,
            "a site has a cursor of another life of the log; it is given everything again"
        );
        0
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_of_another_life_of_the_log_begins_anew() {
        assert_eq!(read_cursor("1f-7", "1f"), 7);
        assert_eq!(read_cursor("1e-7", "1f"), 0);
        assert_eq!(read_cursor("1f-x", "1f"), 0);
        assert_eq!(read_cursor("", "1f"), 0);
    }
}
