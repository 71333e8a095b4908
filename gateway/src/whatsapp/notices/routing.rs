//! Who gets what people write to the number. Since 2026-09-23 an account may route it among several apps (Conversation
//! Routing), and Meta's own agent takes it when it is switched on. Templates leave all the same, so that alerts arrive and
//! acknowledgements do not: nothing but these webhooks tells.

use serde_json::Value;

use super::{Said, spoken, words};
use crate::contact::severity::Severity;

/// The number, where the value names it: ids of accounts are about to mean other things, and an account has several numbers.
pub(super) fn concerned(value: &Value) -> Option<String> {
    let number = [&value["metadata"]["phone_number_id"], &value["recipient"]["phone_number_id"]];
    number.into_iter().chain([&value["waba_info"]["waba_id"]]).find_map(words)
}

/// Copies of what goes to another app come here. Lifted by a hand-over, and by a message of a person that comes here.
pub const STANDBY: &str = "standby";
/// A conversation is another's, and whose.
pub const TAKEN_OVER: &str = "taken over";
/// What a person can do about it.
pub const MAKE_OURS: &str = "make this app the one that gets it (Business Suite > Settings > Conversation routing), or give the \
                             other one a number of its own";
const THEN: &str = "nothing acts on it here, and nobody can acknowledge an alert";

/// A copy of what went to another app, or to Meta's own agent.
pub(super) fn standby() -> Said {
    let text = format!(
        "what people write to this number goes to another app or agent, and comes here only as `standby`: {THEN}; {MAKE_OURS}"
    );
    (Severity::Critical, text, vec![(STANDBY, "true".to_owned())], None)
}

/// `None`: a kind that nobody has written down, which is stored and nothing else.
pub(super) fn handover(value: &Value) -> Option<Said> {
    let kind = words(&value["type"])?;
    let role = |name: &str| {
        let names = [format!("{name}_role"), format!("{name}_app_role")]; // the latter until summer 2026
        names.iter().find_map(|name| words(&value[kind.as_str()][name])).map(|role| spoken(&role))
    };
    let to = role("new_owner");
    match kind.as_str() {
        "control_taken" => {
            let to = to.unwrap_or_else(|| "another app".to_owned());
            let text = format!(
                "a conversation on this number was taken over ({to}), and what is written in it goes there: {THEN}; {MAKE_OURS}"
            );
            Some((Severity::Critical, text, vec![(TAKEN_OVER, to)], None))
        }
        "control_passed" => {
            let text =
                "a conversation on this number was passed to this app: what is written in it comes here"
                    .to_owned();
            let lifted = [STANDBY, TAKEN_OVER].map(|name| (name, String::new()));
            Some((Severity::Info, text, lifted.into(), None))
        }
        _ => None,
    }
}
