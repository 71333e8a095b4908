//! Reads what Meta sent in its order and gives it to the sites. One hub does it at a time; what it did since it last wrote down
//! how far it was is done again by the next, and appended once all the same, since it has the same ids.

use std::sync::Arc;
use std::time::Duration;

use async_nats::Subscriber;
use bellwire::random::random_bytes;
use bellwire::time::{Clock, SystemClock};
use bytes::Bytes;
use futures_util::StreamExt;
use serde::{Deserialize, Serialize};
use tokio::sync::{Notify, watch};

use super::question::{Asker, chosen, is_receipt};
use super::route::{Facts, Route, route};
use super::split::{Item, split};
use super::{media_key, person_key, route_key};
use crate::engine::{Engine, Log, Result, Row, Signals, Table};
use crate::out::tag;
use crate::sites::Registry;

/// How far it is, in the table of that name.
const KEY: &str = "raw";
/// Whoever routes says so at least this often; after three times as long another takes over.
const RENEW: Duration = Duration::from_secs(1);
const LEASE: Duration = Duration::from_secs(3);
/// Bodies between two notes of how far it is.
const BODIES: usize = 32;
/// Between two looks when nobody said that something came: what was said may be lost.
const LOOK: Duration = Duration::from_secs(1);
/// A replica that is behind has what was said to have come some milliseconds later.
const SOON: Duration = Duration::from_millis(3);
const SOON_LOOKS: u32 = 30;
/// Said by the hub that has kept a body, to whichever hub routes.
pub const CAME: &str = "came";

/// Leases are compared with the clock of whoever looks: two clocks that differ make two hubs route, which costs work and nothing
/// else.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Place {
    /// Of which life of the log.
    epoch: String,
    sequence: u64,
    hub: String,
    until: i64,
}

struct Router<E> {
    engine: E,
    hub: String,
    sites: watch::Receiver<Arc<Registry>>,
    asker: Asker<E>,
    came: Arc<Notify>,
}

/// A body was kept.
pub async fn came(signals: &Signals) {
    signals.say(CAME, Bytes::new()).await;
}

pub async fn run<E: Engine>(
    engine: E,
    sites: watch::Receiver<Arc<Registry>>,
    asker: Asker<E>,
    mut heard: Subscriber,
) {
    let hub = bellwire::hex::hex(&random_bytes::<8>().unwrap_or_default());
    let came = Arc::new(Notify::new());
    let of_hearing = Arc::clone(&came);
    tokio::spawn(async move {
        while heard.next().await.is_some() {
            of_hearing.notify_one();
        }
    });
    let router = Router { engine, hub, sites, asker, came };
    loop {
        if let Err(error) = router.lead().await {
            tracing::warn!(%error, "what came from Meta is kept and not routed yet; trying again in a second");
        }
        tokio::time::sleep(RENEW).await;
    }
}

impl<E: Engine> Router<E> {
    /// Routes as long as nobody else does.
    async fn lead(&self) -> Result<()> {
        let Some(mut row) = self.take().await? else { return Ok(()) };
        let mut place: Place = read(&row.value);
        let mut noted = tokio::time::Instant::now();
        let (mut bodies, mut soon) = (0, SOON_LOOKS);
        loop {
            let next = self.engine.next(Log::Raw, "raw.>", place.sequence).await?;
            let is_all = next.is_none();
            if let Some(raw) = next {
                self.give(raw.sequence, &raw.body).await?;
                place.sequence = raw.sequence;
                bodies += 1;
            }
            if bodies >= BODIES || noted.elapsed() >= RENEW || (is_all && bodies > 0) {
                let Some(revision) = self.note(&place, row.revision).await? else { return Ok(()) };
                (row.revision, noted, bodies) = (revision, tokio::time::Instant::now(), 0);
            }
            if is_all {
                let pause = if soon > 0 { SOON } else { LOOK };
                soon = soon.saturating_sub(1);
                tokio::select! {
                    () = self.came.notified() => soon = SOON_LOOKS,
                    () = tokio::time::sleep(pause) => {}
                }
            }
        }
    }

    /// `None`: another hub does it.
    async fn take(&self) -> Result<Option<Row>> {
        let epoch = self.engine.epoch(Log::Raw).await?;
        let row = self.engine.get(Table::Router, KEY).await?;
        let Some(row) = row else {
            let place = Place { epoch, ..Place::default() };
            let revision = self.engine.create(Table::Router, KEY, self.leased(&place)).await?;
            return Ok(revision.map(|revision| Row { revision, value: self.leased(&place) }));
        };
        let mut place: Place = read(&row.value);
        if place.hub != self.hub && place.until > SystemClock.now().0 {
            return Ok(None);
        }
        if place.epoch != epoch {
            tracing::warn!(
                "the log of what Meta sent is another one than before: it is routed from its beginning"
            );
            place = Place { epoch, ..Place::default() };
        }
        let revision = self.note(&place, row.revision).await?;
        Ok(revision.map(|revision| Row { revision, value: self.leased(&place) }))
    }

    async fn note(&self, place: &Place, revision: u64) -> Result<Option<u64>> {
        self.engine.update(Table::Router, KEY, self.leased(place), revision).await
    }

    fn leased(&self, place: &Place) -> Bytes {
        let until = (SystemClock.now() + LEASE).0;
        json(&Place { hub: self.hub.clone(), until, ..place.clone() })
    }

    /// One body. What cannot be read is set aside, and holds up nothing behind it.
    async fn give(&self, sequence: u64, body: &Bytes) -> Result<()> {
        let items = match split(body) {
            Ok(items) => items,
            Err(why) => {
                tracing::error!(sequence, why, "a body of Meta's is set aside");
                let id = format!("raw-{sequence}");
                return self.engine.append(Log::Unrouted, "unrouted.unreadable", &id, body.clone()).await;
            }
        };
        for item in items {
            self.give_one(item).await?;
        }
        Ok(())
    }

    async fn give_one(&self, item: Item) -> Result<()> {
        if is_receipt(&item) {
            return Ok(());
        }
        if let Some(site) = chosen(&item) {
            return self.choose(&item, site).await;
        }
        let facts = self.facts(&item).await?;
        match route(&item, facts) {
            Route::To(sites) => {
                for site in sites {
                    give_to(&self.engine, &site, &item.id, &item).await?;
                }
            }
            Route::Ask(sites) => {
                self.set_aside(&item).await?;
                self.asker.ask(&self.engine, &item, &sites).await?;
            }
            Route::Unrouted(why) => {
                tracing::warn!(why, "a message or status has no site; `bellwire-hub unrouted list` shows it");
                self.set_aside(&item).await?;
            }
        }
        Ok(())
    }

    async fn set_aside(&self, item: &Item) -> Result<()> {
        let person = item.from.first().map_or_else(|| "status".to_owned(), |person| person_key(person));
        let subject = format!("unrouted.{person}");
        self.engine.append(Log::Unrouted, &subject, &item.id, item.body.clone().into()).await
    }

    /// The person has chosen: what was set aside goes there, and for a day what follows.
    async fn choose(&self, item: &Item, site: &str) -> Result<()> {
        let (sites, number) = (Arc::clone(&self.sites.borrow()), item.number.as_deref().unwrap_or_default());
        let Some(person) = item.from.first().map(|person| person_key(person)) else { return Ok(()) };
        if !sites.claim(number, &item.from).iter().any(|claims| claims == site) {
            tracing::warn!(site, "a person chose a site that does not know them any more");
            return self.set_aside(item).await;
        }
        for id in &item.from {
            let choice = format!("chosen.{}", person_key(id));
            self.engine.put(Table::Wrote, &choice, site.to_owned().into()).await?;
        }
        let (subject, given) = (format!("unrouted.{person}"), format!("given.{person}"));
        let mut after =
            self.name(Table::Routes, &given).await?.and_then(|given| given.parse().ok()).unwrap_or(0);
        while let Some(words) = self.engine.next(Log::Unrouted, &subject, after).await? {
            after = words.sequence;
            for item in split(&words.body).unwrap_or_default() {
                give_to(&self.engine, site, &format!("unrouted-{after}"), &item).await?;
            }
        }
        self.engine.put(Table::Routes, &given, after.to_string().into()).await
    }

    async fn facts(&self, item: &Item) -> Result<Facts> {
        let sites = Arc::clone(&self.sites.borrow());
        let number = item.number.as_deref();
        let served = |site: Option<String>| site.filter(|site| sites.serves(site, number));
        let mut facts = Facts { all: sites.all(number), ..Facts::default() };
        if item.is_notice {
            return Ok(facts);
        }
        if let Some(tag) = item.callback.as_deref().and_then(tag).or_else(|| tag(item.tapped.as_deref()?)) {
            facts.by_tag = served(self.name(Table::Tags, tag).await?);
        }
        if let (None, Some(wamid)) = (&facts.by_tag, &item.wamid) {
            facts.by_message = served(self.name(Table::Routes, &route_key(wamid)).await?);
        }
        if facts.by_tag.is_some() || facts.by_message.is_some() || item.from.is_empty() {
            return Ok(facts);
        }
        let ids = item.group.clone().map_or_else(|| item.from.clone(), |group| vec![group]);
        facts.claims = sites.claim(number.unwrap_or_default(), &ids);
        if facts.claims.len() > 1 {
            for id in &ids {
                if facts.chosen.is_none() {
                    facts.chosen = self.name(Table::Wrote, &format!("chosen.{}", person_key(id))).await?;
                }
                let row = self.engine.get(Table::Wrote, &person_key(id)).await?;
                let wrote: Vec<String> =
                    row.and_then(|row| serde_json::from_slice(&row.value).ok()).unwrap_or_default();
                facts.wrote.extend(wrote);
            }
        }
        Ok(facts)
    }

    async fn name(&self, table: Table, key: &str) -> Result<Option<String>> {
        let row = self.engine.get(table, key).await?;
        Ok(row.map(|row| String::from_utf8_lossy(&row.value).into_owned()))
    }
}

/// One for a site; and it may ask for the file of it.
pub async fn give_to(engine: &impl Engine, site: &str, id: &str, item: &Item) -> Result<()> {
    if let Some(media) = &item.media {
        engine.put(Table::Routes, &media_key(media), site.to_owned().into()).await?;
    }
    let (subject, id) = (format!("in.{site}"), format!("{id}-{site}"));
    engine.append(Log::Inbound, &subject, &id, item.body.clone().into()).await
}

/// A place that cannot be read begins anew: what is appended again has the ids that it had, or is known to the sites.
fn read(value: &[u8]) -> Place {
    serde_json::from_slice(value).unwrap_or_default()
}

fn json(value: &impl Serialize) -> Bytes {
    serde_json::to_vec(value).unwrap_or_default().into()
}
