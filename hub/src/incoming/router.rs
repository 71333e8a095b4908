//! Reads what Meta sent in its order and gives it to the sites. One hub does it at a time; what it did since it last wrote down
//! how far it was is done again by the next, and appended once all the same, since it has the same ids.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_nats::Subscriber;
use bellwire::machine::{Machine, SystemMachine};
use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use super::question::{Questions, chosen, is_receipt};
use super::route::{Facts, Route, route};
use super::split::{Item, split};
use super::{media_key, person_key, route_key};
use crate::engine::{Appended, Engine, Log, Result, Row, Signals, Table, json};
use crate::out::tag;
use crate::sites::{Registry, Wrote};

/// How far it is: a row of the table `Router`.
const KEY: &str = "raw";
/// Whoever routes says so at least this often; after three times as long another takes over.
const RENEW: Duration = Duration::from_secs(1);
const LEASE: Duration = Duration::from_secs(3);
/// Bodies between two notes of how far it is, and at most that are read while those before are given.
const BODIES: usize = 32;
/// Requests to the engine at a time. An append to three nodes takes one to two milliseconds, so that these are more a second than
/// Meta sends (docs/hub-performance.md).
const AT_A_TIME: usize = 32;
/// Between two looks when nobody said that something came: what was said may be lost.
const LOOK: Duration = Duration::from_secs(1);
/// A replica that is behind has what was said to have come some milliseconds later. Each pause is twice the one before, an eighth of
/// a second together.
const SOON: Duration = Duration::from_millis(1);
const SOON_LOOKS: u32 = 7;
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

/// One hub's part in it.
pub struct Router<E, Q> {
    pub engine: E,
    /// Its name in the lease.
    pub hub: String,
    pub sites: watch::Receiver<Arc<Registry>>,
    pub asker: Q,
    pub machine: Arc<dyn Machine>,
    /// The newest body that was said to be kept, by its place in the log.
    pub came: watch::Receiver<u64>,
}

/// A body was kept, at that place in the log.
pub async fn came(signals: &Signals, sequence: u64) {
    signals.say(CAME, sequence.to_string().into()).await;
}

pub async fn run<E: Engine, Q: Questions<E>>(
    engine: E,
    hub: String,
    sites: watch::Receiver<Arc<Registry>>,
    asker: Q,
    mut heard: Subscriber,
) {
    let (told, came) = watch::channel(0);
    tokio::spawn(async move {
        while let Some(message) = heard.next().await {
            let sequence = std::str::from_utf8(&message.payload).ok().and_then(|words| words.parse().ok());
            hear(&told, sequence.unwrap_or_default());
        }
    });
    Arc::new(Router { engine, hub, sites, asker, machine: Arc::new(SystemMachine), came }).run().await;
}

/// Hubs tell of what they kept in whatever order.
pub fn hear(told: &watch::Sender<u64>, sequence: u64) {
    told.send_if_modified(|newest| {
        let is_newer = sequence > *newest;
        *newest = sequence.max(*newest);
        is_newer
    });
}

impl<E: Engine, Q: Questions<E>> Router<E, Q> {
    /// As long as the process runs.
    pub async fn run(self: Arc<Self>) {
        loop {
            if let Err(error) = self.lead().await {
                tracing::warn!(%error, "what came from Meta is kept and not routed yet; trying again in a second");
            }
            self.machine.sleep(RENEW).await;
        }
    }

    /// Routes as long as nobody else does. What comes next is read while the sites are given what came before: one body when one
    /// comes now and then, many at a time when many wait.
    async fn lead(self: &Arc<Self>) -> Result<()> {
        let Some(mut row) = self.take().await? else { return Ok(()) };
        let mut place: Place = read(&row.value);
        let time = || self.machine.both().steady;
        let mut noted = time();
        let (mut given, mut came, mut looks) = (0, self.came.clone(), 0);
        let mut bodies: Vec<Appended> = Vec::new();
        loop {
            let after = bodies.last().map_or(place.sequence, |raw| raw.sequence);
            given += bodies.len();
            bodies = self.give_and_read(bodies, after).await?;
            place.sequence = after;
            let is_all = bodies.is_empty();
            if given >= BODIES || time().saturating_sub(noted) >= RENEW {
                let Some(revision) = self.note(&place, row.revision).await? else { return Ok(()) };
                (row.revision, noted, given) = (revision, time(), 0);
            }
            if is_all {
                let is_behind = *came.borrow_and_update() > after && looks < SOON_LOOKS;
                let pause = if is_behind { SOON * 2_u32.pow(looks) } else { LOOK };
                looks += u32::from(is_behind);
                tokio::select! {
                    biased; // as a simulation repeats it
                    Ok(()) = came.changed() => looks = 0,
                    () = self.machine.sleep(pause) => {}
                }
            }
        }
    }

    /// What is behind `after` and can be read in the time in which these are given.
    async fn give_and_read(self: &Arc<Self>, bodies: Vec<Appended>, after: u64) -> Result<Vec<Appended>> {
        let is_given = AtomicBool::new(bodies.is_empty());
        let give = async {
            let given = self.give(bodies).await;
            is_given.store(true, Ordering::Relaxed);
            given
        };
        let read = async {
            let (mut next, mut after) = (Vec::new(), after);
            while let Some(raw) = self.next(after).await? {
                after = raw.sequence;
                next.push(raw);
                if next.len() == BODIES || is_given.load(Ordering::Relaxed) {
                    break;
                }
            }
            Ok(next)
        };
        let (given, next) = tokio::join!(give, read);
        given?;
        next
    }

    async fn next(&self, after: u64) -> Result<Option<Appended>> {
        self.engine.next(Log::Raw, "raw.>", after).await
    }

    /// `None`: another hub does it.
    async fn take(&self) -> Result<Option<Row>> {
        let epoch = self.engine.last(Log::Raw).await?.epoch;
        let row = self.engine.get(Table::Router, KEY).await?;
        let Some(row) = row else {
            let place = Place { epoch, ..Place::default() };
            let revision = self.engine.create(Table::Router, KEY, self.leased(&place)).await?;
            return Ok(revision.map(|revision| Row { revision, value: self.leased(&place) }));
        };
        let mut place: Place = read(&row.value);
        if place.hub != self.hub && place.until > self.machine.now().0 {
            return Ok(None);
        }
        if place.epoch != epoch {
            tracing::warn!("the log of webhooks was made anew: it is routed from its beginning");
            place = Place { epoch, ..Place::default() };
        }
        let revision = self.note(&place, row.revision).await?;
        Ok(revision.map(|revision| Row { revision, value: self.leased(&place) }))
    }

    async fn note(&self, place: &Place, revision: u64) -> Result<Option<u64>> {
        self.engine.update(Table::Router, KEY, self.leased(place), revision).await
    }

    fn leased(&self, place: &Place) -> Bytes {
        let until = (self.machine.now() + LEASE).0;
        json(&Place { hub: self.hub.clone(), until, ..place.clone() })
    }

    /// In their order. What cannot be read is set aside, and holds up nothing behind it.
    async fn give(self: &Arc<Self>, bodies: Vec<Appended>) -> Result<()> {
        let mut items = Vec::new();
        for Appended { sequence, body, .. } in bodies {
            match split(&body) {
                Ok(of_body) => items.extend(of_body),
                Err(why) => {
                    tracing::error!(
                        sequence,
                        why,
                        "a webhook body cannot be read and is set aside; `bellwire-hub unrouted list` shows it"
                    );
                    let id = format!("raw-{sequence}");
                    self.engine.append(Log::Unrouted, "unrouted.unreadable", &id, body).await?;
                }
            }
        }
        let mut together = Vec::new();
        for item in items.into_iter().filter(|item| !is_receipt(item)) {
            match chosen(&item).map(str::to_owned) {
                Some(site) => {
                    // It decides about what the person wrote before, and after.
                    self.give_together(std::mem::take(&mut together)).await?;
                    self.choose(&item, &site).await?;
                }
                None => together.push(item),
            }
        }
        self.give_together(together).await
    }

    /// Where each belongs is looked up for many at a time, and many sites are given theirs at a time, each in its order.
    async fn give_together(self: &Arc<Self>, items: Vec<Item>) -> Result<()> {
        let look_up = |item: Item| {
            let router = Arc::clone(self);
            async move {
                let facts = router.facts(&item).await?;
                let route = route(&item, facts);
                Ok((item, route))
            }
        };
        let routed = stream::iter(items.into_iter().map(look_up)).buffered(AT_A_TIME);
        let routed: Vec<(Item, Route)> = routed.try_collect().await?;
        let mut lanes: BTreeMap<String, Vec<(Arc<Item>, Route)>> = BTreeMap::new();
        for (item, route) in routed {
            let item = Arc::new(item);
            match route {
                Route::To(sites) => sites.into_iter().for_each(|site| {
                    let lane = lanes.entry(format!("in.{site}")).or_default();
                    lane.push((Arc::clone(&item), Route::To(vec![site])));
                }),
                aside @ (Route::Ask(_) | Route::Unrouted(_)) => {
                    lanes.entry(aside_subject(&item)).or_default().push((item, aside))
                }
            }
        }
        let carry_out = |lane: Vec<(Arc<Item>, Route)>| {
            let router = Arc::clone(self);
            async move {
                for (item, route) in lane {
                    router.carry_out(&item, route).await?;
                }
                Ok(())
            }
        };
        let lanes = stream::iter(lanes.into_values().map(carry_out));
        lanes.buffer_unordered(AT_A_TIME).try_collect().await
    }

    async fn carry_out(&self, item: &Item, route: Route) -> Result<()> {
        match route {
            Route::To(sites) => {
                for site in sites {
                    give_to(&self.engine, &site, &item.id, item).await?;
                }
            }
            Route::Ask(sites) => {
                self.set_aside(item).await?;
                self.asker.ask(&self.engine, item, &sites).await?;
            }
            Route::Unrouted(why) => {
                tracing::warn!(why, "a message or status has no site; `bellwire-hub unrouted list` shows it");
                self.set_aside(item).await?;
            }
        }
        Ok(())
    }

    async fn set_aside(&self, item: &Item) -> Result<()> {
        self.engine
            .append(Log::Unrouted, &aside_subject(item), &item.id, item.body.clone().into())
            .await
            .map(drop)
    }

    /// The person has chosen: what was set aside goes there, and for a day what follows.
    async fn choose(&self, item: &Item, site: &str) -> Result<()> {
        let (sites, number) = (Arc::clone(&self.sites.borrow()), item.number.as_deref().unwrap_or_default());
        let Some(person) = item.from.first().map(|person| person_key(person)) else { return Ok(()) };
        if !sites.claim(number, &item.from).iter().any(|claims| claims == site) {
            tracing::warn!(
                site,
                "a person chose a site that does not know them any more; `bellwire-hub unrouted list` shows what they wrote"
            );
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
                let wrote = Wrote::read(row.as_ref().map(|row| &row.value[..]));
                facts.wrote.extend(wrote.sites(self.machine.now()).cloned());
            }
        }
        Ok(facts)
    }

    async fn name(&self, table: Table, key: &str) -> Result<Option<String>> {
        let row = self.engine.get(table, key).await?;
        Ok(row.map(|row| String::from_utf8_lossy(&row.value).into_owned()))
    }
}

fn aside_subject(item: &Item) -> String {
    let person = item.from.first().map_or_else(|| "status".to_owned(), |person| person_key(person));
    format!("unrouted.{person}")
}

/// One for a site; and it may ask for the file of it.
pub async fn give_to(engine: &impl Engine, site: &str, id: &str, item: &Item) -> Result<()> {
    if let Some(media) = &item.media {
        engine.put(Table::Routes, &media_key(media), site.to_owned().into()).await?;
    }
    let (subject, id) = (format!("in.{site}"), format!("{id}-{site}"));
    engine.append(Log::Inbound, &subject, &id, item.body.clone().into()).await.map(drop)
}

/// A place that cannot be read begins anew: what is appended again has the ids that it had, or is known to the sites.
fn read(value: &[u8]) -> Place {
    serde_json::from_slice(value).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use bellwire::whatsapp::client::{Client, Deadlines};
    use serde_json::json;

    use super::*;
    use crate::engine::Rows;
    use crate::engine::memory::Memory;
    use crate::incoming::Asker;
    use crate::pace::{Limits, Paces, Reach};
    use crate::sites::{People, Site};

    /// Sites by name, and whom each names.
    fn router(engine: &Memory, sites: &[(String, Vec<String>)]) -> Arc<Router<Memory, Asker<Memory>>> {
        let mut registry = Registry::default();
        for (name, people) in sites {
            let people = People::Only(people.iter().cloned().collect());
            let site =
                Site { numbers: ["9".into()].into(), people, tokens: vec!["t".into()], ..Site::default() };
            registry.apply((name.clone(), Some(json(&site))));
        }
        let settings = "number = []\n[engine]\nservers = []\nreplicas = 1";
        let second = Duration::from_secs(1);
        let asker = Asker {
            settings: Arc::new(toml::from_str(settings).expect("settings")),
            client: Client::new(Deadlines { connect: second, answer: second }).expect("a client"),
            paces: Paces::default(),
            limits: Limits::new(engine, Reach::new(engine, watch::channel(Arc::default()).1)),
        };
        let (_, sites) = watch::channel(Arc::new(registry));
        let (engine, hub, (_, came)) = (engine.clone(), "hub".to_owned(), watch::channel(0));
        Arc::new(Router { engine, hub, sites, asker, machine: Arc::new(SystemMachine), came })
    }

    fn body(sequence: u64, messages: &[serde_json::Value]) -> Appended {
        let value = json!({ "metadata": { "phone_number_id": "9" }, "messages": messages });
        let change = json!({ "field": "messages", "value": value });
        let body = json!({ "object": "w", "entry": [{ "id": "1", "changes": [change] }] });
        Appended { sequence, subject: "raw.meta".into(), body: body.to_string().into() }
    }

    fn text(from: &str, id: &str) -> serde_json::Value {
        json!({ "from": from, "id": id, "type": "text", "text": { "body": id } })
    }

    /// The ids of the messages under a subject, in their order.
    async fn given(engine: &Memory, log: Log, subject: &str) -> Vec<String> {
        let (mut ids, mut after) = (Vec::new(), 0);
        while let Some(one) = engine.next(log, subject, after).await.expect("well") {
            after = one.sequence;
            let body: serde_json::Value = serde_json::from_slice(&one.body).expect("JSON");
            let id = &body["entry"][0]["changes"][0]["value"]["messages"][0]["id"];
            ids.push(id.as_str().expect("an id").to_owned());
        }
        ids
    }

    #[tokio::test]
    async fn sites_are_served_together_and_each_in_order() {
        let engine = Memory::default();
        let sites: Vec<_> = (0..40).map(|at| (format!("s{at}"), vec![format!("49{at:02}")])).collect();
        let messages: Vec<_> =
            (0..400).map(|at| text(&format!("49{:02}", at % 40), &format!("m{at:03}"))).collect();
        let bodies = messages.chunks(150).zip(1..).map(|(part, sequence)| body(sequence, part)).collect();
        router(&engine, &sites).give(bodies).await.expect("well");
        for site in 0..40 {
            let expected: Vec<_> = (0..10).map(|at| format!("m{:03}", at * 40 + site)).collect();
            assert_eq!(given(&engine, Log::Inbound, &format!("in.s{site}")).await, expected, "s{site}");
        }
        assert_eq!(engine.most_at_a_time(), AT_A_TIME, "as many as may be, and no more");
    }

    #[tokio::test]
    async fn a_choice_routes_later_messages_of_its_body() {
        let engine = Memory::default();
        let sites = ["a", "b"].map(|name| (name.to_owned(), vec!["491511".to_owned()]));
        let tap = json!({ "from": "491511", "id": "tap", "type": "interactive",
            "interactive": { "type": "list_reply", "list_reply": { "id": "bellwire-hub/site/b" } } });
        let messages = [text("491511", "before"), text("491511", "too"), tap, text("491511", "behind")];
        router(&engine, &sites).give(vec![body(1, &messages)]).await.expect("well");
        assert_eq!(given(&engine, Log::Inbound, "in.b").await, ["before", "too", "behind"]);
        assert!(given(&engine, Log::Inbound, "in.a").await.is_empty());
    }

    #[tokio::test]
    async fn an_unreadable_body_is_set_aside_without_blocking_others() {
        let engine = Memory::default();
        let broken = Appended { sequence: 1, subject: "raw.meta".into(), body: "{".into() };
        let bodies = vec![broken, body(2, &[text("491511", "words")])];
        router(&engine, &[("a".into(), vec!["491511".into()])]).give(bodies).await.expect("well");
        assert_eq!(given(&engine, Log::Inbound, "in.a").await, ["words"]);
        assert_eq!(engine.appended(), 2);
    }

    #[tokio::test]
    async fn the_backlog_is_read_while_bodies_are_routed() {
        let engine = Memory::default();
        for at in 0..100_u64 {
            let one = body(at, &[text("491511", &format!("m{at:03}"))]);
            engine.append(Log::Raw, "raw.meta", &format!("r{at}"), one.body).await.expect("kept");
        }
        let router = router(&engine, &[("a".into(), vec!["491511".into()])]);
        let first = router.give_and_read(Vec::new(), 0).await.expect("well");
        assert_eq!(first.len(), 1, "alone, so that it waits for nothing");
        let second = router.give_and_read(first, 1).await.expect("well");
        assert!((2..=BODIES).contains(&second.len()), "{}", second.len());
        assert_eq!(given(&engine, Log::Inbound, "in.a").await, ["m000"]);
        assert_eq!(second[0].sequence, 2);
    }
}
