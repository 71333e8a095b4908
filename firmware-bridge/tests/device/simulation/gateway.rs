//! A gateway around the crate's [`Link`]: a disk that outlives it, commits that take their time and may fail.

use std::collections::VecDeque;

use firmware_bridge::gateway::{Answer, End, Greeting, Link, NotNow, Saved, Step, UnderWay, Verdict};
use firmware_bridge::message::{Command, CommandResult, Hello};
use firmware_bridge::{Event, Kind, Position, Value};

use super::line::Message;

/// 2026, in milliseconds.
const EPOCH: u64 = 1_790_000_000_000;

#[derive(Default)]
pub struct Disk {
    pub saved: Saved,
    pub events: Vec<i64>,
    pub gaps: u32,
    under_way: Option<UnderWay>,
    last_command: u64,
    pub ends: Vec<(u64, End)>,
    /// Requested, not yet under way: id, expiry.
    pub requested: VecDeque<(u64, u64)>,
}

#[expect(clippy::large_enum_variant, reason = "one waits for each commit")]
enum Write {
    Hello { saved: Saved, gap: bool, answer: Answer, token: u32, place: u32 },
    Event { at: Position, number: i64, place: u32 },
    UnderWay(UnderWay),
    End(u64, End),
}

pub struct Gateway {
    pub disk: Disk,
    link: Link,
    writes: VecDeque<(u64, Write)>,
    /// Events refused by the device, by its last hello.
    pub refused: u32,
    /// Answers, and where to.
    pub sent: Vec<(u32, Message)>,
    /// Two devices were heard by turns.
    pub turns: u32,
}

pub fn unix(now: u64) -> u64 {
    EPOCH + now
}

impl Gateway {
    pub fn new() -> Self {
        let disk = Disk::default();
        Self { disk, link: Link::default(), writes: VecDeque::new(), refused: 0, sent: Vec::new(), turns: 0 }
    }

    /// A kill and a start: what was not on disk is gone.
    pub fn restart(&mut self) {
        let disk = &self.disk;
        self.link = Link::new(disk.saved.clone(), disk.under_way, disk.last_command);
        self.writes.clear();
        self.sent.clear();
    }

    /// `place`: where it came from.
    pub fn receive(&mut self, (kind, message): &Message, place: u32, now: u64, commit_ms: u64) {
        match kind {
            Kind::Hello => {
                let hello = Hello::decode(message).expect("the checksum let it pass");
                self.refused = hello.refused;
                let token = hello.token;
                match self.link.hello(&hello, place, unix(now)) {
                    Greeting::Wait => {}
                    Greeting::Known(answer) => self.welcome(answer, token, place, now),
                    Greeting::Save { saved, gap, answer } => {
                        let gap = gap.is_some();
                        self.write(now + commit_ms, Write::Hello { saved, gap, answer, token, place });
                    }
                }
                self.turns += u32::from(self.link.took_turns());
            }
            Kind::Event => {
                let event = Event::decode(message).expect("the checksum let it pass");
                let Value::Integer(number) = event.fields[0].value else { panic!("{event:?}") };
                match self.link.event(event.position()) {
                    Verdict::Take(at) => self.write(now + commit_ms, Write::Event { at, number, place }),
                    Verdict::Wait => {}
                    Verdict::Again(ack) | Verdict::OutOfOrder(ack) => {
                        let mut buffer = [0; 32];
                        self.sent.push((place, (Kind::Ack, ack.encode(&mut buffer).unwrap().to_vec())));
                    }
                }
            }
            Kind::Result => {
                let result = CommandResult::decode(message).expect("the checksum let it pass");
                let step = self.link.result(&result);
                self.take(step, now, commit_ms);
            }
            Kind::Welcome | Kind::Ack | Kind::Command | Kind::Version => panic!("{kind:?} to the gateway"),
        }
    }

    fn write(&mut self, at: u64, write: Write) {
        let at = self.writes.back().map_or(at, |(last, _)| at.max(*last)); // one writer, in order
        self.writes.push_back((at, write));
    }

    fn welcome(&mut self, answer: Answer, token: u32, place: u32, now: u64) {
        let mut buffer = [0; 32];
        let welcome = answer.welcome(token, unix(now));
        self.sent.push((place, (Kind::Welcome, welcome.encode(&mut buffer).unwrap().to_vec())));
    }

    pub fn next_write_at(&self) -> Option<u64> {
        self.writes.front().map(|(at, _)| *at)
    }

    pub fn commit(&mut self, now: u64) {
        let Some((_, write)) = self.writes.pop_front() else { return };
        match write {
            Write::Hello { saved, gap, answer, token, place } => {
                self.disk.saved = saved.clone();
                self.disk.gaps += u32::from(gap);
                self.link.greeted(saved);
                self.welcome(answer, token, place, now);
            }
            Write::Event { at, number, place } => {
                self.disk.saved.count(at);
                self.disk.events.push(number);
                let ack = self.link.committed(at);
                assert_eq!(ack.counted, at);
                let mut buffer = [0; 32];
                self.sent.push((place, (Kind::Ack, ack.encode(&mut buffer).unwrap().to_vec())));
            }
            Write::UnderWay(command) => {
                self.disk.under_way = Some(command);
                self.disk.last_command = command.id;
                self.disk.requested.pop_front();
                self.link.recorded(command.id);
            }
            Write::End(id, end) => {
                self.disk.under_way = None;
                self.disk.ends.push((id, end));
                self.link.settled(id);
            }
        }
    }

    /// The disk refuses the rest of what waits.
    pub fn commit_fails(&mut self) {
        let ends: Vec<_> =
            self.writes.drain(..).filter(|(_, write)| matches!(write, Write::End(..))).collect();
        self.writes.extend(ends); // an end is tried again by the caller
        self.link.failed();
    }

    /// What commands need: begin one, send one, end one.
    pub fn work(&mut self, now: u64, commit_ms: u64) {
        if let Some((id, expires_at_ms)) = self.disk.requested.front().copied() {
            match self.link.begin(id, expires_at_ms) {
                Ok(command) => self.write(now + commit_ms, Write::UnderWay(command)),
                Err(NotNow::Unknown | NotNow::Busy) => {}
                Err(NotNow::OutOfOrder) => panic!("command {id} is out of order"),
            }
        }
        let step = self.link.step(unix(now));
        self.take(step, now, commit_ms);
    }

    fn take(&mut self, step: Option<Step>, now: u64, commit_ms: u64) {
        match step {
            None => {}
            Some(Step::Send(UnderWay { id, boot, expires_at_ms })) => {
                let mut buffer = [0; 200];
                let command = Command { boot, id, expires_at_ms, name: "set", payload: b"{}" };
                self.sent.push((0, (Kind::Command, command.encode(&mut buffer).unwrap().to_vec())));
            }
            Some(Step::Ended(id, end)) => {
                let written = |write: &(u64, Write)| matches!(write.1, Write::End(ended, _) if ended == id);
                if !self.writes.iter().any(written) {
                    self.write(now + commit_ms, Write::End(id, end));
                }
            }
        }
    }

    pub fn is_idle(&self) -> bool {
        self.writes.is_empty() && self.disk.requested.is_empty() && self.disk.under_way.is_none()
    }
}
