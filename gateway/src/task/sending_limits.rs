//! Budgets and Meta's daily limit, kept before each look at what is due.

use crate::config::Config;
use crate::ids::ConnectionName;
use crate::outbox::budget::{BudgetState, read_tier, standing};
use crate::store::{self, Store};
use crate::time::Timestamp;
use crate::whatsapp::notices::MESSAGING_LIMIT;

/// Holds and puts off what may not leave; called before each look at what is due.
pub fn enforce_limits(store: &Store, config: &Config, now: Timestamp) -> store::Result<()> {
    if !now.is_sane() {
        return Ok(()); // which month it is, is not known yet
    }
    for connection in &config.connections {
        if let Some(budget) = &connection.budget {
            store.ration(&connection.name, budget, now)?;
        }
    }
    match people_a_day(store, config)? {
        Some((_, limit)) => store.keep_within_reach(limit, now),
        None => Ok(()),
    }
}

/// Meta's limit of people who are written to first, and on which number it was told. All connections of a file are taken
/// for one business portfolio, which shares it (docs/cloud-api.md 5.3). `None` while there are too few contacts for it to matter.
pub fn people_a_day(store: &Store, config: &Config) -> store::Result<Option<(ConnectionName, u32)>> {
    let contacts = u32::try_from(config.people.contacts.len()).unwrap_or(u32::MAX);
    let mut lowest = None;
    for connection in &config.connections {
        let told = store.fact(&connection.name, MESSAGING_LIMIT)?;
        let limit = told
            .as_deref()
            .and_then(read_tier)
            .filter(|limit| standing(contacts, *limit) != BudgetState::Fine);
        if let Some(limit) = limit.filter(|limit| lowest.as_ref().is_none_or(|(_, lowest)| limit < lowest)) {
            lowest = Some((connection.name.clone(), limit));
        }
    }
    Ok(lowest)
}
