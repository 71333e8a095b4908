//! How the message answers ours, what was tapped, what was written: one a line. Only who may, acts, and only as a rule says.

use bellwire::command::authorise::RecentAbuse;
use bellwire::config::Config;
use bellwire::contact::{IdentityOwner, KnownIdentity, Phone};
use bellwire::event::topic::Bindings;
use bellwire::ids::{AlertId, ContactId, MessageId, RuleName, StoreTag, Wamid};
use bellwire::outbox::button_token::ButtonSigner;
use bellwire::reply::inbound::{InboundContent, InboundMessage};
use bellwire::reply::interpret::{
    AlertRef, Interpretation, ReplySubject, SentMessage, SentMessages, interpret,
};

use super::{site, text_line};

/// The only message of ours that is remembered.
const OURS: &str = "wamid.ours";

pub struct Fixture {
    config: &'static Config,
    tag: StoreTag,
    seal: ButtonSigner,
}

impl Fixture {
    pub fn new() -> Self {
        let tag = StoreTag::new("0badcafe");
        Self { config: site::house(), seal: ButtonSigner::new(tag.clone(), [7; 32]), tag }
    }
}

fn known() -> AlertRef {
    let bindings = [("area", "bar"), ("unit", "2")].map(|(name, value)| (name.to_owned(), value.to_owned()));
    AlertRef {
        alert: AlertId(7),
        rule: RuleName("any".into()),
        bindings: Bindings::from(bindings),
        is_over: false,
        actions: Vec::new(),
    }
}

impl SentMessages for Fixture {
    fn alert(&self, id: AlertId) -> Option<AlertRef> {
        (id == AlertId(7)).then(known)
    }

    fn sent(&self, wamid: &Wamid) -> Option<SentMessage> {
        let sent = || SentMessage {
            to: ContactId("nino".into()),
            at: site::NOW,
            about: ReplySubject::Alert(known()),
        };
        (wamid.0 == OURS).then(sent)
    }

    fn message(&self, wamid: &Wamid) -> Option<MessageId> {
        (wamid.0 == OURS).then_some(MessageId(3))
    }
}

/// What follows from it, and that it may.
pub fn judge(house: &Fixture, reply: &InboundMessage) -> Interpretation {
    let phone = reply.from.as_deref().and_then(|from| Phone::from_wa_id(from).ok());
    let whose =
        house.config.people.whose(phone.as_ref(), reply.user_id.as_deref(), &KnownIdentity::default());
    let sender = if let IdentityOwner::One(sender) = whose { Some(sender) } else { None };
    let asked = bellwire::reply::context::ReplyContext {
        rules: &house.config.rules,
        commands: &house.config.commands,
        onward: &house.config.onward,
        words: &house.config.words,
        seal: &house.seal,
        sender,
        standing: RecentAbuse::default(),
        is_owner: true,
        now: reply.at,
    };
    let outcome = interpret(reply, &asked, &house.tag, house);
    match &outcome {
        Interpretation::Command(command) => {
            let sender = sender.expect("a stranger commands nothing");
            assert!(!reply.forwarded && sender.roles.contains("manager") && command.contact == sender.id);
            assert_eq!(
                (command.action.topic.as_str(), command.action.payload.as_str()),
                ("do/bar/2/set", "1")
            );
            assert!(command.expires_at >= reply.at);
        }
        Interpretation::Consent { contact, .. }
        | Interpretation::Confirm { contact, .. }
        | Interpretation::Vote { contact, .. }
        | Interpretation::Acknowledge { contact, .. }
        | Interpretation::Status { contact, .. }
        | Interpretation::Invite { contact, .. }
        | Interpretation::Note { contact, .. } => {
            assert_eq!(sender.map(|sender| &sender.id), Some(contact));
            assert!(!reply.forwarded);
        }
        Interpretation::ReadOn { contact, .. }
        | Interpretation::Hurried { contact }
        | Interpretation::Locked { contact } => {
            assert_eq!(sender.map(|sender| &sender.id), Some(contact));
        }
        Interpretation::Say { contact, text, .. } | Interpretation::Refused { contact, text, .. } => {
            assert_eq!(sender.map(|sender| &sender.id), Some(contact));
            assert!(!text.is_empty());
        }
        Interpretation::Stranger => assert!(sender.is_none()),
        Interpretation::Nothing { reason, .. } => assert!(!reason.is_empty()),
    }
    outcome
}

pub fn reply(data: &[u8]) {
    let Some((from, rest)) = text_line(data) else { return };
    let Some((quotes, rest)) = text_line(rest) else { return };
    let Some((tapped, rest)) = text_line(rest) else { return };
    let Ok(words) = std::str::from_utf8(rest) else { return };
    let content = match tapped {
        "" => InboundContent::Text(words.to_owned()),
        id => InboundContent::Tap { id: id.to_owned(), title: words.to_owned() },
    };
    let reply = InboundMessage {
        wamid: Wamid("wamid.theirs".into()),
        from: Some(from.trim_end_matches('!').to_owned()),
        user_id: None,
        group: None,
        phone_number_id: "109876543210123".into(),
        at: site::NOW,
        quotes: Some(Wamid(quotes.to_owned())).filter(|_| !quotes.is_empty()),
        forwarded: from.ends_with('!'),
        content,
    };
    drop(judge(&Fixture::new(), &reply));
}
