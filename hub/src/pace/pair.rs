//! One person over one number: Meta takes a message each six seconds and lends a burst of 45 (131056 beyond), whichever site wrote.
//! A site counts its own; a person of many sites is counted here, in a row for each number and person.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bellwire::contact::severity::Severity;
use bellwire::outbox::rate_limit::{Bucket, PAIR, RateLimit};
use bellwire::time::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Refused, Scope};
use crate::engine::{Engine, Result, Table, Unavailable, json};
use crate::incoming::person_key;

/// Of the burst only critical messages have the last ten: the infos of one site never hold up another's fire alarm. They also have
/// all of the six-second pace while there are so many of them, since each one uses up what others wait for.
const RESERVED: u32 = 10;
const OF_OTHERS: RateLimit = RateLimit { every: PAIR.every, burst: PAIR.burst - RESERVED };
/// No row says more by a clock that is right: it was written by a hub whose clock is ahead, and counts for nothing.
const OWED_AT_MOST: Duration = Duration::from_secs(6 * 45);
/// Hubs that change a row at the same time: each of them has one request for a person under way, so that this is plenty.
const TRIES: u32 = 10;
/// Persons that are remembered before those who owe nothing are forgotten.
const PERSONS: usize = 1_024;
/// After a try that the engine did not take.
const PAUSE: Duration = Duration::from_secs(5);

/// A row of that table; its key is number and person. It ends by age, and then nothing is owed any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Owes {
    /// Milliseconds since 1970: when all that was sent is paid back.
    until: i64,
}

/// As this hub last read or wrote it. Another may have taken from it since, or have given back what did not leave.
#[derive(Debug, Clone, Copy)]
struct Known {
    revision: u64,
    until: Timestamp,
    at: Timestamp,
}

impl Known {
    /// For less than a message's time it is taken as it is, so that a flood asks the engine once in that time.
    fn is_fresh(&self, now: Timestamp) -> bool {
        self.at.until(now) < PAIR.every
    }
}

/// One request for a person at a time writes the row, so that a hub never competes with itself.
type Person = Arc<tokio::sync::Mutex<Option<Known>>>;

#[derive(Clone)]
pub struct Pairs<E> {
    engine: E,
    persons: Arc<Mutex<BTreeMap<String, Person>>>,
}

fn bucket(known: Option<Known>, now: Timestamp) -> Option<Bucket> {
    let until = known?.until;
    (until <= now + OWED_AT_MOST).then(|| PAIR.take(None, until - PAIR.every))
}

/// An error is how long nothing so severe may leave. It is said in steps of one message, so that what is critical at the same site
/// waits no longer behind it.
fn may(bucket: Option<Bucket>, severity: Severity, now: Timestamp) -> std::result::Result<(), Refused> {
    let limit = if severity == Severity::Critical { PAIR } else { OF_OTHERS };
    let next = limit.next_allowed(bucket);
    if next <= now {
        return Ok(());
    }
    let why = "Meta takes a message each 6 s to one person, and so many of all sites wait for that";
    Err(Refused { why, retry_after: now.until(next).min(PAIR.every), scope: Scope::Person })
}

impl<E: Engine> Pairs<E> {
    pub fn new(engine: E) -> Self {
        Self { engine, persons: Arc::default() }
    }

    /// What is known here already, without a question to the engine: a flood is refused by it.
    pub fn look(
        &self,
        number: &str,
        to: &str,
        severity: Severity,
        now: Timestamp,
    ) -> std::result::Result<(), Refused> {
        let person = self.person(&key(number, to), now);
        let known = person.try_lock().map_or(None, |known| known.filter(|known| known.is_fresh(now)));
        may(bucket(known, now), severity, now)
    }

    /// One message leaves.
    pub async fn take(
        &self,
        number: &str,
        to: &str,
        severity: Severity,
        now: Timestamp,
    ) -> std::result::Result<(), Refused> {
        let key = key(number, to);
        let person = self.person(&key, now);
        let mut known = person.lock().await;
        let is_old = known.is_some_and(|known| !known.is_fresh(now));
        if is_old && may(bucket(*known, now), severity, now).is_err() {
            *known = self.read(&key, now).await.map_err(|error| unavailable(&error))?;
        }
        for _ in 0..TRIES {
            let owed = bucket(*known, now);
            may(owed, severity, now)?;
            let until = PAIR.take(owed, now).idle_at();
            match self.write(&key, *known, until).await {
                Ok(Some(revision)) => {
                    *known = Some(Known { revision, until, at: now });
                    return Ok(());
                }
                Ok(None) => match self.read(&key, now).await {
                    Ok(row) => *known = row,
                    Err(error) => return Err(unavailable(&error)),
                },
                Err(error) => {
                    *known = None; // it may be stored all the same: the next one reads it
                    return Err(unavailable(&error));
                }
            }
        }
        Err(unavailable(&Unavailable(format!("{key} is changed by other hubs all the time"))))
    }

    /// It did not leave after all, or an hour without Meta would use up the burst with tries. What cannot be given back now is paid
    /// back in six seconds.
    pub async fn give_back(&self, number: &str, to: &str, now: Timestamp) {
        let key = key(number, to);
        let person = self.person(&key, now);
        let mut known = person.lock().await;
        let Some(before) = *known else { return };
        let until = before.until - PAIR.every;
        let written = self.write(&key, *known, until).await;
        *known = written.ok().flatten().map(|revision| Known { revision, until, at: now });
    }

    /// `None`: another hub came first, or the row has ended.
    async fn write(&self, key: &str, known: Option<Known>, until: Timestamp) -> Result<Option<u64>> {
        let row = json(&Owes { until: until.0 });
        match known {
            Some(known) => self.engine.update(Table::Pairs, key, row, known.revision).await,
            None => self.engine.create(Table::Pairs, key, row).await,
        }
    }

    async fn read(&self, key: &str, now: Timestamp) -> Result<Option<Known>> {
        let Some(row) = self.engine.get(Table::Pairs, key).await? else { return Ok(None) };
        // A row that cannot be read owes nothing, and is written anew.
        let until = serde_json::from_slice::<Owes>(&row.value).map_or(i64::MIN, |owes| owes.until);
        Ok(Some(Known { revision: row.revision, until: Timestamp(until), at: now }))
    }

    /// Bounded by what leaves in the time for which anything is owed.
    fn person(&self, key: &str, now: Timestamp) -> Person {
        // A panic ends the process, so that nothing is ever poisoned.
        let mut persons = self.persons.lock().unwrap_or_else(PoisonError::into_inner);
        if persons.len() >= PERSONS && !persons.contains_key(key) {
            let owes = |person: &Person| {
                person.try_lock().map_or(true, |known| known.is_some_and(|known| known.until > now))
            };
            persons.retain(|_, person| Arc::strong_count(person) > 1 || owes(person));
        }
        Arc::clone(persons.entry(key.to_owned()).or_default())
    }
}

fn key(number: &str, to: &str) -> String {
    format!("{number}.{}", person_key(&crate::sites::person(to)))
}

fn unavailable(error: &Unavailable) -> Refused {
    tracing::debug!(%error, "how much was written to a person is not known");
    let why = "the engine does not say how much was written to this person";
    Refused { why, retry_after: PAUSE, scope: Scope::Severity }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;

    use super::*;
    use crate::engine::memory::Memory;

    const NOW: Timestamp = Timestamp(1_900_000_000_000);
    const SECOND: Duration = Duration::from_secs(1);

    /// How many of so many leave, at each hub in turn.
    async fn taken(hubs: &[Pairs<Memory>], severity: Severity, count: usize, now: Timestamp) -> usize {
        let mut taken = 0;
        for at in 0..count {
            let hub = &hubs[at % hubs.len()];
            taken += usize::from(hub.take("1", "+49 1511", severity, now).await.is_ok());
        }
        taken
    }

    fn hubs(engine: &Memory) -> [Pairs<Memory>; 3] {
        std::array::from_fn(|_| Pairs::new(engine.clone()))
    }

    #[tokio::test]
    async fn a_burst_to_one_person_is_one_over_all_hubs() {
        let engine = Memory::default();
        let hubs = hubs(&engine);
        assert_eq!(taken(&hubs, Severity::Info, 200, NOW).await, 35);
        assert!(hubs[0].look("1", "491511", Severity::Info, NOW).is_err(), "known without the engine");
        let refused = hubs[1].take("1", "491511", Severity::Info, NOW).await.expect_err("used up");
        assert_eq!((refused.scope, refused.retry_after), (Scope::Person, 6 * SECOND));
        assert!(hubs[1].take("1", "491512", Severity::Info, NOW).await.is_ok(), "another person");
        assert!(hubs[1].take("2", "491511", Severity::Info, NOW).await.is_ok(), "another number");
        assert_eq!(taken(&hubs, Severity::Info, 9, NOW + 5 * SECOND).await, 0);
        assert_eq!(taken(&hubs, Severity::Info, 9, NOW + 6 * SECOND).await, 1);
        assert_eq!(taken(&hubs, Severity::Info, 200, NOW + 300 * SECOND).await, 35, "paid back");
    }

    #[tokio::test]
    async fn critical_messages_still_leave_after_a_flood() {
        let engine = Memory::default();
        let hubs = hubs(&engine);
        taken(&hubs, Severity::Warning, 100, NOW).await;
        assert_eq!(taken(&hubs, Severity::Critical, 100, NOW).await, 10);
        let (mut critical, mut info) = (0, 0);
        for second in 1..=60 {
            info += taken(&hubs, Severity::Info, 3, NOW + second * SECOND).await;
            critical += taken(&hubs, Severity::Critical, 3, NOW + second * SECOND).await;
        }
        assert_eq!((critical, info), (10, 0), "all of the pace");
    }

    #[tokio::test]
    async fn a_clock_that_is_minutes_ahead_closes_nobody() {
        let engine = Memory::default();
        let hubs = hubs(&engine);
        assert!(hubs[0].take("1", "491511", Severity::Info, NOW + 300 * SECOND).await.is_ok());
        assert!(hubs[1].take("1", "491511", Severity::Info, NOW).await.is_ok());
    }

    #[tokio::test]
    async fn what_did_not_leave_uses_up_nothing_at_any_hub() {
        let engine = Memory::default();
        let hubs = hubs(&engine);
        for _ in 0..100 {
            assert!(hubs[0].take("1", "491511", Severity::Info, NOW).await.is_ok(), "a try");
            hubs[0].give_back("1", "491511", NOW).await;
        }
        assert_eq!(taken(&hubs[1..], Severity::Critical, 100, NOW).await, 45);
        hubs[1].give_back("1", "491511", NOW).await;
        let other = hubs[2].take("1", "491511", Severity::Info, NOW + 2 * SECOND).await;
        assert!(other.is_err(), "it has not heard of that");
        for _ in 0..20 {
            hubs[1].give_back("1", "491511", NOW).await;
        }
        let later = NOW + 7 * SECOND;
        assert!(hubs[2].look("1", "491511", Severity::Info, later).is_ok());
        assert_eq!(taken(&hubs[2..], Severity::Info, 100, later).await, 12, "it looks again");
    }

    #[tokio::test]
    async fn a_lost_engine_answer_closes_no_person() {
        let engine = Memory::default();
        let pairs = Pairs::new(engine.clone());
        engine.loses_next_create.store(true, Ordering::Relaxed);
        let refused = pairs.take("1", "491511", Severity::Info, NOW).await.expect_err("no answer came");
        assert_eq!((refused.scope, refused.retry_after), (Scope::Severity, PAUSE));
        assert_eq!(taken(&[pairs], Severity::Info, 100, NOW).await, 34, "it was stored, and counts");
    }

    #[tokio::test]
    async fn who_owes_nothing_is_forgotten() {
        let pairs = Pairs::new(Memory::default());
        for at in 0..3_000 {
            let now = NOW + SECOND * at / 10; // ten a second: sixty of them owe something
            assert!(pairs.take("1", &format!("4915{at}"), Severity::Info, now).await.is_ok());
        }
        assert!(pairs.persons.lock().expect("a lock").len() <= PERSONS, "bounded");
    }
}
