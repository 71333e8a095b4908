//! What messages about an alert say: short, for somebody who is tired and in a cold room.

use std::time::Duration;

use jiff::tz::TimeZone;

use crate::alert::lifecycle::{Alert, Ending, Firing, HISTORY_MAX, Reach};
use crate::alert::render::with_time;
use crate::contact::People;
use crate::time::{Timestamp, duration_for_people};

/// A device kept the event for longer than any line takes.
const LATE: Duration = Duration::from_secs(60);
/// The history that is worth a line.
const LATELY: Duration = Duration::from_secs(24 * 3_600);

/// An alert begins when we hear of it; what a device could not tell earlier says when it was.
#[must_use]
pub fn late(text: String, happened_at: Timestamp, now: Timestamp, zone: &TimeZone) -> String {
    let is_late = happened_at.is_sane() && happened_at.until(now) >= LATE;
    if is_late { format!("{text}\nIt happened at {}", happened_at.for_people(zone)) } else { text }
}

/// The first words about it.
#[must_use]
pub fn fired(alert: &Alert, firing: &Firing, is_absence: bool, now: Timestamp, zone: &TimeZone) -> String {
    let mut text = firing.text.clone();
    if is_absence {
        let gap = duration_for_people(firing.since.until(now));
        return with_time(&format!("{text}\nNothing heard for {gap}"), firing.since, zone);
    }
    if let (Some(times), Some(last)) = (times(alert, alert.history.len() + 1, now), alert.history.back()) {
        text += &format!("\n{times}, last over {} ago", duration_for_people(last.over_at.until(now)));
    }
    with_time(&text, firing.since, zone)
}

/// How often by now, when not for the first time. Beyond what the history holds all times are counted, so that two messages
/// about two alarms in one minute never read the same.
fn times(alert: &Alert, known: usize, now: Timestamp) -> Option<String> {
    let lately = alert.history.iter().filter(|episode| episode.since.until(now) < LATELY).count();
    match lately + known - alert.history.len() {
        0 | 1 => None,
        _ if lately >= HISTORY_MAX => Some(format!("{} times by now", alert.episode)),
        times => Some(format!("{times} times in 24 h")),
    }
}

/// It goes on, and nobody has said that they take care.
#[must_use]
pub fn still(alert: &Alert, firing: &Firing, now: Timestamp, zone: &TimeZone) -> String {
    let age = duration_for_people(firing.since.until(now));
    with_time(&format!("🔁 Still, for {age}: {}", alert.text), firing.since, zone)
}

/// The words for the next person: why they are asked.
#[must_use]
pub fn escalated(alert: &Alert, firing: &Firing, people: &People, now: Timestamp, zone: &TimeZone) -> String {
    let age = duration_for_people(firing.since.until(now));
    let told = firing.told.iter().map(|(contact, told)| {
        let name = people.name(contact);
        match told.reach {
            Reach::Failed => format!("{name} (not reached)"),
            Reach::Sent => format!("{name} (not delivered)"),
            Reach::Delivered => format!("{name} (not read)"),
            Reach::Read => format!("{name} (read)"),
        }
    });
    let told: Vec<String> = told.collect();
    let told = if told.is_empty() { "nobody yet".to_owned() } else { told.join(", ") };
    with_time(&format!("⬆ For {age}: {}\nTold: {told}", alert.text), firing.since, zone)
}

/// It is over: what it was, how long, how bad.
#[must_use]
pub fn resolved(alert: &Alert, firing: &Firing, ending: &Ending, now: Timestamp, zone: &TimeZone) -> String {
    let how = match ending {
        Ending::Cleared => "Over".to_owned(),
        Ending::Timeout => "Over, nothing more was heard".to_owned(),
        Ending::Person(by) => format!("Ended by {by}"),
    };
    let length = duration_for_people(firing.since.until(now));
    let worst = firing.worst.map(|worst| format!(", worst {}", number(worst))).unwrap_or_default();
    let first = alert_line(&firing.text);
    let more = times(alert, alert.history.len(), now).map(|times| format!(", {times}")).unwrap_or_default();
    with_time(&format!("✅ {how} after {length}{worst}{more}: {first}"), firing.since, zone)
}

/// Somebody takes care; `own`: told to the person who does.
#[must_use]
pub fn acknowledged(alert: &Alert, firing: &Firing, by: &str, own: bool, now: Timestamp) -> String {
    let first = alert_line(&firing.text);
    let more =
        times(alert, alert.history.len() + 1, now).map(|times| format!(" ({times})")).unwrap_or_default();
    if own {
        format!("👍 Noted, you take care: {first}{more}")
    } else {
        format!("👍 {by} takes care: {first}{more}")
    }
}

/// Said once, then no more until it is calm.
#[must_use]
pub fn flapping(alert: &Alert, changes: u32, within: Duration, now: Timestamp, zone: &TimeZone) -> String {
    let (first, within) = (alert_line(&alert.text), duration_for_people(within));
    let text =
        format!("〰 Has changed {changes} times in {within}: {first}\nNo more about it until it is calm.");
    with_time(&text, now, zone)
}

/// Flapping has ended.
#[must_use]
pub fn calm(alert: &Alert, now: Timestamp, zone: &TimeZone) -> String {
    let first = alert_line(&alert.text);
    let state = if alert.firing().is_some() { "and it is still so" } else { "and it is over" };
    with_time(&format!("〰 Calm again, {state}: {first}"), now, zone)
}

/// The first line says what it is.
#[must_use]
pub fn alert_line(text: &str) -> &str {
    text.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default()
}

/// At most two decimals, and none that are zero.
#[must_use]
pub fn number(value: f64) -> String {
    let text = format!("{value:.2}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    if text == "-0" { "0".to_owned() } else { text.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_device_could_not_tell_earlier_says_when_it_was() {
        let now = Timestamp(1_795_247_385_145);
        let check = |seconds: i64| {
            late("it is warm".to_owned(), Timestamp(now.0 - seconds * 1_000), now, &TimeZone::UTC)
        };
        assert_eq!(check(59), "it is warm");
        assert_eq!(check(3_600), format!("it is warm\nIt happened at {}", then(now)));
        assert_eq!(late("it is warm".to_owned(), Timestamp(5), now, &TimeZone::UTC), "it is warm");
    }

    fn then(now: Timestamp) -> String {
        Timestamp(now.0 - 3_600_000).for_people(&TimeZone::UTC)
    }
}
