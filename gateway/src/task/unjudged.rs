//! A rule that cannot judge its events is told to the owner, once for each reason; and the log gets a line a minute.

use std::collections::BTreeMap;
use std::time::Duration;

use rusqlite::Result;

use crate::alert::evaluate::excerpt;
use crate::alert::unjudged::Unjudged;
use crate::config::Config;
use crate::contact::severity::Severity;
use crate::ids::RuleName;
use crate::reply::inbound::AccountNotice;
use crate::store::{Store, UnjudgedRow};
use crate::task::owner_notice::{self, NoticeRoute, gateway};
use crate::time::{Timestamp, duration_for_people};

/// So that the first message can say how many there were, and still comes while somebody stands before the device.
const PATIENCE: Duration = Duration::from_secs(10);
/// More at once become one message: a new firmware changes what many rules read.
const ONE_BY_ONE: usize = 3;
const FIELD: &str = "rules";
const LINE_EVERY: Duration = Duration::from_secs(60);

/// Tells the owner of what is new; `true`: a message waits.
pub fn tell(store: &Store, config: &Config, now: Timestamp) -> Result<bool> {
    if !store.has_unjudged()? || !owner_notice::has_room(store, FIELD, now)? {
        return Ok(false);
    }
    let found = store.untold_unjudged(now - PATIENCE)?;
    let (Some(first), is_many) = (found.first(), found.len() > ONE_BY_ONE) else { return Ok(false) };
    if is_many {
        let others = found[1..].iter().map(|row| row.rule.as_str());
        let mut others: Vec<&str> = others.filter(|rule| *rule != first.rule).collect();
        others.dedup();
        let more = match others.as_slice() {
            [] => format!("It has {} more reasons", found.len() - 1),
            rules => format!("So it is with {}", rules.join(", ")),
        };
        write(store, config, &format!("{}\n{more}; bellwire doctor has all.", sentence(first)), now)?;
    }
    for row in &found {
        if !is_many {
            write(store, config, &sentence(row), now)?;
        }
        store.unjudged_is_told(row, now)?;
    }
    Ok(true)
}

fn write(store: &Store, config: &Config, text: &str, now: Timestamp) -> Result<()> {
    let notice = AccountNotice::of(FIELD.to_owned(), Severity::Warning, text.to_owned());
    owner_notice::write(store, config, &gateway(), &notice, NoticeRoute::AnotherFirst, now).map(drop)
}

/// What happened, an example, and what to do.
fn sentence(row: &UnjudgedRow) -> String {
    let UnjudgedRow { rule, count, topic, reason, .. } = row;
    let events = if *count == 1 { "an event".to_owned() } else { format!("{count} events") };
    let example = excerpt(&row.payload);
    let example = if example.is_empty() { "nothing".to_owned() } else { example };
    format!(
        "rule {rule} could not judge {events}: {reason}\nFor example, {topic} sent: {example}\n\
         Correct the rule or the device; this is told once."
    )
}

/// What the log says of events that cannot be judged: a line a minute for each rule, with how many there were since the
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
