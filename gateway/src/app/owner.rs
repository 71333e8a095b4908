//! What the owner hears: kept, told at the broker and in the log, and from a warning on as a message.

use crate::alert::message::Content;
use crate::alert::outbox::Lane;
use crate::alert::rule::Severity;
use crate::command::inbound::Notice;
use crate::config::{Config, Connection};
use crate::ids::ConnectionName;
use crate::store::Store;
use crate::time::Timestamp;

/// What became of a notice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Told {
    /// The same words came before.
    Before,
    /// It is kept; the caller says it to the log and the broker.
    Kept,
    /// And messages are in the outbox.
    Written,
}

/// Which number carries it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Over {
    /// Another number if there is one: this one may be what is wrong.
    AnotherFirst,
    /// Nothing leaves over this one: it would arrive when it is no longer true.
    AnotherOnly,
}

pub fn tell(
    store: &Store,
    config: &Config,
    about: &ConnectionName,
    notice: &Notice,
    over: Over,
    now: Timestamp,
) -> rusqlite::Result<Told> {
    if !store.keep_notice(about, notice, now)? {
        return Ok(Told::Before);
    }
    let others = || config.connections.iter().find(|connection| connection.name != *about);
    let over: Option<&Connection> = match over {
        Over::AnotherFirst => others().or(config.connections.first()),
        Over::AnotherOnly => others(),
    };
    let Some(over) = over.filter(|_| notice.severity >= Severity::Warning) else { return Ok(Told::Kept) };
    let mut told = Told::Kept;
    for contact in config.people.resolve(&config.site.owner) {
        let text = format!("⚙ {}, WhatsApp number {about}: {}", config.site.name, notice.text);
        let lane = Lane { connection: over.name.clone(), contact: contact.id.clone() };
        store.compose(&lane, &contact.to, &Content::text(text), now)?;
        told = Told::Written;
    }
    Ok(told)
}
