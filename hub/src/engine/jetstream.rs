//! NATS JetStream. `sync_interval: always` on each of its nodes makes an acknowledgement mean "on disk"; `bellwire-hub doctor`
//! looks whether it is so.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use async_nats::jetstream::ErrorCode;
use async_nats::jetstream::context::{Context, GetStreamErrorKind, PublishErrorKind};
use async_nats::jetstream::kv;
use async_nats::jetstream::message::PublishMessage;
use async_nats::jetstream::stream::{
    self, DirectGetErrorKind, LastRawMessageErrorKind, Republish, StorageType, Stream,
};
use async_nats::{Client, ConnectOptions, HeaderMap, Subscriber};
use bytes::Bytes;
use futures_util::StreamExt;
use tokio::sync::mpsc;

use super::ready::until_ready;
use super::{Appended, Change, Engine, Last, Log, Result, Row, Table, Unavailable};
use crate::settings::EngineSettings;

/// An election takes up to nine seconds (NATS, `server/raft.go`); a site's request is answered within 30. So one try.
const REQUEST: Duration = Duration::from_secs(5);
/// Meta sends a body again after seconds to minutes; what comes later the site knows by its wamid.
const REPEATS: Duration = Duration::from_secs(600);
/// How often a hub looks whether the engine still has its logs.
const LOOK: Duration = Duration::from_secs(5);
/// An election takes up to nine seconds, in which no node has an answer; so many looks take twenty.
const SILENT_LOOKS: u32 = 2;
/// Changes of a table that wait for its reader: the reader puts them into a map.
const CHANGES: usize = 1_024;

#[derive(Clone)]
pub struct JetStream {
    client: Client,
    context: Context,
    logs: Arc<BTreeMap<Log, Stream>>,
    tables: Arc<BTreeMap<Table, kv::Store>>,
    has_other_nodes: bool,
}

/// What hubs tell each other in passing; nothing is kept of it, and anything may be lost.
#[derive(Clone)]
pub struct Signals(Client);

impl JetStream {
    /// Connects, and makes what is missing.
    pub async fn open(settings: &EngineSettings) -> anyhow::Result<Self> {
        let client = connect(settings).await?;
        let context = async_nats::jetstream::new(client.clone());
        let mut logs = BTreeMap::new();
        for log in Log::ALL {
            logs.insert(log, made(&context, log, settings.replicas).await?);
        }
        let mut tables = BTreeMap::new();
        for table in Table::ALL {
            tables.insert(table, made_table(&context, table, settings.replicas).await?);
        }
        let has_other_nodes = settings.servers.len() > 1;
        Ok(Self { client, context, logs: Arc::new(logs), tables: Arc::new(tables), has_other_nodes })
    }

    #[must_use]
    pub fn signals(&self) -> Signals {
        Signals(self.client.clone())
    }

    /// Appends only if the last under that subject is the one at `after` (0: there is none). `None`: it is another.
    pub async fn append_behind(
        &self,
        log: Log,
        subject: &str,
        id: &str,
        body: Bytes,
        after: u64,
    ) -> Result<Option<u64>> {
        let message = PublishMessage::build().payload(body).message_id(id).expected_stream(log.name());
        let message = message.expected_last_subject_sequence(after);
        let sent = self.context.send_publish(subject.to_owned(), message).await.map_err(unavailable)?;
        match sent.await {
            Ok(kept) => Ok(Some(kept.sequence)),
            Err(error) if error.kind() == PublishErrorKind::WrongLastSequence => Ok(None),
            Err(error) => Err(unavailable(error)),
        }
    }

    /// How many things wait in a log, for people who look.
    pub async fn count(&self, log: Log) -> Result<u64> {
        let stream = self.log(log)?;
        stream.get_info().await.map(|info| info.state.messages).map_err(unavailable)
    }

    /// Returns when the engine answers and does not know a log of ours any more: its disks were lost. What was made at the start must
    /// be made again, which a start does. Meanwhile it goes to another node when the one that it is connected to has no answer:
    /// that one may be cut off from the others, and its line to us is well.
    pub async fn lost(&self) -> Log {
        let mut silent = 0;
        loop {
            tokio::time::sleep(LOOK).await;
            match self.look().await {
                Ok(()) => silent = 0,
                Err(Some(log)) => return log,
                Err(None) => silent += 1,
            }
            if silent == SILENT_LOOKS && self.has_other_nodes {
                silent = 0;
                tracing::warn!(
                    "the node of the engine that this hub is connected to does not answer; it connects to another one"
                );
                if let Err(error) = self.client.force_reconnect().await {
                    tracing::warn!(%error, "no other node of the engine can be reached");
                }
            }
        }
    }

    /// The log that is lost; `None`: nobody answers, or whoever does knows no leader, as a node that is cut off from the others.
    async fn look(&self) -> std::result::Result<(), Option<Log>> {
        for log in Log::ALL {
            let error = match self.context.get_stream(log.name()).await {
                Ok(found) => match &found.cached_info().cluster {
                    Some(cluster) if cluster.leader.is_none() => return Err(None),
                    _ => continue,
                },
                Err(error) => error,
            };
            let is_lost = matches!(error.kind(), GetStreamErrorKind::JetStream(error) if error.error_code() == ErrorCode::STREAM_NOT_FOUND);
            return Err(is_lost.then_some(log));
        }
        Ok(())
    }

    fn log(&self, log: Log) -> Result<&Stream> {
        self.logs.get(&log).ok_or_else(|| Unavailable(format!("it has no log {}", log.name())))
    }

    fn table(&self, table: Table) -> Result<&kv::Store> {
        self.tables.get(&table).ok_or_else(|| Unavailable(format!("it has no table {}", table.name())))
    }
}

/// When a node answers.
pub(super) async fn connect(settings: &EngineSettings) -> anyhow::Result<Client> {
    let mut options = ConnectOptions::new()
        .name("bellwire-hub")
        .connection_timeout(REQUEST)
        .request_timeout(Some(REQUEST))
        .retry_on_initial_connect();
    if let Some((user, password)) = settings.login()? {
        options = options.user_and_password(user, password);
    }
    if let Some(file) = &settings.ca_file {
        options = options.add_root_certificates(file.clone());
    }
    let client = options.connect(&settings.servers).await.context("the engine's address cannot be used")?;
    tokio::time::timeout(Duration::from_secs(30), client.flush()).await.with_context(|| {
        format!("no engine answers at {}; start it first, or look whether both sides speak TLS and trust one another", settings.servers.join(", "))
    })??;
    Ok(client)
}

fn unavailable(error: impl std::fmt::Display) -> Unavailable {
    Unavailable(error.to_string())
}

async fn made(context: &Context, log: Log, replicas: usize) -> anyhow::Result<Stream> {
    let config = stream::Config {
        name: log.name().to_owned(),
        subjects: vec![format!("{}.>", log.subject())],
        storage: StorageType::File,
        num_replicas: replicas,
        max_age: log.keeps(),
        duplicate_window: REPEATS,
        allow_direct: true,
        // What is written down is neither removed nor changed by whoever may speak to the engine.
        deny_delete: log == Log::Audit,
        deny_purge: log == Log::Audit,
        // A subscription to `in.>` itself would hide from whoever appends that nobody leads (nats.go 1781).
        republish: (log == Log::Inbound).then(|| Republish {
            source: "in.>".to_owned(),
            destination: "wake.>".to_owned(),
            headers_only: true,
        }),
        ..stream::Config::default()
    };
    let stream = until_ready(|| async {
        context
            .get_or_create_stream(config.clone())
            .await
            .with_context(|| format!("the log {} cannot be made", log.name()))
    });
    let stream = stream.await?;
    has_replicas(log.name(), stream.cached_info().config.num_replicas, replicas)?;
    Ok(stream)
}

async fn made_table(context: &Context, table: Table, replicas: usize) -> anyhow::Result<kv::Store> {
    let make = || async {
        if let Ok(store) = context.get_key_value(table.name()).await {
            return Ok(store);
        }
        let config = kv::Config {
            bucket: table.name().to_owned(),
            history: 1,
            max_age: table.keeps().unwrap_or_default(),
            storage: StorageType::File,
            num_replicas: replicas,
            ..kv::Config::default()
        };
        let made = context.create_key_value(config).await;
        made.with_context(|| format!("the table {} cannot be made", table.name()))
    };
    let store = until_ready(make).await?;
    has_replicas(table.name(), store.stream.cached_info().config.num_replicas, replicas)?;
    Ok(store)
}

fn has_replicas(name: &str, found: usize, wanted: usize) -> anyhow::Result<()> {
    if found != wanted {
        bail!(
            "{name} has {found} replicas in the engine and {wanted} in the settings; change one of them \
             (`nats stream edit --replicas` while nothing is under way)"
        );
    }
    Ok(())
}

/// A row that was removed, or that the engine let go for its age, leaves a marker (NATS ADR-8, ADR-43).
fn is_removal(headers: &HeaderMap) -> bool {
    headers.get("KV-Operation").is_some() || headers.get("Nats-Marker-Reason").is_some()
}

impl Engine for JetStream {
    async fn append(&self, log: Log, subject: &str, id: &str, body: Bytes) -> Result<u64> {
        let message = PublishMessage::build().payload(body).message_id(id).expected_stream(log.name());
        let sent = self.context.send_publish(subject.to_owned(), message).await.map_err(unavailable)?;
        sent.await.map(|kept| kept.sequence).map_err(unavailable)
    }

    async fn next(&self, log: Log, subject: &str, after: u64) -> Result<Option<Appended>> {
        match self.log(log)?.direct_get_next_for_subject(subject, Some(after + 1)).await {
            Ok(found) => Ok(Some(Appended {
                sequence: found.sequence,
                subject: found.subject.to_string(),
                body: found.payload,
            })),
            Err(error) if error.kind() == DirectGetErrorKind::NotFound => Ok(None),
            Err(error) => Err(unavailable(error)),
        }
    }

    /// Asked of the leader: a replica may not have yet what was acknowledged a moment ago.
    async fn get(&self, table: Table, key: &str) -> Result<Option<Row>> {
        let store = self.table(table)?;
        let subject = format!("{}{key}", store.prefix);
        match store.stream.get_last_raw_message_by_subject(&subject).await {
            Ok(found) if is_removal(&found.headers) => Ok(None),
            Ok(found) => Ok(Some(Row { revision: found.sequence, value: found.payload })),
            Err(error) if error.kind() == LastRawMessageErrorKind::NoMessageFound => Ok(None),
            Err(error) => Err(unavailable(error)),
        }
    }

    async fn create(&self, table: Table, key: &str, value: Bytes) -> Result<Option<u64>> {
        match self.table(table)?.create(key, value).await {
            Ok(revision) => Ok(Some(revision)),
            Err(error) if error.kind() == kv::CreateErrorKind::AlreadyExists => Ok(None),
            Err(error) => Err(unavailable(error)),
        }
    }

    async fn update(&self, table: Table, key: &str, value: Bytes, revision: u64) -> Result<Option<u64>> {
        match self.table(table)?.update(key, value, revision).await {
            Ok(revision) => Ok(Some(revision)),
            Err(error) if error.kind() == kv::UpdateErrorKind::WrongLastRevision => Ok(None),
            Err(error) => Err(unavailable(error)),
        }
    }

    async fn remove(&self, table: Table, key: &str, revision: u64) -> Result<bool> {
        match self.table(table)?.delete_expect_revision(key, Some(revision)).await {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == kv::UpdateErrorKind::WrongLastRevision => Ok(false),
            Err(error) => Err(unavailable(error)),
        }
    }

    async fn put(&self, table: Table, key: &str, value: Bytes) -> Result<()> {
        self.table(table)?.put(key, value).await.map(drop).map_err(unavailable)
    }

    async fn watch(&self, table: Table) -> Result<(usize, mpsc::Receiver<Change>)> {
        let store = self.table(table)?;
        let info = store.stream.get_info().await.map_err(unavailable)?;
        let rows = usize::try_from(info.state.messages).unwrap_or(usize::MAX);
        let mut entries = store.watch_with_history(">").await.map_err(unavailable)?;
        let (changes, to_reader) = mpsc::channel(CHANGES);
        tokio::spawn(async move {
            while let Some(Ok(entry)) = entries.next().await {
                let value = (entry.operation == kv::Operation::Put).then_some(entry.value);
                if changes.send((entry.key, value)).await.is_err() {
                    return;
                }
            }
        });
        Ok((rows, to_reader))
    }

    async fn last(&self, log: Log) -> Result<Last> {
        let info = self.log(log)?.get_info().await.map_err(unavailable)?;
        let epoch = format!("{:x}", info.created.unix_timestamp_nanos());
        Ok(Last { epoch, sequence: info.state.last_sequence })
    }
}

impl Signals {
    pub async fn say(&self, subject: &str, body: Bytes) {
        if let Err(error) = self.0.publish(subject.to_owned(), body).await {
            tracing::debug!(%error, "a signal to the other hubs was not sent");
        }
    }

    pub async fn hear(&self, subject: &str) -> Result<Subscriber> {
        self.0.subscribe(subject.to_owned()).await.map_err(unavailable)
    }
}
