//! Who wrote, and whether it is still them: rights follow a person, not whoever has the number today.

use super::BodyReader;
use crate::config::Connection;
use crate::contact::language::{Locale, Sentences};
use crate::contact::{Contact, IdentityOwner, Phone, Recipient};
use crate::ids::ConnectionName;
use crate::outbox::message::Content;
use crate::outbox::row::Conversation;
use crate::reply::inbound::{InboundContent, InboundMessage};
use crate::reply::interpret::Interpretation;
use crate::reply::opt_out::ConsentWord;
use crate::reply::owner_notice::LocalizedSentence;
use crate::store::Identity;
use crate::task::body_contacts::whose;

impl<'a> BodyReader<'a> {
    /// The contact who wrote, or `Some(None)` for a stranger. `None`: nobody for whom anything may act; that is on record.
    pub(crate) fn recognised(
        &mut self,
        reply: &InboundMessage,
        over: &Connection,
    ) -> rusqlite::Result<Option<Option<&'a Contact>>> {
        let config = self.config;
        let people = &config.people;
        let contact = match whose(self.store, people, reply.from.as_deref(), reply.user_id.as_deref())? {
            IdentityOwner::Nobodys => return Ok(Some(None)),
            IdentityOwner::One(contact) => contact,
            IdentityOwner::Several(several) => {
                let names: Vec<&str> = several.iter().map(|contact| contact.name.as_str()).collect();
                self.fits_several(&names, reply, &over.name)?;
                let reason = format!("it fits {}, so nobody acts", names.join(", "));
                return self.nothing_of(None, reply, reason);
            }
        };
        let is_other = matches!(
            (&contact.to, &reply.user_id), (Recipient::UserId(ours), Some(theirs)) if ours != theirs
        );
        let identity = match is_other {
            true => Identity::Changed,
            false => {
                let user_id = reply.user_id.as_deref();
                self.store.identify(&contact.id, contact.to.address(), user_id, reply.at)?
            }
        };
        let reason = match identity {
            Identity::Known => return Ok(Some(Some(contact))),
            Identity::First => {
                self.other_user(contact, over)?;
                return Ok(Some(Some(contact)));
            }
            // Kept as nobody's from here on: neither is a file of theirs fetched, nor is it shown as the contact's.
            Identity::Changed => self.other_user(contact, over)?,
            Identity::Moved => format!(
                "the number of {} changed hands; if it is still theirs: bellwire contact accept {}",
                contact.name, contact.id
            ),
            Identity::Former => format!("it was written before {} was accepted", contact.name),
        };
        self.nothing_of(None, reply, reason)
    }

    pub(crate) fn nothing_of(
        &mut self,
        contact: Option<&Contact>,
        reply: &InboundMessage,
        reason: String,
    ) -> rusqlite::Result<Option<Option<&'a Contact>>> {
        self.idle(&reason);
        let outcome = Interpretation::Nothing { contact: contact.map(|contact| contact.id.clone()), reason };
        self.store.keep_reply(self.id, reply, &outcome)?;
        Ok(None)
    }

    /// A number whose user id has changed may have a new owner: rights follow only when a person says so (docs/cloud-api.md 3.6).
    fn other_user(&mut self, contact: &Contact, over: &Connection) -> rusqlite::Result<String> {
        let blanks = [("name", contact.name.as_str()), ("id", contact.id.0.as_str())];
        let said = LocalizedSentence(|s| s.other_user, &blanks);
        self.tell_of_person(&over.name, format!("identity {}", contact.id), said)?;
        Ok(Locale::default().say(|s| s.other_user, &blanks))
    }

    /// Two people have one number, in two spellings: whoever it is, the other must not act by their words.
    pub(crate) fn fits_several(
        &mut self,
        names: &[&str],
        reply: &InboundMessage,
        over: &ConnectionName,
    ) -> rusqlite::Result<()> {
        let number = reply.from.as_ref().map(|from| format!("+{}", from.trim_start_matches('+')));
        let number = number.or_else(|| reply.user_id.clone()).unwrap_or_default();
        let names = names.join(", ");
        let said = LocalizedSentence(|s| s.two_people, &[("number", &number), ("names", &names)]);
        self.tell_of_person(over, format!("two people {number}"), said)
    }

    /// Whoever hides their number gave it when asked: only a person can decide what follows.
    pub(crate) fn show_number(
        &mut self,
        reply: &InboundMessage,
        contact: &Contact,
        lane: &Conversation,
    ) -> rusqlite::Result<()> {
        let InboundContent::SharedNumber(numbers) = &reply.content else { return Ok(()) };
        let numbers = numbers.iter().map(Phone::e164).collect::<Vec<_>>().join(", ");
        let blanks = [("name", contact.name.as_str()), ("numbers", &numbers), ("id", &contact.id.0)];
        let field = format!("shared number {}", contact.id);
        self.tell_of_person(&lane.connection, field, LocalizedSentence(|s| s.shared_number, &blanks))
    }

    /// STOP and START take effect with this commit, and are answered once.
    pub(crate) fn obey(
        &mut self,
        wish: ConsentWord,
        contact: &Contact,
        lane: &Conversation,
        reply: &InboundMessage,
    ) -> rusqlite::Result<()> {
        let source = format!("a WhatsApp message to {} ({})", lane.connection, reply.wamid);
        let given = wish == ConsentWord::Start;
        let sentence: fn(&Sentences) -> &'static str = match (wish, contact.may_stop) {
            (ConsentWord::Stop, false) => |s| s.on_duty,
            (ConsentWord::Stop, true) => |s| s.stopped,
            (ConsentWord::Start, _) => |s| s.started,
        };
        let text = contact.locale.say(sentence, &[("site", &self.config.site.name)]);
        if (given || contact.may_stop)
            && !self.store.consent(&contact.id, given, &source, reply.at, self.now)?
        {
            self.idle("a later wish of the same person came before it, and counts");
            return Ok(());
        }
        self.read.messages = true;
        self.store.compose(lane, &contact.to, &Content::text(text), self.now).map(drop)
    }
}
