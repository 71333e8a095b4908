//! What the engine knows of a key: nothing, that somebody began, or the answer.

use serde::{Deserialize, Serialize};

/// No hub waits longer for Meta than 30 s, and five more are for its turn: what began before that has no hub any more.
pub const ENDED_AFTER: u64 = 35;

/// A row of the table of sends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sent {
    /// Whose row this is: a row that was stored while its acknowledgement was lost is known again by it.
    pub nonce: String,
    pub digest: String,
    /// Missing: begun.
    pub answer: Option<Answer>,
}

/// What the site is told, now and whenever it asks again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    pub status: u16,
    pub body: String,
    /// Nobody can say whether it left.
    #[serde(default)]
    pub is_unknown: bool,
}

/// What to do about a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Nobody began: begin.
    Begin,
    /// It is ours: go on.
    GoOn,
    Tell(Answer),
    /// Somebody is at it.
    Wait,
    /// Whoever began has ended: write that down.
    GiveUp,
    /// The key was used for something else.
    AnotherMessage,
}

impl Answer {
    #[must_use]
    pub fn unknown(why: &str) -> Self {
        Self { status: 504, body: format!("{why}\n"), is_unknown: true }
    }
}

#[must_use]
pub fn step(row: Option<&Sent>, digest: &str, nonce: &str, waited: u64) -> Step {
    match row {
        None => Step::Begin,
        Some(row) if row.digest != digest => Step::AnotherMessage,
        Some(Sent { answer: Some(answer), .. }) => Step::Tell(answer.clone()),
        Some(row) if row.nonce == nonce => Step::GoOn,
        Some(_) if waited >= ENDED_AFTER => Step::GiveUp,
        Some(_) => Step::Wait,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_state_has_its_step() {
        let answer = Answer { status: 200, body: "{}".into(), is_unknown: false };
        let begun = Sent { nonce: "theirs".into(), digest: "d".into(), answer: None };
        let done = Sent { answer: Some(answer.clone()), ..begun.clone() };
        for (row, digest, nonce, waited, expected) in [
            (None, "d", "ours", 0, Step::Begin),
            (Some(&begun), "d", "ours", 0, Step::Wait),
            (Some(&begun), "d", "ours", 34, Step::Wait),
            (Some(&begun), "d", "ours", 35, Step::GiveUp),
            (Some(&begun), "d", "theirs", 0, Step::GoOn),
            (Some(&begun), "e", "ours", 99, Step::AnotherMessage),
            (Some(&done), "d", "ours", 99, Step::Tell(answer)),
            (Some(&done), "e", "ours", 0, Step::AnotherMessage),
        ] {
            assert_eq!(step(row, digest, nonce, waited), expected, "{row:?} {digest} {nonce} {waited}");
        }
    }
}
