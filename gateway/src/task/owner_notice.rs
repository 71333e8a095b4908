//! Notices to the owner about a number or the gateway itself: kept, and from a warning on written to them.

use std::sync::Arc;
use std::time::Duration;

use crate::config::{Config, Connection};
use crate::contact::Contact;
use crate::contact::severity::Severity;
use crate::ids::ConnectionName;
use crate::outbox::row::Conversation;
use crate::reply::inbound::AccountNotice;
use crate::reply::owner_notice::about_number;
pub use crate::reply::owner_notice::{NoticeRoute, gateway};
pub use crate::store::NoticeOutcome;
use crate::store::{Result, Store};
use crate::task::context::TaskContext;
use crate::task::wakeups::Written;
use crate::time::Timestamp;

/// No more notices of one kind than this in that time: nobody reads more, and each may cost. The rest is told together after it.
const NOTICES_MAX: u32 = 5;
const NOTICES_IN: Duration = Duration::from_secs(600);

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
    let site = config.context(store.seal(), now);
    store.tell_owner(&about_number(&site, about, notice.clone(), over), now)
}

/// Reports a fault of the gateway itself: a loss, damage, what could not be taken. `field`: what it is about, a word.
pub async fn report(context: &TaskContext, field: &'static str, findings: Vec<String>) {
    for text in findings {
        let notice = AccountNotice::of(field.to_owned(), Severity::Critical, text.clone());
        let (config, machine) = (context.live.get(), Arc::clone(&context.machine));
        let told = context
            .store
            .durably(move |store| {
                write(store, &config, &gateway(), &notice, NoticeRoute::AnotherFirst, machine.now())
            })
            .await;
        if told == Some(NoticeOutcome::Written) {
            context.wakeups.after(Written::Message);
        }
        context.notices.tell(&gateway(), Severity::Critical, text);
    }
}

/// Logs what must not be forgotten.
pub fn remind(config: &Config) {
    if let Some(why) = &config.stands_in {
        tracing::error!(why, "the last good configuration is used instead of the file");
    }
}

pub fn lane(connection: &Connection, contact: &Contact) -> Conversation {
    Conversation { connection: connection.name.clone(), contact: contact.id.clone() }
}
