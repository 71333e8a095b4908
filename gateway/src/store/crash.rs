//! The events that were under way when the process died, in a file of its own: an event that was at two deaths would be
//! at the next ones, too, since its sender brings it again until it is acknowledged.
//!
//! The file is not fsynced, and an event costs two writes to memory: a process that dies leaves them to the kernel. After a
//! power cut, which no event brings about, the machine has another boot id, and nothing is suspected.

use std::collections::BTreeSet;
use std::fs::File;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crate::event::incoming::{Event, EventSource};
use crate::store::db::state_file::state_file;

const NAME: &str = "under-way";
/// Events that are set aside or suspected at most: a batch has 256.
const MAX: usize = 1_024;
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// The identity of an event from one process to the next.
pub type Fingerprint = u64;

/// Suspects and what is set aside, and the file that the next process reads.
#[derive(Debug)]
pub struct Crashes {
    file: Option<File>,
    boot: String,
    /// Under way when a process died: the next time each is handled alone.
    suspects: BTreeSet<Fingerprint>,
    /// Under way, alone, when a second one died.
    aside: BTreeSet<Fingerprint>,
}

/// `None` for our own: nobody brings them again, and each process has the same.
#[must_use]
pub fn fingerprint(event: &Event) -> Option<Fingerprint> {
    let mut hasher = DefaultHasher::new();
    (&event.topic, &event.payload[..]).hash(&mut hasher);
    (event.source != EventSource::Own).then(|| hasher.finish())
}

impl Crashes {
    /// Reads what the process before left, and keeps the file from now on. A file that cannot be kept costs only this.
    #[must_use]
    pub fn open(directory: &Path) -> Self {
        let boot = std::fs::read_to_string(BOOT_ID).unwrap_or_default().trim().to_owned();
        let file = state_file(&path(directory));
        let file =
            file.inspect_err(|error| tracing::warn!(%error, "no file for events under way: one that crashes the process is not found out"));
        let mut crashes = Self { file: file.ok(), boot, suspects: BTreeSet::new(), aside: BTreeSet::new() };
        let text = std::fs::read_to_string(path(directory)).unwrap_or_default();
        if let Some([aside, suspects, under_way]) = left(&text, &crashes.boot) {
            let second: BTreeSet<_> = under_way.intersection(&suspects).copied().collect();
            crashes.aside = aside.union(&second).copied().take(MAX).collect();
            crashes.suspects = suspects.union(&under_way).copied().take(MAX).collect();
            crashes.suspects.retain(|event| !crashes.aside.contains(event));
        }
        crashes.write(&[]);
        crashes
    }

    /// A clean stop: whoever starts again may have put right what was wrong.
    pub fn forget(directory: &Path) {
        drop(std::fs::remove_file(path(directory))); // there is none, or the next process reads it once more
    }

    #[must_use]
    pub fn is_aside(&self, event: Fingerprint) -> bool {
        self.aside.contains(&event)
    }

    #[must_use]
    pub fn is_suspect(&self, event: Fingerprint) -> bool {
        self.suspects.contains(&event)
    }

    /// These are read and judged now.
    pub fn begin(&self, events: &[Fingerprint]) {
        if !events.is_empty() {
            self.write(events);
        }
    }

    /// They were survived.
    pub fn end(&mut self, events: &[Fingerprint]) {
        if !events.is_empty() {
            self.suspects.retain(|event| !events.contains(event));
            self.write(&[]);
        }
    }

    fn write(&self, under_way: &[Fingerprint]) {
        let Some(file) = &self.file else { return };
        let line = |events: &mut dyn Iterator<Item = &Fingerprint>| {
            events.map(|event| format!("{event:016x}")).collect::<Vec<_>>().join(" ")
        };
        let (aside, suspects) = (line(&mut self.aside.iter()), line(&mut self.suspects.iter()));
        let under_way = line(&mut under_way.iter());
        // What an earlier, longer text left behind the last line is not read.
        let text = format!("{}\n{aside}\n{suspects}\n{under_way}\nend\n", self.boot);
        if let Err(error) = file.write_all_at(text.as_bytes(), 0) {
            tracing::debug!(%error, "the file of events under way was not written");
        }
    }
}

fn path(directory: &Path) -> PathBuf {
    directory.join(NAME)
}

/// What was set aside, suspected and under way; `None` after another boot or from half a file.
fn left(text: &str, boot: &str) -> Option<[BTreeSet<Fingerprint>; 3]> {
    let mut lines = text.lines();
    if boot.is_empty() || lines.next()? != boot {
        return None;
    }
    let mut events = || -> Option<BTreeSet<Fingerprint>> {
        let line = lines.next()?;
        line.split(' ')
            .filter(|word| !word.is_empty())
            .map(|word| Fingerprint::from_str_radix(word, 16).ok())
            .collect()
    };
    let found = [events()?, events()?, events()?];
    (lines.next()? == "end").then_some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_set_aside_after_two_crashes() {
        let folder = tempfile::tempdir().expect("a folder");
        let first = Crashes::open(folder.path());
        first.begin(&[1, 2, 3]);
        drop(first); // the process dies

        let mut second = Crashes::open(folder.path());
        assert_eq!([1, 2, 3, 4].map(|event| second.is_suspect(event)), [true, true, true, false]);
        second.begin(&[1]);
        second.end(&[1]);
        second.begin(&[2]);
        drop(second); // and again, on the second of them

        let third = Crashes::open(folder.path());
        assert_eq!([1, 2, 3].map(|event| third.is_aside(event)), [false, true, false]);
        assert_eq!([1, 2, 3].map(|event| third.is_suspect(event)), [false, false, true]);
        drop(third);
        assert!(
            Crashes::open(folder.path()).is_aside(2),
            "it stays aside when the process dies of something else"
        );
        Crashes::forget(folder.path());
        assert!(!Crashes::open(folder.path()).is_aside(2), "a clean stop begins anew");
    }

    #[test]
    fn a_death_between_events_and_a_power_cut_suspect_nobody() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut crashes = Crashes::open(folder.path());
        crashes.begin(&[7]);
        crashes.end(&[7]);
        assert!(!Crashes::open(folder.path()).is_suspect(7));
        crashes.begin(&[7]);
        let text = std::fs::read_to_string(folder.path().join(NAME)).expect("a file");
        assert!(left(&text, "another boot").is_none());
        assert!(left(&text, "").is_none(), "a machine without a boot id");
        let boot = text.lines().next().expect("a boot id");
        assert!(left(&text[..text.len() - 2], boot).is_none(), "half a file");
        assert_eq!(left(&text, boot).map(|[_, _, under_way]| under_way.len()), Some(1));
    }
}
