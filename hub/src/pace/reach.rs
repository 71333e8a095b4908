//! How many people a business writes to first: Meta lets it write templates to so many within 24 h, whichever number or site does
//! (docs/cloud-api.md 5.3). A row for each of them, which ends by age; every hub follows the rows and counts.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bellwire::contact::severity::Severity;
use bellwire::outbox::budget::read_tier;
use bellwire::time::Timestamp;
use bellwire::whatsapp::client::Client;
use tokio::sync::watch;

use super::{Refused, Scope};
use crate::engine::{Change, Engine, Result, Rows, Table, follow};
use crate::incoming::person_key;
use crate::settings::{Number, Settings};

const FIELD: &str = "whatsapp_business_manager_messaging_limit";
const DAY: Duration = Duration::from_secs(24 * 3_600);
/// A row says when the person was last written to, an hour late at most: so that who is written to every minute is not a write
/// each time. It counts an hour longer for that, as long as the engine keeps it.
const RENEW: Duration = Duration::from_secs(3_600);
/// Of so many people the last is kept for what is critical.
const RESERVED: u32 = 10;
/// Meta raises the limit within six hours; what was not answered is asked again sooner.
const ASK_AGAIN: Duration = Duration::from_secs(3_600);
const ASK_SOON: Duration = Duration::from_secs(60);
/// A message that finds no room comes again after this, or when somebody no longer counts.
const PAUSE: (Duration, Duration) = (Duration::from_secs(60), Duration::from_secs(15 * 60));

/// Who was written to, and when: milliseconds since 1970. What is older than a day before the newest is let go.
#[derive(Debug, Clone, Default)]
pub struct Written {
    people: BTreeMap<String, i64>,
    times: BTreeSet<(i64, String)>,
}

impl Written {
    fn note(&mut self, person: String, at: i64) {
        if let Some(before) = self.people.insert(person.clone(), at) {
            self.times.remove(&(before, person.clone()));
        }
        self.times.insert((at, person));
        let old = (Timestamp(at) - DAY - RENEW).0;
        while let Some((_, person)) = self.times.first().filter(|(at, _)| *at < old).cloned() {
            self.times.pop_first();
            self.people.remove(&person);
        }
    }

    fn at(&self, person: &str, now: Timestamp) -> Option<Timestamp> {
        self.people.get(person).map(|at| Timestamp(*at)).filter(|at| counts(*at, now))
    }

    fn count(&self, now: Timestamp) -> usize {
        let old = self.times.iter().take_while(|(at, _)| !counts(Timestamp(*at), now)).count();
        self.times.len() - old
    }

    /// When the next one no longer counts.
    fn frees(&self, now: Timestamp) -> Option<Duration> {
        let first = self.times.iter().map(|(at, _)| Timestamp(*at)).find(|at| counts(*at, now));
        first.map(|at| now.until(at + DAY + RENEW))
    }
}

fn counts(at: Timestamp, now: Timestamp) -> bool {
    at.until(now) < DAY + RENEW
}

impl Rows for Written {
    fn apply(&mut self, (person, value): Change) {
        let at = value.as_deref().and_then(|value| std::str::from_utf8(value).ok()?.parse().ok());
        if let Some(at) = at {
            self.note(person, at);
        }
    }
}

#[derive(Clone)]
pub struct Reach<E> {
    engine: E,
    written: watch::Receiver<Arc<Written>>,
    /// Written down by this hub, and not brought back yet.
    own: Arc<Mutex<BTreeMap<String, i64>>>,
    /// What Meta says of each number. All numbers of a hub are taken for one business portfolio, as those of a site are.
    limits: Arc<Mutex<BTreeMap<String, Option<u32>>>>,
}

/// What is to be done about somebody who is written to.
#[derive(Debug, PartialEq, Eq)]
enum Person {
    /// Counted already.
    Known,
    /// Counted, and the row is to be written anew or for the first time.
    Note,
}

fn judge(
    written: &Written,
    own: &BTreeMap<String, i64>,
    person: &str,
    (limit, severity): (u32, Severity),
    now: Timestamp,
) -> std::result::Result<Person, Refused> {
    let own_at = own.get(person).map(|at| Timestamp(*at));
    if let Some(at) = written.at(person, now).max(own_at) {
        return Ok(if at.until(now) < RENEW { Person::Known } else { Person::Note });
    }
    let most = match severity {
        Severity::Critical => limit,
        Severity::Info | Severity::Warning => limit - limit / RESERVED,
    };
    if written.count(now) + own.len() < most as usize {
        return Ok(Person::Note);
    }
    let why = "so many people were written to first today that Meta lets the business write to no more";
    let retry_after = written.frees(now).unwrap_or(PAUSE.0).clamp(PAUSE.0, PAUSE.1);
    Err(Refused { why, retry_after, scope: Scope::Message })
}

impl<E: Engine> Reach<E> {
    /// All rows are known when it returns; what Meta says is asked for as long as the process runs.
    pub async fn start(engine: &E, settings: &Arc<Settings>, client: &Client) -> Result<Self> {
        let written = follow::<Written>(engine.clone(), Table::Reached).await?;
        let reach = Self::new(engine, written);
        for number in settings.numbers.iter().cloned() {
            tokio::spawn(reach.clone().learn(number, client.clone()));
        }
        Ok(reach)
    }

    pub fn new(engine: &E, written: watch::Receiver<Arc<Written>>) -> Self {
        Self { engine: engine.clone(), written, own: Arc::default(), limits: Arc::default() }
    }

    /// What is known here, without a question to the engine.
    pub fn look(&self, to: &str, severity: Severity, now: Timestamp) -> std::result::Result<(), Refused> {
        self.judge(&person_key(&crate::sites::person(to)), severity, now).map(drop)
    }

    /// A template leaves to that person. Two hubs that do this in the same moment may write to one person more than Meta takes; it
    /// says no then by itself.
    pub async fn take(
        &self,
        to: &str,
        severity: Severity,
        now: Timestamp,
    ) -> std::result::Result<(), Refused> {
        let person = person_key(&crate::sites::person(to));
        if self.judge(&person, severity, now)? == Person::Known {
            return Ok(());
        }
        lock(&self.own).insert(person.clone(), now.0);
        self.engine.put(Table::Reached, &person, now.0.to_string().into()).await.map_err(|error| {
            tracing::debug!(%error, "whom the business has written to is not written down");
            lock(&self.own).remove(&person);
            let why = "the engine does not say how many people were written to today";
            Refused { why, retry_after: Duration::from_secs(5), scope: Scope::Severity }
        })
    }

    fn judge(
        &self,
        person: &str,
        severity: Severity,
        now: Timestamp,
    ) -> std::result::Result<Person, Refused> {
        let lowest = lock(&self.limits).values().flatten().min().copied();
        let Some(limit) = lowest else { return Ok(Person::Known) }; // without a limit, nobody is counted
        let (written, mut own) = (Arc::clone(&self.written.borrow()), lock(&self.own));
        own.retain(|person, at| written.people.get(person).is_none_or(|known| known < at));
        let own_alone = |(person, _): &(&String, &i64)| written.at(person, now).is_none();
        let own: BTreeMap<String, i64> =
            own.iter().filter(own_alone).map(|(person, at)| (person.clone(), *at)).collect();
        judge(&written, &own, person, (limit, severity), now)
    }

    async fn learn(self, number: Number, client: Client) {
        let id = &number.phone_number_id;
        loop {
            let asked = match number.endpoint() {
                Ok(endpoint) => client.get(&endpoint, &format!("{id}?fields={FIELD}")).await.ok(),
                Err(_) => None,
            };
            let limit = asked.as_ref().and_then(|answer| answer[FIELD].as_str()).map(read_tier);
            let Some(limit) = limit else {
                tokio::time::sleep(ASK_SOON).await;
                continue;
            };
            if lock(&self.limits).insert(id.clone(), limit) != Some(limit) {
                tracing::info!(
                    number = id,
                    people = limit,
                    "so many people Meta lets this business write to first in a day"
                );
            }
            tokio::time::sleep(ASK_AGAIN).await;
        }
    }
}

/// A panic ends the process, so that nothing is ever poisoned.
fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::memory::Memory;

    const NOW: Timestamp = Timestamp(1_900_000_000_000);
    const HOUR: Duration = Duration::from_secs(3_600);

    fn written(people: &[(&str, Duration)]) -> Written {
        let mut written = Written::default();
        for (person, ago) in people {
            written.apply(((*person).to_owned(), Some((NOW - *ago).0.to_string().into())));
        }
        written
    }

    #[test]
    fn people_written_to_count_for_25_hours() {
        let all = written(&[("a", HOUR * 25), ("b", HOUR * 24), ("c", HOUR * 2), ("a", HOUR)]);
        assert_eq!(all.count(NOW), 3, "the newest of a person counts");
        assert_eq!((all.count(NOW + HOUR), all.count(NOW + HOUR * 24)), (2, 0));
        assert_eq!(all.frees(NOW), Some(HOUR));
        assert_eq!(all.people.len(), 3);
        let mut later = all;
        later.note("d".into(), (NOW + HOUR * 48).0);
        assert_eq!((later.people.len(), later.times.len()), (1, 1), "bounded by a day");
    }

    #[test]
    fn the_last_tenth_is_for_critical_messages_and_known_people() {
        let names: Vec<String> = (0..9).map(|at| format!("p{at}")).collect();
        let people: Vec<(&str, Duration)> = names.iter().map(|name| (name.as_str(), HOUR * 2)).collect();
        let (all, none) = (written(&people), BTreeMap::new());
        let ask = |person: &str, severity, own: &BTreeMap<String, i64>| {
            judge(&all, own, person, (10, severity), NOW)
        };
        assert_eq!(ask("p3", Severity::Info, &none), Ok(Person::Note), "its row is two hours old");
        let refused = ask("new", Severity::Warning, &none).expect_err("nine of ten");
        assert_eq!((refused.scope, refused.retry_after), (Scope::Message, PAUSE.1));
        assert_eq!(ask("new", Severity::Critical, &none), Ok(Person::Note));
        let own = BTreeMap::from([("new".to_owned(), NOW.0)]);
        assert_eq!(ask("new", Severity::Info, &own), Ok(Person::Known), "this hub has just written to them");
        assert!(ask("other", Severity::Critical, &own).is_err(), "ten of ten");
        assert!(judge(&Written::default(), &none, "p", (0, Severity::Critical), NOW).is_err());
    }

    #[tokio::test]
    async fn a_hub_counts_its_own_unread_rows() {
        let engine = Memory::default();
        let (told, written) = watch::channel(Arc::new(Written::default()));
        let reach = Reach::new(&engine, written);
        assert!(reach.take("+1", Severity::Info, NOW).await.is_ok(), "no limit is known");
        lock(&reach.limits).extend([("9".to_owned(), Some(3)), ("8".to_owned(), None)]);
        for (to, is_taken) in [("+1", true), ("+2", true), ("+2", true), ("+3", true), ("+4", false)] {
            assert_eq!(reach.take(to, Severity::Info, NOW).await.is_ok(), is_taken, "{to}");
        }
        let mut brought = Written::default();
        ["1", "2", "3"].iter().for_each(|person| brought.note(person_key(person), NOW.0));
        told.send_replace(Arc::new(brought));
        assert!(reach.take("+4", Severity::Info, NOW).await.is_err());
        assert!(lock(&reach.own).is_empty(), "brought back");
        assert!(reach.take("+4", Severity::Info, NOW + HOUR * 25).await.is_ok());
        engine.is_down.store(true, std::sync::atomic::Ordering::Relaxed);
        let refused = reach.take("+5", Severity::Info, NOW + HOUR * 25).await.expect_err("no engine");
        assert_eq!(refused.scope, Scope::Severity);
        assert_eq!(lock(&reach.own).len(), 1, "who was not written down is not counted");
    }
}
