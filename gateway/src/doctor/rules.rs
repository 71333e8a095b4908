//! What rules could not make of events.

use super::Findings;
use crate::alert::evaluate::excerpt;
use crate::config::Config;
use crate::reply::unjudged::UnjudgedRow;
use crate::store::Store;
use crate::time::{Clock, SystemClock, duration_for_people};

/// Reads what the daemon has counted since the rules were last changed.
pub fn examine(findings: &mut Findings, config: &Config) {
    let Ok(store) = Store::open_existing(&config.site.state_directory) else {
        return; // nothing ever came; the disk was looked at before
    };
    let rows = match store.all_unjudged() {
        Ok(rows) => rows,
        Err(error) => {
            let what = format!("what rules could not judge cannot be read: {error}");
            findings.warn("rules", what, "bellwire check says whether the database is whole");
            return;
        }
    };
    let partial = rows.iter().filter(|row| row.is_partial);
    let (rules, reports) = partial.fold((0, 0), |(rules, reports), row| (rules + 1, reports + row.count));
    for row in rows.iter().filter(|row| !row.is_partial) {
        findings.warn("rules", what(row), next(row));
    }
    if rows.iter().all(|row| row.is_partial) {
        let partial = match rules {
            0 => String::new(),
            _ => format!("; {reports} partial reports without what they ask for changed nothing"),
        };
        findings.good("rules", format!("they could judge all events{partial}"));
    }
}

fn what(row: &UnjudgedRow) -> String {
    let ago = duration_for_people(row.last_at.until(SystemClock.now()));
    let (rule, count, reason) = (&row.rule, row.count, &row.reason);
    let events = if count == 1 { "an event".to_owned() } else { format!("{count} events") };
    format!("rule {rule} could not judge {events}, the last {ago} ago: {reason}")
}

fn next(row: &UnjudgedRow) -> String {
    let payload = excerpt(&row.payload).replace('\'', "'\\''");
    format!(
        "correct the rule or the device; see what it makes of it: bellwire try --topic '{}' --payload '{payload}'",
        row.topic.replace('\'', "'\\''")
    )
}
