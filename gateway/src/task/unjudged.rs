//! A rule that cannot judge its events is told to the owner, once for each reason; and the log gets a line a minute.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::alert::unjudged::Unjudged;
use crate::config::Config;
use crate::contact::severity::Severity;
use crate::ids::RuleName;
use crate::reply::inbound::AccountNotice;
use crate::reply::unjudged::texts;
use crate::store::{Result, Store};
use crate::task::owner_notice::{self, NoticeRoute, gateway};
use crate::time::{Timestamp, duration_for_people};

/// So that the first message can say how many there were, and still comes while somebody stands before the device.
const PATIENCE: Duration = Duration::from_secs(10);
const FIELD: &str = "rules";
const LINE_EVERY: Duration = Duration::from_secs(60);

/// Tells the owner of what is new; `true`: a message waits.
pub fn tell(store: &Store, config: &Config, now: Timestamp) -> Result<bool> {
    if !store.has_unjudged()? || !owner_notice::has_room(store, FIELD, now)? {
        return Ok(false);
    }
    let found = store.untold_unjudged(now - PATIENCE)?;
    for text in texts(&found) {
        let notice = AccountNotice::of(FIELD.to_owned(), Severity::Warning, text);
        owner_notice::write(store, config, &gateway(), &notice, NoticeRoute::AnotherFirst, now)?;
    }
    for row in &found {
        store.unjudged_is_told(row, now)?;
    }
    Ok(!found.is_empty())
}

/// The log lines about events that cannot be judged: a line a minute for each rule, with how many there were since the
/// last. As many rules as the configuration has.
#[derive(Debug, Default)]
pub struct Lines {
    of: BTreeMap<RuleName, Line>,
}

#[derive(Debug)]
struct Line {
    at: Timestamp,
    more: u64,
}

impl Lines {
    /// `true`: it was written, being the first for a while.
    pub fn add(&mut self, one: &Unjudged, topic: &str, now: Timestamp) -> bool {
        let (rule, reason) = (&one.rule, &one.reason);
        if let Some(line) = self.of.get_mut(rule).filter(|line| line.at <= now && now < line.at + LINE_EVERY)
        {
            line.more += 1;
            tracing::trace!(%rule, topic, reason, "another event could not be judged");
            return false;
        }
        let before = self.of.insert(rule.clone(), Line { at: now, more: 0 });
        let more = before.map_or(0, |line| line.more);
        tracing::warn!(%rule, topic, reason, more, "an event could not be judged");
        true
    }

    /// Tells what was counted since, when a minute is over.
    pub fn catch_up(&mut self, now: Timestamp) {
        for (rule, line) in &mut self.of {
            if line.more > 0 && now >= line.at + LINE_EVERY {
                let within = duration_for_people(line.at.until(now));
                tracing::warn!(%rule, more = line.more, within, "more events could not be judged");
                *line = Line { at: now, more: 0 };
            }
        }
    }
}

#[cfg(test)]
mod tests;
