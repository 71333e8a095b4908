//! Messages of people who are no contacts: a polite answer, or an answer to an invitation.

use crate::contact::severity::Severity;
use crate::contact::{Contact, Guest, GuestState, KnownIdentity, Phone, Recipient};
use crate::ids::{ConnectionName, ContactId};
use crate::outbox::button_token::ButtonSubject;
use crate::outbox::message::Content;
use crate::outbox::row::Conversation;
use crate::reply::context::SiteContext;
use crate::reply::effect::{AuditRecord, OutgoingMessage, ReplyEffect};
use crate::reply::facts::{GuestFacts, StrangerFacts};
use crate::reply::inbound::{AccountNotice, InboundContent, InboundMessage};
use crate::reply::interpret::Interpretation;
use crate::reply::invitation::{question, to_guest};
use crate::reply::keywords::{self, NO, YES};
use crate::reply::opt_out::ConsentWord;
use crate::reply::owner_notice::{NoticeRoute, about_number};
use crate::reply::sender::fits_several;
use crate::time::Timestamp;

/// The address of a stranger: the number, or WhatsApp's user id.
#[must_use]
pub fn address(reply: &InboundMessage) -> Option<String> {
    let phone = reply.from.as_deref().map(|from| format!("+{}", from.trim_start_matches('+')));
    phone.or_else(|| reply.user_id.clone())
}

/// Those of the invitations that are of this number or user id.
#[must_use]
pub fn invited(
    reply: &InboundMessage,
    known: &KnownIdentity,
    invitations: Vec<(Guest, Option<Timestamp>)>,
) -> Vec<(Guest, Option<Timestamp>)> {
    let phone = reply.from.as_deref().and_then(|from| Phone::from_wa_id(from).ok());
    let is_it = |(guest, _): &(Guest, Option<Timestamp>)| {
        let alias = (guest.id.clone(), guest.phone.e164().to_owned());
        phone.as_ref().is_some_and(|phone| phone.is_same(&guest.phone)) || known.by_alias.contains(&alias)
    };
    invitations.into_iter().filter(is_it).collect()
}

/// Everything that a stranger's message leads to, after it was written down.
#[must_use]
pub fn meet(
    reply: &InboundMessage,
    over: &ConnectionName,
    site: &SiteContext,
    facts: &StrangerFacts,
) -> Vec<ReplyEffect> {
    let mut meeting = Meeting { site, reply, over, effects: Vec::new() };
    if reply.group.is_some() {
        meeting.nothing("a stranger wrote in a group");
    } else if let Some(address) = address(reply)
        && !meeting.greet(&address, facts)
    {
        meeting.stranger(&address, facts);
    }
    meeting.effects
}

/// Another answer to an invitation that was answered with Yes before: a Yes or a No that was tapped under it, or a No that was
/// written as long as it can be about nothing else. The choice, and whether it was tapped.
#[must_use]
pub fn answers_again(reply: &InboundMessage, outcome: &Interpretation) -> Option<(&'static str, bool)> {
    let tapped = match &reply.content {
        InboundContent::Tap { id, .. } => [YES, NO].into_iter().find(|choice| choice == id),
        InboundContent::Text(_)
        | InboundContent::Reaction { .. }
        | InboundContent::Captioned { .. }
        | InboundContent::Given { .. }
        | InboundContent::SharedNumber(_)
        | InboundContent::Other(_) => None,
    };
    let is_bare = matches!(reply.content, InboundContent::Text(_))
        && reply.quotes.is_none()
        && matches!(outcome, Interpretation::Nothing { .. });
    let written = || choice(reply).filter(|choice| is_bare && choice == NO).map(|_| (NO, false));
    tapped.map(|choice| (choice, true)).or_else(written).filter(|_| !reply.forwarded)
}

/// The newest answer counts. `None`: it is no such answer; else what is kept of it, and what follows.
#[must_use]
pub fn answer_again(
    (choice, is_tapped): (&str, bool),
    reply: &InboundMessage,
    over: &ConnectionName,
    site: &SiteContext,
    facts: &GuestFacts,
) -> Option<(String, Vec<ReplyEffect>)> {
    if !is_tapped && !facts.is_about_invitation {
        return None;
    }
    let reason = format!("the {choice} to an invitation that was answered with Yes");
    let mut meeting = Meeting { site, reply, over, effects: Vec::new() };
    meeting.nothing(&reason);
    if choice == YES {
        meeting.wish(&facts.guest, true);
        meeting.effects.push(meeting.joins(&facts.guest));
    } else {
        meeting.decline(&facts.guest, facts.is_overtaken);
    }
    Some((reason, meeting.effects))
}

struct Meeting<'a> {
    site: &'a SiteContext<'a>,
    reply: &'a InboundMessage,
    over: &'a ConnectionName,
    effects: Vec<ReplyEffect>,
}

impl Meeting<'_> {
    fn nothing(&mut self, reason: &str) {
        self.effects.push(ReplyEffect::Nothing(reason.to_owned()));
    }

    /// One polite answer a day, and the owner sees who it was. Profile names are chosen by whoever writes, so they are not
    /// shown.
    fn stranger(&mut self, address: &str, facts: &StrangerFacts) {
        self.nothing("the sender is no contact");
        let (site, is_answered) = (self.site, facts.is_answered);
        self.effects.push(ReplyEffect::MeetStranger { address: address.to_owned(), is_answered });
        let Some(to) = Recipient::parse(address).filter(|_| is_answered) else { return };
        let nobody = format!("stranger {}", site.seal.pseudonym(&ContactId(address.to_owned())));
        let conversation = Conversation { connection: self.over.clone(), contact: ContactId(nobody) };
        self.effects.push(ReplyEffect::Heard { conversation: conversation.clone(), at: self.reply.at });
        let text = site.people.locale.say(|s| s.stranger, &[("site", site.name)]);
        let message = OutgoingMessage { conversation, to, content: Content::text(text), asks: None };
        self.effects.push(ReplyEffect::Send(Box::new(message)));
        // Who hides the number can only be written into the configuration.
        let how = match address.starts_with('+') {
            true => format!("write: invite {address} NAME as ROLE"),
            false => "add a [[contact]] with this user_id".to_owned(),
        };
        let told = format!("{address} wrote and is no contact; if they should be one, {how}");
        let notice = AccountNotice::of(format!("stranger {address}"), Severity::Warning, told);
        let told = about_number(site, self.over, notice, NoticeRoute::AnotherFirst);
        self.effects.push(ReplyEffect::TellOwner(Box::new(told)));
    }

    /// Somebody writes from a number that was invited and has not answered yet, or who said No and thinks again. `false`:
    /// nobody did.
    fn greet(&mut self, address: &str, facts: &StrangerFacts) -> bool {
        let reply = self.reply;
        let (guest, declined_at) = match facts.invited.as_slice() {
            [] => return false,
            [one] => one,
            [_, ..] => {
                let names: Vec<&str> = facts.invited.iter().map(|(guest, _)| guest.name.as_str()).collect();
                let told = fits_several(&names, reply, self.over, self.site);
                self.effects.push(ReplyEffect::TellOwner(Box::new(told)));
                return true;
            }
        };
        let choice = choice(reply).filter(|_| !reply.forwarded);
        let stops = self.site.words.read(said(reply)) == Some(ConsentWord::Stop) && !reply.forwarded;
        if stops {
            self.wish(guest, false);
        }
        match declined_at {
            Some(declined_at) => self.after_a_no(guest, *declined_at, choice.as_deref(), stops),
            None => {
                self.first_answer(guest, choice.as_deref(), stops, address, facts);
                true
            }
        }
    }

    fn first_answer(
        &mut self,
        guest: &Guest,
        choice: Option<&str>,
        stops: bool,
        address: &str,
        facts: &StrangerFacts,
    ) {
        let conversation = Conversation { connection: self.over.clone(), contact: guest.id.clone() };
        self.effects.push(ReplyEffect::Heard { conversation, at: self.reply.at });
        match choice {
            Some(YES) => self.join(guest),
            Some(_) => self.decline(guest, facts.is_overtaken),
            None if stops => {
                self.effects
                    .push(ReplyEffect::Dismiss { guest: guest.id.clone(), state: GuestState::Declined });
                self.declined(guest);
            }
            None => {
                self.nothing("an invited person has not answered yet");
                // The question itself may be on its way now; else it is asked again, once a day.
                if facts.releases {
                    return;
                }
                let (address, is_answered) = (address.to_owned(), facts.is_answered);
                self.effects.push(ReplyEffect::MeetStranger { address, is_answered });
                self.effects.extend(is_answered.then(|| question(self.site, guest, self.over)));
            }
        }
    }

    fn after_a_no(
        &mut self,
        guest: &Guest,
        declined_at: Timestamp,
        choice: Option<&str>,
        stops: bool,
    ) -> bool {
        match choice {
            Some(YES) if self.reply.at > declined_at => self.join(guest),
            Some(YES) => {
                self.wish(guest, true);
                self.nothing("an invited person said No since");
            }
            Some(_) => {
                self.effects.push(ReplyEffect::Decline { guest: guest.id.clone(), at: self.reply.at });
                self.nothing("an invited person said No before");
            }
            None if stops => self.nothing("an invited person said No before"),
            None => return false,
        }
        true
    }

    /// What was given counts only as far as whoever invited may still give it.
    fn join(&mut self, guest: &Guest) {
        let (site, reply) = (self.site, self.reply);
        let by = site.people.contacts.get(&guest.by).filter(|by| site.is_owner(&by.id));
        let Some(by) = by.filter(|by| guest.roles.is_subset(&by.roles)) else {
            let why = "whoever invited may not any more";
            self.nothing(why);
            self.effects.push(ReplyEffect::Dismiss { guest: guest.id.clone(), state: GuestState::Removed });
            self.record(guest, "refused", why);
            return self.say(guest, site.people.locale.plain(|s| s.invitation_void));
        };
        self.effects.push(self.joins(guest));
        self.effects.push(ReplyEffect::Identify {
            contact: guest.id.clone(),
            address: guest.phone.e164().to_owned(),
            user_id: reply.user_id.clone(),
            at: reply.at,
        });
        self.wish(guest, true);
        self.record(guest, "joined", "by invitation");
        self.say(guest, site.people.locale.say(|s| s.welcome, &[("site", site.name)]));
        let gives: Vec<&str> = guest.roles.iter().chain(&guest.teams).map(String::as_str).collect();
        let gives = if gives.is_empty() { String::new() } else { format!(": {}", gives.join(", ")) };
        let text = by.locale.say(|s| s.guest_joined, &[("name", &guest.name), ("gives", &gives)]);
        self.tell_inviter(by, text);
    }

    fn joins(&self, guest: &Guest) -> ReplyEffect {
        ReplyEffect::Join { guest: guest.id.clone(), with: self.reply.wamid.clone(), at: self.reply.at }
    }

    /// Agreed to be written to, or not: the newest counts, whatever else they said.
    fn wish(&mut self, guest: &Guest, given: bool) {
        let word = if given { "Yes" } else { "STOP" };
        let source = format!("{word} to the invitation of {} ({})", guest.by, self.reply.wamid);
        let (contact, at) = (guest.id.clone(), self.reply.at);
        self.effects.push(ReplyEffect::Consent { contact, given, source, at });
    }

    fn decline(&mut self, guest: &Guest, is_overtaken: bool) {
        if is_overtaken {
            return self.nothing("an invited person said Yes since");
        }
        self.effects.push(ReplyEffect::Decline { guest: guest.id.clone(), at: self.reply.at });
        self.declined(guest);
    }

    fn declined(&mut self, guest: &Guest) {
        let site = self.site;
        self.record(guest, "declined", "the invitation");
        self.say(guest, site.people.locale.plain(|s| s.nobody_writes));
        if let Some(by) = site.people.contacts.get(&guest.by) {
            let text = by.locale.say(|s| s.guest_declined, &[("name", &guest.name)]);
            self.tell_inviter(by, text);
        }
    }

    fn say(&mut self, guest: &Guest, text: String) {
        self.effects.push(to_guest(guest, self.over, Content::text(text)));
    }

    fn tell_inviter(&mut self, by: &Contact, text: String) {
        let message = OutgoingMessage::to(by, self.over, Content::text(text));
        self.effects.push(ReplyEffect::Send(Box::new(message)));
    }

    fn record(&mut self, guest: &Guest, what: &'static str, detail: &str) {
        let (who, message) = (Some(guest.id.clone()), Some(self.reply.wamid.clone()));
        self.effects.push(ReplyEffect::Record(AuditRecord {
            what,
            who,
            message,
            command: None,
            detail: detail.to_owned(),
        }));
    }
}

fn choice(reply: &InboundMessage) -> Option<String> {
    keywords::choice(ButtonSubject::Request(0), &[], said(reply))
}

/// The words of an answer, however it was given.
fn said(reply: &InboundMessage) -> &str {
    match &reply.content {
        InboundContent::Tap { title, .. } => title,
        InboundContent::Text(text) | InboundContent::Captioned { caption: text, .. } => text,
        InboundContent::Reaction { emoji } => emoji.as_deref().unwrap_or_default(),
        InboundContent::Given { .. } | InboundContent::SharedNumber(_) | InboundContent::Other(_) => "",
    }
}
