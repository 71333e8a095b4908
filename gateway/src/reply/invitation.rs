//! Invitations by the owner, and removals from the list. Nobody gets more than whoever invites has.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::command::phrase::same;
use crate::contact::language::Locale;
use crate::contact::{Guest, Phone, Recipient};
use crate::ids::ConnectionName;
use crate::outbox::button_token::ButtonSigner;
use crate::outbox::message::{Button, Content};
use crate::outbox::row::Conversation;
use crate::reply::answer::Answer;
use crate::reply::context::SiteContext;
use crate::reply::effect::{OutgoingMessage, ReplyEffect};
use crate::reply::invitation_syntax::{Invitation, InvitationRequest};
use crate::reply::keywords::{NO, YES};

/// An invitation that nobody answers in this time was forgotten.
const COUNTS_FOR_DAYS: u64 = 3;
/// A day, of all owners together: a new crew, not a mailing list. Messages to people who did not ask lower the number's
/// quality at Meta.
const A_DAY: u32 = 10;

impl Answer<'_> {
    pub(crate) fn invite(&mut self, wanted: &InvitationRequest) {
        match wanted {
            InvitationRequest::Invite(invitation) => self.invite_one(invitation),
            InvitationRequest::Remove(phone) => self.uninvite(phone),
        }
    }

    fn invite_one(&mut self, invitation: &Invitation) {
        let Invitation { phone, name, gives } = invitation;
        let (site, by) = (self.site, self.from.contact);
        if let Some(known) = site.people.by_phone(phone) {
            return self.sentence(|s| s.on_the_list, &[("name", &known.name)]);
        }
        let not_invited = |why: &str| by.locale.say(|s| s.not_invited, &[("name", name), ("why", why)]);
        let (roles, teams) = match self.given(gives) {
            Ok(given) => given,
            Err(lacks) => {
                let text = not_invited(&lacks.sentence(&by.locale));
                return self.refused(&text, &lacks.sentence(&Locale::default()));
            }
        };
        if self.facts.invited_lately >= A_DAY {
            let why = by.locale.say(|s| s.too_many_invitations, &[("count", &A_DAY.to_string())]);
            return self.refused(&not_invited(&why), "more than 10 invitations in a day");
        }
        let Some(id) = self.facts.free_id.clone() else { return };
        let places = by.topics.iter().map(|topic| topic.as_str().to_owned()).collect();
        let (name, phone, by) = (name.clone(), phone.clone(), by.id.clone());
        let guest = Guest { id, name, phone, roles, teams, places, by };
        let expires_at = site.now + Duration::from_secs(COUNTS_FOR_DAYS * 24 * 3_600);
        self.effects.push(ReplyEffect::Invite { guest: Box::new(guest.clone()), expires_at });
        self.record("invited", described(&guest, site.seal));
        self.effects.push(question(site, &guest, &self.from.lane.connection));
        let days = COUNTS_FOR_DAYS.to_string();
        self.sentence(|s| s.asked_the_guest, &[("name", &guest.name), ("days", &days)]);
    }

    /// Roles and teams behind what was typed; or why not.
    fn given(&self, gives: &[String]) -> Result<(BTreeSet<String>, BTreeSet<String>), Ungiven> {
        let (mut roles, mut teams) = (BTreeSet::new(), BTreeSet::new());
        let (people, by) = (self.site.people, self.from.contact);
        for wanted in gives {
            let is_wanted = |known: &&String| same(known, wanted);
            if let Some(role) = by.roles.iter().find(is_wanted) {
                roles.insert(role.clone());
            } else if let Some((team, members)) = people.teams.iter().find(|(team, _)| is_wanted(team)) {
                if self.decides(team) && !members.contains(&by.id) {
                    return Err(Ungiven::Decides(team.clone()));
                }
                teams.insert(team.clone());
            } else {
                return Err(Ungiven::NoSuch(wanted.clone()));
            }
        }
        Ok((roles, teams))
    }

    /// To be in such a team is a right: its members answer machines' questions, or own the site.
    fn decides(&self, team: &String) -> bool {
        let site = self.site;
        site.owner.contains(team) || site.questions.iter().any(|question| question.who.contains(team))
    }

    fn uninvite(&mut self, phone: &Phone) {
        let facts = self.facts;
        let joined = facts.guests.iter().find(|guest| guest.phone.is_same(phone));
        let asked = || {
            let open = facts.invitations.iter().filter(|(_, declined_at)| declined_at.is_none());
            open.map(|(guest, _)| guest).find(|guest| guest.phone.is_same(phone))
        };
        let Some(guest) = joined.or_else(asked) else {
            return match self.site.people.by_phone(phone) {
                Some(known) => self.sentence(|s| s.in_the_file, &[("name", &known.name)]),
                None => self.sentence(|s| s.nobody_of_number, &[]),
            };
        };
        self.effects.push(ReplyEffect::TakeOff(guest.id.clone()));
        self.record("removed", described(guest, self.site.seal));
        self.sentence(|s| s.off_the_list, &[("name", &guest.name)]);
    }
}

/// For the audit: a pseudonym, since the person may want to be forgotten.
fn described(guest: &Guest, seal: &ButtonSigner) -> String {
    let gives: Vec<&str> = guest.roles.iter().chain(&guest.teams).map(String::as_str).collect();
    let gives = if gives.is_empty() { "no role".to_owned() } else { gives.join(", ") };
    format!("{}: {gives}", seal.pseudonym(&guest.id))
}

/// The question to whoever is invited.
pub(crate) fn question(site: &SiteContext, guest: &Guest, over: &ConnectionName) -> ReplyEffect {
    let by = site.people.contacts.get(&guest.by).map_or(site.name, |by| &by.name);
    let locale = &site.people.locale;
    let text = locale.say(|s| s.invitation, &[("by", by), ("name", &guest.name), ("site", site.name)]);
    let (yes, no) = (locale.plain(|s| s.yes), locale.plain(|s| s.no));
    let buttons = vec![Button::new(YES, yes), Button::new(NO, no)];
    to_guest(guest, over, Content { buttons, ..Content::text(text) })
}

pub(crate) fn to_guest(guest: &Guest, over: &ConnectionName, content: Content) -> ReplyEffect {
    let conversation = Conversation { connection: over.clone(), contact: guest.id.clone() };
    let to = Recipient::Phone(guest.phone.clone());
    ReplyEffect::Send(Box::new(OutgoingMessage { conversation, to, content, asks: None }))
}

/// The beginning of an id: the name in small letters.
#[must_use]
pub fn wanted_id(name: &str) -> String {
    let name = name.to_lowercase();
    let words = name.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
    words.collect::<Vec<_>>().join("-")
}

/// Why somebody may not give what they typed.
enum Ungiven {
    /// To be in this team is a right that whoever invites lacks.
    Decides(String),
    NoSuch(String),
}

impl Ungiven {
    fn sentence(&self, locale: &Locale) -> String {
        match self {
            Self::Decides(team) => locale.say(|s| s.team_decides, &[("team", team)]),
            Self::NoSuch(role) => locale.say(|s| s.no_such_role, &[("role", role)]),
        }
    }
}
