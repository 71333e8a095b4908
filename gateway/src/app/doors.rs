//! What the HTTP doors ask.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use secrecy::SecretString;

use super::shared::Shared;
use crate::config::{Connection, Secret, secret};
use crate::http::{Handshake, Health, Refused, Webhook};
use crate::time::{Clock, SystemClock, Timestamp};
use crate::whatsapp::signature;

/// Meta's door: secrets are read anew for each request, so that a rotated one works at once.
pub struct MetasDoor(Arc<Shared>);

/// The monitor's door.
pub struct Monitor(Arc<Shared>);

impl MetasDoor {
    pub fn new(shared: Arc<Shared>) -> Self {
        Self(shared)
    }

    fn secrets(&self, of: impl Fn(&Connection) -> &Secret) -> Vec<SecretString> {
        let read = |connection: &Connection| {
            secret(of(connection))
                .inspect_err(|error| tracing::error!(%error, "a secret cannot be read"))
                .ok()
        };
        self.0.live().connections.iter().filter_map(read).collect()
    }
}

impl Webhook for MetasDoor {
    fn handshake(&self, query: &str) -> Handshake {
        match signature::handshake(query, &self.secrets(|connection| &connection.verify_token)) {
            signature::Handshake::Challenge(challenge) => Handshake::Challenge(challenge),
            signature::Handshake::Wrong => Handshake::Wrong,
            signature::Handshake::Malformed => Handshake::Malformed,
        }
    }

    fn is_genuine(&self, header: Option<&str>, body: &[u8]) -> bool {
        signature::verify(&self.secrets(|connection| &connection.app_secret), header, body)
    }

    fn keep(&self, body: Bytes) -> Pin<Box<dyn Future<Output = bool> + Send>> {
        let shared = Arc::clone(&self.0);
        Box::pin(async move {
            // Not waited out when the disk is full: Meta keeps it for us, and sends it again.
            let kept = shared.store.run(move |store| store.keep_webhook(&body, SystemClock.now())).await;
            shared.inbox.notify_one();
            kept.inspect_err(|error| tracing::error!(%error, "a webhook could not be stored")).is_ok()
        })
    }

    fn refused(&self, why: Refused) {
        self.0.metrics.turned_away(why);
    }
}

impl Monitor {
    pub fn new(shared: Arc<Shared>) -> Self {
        Self(shared)
    }
}

impl Health for Monitor {
    fn obstacles(&self) -> Vec<String> {
        self.0.obstacles()
    }

    fn metrics(&self) -> Pin<Box<dyn Future<Output = String> + Send>> {
        let shared = Arc::clone(&self.0);
        Box::pin(async move {
            let asked =
                |store: &crate::store::Store| Ok((store.counts_in_outbox()?, store.oldest_waiting()?));
            let (counts, oldest) = shared.store.run(asked).await.unwrap_or_default();
            let waits = oldest.map_or(0, |at| Timestamp(at).until(SystemClock.now()).as_secs());
            let wal = shared.config.site.state_directory.join("bellwire.db-wal");
            let wal = wal.metadata().map_or(0, |metadata| metadata.len());
            shared.metrics.text(&counts, i64::try_from(waits).unwrap_or(i64::MAX), wal)
        })
    }
}
