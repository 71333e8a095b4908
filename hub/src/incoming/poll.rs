//! What a site is given when it asks. The hub keeps no place for it: a thousand sites cost the engine nothing while they wait.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bellwire::machine::{Machine, SystemMachine};
use futures_util::StreamExt;
use tokio::sync::watch;

use crate::engine::{Appended, Engine, JetStream, Last, Log, Result, Signals};

/// A request is held this long when nothing comes: less than the 30 s after which a site and many a proxy give up.
pub const HOLD: Duration = Duration::from_secs(25);
/// How often a hub looks, once for all sites that wait at it, whether it has heard of everything; and how long what it has not heard of
/// may be on its way. So a wake that was lost costs no more than ten seconds.
const LOOK: Duration = Duration::from_secs(9);
const ON_ITS_WAY: Duration = Duration::from_secs(1);
/// A replica that is behind has what it was woken for a moment later: mostly one to three milliseconds. Each pause is twice the one
/// before, a second together.
const BEHIND: (Duration, u32) = (Duration::from_millis(1), 10);
/// In one answer: what a site takes in one transaction. Its bodies are small, and a site reads a mebibyte at most.
const ITEMS: usize = 64;
const BYTES: usize = 512 * 1024;

/// What this hub has heard of what is appended.
#[derive(Clone)]
pub struct Wakes(Arc<Shared>);

struct Shared {
    /// The newest sequence for each site that has asked. Bounded by the number of sites.
    sites: Mutex<BTreeMap<String, watch::Sender<u64>>>,
    heard: Mutex<Heard>,
    /// Changes when each site has to look for itself.
    log: watch::Sender<Life>,
    /// By whose clock is waited.
    machine: Arc<dyn Machine>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Life {
    /// Of which life of the log cursors are.
    epoch: String,
    /// How often something was appended of which nothing was heard.
    looks: u64,
}

/// Of which sequences was heard: of all up to `all`, and of these.
#[derive(Debug, Default)]
struct Heard {
    all: u64,
    ahead: BTreeSet<u64>,
}

impl Heard {
    fn hear(&mut self, sequence: u64) {
        if sequence > self.all {
            self.ahead.insert(sequence);
        }
        while self.ahead.remove(&(self.all + 1)) {
            self.all += 1;
        }
    }

    /// Up to there everything is known in another way.
    fn skip_to(&mut self, sequence: u64) {
        self.all = self.all.max(sequence);
        self.ahead = self.ahead.split_off(&(self.all + 1));
        self.hear(self.all);
    }
}

/// What came, in its order, and where it ends.
#[derive(Debug, Default)]
pub struct Batch {
    pub cursor: String,
    pub bodies: Vec<bytes::Bytes>,
}

impl Wakes {
    /// Hears of what is appended as long as the process runs.
    pub async fn start(engine: &JetStream, signals: &Signals) -> Result<Self> {
        let mut heard = signals.hear("wake.>").await?;
        let wakes = Self::new(engine.last(Log::Inbound).await?, Arc::new(SystemMachine));
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
        let (of_task, engine) = (wakes.clone(), engine.clone());
        tokio::spawn(async move { of_task.compare(&engine).await });
        Ok(wakes)
    }

    /// What was heard with what there is, as long as the process runs.
    pub async fn compare(&self, engine: &impl Engine) {
        loop {
            self.pause(LOOK).await;
            match engine.last(Log::Inbound).await {
                Ok(last) => self.look(last).await,
                Err(error) => tracing::debug!(%error, "whether all was heard of is not known"),
            }
        }
    }

    #[must_use]
    pub fn new(last: Last, machine: Arc<dyn Machine>) -> Self {
        let heard = Heard { all: last.sequence, ahead: BTreeSet::new() };
        let log = watch::Sender::new(Life { epoch: last.epoch, looks: 0 });
        Self(Arc::new(Shared { sites: Mutex::default(), heard: Mutex::new(heard), log, machine }))
    }

    /// Something was appended for a site.
    pub fn wake(&self, site: &str, sequence: u64) {
        self.heard().hear(sequence);
        if let Some(site) = self.sites().get(site) {
            site.send_modify(|newest| *newest = sequence.max(*newest));
        }
    }

    /// Sites look for themselves when something was appended of which nothing was heard, or when the log is another one.
    async fn look(&self, last: Last) {
        if self.heard().all < last.sequence {
            self.pause(ON_ITS_WAY).await;
        }
        self.0.log.send_if_modified(|life| {
            let is_another = life.epoch != last.epoch;
            let mut heard = self.heard();
            if is_another {
                *heard = Heard::default();
            }
            let is_missing = heard.all < last.sequence;
            heard.skip_to(last.sequence);
            (life.epoch, life.looks) = (last.epoch, life.looks + u64::from(is_missing));
            if is_missing {
                tracing::info!("something was kept of which this hub did not hear; the sites that wait look for themselves");
            }
            is_missing || is_another
        });
    }

    fn of(&self, site: &str) -> watch::Receiver<u64> {
        self.sites().entry(site.to_owned()).or_default().subscribe()
    }

    fn time(&self) -> Duration {
        self.0.machine.both().steady
    }

    async fn pause(&self, how_long: Duration) {
        self.0.machine.sleep(how_long).await;
    }

    /// A panic ends the process, so that nothing is ever poisoned.
    fn sites(&self) -> MutexGuard<'_, BTreeMap<String, watch::Sender<u64>>> {
        self.0.sites.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn heard(&self) -> MutexGuard<'_, Heard> {
        self.0.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is behind the cursor, as soon as there is something; an empty batch after [`HOLD`]. A cursor of another life of the log
/// begins at its beginning: the site knows again what it has. The engine is asked when the site asks and when there is something, and
/// not while it waits.
pub async fn wait<E: Engine>(engine: &E, wakes: &Wakes, site: &str, cursor: Option<&str>) -> Result<Batch> {
    held(engine, wakes, site, cursor, HOLD).await
}

async fn held<E: Engine>(
    engine: &E,
    wakes: &Wakes,
    site: &str,
    cursor: Option<&str>,
    hold: Duration,
) -> Result<Batch> {
    let (deadline, mut newest, mut log) = (wakes.time() + hold, wakes.of(site), wakes.0.log.subscribe());
    let epoch = &log.borrow_and_update().epoch.clone();
    let subject = format!("in.{site}");
    let mut after = cursor.map_or(0, |cursor| read_cursor(cursor, epoch));
    let mut batch = Batch { cursor: format!("{epoch}-{after}"), bodies: Vec::new() };
    let (mut told, mut has_waited) = (after, false);
    loop {
        let newest_told = *newest.borrow_and_update();
        let mut first = engine.next(Log::Inbound, &subject, after).await?;
        if first.is_none() && newest_told > told {
            first = patiently(engine, wakes, &subject, after).await?;
            told = newest_told;
        }
        if let Some(first) = first {
            after = first.sequence;
            batch.bodies.push(first.body);
            break;
        }
        tokio::select! {
            biased; // as a simulation repeats it
            _ = newest.changed() => {}
            _ = log.changed() => {}
            () = wakes.pause(deadline.saturating_sub(wakes.time())) => return Ok(batch),
        }
        has_waited = true;
        if log.borrow_and_update().epoch != *epoch {
            return Ok(batch); // the site asks again, and its cursor is one of another life then
        }
    }
    let mut bytes = batch.bodies.iter().map(bytes::Bytes::len).sum::<usize>();
    // There was nothing before it waited, so that what is there now was said, or is found when the site asks again.
    while batch.bodies.len() < ITEMS && bytes < BYTES && !(has_waited && *newest.borrow() <= after) {
        // What was got is given, though the next cannot be had now.
        let Ok(Some(next)) = engine.next(Log::Inbound, &subject, after).await else { break };
        after = next.sequence;
        bytes += next.body.len();
        batch.bodies.push(next.body);
    }
    batch.cursor = format!("{epoch}-{after}");
    Ok(batch)
}

async fn patiently<E: Engine>(
    engine: &E,
    wakes: &Wakes,
    subject: &str,
    after: u64,
) -> Result<Option<Appended>> {
    for look in 0..BEHIND.1 {
        wakes.pause(BEHIND.0 * 2_u32.pow(look)).await;
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
    use tokio::time::Instant;

    use super::*;
    use crate::engine::memory::Memory;

    #[test]
    fn a_cursor_of_another_life_of_the_log_begins_anew() {
        assert_eq!(read_cursor("1f-7", "1f"), 7);
        assert_eq!(read_cursor("1e-7", "1f"), 0);
        assert_eq!(read_cursor("1f-x", "1f"), 0);
        assert_eq!(read_cursor("", "1f"), 0);
    }

    const HELD: Duration = Duration::from_secs(5);

    fn last(epoch: &str, sequence: u64) -> Last {
        Last { epoch: epoch.into(), sequence }
    }

    /// A site that waits at its beginning for five seconds, as soon as it waits.
    async fn waits(engine: &Memory, wakes: &Wakes) -> tokio::task::JoinHandle<Result<Batch>> {
        let (of_task, of_site) = (engine.clone(), wakes.clone());
        let waits = tokio::spawn(async move { held(&of_task, &of_site, "shop", None, HELD).await });
        while engine.asked() == 0 {
            tokio::task::yield_now().await;
        }
        waits
    }

    #[tokio::test]
    async fn a_site_that_waits_asks_the_engine_once() {
        let (engine, wakes) = (Memory::default(), Wakes::new(last("1", 0), Arc::new(SystemMachine)));
        let waits = waits(&engine, &wakes).await;
        wakes.wake("other", 1);
        wakes.look(last("1", 1)).await;
        let batch = waits.await.expect("ended").expect("well");
        assert_eq!((batch.bodies.len(), batch.cursor.as_str(), engine.asked()), (0, "1-0", 1));
    }

    #[tokio::test]
    async fn what_is_said_is_fetched_at_once() {
        let (engine, wakes) = (Memory::default(), Wakes::new(last("1", 0), Arc::new(SystemMachine)));
        let waits = waits(&engine, &wakes).await;
        engine.append(Log::Inbound, "in.shop", "a", "words".into()).await.expect("kept");
        wakes.wake("other", 2);
        wakes.wake("shop", 1);
        let began = Instant::now();
        let batch = waits.await.expect("ended").expect("well");
        assert_eq!((batch.bodies.len(), batch.cursor.as_str()), (1, "1-1"));
        assert!(began.elapsed() < HELD, "{:?}", began.elapsed());
    }

    #[tokio::test]
    async fn what_nobody_said_is_found_by_the_hubs_look() {
        let (engine, wakes) = (Memory::default(), Wakes::new(last("1", 0), Arc::new(SystemMachine)));
        let waits = waits(&engine, &wakes).await;
        engine.append(Log::Inbound, "in.shop", "a", "words".into()).await.expect("kept");
        wakes.wake("other", 2); // of the first nothing is heard
        wakes.look(last("1", 2)).await;
        let batch = waits.await.expect("ended").expect("well");
        assert_eq!((batch.bodies.len(), wakes.0.log.borrow().looks), (1, 1));
        wakes.look(last("1", 2)).await;
        assert_eq!(wakes.0.log.borrow().looks, 1, "once");
    }

    #[tokio::test]
    async fn another_life_of_the_log_ends_the_wait() {
        let (engine, wakes) = (Memory::default(), Wakes::new(last("1", 7), Arc::new(SystemMachine)));
        let waits = waits(&engine, &wakes).await;
        let began = Instant::now();
        wakes.look(last("2", 0)).await;
        let batch = waits.await.expect("ended").expect("well");
        assert_eq!(batch.cursor, "1-0");
        assert!(began.elapsed() < HELD, "{:?}", began.elapsed());
        assert_eq!(wakes.0.log.borrow().epoch, "2");
        assert_eq!(wakes.heard().all, 0);
    }

    #[test]
    fn what_was_heard_of_has_no_gap() {
        let mut heard = Heard { all: 5, ..Heard::default() };
        [4, 7, 8, 10].into_iter().for_each(|sequence| heard.hear(sequence));
        assert_eq!(heard.all, 5);
        heard.hear(6);
        assert_eq!(heard.all, 8);
        heard.skip_to(9);
        assert_eq!((heard.all, heard.ahead.len()), (10, 0));
    }
}
