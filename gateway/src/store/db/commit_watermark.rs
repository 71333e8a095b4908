//! The mark: how far the newest commit went, in a file of its own. One flipped bit in SQLite's log silently drops every
//! commit after it (docs/reliability.md E12); the mark then stands higher than the database, and the loss is told with a count.
//!
//! Two slots of 64 bytes are written in turn, so that a torn write leaves the other one. The mark is not fsynced: after a
//! power cut it may stand too low, which hides a loss but never invents one.

use std::cell::Cell;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

use rusqlite::Result;

use crate::hex::hex;
use crate::store::Store;
use crate::store::db::checksum;
use crate::store::db::state_file::state_file;

const NAME: &str = "mark";
const SLOT_BYTES: u64 = 64;

/// The newest ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct NewestIds {
    events: i64,
    messages: i64,
    webhooks: i64,
}

/// The open file.
#[derive(Debug)]
pub struct CommitWatermark {
    file: Option<File>,
    turn: Cell<u64>,
    /// What was written last: a commit that adds nothing costs the card nothing.
    written: Cell<Option<NewestIds>>,
}

impl CommitWatermark {
    /// For an operator's command: only the daemon keeps the mark.
    pub const fn none() -> Self {
        Self { file: None, turn: Cell::new(0), written: Cell::new(None) }
    }

    fn open(directory: &Path) -> (Self, Option<NewestIds>) {
        let path = directory.join(NAME);
        let file = state_file(&path);
        let file = file
            .inspect_err(
                |error| tracing::warn!(%error, "no file for the last commit: lost commits are not counted"),
            )
            .ok();
        let slots = [0, 1].map(|slot| file.as_ref().and_then(|file| read(file, slot)));
        let newest = slots.into_iter().flatten().max_by_key(|(turn, _)| *turn);
        let turn = Cell::new(newest.map_or(0, |(turn, _)| turn));
        (Self { file, turn, written: Cell::new(None) }, newest.map(|(_, newest)| newest))
    }

    fn write(&self, newest: NewestIds) -> std::io::Result<()> {
        let Some(file) = &self.file else { return Ok(()) };
        if self.written.get() == Some(newest) {
            return Ok(());
        }
        let turn = self.turn.get() + 1;
        self.turn.set(turn);
        let NewestIds { events, messages, webhooks } = newest;
        let words = format!("{turn} {events} {messages} {webhooks}");
        let line = format!("{words} {}", sum(&words));
        file.write_all_at(format!("{line:<63}\n").as_bytes(), (turn % 2) * SLOT_BYTES)?;
        self.written.set(Some(newest));
        Ok(())
    }
}

fn read(file: &File, slot: u64) -> Option<(u64, NewestIds)> {
    let mut bytes = [0; SLOT_BYTES as usize];
    file.read_exact_at(&mut bytes, slot * SLOT_BYTES).ok()?;
    let line = std::str::from_utf8(&bytes).ok()?.trim_end();
    let (words, found) = line.rsplit_once(' ')?;
    let numbers: Vec<i64> = words.split(' ').map(str::parse).collect::<std::result::Result<_, _>>().ok()?;
    let [turn, events, messages, webhooks] = numbers[..] else { return None };
    (found == sum(words)).then_some((u64::try_from(turn).ok()?, NewestIds { events, messages, webhooks }))
}

/// 16 digits.
fn sum(words: &str) -> String {
    hex(&checksum::of(&[words.as_bytes()]))
}

impl Store {
    /// As far as the database goes.
    pub(in crate::store) fn mark(&self) {
        if let Ok(newest) = self.newest() {
            self.mark_up_to(newest);
        }
    }

    /// After each commit of the daemon's. Best effort: the database is the truth.
    pub(in crate::store) fn mark_up_to(&self, newest: NewestIds) {
        if let Err(error) = self.mark.write(newest) {
            tracing::debug!(%error, "the file of the last commit was not written");
        }
    }

    pub(in crate::store) fn newest(&self) -> Result<NewestIds> {
        self.sql
            .prepare_cached(
                "SELECT (SELECT coalesce(max(id), 0) FROM event), (SELECT coalesce(max(id), 0) FROM message),
                        (SELECT coalesce(max(id), 0) FROM inbox)",
            )?
            .query_row([], |row| {
                Ok(NewestIds { events: row.get(0)?, messages: row.get(1)?, webhooks: row.get(2)? })
            })
    }

    /// Compares with the last mark, and keeps the mark from now on.
    pub(in crate::store) fn take_mark(&mut self) -> Result<()> {
        let (mark, last) = CommitWatermark::open(&self.directory);
        self.mark = mark;
        let (last, now) = (last.unwrap_or_default(), self.newest()?);
        let lost = [
            (last.events - now.events, "events"),
            (last.messages - now.messages, "messages"),
            (last.webhooks - now.webhooks, "webhooks"),
        ];
        let lost: Vec<String> = lost
            .iter()
            .filter(|(count, _)| *count > 0)
            .map(|(count, what)| format!("{count} {what}"))
            .collect();
        if !lost.is_empty() {
            self.findings.push(format!(
                "the newest records on disk are gone since the last stop: {}. The memory card may be failing: \
                 copy the state directory and replace the card",
                lost.join(", ")
            ));
        }
        self.mark();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const THREE: NewestIds = NewestIds { events: 7, messages: 9, webhooks: i64::MAX };

    #[test]
    fn the_newer_whole_slot_counts() {
        let directory = tempfile::tempdir().expect("a directory");
        let (mark, last) = CommitWatermark::open(directory.path());
        assert_eq!(last, None);
        mark.write(NewestIds::default()).expect("written");
        mark.write(THREE).expect("written");
        assert_eq!(CommitWatermark::open(directory.path()).1, Some(THREE));
        mark.write(THREE).expect("nothing to write");
        assert_eq!(mark.turn.get(), 2, "what adds nothing writes nothing");
        // The second write was torn: the first still counts.
        let path = directory.path().join(NAME);
        let mut bytes = std::fs::read(&path).expect("read");
        bytes[3] ^= 1;
        std::fs::write(&path, bytes).expect("written");
        assert_eq!(CommitWatermark::open(directory.path()).1, Some(NewestIds::default()));
    }
}
