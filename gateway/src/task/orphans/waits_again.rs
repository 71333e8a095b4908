//! One message that waits again, under a configuration that may be another one than when it was written.

use super::{CONTACT_GONE, NOT_ASKED, ends, is_gone, is_untold, numbers, rule};
use crate::config::Config;
use crate::ids::MessageId;
use crate::outbox::row::Conversation;
use crate::store::{ActError, Result, Store};
use crate::time::Timestamp;

/// Sends a message again, if there is still somebody to send it to; over another number where its own is gone.
pub fn retry(
    store: &Store,
    config: &Config,
    id: MessageId,
    now: Timestamp,
) -> std::result::Result<(), ActError> {
    if let Some(to) = store.conversation_of(id)?.filter(|to| is_gone(&to.contact, config)) {
        return Err(ActError::PersonGone(id, to.contact));
    }
    store.retry(id, now)?;
    Ok(over_a_number_that_there_is(store, config, id, now)?)
}

/// A failure was told of a copy, and its message may wait again: it had no part in what a start compared.
pub fn came_back(store: &Store, config: &Config, id: MessageId, now: Timestamp) -> Result<()> {
    let Some(Conversation { contact, .. }) = store.waits_in(id)? else { return Ok(()) };
    if is_gone(&contact, config) {
        let is_guest = store.guest_ids()?.contains(&contact);
        let is_theirs = store.waiting_for(&contact, is_guest)?.contains(&id);
        return if is_theirs { store.withdraw(&[id], CONTACT_GONE, now) } else { Ok(()) };
    }
    if let Some(one) = store.waiting_alert(id)?
        && let Some(rule) = rule(config, &one.rule)
        && is_untold(store, &one, &config.people.ever(rule.tells()))?
    {
        return ends::end_untold(store, &one, now);
    }
    let question = store.question_of(id)?;
    let question = question.and_then(|name| config.questions.iter().find(|known| known.name == name));
    if question
        .is_some_and(|known| !config.people.resolve(&known.who).iter().any(|asked| asked.id == contact))
    {
        return store.withdraw(&[id], NOT_ASKED, now);
    }
    over_a_number_that_there_is(store, config, id, now)
}

fn over_a_number_that_there_is(store: &Store, config: &Config, id: MessageId, now: Timestamp) -> Result<()> {
    let Some(over) = store.conversation_of(id)? else { return Ok(()) };
    if !config.connections.is_empty() && !numbers(store, config)?.contains(&over.connection) {
        ends::reroute(store, config, &over, now)?;
    }
    Ok(())
}
