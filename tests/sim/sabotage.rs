//! Gateways that break the rules on purpose, one rule each: the checks must notice. The loops are the daemon's; what breaks a
//! rule is the machine, the store's thread, a port, or a hand in the database.

use std::path::Path;

use rusqlite::{Connection, params};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sabotage {
    AcknowledgeBeforeCommit,
    PostBeforeCommit,
    ForgetRecovery,
    StatusBackwards,
    AnswerWebhookBeforeCommit,
    ForgetCommandExpiry,
    ForgetPuback,
    ForgetDuplicateMark,
    ForgetMemory,
    LoseMessage,
    TakeRetained,
    AcceptWithoutRoom,
    ForgetChecksum,
    DropCallback,
    ForgetMessageExpiry,
    SynchronousNormal,
    LyingCard,
    SkipQuestion,
    InventYes,
    SkipSignature,
    /// A device's answer is acknowledged, and nobody reads it.
    SkipAnswer,
    /// Who hears nothing of a device is told that all is done.
    InventAnswer,
    /// The same end is told twice.
    TellTwice,
    /// A start forgets that the number is restricted.
    ForgetRestriction,
    /// What was held at a STOP leaves all the same.
    IgnoreStop,
    /// What waits for one person leaves one by one, in no digest.
    OneByOne,
    /// Everything leaves over the first number.
    OneNumber,
    /// What closes one number closes all.
    OneGate,
    /// What must not come twice is sent again all the same.
    ForgetHold,
    /// What an operator holds leaves all the same.
    IgnoreOperator,
    /// A tap under one alert reaches the device of another.
    WrongDevice,
    /// A clock that is set back wakes nobody.
    ForgetClock,
    /// A webhook is taken for an hour younger than it is.
    ForgetAge,
    /// A start compares nothing with the configuration.
    SkipEnds,
    /// What waited for somebody who is gone goes on waiting.
    KeepMessages,
    /// What was about to fire is about to fire for ever.
    KeepPending,
    /// An alert ends with its rule, and whoever heard of it does not hear so.
    EndInSilence,
    /// What waits goes to the number that a person had.
    OldPhone,
    /// A hub asks Meta before it has written down that it does.
    AskBeforeBegun,
    /// A hub answers Meta's webhook before it is kept.
    HubAnswersBeforeItKeeps,
    /// A hub takes what another is at for ended.
    GiveUpWhatIsUnderWay,
    /// The site writes down how far it has fetched before it has what it fetched.
    PlaceBeforeWebhooks,
}

impl Sabotage {
    /// Each, with what the simulation must say of it.
    pub const ALL: [(Self, &str); 42] = [
        (Self::AcknowledgeBeforeCommit, "P1"),
        (Self::LoseMessage, "P2"),
        (Self::ForgetRecovery, "P2"),
        (Self::DropCallback, "P2"),
        (Self::ForgetMemory, ""),
        (Self::ForgetChecksum, "P2"),
        (Self::PostBeforeCommit, "P3"),
        (Self::AnswerWebhookBeforeCommit, "P4"),
        (Self::ForgetCommandExpiry, "P5"),
        (Self::ForgetPuback, "P5"),
        (Self::TakeRetained, "P6"),
        (Self::AcceptWithoutRoom, "P1"), // P7 is P1 and P4 where there is no room
        (Self::ForgetDuplicateMark, "P8"),
        (Self::StatusBackwards, "lattice"),
        (Self::ForgetMessageExpiry, "P9"),
        (Self::SynchronousNormal, "P1"),
        (Self::LyingCard, "P1"),
        (Self::SkipQuestion, "P1"),
        (Self::InventYes, "asked"),
        (Self::SkipSignature, "P4"),
        (Self::SkipAnswer, "P1"),
        (Self::InventAnswer, "answers"),
        (Self::TellTwice, "answers"),
        (Self::ForgetRestriction, "restricted"),
        (Self::IgnoreStop, "consent"),
        (Self::OneByOne, "late"),
        (Self::OneNumber, "numbers"),
        (Self::OneGate, "late"),
        (Self::ForgetHold, "P8"),
        (Self::IgnoreOperator, "lattice"),
        (Self::WrongDevice, "P5"),
        (Self::ForgetClock, "late"),
        (Self::ForgetAge, "P4"),
        (Self::SkipEnds, "changed"),
        (Self::KeepMessages, "changed"),
        (Self::KeepPending, "changed"),
        (Self::EndInSilence, "changed"),
        (Self::OldPhone, "changed"),
        (Self::AskBeforeBegun, "hub"),
        (Self::HubAnswersBeforeItKeeps, "hub"),
        (Self::GiveUpWhatIsUnderWay, "hub"),
        (Self::PlaceBeforeWebhooks, "hub"),
    ];
}

/// A hand in the database, after each commit.
pub(crate) fn damage(directory: &Path, sabotage: Option<Sabotage>) {
    let statement = match sabotage {
        Some(Sabotage::StatusBackwards) => "UPDATE message SET state = 'sent' WHERE state = 'read'",
        Some(Sabotage::ForgetDuplicateMark) => "UPDATE message SET possible_duplicate = 0",
        Some(Sabotage::InventYes) => {
            "UPDATE request SET agreed = json_array('nino', 'giorgi', 'lali') WHERE state = 'open'"
        }
        Some(Sabotage::IgnoreStop) => {
            "UPDATE message SET state = 'queued', held_for = NULL WHERE held_for = 'consent'"
        }
        Some(Sabotage::ForgetHold) => "UPDATE message SET on_unknown = 'retry' WHERE on_unknown = 'hold'",
        Some(Sabotage::IgnoreOperator) => {
            "UPDATE message SET state = 'queued', held_for = NULL WHERE held_for = 'operator'"
        }
        Some(Sabotage::InventAnswer) => "UPDATE command SET state = 'done' WHERE state = 'silent'",
        Some(Sabotage::TellTwice) => {
            "CREATE TEMP TABLE twice AS SELECT * FROM message m WHERE substr(content ->> '$.text', 1, 1) IN ('✅', '❌')
                 AND 1 = (SELECT count(*) FROM message o WHERE o.content = m.content) LIMIT 1;
             UPDATE twice SET id = (SELECT max(id) + 1 FROM message);
             INSERT INTO message SELECT * FROM twice"
        }
        Some(Sabotage::OneByOne) => "UPDATE message SET mergeable = 0 WHERE mergeable = 1 AND state = 'queued'",
        Some(Sabotage::ForgetPuback) => "UPDATE command SET state = 'queued' WHERE state = 'published'",
        Some(Sabotage::LoseMessage) => {
            "PRAGMA foreign_keys = OFF; DELETE FROM message WHERE state = 'read' AND id % 5 = 0"
        }
        Some(
            Sabotage::AcknowledgeBeforeCommit
            | Sabotage::PostBeforeCommit
            | Sabotage::ForgetRecovery
            | Sabotage::AnswerWebhookBeforeCommit
            | Sabotage::ForgetCommandExpiry
            | Sabotage::ForgetMemory
            | Sabotage::TakeRetained
            | Sabotage::AcceptWithoutRoom
            | Sabotage::ForgetChecksum
            | Sabotage::DropCallback
            | Sabotage::ForgetMessageExpiry
            | Sabotage::SynchronousNormal
            | Sabotage::LyingCard
            | Sabotage::SkipQuestion
            | Sabotage::SkipSignature
            | Sabotage::SkipAnswer
            | Sabotage::ForgetRestriction
            | Sabotage::OneNumber
            | Sabotage::OneGate
            | Sabotage::WrongDevice
            | Sabotage::ForgetClock
            | Sabotage::ForgetAge
            | Sabotage::SkipEnds
            | Sabotage::KeepMessages
            | Sabotage::KeepPending
            | Sabotage::EndInSilence
            | Sabotage::OldPhone
            | Sabotage::AskBeforeBegun
            | Sabotage::HubAnswersBeforeItKeeps
            | Sabotage::GiveUpWhatIsUnderWay
            | Sabotage::PlaceBeforeWebhooks,
        )
        | None => return,
    };
    let sql = Connection::open(directory.join("bellwire.db")).expect("the database");
    sql.execute_batch(statement).expect("damaged");
}

/// What a sabotage does to the ends that a start has given.
pub(crate) struct Undo {
    statement: &'static str,
    /// Memories as they were: key, state and checksum.
    pending: Vec<(String, String, Vec<u8>)>,
    /// Requests that were under way.
    sending: Vec<i64>,
}

impl Undo {
    pub(crate) fn prepare(directory: &Path, sabotage: Option<Sabotage>) -> Self {
        let statement = match sabotage {
            Some(Sabotage::ForgetMemory) => "DELETE FROM alert_memory",
            Some(Sabotage::KeepMessages) => {
                "UPDATE message SET state = 'queued', held_for = NULL WHERE state = 'cancelled' AND reason LIKE 'the person is not in%'"
            }
            Some(Sabotage::EndInSilence) => {
                "DELETE FROM message WHERE content ->> '$.text' LIKE '⏹%' AND attempts = 0"
            }
            _ => "",
        };
        let mut undo = Self { statement, pending: Vec::new(), sending: Vec::new() };
        if sabotage == Some(Sabotage::KeepPending) {
            let sql = Connection::open(directory.join("bellwire.db")).expect("the database");
            let pending = "SELECT key, state, checksum FROM alert_memory WHERE kind = 'alert' AND state ->> '$.phase.pending' IS NOT NULL";
            let mut rows = sql.prepare(pending).expect("a look");
            let rows = rows.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).expect("a look");
            undo.pending.extend(rows.map(|row| row.expect("a row")));
        }
        if sabotage == Some(Sabotage::ForgetRecovery) {
            let sql = Connection::open(directory.join("bellwire.db")).expect("the database");
            let mut rows = sql.prepare("SELECT id FROM message WHERE state = 'sending'").expect("a look");
            let rows = rows.query_map([], |row| row.get::<_, i64>(0)).expect("a look");
            undo.sending.extend(rows.map(|row| row.expect("a row")));
        }
        undo
    }

    pub(crate) fn perform(self, directory: &Path) {
        if self.statement.is_empty() && self.pending.is_empty() && self.sending.is_empty() {
            return;
        }
        let sql = Connection::open(directory.join("bellwire.db")).expect("the database");
        sql.execute_batch(self.statement).expect("damaged");
        for id in &self.sending {
            sql.execute("UPDATE message SET state = 'sending' WHERE id = ?1", [id]).expect("damaged");
        }
        for kept in &self.pending {
            let keep = "INSERT OR REPLACE INTO alert_memory VALUES ('alert', ?1, ?2, ?3)";
            sql.execute(keep, params![kept.0, kept.1, kept.2]).expect("damaged");
        }
    }
}
