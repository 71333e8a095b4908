//! What the HTTP doors ask.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use secrecy::SecretString;

use crate::config::{Connection, Secret};
use crate::http::{Handshake, Health, Webhook, WebhookRejection};
use crate::ids::ConnectionName;
use crate::store::Store;
use crate::task::context::TaskContext;
use crate::task::wakeups::Written;
use crate::task::webhook_inbox::{read_secret, signed_by, signers};
use crate::time::Timestamp;
use crate::whatsapp::signature;

/// Meta's door: secrets are read anew for each request, so that a rotated one works at once.
pub struct WebhookReceiver(Arc<TaskContext>);

/// The monitor's door.
pub struct HealthEndpoint(Arc<TaskContext>);

impl WebhookReceiver {
    pub fn new(context: Arc<TaskContext>) -> Self {
        Self(context)
    }

    fn secrets(&self, of: impl Fn(&Connection) -> &Secret) -> Vec<SecretString> {
        self.0.live.get().connections.iter().filter_map(|connection| read_secret(of(connection))).collect()
    }
}

impl Webhook for WebhookReceiver {
    fn handshake(&self, query: &str) -> Handshake {
        match signature::handshake(query, &self.secrets(|connection| &connection.verify_token)) {
            signature::Handshake::Challenge(challenge) => Handshake::Challenge(challenge),
            signature::Handshake::Wrong => Handshake::Wrong,
            signature::Handshake::Malformed => Handshake::Malformed,
        }
    }

    fn signed_by(&self, header: Option<&str>, body: &[u8]) -> Vec<String> {
        signed_by(&self.0.live.get(), header, body).into_iter().map(|name| name.0).collect()
    }

    fn keep(&self, body: Bytes, signed_by: Vec<String>) -> Pin<Box<dyn Future<Output = bool> + Send>> {
        let context = Arc::clone(&self.0);
        Box::pin(async move {
            // Not waited out when the disk is full: Meta keeps it for us, and sends it again.
            let signers = signers(&context.live.get(), signed_by.into_iter().map(ConnectionName).collect());
            let machine = Arc::clone(&context.machine);
            let keep = move |store: &Store| store.keep_signed(&body, &signers, machine.now());
            let kept = context.store.run(keep).await;
            context.wakeups.after(Written::WebhookBody);
            kept.inspect_err(|error| tracing::error!(%error, "a webhook could not be stored")).is_ok()
        })
    }

    fn refused(&self, why: WebhookRejection) {
        self.0.metrics.turned_away(why);
    }
}

impl HealthEndpoint {
    pub fn new(context: Arc<TaskContext>) -> Self {
        Self(context)
    }
}

impl Health for HealthEndpoint {
    fn obstacles(&self) -> Vec<String> {
        self.0.readiness.obstacles()
    }

    fn metrics(&self) -> Pin<Box<dyn Future<Output = String> + Send>> {
        let context = Arc::clone(&self.0);
        Box::pin(async move {
            let asked =
                |store: &crate::store::Store| Ok((store.counts_in_outbox()?, store.oldest_waiting()?));
            let (counts, oldest) = context.store.run(asked).await.unwrap_or_default();
            let now = context.machine.now();
            let waits = oldest.map_or(0, |at| Timestamp(at).until(now).as_secs());
            let wal = context.config.site.state_directory.join("bellwire.db-wal");
            let wal = wal.metadata().map_or(0, |metadata| metadata.len());
            context.metrics.text(&counts, i64::try_from(waits).unwrap_or(i64::MAX), wal, now)
        })
    }
}
