//! The way of one message: its key, its turn, `begun` on disk, Meta, the answer on disk, the answer to the site. Whatever it is
//! cut off by, the row says how far it came.

use std::future::Future;
use std::time::Duration;

use bellwire::contact::severity::Severity;
use bellwire::time::Timestamp;

use super::request::Outgoing;
use super::sent::{Answer, Sent, Step, step};
use crate::engine::{Engine, Result, Row, Table, json};
use crate::pace::{Refused, Scope};
use crate::sites::Wrote;

/// The engine is asked so often to keep an answer, a second apart: an election is over by then.
const KEEP_TRIES: u32 = 8;

/// What came of a request to Meta.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Posted {
    /// Meta's answer, whatever it says, and the wamid if it took the message.
    Answered(Answer, Option<String>),
    /// It surely did not leave, or was surely not taken: come again then.
    NotSent { why: String, retry_after: Duration },
    /// It may have been taken.
    Unknown(String),
}

/// What a message needs of the world beside the engine.
pub trait Ports: Send + Sync {
    fn turn(&self, severity: Severity) -> impl Future<Output = std::result::Result<(), Refused>> + Send;
    fn post(&self) -> impl Future<Output = Posted> + Send;
    fn pause(&self, how_long: Duration) -> impl Future<Output = ()> + Send;
    fn now(&self) -> Timestamp;
}

/// What the site is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Told {
    Answer(Answer),
    /// 429 without a word of Meta's: nothing was sent.
    Again {
        why: String,
        retry_after: Duration,
    },
    /// The same, and what else the site has for this person waits with it, or nothing.
    Later {
        scope: Scope,
        why: String,
        retry_after: Duration,
    },
    /// 409: somebody is at it.
    Wait,
    AnotherMessage,
}

/// `site` is who asks; a key is its own, so that no site gets another's answers.
pub async fn send<E: Engine>(
    engine: &E,
    ports: &impl Ports,
    site: &str,
    out: &Outgoing,
    nonce: &str,
) -> Told {
    match sent(engine, ports, site, out, nonce).await {
        Ok(told) => told,
        Err(error) => Told::Again { why: error.to_string(), retry_after: Duration::from_secs(5) },
    }
}

/// An error is one before Meta was asked.
async fn sent<E: Engine>(
    engine: &E,
    ports: &impl Ports,
    site: &str,
    out: &Outgoing,
    nonce: &str,
) -> Result<Told> {
    let key = format!("{site}.{}", &crate::sites::digest(&out.key)[..32]);
    let (told, revision) = begin(engine, ports, &key, out, nonce).await?;
    let Some(revision) = revision else { return Ok(told) };
    match ports.post().await {
        Posted::NotSent { why, retry_after } => {
            // If that fails the row stays begun: a repetition learns that nobody knows, which is true though it could be better.
            if let Err(error) = engine.remove(Table::Sent, &key, revision).await {
                tracing::warn!(%error, "the row of an unsent message could not be removed: its repetition will be answered as unknown");
            }
            Ok(Told::Again { why, retry_after })
        }
        Posted::Answered(answer, wamid) => {
            let routes = async {
                if let Some(wamid) = wamid {
                    remember(engine, site, &wamid, &out.to, ports.now()).await;
                }
            };
            tokio::join!(keep(engine, ports, (&key, revision), out, nonce, &answer), routes);
            Ok(Told::Answer(answer))
        }
        Posted::Unknown(why) => {
            let answer = Answer::unknown(&why);
            keep(engine, ports, (&key, revision), out, nonce, &answer).await;
            Ok(Told::Answer(answer))
        }
    }
}

/// Until `begun` is on disk; its revision then, or what the site is told instead.
async fn begin<E: Engine>(
    engine: &E,
    ports: &impl Ports,
    key: &str,
    out: &Outgoing,
    nonce: &str,
) -> Result<(Told, Option<u64>)> {
    let row = engine.get(Table::Sent, key).await?;
    if let Some(told) = tell(engine, key, row, out, nonce).await? {
        return Ok((told, None));
    }
    if let Err(Refused { why, retry_after, scope }) = ports.turn(out.severity).await {
        let why = why.to_owned();
        let told = match scope {
            Scope::Severity => Told::Again { why, retry_after },
            Scope::Person | Scope::Message => Told::Later { scope, why, retry_after },
        };
        return Ok((told, None));
    }
    let begun = Sent { answer: None, ..row_of(out, nonce) };
    let created = engine.create(Table::Sent, key, json(&begun)).await;
    if let Ok(Some(revision)) = created {
        return Ok((Told::Wait, Some(revision)));
    }
    let row = engine.get(Table::Sent, key).await?;
    let ours =
        row.as_ref().filter(|row| read(row).is_some_and(|sent| sent.nonce == nonce && sent.answer.is_none()));
    if let Some(row) = ours {
        return Ok((Told::Wait, Some(row.revision))); // it was stored, and its acknowledgement was lost
    }
    created?;
    Ok((tell(engine, key, row, out, nonce).await?.unwrap_or(Told::Wait), None))
}

/// What a site is told of a key that somebody has used; `None`: nobody has.
async fn tell<E: Engine>(
    engine: &E,
    key: &str,
    row: Option<Row>,
    out: &Outgoing,
    nonce: &str,
) -> Result<Option<Told>> {
    let known = row
        .as_ref()
        .map(|row| read(row).ok_or_else(|| crate::engine::Unavailable("a row of a newer hub".into())));
    let known = known.transpose()?;
    Ok(match step(known.as_ref(), &out.digest, nonce, out.waited) {
        Step::Begin => None,
        Step::Tell(answer) => Some(Told::Answer(answer)),
        Step::Wait | Step::GoOn => Some(Told::Wait),
        Step::AnotherMessage => Some(Told::AnotherMessage),
        Step::GiveUp => {
            let answer = Answer::unknown("the hub that had it ended before Meta's answer was kept");
            let (Some(row), Some(begun)) = (row, known) else { return Ok(Some(Told::Wait)) };
            let given_up = json(&Sent { answer: Some(answer.clone()), ..begun });
            let is_written = engine.update(Table::Sent, key, given_up, row.revision).await?.is_some();
            Some(if is_written { Told::Answer(answer) } else { Told::Wait })
        }
    })
}

/// Meta has answered, so the site is told even if this cannot be kept: then a repetition learns that nobody knows.
async fn keep<E: Engine>(
    engine: &E,
    ports: &impl Ports,
    (key, revision): (&str, u64),
    out: &Outgoing,
    nonce: &str,
    answer: &Answer,
) {
    let done = Sent { answer: Some(answer.clone()), ..row_of(out, nonce) };
    for _ in 0..KEEP_TRIES {
        match engine.update(Table::Sent, key, json(&done), revision).await {
            Ok(_) => return, // by us, or by a try whose acknowledgement was lost
            Err(error) => {
                tracing::warn!(%error, "an answer of Meta could not be stored; trying again in a second")
            }
        }
        ports.pause(Duration::from_secs(1)).await;
    }
}

/// By these an answer finds its site again. What is lost of it costs a question to a person, no message.
async fn remember<E: Engine>(engine: &E, site: &str, wamid: &str, to: &str, now: Timestamp) {
    let message = crate::incoming::route_key(wamid);
    let route = engine.put(Table::Routes, &message, site.to_owned().into());
    let person = crate::incoming::person_key(&crate::sites::person(to));
    let wrote = crate::engine::change(engine, Table::Wrote, &person, |row| Wrote::read(row).with(site, now));
    let (route, wrote) = tokio::join!(route, wrote);
    for error in [route.err(), wrote.err()].into_iter().flatten() {
        tracing::warn!(%error, site, "the site of a sent message was not stored: who answers it may be asked which site is meant");
    }
}

/// Begun.
fn row_of(out: &Outgoing, nonce: &str) -> Sent {
    Sent { nonce: nonce.to_owned(), digest: out.digest.clone(), waited: out.waited, answer: None }
}

fn read(row: &Row) -> Option<Sent> {
    serde_json::from_slice(&row.value).ok()
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;
    use crate::engine::memory::Memory;

    struct Meta {
        posted: AtomicU32,
        answers: Posted,
    }

    impl Meta {
        fn that(answers: Posted) -> Self {
            Self { posted: AtomicU32::new(0), answers }
        }

        fn count(&self) -> u32 {
            self.posted.load(Ordering::Relaxed)
        }
    }

    impl Ports for Meta {
        async fn turn(&self, _: Severity) -> std::result::Result<(), Refused> {
            Ok(())
        }

        async fn post(&self) -> Posted {
            self.posted.fetch_add(1, Ordering::Relaxed);
            self.answers.clone()
        }

        async fn pause(&self, _: Duration) {}

        fn now(&self) -> Timestamp {
            Timestamp(0)
        }
    }

    fn out(digest: &str, waited: u64) -> Outgoing {
        let (key, tag, to) = ("bellwire/0badcafe/7/1".to_owned(), "0badcafe".to_owned(), "491511".to_owned());
        Outgoing { key, tag, severity: Severity::Info, waited, to, digest: digest.to_owned() }
    }

    fn accepted() -> Answer {
        Answer { status: 200, body: "{}".into(), is_unknown: false }
    }

    #[tokio::test]
    async fn a_repeated_key_gets_one_post_and_one_answer() {
        let (engine, meta) =
            (Memory::default(), Meta::that(Posted::Answered(accepted(), Some("wamid.1".into()))));
        for nonce in ["a", "b", "c"] {
            let told = send(&engine, &meta, "shop", &out("d", 0), nonce).await;
            assert_eq!(told, Told::Answer(accepted()));
        }
        assert_eq!(meta.count(), 1);
        assert_eq!(send(&engine, &meta, "shop", &out("e", 0), "d").await, Told::AnotherMessage);
        assert_eq!(send(&engine, &meta, "other", &out("d", 0), "e").await, Told::Answer(accepted()));
        assert_eq!(meta.count(), 2, "another site's key is another key");
        let route = engine.get(Table::Routes, &crate::incoming::route_key("wamid.1")).await.expect("asked");
        assert_eq!(route.map(|row| row.value), Some("other".into()));
    }

    #[tokio::test]
    async fn a_stored_claim_with_a_lost_acknowledgement_is_ours() {
        let (engine, meta) = (Memory::default(), Meta::that(Posted::Answered(accepted(), None)));
        engine.loses_next_create.store(true, Ordering::Relaxed);
        assert_eq!(send(&engine, &meta, "shop", &out("d", 0), "a").await, Told::Answer(accepted()));
        assert_eq!(meta.count(), 1);
    }

    #[tokio::test]
    async fn an_unsent_message_may_be_sent_again_under_its_key() {
        let (engine, retry_after) = (Memory::default(), Duration::from_secs(2));
        let meta = Meta::that(Posted::NotSent { why: "no line".into(), retry_after });
        let again = Told::Again { why: "no line".into(), retry_after };
        assert_eq!(send(&engine, &meta, "shop", &out("d", 0), "a").await, again);
        let meta = Meta::that(Posted::Answered(accepted(), None));
        assert_eq!(send(&engine, &meta, "shop", &out("d", 0), "b").await, Told::Answer(accepted()));
    }

    #[tokio::test]
    async fn without_a_quorum_nothing_leaves() {
        let (engine, meta) = (Memory::default(), Meta::that(Posted::Answered(accepted(), None)));
        engine.is_down.store(true, Ordering::Relaxed);
        let told = send(&engine, &meta, "shop", &out("d", 0), "a").await;
        assert!(matches!(told, Told::Again { .. }), "{told:?}");
        assert_eq!(meta.count(), 0);
    }

    /// The first request hung on its way for 30 s, the second began, and its line broke: its hub is at it.
    #[tokio::test]
    async fn a_late_claim_is_kept_while_its_hub_posts() {
        let (engine, meta) = (Memory::default(), Meta::that(Posted::Unknown("no answer".into())));
        let key = format!("shop.{}", &crate::sites::digest("bellwire/0badcafe/7/1")[..32]);
        let (told, revision) =
            begin(&engine, &meta, &key, &out("d", 31), "alive").await.expect("the engine answers");
        assert!(told == Told::Wait && revision.is_some());
        assert_eq!(send(&engine, &meta, "shop", &out("d", 38), "other").await, Told::Wait);
        let told = send(&engine, &meta, "shop", &out("d", 66), "other").await;
        assert!(matches!(&told, Told::Answer(answer) if answer.is_unknown), "{told:?}");
        assert_eq!(meta.count(), 0);
    }

    #[tokio::test]
    async fn an_abandoned_claim_becomes_unknown_after_a_wait() {
        let (engine, meta) = (Memory::default(), Meta::that(Posted::Answered(accepted(), None)));
        let key = format!("shop.{}", &crate::sites::digest("bellwire/0badcafe/7/1")[..32]);
        let begun = Sent { nonce: "dead".into(), digest: "d".into(), waited: 0, answer: None };
        engine.create(Table::Sent, &key, json(&begun)).await.expect("asked").expect("new");
        assert_eq!(send(&engine, &meta, "shop", &out("d", 10), "a").await, Told::Wait);
        let told = send(&engine, &meta, "shop", &out("d", 40), "b").await;
        assert!(matches!(&told, Told::Answer(answer) if answer.is_unknown), "{told:?}");
        assert_eq!(send(&engine, &meta, "shop", &out("d", 0), "c").await, told);
        assert_eq!(meta.count(), 0);
    }
}
