//! Notices to the owner about a number or the gateway itself, with their words and the number that carries them.

use crate::contact::Contact;
use crate::contact::language::{Locale, Sentences};
use crate::contact::severity::Severity;
use crate::ids::ConnectionName;
use crate::outbox::message::Content;
use crate::reply::context::SiteContext;
use crate::reply::effect::{OutgoingMessage, OwnerNotice};
use crate::reply::inbound::AccountNotice;

/// The number that carries a notice about a number.
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

/// Stands where a connection's name stands, for what concerns none.
#[must_use]
pub fn gateway() -> ConnectionName {
    ConnectionName("gateway".to_owned())
}

/// Of a number, or of the gateway itself.
#[must_use]
pub fn about_number(
    site: &SiteContext,
    about: &ConnectionName,
    notice: AccountNotice,
    route: NoticeRoute,
) -> OwnerNotice {
    let subject = match site.numbers.contains(&about) {
        true => format!("WhatsApp number {about}"),
        false => "the gateway itself".to_owned(),
    };
    let text = format!("⚙ {}, {subject}: {}", site.name, notice.text);
    told(site, about, notice, route, &|_| Content::text(text.clone()))
}

/// Something about a person that a person has to decide: each owner reads it in a language of their own.
#[must_use]
pub fn about_person(
    site: &SiteContext,
    about: &ConnectionName,
    field: String,
    said: LocalizedSentence,
) -> OwnerNotice {
    let notice = AccountNotice::of(field, Severity::Warning, Locale::default().say(said.0, said.1));
    let text = |owner: &Contact| format!("⚙ {}: {}", site.name, owner.locale.say(said.0, said.1));
    told(site, about, notice, NoticeRoute::AnotherFirst, &|owner| Content::text(text(owner)))
}

/// From a warning on it is written to the owners.
pub(crate) fn told(
    site: &SiteContext,
    about: &ConnectionName,
    notice: AccountNotice,
    route: NoticeRoute,
    content: &dyn Fn(&Contact) -> Content,
) -> OwnerNotice {
    let other = site.numbers.iter().find(|name| **name != about);
    let over = match route {
        NoticeRoute::AnotherFirst => other.or(site.numbers.first()),
        NoticeRoute::AnotherOnly => other,
    };
    let over = over.filter(|_| notice.severity >= Severity::Warning);
    let write = |over: &&ConnectionName| {
        let owners = site.owners().into_iter();
        owners.map(|owner| OutgoingMessage::to(owner, over, content(owner))).collect()
    };
    OwnerNotice { about: about.clone(), messages: over.map(write).unwrap_or_default(), notice }
}
