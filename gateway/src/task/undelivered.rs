//! An alert that reached nobody is news: the owner hears of it over what still works, and its escalation goes on at once.

use std::time::Duration;

use crate::alert::engine::AlertCommand;
use crate::config::Config;
use crate::ids::ConnectionName;
use crate::reply::undelivered::{self, FIELD};
use crate::store::{NoticeOutcome, Result, Store};
use crate::task::owner_notice;
use crate::time::Timestamp;

/// As long as another copy is under way somebody may still get it. Most are delivered within seconds; at night every minute
/// counts.
const PATIENCE: Duration = Duration::from_secs(60);

/// The notices that were told, with the number that they are about.
pub type SentNotices = Vec<(ConnectionName, String)>;

pub fn tell(store: &Store, config: &Config, now: Timestamp) -> Result<SentNotices> {
    if !store.has_undelivered()? || !owner_notice::has_room(store, FIELD, now)? {
        return Ok(Vec::new());
    }
    let found = store.undelivered(now - PATIENCE)?;
    for one in &found {
        if let Some((alert, episode)) = one.episode.clone() {
            store.note(&AlertCommand::Undelivered { alert, episode }, now)?;
        }
        store.settle_undelivered(one.id, now)?;
    }
    let mut said = Vec::new();
    for notice in undelivered::notices(&found, &config.context(store.seal(), now)) {
        match store.tell_owner(&notice, now)? {
            NoticeOutcome::Before | NoticeOutcome::Late => {}
            NoticeOutcome::Kept | NoticeOutcome::Written => said.push((notice.about, notice.notice.text)),
        }
    }
    Ok(said)
}

#[cfg(test)]
mod tests;
