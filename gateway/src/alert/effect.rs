//! The effects that the engine wants done, each with its reason: the material of `bellwire why`.

use crate::alert::lifecycle::AlertKey;
use crate::alert::request::RequestAction;
use crate::alert::state_key::StateKey;
use crate::contact::Contact;
use crate::contact::severity::Severity;
use crate::event::topic::Bindings;
use crate::ids::ConnectionName;
use crate::outbox::message::Content;
use crate::outbox::message_state::OnUnknown;
use crate::rule::attachment::StoredFile;
use crate::time::Timestamp;
use crate::words::word_enum;

/// All effects of one moment are committed together with the event that caused them.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// An alert begins: a row of its own, to which its messages belong.
    Fired(Box<RaisedAlert>),
    /// It is acknowledged, or over.
    Moved {
        alert: AlertKey,
        episode: u32,
        state: &'static str,
        reason: String,
        at: Timestamp,
    },
    Record {
        alert: AlertKey,
        why: Why,
        what: String,
        at: Timestamp,
    },
    Send(Box<Notification>),
    /// Drawn for a message; kept until none shows it.
    Picture(Box<StoredFile>, Timestamp),
    /// A request with a tag takes the place of those before it; `told` is for whoever had one of them.
    Replaced {
        alert: AlertKey,
        tag: String,
        told: Vec<Notification>,
        at: Timestamp,
    },
    /// A last resort of an escalation.
    Publish {
        alert: AlertKey,
        topic: String,
        payload: String,
        at: Timestamp,
    },
    Post {
        alert: AlertKey,
        url: String,
        body: String,
        at: Timestamp,
    },
    Keep(Snapshot),
    Forget(StateKey),
}

impl Effect {
    /// The message, if it is one.
    #[must_use]
    pub fn notice(self) -> Option<Notification> {
        if let Self::Send(notice) = self { Some(*notice) } else { None }
    }

    /// Whether a silence has begun, changed or ended.
    #[must_use]
    pub fn is_about_silence(&self) -> bool {
        matches!(
            self,
            Self::Keep(Snapshot { slot: StateKey::Silence(_), .. }) | Self::Forget(StateKey::Silence(_))
        )
    }

    /// Whether it belongs to an alert that is over as soon as it is told. A repetition raises none.
    #[must_use]
    pub fn is_once(&self) -> bool {
        match self {
            Self::Fired(raised) => raised.episode.is_none(),
            Self::Send(notice) => notice.kind == NotificationKind::Once,
            Self::Replaced { .. } => true,
            Self::Moved { .. }
            | Self::Record { .. }
            | Self::Publish { .. }
            | Self::Post { .. }
            | Self::Picture(..)
            | Self::Keep(_)
            | Self::Forget(_) => false,
        }
    }

    /// Whether it is more than memory: then the event that caused it is kept, too.
    #[must_use]
    pub fn is_told(&self) -> bool {
        !matches!(self, Self::Keep(_) | Self::Forget(_))
    }
}

/// One time that an alert is raised.
#[derive(Debug, Clone, PartialEq)]
pub struct RaisedAlert {
    pub alert: AlertKey,
    /// `None`: its rule keeps no states, and it is over as soon as it is told.
    pub episode: Option<u32>,
    pub severity: Severity,
    pub bindings: Bindings,
    /// The message in the site's language. Where it is over at once its messages say it; here only if nobody gets one.
    pub content: Content,
    /// A fault on the way; the alert is told all the same.
    pub flaw: Option<String>,
    /// Sentences about people who are told later or not at all, with the reason.
    pub held: Vec<String>,
    /// The file that its messages carry, if it came with the event.
    pub file: Option<StoredFile>,
    /// Of a request: by what a later one replaces it, and what may be tapped.
    pub tag: Option<String>,
    pub actions: Vec<RequestAction>,
    pub at: Timestamp,
}

/// An alert that is over as soon as it is told, with what is said and to whom.
pub type ToldOnce<'a> = (&'a RaisedAlert, Vec<(&'a Content, Vec<&'a Contact>)>);

#[must_use]
pub fn told_once(effects: &[Effect]) -> Vec<ToldOnce<'_>> {
    let mut all: Vec<ToldOnce> = Vec::new();
    for effect in effects {
        if let Effect::Fired(raised) = effect
            && raised.episode.is_none()
        {
            all.push((raised, Vec::new()));
        } else if let (Effect::Send(notice), Some((_, messages))) = (effect, all.last_mut())
            && notice.kind == NotificationKind::Once
        {
            match messages.iter_mut().find(|(known, _)| **known == notice.content) {
                Some((_, people)) => people.push(&notice.to),
                None => messages.push((&notice.content, vec![&notice.to])),
            }
        }
    }
    all
}

/// A piece of the watch's memory.
#[derive(Debug, Clone, PartialEq)]
pub struct Snapshot {
    pub slot: StateKey,
    /// JSON.
    pub state: String,
}

/// A message to one person.
#[derive(Debug, Clone, PartialEq)]
pub struct Notification {
    /// The alert and episode whose buttons it carries; `None` for a summary of several, and where the rule keeps no states: then
    /// it is the alert that was raised last.
    pub alert: Option<(AlertKey, u32)>,
    pub kind: NotificationKind,
    pub to: Contact,
    pub content: Content,
    pub severity: Severity,
    pub connection: ConnectionName,
    pub on_unknown: OnUnknown,
    pub at: Timestamp,
    pub expires_at: Timestamp,
}

word_enum! {
    /// What a message about an alert says; the words are those in metrics.
    NotificationKind {
        /// An alert of a rule that keeps no states.
        Once = "once",
        Fired = "fired",
        Still = "still",
        Escalated = "escalated",
        Resolved = "resolved",
        Acknowledged = "acknowledged",
        Flapping = "flapping",
        Calm = "calm",
        /// What quiet hours held back.
        Summary = "summary",
    }
}

word_enum! {
    /// A decision, in one word.
    Why {
        Pending = "pending",
        Fired = "fired",
        Dropped = "dropped",
        Clearing = "clearing",
        Resolved = "resolved",
        Acknowledged = "acknowledged",
        Told = "told",
        Grouped = "grouped",
        Inhibited = "inhibited",
        Silenced = "silenced",
        Quiet = "quiet",
        Repeated = "repeated",
        Flapping = "flapping",
        Step = "step",
        Receipt = "receipt",
        Forgotten = "forgotten",
        Missed = "missed",
        Nobody = "nobody",
        /// An expression of its rule failed on the event.
        Flaw = "flaw",
    }
}

impl Why {
    /// Whether it says that somebody is told later, or not at all.
    #[must_use]
    pub fn holds(self) -> bool {
        matches!(
            self,
            Self::Inhibited
                | Self::Silenced
                | Self::Quiet
                | Self::Repeated
                | Self::Flapping
                | Self::Dropped
                | Self::Nobody
        )
    }
}

impl NotificationKind {
    /// Whether it asks somebody to act, and so carries the buttons.
    #[must_use]
    pub fn asks(self) -> bool {
        matches!(self, Self::Once | Self::Fired | Self::Still | Self::Escalated)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_decision_has_its_word_and_some_hold_back() {
        let all = [
            (Why::Pending, "pending", false),
            (Why::Fired, "fired", false),
            (Why::Dropped, "dropped", true),
            (Why::Clearing, "clearing", false),
            (Why::Resolved, "resolved", false),
            (Why::Acknowledged, "acknowledged", false),
            (Why::Told, "told", false),
            (Why::Grouped, "grouped", false),
            (Why::Inhibited, "inhibited", true),
            (Why::Silenced, "silenced", true),
            (Why::Quiet, "quiet", true),
            (Why::Repeated, "repeated", true),
            (Why::Flapping, "flapping", true),
            (Why::Step, "step", false),
            (Why::Receipt, "receipt", false),
            (Why::Forgotten, "forgotten", false),
            (Why::Missed, "missed", false),
            (Why::Nobody, "nobody", true),
            (Why::Flaw, "flaw", false),
        ];
        for (why, word, holds) in all {
            assert_eq!((why.as_str(), why.holds()), (word, holds));
        }
        let kinds = [
            NotificationKind::Once,
            NotificationKind::Fired,
            NotificationKind::Still,
            NotificationKind::Escalated,
            NotificationKind::Resolved,
        ]
        .map(|kind| (kind.as_str(), kind.asks()));
        assert_eq!(
            kinds,
            [("once", true), ("fired", true), ("still", true), ("escalated", true), ("resolved", false)]
        );
    }

    #[test]
    fn memory_effects_send_nothing_and_silences_are_recognised() {
        let kept = |slot| Effect::Keep(Snapshot { slot, state: String::new() });
        let record = Effect::Record {
            alert: AlertKey { rule: "r".into(), key: String::new() },
            why: Why::Told,
            what: String::new(),
            at: Timestamp(0),
        };
        for (effect, is_told, is_about_silence) in [
            (kept(StateKey::Silence(1)), false, true),
            (Effect::Forget(StateKey::Silence(1)), false, true),
            (kept(StateKey::Passed(0)), false, false),
            (record, true, false),
        ] {
            assert_eq!(
                (effect.is_told(), effect.is_about_silence()),
                (is_told, is_about_silence),
                "{effect:?}"
            );
            assert_eq!(effect.notice(), None);
        }
    }

    #[test]
    fn a_send_effect_has_its_notification() {
        let to = crate::alert::tests::site("").0.people.contacts[&"nino".into()].clone();
        let notice = Notification {
            alert: None,
            kind: NotificationKind::Summary,
            to,
            content: Content::text("x"),
            severity: Severity::Info,
            connection: ConnectionName("main".into()),
            on_unknown: OnUnknown::Retry,
            at: Timestamp(0),
            expires_at: Timestamp(0),
        };
        assert_eq!(Effect::Send(Box::new(notice.clone())).notice(), Some(notice));
    }
}
