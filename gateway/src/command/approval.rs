//! A Yes or No to something that waits: whether it counts, and whether it is enough.

use std::collections::BTreeSet;

use crate::command::action::ResolvedAction;
use crate::ids::{ConnectionName, ContactId, Wamid};
use crate::time::Timestamp;
use crate::words::word_enum;

/// A command that waits for a Yes, as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    pub id: i64,
    /// The message that asked.
    pub reply: Wamid,
    pub connection: ConnectionName,
    pub action: ResolvedAction,
    pub pending: Pending,
}

/// What waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pending {
    pub asker: ContactId,
    /// Whoever asked is asked back.
    pub confirm: bool,
    /// How many must want it, the one who asks among them.
    pub approvals: u32,
    pub agreed: BTreeSet<ContactId>,
    pub is_open: bool,
    pub expires_at: Timestamp,
}

word_enum! {
    /// Where a request stands.
    RequestState {
        Open = "open",
        Done = "done",
        Declined = "declined",
        /// Nobody agreed in time, or the configuration has no place for it any more.
        Expired = "expired",
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ApprovalOutcome {
    /// It is done now.
    Done,
    /// Others are asked now.
    AskOthers,
    /// Not enough yet, and all are asked.
    Noted,
    Declined,
    /// It was decided before, or its time is over.
    TooLate,
    /// Somebody else has to say it.
    NotYours,
}

impl Pending {
    /// The state of a request when it is made.
    #[must_use]
    pub fn new(asker: ContactId, confirm: bool, approvals: u32, expires_at: Timestamp) -> Self {
        // Without a question back, asking is agreeing.
        let agreed = if confirm { BTreeSet::new() } else { BTreeSet::from([asker.clone()]) };
        Self { asker, confirm, approvals, agreed, is_open: true, expires_at }
    }

    pub fn vote(&mut self, who: &ContactId, yes: bool, now: Timestamp) -> ApprovalOutcome {
        if !self.is_open || self.expires_at <= now {
            return ApprovalOutcome::TooLate;
        }
        let is_asker = *who == self.asker;
        // Others decide only about what needs others, and only once the asker has confirmed.
        if !is_asker && (self.approvals <= 1 || !self.agreed.contains(&self.asker)) {
            return ApprovalOutcome::NotYours;
        }
        if !yes {
            self.is_open = false;
            return ApprovalOutcome::Declined;
        }
        if !self.agreed.insert(who.clone()) {
            return if is_asker { ApprovalOutcome::NotYours } else { ApprovalOutcome::Noted };
        }
        if u32::try_from(self.agreed.len()).unwrap_or(u32::MAX) >= self.approvals {
            self.is_open = false;
            return ApprovalOutcome::Done;
        }
        if is_asker { ApprovalOutcome::AskOthers } else { ApprovalOutcome::Noted }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn enough_different_people_must_want_it() {
        use ApprovalOutcome::{AskOthers, Declined, Done, NotYours, Noted, TooLate};
        let check = |confirm, approvals, votes: &[(&str, bool, ApprovalOutcome)]| {
            let mut pending = Pending::new("asker".into(), confirm, approvals, Timestamp(100));
            for (who, yes, expected) in votes {
                let verdict = pending.vote(&ContactId::from(*who), *yes, Timestamp(50));
                assert_eq!(verdict, *expected, "{confirm} {approvals} {votes:?}");
            }
        };
        check(true, 1, &[("asker", true, Done), ("asker", true, TooLate)]);
        check(true, 1, &[("asker", false, Declined), ("asker", true, TooLate)]);
        check(true, 1, &[("b", true, NotYours), ("b", false, NotYours), ("asker", true, Done)]);
        check(false, 2, &[("asker", true, NotYours), ("b", true, Done), ("c", true, TooLate)]);
        check(false, 3, &[("b", true, Noted), ("b", true, Noted), ("c", true, Done)]);
        check(true, 2, &[("b", true, NotYours), ("asker", true, AskOthers), ("b", true, Done)]);
        check(true, 2, &[("asker", true, AskOthers), ("b", false, Declined), ("c", true, TooLate)]);
        let mut late = Pending::new("asker".into(), true, 1, Timestamp(100));
        assert_eq!(late.vote(&"asker".into(), true, Timestamp(100)), TooLate);
    }
}
