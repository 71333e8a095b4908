//! What the engine knows of a key: nothing, that somebody began, or the answer.

use serde::{Deserialize, Serialize};

/// No hub waits longer for Meta than 30 s, and five more are for its turn: what began so long ago has no hub any more. Both ends are
/// told by the site, so that no clocks of two machines are compared.
pub const ENDED_AFTER: u64 = 35;

/// A row of the table of sends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sent {
    /// Whose row this is: a row that was stored while its acknowledgement was lost is known again by it.
    pub nonce: String,
    pub digest: String,
    /// How long the site had been asking when this began, in seconds: all that it asked before may have been lost on the way.
    #[serde(default)]
    pub waited: u64,
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
        Some(row) if waited >= row.waited.saturating_add(ENDED_AFTER) => Step::GiveUp,
        Some(_) => Step::Wait,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_stored_state_has_its_next_step() {
        let answer = Answer { status: 200, body: "{}".into(), is_unknown: false };
        let begun = Sent { nonce: "theirs".into(), digest: "d".into(), waited: 0, answer: None };
        let late = Sent { waited: 31, ..begun.clone() };
        let done = Sent { answer: Some(answer.clone()), ..begun.clone() };
        for (row, digest, nonce, waited, expected) in [
            (None, "d", "ours", 0, Step::Begin),
            (Some(&begun), "d", "ours", 0, Step::Wait),
            (Some(&begun), "d", "ours", 34, Step::Wait),
            (Some(&begun), "d", "ours", 35, Step::GiveUp),
            (Some(&late), "d", "ours", 65, Step::Wait),
            (Some(&late), "d", "ours", 66, Step::GiveUp),
            (Some(&begun), "d", "theirs", 0, Step::GoOn),
            (Some(&begun), "e", "ours", 99, Step::AnotherMessage),
            (Some(&done), "d", "ours", 99, Step::Tell(answer)),
            (Some(&done), "e", "ours", 0, Step::AnotherMessage),
        ] {
            assert_eq!(step(row, digest, nonce, waited), expected, "{row:?} {digest} {nonce} {waited}");
        }
    }
    /// Hubs of two versions run beside each other during an upgrade.
    #[test]
    fn rows_of_older_and_newer_hubs_are_read() {
        let older: Sent =
            serde_json::from_str(r#"{"nonce":"n","digest":"d","answer":null}"#).expect("the first version's");
        assert_eq!((older.waited, older.answer), (0, None));
        let newer = r#"{"nonce":"n","digest":"d","waited":3,"by":"9.9","answer":{"status":200,"body":"{}","cost":1}}"#;
        let newer: Sent = serde_json::from_str(newer).expect("a later one's");
        assert!(newer.answer.is_some_and(|answer| !answer.is_unknown));
    }
}
