//! The gateway's half, one [`Link`] a device: a state machine without input, output, clock or disk.
//!
//! *Commit, then acknowledge*: a [`Verdict`] or a [`Greeting`] says what to write to disk; only [`Link::committed`] gives
//! the message that may be sent then.

use crate::message::{Ack, CommandResult, Hello, Outcome, Welcome};
use crate::position::Position;

/// What the gateway keeps on disk about a device; the default for one that it does not know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Saved {
    /// The highest boot number that a device of this name said.
    pub boot: u32,
    /// Everything up to here is on disk.
    pub counted: Position,
}

/// A hello, understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Greeting {
    /// A commit of this device is under way, which the answer would depend on: the device says hello again.
    Wait,
    /// Nothing to write: send [`Link::welcome`].
    Known,
    /// Write this, call [`Link::greeted`], then send [`Link::welcome`].
    Save { saved: Saved, gap: Option<Gap> },
}

/// Events that the device was told to be on disk, and that are not: the gateway lost them, say by an old backup.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gap {
    pub after: Position,
    pub before: Position,
}

/// An event, judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Write the event and this in one transaction, then call [`Link::committed`], or [`Link::failed`].
    Take(Saved),
    /// It was counted before: send the acknowledgement again.
    Again(Ack),
    /// It is being committed.
    Wait,
    /// One before it is missing, or the device is not known: the acknowledgement says where to go on from.
    OutOfOrder(Ack),
}

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The device said so.
    Answered(Outcome),
    /// It expired before it was sent at all.
    ExpiredUnsent,
    /// It was sent, and nothing came back in time: it may have been acted on.
    NoAnswer,
    /// It was sent, and the device started anew: it may have been acted on, and is not sent again.
    Restarted,
}

/// A command under way, as it stands on disk before it is first sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnderWay {
    pub id: u64,
    /// The start of the device that may act on it.
    pub boot: u32,
    /// Milliseconds since 1970.
    pub expires_at_ms: u64,
}

/// Why a command cannot go now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotNow {
    /// The device has never said hello.
    Unknown,
    /// Another one is under way: one at a time.
    Busy,
    /// Its id is not above the last one's: the device would take it for a repetition.
    OutOfOrder,
}

/// What to do about the command under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Send it, for the first time or again; ask again at [`Link::wake_at`].
    Send(UnderWay),
    /// It ended: write that, then call [`Link::settled`].
    Ended(u64, End),
}

/// Between two sendings of one command, in milliseconds.
pub const COMMAND_AGAIN_MS: u64 = 2_000;
/// After its expiry a command is still sent for this long, since its repetition asks for the result; the device does not
/// act on it any more.
pub const ANSWER_GRACE_MS: u64 = 30_000;

#[derive(Debug, Clone, Default)]
pub struct Link {
    saved: Saved,
    /// Handed out to be committed; `saved.counted` or after it.
    taken: Position,
    /// What a hello led to is being written; events wait, since they would write beside it.
    greeting: bool,
    command: Stage,
    last_command: u64,
}

#[derive(Debug, Clone, Copy, Default)]
enum Stage {
    #[default]
    Idle,
    /// Not on disk yet, so it must not be sent.
    Recording(UnderWay),
    Sending {
        command: UnderWay,
        again_at_ms: u64,
        sent: bool,
    },
    /// How it ended is not on disk yet.
    Ended(u64, End),
}

impl Link {
    /// A device as it stands on disk. `under_way`: its command that was sent, or about to be, and has no end on disk;
    /// `last_command`: the highest id that was ever under way.
    #[must_use]
    pub fn new(saved: Saved, under_way: Option<UnderWay>, last_command: u64) -> Self {
        let command = match under_way {
            None => Stage::Idle,
            Some(command) if command.boot != saved.boot => Stage::Ended(command.id, End::Restarted),
            Some(command) => Stage::Sending { command, again_at_ms: 0, sent: true },
        };
        Self { saved, taken: saved.counted, greeting: false, command, last_command }
    }

    /// Judges a hello.
    pub fn hello(&mut self, hello: &Hello<'_>) -> Greeting {
        let boot = self.saved.boot.max(hello.boot);
        // An unknown boot number says nothing about positions either.
        let asks = hello.boot > 0 && hello.oldest > self.taken && !self.taken.precedes(hello.oldest);
        let counted = if asks { hello.oldest.before() } else { self.taken };
        let saved = Saved { boot, counted };
        if saved == self.saved {
            return Greeting::Known;
        }
        if self.greeting || self.taken != self.saved.counted {
            return if boot == self.saved.boot && !asks { Greeting::Known } else { Greeting::Wait };
        }
        self.greeting = true;
        let lost = asks && self.taken != Position::default();
        let gap = lost.then_some(Gap { after: self.taken, before: hello.oldest });
        Greeting::Save { saved, gap }
    }

    /// What the hello led to is on disk.
    pub fn greeted(&mut self, saved: Saved) {
        self.greeting = false;
        if saved.boot > self.saved.boot {
            self.started_anew(saved.boot);
        }
        self.saved.boot = self.saved.boot.max(saved.boot);
        if saved.counted > self.taken {
            self.saved.counted = saved.counted;
            self.taken = saved.counted;
        }
    }

    /// The answer to the hello with this token. `unix_ms`: the gateway's clock now; 0 if it is not to be trusted.
    #[must_use]
    pub fn welcome(&self, token: u32, unix_ms: u64) -> Welcome {
        Welcome { token, boot: self.saved.boot, counted: self.saved.counted, unix_ms }
    }

    /// Judges an event by its position.
    pub fn event(&mut self, at: Position) -> Verdict {
        if at <= self.saved.counted {
            Verdict::Again(self.ack())
        } else if at <= self.taken || self.greeting {
            Verdict::Wait
        } else if self.saved.boot > 0 && at.boot <= self.saved.boot && self.taken.precedes(at) {
            self.taken = at;
            Verdict::Take(Saved { counted: at, ..self.saved })
        } else {
            Verdict::OutOfOrder(self.ack())
        }
    }

    /// The event at `at`, and all that were taken before it, are on disk: send this.
    #[must_use = "the device repeats the event until it is acknowledged"]
    pub fn committed(&mut self, at: Position) -> Ack {
        self.saved.counted = self.saved.counted.max(at.min(self.taken));
        self.ack()
    }

    /// A commit failed: nothing counts that was to be written and is not; the device sends its part again.
    pub fn failed(&mut self) {
        self.taken = self.saved.counted;
        self.greeting = false;
        if matches!(self.command, Stage::Recording(_)) {
            self.command = Stage::Idle;
        }
    }

    /// Begins a command. Write it to disk as under way, then call [`recorded`](Self::recorded), or
    /// [`failed`](Self::failed).
    pub fn begin(&mut self, id: u64, expires_at_ms: u64) -> Result<UnderWay, NotNow> {
        if self.saved.boot == 0 {
            return Err(NotNow::Unknown);
        }
        match self.command {
            Stage::Recording(_) | Stage::Sending { .. } | Stage::Ended(..) => Err(NotNow::Busy),
            Stage::Idle if id <= self.last_command => Err(NotNow::OutOfOrder),
            Stage::Idle => {
                let command = UnderWay { id, boot: self.saved.boot, expires_at_ms };
                self.command = Stage::Recording(command);
                Ok(command)
            }
        }
    }

    /// The command stands on disk as under way: [`step`](Self::step) may send it now.
    pub fn recorded(&mut self, id: u64) {
        if let Stage::Recording(command) = self.command
            && command.id == id
        {
            self.command = Stage::Sending { command, again_at_ms: 0, sent: false };
            self.last_command = id;
            if command.boot != self.saved.boot {
                self.end(id, End::Restarted);
            }
        }
    }

    /// What to do about the command now, if anything.
    pub fn step(&mut self, unix_ms: u64) -> Option<Step> {
        let (command, again_at_ms, sent) = match self.command {
            Stage::Idle | Stage::Recording(_) => return None,
            Stage::Ended(id, end) => return Some(Step::Ended(id, end)),
            Stage::Sending { command, again_at_ms, sent } => (command, again_at_ms, sent),
        };
        let over = if sent {
            let patience = command.expires_at_ms.saturating_add(ANSWER_GRACE_MS);
            (unix_ms >= patience).then_some(End::NoAnswer)
        } else {
            (unix_ms >= command.expires_at_ms).then_some(End::ExpiredUnsent)
        };
        if let Some(end) = over {
            return Some(self.end(command.id, end));
        }
        if unix_ms < again_at_ms {
            return None;
        }
        let again_at_ms = unix_ms.saturating_add(COMMAND_AGAIN_MS);
        self.command = Stage::Sending { command, again_at_ms, sent: true };
        Some(Step::Send(command))
    }

    /// When [`step`](Self::step) has something; `None`: not before something else happens.
    #[must_use]
    pub fn wake_at(&self) -> Option<u64> {
        match self.command {
            Stage::Idle | Stage::Recording(_) => None,
            Stage::Sending { again_at_ms, .. } => Some(again_at_ms),
            Stage::Ended(..) => Some(0),
        }
    }

    /// A device's result; `None` if it is of no command under way, a repetition say.
    pub fn result(&mut self, result: &CommandResult<'_>) -> Option<Step> {
        match self.command {
            Stage::Sending { command, .. } if (command.id, command.boot) == (result.id, result.boot) => {
                Some(self.end(command.id, End::Answered(result.outcome)))
            }
            Stage::Idle | Stage::Recording(_) | Stage::Sending { .. } | Stage::Ended(..) => None,
        }
    }

    /// The end of this command is on disk.
    pub fn settled(&mut self, id: u64) {
        if matches!(self.command, Stage::Ended(ended, _) if ended == id) {
            self.command = Stage::Idle;
        }
    }

    fn ack(&self) -> Ack {
        Ack { counted: self.saved.counted }
    }

    fn end(&mut self, id: u64, end: End) -> Step {
        self.command = Stage::Ended(id, end);
        Step::Ended(id, end)
    }

    fn started_anew(&mut self, boot: u32) {
        if let Stage::Sending { command, .. } = self.command
            && command.boot != boot
        {
            self.end(command.id, End::Restarted);
        }
    }
}
