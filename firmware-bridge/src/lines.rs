//! The devices of one name, told apart by what their hellos say.
//!
//! There should be one. But two boards with one firmware image have one name, and each start of either looks like a start of
//! the other. So the gateway keeps a *line* for each start, or for each device that is recognised over its starts: the boot
//! numbers that are its own, and how far its events are counted. As long as nothing says otherwise the lines of a name are one
//! device's, and its position is the highest. From when a start goes on that another one seemed to follow, there are several
//! devices: they are *apart*, and each is counted by its own line. No number is in two lines, so nobody's event passes for
//! another's.
//!
//! A line is recognised by its token: the lower half goes up by one from hello to hello of a start, and the upper half is the
//! device's, if it has a number that no other has, or the start's. A device that throws another token each time is recognised
//! by its boot number alone.

use heapless::Vec;

use crate::message::Hello;
use crate::position::{BOOT_MAX, Position};

/// Lines of one name. A device without storage begins one at each start; beyond this many one goes that has the least to
/// lose, and if its device is there after all, it takes new numbers.
pub const LINES_MAX: usize = 8;
/// Hellos that may be lost between two that are heard.
const LOST_MAX: u32 = 64;
/// Hellos in a row that fit no line and say a known number: after these they are one device's, which throws its tokens.
const STRANGE_MAX: u8 = 2;
/// A hello may come so late over MQTT, after that of a later start.
const LATE_MS: u64 = 15_000;

/// One device of a name, or one start of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Line {
    /// Its last hello's, when this was written; `None` for what an older gateway wrote.
    pub token: Option<u32>,
    /// Boot numbers from here to `boot` are its own.
    pub low: u32,
    /// Its last start.
    pub boot: u32,
    /// Everything of it up to here is on disk.
    pub counted: Position,
    /// It was told to take new numbers: no event under its old ones is counted any more.
    pub retired: bool,
    /// The boot of its oldest event when it was told so last; 0: it kept none.
    pub kept: u32,
    /// Not on disk: handed out to be committed, so `counted` or after it.
    pub taken: Position,
    /// Not on disk: the boot number of its last hello, and when that was, in milliseconds.
    pub said: u32,
    pub heard_at: u64,
}

/// What the gateway keeps on disk about a name; the default for one that it does not know.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Saved {
    /// The highest boot number that a device of this name said.
    pub boot: u32,
    /// There are several devices of this name.
    pub apart: bool,
    /// Those heard last come first.
    pub lines: Vec<Line, LINES_MAX>,
}

impl Saved {
    /// One device, of which no more is known.
    #[must_use]
    pub fn new(boot: u32, counted: Position) -> Self {
        let line = Line { low: 1, boot, counted, taken: counted, ..Line::default() };
        Self { boot, apart: false, lines: (boot > 0).then_some(line).into_iter().collect() }
    }

    /// The last position that was counted of any of them.
    #[must_use]
    pub fn counted(&self) -> Position {
        self.lines.iter().filter(|line| !line.retired).map(|line| line.counted).max().unwrap_or_default()
    }

    /// The event at `at` is on disk.
    pub fn count(&mut self, at: Position) {
        if let Some(line) = self.owner(at.boot) {
            line.counted = line.counted.max(at);
            line.taken = line.taken.max(at);
        }
    }

    /// The line whose boot number this is.
    pub(crate) fn owner(&mut self, boot: u32) -> Option<&mut Line> {
        self.lines.iter_mut().find(|line| !line.retired && (line.low..=line.boot).contains(&boot))
    }

    pub(crate) fn is_settled(&self) -> bool {
        self.lines.iter().all(|line| line.taken == line.counted)
    }

    /// Whether they mean the same on disk: neither the order nor the tokens are worth a write.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        let plain = |line: &Line| Line { token: None, said: 0, heard_at: 0, ..*line };
        let has = |line: &Line| other.lines.iter().any(|known| plain(known) == plain(line));
        (self.boot, self.apart, self.lines.len()) == (other.boot, other.apart, other.lines.len())
            && self.lines.iter().all(has)
    }

    /// What a line has, in its own numbers: over MQTT all devices of a name hear it.
    pub(crate) fn own(line: &Line) -> Position {
        if line.counted.boot >= line.low { line.counted } else { Position::default() }
    }

    /// The numbers after `after` up to `to` are in no line but this one.
    fn is_free(&self, after: u32, to: u32, index: usize) -> bool {
        let apart = |line: &Line| to < line.low || line.boot <= after;
        self.lines.iter().enumerate().all(|(other, line)| other == index || apart(line))
    }

    fn move_to_front(&mut self, index: usize) {
        let Some(front) = self.lines.get_mut(..=index) else { return };
        let Some(mut carried) = front.last().copied() else { return };
        front.iter_mut().for_each(|line| core::mem::swap(line, &mut carried));
    }

    fn insert(&mut self, line: Line) {
        if self.lines.is_full() {
            // What has counted nothing goes first, then single starts, then what was heard longest ago.
            let worth = |line: &Line| {
                let counts = line.boot > 0 && line.counted.boot >= line.low;
                (counts, counts && line.low < line.boot)
            };
            let least = self.lines.iter().map(worth).min().unwrap_or_default();
            if let Some(index) = self.lines.iter().rposition(|line| worth(line) == least) {
                let mut at = 0usize;
                self.lines.retain(|_| {
                    at = at.saturating_add(1);
                    at.saturating_sub(1) != index
                });
            }
        }
        let _ = self.lines.push(line); // there is room now
        self.move_to_front(self.lines.len().saturating_sub(1));
    }

    /// One device's starts from `low` on become one line, at the front.
    fn join(&mut self, low: u32) {
        let mut joined = Line { low, ..Line::default() };
        self.lines.retain(|line| {
            if line.boot >= low {
                joined.low = joined.low.min(line.low);
                joined.boot = joined.boot.max(line.boot);
                joined.counted = joined.counted.max(line.counted);
            }
            line.boot < low
        });
        joined.counted = joined.counted.max(self.counted());
        joined.taken = joined.counted;
        self.insert(joined);
    }
}

/// What a hello turned out to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Speaker {
    /// Perhaps a late one: it is not answered, and a device that is there says another.
    Late,
    /// The line at the front of the list now. Its oldest event may show a gap: after the first, before the second. `is_new`:
    /// it says this number for the first time.
    Known { gap: Option<(Position, Position)>, is_new: bool },
    /// Whoever it is has to take a boot number above this one.
    Renumber { above: u32 },
    /// The same number, and events of it are counted: it is who counts them, or it sees that its number is used.
    Perhaps { counted: Position },
}

/// What is remembered of the hellos of a name beside what is on disk.
#[derive(Debug, Clone, Default)]
pub(crate) struct Ear {
    /// Where the last hello came from.
    place: u32,
    /// When another line than before spoke last, in milliseconds; `None`: nobody has spoken since the gateway was started.
    changed_at: Option<u64>,
    /// A hello went on from the one before: the device counts its tokens.
    counts: bool,
    /// Hellos that fit no line and have a known number.
    strange: u8,
    /// Another one spoke between the last hello and the one before of its start.
    pub took_turns: bool,
}

impl Ear {
    /// Judges a hello, and changes `saved` accordingly. `place`: another one for each line that it may come over.
    pub(crate) fn hear(&mut self, saved: &mut Saved, hello: &Hello<'_>, place: u32, now_ms: u64) -> Speaker {
        self.took_turns = false;
        self.changed_at.get_or_insert(now_ms);
        let is_moved = core::mem::replace(&mut self.place, place) != place;
        let front = saved.lines.first().map(|line| line.boot);
        let speaker = match saved.lines.iter().position(|line| is_of(line, hello, is_moved)) {
            Some(index) if hello.boot == 0 => {
                saved.move_to_front(index);
                saved.lines.iter_mut().take(1).for_each(|line| line.token = Some(hello.token));
                renumber(saved, hello)
            }
            Some(index) => self.of_line(saved, index, hello, now_ms),
            None => self.of_nobody(saved, hello),
        };
        if saved.lines.first().map(|line| line.boot) != front {
            self.changed_at = Some(now_ms);
        }
        if let Some(line) = saved.lines.first_mut().filter(|line| line.token == Some(hello.token)) {
            (line.said, line.heard_at) = (hello.boot, now_ms);
        }
        speaker
    }

    fn of_line(&mut self, saved: &mut Saved, index: usize, hello: &Hello<'_>, now_ms: u64) -> Speaker {
        let line = saved.lines.get(index).copied().unwrap_or_default();
        let ahead = line.token.map_or(0, |last| hello.token.wrapping_sub(last));
        let is_next = (1..=LOST_MAX).contains(&ahead);
        let goes_on = is_next && hello.boot == line.boot;
        self.counts |= is_next;
        self.strange = 0;
        let is_same_start = ahead <= LOST_MAX;
        let is_old = !is_same_start && hello.boot <= line.said.max(line.boot);
        if is_old && now_ms.abs_diff(line.heard_at) < LATE_MS {
            return Speaker::Late; // of the start before, or said before
        }
        let another = saved.lines.iter().take(index).any(|line| line.boot > 0);
        if another && hello.boot <= line.boot {
            let is_sure = self.changed_at.is_some_and(|at| now_ms.abs_diff(at) >= LATE_MS);
            if ahead == 0 || !(saved.apart || is_sure) {
                return Speaker::Late;
            }
            self.took_turns = goes_on;
            saved.apart |= goes_on; // this start goes on, though another seemed to follow it
        }
        known(saved, index, hello, is_same_start)
    }

    fn of_nobody(&mut self, saved: &mut Saved, hello: &Hello<'_>) -> Speaker {
        let oldest = hello.oldest.boot;
        let is_fresh = hello.boot > saved.boot && (oldest == 0 || oldest > saved.boot);
        if hello.boot == 0 {
            return renumber_stranger(saved, hello);
        }
        if let Some(index) = saved.lines.iter().position(|line| line.token.is_none()) {
            return known(saved, index, hello, false);
        }
        if is_fresh {
            return begin(saved, hello);
        }
        if !saved.apart && hello.boot > saved.boot {
            saved.join(oldest); // it starts anew, with events of starts before
            return known(saved, 0, hello, false);
        }
        let keeps = |line: &Line| (line.low..=line.boot).contains(&oldest) && hello.boot > line.boot;
        if let Some(index) = saved.lines.iter().position(keeps) {
            return known(saved, index, hello, false);
        }
        match saved.lines.iter().position(|line| line.boot == hello.boot) {
            Some(index) => self.same_number(saved, index, hello),
            None => renumber_stranger(saved, hello),
        }
    }

    /// Two boards that took one number at once, or one that throws its tokens.
    fn same_number(&mut self, saved: &mut Saved, index: usize, hello: &Hello<'_>) -> Speaker {
        self.strange = self.strange.saturating_add(1);
        if !self.counts && self.strange > STRANGE_MAX {
            return known(saved, index, hello, false);
        }
        let is_last = saved.boot == hello.boot;
        let Some(line) = saved.lines.get_mut(index) else { return Speaker::Late };
        let is_used = line.counted.boot == hello.boot && line.counted.sequence > 0;
        if is_used && is_last && !self.counts {
            return Speaker::Perhaps { counted: line.counted };
        }
        if !is_used {
            line.retired = true; // whoever else has it: nobody counts by this number any more
        }
        renumber_stranger(saved, hello)
    }
}

/// Whoever it is, it has a line from now on, without numbers: what it says next is known for its own, also by a gateway that
/// was started anew in between.
fn renumber_stranger(saved: &mut Saved, hello: &Hello<'_>) -> Speaker {
    let all = renumber(saved, hello);
    saved.insert(Line { token: Some(hello.token), low: 1, ..Line::default() });
    all
}

fn renumber(saved: &Saved, hello: &Hello<'_>) -> Speaker {
    let next = if hello.boot == 0 { 0 } else { hello.boot.saturating_add(1) };
    Speaker::Renumber { above: saved.boot.max(next).min(BOOT_MAX) }
}

/// The line at `index` says hello: it goes on, has started anew, or has taken the numbers that it was told to take.
fn known(saved: &mut Saved, index: usize, hello: &Hello<'_>, is_same_start: bool) -> Speaker {
    let above = saved.boot;
    let oldest = hello.oldest.boot;
    let low = if oldest > 0 { oldest } else { hello.boot };
    let reach = |line: &Line| if hello.boot == line.boot { low.min(line.low) } else { low };
    let Some(low) = saved.lines.get(index).map(reach) else { return Speaker::Late };
    // A number that was ever said may be another one's, and a message under it may still be on its way.
    let is_unused = saved.lines.get(index).is_some_and(|line| line.boot == hello.boot) || hello.boot > above;
    let free = is_unused && saved.is_free(low.saturating_sub(1), hello.boot, index);
    saved.move_to_front(index);
    let all = renumber(saved, hello);
    let Some(line) = saved.lines.first_mut() else { return Speaker::Late };
    line.token = Some(hello.token);
    if hello.boot < line.boot {
        return all; // its counter went back
    }
    if (line.retired || !free) && !is_same_start && (oldest == 0 || oldest == hello.boot) {
        line.counted = Position::default(); // all that it keeps is of this start, which was never welcomed
    } else if line.retired && line.kept > 0 && oldest > line.kept && line.counted.boot >= line.kept {
        // It took the base that it was told: all its numbers went up by as much.
        line.counted.boot = line.counted.boot.saturating_add(oldest - line.kept);
    }
    let has_none = line.retired && hello.boot == line.boot;
    line.retired = !free || has_none;
    line.kept = if line.retired { oldest } else { 0 };
    if line.retired {
        line.taken = line.counted;
        saved.apart |= !free && line.boot > 0; // its numbers are another one's
        return all;
    }
    let is_new = line.boot != hello.boot;
    (line.low, line.boot) = (low, hello.boot);
    let gap = gap(line, hello);
    line.taken = line.counted;
    saved.boot = above.max(hello.boot);
    saved.apart |= hello.boot < above; // another one has said a higher number, and this one does not end
    Speaker::Known { gap, is_new }
}

/// A start that nobody knows, with numbers that nobody used.
fn begin(saved: &mut Saved, hello: &Hello<'_>) -> Speaker {
    let low = if hello.oldest.boot > 0 { hello.oldest.boot } else { hello.boot };
    let counted = saved.counted();
    let mut line = Line { token: Some(hello.token), low, boot: hello.boot, counted, ..Line::default() };
    let gap = gap(&mut line, hello);
    line.taken = line.counted;
    saved.boot = hello.boot;
    saved.insert(line);
    Speaker::Known { gap, is_new: true }
}

fn is_of(line: &Line, hello: &Hello<'_>, is_moved: bool) -> bool {
    let Some(last) = line.token else { return false };
    let ahead = hello.token.wrapping_sub(last);
    // One that says the same token for ever, at two places: these are two.
    let is_twin = ahead == 0 && is_moved && line.boot == hello.boot;
    !is_twin && (ahead <= LOST_MAX || last >> 16 == hello.token >> 16)
}

/// The oldest event neither follows what is counted, nor is counted: one side lost something, and the line goes on from it.
fn gap(line: &mut Line, hello: &Hello<'_>) -> Option<(Position, Position)> {
    let before = line.counted;
    if hello.oldest <= before || before.precedes(hello.oldest) {
        return None;
    }
    line.counted = hello.oldest.before();
    (before != Position::default()).then_some((before, hello.oldest))
}
