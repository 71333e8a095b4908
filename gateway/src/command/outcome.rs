//! The end of what people asked for: what devices answer, what the broker says, and what the clock decides. At most one message
//! tells it: messages cost money (docs/cloud-api.md 5.6).

use std::time::Duration;

use crate::command::action::Awaited;
use crate::command::approval::{Request, RequestState};
use crate::command::command_state::CommandState;
use crate::command::device_answer::{DeviceVerdict, REFUSED};
use crate::command::dispatch::CommandUpdate;
use crate::contact::Contact;
use crate::device::order::{CommandEnd, EndState};
use crate::ids::{CommandId, ConnectionName, ContactId, Wamid};
use crate::outbox::message::{Content, Part, Template};
use crate::reply::context::SiteContext;
use crate::reply::effect::{AuditRecord, OutgoingMessage, ReplyEffect};
use crate::time::duration_for_people;

/// A command whose end somebody is told.
#[derive(Debug, Clone)]
pub struct CommandStory {
    pub id: CommandId,
    pub reply: Option<Wamid>,
    pub contact: ContactId,
    pub connection: ConnectionName,
    pub title: String,
    pub state: CommandState,
    pub reason: Option<String>,
    pub answer: Option<Awaited>,
}

/// What the device made of it.
#[must_use]
pub fn answered(command: &CommandStory, verdict: &DeviceVerdict, site: &SiteContext) -> Vec<ReplyEffect> {
    let (title, locale) = (&command.title, site.people.locale(&command.contact));
    match verdict {
        DeviceVerdict::Done(None) => end(command, CommandState::Done, None, None, site),
        DeviceVerdict::Done(Some(said)) => {
            end(command, CommandState::Done, Some(said), Some(format!("✅ {title}: {said}")), site)
        }
        DeviceVerdict::Refused(why) => {
            let shown = if why == REFUSED { locale.plain(|s| s.device_refused) } else { why.clone() };
            end(command, CommandState::Failed, Some(why), Some(format!("❌ {title}: {shown}")), site)
        }
        DeviceVerdict::Undecided => Vec::new(),
    }
}

/// No device has answered in time.
#[must_use]
pub fn silent(command: &CommandStory, site: &SiteContext) -> Vec<ReplyEffect> {
    let within = command.answer.as_ref().map_or(0, |answer| answer.within_ms);
    let why = format!("no answer within {}", duration_for_people(Duration::from_millis(within)));
    let locale = site.people.locale(&command.contact);
    let text = locale.say(|s| s.no_answer, &[("title", &command.title)]);
    end(command, CommandState::Silent, Some(&why), Some(text), site)
}

/// A device may be faster than the broker's acknowledgement of the command, slower than we wait, and may have got what counts as
/// expired or refused: it was published, its acknowledgement was lost, and the next try came too late.
fn end(
    command: &CommandStory,
    state: CommandState,
    said: Option<&str>,
    text: Option<String>,
    site: &SiteContext,
) -> Vec<ReplyEffect> {
    let is_open = match command.state {
        CommandState::Published => true,
        CommandState::Queued | CommandState::Silent | CommandState::Expired | CommandState::Refused => {
            state != CommandState::Silent
        }
        CommandState::Done | CommandState::Failed | CommandState::NoAnswer => false, // it had an end before
    };
    if !is_open {
        return Vec::new();
    }
    let detail = format!(
        "{}: {}{}",
        command.title,
        state.as_str(),
        said.map(|said| format!(", {said}")).unwrap_or_default()
    );
    let ends = ReplyEffect::EndCommand { command: command.id, state, reason: said.map(str::to_owned) };
    [ends, record("answered", command.id, detail)].into_iter().chain(tell(command, text, site)).collect()
}

/// A command to a device by its own link has an end, which its row says already. `None`: the row is gone.
#[must_use]
pub fn ended_by_device(
    id: CommandId,
    command: Option<&CommandStory>,
    ending: &CommandEnd,
    site: &SiteContext,
) -> Vec<ReplyEffect> {
    let detail = format!("{}, {}", CommandState::from(ending.state).as_str(), ending.reason);
    let mut effects = vec![record("answered", id, detail)];
    let Some(command) = command else { return effects };
    let (title, locale) = (&command.title, site.people.locale(&command.contact));
    let text = match ending.state {
        EndState::Done if command.answer.is_none() => return effects, // nobody wants to hear that all went well
        EndState::Done => None,
        EndState::Refused => Some(format!("❌ {title}: {}", ending.reason)),
        EndState::Expired => {
            Some(locale.say(|s| s.was_not_done, &[("title", title), ("why", &ending.reason)]))
        }
        EndState::NoAnswer => Some(locale.say(|s| s.no_answer, &[("title", title)])),
    };
    effects.extend(tell(command, text, site));
    effects
}

/// What the dispatch decided, with whatever is said about it: nothing as long as all goes well. A device may have been faster than
/// the broker.
#[must_use]
pub fn dispatched(command: &CommandStory, update: &CommandUpdate, site: &SiteContext) -> Vec<ReplyEffect> {
    if command.state != CommandState::Queued {
        return Vec::new();
    }
    let changes = ReplyEffect::ChangeCommand(update.clone());
    let record = |what, detail: &str| record(what, command.id, detail.to_owned());
    let not_done = |why: &str| {
        let locale = site.people.locale(&command.contact);
        let text = locale.say(|s| s.was_not_done, &[("title", &command.title), ("why", why)]);
        tell(command, Some(text), site)
    };
    let (recorded, told) = match update {
        CommandUpdate::Published { .. } => (record("published", "the broker has it"), None),
        // The broker's own words.
        CommandUpdate::Refused { reason, .. } => (record("failed", reason), not_done(reason)),
        CommandUpdate::Expired { .. } => {
            let why = site.people.locale(&command.contact).plain(|s| s.broker_away);
            (record("expired", "the broker could not be reached in time"), not_done(&why))
        }
    };
    [changes, recorded].into_iter().chain(told).collect()
}

/// The configuration has no place for it any more; whoever still may be told hears so.
#[must_use]
pub fn dropped(
    command: &CommandStory,
    update: &CommandUpdate,
    why: &str,
    is_told: bool,
    site: &SiteContext,
) -> Vec<ReplyEffect> {
    if command.state != CommandState::Queued {
        return Vec::new();
    }
    let locale = site.people.locale(&command.contact);
    let shown = locale.plain(|s| s.not_configured);
    let text = locale.say(|s| s.was_not_done, &[("title", &command.title), ("why", &shown)]);
    let told = is_told.then(|| tell(command, Some(text), site)).flatten();
    let changes = ReplyEffect::ChangeCommand(update.clone());
    [changes, record("failed", command.id, why.to_owned())].into_iter().chain(told).collect()
}

/// Nobody has agreed in time.
#[must_use]
pub fn request_expired(request: &Request, site: &SiteContext) -> Vec<ReplyEffect> {
    let Request { id, reply, pending, .. } = request;
    let detail = format!("request {id}: the time is over");
    let message = Some(reply.clone());
    let record = AuditRecord { what: "expired", who: None, message, command: None, detail };
    let expires = ReplyEffect::ChangeRequest(Box::new(request.clone()), RequestState::Expired);
    // Who did not answer a question back knows; who waited for others does not.
    let waited = pending.agreed.contains(&pending.asker);
    let told = waited.then(|| {
        let locale = site.people.locale(&pending.asker);
        tell_asker(request, locale.say(|s| s.nobody_agreed, &[("title", &request.action.title)]), site)
    });
    [expires, ReplyEffect::Record(record)].into_iter().chain(told.flatten()).collect()
}

/// The configuration has no place for it any more.
#[must_use]
pub fn request_dropped(request: &Request, why: &str, site: &SiteContext) -> Vec<ReplyEffect> {
    let locale = site.people.locale(&request.pending.asker);
    let shown = locale.plain(|s| s.not_configured);
    let text = locale.say(|s| s.was_not_done, &[("title", &request.action.title), ("why", &shown)]);
    let detail = format!("request {}: {why}", request.id);
    let record = AuditRecord { what: "expired", who: None, message: None, command: None, detail };
    let expires = ReplyEffect::ChangeRequest(Box::new(request.clone()), RequestState::Expired);
    [expires, ReplyEffect::Record(record)].into_iter().chain(tell_asker(request, text, site)).collect()
}

/// An alert that the configuration has no place for any more.
#[must_use]
pub fn not_watched(contact: &Contact, text: &str, templates: Vec<Template>) -> Content {
    let text = contact.locale.say(|s| s.not_watched, &[("text", text)]);
    Content { templates, ..Content::text(text) }.in_language(contact.locale.language)
}

fn record(what: &'static str, command: CommandId, detail: String) -> ReplyEffect {
    ReplyEffect::Record(AuditRecord { what, who: None, message: None, command: Some(command), detail })
}

fn tell_asker(request: &Request, text: String, site: &SiteContext) -> Option<ReplyEffect> {
    let to = (&request.connection, &request.pending.asker, Some(&request.reply));
    put(to, Content::text(text), site)
}

/// To whoever asked: a mark on the message that asked, or words under it.
#[must_use]
pub fn tell(command: &CommandStory, text: Option<String>, site: &SiteContext) -> Option<ReplyEffect> {
    // Over another number than the one that was written to nothing can be marked.
    let can_mark = site.numbers.contains(&&command.connection);
    let text = text.or_else(|| (!can_mark).then(|| format!("✅ {}", command.title)));
    let content = match (text, &command.reply) {
        (Some(text), _) => Content::text(text),
        (None, Some(reply)) => {
            let part = Part::Reaction { to: reply.0.clone(), emoji: "✅".to_owned() };
            Content { part: Some(part), ..Content::default() }
        }
        (None, None) => return None,
    };
    put((&command.connection, &command.contact, command.reply.as_ref()), content, site)
}

/// Over the number that the person wrote to, under what they wrote; over another one where that number is gone.
fn put(
    (connection, contact, reply): (&ConnectionName, &ContactId, Option<&Wamid>),
    content: Content,
    site: &SiteContext,
) -> Option<ReplyEffect> {
    let person = site.people.contacts.get(contact)?;
    let known = site.numbers.iter().find(|known| **known == connection);
    let over = known.or(site.numbers.first())?;
    let quotes = reply.filter(|_| content.part.is_none() && known.is_some()).map(|reply| reply.0.clone());
    let message = OutgoingMessage::to(person, over, Content { quotes, ..content });
    Some(ReplyEffect::Send(Box::new(message)))
}
