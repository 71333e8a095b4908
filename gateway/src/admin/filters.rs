//! Filters of addresses, checked: which rows a list is asked for.

use crate::http::{ApiError, Filter, LIMIT_MAX};
use crate::outbox::message_state::State;
use crate::store::{Cursor, Direction, Listing};
use crate::time::Timestamp;

/// Rows of a list when nobody says how many.
pub const LIMIT: u32 = 50;

/// Of rows whose states are words of their own.
pub fn with_states(filter: Filter, states: &[&str]) -> Result<Listing, ApiError> {
    let state = filter.state.clone().filter(|state| !state.is_empty());
    if state.as_deref().is_some_and(|state| !states.contains(&state)) {
        let how = format!("There is no such state; take one of {}.", states.join(", "));
        return Err(ApiError::Malformed(how));
    }
    Ok(Listing { state, ..listing(&Filter { state: None, ..filter })? })
}

pub fn listing(filter: &Filter) -> Result<Listing, ApiError> {
    let wrong = |words: &str| ApiError::Malformed(words.to_owned());
    let filled = |text: &Option<String>| text.clone().filter(|text| !text.trim().is_empty());
    let time = |text: &Option<String>| match filled(text) {
        Some(text) => match Timestamp::exact(&text) {
            Some(time) => Ok(Some(time.0)),
            None => Err(wrong("A time is written as 2026-11-21T14:03:00Z.")),
        },
        None => Ok(None),
    };
    let state = filled(&filter.state);
    if state
        .as_deref()
        .is_some_and(|word| State::parse(word).is_none() && !matches!(word, "waiting" | "ended"))
    {
        return Err(wrong(
            "There is no such state; take waiting, ended, or one of `bellwire outbox list --help`.",
        ));
    }
    let direction = match filled(&filter.direction).as_deref() {
        None => None,
        Some("in") => Some(Direction::In),
        Some("out") => Some(Direction::Out),
        Some(_) => return Err(wrong("The direction is in or out.")),
    };
    let before = match filled(&filter.cursor) {
        Some(text) => Some(
            Cursor::parse(&text)
                .ok_or_else(|| wrong("The cursor is not one that an answer gave as `next`."))?,
        ),
        None => None,
    };
    let limit = filter.limit.unwrap_or(LIMIT);
    if !(1..=LIMIT_MAX).contains(&limit) {
        return Err(wrong("The limit is from 1 to 500."));
    }
    Ok(Listing {
        contact: filled(&filter.contact),
        state,
        direction,
        rule: filled(&filter.rule),
        alert: None,
        open: false,
        since: time(&filter.since)?,
        until: time(&filter.until)?,
        text: filled(&filter.text),
        before,
        limit,
    })
}
