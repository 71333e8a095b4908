//! What the owner should know of a number or of the gateway itself: kept, and from a warning on written to them.

use std::time::Duration;

use rusqlite::Result;

use crate::config::{Config, Connection};
use crate::contact::Contact;
use crate::contact::language::Sentences;
use crate::contact::severity::Severity;
use crate::ids::ConnectionName;
use crate::outbox::message::Content;
use crate::outbox::row::Conversation;
use crate::reply::inbound::AccountNotice;
use crate::store::{PreviousNotice, Store};
use crate::task::context::TaskContext;
use crate::task::wakeups::Written;
use crate::time::{Clock, SystemClock, Timestamp};

/// No more notices of one kind than this in that time: nobody reads more, and each may cost. The rest is told together after it.
const NOTICES_MAX: u32 = 5;
const NOTICES_IN: Duration = Duration::from_secs(600);

/// What became of a notice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoticeOutcome {
    /// The same words came before.
    Before,
    /// Kept, and something newer is known: nobody is told what is no longer so.
    Late,
    Kept,
    /// A message waits in the outbox.
    Written,
}

/// Which number carries a notice about a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoticeRoute {
    /// Another one if there is one: this one may be what is wrong.
    AnotherFirst,
    /// Nothing leaves over this one: the message would arrive when it is no longer true.
    AnotherOnly,
}

/// A sentence about a person, in the words of whoever reads it.
#[derive(Clone, Copy)]
pub struct LocalizedSentence<'a>(pub fn(&Sentences) -> &'static str, pub &'a [(&'a str, &'a str)]);

/// Whether another notice of this kind may be told now.
pub fn has_room(store: &Store, field: &str, now: Timestamp) -> Result<bool> {
    Ok(store.notices_since(field, now - NOTICES_IN)? < NOTICES_MAX)
}

/// Kept, and from a warning on written to the owner.
pub fn write(
    store: &Store,
    config: &Config,
    about: &ConnectionName,
    notice: &AccountNotice,
    over: NoticeRoute,
    now: Timestamp,
) -> Result<NoticeOutcome> {
    let subject = match config.connections.iter().any(|connection| connection.name == *about) {
        true => format!("WhatsApp number {about}"),
        false => "the gateway itself".to_owned(),
    };
    let text = format!("⚙ {}, {subject}: {}", config.site.name, notice.text);
    write_as(store, config, about, notice, over, now, &|_| text.clone())
}

/// The same, and each owner reads it in a language of their own.
pub fn write_of_person(
    store: &Store,
    config: &Config,
    about: &ConnectionName,
    notice: &AccountNotice,
    said: LocalizedSentence,
    now: Timestamp,
) -> Result<NoticeOutcome> {
    let text = |owner: &Contact| format!("⚙ {}: {}", config.site.name, owner.locale.say(said.0, said.1));
    write_as(store, config, about, notice, NoticeRoute::AnotherFirst, now, &text)
}

fn write_as(
    store: &Store,
    config: &Config,
    about: &ConnectionName,
    notice: &AccountNotice,
    over: NoticeRoute,
    now: Timestamp,
    text: &dyn Fn(&Contact) -> String,
) -> Result<NoticeOutcome> {
    match store.keep_notice(about, notice, now)? {
        PreviousNotice::Before => return Ok(NoticeOutcome::Before),
        PreviousNotice::Newer => return Ok(NoticeOutcome::Late),
        PreviousNotice::Not => {}
    }
    let other = config.connections.iter().find(|connection| connection.name != *about);
    let over = match over {
        NoticeRoute::AnotherFirst => other.or(config.connections.first()),
        NoticeRoute::AnotherOnly => other,
    };
    let Some(over) = over.filter(|_| notice.severity >= Severity::Warning) else {
        return Ok(NoticeOutcome::Kept);
    };
    let mut told = NoticeOutcome::Kept;
    for contact in config.people.resolve(&config.site.owner) {
        store.compose(&lane(over, contact), &contact.to, &Content::text(text(contact)), now)?;
        told = NoticeOutcome::Written;
    }
    Ok(told)
}

/// What is wrong with the gateway itself: a loss, damage, what could not be taken. `field`: what it is about, a word.
pub async fn report(context: &TaskContext, field: &'static str, findings: Vec<String>) {
    for text in findings {
        let notice = AccountNotice::of(field.to_owned(), Severity::Critical, text.clone());
        let config = context.live.get();
        let told = context
            .store
            .durably(move |store| {
                write(store, &config, &gateway(), &notice, NoticeRoute::AnotherFirst, SystemClock.now())
            })
            .await;
        if told == Some(NoticeOutcome::Written) {
            context.wakeups.after(Written::Message);
        }
        context.notices.tell(&gateway(), Severity::Critical, text);
    }
}

/// What must not be forgotten, for the log.
pub fn remind(config: &Config) {
    if let Some(why) = &config.stands_in {
        tracing::error!(why, "not the configuration that the file says");
    }
}

/// Stands where a connection's name stands, for what concerns none.
pub fn gateway() -> ConnectionName {
    ConnectionName("gateway".to_owned())
}

pub fn lane(connection: &Connection, contact: &Contact) -> Conversation {
    Conversation { connection: connection.name.clone(), contact: contact.id.clone() }
}
