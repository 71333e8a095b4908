//! The effects of a contact's message, once it is understood.

use crate::alert::engine::AlertCommand;
use crate::command::action::{CommandOrigin, NewCommand};
use crate::command::authorise::{ACTS_MAX, REFUSALS_IN, REFUSALS_MAX, RecentAbuse};
use crate::contact::language::Sentences;
use crate::outbox::button_token::ButtonSubject;
use crate::outbox::message::Content;
use crate::reply::answer::{Answer, ReplySender};
use crate::reply::context::SiteContext;
use crate::reply::effect::ReplyEffect;
use crate::reply::facts::ReplyFacts;
use crate::reply::inbound::InboundContent;
use crate::reply::interpret::Interpretation;
use crate::reply::keywords::YES;
use crate::reply::opt_out::ConsentWord;
use crate::reply::sender::shows_number;
use crate::reply::status_text::status;

/// Everything that it leads to, after it was written down.
#[must_use]
pub fn follow_up(
    outcome: &Interpretation,
    from: ReplySender,
    standing: RecentAbuse,
    site: &SiteContext,
    facts: &ReplyFacts,
) -> Vec<ReplyEffect> {
    let mut answer = Answer { site, facts, from, effects: Vec::new() };
    answer.follow(outcome, standing);
    answer.effects
}

impl Answer<'_> {
    fn follow(&mut self, outcome: &Interpretation, standing: RecentAbuse) {
        match outcome {
            Interpretation::Command(command) => {
                let origin = CommandOrigin {
                    reply: Some(self.from.reply.wamid.clone()),
                    connection: Some(self.from.lane.connection.clone()),
                    correlation: None,
                };
                self.command(origin, command.clone());
            }
            Interpretation::Confirm { action, confirm, approvals, .. } => {
                self.ask_back(action, *confirm, *approvals);
            }
            Interpretation::Vote { subject, choice, .. } => match subject {
                ButtonSubject::Request(number) => self.vote(*number, choice == YES),
                ButtonSubject::Question(number) => self.choose(*number, choice),
                ButtonSubject::Alert(_) => {} // a tap on an alert's button is an action
            },
            Interpretation::Acknowledge { alert, contact } => {
                let before = self.facts.acknowledged_by.as_ref().filter(|by| *by != contact);
                let by = if before.is_none() { "this person" } else { "another before" };
                let contact = contact.clone();
                self.effects.push(ReplyEffect::Acknowledge { alert: *alert, contact });
                self.record("acknowledged", format!("alert {alert}, by {by}"));
            }
            Interpretation::Note { note, .. } => self.note(note),
            Interpretation::Invite { wanted, .. } => self.invite(wanted),
            Interpretation::Status { .. } => {
                self.say(&status(self.site, &self.facts.ongoing, &self.from.contact.locale));
            }
            Interpretation::Say { text, reason, .. } => {
                self.nothing(reason);
                self.say(text);
            }
            Interpretation::Refused { text, reason, .. } => self.refuse(text, reason, standing),
            Interpretation::Hurried { .. } => {
                self.nothing("too many in a minute");
                if standing.hurried > 0 {
                    return; // told once
                }
                self.record("refused", "more than 10 acts in a minute".to_owned());
                self.sentence(|s| s.hurried, &[("count", &ACTS_MAX.to_string())]);
            }
            Interpretation::Locked { .. } => {
                self.nothing("the person is locked out");
                self.record("refused", "locked out".to_owned());
            }
            Interpretation::Consent { wish, .. } => self.obey(*wish),
            Interpretation::Nothing { reason, .. } => {
                self.nothing(reason);
                if let InboundContent::SharedNumber(numbers) = &self.from.reply.content {
                    let over = &self.from.lane.connection;
                    let told = shows_number(numbers, self.from.contact, over, self.site);
                    self.effects.push(ReplyEffect::TellOwner(Box::new(told)));
                }
            }
            Interpretation::ReadOn { .. } => {} // what Meta takes of a message is known to whoever reads webhooks
            Interpretation::Stranger => {}      // `reply/stranger.rs`
        }
    }

    pub(crate) fn command(&mut self, origin: CommandOrigin, command: NewCommand) {
        let action = &command.action;
        let detail = format!("{}: {} to {}", action.name, action.payload, action.topic);
        let mut record = self.audit("commanded", &command.contact, detail);
        record.message.clone_from(&origin.reply);
        self.effects.push(ReplyEffect::Command(Box::new(origin), Box::new(command), record));
    }

    fn note(&mut self, note: &AlertCommand) {
        self.effects.push(ReplyEffect::Note(note.clone()));
        let (what, alert) = match note {
            AlertCommand::Acknowledge { alert, .. } => ("acknowledged", alert),
            AlertCommand::Resolve { alert, .. } => ("resolved", alert),
            AlertCommand::Snooze { alert, .. } => ("snoozed", alert),
            AlertCommand::Silence(_)
            | AlertCommand::Mute { .. }
            | AlertCommand::Expire { .. }
            | AlertCommand::Undelivered { .. }
            | AlertCommand::Receipt { .. } => return, // no person's
        };
        self.record(what, alert.to_string());
    }

    /// STOP and START take effect with the same commit, and are answered once. Of several wishes the newest counts, by the time
    /// that Meta gives it and then by its source, whichever comes first.
    fn obey(&mut self, wish: ConsentWord) {
        let ReplySender { contact, lane, reply } = self.from;
        let given = wish == ConsentWord::Start;
        if given || contact.may_stop {
            let source = format!("a WhatsApp message to {} ({})", lane.connection, reply.wamid);
            let newest = self.facts.newest_wish.as_ref();
            let counts = newest.is_none_or(|(at, by)| (*at, by) <= (reply.at, &source));
            let contact = contact.id.clone();
            self.effects.push(ReplyEffect::Consent { contact, given, source, at: reply.at });
            if !counts {
                return self.nothing("a later wish of the same person came before it, and counts");
            }
        }
        let sentence: fn(&Sentences) -> &'static str = match (wish, contact.may_stop) {
            (ConsentWord::Stop, false) => |s| s.on_duty,
            (ConsentWord::Stop, true) => |s| s.stopped,
            (ConsentWord::Start, _) => |s| s.started,
        };
        let text = contact.locale.say(sentence, &[("site", self.site.name)]);
        self.send(contact, Content::text(text));
    }

    /// The fifth refusal is told to the owner, and is the last that is answered for a while.
    fn refuse(&mut self, text: &str, reason: &str, standing: RecentAbuse) {
        if standing.refusals + 1 < REFUSALS_MAX {
            return self.refused(text, reason);
        }
        let contact = self.from.contact;
        let (count, minutes) = (REFUSALS_MAX.to_string(), (REFUSALS_IN.as_secs() / 60).to_string());
        let blanks = [("text", text), ("count", &count), ("minutes", &minutes)];
        let locked = contact.locale.say(|s| s.locked_out, &blanks);
        let told = format!(
            "{} was refused {count} times, and is locked out for {minutes} minutes; the last time: {reason}",
            contact.name
        );
        self.warn_owner(format!("lock-out {} {}", contact.id, self.site.now.0), told);
        self.refused(&locked, reason);
    }
}
