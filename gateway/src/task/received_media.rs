//! Marks what people wrote as read, and fetches their files.

use std::sync::Arc;
use std::time::Duration;

use crate::config::Connection;
use crate::ids::ConnectionName;
use crate::random::backoff;
use crate::store::{Fetched, FileRow, MediaFiles, Store};
use crate::task::context::TaskContext;
use crate::task::wakeups::Work;
use crate::time::Timestamp;
use crate::whatsapp::client::Client;
use crate::whatsapp::endpoint::endpoint;
use crate::whatsapp::received::NoFile;

/// What was put off is looked at again after this time, and what is old goes.
const LOOK_EVERY: Duration = Duration::from_secs(30);
/// Meta or the line is away, or the token is refused: that says nothing about the file.
const AWAY: Duration = Duration::from_secs(60);

/// Marks what was taken as read, where the configuration wants it. One that fails is not repeated: the next marks all
/// before it.
pub async fn mark(context: Arc<TaskContext>, client: Client) {
    loop {
        while let Some(mark) = context.receipts.take() {
            let connection = named(&context, &mark.connection).filter(|connection| connection.mark_read);
            let Some(connection) = connection else { continue };
            let marked = match endpoint(&connection) {
                Ok(endpoint) => client.mark_read(&endpoint, &mark.wamid.0, mark.typing).await,
                Err(error) => Err(error),
            };
            if let Err(error) = marked {
                tracing::info!(connection = %mark.connection, error, "a message could not be marked as read");
            }
        }
        context.receipts.told.notified().await;
    }
}

/// Fetches the files of contacts one by one, and removes what is too old or too much.
pub async fn fetch(context: Arc<TaskContext>, client: Client) {
    let Some((shelf, kept)) = context.store.durably(|store| Ok((store.shelf(), store.kept_files()?))).await
    else {
        return;
    };
    let swept = on_disk(&shelf, move |shelf| shelf.sweep(&kept)).await;
    if let Err(error) = swept {
        tracing::warn!(%error, "files that no row names could not be removed from files/");
    }
    loop {
        loop {
            let machine = Arc::clone(&context.machine);
            let next = context.store.durably(move |store| store.next_file(machine.now())).await;
            let Some(next) = next else { return };
            let Some(file) = next else { break };
            let fetched = fetch_one(&context, &client, &shelf, &file).await;
            let outcome = match &fetched {
                Fetched::Kept { bytes } => format!("kept, {bytes} bytes"),
                Fetched::Later { reason, .. } => format!("tried again later: {reason}"),
                Fetched::Failed(reason) => format!("failed: {reason}"),
            };
            tracing::info!(file = file.id, contact = %file.contact, outcome, "a received file");
            let id = file.id;
            match context.store.durably(move |store| store.fetched(id, &fetched)).await {
                None => return,
                Some(true) => {}
                Some(false) => drop(on_disk(&shelf, move |shelf| shelf.remove(id)).await),
            }
        }
        if make_room(&context, &shelf).await.is_none() {
            return;
        }
        let told = tokio::time::timeout(LOOK_EVERY, context.wakeups.wait(Work::ReceivedFiles)).await;
        drop(told); // either way there is something to look for
    }
}

async fn fetch_one(
    context: &Arc<TaskContext>,
    client: &Client,
    shelf: &MediaFiles,
    file: &FileRow,
) -> Fetched {
    let now = context.machine.now();
    let away = |reason: String| Fetched::Later { at: now + AWAY, counts: false, reason };
    let Some(connection) = named(context, &file.connection) else {
        return Fetched::Failed(format!(
            "the connection {} is not in the configuration any more",
            file.connection
        ));
    };
    let endpoint = match endpoint(&connection) {
        Ok(endpoint) => endpoint,
        Err(error) => return away(error),
    };
    let settings = &context.config.files;
    let limit = settings.max_bytes;
    match client.download(&endpoint, &file.media_id, file.sha256.as_deref(), limit).await {
        Ok(bytes) => {
            let (id, size) = (file.id, u32::try_from(bytes.len()).unwrap_or(u32::MAX));
            if let Err(error) = on_disk(shelf, move |shelf| shelf.put(id, &bytes)).await {
                return away(format!("it could not be written: {error}; free some space"));
            }
            if settings.delete_at_meta
                && let Err(error) = client.delete_media(&endpoint, &file.media_id).await
            {
                tracing::info!(
                    file = file.id,
                    error,
                    "Meta did not delete its copy, and keeps it for 7 days"
                );
            }
            Fetched::Kept { bytes: size }
        }
        Err(NoFile::Later(reason)) => away(reason),
        Err(NoFile::Again(reason)) => Fetched::Later { at: now + again(file.tries), counts: true, reason },
        Err(NoFile::Never(reason)) => Fetched::Failed(reason),
    }
}

fn again(tries: u32) -> Duration {
    backoff(Duration::from_secs(2), Duration::from_secs(300), tries + 1)
}

async fn make_room(context: &Arc<TaskContext>, shelf: &MediaFiles) -> Option<()> {
    let (settings, machine) = (context.config.files.clone(), Arc::clone(&context.machine));
    let crowd_out = move |store: &Store| {
        let now = machine.now();
        let before = if now.is_sane() { now - settings.keep_for } else { Timestamp(0) };
        store.crowd_out(before, settings.keep_bytes)
    };
    for id in context.store.durably(crowd_out).await? {
        if let Err(error) = on_disk(shelf, move |shelf| shelf.remove(id)).await {
            tracing::warn!(file = id, %error, "an old file could not be removed; the next start tries again");
        }
    }
    Some(())
}

/// A slow card must hold up nobody else on this thread.
async fn on_disk<T: Send + 'static>(
    shelf: &MediaFiles,
    work: impl FnOnce(&MediaFiles) -> std::io::Result<T> + Send + 'static,
) -> std::io::Result<T> {
    let shelf = shelf.clone();
    tokio::task::spawn_blocking(move || work(&shelf))
        .await
        .unwrap_or_else(|error| Err(std::io::Error::other(error)))
}

fn named(context: &TaskContext, name: &ConnectionName) -> Option<Connection> {
    context.live.get().connections.iter().find(|connection| connection.name == *name).cloned()
}
