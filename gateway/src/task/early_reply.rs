//! A reply may overtake Meta's answer to our own request, when that answer hangs or the machine is busy: then what it quotes is
//! a message whose id we do not know yet. Such a reply waits, so that a 👍 is not lost; what came after it does not.

use std::time::Duration;

use crate::config::Config;
use crate::contact::IdentityOwner;
use crate::ids::InboxId;
use crate::reply::inbound::{Inbound, InboundMessage, OF_CALL};
use crate::store::{self, Store, Unread};
use crate::time::Timestamp;
use crate::whatsapp::inbound;

/// As long as a request may take before it is given up.
const PATIENCE: Duration = Duration::from_secs(30);
/// The time after which what waits is looked at again.
pub const LOOK_AGAIN: Duration = Duration::from_millis(250);

/// The oldest body that may be read now, and what is in it.
pub fn next(store: &Store, config: &Config, now: Timestamp) -> store::Result<Option<(Unread, Vec<Inbound>)>> {
    let mut after = InboxId(0);
    while let Some(unread) = store.next_webhook(after)? {
        let found = inbound::read(&unread.body);
        let is_fresh = unread.received_at <= now && unread.received_at.until(now) < PATIENCE;
        if !is_fresh || !waits(store, config, &found, now)? {
            return Ok(Some((unread, found)));
        }
        after = unread.id;
    }
    Ok(None)
}

fn waits(store: &Store, config: &Config, found: &[Inbound], now: Timestamp) -> store::Result<bool> {
    for inbound in found {
        if let Inbound::Reply(reply) = inbound
            && overtakes(store, config, reply, now)?
        {
            return Ok(true);
        }
    }
    Ok(false)
}

/// It quotes a message that we do not know, while one to this person is on its way.
fn overtakes(store: &Store, config: &Config, reply: &InboundMessage, now: Timestamp) -> store::Result<bool> {
    let quoted = reply.quotes.as_ref().filter(|quoted| !quoted.0.starts_with(OF_CALL));
    let Some(quoted) = quoted else { return Ok(false) };
    let sender = store.whose(&config.people, reply.from.as_deref(), reply.user_id.as_deref())?;
    let IdentityOwner::One(sender) = sender else { return Ok(false) };
    store.may_be_under_way(quoted, &sender.id, now - PATIENCE)
}
