//! Agreement: a Yes or No to a request, and choices of machines' questions.

use std::time::Duration;

use crate::command::action::{CommandOrigin, ResolvedAction};
use crate::command::approval::{ApprovalOutcome, Pending, Request, RequestState};
use crate::command::authorise::may;
use crate::command::decision::decide;
use crate::command::question::OpenQuestion;
use crate::contact::Contact;
use crate::contact::language::{Locale, Sentences};
use crate::outbox::button_token::{ButtonSubject, ButtonToken};
use crate::outbox::message::{Button, Content};
use crate::reply::answer::Answer;
use crate::reply::effect::{OutgoingMessage, ReplyEffect};
use crate::reply::keywords::{NO, YES};

/// How long others may take to agree: they have to find their telephone.
const OTHERS_MAY_TAKE: Duration = Duration::from_secs(10 * 60);
/// People who are asked to agree: each costs a message.
const ASKED_MAX: usize = 10;

impl Answer<'_> {
    pub(crate) fn ask_back(&mut self, action: &ResolvedAction, confirm: bool, approvals: u32) {
        let life = if confirm { Duration::from_millis(action.expires_ms) } else { OTHERS_MAY_TAKE };
        let asker = self.from.contact;
        let request = Request {
            id: self.facts.next_request,
            reply: self.from.reply.wamid.clone(),
            connection: self.from.lane.connection.clone(),
            action: action.clone(),
            pending: Pending::new(asker.id.clone(), confirm, approvals, self.site.now + life),
        };
        self.effects.push(ReplyEffect::OpenRequest(Box::new(request.clone())));
        let ResolvedAction { name, title, topic, payload, .. } = action;
        self.record("asked", format!("request {}: {name}: {payload} to {topic}", request.id));
        if !confirm {
            return self.ask_others(request);
        }
        let time = asker.locale.duration(life);
        let text = asker.locale.say(|s| s.confirm, &[("title", title), ("topic", topic), ("time", &time)]);
        self.ask(&request, asker, Content { quotes: Some(request.reply.0.clone()), ..Content::text(text) });
    }

    /// Whoever else may do it is asked; at least one of them has to be reached.
    fn ask_others(&mut self, request: Request) {
        let (site, asker, action) = (self.site, self.from.contact, &request.action);
        let left = site.now.until(request.pending.expires_at);
        let may_agree =
            |other: &&Contact| other.id != asker.id && may(other, &action.roles, &action.topic).is_ok();
        let others: Vec<&Contact> = site.people.contacts.values().filter(may_agree).take(ASKED_MAX).collect();
        for other in &others {
            let (name, title, topic) = (asker.name.as_str(), action.title.as_str(), action.topic.as_str());
            let time = other.locale.duration(left);
            let blanks = [("name", name), ("title", title), ("topic", topic), ("time", &time)];
            self.ask(&request, other, Content::text(other.locale.say(|s| s.agree, &blanks)));
        }
        if others.is_empty() {
            self.nothing("nobody else may agree");
            self.tell_asker(&request, |s| s.nobody_may_agree, &[("title", &action.title)]);
            self.effects.push(ReplyEffect::ChangeRequest(Box::new(request), RequestState::Declined));
        }
    }

    fn ask(&mut self, request: &Request, whom: &Contact, content: Content) {
        let (subject, expires_at) = (ButtonSubject::Request(request.id), request.pending.expires_at);
        let button = |choice: &str, title: String| {
            let token = ButtonToken { subject, action: choice.to_owned(), expires_at };
            Button::new(self.site.seal.close(&token, &whom.id), title)
        };
        let (yes, no) = (whom.locale.plain(|s| s.yes), whom.locale.plain(|s| s.no));
        let content = Content { buttons: vec![button(YES, yes), button(NO, no)], ..content };
        let message = OutgoingMessage::to(whom, &request.connection, content);
        self.effects.push(ReplyEffect::Send(Box::new(OutgoingMessage { asks: Some(subject), ..message })));
    }

    pub(crate) fn vote(&mut self, number: i64, yes: bool) {
        let Some(mut request) = self.facts.request.clone() else {
            return self.sentence(|s| s.nothing_waits, &[]);
        };
        let who = self.from.contact;
        // Roles may have been taken away since it was asked.
        let lacks = may(who, &request.action.roles, &request.action.topic).err();
        if let Some(lacks) = lacks.filter(|_| yes) {
            let text = lacks.refusal(&request.action.title, &who.locale);
            return self.refused(&text, &lacks.sentence(&Locale::default()));
        }
        let verdict = request.pending.vote(&who.id, yes, self.site.now);
        self.record(if yes { "agreed" } else { "declined" }, format!("request {number}: {verdict:?}"));
        let is_asker = who.id == request.pending.asker;
        let title = request.action.title.clone();
        let blanks = [("name", who.name.as_str()), ("title", title.as_str())];
        match verdict {
            ApprovalOutcome::Done => {
                // One message tells the end: where the device answers, that is it.
                if !is_asker && request.action.answer.is_none() {
                    self.tell_asker(&request, |s| s.agrees, &blanks);
                }
                let command = request.action.clone().command(request.pending.asker.clone(), self.site.now);
                let origin = CommandOrigin {
                    reply: Some(request.reply.clone()),
                    connection: Some(request.connection.clone()),
                    correlation: None,
                };
                self.effects.push(ReplyEffect::ChangeRequest(Box::new(request), RequestState::Done));
                self.command(origin, command);
            }
            ApprovalOutcome::AskOthers => {
                request.pending.expires_at = self.site.now + OTHERS_MAY_TAKE;
                self.effects.push(ReplyEffect::ChangeRequest(Box::new(request.clone()), RequestState::Open));
                self.ask_others(request);
            }
            ApprovalOutcome::Noted => {
                self.effects.push(ReplyEffect::ChangeRequest(Box::new(request), RequestState::Open));
            }
            ApprovalOutcome::Declined => {
                if !is_asker {
                    self.tell_asker(&request, |s| s.disagrees, &blanks); // who says No knows
                }
                self.effects.push(ReplyEffect::ChangeRequest(Box::new(request), RequestState::Declined));
            }
            ApprovalOutcome::TooLate => self.sentence(|s| s.decided_already, &[]),
            ApprovalOutcome::NotYours => self.sentence(|s| s.others_must_agree, &[]),
        }
    }

    fn tell_asker(
        &mut self,
        request: &Request,
        sentence: fn(&Sentences) -> &'static str,
        blanks: &[(&str, &str)],
    ) {
        let Some(asker) = self.site.people.contacts.get(&request.pending.asker) else { return };
        let text = asker.locale.say(sentence, blanks);
        let content = Content { quotes: Some(request.reply.0.clone()), ..Content::text(text) };
        let message = OutgoingMessage::to(asker, &request.connection, content);
        self.effects.push(ReplyEffect::Send(Box::new(message)));
    }

    /// A choice of somebody who was asked.
    pub(crate) fn choose(&mut self, number: i64, choice: &str) {
        let facts = self.facts;
        let Some(question) = &facts.question else { return self.sentence(|s| s.nothing_waits, &[]) };
        let who = self.from.contact;
        if !self.is_asked(question) {
            return self.refused(&who.locale.plain(|s| s.not_asked), "the person is not asked any more");
        }
        if let Some(decision) = &question.decision {
            return self.sentence(|s| s.decided_as, &[("choice", decision)]);
        }
        // A button carries the place in the list, words the choice itself.
        let place = choice.strip_prefix('c').and_then(|place| place.parse::<usize>().ok());
        let by_place = || place.and_then(|place| question.choices.get(place));
        let Some(choice) = question.choices.iter().find(|known| *known == choice).or_else(by_place) else {
            return;
        };
        if question.expires_at <= self.site.now {
            return self.sentence(|s| s.time_is_over, &[]); // the clock decides, or just did
        }
        // The first choice of a person counts.
        let before = facts.votes.iter().any(|(voter, _)| *voter == who.id);
        let same = facts.votes.iter().filter(|(_, other)| other == choice).count() + usize::from(!before);
        let (question_id, contact) = (number, who.id.clone());
        self.effects.push(ReplyEffect::Vote { question: question_id, contact, choice: choice.clone() });
        self.record("chose", format!("question {number}: {choice}, {same} of {}", question.needed));
        if u32::try_from(same).unwrap_or(u32::MAX) >= question.needed {
            let site = self.site;
            self.effects.extend(decide(question, choice, Some(&who.id), site.seal, site.now));
        }
    }

    /// Whether the person was asked, and the configuration still says so.
    fn is_asked(&self, question: &OpenQuestion) -> bool {
        let who = &self.from.contact.id;
        let known = self.site.questions.iter().find(|known| known.name == question.name);
        let still = known
            .is_none_or(|known| self.site.people.resolve(&known.who).iter().any(|voter| voter.id == *who));
        still && question.voters.contains(&who.0)
    }
}
