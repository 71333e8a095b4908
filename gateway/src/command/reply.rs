//! What a person meant by a tap or by words under an alert, and what follows.

use crate::alert::rule::{Action, Rule};
use crate::alert::token::{Broken, Seal, Subject};
use crate::alert::topic::Bindings;
use crate::command::authorise::may;
use crate::command::consent::{Wish, Words};
use crate::command::inbound::{Content, Reply};
use crate::contact::Contact;
use crate::ids::{AlertId, ContactId, MessageId, RuleName, StoreTag, Wamid};
use crate::time::Timestamp;

/// What is known of an alert that somebody answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    pub alert: AlertId,
    pub rule: RuleName,
    pub bindings: Bindings,
}

/// What the store can tell about what was sent.
pub trait Memory {
    /// The alert with this id.
    fn alert(&self, id: AlertId) -> Option<Known>;
    /// The alert that this message of ours spoke of, and to whom it went.
    fn sent(&self, wamid: &Wamid) -> Option<(ContactId, Option<Known>)>;
    /// The message of ours with this id of Meta's.
    fn message(&self, wamid: &Wamid) -> Option<MessageId>;
}

/// What a reply is understood by.
#[derive(Debug, Clone, Copy)]
pub struct House<'a> {
    pub rules: &'a [Rule],
    pub words: &'a Words,
    pub seal: &'a Seal,
    /// The contact who wrote; `None` for a stranger.
    pub sender: Option<&'a Contact>,
}

/// What becomes of a reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    Command(NewCommand),
    /// The person asks for no more messages, or for messages again.
    Consent {
        contact: ContactId,
        wish: Wish,
    },
    /// The rest of a message that was too long for one.
    ReadOn {
        contact: ContactId,
        message: MessageId,
    },
    /// Nothing is done; the reason is a sentence.
    Nothing {
        contact: Option<ContactId>,
        reason: String,
    },
}

/// A command to be written down, then published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewCommand {
    pub contact: ContactId,
    pub alert: AlertId,
    pub action: String,
    pub topic: String,
    pub payload: String,
    pub retain: bool,
    pub expires_at: Timestamp,
}

/// Understands one reply. Its age counts: the time is the webhook's own, so a body that was held up for a day asks for
/// a command that has expired, and it does not act (RELIABILITY F38).
#[must_use]
pub fn understand(reply: &Reply, house: &House, tag: &StoreTag, memory: &dyn Memory) -> Outcome {
    let nothing = |contact: Option<&Contact>, reason: &str| Outcome::Nothing {
        contact: contact.map(|contact| contact.id.clone()),
        reason: reason.to_owned(),
    };
    let Some(contact) = house.sender else {
        return nothing(
            None,
            "the sender is not a contact; add a [[contact]] with this number if it should be one",
        );
    };
    if reply.forwarded {
        return nothing(Some(contact), "it was forwarded, not written by the sender, so it does not act");
    }
    if let Some(message) = read_on(reply, tag, memory) {
        return Outcome::ReadOn { contact: contact.id.clone(), message };
    }
    let wanted = match &reply.content {
        Content::Tap { id, title } => tapped(id, title, reply, contact, house.seal, memory),
        Content::Text(text) => quoted(text, reply, contact, memory),
        Content::Reaction { .. } | Content::Other(_) => {
            return nothing(Some(contact), "nothing is set up for this kind of message");
        }
    };
    // A word under an alert may be its action's name, so STOP is looked for only where it is not.
    let wish = match &reply.content {
        Content::Text(text) => house.words.read(text),
        Content::Tap { title, .. } => house.words.read(title),
        Content::Reaction { .. } | Content::Other(_) => None,
    };
    let (known, wanted) = match (wanted, wish) {
        (Ok((known, wanted)), Some(wish)) if !has_action(house.rules, &known, &wanted) => {
            return Outcome::Consent { contact: contact.id.clone(), wish };
        }
        (Ok(wanted), _) => wanted,
        (Err(_), Some(wish)) => return Outcome::Consent { contact: contact.id.clone(), wish },
        (Err(reason), None) => return nothing(Some(contact), reason),
    };
    let Some(rule) = house.rules.iter().find(|rule| rule.name == known.rule) else {
        return nothing(Some(contact), "the rule of this alert is no longer in the configuration");
    };
    let Some(action) = rule.actions.iter().find(|action| is_wanted(action, &wanted)) else {
        return nothing(Some(contact), "the alert has no action of this name");
    };
    if !may(contact, action) {
        return nothing(Some(contact), "the contact has none of the roles that this action asks for");
    }
    Outcome::Command(NewCommand {
        contact: contact.id.clone(),
        alert: known.alert,
        action: action.id.clone(),
        topic: action.topic.fill(&known.bindings),
        payload: action.payload.clone(),
        retain: action.retain,
        expires_at: reply.at + action.expires,
    })
}

/// "Read on" was tapped, or `more` was written under a message.
fn read_on(reply: &Reply, tag: &StoreTag, memory: &dyn Memory) -> Option<MessageId> {
    match &reply.content {
        Content::Tap { id, .. } => tag.read_more(id),
        Content::Text(text) if text.trim().eq_ignore_ascii_case("more") => {
            memory.message(reply.quotes.as_ref()?)
        }
        Content::Text(_) | Content::Reaction { .. } | Content::Other(_) => None,
    }
}

type Wanted = Result<(Known, String), &'static str>;

fn tapped(
    id: &str,
    title: &str,
    reply: &Reply,
    contact: &Contact,
    seal: &Seal,
    memory: &dyn Memory,
) -> Wanted {
    match seal.open(id, &contact.id, reply.at) {
        Some(Ok(token)) => match token.subject {
            Subject::Alert(alert) => {
                let known =
                    memory.alert(AlertId(alert)).ok_or("the alert of this button is no longer kept")?;
                Ok((known, token.action))
            }
            Subject::Request(_) | Subject::Question(_) => Err("nothing waits for this answer"),
        },
        Some(Err(Broken::Forged)) => Err("the button was not made for this person, or it was altered"),
        Some(Err(Broken::Expired)) => Err("the button is older than a day"),
        // A template's quick reply may bring back only its label (FACTS 1.3); the message that it answers tells the alert.
        None => quoted(title, reply, contact, memory),
    }
}

fn quoted(text: &str, reply: &Reply, contact: &Contact, memory: &dyn Memory) -> Wanted {
    let (to, known) = answered(reply, memory)?;
    if to != contact.id {
        return Err("the message that it answers was sent to somebody else");
    }
    Ok((known, text.to_owned()))
}

fn answered(reply: &Reply, memory: &dyn Memory) -> Result<(ContactId, Known), &'static str> {
    let wamid =
        reply.quotes.as_ref().ok_or("it answers no message: reply to the alert itself, or tap its button")?;
    let (to, known) =
        memory.sent(wamid).ok_or("the message that it answers is not one of ours, or no longer kept")?;
    Ok((to, known.ok_or("the message that it answers is not an alert")?))
}

fn has_action(rules: &[Rule], known: &Known, wanted: &str) -> bool {
    let rule = rules.iter().find(|rule| rule.name == known.rule);
    rule.is_some_and(|rule| rule.actions.iter().any(|action| is_wanted(action, wanted)))
}

/// By id or by title, in any case, spaces around it aside.
fn is_wanted(action: &Action, wanted: &str) -> bool {
    let wanted = wanted.trim().to_lowercase();
    action.id.to_lowercase() == wanted || action.title.to_lowercase() == wanted
}
