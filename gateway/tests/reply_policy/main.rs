//! What follows from a message that was understood: each row is who said what, what was on record, and the effects. No database:
//! the policy takes what is on record as data, and what it wants done is data, too.

#![expect(clippy::expect_used, reason = "a row that cannot be read stops the test")]

/// A Yes or No to a request, and choices of machines' questions.
mod agreement;
/// Refusals, acknowledgements and answers.
mod answers;
/// Whom the owner invites.
mod invitation;
/// How commands end, and what whoever asked hears.
mod outcome;
/// A machine asks.
mod question;
/// Who wrote, and whether it is still them.
mod sender;
/// Somebody who is no contact, or was invited.
mod stranger;

use std::time::Duration;

use bellwire::command::authorise::RecentAbuse;
use bellwire::config::{Config, LoadOptions, read};
use bellwire::ids::{ConnectionName, ContactId, StoreTag, Wamid};
use bellwire::outbox::button_token::ButtonSigner;
use bellwire::outbox::row::Conversation;
use bellwire::reply::answer::ReplySender;
use bellwire::reply::effect::{AuditRecord, OutgoingMessage, ReplyEffect};
use bellwire::reply::facts::ReplyFacts;
use bellwire::reply::follow_up::follow_up;
use bellwire::reply::inbound::{InboundContent, InboundMessage};
use bellwire::reply::interpret::Interpretation;
use bellwire::time::Timestamp;

const NOW: Timestamp = Timestamp(1_790_000_000_000);

const SITE: &str = concat!(
    r#"
[site]
name = "Bar"
owner = ["owners"]
"#,
    include_str!("../../../tests/fixtures/connected.toml"),
    r#"
[[connection]]
name = "second"
phone_number_id = "2"
access_token_file = "token"
app_secret_file = "secret"
verify_token_file = "verify"
[[contact]]
id = "nino"
name = "Nino"
phone = "+995 555 12 34 56"
roles = ["manager"]
[[contact]]
id = "dato"
name = "Dato"
phone = "+995 555 00 00 01"
roles = ["manager", "cook"]
[[contact]]
id = "levan"
name = "Levan"
phone = "+995 555 00 00 02"
[[team]]
id = "owners"
members = ["nino"]
[[team]]
id = "bar"
members = ["levan"]
[[rule]]
name = "bell"
topic = "site/bell"
message = "Somebody rings"
notify = ["nino", "dato"]
connection = "main"
[[ask]]
name = "refund"
topic = "pos/{till}/refund"
text = "Refund?"
choices = ["Approve", "Deny"]
who = ["nino", "dato"]
within = "5m"
default = "Deny"
response_topic = "pos/{till}/decision"
connection = "main"
"#
);

struct Site {
    config: Config,
    seal: ButtonSigner,
    standing: RecentAbuse,
    facts: ReplyFacts,
}

impl Site {
    fn new(facts: ReplyFacts) -> Self {
        let options = LoadOptions { without_secrets: true, ..LoadOptions::default() };
        let config = read("t.toml", SITE, &options).expect("good");
        let seal = ButtonSigner::new(StoreTag::new("tag"), [7; 32]);
        Self { config, seal, standing: RecentAbuse::default(), facts }
    }

    /// What follows when this person's message means that, a line for each effect.
    fn follows(&self, who: &str, outcome: &Interpretation) -> Vec<String> {
        self.follows_of(who, outcome, &wrote("x"))
    }

    fn follows_of(&self, who: &str, outcome: &Interpretation, reply: &InboundMessage) -> Vec<String> {
        let contact = &self.config.people.contacts[&ContactId::from(who)];
        let lane = Conversation { connection: ConnectionName("main".into()), contact: contact.id.clone() };
        let site = self.config.context(&self.seal, NOW);
        let from = ReplySender { contact, lane: &lane, reply };
        follow_up(outcome, from, self.standing, &site, &self.facts).iter().map(line).collect()
    }
}

fn wrote(words: &str) -> InboundMessage {
    InboundMessage {
        wamid: Wamid("in".into()),
        from: Some("995555777777".into()),
        user_id: None,
        group: None,
        phone_number_id: "1".into(),
        at: NOW,
        quotes: None,
        forwarded: false,
        content: InboundContent::Text(words.into()),
    }
}

/// One effect, in a line that can be compared.
fn line(effect: &ReplyEffect) -> String {
    match effect {
        ReplyEffect::Send(message) => sent(message),
        ReplyEffect::Record(record) => recorded(record),
        ReplyEffect::Command(origin, command, record) => {
            let action = &command.action;
            let by = origin.reply.as_ref().map_or("", |reply| &reply.0);
            format!("command {} <- {} of {by:?}; {}", action.topic, action.payload, recorded(record))
        }
        ReplyEffect::EndCommand { command, state, reason } => {
            format!("command {command} is {}: {}", state.as_str(), reason.as_deref().unwrap_or("-"))
        }
        ReplyEffect::ChangeCommand(update) => format!("{update:?}"),
        ReplyEffect::Ask(question, messages) => {
            let asked = messages.iter().map(|(contact, content)| {
                let choices: Vec<&str> = content.buttons.iter().map(|button| button.title.as_str()).collect();
                format!("; {} [{}]: {}", contact.id, choices.join(", "), content.text.replace('\n', " | "))
            });
            format!("question {} to {}{}", question.id, question.response_topic, asked.collect::<String>())
        }
        ReplyEffect::OpenRequest(request) => format!("request {} opens", request.id),
        ReplyEffect::ChangeRequest(request, state) => {
            let agreed: Vec<&str> = request.pending.agreed.iter().map(|contact| contact.0.as_str()).collect();
            format!("request {} is {}, agreed: {}", request.id, state.as_str(), agreed.join(" "))
        }
        ReplyEffect::Vote { question, contact, choice } => format!("{contact} votes {choice} in {question}"),
        ReplyEffect::CloseQuestion { question, choice } => format!("question {question} closes: {choice}"),
        ReplyEffect::Acknowledge { alert, contact } => format!("{contact} takes care of {alert}"),
        ReplyEffect::Note(note) => format!("note {note:?}"),
        ReplyEffect::Invite { guest, expires_at } => {
            let days = NOW.until(*expires_at).as_secs() / 86_400;
            let gives: Vec<&str> = guest.roles.iter().chain(&guest.teams).map(String::as_str).collect();
            format!("invite {} as {} for {days} days", guest.id, gives.join(" "))
        }
        ReplyEffect::Join { guest, .. } => format!("{guest} joins"),
        ReplyEffect::Decline { guest, .. } => format!("{guest} declines"),
        ReplyEffect::Dismiss { guest, state } => format!("{guest} is {}", state.as_str()),
        ReplyEffect::Identify { contact, address, user_id, .. } => {
            format!("{contact} is {} from {address}", user_id.as_deref().unwrap_or("nobody known"))
        }
        ReplyEffect::Consent { contact, given, source, .. } => {
            format!("{contact} wants messages: {given}, by {source}")
        }
        ReplyEffect::Heard { conversation: Conversation { connection, contact }, .. } => {
            format!("heard of {contact} over {connection}")
        }
        ReplyEffect::MeetStranger { address, is_answered } => {
            format!("met {address}, answered: {is_answered}")
        }
        ReplyEffect::TakeOff(contact) => format!("{contact} is off the list"),
        ReplyEffect::TellOwner(told) => {
            let messages: Vec<String> = told.messages.iter().map(sent).collect();
            format!("owner [{}] {}", told.notice.field, messages.join("; "))
        }
        ReplyEffect::Nothing(reason) => format!("nothing: {reason}"),
        ReplyEffect::Refused(contact, reason) => format!("refused {contact}: {reason}"),
    }
}

fn sent(message: &OutgoingMessage) -> String {
    let Conversation { connection, contact } = &message.conversation;
    let mark = message.content.part.as_ref().map(|_| " a mark").unwrap_or_default();
    let under = message.content.quotes.as_ref().map(|wamid| format!(" under {wamid}")).unwrap_or_default();
    let asks = message.asks.map(|subject| format!(", asks {subject:?}")).unwrap_or_default();
    let text = message.content.text.replace('\n', " | ");
    format!("to {contact} over {connection}{under}{asks}:{mark} {text}")
}

fn recorded(record: &AuditRecord) -> String {
    let who = record.who.as_ref().map_or("", |who| &who.0);
    format!("audit {} by {who}: {}", record.what, record.detail)
}

/// So many minutes from now.
fn minutes(count: u64) -> Timestamp {
    NOW + Duration::from_secs(60 * count)
}
