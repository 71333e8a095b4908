//! The owner invites somebody, who answers; both are told. Nobody gets more than whoever invites has.

use crate::contact::{Contact, Guest, Phone};
use crate::ids::{ConnectionName, ContactId};
use crate::outbox::button_token::ButtonSubject;
use crate::outbox::message::Content;
use crate::outbox::row::Conversation;
use crate::reply::inbound::{self, InboundMessage};
use crate::reply::interpret::Interpretation;
use crate::reply::invitation::{question, to_guest};
use crate::reply::keywords::{self, NO, YES};
use crate::reply::opt_out::ConsentWord;
use crate::store::{AuditEntry, Store};
use crate::task::live_config::is_owner;
use crate::task::webhook_reader::BodyReader;
use crate::time::Timestamp;

impl BodyReader<'_> {
    fn say_to(&mut self, guest: &Guest, over: &ConnectionName, content: Content) -> rusqlite::Result<()> {
        self.apply(&[to_guest(guest, over, content)])
    }

    /// Who was invited and is written to under this number or user id.
    fn invited(&self, reply: &InboundMessage) -> rusqlite::Result<Vec<(Guest, Option<Timestamp>)>> {
        let phone = reply.from.as_deref().and_then(|from| Phone::from_wa_id(from).ok());
        let digits = phone.as_ref().map(|phone| &phone.e164()[1..]);
        let known = self.store.known(digits, reply.user_id.as_deref())?;
        let is_it = |(guest, _): &(Guest, Option<Timestamp>)| {
            let alias = (guest.id.clone(), guest.phone.e164().to_owned());
            phone.as_ref().is_some_and(|phone| phone.is_same(&guest.phone)) || known.by_alias.contains(&alias)
        };
        Ok(self.store.invitations_open(self.now)?.into_iter().filter(is_it).collect())
    }

    /// Somebody writes from a number that was invited and has not answered yet, or who said No and thinks again. `false`:
    /// nobody did.
    pub(crate) fn greet(
        &mut self,
        address: &str,
        reply: &InboundMessage,
        over: &ConnectionName,
    ) -> rusqlite::Result<bool> {
        let invited = self.invited(reply)?;
        let (guest, declined_at) = match invited.as_slice() {
            [] => return Ok(false),
            [one] => one.clone(),
            [_, ..] => {
                let names: Vec<&str> = invited.iter().map(|(guest, _)| guest.name.as_str()).collect();
                self.fits_several(&names, reply, over)?;
                return Ok(true);
            }
        };
        let words = said(reply);
        let choice = keywords::choice(ButtonSubject::Request(0), &[], words).filter(|_| !reply.forwarded);
        let stops = self.config.words.read(words) == Some(ConsentWord::Stop) && !reply.forwarded;
        if stops {
            self.wish(&guest, false, reply)?;
        }
        if let Some(declined_at) = declined_at {
            match choice.as_deref() {
                Some(YES) if reply.at > declined_at => self.join(&guest, reply, over)?,
                Some(YES) => {
                    self.wish(&guest, true, reply)?;
                    self.idle("an invited person said No since");
                }
                Some(_) => {
                    self.store.decline(&guest.id, reply.at)?;
                    self.idle("an invited person said No before");
                }
                None if stops => self.idle("an invited person said No before"),
                None => return Ok(false),
            }
            return Ok(true);
        }
        let lane = Conversation { connection: over.clone(), contact: guest.id.clone() };
        let waited = self.store.heard(&lane, reply.at, self.now)?;
        self.read.messages |= waited > 0;
        match choice.as_deref() {
            Some(YES) => self.join(&guest, reply, over)?,
            Some(_) => self.decline(&guest, reply, over)?,
            None if stops && self.store.dismiss(&guest.id, "declined")? => {
                self.declined(&guest, reply, over)?
            }
            // The question itself may be on its way now; else it is asked again, once a day.
            None if waited > 0 => self.idle("an invited person has not answered yet"),
            None => {
                self.idle("an invited person has not answered yet");
                if self.store.meet_stranger(address, self.now)? {
                    self.apply(&[question(&self.site(), &guest, over)])?;
                }
            }
        }
        Ok(true)
    }

    /// What was given counts only as far as whoever invited may still give it.
    fn join(&mut self, guest: &Guest, reply: &InboundMessage, over: &ConnectionName) -> rusqlite::Result<()> {
        let config = self.config;
        let by = config.people.contacts.get(&guest.by).filter(|by| is_owner(config, &by.id));
        let Some(by) = by.filter(|by| guest.roles.is_subset(&by.roles)) else {
            self.idle("whoever invited may not any more");
            self.store.dismiss(&guest.id, "removed")?;
            self.write_of(guest, "refused", "whoever invited may not any more", Some(reply))?;
            let text = config.people.locale.plain(|s| s.invitation_void);
            return self.say_to(guest, over, Content::text(text));
        };
        self.store.join(&guest.id, &reply.wamid, reply.at)?;
        self.store.identify(&guest.id, guest.phone.e164(), reply.user_id.as_deref(), reply.at)?;
        self.wish(guest, true, reply)?;
        self.write_of(guest, "joined", "by invitation", Some(reply))?;
        self.read.people = true;
        let text = config.people.locale.say(|s| s.welcome, &[("site", &config.site.name)]);
        self.say_to(guest, over, Content::text(text))?;
        let gives: Vec<&str> = guest.roles.iter().chain(&guest.teams).map(String::as_str).collect();
        let gives = if gives.is_empty() { String::new() } else { format!(": {}", gives.join(", ")) };
        let text = by.locale.say(|s| s.guest_joined, &[("name", &guest.name), ("gives", &gives)]);
        self.tell_inviter(by, &text, over)
    }

    /// Agreed to be written to, or not: the newest counts, whatever else they said.
    fn wish(&self, guest: &Guest, given: bool, reply: &InboundMessage) -> rusqlite::Result<()> {
        let word = if given { "Yes" } else { "STOP" };
        let source = format!("{word} to the invitation of {} ({})", guest.by, reply.wamid);
        self.store.consent(&guest.id, given, &source, reply.at, self.now).map(drop)
    }

    /// Another answer to an invitation that was answered with Yes before: a Yes or a No that was tapped under it, or a No that
    /// was written as long as it can be about nothing else. The newest counts. `false`: it is no such answer.
    pub(crate) fn answers_again(
        &mut self,
        contact: &Contact,
        reply: &InboundMessage,
        over: &ConnectionName,
        outcome: &Interpretation,
    ) -> rusqlite::Result<bool> {
        let tapped = match &reply.content {
            inbound::InboundContent::Tap { id, .. } => [YES, NO].into_iter().find(|choice| choice == id),
            inbound::InboundContent::Text(_)
            | inbound::InboundContent::Reaction { .. }
            | inbound::InboundContent::Captioned { .. }
            | inbound::InboundContent::Given { .. }
            | inbound::InboundContent::SharedNumber(_)
            | inbound::InboundContent::Other(_) => None,
        };
        let is_bare = matches!(reply.content, inbound::InboundContent::Text(_))
            && reply.quotes.is_none()
            && matches!(outcome, Interpretation::Nothing { .. });
        let written = keywords::choice(ButtonSubject::Request(0), &[], said(reply))
            .filter(|choice| is_bare && choice == NO);
        let Some(choice) = tapped.or(written.map(|_| NO)).filter(|_| !reply.forwarded) else {
            return Ok(false);
        };
        let joined = self.store.guests()?.into_iter().find(|guest| guest.id == contact.id);
        let Some(guest) = joined else { return Ok(false) };
        if tapped.is_none() && !self.store.is_about_invitation(&guest.id, reply.at)? {
            return Ok(false);
        }
        let reason = format!("the {choice} to an invitation that was answered with Yes");
        self.nothing_of(Some(contact), reply, reason)?;
        if choice == YES {
            self.wish(&guest, true, reply)?;
            self.store.join(&guest.id, &reply.wamid, reply.at)?;
        } else {
            self.decline(&guest, reply, over)?;
        }
        self.read.people = true;
        Ok(true)
    }

    fn decline(
        &mut self,
        guest: &Guest,
        reply: &InboundMessage,
        over: &ConnectionName,
    ) -> rusqlite::Result<()> {
        if !self.store.decline(&guest.id, reply.at)? {
            self.idle("an invited person said Yes since");
            return Ok(());
        }
        self.declined(guest, reply, over)
    }

    fn declined(
        &mut self,
        guest: &Guest,
        reply: &InboundMessage,
        over: &ConnectionName,
    ) -> rusqlite::Result<()> {
        self.write_of(guest, "declined", "the invitation", Some(reply))?;
        let text = self.config.people.locale.plain(|s| s.nobody_writes);
        self.say_to(guest, over, Content::text(text))?;
        let Some(by) = self.config.people.contacts.get(&guest.by) else { return Ok(()) };
        let text = by.locale.say(|s| s.guest_declined, &[("name", &guest.name)]);
        self.tell_inviter(by, &text, over)
    }

    fn tell_inviter(&mut self, by: &Contact, text: &str, over: &ConnectionName) -> rusqlite::Result<()> {
        let lane = Conversation { connection: over.clone(), contact: by.id.clone() };
        self.read.messages = true;
        self.store.compose(&lane, &by.to, &Content::text(text), self.now).map(drop)
    }

    fn write_of(
        &self,
        guest: &Guest,
        what: &str,
        detail: &str,
        reply: Option<&InboundMessage>,
    ) -> rusqlite::Result<()> {
        let message = reply.map(|reply| &reply.wamid);
        let entry = AuditEntry { what, who: Some(&guest.id), message, command: None, detail };
        self.store.record(&entry, self.now)
    }
}

/// The words of an answer, however it was given.
fn said(reply: &InboundMessage) -> &str {
    match &reply.content {
        inbound::InboundContent::Tap { title, .. } => title,
        inbound::InboundContent::Text(text) | inbound::InboundContent::Captioned { caption: text, .. } => {
            text
        }
        inbound::InboundContent::Reaction { emoji } => emoji.as_deref().unwrap_or_default(),
        inbound::InboundContent::Given { .. }
        | inbound::InboundContent::SharedNumber(_)
        | inbound::InboundContent::Other(_) => "",
    }
}

/// An operator takes somebody off the list. `false`: nobody of this id was invited.
pub fn remove(store: &Store, id: &ContactId, now: Timestamp) -> rusqlite::Result<bool> {
    let removed = store.take_off(id, now)?;
    if removed {
        let detail = format!("{}, at the command line", store.seal().pseudonym(id));
        let entry = AuditEntry { what: "removed", who: None, message: None, command: None, detail: &detail };
        store.record(&entry, now)?;
    }
    Ok(removed)
}
