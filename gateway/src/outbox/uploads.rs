//! Messages whose files are on their way to Meta. A message leaves when its files are there; until then others to the same
//! person go before it, except those with files and those of the same alert, which keep their order.

use std::collections::{BTreeMap, BTreeSet};

use crate::ids::MessageId;
use crate::outbox::message::Media;
use crate::outbox::row::{Conversation, DueMessage};

/// Uploads at once. Each holds two sockets and 64 KiB, and on a line of 1 Mbit/s more of them would only take longer.
pub const UPLOADS_MAX: usize = 4;

/// The ids of a message's files, in the order of `Content::media`; or why they cannot be had.
pub type Uploaded = Result<Vec<Media>, String>;

#[derive(Debug, Clone)]
struct Upload {
    id: MessageId,
    /// `None` while it is under way.
    done: Option<Uploaded>,
}

/// At most one a lane.
#[derive(Debug, Clone, Default)]
pub struct Uploads {
    uploads: BTreeMap<Conversation, Upload>,
    /// Where something else may go first since the last look.
    changed: BTreeSet<Conversation>,
}

impl Uploads {
    /// The message as it may leave, unless it waits for its files.
    pub fn ready(&self, due: DueMessage) -> Option<DueMessage> {
        let upload = self.uploads.get(&due.lane).filter(|upload| upload.id == due.id);
        match upload.map(|upload| &upload.done) {
            Some(None) => None,
            Some(Some(Ok(ids))) => Some(due.with_media(ids)),
            Some(Some(Err(why))) => Some(due.without_media(&format!("no picture: {why}"))),
            None => Some(due),
        }
    }

    /// Whether the upload may begin now.
    pub fn begin(&mut self, due: &DueMessage) -> bool {
        let is_possible = !self.is_full() && !self.uploads.contains_key(&due.lane);
        if is_possible {
            self.changed.insert(due.lane.clone());
            self.uploads.insert(due.lane.clone(), Upload { id: due.id, done: None });
        }
        is_possible
    }

    pub fn end(&mut self, id: MessageId, done: Uploaded) {
        if let Some((lane, upload)) = self.uploads.iter_mut().find(|(_, upload)| upload.id == id) {
            upload.done = Some(done);
            self.changed.insert(lane.clone());
        }
    }

    /// It leaves, or does not wait any more.
    pub fn forget(&mut self, id: MessageId) {
        let gone = self.uploads.extract_if(.., |_, upload| upload.id == id);
        self.changed.extend(gone.map(|(lane, _)| lane));
    }

    /// The lanes in which something else may go first, since the last call.
    pub fn take_changed(&mut self) -> BTreeSet<Conversation> {
        std::mem::take(&mut self.changed)
    }

    pub fn changed(&self) -> &BTreeSet<Conversation> {
        &self.changed
    }

    /// The lanes, and what may leave there now that its files are at Meta.
    pub fn lanes(&self) -> BTreeMap<Conversation, Option<MessageId>> {
        let ready = |upload: &Upload| upload.done.is_some().then_some(upload.id);
        self.uploads.iter().map(|(lane, upload)| (lane.clone(), ready(upload))).collect()
    }

    pub fn is_full(&self) -> bool {
        self.uploads.values().filter(|upload| upload.done.is_none()).count() >= UPLOADS_MAX
    }
}
