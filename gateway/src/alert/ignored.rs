//! Reasons why nobody is told of an event, and the expression of a rule that failed on it.

use std::fmt::{self, Display, Formatter};

use crate::event::decode::PAYLOAD_LIMIT_BYTES;
use crate::rule::error::EvaluationError;

/// One expression of a rule that failed on an event. It stops no other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EvaluationFailure {
    pub place: RulePart,
    pub error: EvaluationError,
}

/// The part of a rule that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RulePart {
    Key,
    When,
    ResolveWhen,
    Value,
    DedupeKey,
    Message,
    Template,
    File,
}

impl EvaluationFailure {
    #[must_use]
    pub fn new(place: RulePart, error: EvaluationError) -> Self {
        Self { place, error }
    }

    /// The sentence that all events that fail alike have in common.
    #[must_use]
    pub fn kind(&self) -> String {
        self.say(&self.error.kind)
    }

    /// What is missing may come with the next report. Where a message lacks it the alarm was told without, which is news.
    #[must_use]
    pub fn is_missing(&self) -> bool {
        let is_told = matches!(self.place, RulePart::Message | RulePart::Template | RulePart::File);
        !is_told && self.error.is_missing
    }

    fn say(&self, what: &str) -> String {
        match self.place {
            RulePart::Key => format!("`key` could not be read: {what}"),
            RulePart::When => format!("`when` could not be judged: {what}"),
            RulePart::ResolveWhen => format!("`resolve_when` could not be judged: {what}"),
            RulePart::Value => format!("`value` gives no number: {what}"),
            RulePart::DedupeKey => format!("`dedupe_key` failed, so the event counts: {what}"),
            RulePart::Message => format!("`message` failed, a plain text stands for it: {what}"),
            RulePart::Template => {
                format!("a parameter of `template` failed, the message stands there: {what}")
            }
            RulePart::File => format!("the file could not be attached: {what}"),
        }
    }
}

impl Display for EvaluationFailure {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(&self.say(&self.error.what))
    }
}

/// The reason why nobody is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ignored {
    /// `when` does not hold.
    ConditionFalse,
    /// Retained: state, not an event (promise P6).
    Retained,
    /// The payload is not what the rule reads.
    Undecodable(EvaluationError),
    /// A condition could not be judged on this payload, and nothing follows from it.
    ConditionFailed(EvaluationFailure),
    TooLarge(usize),
    /// The process died twice while it was read.
    SetAside,
    /// The rule's alerts have a life, and the event did that to one.
    Life(&'static str),
}

impl Ignored {
    /// The word in tables, in metrics and in `bellwire events`.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::ConditionFalse => "condition-false",
            Self::Retained => "retained",
            Self::Undecodable(_) => "undecodable",
            Self::ConditionFailed(_) => "condition-failed",
            Self::TooLarge(_) => "too-large",
            Self::SetAside => "set-aside",
            Self::Life(word) => word,
        }
    }

    /// The flaw because of which nothing follows.
    #[must_use]
    pub fn flaw(&self) -> Option<&EvaluationFailure> {
        if let Self::ConditionFailed(flaw) = self { Some(flaw) } else { None }
    }

    /// The sentence that all events that fail alike have in common.
    #[must_use]
    pub fn kind(&self) -> Option<String> {
        match self {
            // What is set aside is told in its own way.
            Self::ConditionFalse | Self::Retained | Self::SetAside | Self::Life(_) => None,
            Self::Undecodable(error) => Some(format!("the payload could not be read: {}", error.kind)),
            Self::ConditionFailed(flaw) => Some(flaw.kind()),
            Self::TooLarge(_) => Some(format!("the payload has more than {PAYLOAD_LIMIT_BYTES} bytes")),
        }
    }

    /// A sentence for whoever looks; `None` where the word says it all.
    #[must_use]
    pub fn reason(&self) -> Option<String> {
        match self {
            Self::ConditionFalse | Self::Retained | Self::Life(_) => None,
            Self::Undecodable(error) => Some(format!("the payload could not be read: {error}")),
            Self::ConditionFailed(flaw) => Some(flaw.to_string()),
            Self::SetAside => Some(
                "the program died twice while it read this event, so it is set aside; put the device or the rule right and \
                 restart bellwire"
                    .to_owned(),
            ),
            Self::TooLarge(bytes) => Some(format!(
                "the payload has {bytes} bytes, more than the {PAYLOAD_LIMIT_BYTES} that are read; send less, or a link"
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_ignored_event_has_a_word_and_maybe_a_reason() {
        for (ignored, word, reason) in [
            (Ignored::ConditionFalse, "condition-false", None),
            (Ignored::Retained, "retained", None),
            (Ignored::Life("pending"), "pending", None),
            (
                Ignored::Undecodable(EvaluationError::of("x")),
                "undecodable",
                Some("the payload could not be read: x"),
            ),
            (
                Ignored::ConditionFailed(EvaluationFailure::new(RulePart::When, EvaluationError::of("x"))),
                "condition-failed",
                Some("`when` could not be judged: x"),
            ),
        ] {
            assert_eq!((ignored.as_str(), ignored.reason().as_deref()), (word, reason));
        }
        assert!(Ignored::TooLarge(70_000).reason().is_some_and(|why| why.contains("70000 bytes")));
    }
}
