//! Which command is published now. A command counts as published at the broker's PUBACK, and not before; what was
//! under way when the connection ended is published again (docs/reliability.md E2: the MQTT library is not a queue).

use std::collections::BTreeMap;

use crate::command::command_state::CommandState;
use crate::ids::CommandId;
use crate::time::Timestamp;

/// Commands under way at once: the broker's usual receive maximum is 20 or more.
const IN_FLIGHT_MAX: usize = 16;

/// A command that waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PendingCommand {
    pub id: CommandId,
    pub topic: String,
    pub payload: String,
    pub retain: bool,
    pub expires_at: Timestamp,
    /// Who asked, as a pseudonym: never a phone number.
    pub issued_by: String,
    /// Of the machine's question that it decides; else its own id serves.
    pub correlation: Option<Vec<u8>>,
    /// Whether the device is to answer.
    pub answers: bool,
}

#[derive(Debug)]
pub enum DispatchInput {
    /// Something may have to be published: a commit, a timer, the start.
    Wake,
    Connected,
    Disconnected,
    /// The store's answer to `Load`, oldest first.
    Loaded(Vec<PendingCommand>),
    /// The link had no room for it.
    Busy(CommandId),
    /// The broker's answer.
    Published(CommandId, Result<(), String>),
    /// What was to be written about it is on disk.
    Committed(CommandId),
}

#[derive(Debug, PartialEq, Eq)]
pub enum DispatchEffect {
    Load {
        limit: usize,
    },
    /// Publish with QoS 1; answered with `Published`, or by `Disconnected`.
    Publish(PendingCommand),
    Commit(CommandUpdate),
    WakeAt(Timestamp),
}

/// What the store is asked to write about a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CommandUpdate {
    /// The broker has it.
    Published { id: CommandId, at: Timestamp },
    /// The broker said no; the reason is its own.
    Refused { id: CommandId, at: Timestamp, reason: String },
    /// Too late: it is never published after its time (promise P5).
    Expired { id: CommandId, at: Timestamp },
}

impl CommandUpdate {
    #[must_use]
    pub fn state(&self) -> CommandState {
        match self {
            Self::Published { .. } => CommandState::Published,
            Self::Refused { .. } => CommandState::Refused,
            Self::Expired { .. } => CommandState::Expired,
        }
    }

    /// For the log.
    #[must_use]
    pub fn in_words(&self) -> String {
        match self {
            Self::Published { .. } => "published: the broker has it".to_owned(),
            Self::Refused { reason, .. } => format!("refused by the broker: {reason}"),
            Self::Expired { .. } => "expired: its time was over before it could be published".to_owned(),
        }
    }
}

#[derive(Debug, Default)]
pub struct Dispatch {
    connected: bool,
    in_flight: BTreeMap<CommandId, Stage>,
}

/// A command is not loaded again between the broker's answer and its commit: it would go out twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    AtBroker,
    Committing,
}

impl Dispatch {
    pub fn handle(&mut self, input: DispatchInput, now: Timestamp) -> Vec<DispatchEffect> {
        match input {
            DispatchInput::Connected => {
                self.connected = true;
                self.forget_unanswered();
                self.load()
            }
            DispatchInput::Disconnected => {
                self.connected = false;
                self.forget_unanswered();
                self.load() // they wait now, and some may expire while they do
            }
            DispatchInput::Wake => self.load(),
            DispatchInput::Loaded(commands) => self.start(commands, now),
            DispatchInput::Busy(id) => {
                self.in_flight.remove(&id);
                Vec::new() // the next PUBACK or connection wakes us
            }
            DispatchInput::Published(id, result) => {
                // The answer may be told after the connection's end: it is as good, and ends the command all the same.
                if self.in_flight.insert(id, Stage::Committing) == Some(Stage::Committing) {
                    return Vec::new(); // answered before
                }
                vec![DispatchEffect::Commit(match result {
                    Ok(()) => CommandUpdate::Published { id, at: now },
                    Err(reason) => CommandUpdate::Refused { id, at: now, reason },
                })]
            }
            DispatchInput::Committed(id) => {
                self.in_flight.remove(&id);
                self.load()
            }
        }
    }

    fn forget_unanswered(&mut self) {
        self.in_flight.retain(|_, stage| *stage == Stage::Committing);
    }

    /// Expired commands are loaded without a broker too: their end is recorded when it comes.
    fn load(&self) -> Vec<DispatchEffect> {
        vec![DispatchEffect::Load { limit: IN_FLIGHT_MAX }]
    }

    fn start(&mut self, commands: Vec<PendingCommand>, now: Timestamp) -> Vec<DispatchEffect> {
        let mut effects = Vec::new();
        let mut next_expiry: Option<Timestamp> = None;
        for command in commands {
            if self.in_flight.contains_key(&command.id) {
                continue;
            }
            if command.expires_at <= now {
                self.in_flight.insert(command.id, Stage::Committing);
                effects.push(DispatchEffect::Commit(CommandUpdate::Expired { id: command.id, at: now }));
            } else if self.connected && self.in_flight.len() < IN_FLIGHT_MAX {
                self.in_flight.insert(command.id, Stage::AtBroker);
                effects.push(DispatchEffect::Publish(command));
            } else {
                next_expiry = next_expiry.into_iter().chain([command.expires_at]).min();
            }
        }
        effects.extend(next_expiry.map(DispatchEffect::WakeAt));
        effects
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_000);

    fn waiting(id: i64, expires_at: i64) -> PendingCommand {
        PendingCommand {
            id: CommandId(id),
            topic: "t".into(),
            payload: "p".into(),
            retain: false,
            expires_at: Timestamp(expires_at),
            issued_by: "nino".into(),
            correlation: None,
            answers: false,
        }
    }

    fn connected() -> Dispatch {
        let mut dispatch = Dispatch::default();
        assert_eq!(dispatch.handle(DispatchInput::Connected, NOW), [DispatchEffect::Load { limit: 16 }]);
        dispatch
    }

    #[test]
    fn a_command_is_published_and_ends_with_the_brokers_answer() {
        let mut dispatch = connected();
        let one = || DispatchInput::Loaded(vec![waiting(1, 2_000)]);
        assert_eq!(dispatch.handle(one(), NOW), [DispatchEffect::Publish(waiting(1, 2_000))]);
        assert_eq!(dispatch.handle(one(), NOW), [], "it is under way");
        let commit =
            DispatchEffect::Commit(CommandUpdate::Published { id: CommandId(1), at: Timestamp(1_500) });
        assert_eq!(
            dispatch.handle(DispatchInput::Published(CommandId(1), Ok(())), Timestamp(1_500)),
            [commit]
        );
        assert_eq!(
            dispatch.handle(DispatchInput::Published(CommandId(1), Ok(())), NOW),
            [],
            "answered before"
        );
        assert_eq!(dispatch.handle(one(), NOW), [], "its end is being written");
        assert_eq!(
            dispatch.handle(DispatchInput::Committed(CommandId(1)), NOW),
            [DispatchEffect::Load { limit: 16 }]
        );
        assert_eq!(dispatch.handle(one(), NOW).len(), 1);
        let refused = CommandUpdate::Refused { id: CommandId(1), at: NOW, reason: "no".into() };
        let answer = DispatchInput::Published(CommandId(1), Err("no".into()));
        assert_eq!(dispatch.handle(answer, NOW), [DispatchEffect::Commit(refused)]);
    }

    #[test]
    fn a_line_that_ends_takes_back_what_was_not_answered() {
        let mut dispatch = connected();
        dispatch.handle(DispatchInput::Loaded(vec![waiting(1, 2_000), waiting(2, 2_000)]), NOW);
        dispatch.handle(DispatchInput::Published(CommandId(2), Ok(())), NOW);
        assert_eq!(dispatch.handle(DispatchInput::Disconnected, NOW), [DispatchEffect::Load { limit: 16 }]);
        let again = || DispatchInput::Loaded(vec![waiting(1, 2_000), waiting(2, 2_000)]);
        assert_eq!(
            dispatch.handle(again(), NOW),
            [DispatchEffect::WakeAt(Timestamp(2_000))],
            "no line, no publish"
        );
        dispatch.handle(DispatchInput::Connected, NOW);
        assert_eq!(dispatch.handle(again(), NOW), [DispatchEffect::Publish(waiting(1, 2_000))]);
    }

    #[test]
    fn a_link_without_room_is_asked_again() {
        let mut dispatch = connected();
        dispatch.handle(DispatchInput::Loaded(vec![waiting(1, 2_000)]), NOW);
        assert_eq!(dispatch.handle(DispatchInput::Busy(CommandId(1)), NOW), []);
        assert_eq!(dispatch.handle(DispatchInput::Wake, NOW), [DispatchEffect::Load { limit: 16 }]);
        assert_eq!(dispatch.handle(DispatchInput::Loaded(vec![waiting(1, 2_000)]), NOW).len(), 1);
    }

    #[test]
    fn what_is_too_late_expires_with_a_broker_or_without() {
        let expired = DispatchEffect::Commit(CommandUpdate::Expired { id: CommandId(1), at: NOW });
        for mut dispatch in [connected(), Dispatch::default()] {
            let commands = vec![waiting(1, 1_000), waiting(2, 1_001)];
            let effects = dispatch.handle(DispatchInput::Loaded(commands), NOW);
            assert_eq!(effects[0], expired);
            assert_eq!(
                dispatch.handle(DispatchInput::Loaded(vec![waiting(1, 1_000)]), NOW),
                [],
                "being written"
            );
        }
        let mut alone = Dispatch::default();
        let commands = vec![waiting(1, 3_000), waiting(2, 2_000), waiting(3, 4_000)];
        assert_eq!(
            alone.handle(DispatchInput::Loaded(commands), NOW),
            [DispatchEffect::WakeAt(Timestamp(2_000))]
        );
    }

    #[test]
    fn sixteen_are_under_way_at_once() {
        let mut dispatch = connected();
        let commands = (0..20).map(|id| waiting(id, 2_000 + id)).collect();
        let effects = dispatch.handle(DispatchInput::Loaded(commands), NOW);
        let published = effects.iter().filter(|effect| matches!(effect, DispatchEffect::Publish(_))).count();
        assert_eq!((published, effects.last()), (16, Some(&DispatchEffect::WakeAt(Timestamp(2_016)))));
    }
}
