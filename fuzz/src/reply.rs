//! How the message answers ours, what was tapped, what was written: one a line. Only who may, acts, and only as a rule says.

use bellwire::command::authorise::Standing;
use bellwire::config::Config;
use bellwire::contact::{KnownAs, Phone, Whose};
use bellwire::event::topic::Bindings;
use bellwire::ids::{AlertId, ContactId, MessageId, RuleName, StoreTag, Wamid};
use bellwire::outbox::button_token::Seal;
use bellwire::reply::inbound::{Content, Reply};
use bellwire::reply::interpret;
use bellwire::reply::interpret::{About, Known, Memory, Outcome, Sent, understand};

use super::{site, text_line};

/// The only message of ours that is remembered.
const OURS: &str = "wamid.ours";

pub struct House {
    config: &'static Config,
    tag: StoreTag,
    seal: Seal,
}

impl House {
    pub fn new() -> Self {
        let tag = StoreTag("0badcafe".into());
        Self { config: site::house(), seal: Seal::new(tag.clone(), [7; 32]), tag }
    }
}

fn known() -> Known {
    let bindings = [("area", "bar"), ("unit", "2")].map(|(name, value)| (name.to_owned(), value.to_owned()));
    Known {
        alert: AlertId(7),
        rule: RuleName("any".into()),
        bindings: Bindings::from(bindings),
        is_over: false,
    }
}

impl Memory for House {
    fn alert(&self, id: AlertId) -> Option<Known> {
        (id == AlertId(7)).then(known)
    }

    fn sent(&self, wamid: &Wamid) -> Option<Sent> {
        let sent = || Sent { to: ContactId("nino".into()), at: site::NOW, about: About::Alert(known()) };
        (wamid.0 == OURS).then(sent)
    }

    fn message(&self, wamid: &Wamid) -> Option<MessageId> {
        (wamid.0 == OURS).then_some(MessageId(3))
    }
}

/// What follows from it, and that it may.
pub fn judge(house: &House, reply: &Reply) -> Outcome {
    let phone = reply.from.as_deref().and_then(|from| Phone::from_wa_id(from).ok());
    let whose = house.config.people.whose(phone.as_ref(), reply.user_id.as_deref(), &KnownAs::default());
    let sender = if let Whose::One(sender) = whose { Some(sender) } else { None };
    let asked = interpret::House {
        rules: &house.config.rules,
        commands: &house.config.commands,
        onward: &house.config.onward,
        words: &house.config.words,
        seal: &house.seal,
        sender,
        standing: Standing::default(),
        is_owner: true,
        now: reply.at,
    };
    let outcome = understand(reply, &asked, &house.tag, house);
    match &outcome {
        Outcome::Command(command) => {
            let sender = sender.expect("a stranger commands nothing");
            assert!(!reply.forwarded && sender.roles.contains("manager") && command.contact == sender.id);
            assert_eq!((command.deed.topic.as_str(), command.deed.payload.as_str()), ("do/bar/2/set", "1"));
            assert!(command.expires_at >= reply.at);
        }
        Outcome::Consent { contact, .. }
        | Outcome::Confirm { contact, .. }
        | Outcome::Vote { contact, .. }
        | Outcome::Acknowledge { contact, .. }
        | Outcome::Status { contact, .. }
        | Outcome::Invite { contact, .. }
        | Outcome::Note { contact, .. } => {
            assert_eq!(sender.map(|sender| &sender.id), Some(contact));
            assert!(!reply.forwarded);
        }
        Outcome::ReadOn { contact, .. } | Outcome::Hurried { contact } | Outcome::Locked { contact } => {
            assert_eq!(sender.map(|sender| &sender.id), Some(contact));
        }
        Outcome::Say { contact, text, .. } | Outcome::Refused { contact, text, .. } => {
            assert_eq!(sender.map(|sender| &sender.id), Some(contact));
            assert!(!text.is_empty());
        }
        Outcome::Stranger => assert!(sender.is_none()),
        Outcome::Nothing { reason, .. } => assert!(!reason.is_empty()),
    }
    outcome
}

pub fn reply(data: &[u8]) {
    let Some((from, rest)) = text_line(data) else { return };
    let Some((quotes, rest)) = text_line(rest) else { return };
    let Some((tapped, rest)) = text_line(rest) else { return };
    let Ok(words) = std::str::from_utf8(rest) else { return };
    let content = match tapped {
        "" => Content::Text(words.to_owned()),
        id => Content::Tap { id: id.to_owned(), title: words.to_owned() },
    };
    let reply = Reply {
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
    drop(judge(&House::new(), &reply));
}
