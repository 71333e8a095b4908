//! What pages and API show of one message, alert, device, person, number or rule, and on the first page.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use crate::command::command_state::CommandState;
use crate::outbox::message_state::{OnUnknown, State};
use crate::store::home_assistant::Mute;
use crate::store::undelivered::Untold;
use crate::store::unjudged::{Example, UnjudgedLately};
use crate::store::views::json::{OneRow, Rows, row};
use crate::store::views::listed::{Alert, AlertState, Message, Outgoing, Rank};
use crate::store::views::lists::Direction;
use crate::time::Timestamp;

row! {
    /// A message of ours with its event, attempts, receipts, and what was done with its buttons.
    Story {
        id: i64 = "m.id",
        at: Timestamp = "m.created_at",
        contact: String = "m.contact",
        /// The number that it goes out over.
        connection: String = "m.connection",
        state: State = "m.state",
        /// Why it is there, as a sentence.
        reason: String = "m.reason",
        severity: Rank = "m.severity",
        changed_at: Timestamp = "m.changed_at",
        attempts: i64 = "m.attempts",
        /// It may have arrived twice: an answer of Meta's was lost.
        possible_duplicate: bool = "m.possible_duplicate" "?",
        /// Meta's error code of the last refusal.
        code: Option<i64> = "m.code",
        fbtrace_id: Option<String> = "m.fbtrace_id",
        /// Of the last request: `free`, or `template NAME LANGUAGE`.
        form: Option<String> = "m.form",
        /// What a held message waits for: window, consent, budget, quality, operator.
        held_for: Option<String> = "m.held_for",
        alert: Option<i64> = "m.alert",
        /// The message that carries this one.
        digest: Option<i64> = "m.digest",
        expires_at: Timestamp = "m.expires_at",
        /// Milliseconds since 1970; 0: at once.
        not_before: i64 = "m.not_before",
        /// What happens when an answer of Meta's is lost.
        on_unknown: OnUnknown = "m.on_unknown",
        /// Its words, buttons, files and templates.
        content: BTreeMap<String, Value> = "m.content" ":json",
        rule: Option<String> = "a.rule",
        /// What went wrong with the alert though it was sent.
        flaw: Option<String> = "a.flaw",
        /// The topic's named levels.
        bindings: Option<BTreeMap<String, Value>> = "a.bindings" ":json",
        topic: Option<String> = "e.topic",
        source: Option<String> = "e.source",
        received_at: Option<Timestamp> = "e.received_at",
        /// The event's, its first 4,096 characters.
        payload: Option<String> = "substr(CAST(e.payload AS TEXT), 1, 4096)",
        payload_bytes: Option<i64> = "e.payload_bytes",
    } plus {
        #[cfg_attr(test, schemars(extend("const" = "out")))]
        direction: Direction,
        /// Its ids at Meta, one for each time that it was accepted.
        wamids: Vec<String>,
        history: Vec<Attempt>,
        receipts: Vec<Receipt>,
    }
}

row! {
    /// A request to Meta.
    Attempt {
        number: i64,
        started_at: Timestamp,
        /// `free`, or `template NAME LANGUAGE`.
        form: String,
        /// null: the answer never came to us.
        ended_at: Option<Timestamp>,
        outcome: Option<String>,
        http_status: Option<i64>,
        code: Option<i64>,
        fbtrace_id: Option<String>,
    }
}

row! {
    /// What WhatsApp told of a message.
    Receipt {
        /// sent, delivered, read, played, failed
        status: String,
        at: Timestamp,
        reason: Option<String>,
    }
}

row! {
    /// An alert with its event, its messages and the commands that it led to.
    AlertStory {
        id: i64 = "a.id",
        rule: String = "a.rule",
        severity: Rank = "a.severity",
        /// The topic's named levels.
        bindings: BTreeMap<String, Value> = "a.bindings" ":json",
        /// What went wrong though it was sent.
        flaw: Option<String> = "a.flaw",
        raised_at: Timestamp = "a.raised_at",
        /// null: of a rule that tells each event.
        state: Option<AlertState> = "a.state",
        /// What tells one alert of the rule from another.
        key: Option<String> = "a.key",
        /// How it ended, or who takes care, as a sentence.
        reason: Option<String> = "a.reason",
        changed_at: Option<Timestamp> = "a.changed_at",
        /// When the owner was told that nobody got it.
        undelivered_told_at: Option<Timestamp> = "a.undelivered_told",
        /// Of its event; null: the clock alone raised it.
        topic: Option<String> = "e.topic",
        source: Option<String> = "e.source",
        received_at: Option<Timestamp> = "e.received_at",
        /// The event's, its first 4,096 characters.
        payload: Option<String> = "substr(CAST(e.payload AS TEXT), 1, 4096)",
        payload_bytes: Option<i64> = "e.payload_bytes",
    } plus {
        messages: Vec<Outgoing>,
        /// What was decided about it and why, from an hour before it fired to its end.
        records: Vec<AlertRecord>,
        commands: Vec<AlertCommand>,
    }
}

row! {
    AlertRecord {
        at: Timestamp,
        what: String,
    }
}

row! {
    AlertCommand {
        id: i64 = "c.id",
        contact: String = "c.contact",
        action: String = "c.action",
        topic: String = "c.topic",
        payload: String = "c.payload",
        requested_at: Timestamp = "c.requested_at",
        state: CommandState = "c.state",
        changed_at: Timestamp = "c.changed_at",
        reason: Option<String> = "c.reason",
        /// What the person wrote.
        words: Option<String> = "r.text",
    }
}

row! {
    /// It speaks docs/device-protocol.md.
    Device {
        id: String,
        /// How often it started, as it says.
        boot: i64,
        events: i64,
        /// `mqtt`, or the path of a serial port.
        link: String,
        firmware: String,
        /// Names of those that it knows.
        commands: Vec<String> = "commands" ":json",
        /// Events that it kept when it last said so.
        queued: i64,
        /// Events that it could not take since its start.
        refused: i64,
        silent: bool = "silent" "?",
        /// To ten minutes.
        seen_at: Timestamp,
        /// Two devices have this name; when both were heard last.
        clash_at: Option<Timestamp>,
    }
}

row! {
    /// A command to a device.
    Order {
        id: i64,
        contact: String,
        topic: String,
        payload: String,
        requested_at: Timestamp,
        state: CommandState,
        changed_at: Timestamp,
        reason: Option<String>,
    }
}

row! {
    Consent {
        at: Timestamp,
        given: bool = "given" "?",
        /// Where that is seen.
        source: String,
    }
}

row! {
    /// They wrote within 24 hours: free text arrives until then.
    Window {
        connection: String,
        until_at: Timestamp = "until",
    }
}

row! {
    /// What Meta told of a number.
    Fact {
        name: String,
        value: String,
        at: Timestamp,
    }
}

row! {
    MessageTemplate {
        name: String,
        language: String,
        /// APPROVED, PAUSED, …
        status: String,
        category: String,
        parameters: i64,
    }
}

row! {
    /// What Meta told of an account, a number or a template.
    Notice {
        at: Timestamp,
        severity: Rank,
        text: String,
    }
}

row! {
    /// The same, on the first page.
    NoticeOf {
        at: Timestamp,
        connection: String,
        severity: Rank,
        text: String,
    }
}

row! {
    LastAttempt {
        started_at: Timestamp = "at.started_at",
        outcome: Option<String> = "at.outcome",
        http_status: Option<i64> = "at.http_status",
        code: Option<i64> = "at.code",
    }
}

row! {
    /// Events of a rule, by what became of them.
    Tally {
        outcome: String,
        count: i64,
        last_at: Timestamp,
        last_topic: String,
        last_reason: Option<String>,
    }
}

/// What waits, the last 24 hours, what Meta told.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Overview {
    /// How many messages wait, by state.
    pub waiting: BTreeMap<String, i64>,
    pub oldest_waiting_at: Option<Timestamp>,
    /// Messages of the last 24 hours, by state.
    pub day: BTreeMap<String, i64>,
    /// Each of the last 24, the oldest first.
    pub hours: Vec<Hour>,
    /// The newest five of the last day.
    pub alerts: Rows<Alert>,
    /// Those that go on, six at most.
    pub going_on: Rows<Alert>,
    /// Alerts of the last day that nobody got and nobody takes care of
    pub undelivered: Rows<Untold>,
    /// Events of the last day that a rule could not judge, by rule and reason
    pub unjudged: Rows<UnjudgedLately>,
    /// Silences over everything that hold now.
    pub mutes: Vec<Mute>,
    /// No alert is kept
    pub is_empty: bool,
    /// What people wrote in the last 24 hours.
    pub replies: i64,
    pub notices: Rows<NoticeOf>,
}

/// Alerts in an hour, by severity.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Hour {
    pub at: Timestamp,
    pub info: i64,
    pub warning: i64,
    pub critical: i64,
}

/// What is known of a contact beyond the configuration.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ContactFacts {
    /// Wrote STOP, and gets nothing.
    pub stopped: bool,
    /// Asked WhatsApp for no marketing messages of this business
    pub no_marketing: bool,
    /// WhatsApp says that the number changed hands: nothing acts for them until `bellwire contact accept`
    pub moved_at: Option<Timestamp>,
    pub consent: Rows<Consent>,
    pub windows: Rows<Window>,
    /// The newest message to or from them.
    pub last: Option<OneRow<Message>>,
}

/// What is known of a number beyond its configuration.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ConnectionFacts {
    pub facts: Rows<Fact>,
    /// When its templates were read.
    pub catalogue_read_at: Option<Timestamp>,
    pub templates: Rows<MessageTemplate>,
    pub notices: Rows<Notice>,
    /// Messages that wait for it.
    pub waiting: i64,
    /// When Meta's last webhook came, for any number.
    pub webhook_at: Option<Timestamp>,
    pub last_attempt: Option<OneRow<LastAttempt>>,
}

/// When the outside last reached us, and was reached.
pub struct WebhookFacts {
    pub webhook_at: Option<Timestamp>,
    pub receipts: bool,
    pub replies: bool,
}

/// What became of a rule's events.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct RuleHits {
    pub tallies: Rows<Tally>,
    pub last_alert: Option<OneRow<Alert>>,
    /// What it could not judge.
    pub unjudged: Rows<Example>,
}
