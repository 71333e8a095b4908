//! The identity of a sender: rights follow a person, not whoever has the number today.

use super::BodyReader;
use crate::config::Connection;
use crate::contact::{Contact, IdentityOwner, Recipient};
use crate::ids::ConnectionName;
use crate::reply::effect::ReplyEffect;
use crate::reply::inbound::InboundMessage;
use crate::reply::interpret::Interpretation;
use crate::reply::sender::{Identity, fits_several, of_identity};
use crate::reply::stranger::{answer_again, answers_again};
use crate::store;

impl<'a> BodyReader<'a> {
    /// The contact who wrote, or `Some(None)` for a stranger. `None`: nobody for whom anything may act; that is on record.
    pub(crate) fn recognised(
        &mut self,
        reply: &InboundMessage,
        over: &Connection,
    ) -> store::Result<Option<Option<&'a Contact>>> {
        let config = self.config;
        let people = &config.people;
        let contact = match self.store.whose(people, reply.from.as_deref(), reply.user_id.as_deref())? {
            IdentityOwner::Nobodys => return Ok(Some(None)),
            IdentityOwner::One(contact) => contact,
            IdentityOwner::Several(several) => {
                let names: Vec<&str> = several.iter().map(|contact| contact.name.as_str()).collect();
                let told = fits_several(&names, reply, &over.name, &self.site());
                self.apply(&[ReplyEffect::TellOwner(Box::new(told))])?;
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
        let (why, told) = of_identity(identity, contact, &over.name, &self.site());
        let told = told.map(|told| ReplyEffect::TellOwner(Box::new(told)));
        self.apply(told.as_slice())?;
        match why {
            None => Ok(Some(Some(contact))),
            Some(reason) => self.nothing_of(None, reply, reason),
        }
    }

    fn nothing_of(
        &mut self,
        contact: Option<&Contact>,
        reply: &InboundMessage,
        reason: String,
    ) -> store::Result<Option<Option<&'a Contact>>> {
        self.idle(&reason);
        self.keep_nothing(contact, reply, reason)?;
        Ok(None)
    }

    fn keep_nothing(
        &mut self,
        contact: Option<&Contact>,
        reply: &InboundMessage,
        reason: String,
    ) -> store::Result<()> {
        let outcome = Interpretation::Nothing { contact: contact.map(|contact| contact.id.clone()), reason };
        self.store.keep_reply(self.id, reply, &outcome)
    }

    /// Another answer to an invitation that was answered with Yes before. `false`: it is no such answer.
    pub(crate) fn answers_again(
        &mut self,
        contact: &Contact,
        reply: &InboundMessage,
        over: &ConnectionName,
        outcome: &Interpretation,
    ) -> store::Result<bool> {
        let Some(choice) = answers_again(reply, outcome) else { return Ok(false) };
        let Some(facts) = self.store.guest_facts(&contact.id, reply.at)? else { return Ok(false) };
        let again = answer_again(choice, reply, over, &self.site(), &facts);
        let Some((reason, follows)) = again else { return Ok(false) };
        self.keep_nothing(Some(contact), reply, reason)?;
        self.apply(&follows)?;
        Ok(true)
    }
}
