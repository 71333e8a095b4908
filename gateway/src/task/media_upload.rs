//! Files on their way out: each is an id of Meta's before its message leaves.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::ids::ConnectionName;
use crate::outbox::message::{Content, Media, Part};
use crate::outbox::uploads::Uploaded;
use crate::rule::attachment::{Kind, StoredFile, examine};
use crate::task::context::TaskContext;
use crate::whatsapp::client::{Client, Endpoint};
use crate::whatsapp::upload::UploadSource;

/// A camera has as long: the words of a picture that was drawn here say the same.
const DRAWN_DEADLINE: Duration = Duration::from_secs(10);

/// Every file of the content as an id of Meta's. When one cannot be had the message goes without, and its words say so: they
/// matter more.
pub async fn upload_all(
    context: &Arc<TaskContext>,
    client: &Client,
    endpoint: &Endpoint,
    connection: &ConnectionName,
    mut content: Content,
) -> Uploaded {
    let kind = kind(&content);
    let mut ids = Vec::new();
    for media in content.media() {
        match id_of(context, client, endpoint, connection, kind, media).await {
            Ok(id) => ids.push(id.map_or_else(|| media.clone(), Media::Id)),
            Err(error) => {
                tracing::warn!(error, "a file could not be sent; its message goes without");
                return Err(error);
            }
        }
    }
    Ok(ids)
}

async fn upload(
    client: &Client,
    endpoint: &Endpoint,
    kind: Kind,
    source: UploadSource,
) -> Result<String, String> {
    let mime = examine(kind, &source.beginning, source.length, source.content_type.as_deref())?;
    client.upload(endpoint, &mime, source).await.map_err(|answer| answer.in_words())
}

fn kind(content: &Content) -> Kind {
    match content.part {
        Some(Part::Video(_)) => Kind::Video,
        Some(Part::Audio { .. }) => Kind::Audio,
        Some(Part::Document { .. }) => Kind::Document,
        _ => Kind::Image, // headers are checked by Meta as what they are
    }
}

/// `None`: it is an id or a link already.
async fn id_of(
    context: &Arc<TaskContext>,
    client: &Client,
    endpoint: &Endpoint,
    connection: &ConnectionName,
    kind: Kind,
    media: &Media,
) -> Result<Option<String>, String> {
    match media {
        Media::Id(_) | Media::Link(_) => Ok(None),
        Media::Fetch { url } => {
            let source = client.open(url, kind.limit()).await?;
            upload(client, endpoint, kind, source).await.map(Some)
        }
        Media::File { path, within } => {
            let source = UploadSource::file(Path::new(path), within.as_deref().map(Path::new)).await?;
            upload(client, endpoint, kind, source).await.map(Some)
        }
        Media::Kept { sha256, is_drawn } => {
            let gone = || "the daemon is stopping".to_owned();
            let (name, sha, machine) = (connection.clone(), sha256.clone(), Arc::clone(&context.machine));
            let known = move |store: &crate::store::Store| {
                let now = machine.now();
                Ok(match store.uploaded(&name, &sha, now)? {
                    Some(id) => (Some(id), None),
                    None => (None, store.media(&sha)?),
                })
            };
            let (id, kept) = context.store.durably(known).await.ok_or_else(gone)?;
            if id.is_some() {
                return Ok(id);
            }
            let StoredFile { mime, bytes, .. } = kept.ok_or("the file is no longer kept")?;
            let source = UploadSource::of(bytes);
            let pause = if *is_drawn { DRAWN_DEADLINE } else { Duration::from_secs(3_600) };
            let answer = tokio::select! {
                answer = client.upload(endpoint, &mime, source) => answer,
                () = context.machine.sleep(pause) => return Err("the upload of the picture took too long".to_owned()),
            };
            let id = answer.map_err(|answer| answer.in_words())?;
            let (name, sha, new) = (connection.clone(), sha256.clone(), id.clone());
            let machine = Arc::clone(&context.machine);
            let remember =
                move |store: &crate::store::Store| store.remember_upload(&name, &sha, &new, machine.now());
            context.store.durably(remember).await.ok_or_else(gone)?;
            Ok(Some(id))
        }
    }
}
