//! The decision of a machine's question: the first one counts, and becomes one command to the machine.

use std::collections::BTreeSet;

use crate::command::action::{CommandOrigin, ResolvedAction};
use crate::command::question::{DECISION_KEEPS, OpenQuestion, decision};
use crate::ids::ContactId;
use crate::outbox::button_token::ButtonSigner;
use crate::reply::effect::{AuditRecord, ReplyEffect};
use crate::time::Timestamp;

/// `by`: whose choice it is; `None`: the clock's.
#[must_use]
pub fn decide(
    question: &OpenQuestion,
    choice: &str,
    by: Option<&ContactId>,
    seal: &ButtonSigner,
    now: Timestamp,
) -> Vec<ReplyEffect> {
    if question.decision.is_some() {
        return Vec::new();
    }
    let pseudonym = by.map(|by| seal.pseudonym(by));
    let action = ResolvedAction {
        alert: None,
        name: question.name.clone(),
        title: format!("{}: {choice}", question.name),
        topic: question.response_topic.clone(),
        payload: decision(&question.name, choice, pseudonym.as_deref(), now),
        retain: false,
        roles: BTreeSet::new(),
        expires_ms: u64::try_from(DECISION_KEEPS.as_millis()).unwrap_or(u64::MAX),
        answer: None,
    };
    let command = action.command(by.cloned().unwrap_or_else(|| ContactId(String::new())), now);
    let origin = CommandOrigin {
        reply: None,
        connection: by.map(|_| question.connection.clone()),
        correlation: question.correlation.clone(),
    };
    let late = if by.is_none() { ", the time is over" } else { "" };
    let detail = format!("question {}: {choice}{late}", question.id);
    let record = AuditRecord { what: "decided", who: by.cloned(), message: None, command: None, detail };
    vec![
        ReplyEffect::CloseQuestion { question: question.id, choice: choice.to_owned() },
        ReplyEffect::Command(Box::new(origin), Box::new(command), record),
    ]
}
