//! A device's commands: each handed to the application at most once, and its result said as often as it is asked for.
//!
//! A command's repetition is the question for its result. The gateway sends one command at a time, so one place is enough.

use heapless::{String, Vec};

use crate::event::TEXT_MAX_BYTES;
use crate::message::{Command, Outcome, TO_DEVICE_MAX_BYTES};

#[derive(Debug, Default)]
pub(crate) struct Orders {
    /// The highest command that this start has seen; ids grow, so all up to here came before.
    last: u64,
    state: State,
    message: Vec<u8, TO_DEVICE_MAX_BYTES>,
    detail: String<TEXT_MAX_BYTES>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum State {
    #[default]
    Idle,
    /// Not yet handed to the application.
    Waiting {
        expires_at_ms: u64,
    },
    /// The application acts on it.
    Acting,
    Answered {
        outcome: Outcome,
        say: bool,
    },
}

/// What a command turned out to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    New,
    Again,
    Expired,
}

impl Orders {
    /// `message` is what `command` was read from.
    pub(crate) fn receive(&mut self, command: &Command<'_>, message: &[u8], latest_ms: u64) -> Order {
        if command.id <= self.last {
            if command.id == self.last {
                self.say_again();
            }
            return Order::Again;
        }
        self.last = command.id;
        self.detail.clear();
        self.message.clear();
        if command.expires_at_ms <= latest_ms || self.message.extend_from_slice(message).is_err() {
            self.state = State::Answered { outcome: Outcome::Expired, say: true };
            return Order::Expired;
        }
        self.state = State::Waiting { expires_at_ms: command.expires_at_ms };
        Order::New
    }

    fn say_again(&mut self) {
        if let State::Answered { say, .. } = &mut self.state {
            *say = true;
        }
    }

    /// Hands over the waiting command, once. `Err`: it expired while it waited.
    pub(crate) fn take(&mut self, latest_ms: u64) -> Result<Option<Command<'_>>, ()> {
        let State::Waiting { expires_at_ms } = self.state else { return Ok(None) };
        if expires_at_ms <= latest_ms {
            self.state = State::Answered { outcome: Outcome::Expired, say: true };
            return Err(());
        }
        self.state = State::Acting;
        Ok(Command::decode(&self.message).ok())
    }

    /// The application's answer. `false`: the command is not the one under way.
    pub(crate) fn answer(&mut self, id: u64, outcome: Outcome, detail: &str) -> bool {
        if id != self.last || self.state != State::Acting {
            return false;
        }
        self.detail.clear();
        for letter in detail.chars() {
            if self.detail.push(letter).is_err() {
                break; // a detail is for people: its start is better than nothing
            }
        }
        self.state = State::Answered { outcome, say: true };
        true
    }

    /// The result to be sent now, if there is one: command, outcome, detail.
    pub(crate) fn say(&mut self) -> Option<(u64, Outcome, &str)> {
        let State::Answered { outcome, say } = &mut self.state else { return None };
        core::mem::take(say).then_some((self.last, *outcome, self.detail.as_str()))
    }

    pub(crate) fn has_result(&self) -> bool {
        matches!(self.state, State::Answered { say: true, .. })
    }
}
