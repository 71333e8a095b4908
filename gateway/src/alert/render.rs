//! The message to each person: the words, when it happened, and the buttons.

use jiff::tz::TimeZone;

use crate::alert::message::{Button, Content};
use crate::alert::rule::Action;
use crate::ids::{AlertId, StoreTag};
use crate::time::Timestamp;

/// A message says when it happened, never only "now" (promise P9): it may leave hours later.
#[must_use]
pub fn with_time(text: &str, at: Timestamp, zone: &TimeZone) -> String {
    if at.is_sane() { format!("{text}\n🕑 {}", at.for_people(zone)) } else { text.to_owned() }
}

/// The content for one alert. The buttons carry the alert and the action, since Meta echoes nothing else in a tap.
#[must_use]
pub fn content(text: String, actions: &[Action], tag: &StoreTag, alert: AlertId) -> Content {
    let button = |action: &Action| Button { id: button_id(tag, alert, &action.id), title: action.title.clone() };
    Content { text, buttons: actions.iter().map(button).collect(), quotes: None }
}

/// `bellwire/TAG/ALERT/ACTION`.
#[must_use]
pub fn button_id(tag: &StoreTag, alert: AlertId, action: &str) -> String {
    format!("bellwire/{}/{alert}/{action}", tag.0)
}

/// The alert and action behind a button of ours.
#[must_use]
pub fn read_button_id<'a>(tag: &StoreTag, id: &'a str) -> Option<(AlertId, &'a str)> {
    let rest = id.strip_prefix("bellwire/")?.strip_prefix(tag.0.as_str())?.strip_prefix('/')?;
    let (alert, action) = rest.split_once('/')?;
    Some((AlertId(alert.parse().ok()?), action))
}
