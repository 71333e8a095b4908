//! The gateway's half, one [`Link`] a device: a state machine without input, output, clock or disk.
//!
//! Which device of a name speaks is the business of `lines.rs`.
//!
//! *Commit, then acknowledge*: a [`Verdict`] or a [`Greeting`] says what to write to disk; only [`Link::committed`] gives
//! the message that may be sent then.

use crate::lines::{Ear, Speaker};
use crate::message::{Ack, CommandResult, Hello, Outcome, Welcome};
use crate::position::Position;

pub use crate::lines::{LINES_MAX, Line, Saved};

/// A hello, understood.
#[expect(
    clippy::large_enum_variant,
    reason = "no heap here, and one lives for as long as it takes to answer"
)]
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Greeting {
    /// A commit of this device is under way, which the answer would depend on, or the hello is an old one: the device says
    /// hello again.
    Wait,
    /// Nothing to write: answer it.
    Known(Answer),
    /// Write this, call [`Link::greeted`], then answer the hello.
    Save { saved: Saved, gap: Option<Gap>, answer: Answer },
}

/// What a welcome says of the device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answer {
    boot: u32,
    counted: Position,
}

impl Answer {
    /// The welcome to the hello with this token. `unix_ms`: the gateway's clock now; 0 if it is not to be trusted.
    #[must_use]
    pub fn welcome(self, token: u32, unix_ms: u64) -> Welcome {
        Welcome { token, boot: self.boot, counted: self.counted, unix_ms }
    }

    /// Whether the device that said `boot` has to take a new number.
    #[must_use]
    pub fn is_new_number(self, boot: u32) -> bool {
        self.boot > boot
    }
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
    /// Write the event and this as counted in one transaction, then call [`Link::committed`], or [`Link::failed`].
    Take(Position),
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
    ear: Ear,
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
    pub fn new(mut saved: Saved, under_way: Option<UnderWay>, last_command: u64) -> Self {
        saved.lines.iter_mut().for_each(|line| line.taken = line.counted);
        let command = match under_way {
            None => Stage::Idle,
            Some(command) if !is_there(&saved, command.boot) => Stage::Ended(command.id, End::Restarted),
            Some(command) => Stage::Sending { command, again_at_ms: 0, sent: true },
        };
        Self { saved, ear: Ear::default(), greeting: false, command, last_command }
    }

    /// Judges a hello. `place`: another number for each line that it may come over, always the same for MQTT; `unix_ms`: the
    /// gateway's clock.
    pub fn hello(&mut self, hello: &Hello<'_>, place: u32, unix_ms: u64) -> Greeting {
        let mut saved = self.saved.clone();
        let speaker = self.ear.hear(&mut saved, hello, place, unix_ms);
        let (answer, gap) = match speaker {
            Speaker::Late => return Greeting::Wait,
            Speaker::Known { gap, is_new } => {
                let own = saved.lines.first().map(Saved::own).unwrap_or_default();
                let counted = if saved.apart { own } else { saved.counted() };
                // A device of before takes a number for used under which something is counted when it first says it; its own
                // events have it if they were renumbered. It asks again, since its oldest event follows nothing.
                let is_taken = is_new && counted.boot == hello.boot;
                let counted = if is_taken { Position::default() } else { counted };
                (Answer { boot: hello.boot, counted }, gap)
            }
            Speaker::Renumber { above } => (Answer { boot: above, counted: saved.counted() }, None),
            Speaker::Perhaps { counted } => (Answer { boot: hello.boot, counted }, None),
        };
        if saved.is_same(&self.saved) {
            if !self.greeting {
                self.saved = saved;
            }
            return Greeting::Known(answer);
        }
        if self.greeting || !self.saved.is_settled() {
            return Greeting::Wait;
        }
        self.greeting = true;
        let gap = gap.map(|(after, before)| Gap { after, before });
        Greeting::Save { saved, gap, answer }
    }

    /// Whether two devices were heard by turns, by the last hello: they have one name, and one of them needs another.
    #[must_use]
    pub fn took_turns(&self) -> bool {
        self.ear.took_turns
    }

    /// What stands on disk.
    #[must_use]
    pub fn saved(&self) -> &Saved {
        &self.saved
    }

    /// What the hello led to is on disk.
    pub fn greeted(&mut self, saved: Saved) {
        self.greeting = false;
        if saved.boot > self.saved.boot {
            self.started_anew();
        }
        self.saved = saved;
    }

    /// Judges an event by its position.
    pub fn event(&mut self, at: Position) -> Verdict {
        let (apart, greeting) = (self.saved.apart, self.greeting);
        let all = self.saved.counted();
        let heard = self.saved.lines.iter().filter(|line| !line.retired);
        let all_taken = heard.map(|line| line.taken).max().unwrap_or_default();
        let Some(line) = self.saved.owner(at.boot) else {
            return Verdict::OutOfOrder(Ack { counted: Position::default() }); // it shall say hello
        };
        let (counted, taken) = if apart { (Saved::own(line), line.taken) } else { (all, all_taken) };
        if at <= counted && at > Saved::own(line) {
            // It is not counted, and a later start is: of the same device, or of another one? Its hello tells.
            Verdict::OutOfOrder(Ack { counted: Position::default() })
        } else if at <= counted {
            Verdict::Again(Ack { counted })
        } else if at <= taken || greeting {
            Verdict::Wait
        } else if taken.precedes(at) {
            line.taken = at;
            Verdict::Take(at)
        } else {
            Verdict::OutOfOrder(Ack { counted })
        }
    }

    /// The event at `at`, and all of its device that were taken before it, are on disk: send this.
    #[must_use = "the device repeats the event until it is acknowledged"]
    pub fn committed(&mut self, at: Position) -> Ack {
        let apart = self.saved.apart;
        let own = self.saved.owner(at.boot).map(|line| {
            line.counted = line.counted.max(at.min(line.taken));
            line.counted
        });
        Ack { counted: if apart { own.unwrap_or(at) } else { self.saved.counted() } }
    }

    /// A commit failed: nothing counts that was to be written and is not; the device sends its part again.
    pub fn failed(&mut self) {
        self.saved.lines.iter_mut().for_each(|line| line.taken = line.counted);
        self.greeting = false;
        if matches!(self.command, Stage::Recording(_)) {
            self.command = Stage::Idle;
        }
    }

    /// Begins a command. Write it to disk as under way, then call [`recorded`](Self::recorded), or
    /// [`failed`](Self::failed).
    pub fn begin(&mut self, id: u64, expires_at_ms: u64) -> Result<UnderWay, NotNow> {
        let heard_last = self.saved.lines.first().filter(|line| !line.retired);
        let Some(boot) = heard_last.map(|line| line.boot) else { return Err(NotNow::Unknown) };
        match self.command {
            Stage::Recording(_) | Stage::Sending { .. } | Stage::Ended(..) => Err(NotNow::Busy),
            Stage::Idle if id <= self.last_command => Err(NotNow::OutOfOrder),
            Stage::Idle => {
                let command = UnderWay { id, boot, expires_at_ms };
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
            if !is_there(&self.saved, command.boot) {
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

    fn end(&mut self, id: u64, end: End) -> Step {
        self.command = Stage::Ended(id, end);
        Step::Ended(id, end)
    }

    fn started_anew(&mut self) {
        if let Stage::Sending { command, .. } = self.command {
            self.end(command.id, End::Restarted);
        }
    }
}

/// Whether a start may still act on what it is told.
fn is_there(saved: &Saved, boot: u32) -> bool {
    let starts = if saved.apart { LINES_MAX } else { 1 };
    saved.lines.iter().take(starts).any(|line| line.boot == boot)
}
