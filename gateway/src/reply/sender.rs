//! The identity of a sender: rights follow a person, not whoever has the number today.

use crate::contact::language::Locale;
use crate::contact::severity::Severity;
use crate::contact::{Contact, Phone};
use crate::ids::ConnectionName;
use crate::reply::context::SiteContext;
use crate::reply::effect::OwnerNotice;
use crate::reply::inbound::{AccountNotice, IdentityChange, InboundMessage, Preference};
use crate::reply::owner_notice::{LocalizedSentence, NoticeRoute, about_number, about_person};
use crate::time::Timestamp;

/// The sender, as far as Meta tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Identity {
    /// The one who always wrote from this number, or the first.
    Known,
    /// The first, whose words were overtaken by those of another: they are the contact, and the other was not.
    First,
    /// Another user id from the same number: Meta gives a new one to whoever takes a number over (docs/cloud-api.md 3.6).
    Changed,
    /// WhatsApp said that the number changed hands, and nobody has looked yet.
    Moved,
    /// Written before an operator said who this is, by whoever had the number then.
    Former,
}

/// The record of a contact's user.
#[derive(Debug, Clone, Default)]
pub struct KnownUser {
    pub user_id: Option<String>,
    /// The address that they wrote from.
    pub of: Option<String>,
    /// Since when, by the times that Meta gives.
    pub since: Option<Timestamp>,
    /// When WhatsApp said that the number changed hands.
    pub moved_at: Option<Timestamp>,
    /// When an operator said that it is them.
    pub accepted_at: Option<Timestamp>,
}

impl KnownUser {
    /// The sender who wrote at that time from that address; and since when, where that is to be kept.
    #[must_use]
    pub fn judge(self, address: &str, user_id: Option<&str>, at: Timestamp) -> (Identity, Option<Timestamp>) {
        if self.moved_at.is_some_and(|moved_at| at >= moved_at) {
            return (Identity::Moved, None);
        }
        // The contact is written to at another address since: whoever wrote from the old one is forgotten.
        let known = self.user_id.filter(|_| self.of.is_none_or(|of| of == address));
        let is_known = known.is_some() && known.as_deref() == user_id;
        if !is_known && self.accepted_at.is_some_and(|accepted_at| at < accepted_at) {
            return (Identity::Former, None);
        }
        if user_id.is_none() {
            return (Identity::Known, None);
        }
        let first = self.since.is_none_or(|since| at < since);
        let identity = match known {
            Some(_) if is_known => Identity::Known,
            Some(_) if first && self.since.is_some() => Identity::First,
            Some(_) => return (Identity::Changed, None),
            None => Identity::Known,
        };
        (identity, Some(self.since.filter(|_| is_known && !first).unwrap_or(at)))
    }
}

/// The reason why nothing acts for the contact, if nothing may, and the notice to the owner.
#[must_use]
pub fn of_identity(
    identity: Identity,
    contact: &Contact,
    over: &ConnectionName,
    site: &SiteContext,
) -> (Option<String>, Option<OwnerNotice>) {
    let (name, id) = (contact.name.as_str(), contact.id.0.as_str());
    let blanks = [("name", name), ("id", id)];
    // A number whose user id has changed may have a new owner: rights follow only when a person says so (docs/cloud-api.md 3.6).
    let other_user =
        || about_person(site, over, format!("identity {id}"), LocalizedSentence(|s| s.other_user, &blanks));
    match identity {
        Identity::Known => (None, None),
        Identity::First => (None, Some(other_user())),
        // Kept as nobody's from here on: neither is a file of theirs fetched, nor is it shown as the contact's.
        Identity::Changed => (Some(Locale::default().say(|s| s.other_user, &blanks)), Some(other_user())),
        Identity::Moved => {
            let why = format!(
                "the number of {name} changed hands; if it is still theirs: bellwire contact accept {id}"
            );
            (Some(why), None)
        }
        Identity::Former => (Some(format!("it was written before {name} was accepted")), None),
    }
}

/// Two people have one number, in two spellings: whoever it is, the other must not act by their words.
#[must_use]
pub fn fits_several(
    names: &[&str],
    reply: &InboundMessage,
    over: &ConnectionName,
    site: &SiteContext,
) -> OwnerNotice {
    let number = reply.from.as_ref().map(|from| format!("+{}", from.trim_start_matches('+')));
    let number = number.or_else(|| reply.user_id.clone()).unwrap_or_default();
    let names = names.join(", ");
    let said = LocalizedSentence(|s| s.two_people, &[("number", &number), ("names", &names)]);
    about_person(site, over, format!("two people {number}"), said)
}

/// Whoever hides their number gave it when asked: only a person can decide what follows.
pub(crate) fn shows_number(
    numbers: &[Phone],
    contact: &Contact,
    over: &ConnectionName,
    site: &SiteContext,
) -> OwnerNotice {
    let numbers = numbers.iter().map(Phone::e164).collect::<Vec<_>>().join(", ");
    let blanks = [("name", contact.name.as_str()), ("numbers", &numbers), ("id", &contact.id.0)];
    let field = format!("shared number {}", contact.id);
    about_person(site, over, field, LocalizedSentence(|s| s.shared_number, &blanks))
}

/// The contact has another number, user id or phone.
#[must_use]
pub fn has_moved(
    what: &IdentityChange,
    contact: &Contact,
    over: &ConnectionName,
    site: &SiteContext,
) -> OwnerNotice {
    let (name, id) = (contact.name.as_str(), contact.id.0.as_str());
    let field = format!("moved {id}");
    match what {
        IdentityChange::Number(new) => {
            let new = Phone::from_wa_id(new).map_or_else(|_| "…".into(), |new| new.masked());
            let blanks = [("name", name), ("number", &new), ("id", id)];
            about_person(site, over, field, LocalizedSentence(|s| s.new_number, &blanks))
        }
        IdentityChange::UserId => {
            let blanks = [("name", name), ("id", id)];
            about_person(site, over, field, LocalizedSentence(|s| s.new_user_id, &blanks))
        }
        IdentityChange::Phone => {
            let text = format!("{name} uses WhatsApp on another phone, or installed it anew");
            let notice = AccountNotice::of(field, Severity::Info, text);
            about_number(site, over, notice, NoticeRoute::AnotherFirst)
        }
    }
}

/// The notice of a contact's wish about marketing messages.
#[must_use]
pub fn prefers(
    preference: &Preference,
    contact: &Contact,
    over: &ConnectionName,
    site: &SiteContext,
) -> OwnerNotice {
    let wish = if preference.wants { "resume" } else { "stop" };
    let text = format!("{} asked WhatsApp to {wish} marketing messages of this business", contact.name);
    let notice = AccountNotice::of(format!("marketing {}", contact.id), Severity::Info, text);
    let notice = AccountNotice { at: Some(preference.at), ..notice };
    about_number(site, over, notice, NoticeRoute::AnotherFirst)
}
