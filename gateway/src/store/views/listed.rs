//! What lists of messages, alerts and commands show of each.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::command::command_state::CommandState;
use crate::outbox::message_state::State;
use crate::store::views::json::row;
use crate::store::views::lists::Direction;
use crate::time::Timestamp;
use crate::words::word_enum;

row! {
    /// A message to a person.
    Outgoing {
        #[cfg_attr(test, schemars(extend("const" = "out")))]
        direction: Direction = "'out'",
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
        rule: Option<String> = "a.rule",
        text: Option<String> = "json_extract(m.content, '$.text')",
        /// What may be tapped under it.
        buttons: Option<Vec<Value>> = "json_extract(m.content, '$.buttons')" ":json",
        delivered_at: Option<Timestamp> = "(SELECT min(at) FROM receipt WHERE message = m.id AND status = 'delivered')",
        read_at: Option<Timestamp> = "(SELECT min(at) FROM receipt WHERE message = m.id AND status IN ('read', 'played'))",
    }
}

row! {
    /// What a person wrote.
    Incoming {
        #[cfg_attr(test, schemars(extend("const" = "in")))]
        direction: Direction = "'in'",
        /// Its id at Meta.
        wamid: String = "r.wamid",
        at: Timestamp = "r.at",
        /// null: nobody of the configuration.
        contact: Option<String> = "r.contact",
        kind: String = "r.kind",
        text: String = "r.text",
        /// What became of it: command, nothing, …
        outcome: String = "r.outcome",
        reason: Option<String> = "r.reason",
        /// The command that it became.
        command: Option<i64> = "c.id",
        command_state: Option<CommandState> = "c.state",
        alert: Option<i64> = "c.alert",
    }
}

word_enum! {
    /// Where an alert with a life stands.
    AlertState {
        Firing = "firing",
        /// Somebody takes care.
        Acknowledged = "acknowledged",
        Resolved = "resolved",
    }
}

/// A severity: 0 info, 1 warning, 2 critical.
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(inline))]
pub struct Rank(#[cfg_attr(test, schemars(range(min = 0, max = 2)))] pub i64);

/// In either direction.
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(untagged))]
pub enum Message {
    Outgoing(Outgoing),
    Incoming(Incoming),
}

row! {
    Alert {
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
        /// Of its event; null: the clock alone raised it.
        topic: Option<String> = "e.topic",
        source: Option<String> = "e.source",
        text: Option<String> = "coalesce(a.text, (SELECT json_extract(content, '$.text') FROM message WHERE alert = a.id LIMIT 1))",
        /// How many are in each state.
        messages: BTreeMap<String, i64> = "(SELECT json_group_object(state, n) FROM
            (SELECT state, count(*) AS n FROM message WHERE alert = a.id GROUP BY state))" ":json",
        /// How many it led to.
        commands: i64 = "(SELECT count(*) FROM command WHERE alert = a.id)",
    }
}

row! {
    /// To a device.
    Command {
        id: i64 = "c.id",
        contact: String = "c.contact",
        /// null: asked for in words, without one.
        alert: Option<i64> = "c.alert",
        action: String = "c.action",
        topic: String = "c.topic",
        payload: String = "c.payload",
        requested_at: Timestamp = "c.requested_at",
        expires_at: Timestamp = "c.expires_at",
        state: CommandState = "c.state",
        changed_at: Timestamp = "c.changed_at",
        reason: Option<String> = "c.reason",
        /// What the person wrote.
        words: Option<String> = "r.text",
        rule: Option<String> = "a.rule",
    }
}
