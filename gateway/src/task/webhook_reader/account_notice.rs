//! Notices of Meta: somebody has moved, an account or a template has changed. The owner hears of it.

use super::BodyReader;
use crate::config::Connection;
use crate::contact::IdentityOwner;
use crate::reply::effect::ReplyEffect;
use crate::reply::inbound::{AccountNotice, IdentityChange, Moved, Preference};
use crate::reply::owner_notice::{NoticeRoute, about_number};
use crate::reply::sender::{has_moved, prefers};
use crate::store;
use crate::whatsapp::notices::MESSAGING_LIMIT;

impl BodyReader<'_> {
    /// Whoever has the old number next might be anybody (docs/cloud-api.md 3.6): nothing acts for the contact any more until somebody has
    /// looked, and the owner is told. Alerts still leave for the old number: as long as nobody has it they fail at once, and
    /// whoever is next on duty is told.
    pub(crate) fn follow(&mut self, moved: &Moved) -> store::Result<()> {
        let over = self.named(&moved.phone_number_id);
        if let Some(over) = over.filter(|over| !self.speaks_for(&over.name)) {
            self.unsigned(&over.name);
            return Ok(());
        }
        let config = self.config;
        let found = self.store.whose(&config.people, moved.from.as_deref(), moved.user_id.as_deref())?;
        let contact = match found {
            IdentityOwner::One(contact) => contact,
            IdentityOwner::Nobodys | IdentityOwner::Several(_) => {
                self.read.nothing.push("somebody who is no contact, or no one contact, has moved".to_owned());
                return Ok(());
            }
        };
        let at = if moved.at.0 == 0 { self.now } else { moved.at };
        if moved.what != IdentityChange::Phone && !self.store.moved(&contact.id, at, self.now)? {
            self.idle("the number changed hands before its contact was accepted");
            return Ok(());
        }
        let Some(over) = over.or(self.config.connections.first()) else { return Ok(()) };
        let told = has_moved(&moved.what, contact, &over.name, &self.site());
        self.apply(&[ReplyEffect::TellOwner(Box::new(told))])
    }

    /// Kept beside the person; the newest counts. What waited for a template that they did not want is judged anew.
    pub(crate) fn prefers(&mut self, preference: &Preference) -> store::Result<()> {
        let Preference { phone_number_id, from, user_id, wants, at } = preference;
        let Some(over) = self.named(phone_number_id) else {
            self.read.nothing.push("it is about a number that is not in the configuration".to_owned());
            return Ok(());
        };
        if !self.speaks_for(&over.name) {
            self.unsigned(&over.name);
            return Ok(());
        }
        let found = self.store.whose(&self.config.people, from.as_deref(), user_id.as_deref())?;
        let IdentityOwner::One(contact) = found else {
            let reason = "somebody who is no contact, or no one contact, has a wish about marketing messages";
            self.read.nothing.push(reason.to_owned());
            return Ok(());
        };
        if !self.store.prefer_marketing(&contact.id, *wants, *at, self.now)? {
            self.idle("a later wish about marketing messages came before it, or their number changed hands");
            return Ok(());
        }
        self.read.messages = true;
        let told = prefers(preference, contact, &over.name, &self.site());
        self.apply(&[ReplyEffect::TellOwner(Box::new(told))])
    }

    pub(crate) fn heed(&mut self, notice: &AccountNotice) -> store::Result<()> {
        let is_number = |id: &str| self.config.connections.iter().any(|known| known.phone_number_id == id);
        let concerns = |connection: &&Connection| match (&connection.business_account_id, &notice.account) {
            (_, Some(number)) if is_number(number) => connection.phone_number_id == *number,
            (Some(ours), Some(theirs)) => ours == theirs,
            (_, _) => true, // who does not say which account it has hears of all
        };
        if !self.config.connections.iter().any(|connection| concerns(&connection)) {
            let whose = notice.account.as_deref().unwrap_or("none");
            self.read
                .nothing
                .push(format!("{} of {whose}, which is no connection's number or account", notice.field));
        }
        for connection in self.config.connections.iter().filter(concerns) {
            if !self.speaks_for(&connection.name) {
                self.unsigned(&connection.name);
                continue;
            }
            let (about, site) = (&connection.name, self.site());
            let told = about_number(&site, about, notice.clone(), NoticeRoute::AnotherFirst);
            self.apply(&[ReplyEffect::TellOwner(Box::new(told))])?;
            // Asked again, whatever came first: what Meta answers is so now.
            let asks =
                notice.template.is_some() || notice.facts.iter().any(|(name, _)| name == MESSAGING_LIMIT);
            self.read.catalogue |= asks;
            self.read.messages |= notice.template.is_some();
        }
        Ok(())
    }
}
