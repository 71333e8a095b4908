//! A hub has a chain of its own, which nobody else appends to: sends wait for no other hub. Commands share one, an entry each, which is
//! appended only behind the one that was read.

use std::collections::BTreeMap;
use std::time::Duration;

use bellwire::time::{Clock, SystemClock};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::entry::{Entry, Head, Note, hash};
use super::verify::subject;
use crate::engine::{Engine, JetStream, Log, Result, Table, Unavailable, json, rows};
use crate::sites::random_hex;

/// What came in this time is one entry: at 80 messages a second eight, and an append less than every tenth of a second.
const GATHER: Duration = Duration::from_millis(100);
const NOTES_MAX: usize = 256;
/// As many wait at most, 50 s of a number's pace; then sends wait, too. Without an engine no message is begun, so that none comes.
const WAITING_MAX: usize = 4_096;
/// How often a chain says where the others are.
const HEADS_EVERY: Duration = Duration::from_secs(3_600);
/// The newest, as many as a chain names: hubs that were started again have a chain for each start.
const HEADS_MAX: usize = 64;
const AGAIN: Duration = Duration::from_secs(1);
/// For what is waiting when the hub ends.
const AT_THE_END: Duration = Duration::from_secs(5);
/// The chain of commands, and how often a command reads it anew when another came first.
const COMMANDS: &str = "commands";
const COMMAND_TRIES: u32 = 50;

/// Takes what is to be written down.
#[derive(Clone)]
pub struct Audit(mpsc::Sender<Message>);

enum Message {
    Note(Note),
    /// Everything before it is on disk.
    End(oneshot::Sender<()>),
}

impl Audit {
    /// A chain for this process.
    pub async fn start(engine: JetStream) -> anyhow::Result<Self> {
        let chain = Chain::new(engine).await?;
        let (notes, received) = mpsc::channel(WAITING_MAX);
        tokio::spawn(write(chain, received));
        Ok(Self(notes))
    }

    /// Written down within a moment, together with what else comes. A hub that is killed before loses it.
    pub async fn note(&self, note: Note) {
        if self.0.send(Message::Note(note)).await.is_err() {
            tracing::error!("the audit's task has ended, and something is not written down");
        }
    }

    /// Returns when all is on disk.
    pub async fn end(&self) {
        let (done, is_done) = oneshot::channel();
        let ended = async {
            drop(self.0.send(Message::End(done)).await);
            drop(is_done.await);
        };
        if timeout(AT_THE_END, ended).await.is_err() {
            tracing::error!("the engine did not take the last entries of the audit");
        }
    }
}

async fn write(mut chain: Chain, mut received: mpsc::Receiver<Message>) {
    let mut heads_at = Instant::now();
    loop {
        let (mut notes, mut done) = (Vec::new(), None);
        let mut until = heads_at;
        while notes.len() < NOTES_MAX && done.is_none() {
            match timeout_at(until, received.recv()).await {
                Ok(Some(Message::Note(note))) => notes.push(note),
                Ok(Some(Message::End(end))) => done = Some(end),
                Ok(None) => return,
                Err(_) => break,
            }
            if notes.len() == 1 {
                until = heads_at.min(Instant::now() + GATHER);
            }
        }
        let mut heads = BTreeMap::new();
        if Instant::now() >= heads_at {
            heads = chain.others().await;
            heads_at = Instant::now() + HEADS_EVERY;
        }
        if !notes.is_empty() || !heads.is_empty() {
            chain.keep(&notes, &heads).await;
        }
        if let Some(done) = done {
            let _ = done.send(()); // nobody waits any more
        }
    }
}

struct Chain {
    engine: JetStream,
    name: String,
    head: Head,
}

impl Chain {
    /// Its head is there before its first entry, so that a chain without one was tampered with.
    async fn new(engine: JetStream) -> anyhow::Result<Self> {
        let chain = Self { engine, name: random_hex::<8>()?, head: Head::default() };
        chain.keep_head().await?;
        Ok(chain)
    }

    async fn keep_head(&self) -> Result<()> {
        self.engine.put(Table::Heads, &self.name, json(&self.head)).await
    }

    /// Until the engine has it.
    async fn keep(&mut self, notes: &[Note], heads: &BTreeMap<String, Head>) {
        let mut entry = self.head.next(&self.name, notes.to_vec(), heads.clone(), SystemClock.now());
        let mut is_told = false;
        loop {
            match append(&self.engine, &self.name, &self.head, &entry).await {
                Ok(Some(head)) => {
                    self.head = head;
                    break;
                }
                Ok(None) => {
                    tracing::error!(
                        chain = self.name,
                        "somebody else has written into this hub's part of the audit; it goes on in another"
                    );
                    if let Ok(chain) = Self::new(self.engine.clone()).await {
                        *self = chain;
                        entry = self.head.next(&self.name, notes.to_vec(), heads.clone(), SystemClock.now());
                    }
                }
                Err(error) => {
                    if !is_told {
                        tracing::warn!(%error, "an entry of the audit is not kept yet");
                    }
                    is_told = true;
                    sleep(AGAIN).await;
                }
            }
        }
        if let Err(error) = self.keep_head().await {
            tracing::warn!(%error, "where the audit ends is not kept; the next entry says it");
        }
    }

    /// Where the other chains are, the newest of them.
    async fn others(&self) -> BTreeMap<String, Head> {
        let Ok(rows) = rows(&self.engine, Table::Heads).await else { return BTreeMap::new() };
        let read =
            |(chain, row): (String, bytes::Bytes)| Some((chain, serde_json::from_slice::<Head>(&row).ok()?));
        let mut heads: Vec<(String, Head)> = rows.into_iter().filter_map(read).collect();
        heads.retain(|(chain, head)| *chain != self.name && head.number > 0);
        heads.sort_by_key(|(_, head)| std::cmp::Reverse(head.at));
        heads.truncate(HEADS_MAX);
        heads.into_iter().collect()
    }
}

/// Behind the head and nowhere else; `None`: somebody else was there. The head that it made.
async fn append(
    engine: &JetStream,
    chain: &str,
    after: &Head,
    (body, head): &(bytes::Bytes, Head),
) -> Result<Option<Head>> {
    let id = format!("audit-{}", head.hash);
    let kept = engine.append_behind(Log::Audit, &subject(chain), &id, body.clone(), after.sequence).await?;
    if let Some(sequence) = kept {
        return Ok(Some(Head { sequence, ..head.clone() }));
    }
    // Ours all the same, if an acknowledgement was lost so long ago that the engine has forgotten its id.
    let next = engine.next(Log::Audit, &subject(chain), after.sequence).await?;
    Ok(next.filter(|next| next.body == *body).map(|next| Head { sequence: next.sequence, ..head.clone() }))
}

/// What somebody did at the command line. It is done already: an error says that it is not written down.
pub async fn command(engine: &JetStream, note: Note) -> Result<()> {
    let row = engine.get(Table::Heads, COMMANDS).await?;
    let mut head: Head = row.and_then(|row| serde_json::from_slice(&row.value).ok()).unwrap_or_default();
    for _ in 0..COMMAND_TRIES {
        if engine.next(Log::Audit, &subject(COMMANDS), 0).await?.is_none() {
            head.sequence = 0; // the engine has let all of them go for their age
        }
        while let Some(next) = engine.next(Log::Audit, &subject(COMMANDS), head.sequence).await? {
            let at = serde_json::from_slice::<Entry>(&next.body).map_or(0, |entry| entry.at);
            head = Head { number: head.number + 1, hash: hash(&next.body), at, sequence: next.sequence };
        }
        let entry = head.next(COMMANDS, vec![note.clone()], BTreeMap::new(), SystemClock.now());
        if let Some(head) = append(engine, COMMANDS, &head, &entry).await? {
            return engine.put(Table::Heads, COMMANDS, json(&head)).await;
        }
        sleep(Duration::from_millis(100)).await; // another command; a replica that is behind has it a moment later
    }
    Err(Unavailable("others write into the audit all the time".into()))
}

/// User and machine, as the system says; whoever is root may say anything.
#[must_use]
pub fn who() -> String {
    let user = ["SUDO_USER", "USER", "LOGNAME"]
        .iter()
        .find_map(|name| std::env::var(name).ok().filter(|name| !name.is_empty()));
    let machine = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    format!("{}@{}", user.unwrap_or_else(|| "somebody".to_owned()), machine.trim())
}
