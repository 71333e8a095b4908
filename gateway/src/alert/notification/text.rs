//! The texts of messages about an alert: short, for somebody who is tired and in a cold room, in the words and by the
//! clock of the one who reads it. The sentences themselves stand in `contact::language`.

use std::time::Duration;

use crate::alert::lifecycle::{Alert, EndReason, Firing, HISTORY_MAX};
use crate::alert::notification::reached::Reached;
use crate::contact::People;
use crate::contact::language::{Locale, Sentences};
use crate::outbox::render::with_time;
use crate::time::Timestamp;

/// The history that is worth a line.
const LATELY: Duration = Duration::from_secs(24 * 3_600);

/// The first words about it.
#[must_use]
pub fn fired(alert: &Alert, firing: &Firing, is_absence: bool, now: Timestamp, locale: &Locale) -> String {
    let mut text = firing.wording.said(locale);
    if is_absence {
        let gap = locale.duration(firing.since.until(now));
        text += &format!("\n{}", locale.say(|s| s.nothing_heard, &[("gap", &gap)]));
        return with_time(&text, firing.since, locale);
    }
    let times = times(alert, alert.history.len() + 1, now, locale);
    if let (Some(times), Some(last)) = (times, alert.history.back()) {
        let gap = locale.duration(last.over_at.until(now));
        text += &format!("\n{}", locale.say(|s| s.last_over, &[("times", &times), ("gap", &gap)]));
    }
    with_time(&text, firing.since, locale)
}

/// How often by now, when not for the first time. Beyond what the history holds all times are counted, so that two messages
/// about two alarms in one minute never read the same.
fn times(alert: &Alert, known: usize, now: Timestamp, locale: &Locale) -> Option<String> {
    let lately = alert.history.iter().filter(|episode| episode.since.until(now) < LATELY).count();
    match lately + known - alert.history.len() {
        0 | 1 => None,
        _ if lately >= HISTORY_MAX => {
            Some(locale.say(|s| s.times_by_now, &[("count", &alert.episode.to_string())]))
        }
        times => Some(locale.say(|s| s.times_in_a_day, &[("count", &times.to_string())])),
    }
}

/// It goes on, and nobody has said that they take care.
#[must_use]
pub fn still(alert: &Alert, firing: &Firing, now: Timestamp, locale: &Locale) -> String {
    let age = locale.duration(firing.since.until(now));
    let text = locale.say(|s| s.still, &[("age", &age), ("text", &alert.wording.said(locale))]);
    with_time(&text, firing.since, locale)
}

/// The words for the next person: why they are asked.
#[must_use]
pub fn escalated(alert: &Alert, firing: &Firing, people: &People, now: Timestamp, locale: &Locale) -> String {
    let age = locale.duration(firing.since.until(now));
    let told = firing.told.iter().map(|(contact, told)| {
        let how: fn(&Sentences) -> &'static str = match told.reach {
            Reached::Failed => |s| s.not_reached,
            Reached::Sent => |s| s.not_delivered,
            Reached::Delivered => |s| s.not_read,
            Reached::Read => |s| s.was_read,
        };
        locale.say(how, &[("name", people.name(contact))])
    });
    let told: Vec<String> = told.collect();
    let told = if told.is_empty() { locale.plain(|s| s.nobody_yet) } else { told.join(", ") };
    let blanks = [("age", age.as_str()), ("text", &alert.wording.said(locale)), ("told", &told)];
    with_time(&locale.say(|s| s.escalated, &blanks), firing.since, locale)
}

/// It is over: what it was, how long, how bad.
#[must_use]
pub fn resolved(
    alert: &Alert,
    firing: &Firing,
    ending: &EndReason,
    now: Timestamp,
    locale: &Locale,
) -> String {
    let age = locale.duration(firing.since.until(now));
    let worst = firing.worst.map(|worst| locale.say(|s| s.worst, &[("value", &locale.number(worst))]));
    let times = times(alert, alert.history.len(), now, locale).map(|times| format!(", {times}"));
    let more = worst.unwrap_or_default() + &times.unwrap_or_default();
    let text = firing.wording.in_language(locale.language);
    let blanks = [("age", age.as_str()), ("more", &more), ("text", alert_line(text))];
    let text = match ending {
        EndReason::Cleared => locale.say(|s| s.over, &blanks),
        EndReason::Timeout => locale.say(|s| s.over_by_silence, &blanks),
        EndReason::Person(by) => {
            let [age, more, text] = blanks;
            locale.say(|s| s.ended_by, &[("by", by), age, more, text])
        }
    };
    with_time(&text, firing.since, locale)
}

/// Somebody takes care; `own`: told to the person who does.
#[must_use]
pub fn acknowledged(
    alert: &Alert,
    firing: &Firing,
    by: &str,
    own: bool,
    now: Timestamp,
    locale: &Locale,
) -> String {
    let first = alert_line(firing.wording.in_language(locale.language));
    let more = times(alert, alert.history.len() + 1, now, locale).map(|times| format!(" ({times})"));
    let text = format!("{first}{}", more.unwrap_or_default());
    if own {
        locale.say(|s| s.you_take_care, &[("text", &text)])
    } else {
        locale.say(|s| s.somebody_takes_care, &[("by", by), ("text", &text)])
    }
}

/// Said once, then no more until it is calm.
#[must_use]
pub fn flapping(alert: &Alert, changes: u32, within: Duration, now: Timestamp, locale: &Locale) -> String {
    let (gap, count) = (locale.duration(within), changes.to_string());
    let first = alert_line(alert.wording.in_language(locale.language));
    let text = locale.say(|s| s.flapping, &[("count", &count), ("gap", &gap), ("text", first)]);
    with_time(&text, now, locale)
}

/// Flapping has ended.
#[must_use]
pub fn calm(alert: &Alert, now: Timestamp, locale: &Locale) -> String {
    let first = alert_line(alert.wording.in_language(locale.language));
    let state: fn(&Sentences) -> &'static str =
        if alert.firing().is_some() { |s| s.calm_firing } else { |s| s.calm_over };
    with_time(&locale.say(state, &[("text", first)]), now, locale)
}

/// The first line says what it is.
#[must_use]
pub fn alert_line(text: &str) -> &str {
    text.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alert::lifecycle::Episode;
    use crate::alert::message_text::MessageText;

    const NOW: Timestamp = Timestamp(1_790_000_000_000);

    #[test]
    fn the_count_is_told_from_the_second_time_a_day() {
        let hours = |hours: u64| Duration::from_secs(hours * 3_600);
        for (ages, episode, said) in [
            (vec![], 1, "👍 Noted, you take care: Door"),
            (vec![24], 2, "👍 Noted, you take care: Door"),
            (vec![1], 2, "👍 Noted, you take care: Door (2 times in 24 h)"),
            (vec![24, 2, 1], 4, "👍 Noted, you take care: Door (3 times in 24 h)"),
            (vec![1; 7], 8, "👍 Noted, you take care: Door (8 times in 24 h)"),
            (vec![1; 8], 12, "👍 Noted, you take care: Door (12 times by now)"),
        ] {
            let past = |age: u64| Episode {
                since: NOW - hours(age),
                over_at: NOW - hours(age),
                worst: None,
                ending: EndReason::Cleared,
            };
            let alert =
                Alert { history: ages.iter().copied().map(past).collect(), episode, ..Alert::default() };
            let firing = Firing::new(NOW, NOW, None, MessageText::of("Door"));
            assert_eq!(
                acknowledged(&alert, &firing, "Nino", true, NOW, &Locale::default()),
                said,
                "{ages:?}"
            );
        }
    }
}
