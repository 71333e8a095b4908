//! Somebody who is no contact.

use super::BodyReader;
use crate::contact::Recipient;
use crate::contact::severity::Severity;
use crate::ids::{ConnectionName, ContactId};
use crate::outbox::message::Content;
use crate::outbox::row::Conversation;
use crate::reply::inbound::{AccountNotice, InboundMessage};

impl BodyReader<'_> {
    /// Somebody who is no contact: one polite answer a day, and the owner sees who it was. Profile names are chosen by
    /// whoever writes, so they are not shown.
    pub(crate) fn meet(&mut self, reply: &InboundMessage, over: &ConnectionName) -> rusqlite::Result<()> {
        if reply.group.is_some() {
            self.idle("a stranger wrote in a group");
            return Ok(());
        }
        let phone = reply.from.as_deref().map(|from| format!("+{}", from.trim_start_matches('+')));
        let Some(address) = phone.or_else(|| reply.user_id.clone()) else { return Ok(()) };
        if self.greet(&address, reply, over)? {
            return Ok(());
        }
        self.idle("the sender is no contact");
        if !self.store.meet_stranger(&address, self.now)? {
            return Ok(());
        }
        let Some(to) = Recipient::parse(&address) else { return Ok(()) };
        let nobody =
            ContactId(format!("stranger {}", self.store.seal().pseudonym(&ContactId(address.clone()))));
        let lane = Conversation { connection: over.clone(), contact: nobody };
        self.store.heard(&lane, reply.at, self.now)?;
        let text = self.config.people.locale.say(|s| s.stranger, &[("site", &self.config.site.name)]);
        self.store.compose(&lane, &to, &Content::text(text), self.now)?;
        self.read.messages = true;
        // Who hides the number can only be written into the configuration.
        let how = match address.starts_with('+') {
            true => format!("write: invite {address} NAME as ROLE"),
            false => "add a [[contact]] with this user_id".to_owned(),
        };
        let told = format!("{address} wrote and is no contact; if they should be one, {how}");
        let notice = AccountNotice::of(format!("stranger {address}"), Severity::Warning, told);
        self.tell_owner(over, &notice)
    }
}
