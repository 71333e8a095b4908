//! Goes through all chains. What ended by age is not missed; everything else is.

use std::collections::BTreeMap;
use std::time::Duration;

use bellwire::time::Timestamp;

use super::entry::{Entry, Head, hash};
use crate::engine::{Appended, Log};

/// The engine lets go by its own clock, now and then.
const SLACK: Duration = Duration::from_secs(3_600);

/// What was gone through, and a sentence for each flaw.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Verified {
    pub chains: usize,
    pub entries: usize,
    pub notes: usize,
    pub flaws: Vec<String>,
}

/// The entries of the log in its order, and the heads that are kept beside it.
#[must_use]
pub fn verify(entries: &[Appended], heads: &BTreeMap<String, Head>, now: Timestamp) -> Verified {
    let ends_before = now.0 - i64::try_from((Log::Audit.keeps() - SLACK).as_millis()).unwrap_or(i64::MAX);
    let mut verified = Verified { entries: entries.len(), ..Verified::default() };
    let mut newest: BTreeMap<String, Head> = BTreeMap::new();
    let mut hashes: BTreeMap<(String, u64), String> = BTreeMap::new();
    let mut witnessed: Vec<(String, String, Head)> = Vec::new();
    for found in entries {
        let Ok(entry) = serde_json::from_slice::<Entry>(&found.body) else {
            verified.flaws.push(format!("what is at {} of the log is no entry", found.sequence));
            continue;
        };
        let name = format!("entry {} of {}", entry.number, entry.chain);
        if found.subject != subject(&entry.chain) {
            verified.flaws.push(format!("{name} lies where those of another chain do"));
        }
        if let Some(flaw) = follows(&entry, newest.get(&entry.chain), ends_before) {
            verified.flaws.push(format!("{name} {flaw}"));
        }
        verified.notes += entry.notes.len();
        let head =
            Head { number: entry.number, hash: hash(&found.body), at: entry.at, sequence: found.sequence };
        hashes.insert((entry.chain.clone(), entry.number), head.hash.clone());
        witnessed.extend(entry.heads.into_iter().map(|(chain, head)| (name.clone(), chain, head)));
        newest.insert(entry.chain, head);
    }
    verified.chains = newest.len();
    let kept =
        heads.iter().map(|(chain, head)| ("what is kept of it".to_owned(), chain.clone(), head.clone()));
    for (says, chain, head) in kept.chain(witnessed) {
        match hashes.get(&(chain.clone(), head.number)) {
            Some(hash) if *hash == head.hash => {}
            Some(_) => verified
                .flaws
                .push(format!("entry {} of {chain} was changed: {says} has another hash", head.number)),
            None if head.number == 0 || head.at < ends_before => {}
            None => {
                verified.flaws.push(format!("entry {} of {chain} is missing: {says} names it", head.number))
            }
        }
    }
    for (chain, _) in
        newest.iter().filter(|(chain, head)| !heads.contains_key(*chain) && head.at >= ends_before)
    {
        verified
            .flaws
            .push(format!("what is kept of {chain} beside the log is missing: its last entries may be, too"));
    }
    verified
}

/// Under which an entry is appended.
#[must_use]
pub fn subject(chain: &str) -> String {
    format!("{}.{chain}", Log::Audit.subject())
}

fn follows(entry: &Entry, before: Option<&Head>, ends_before: i64) -> Option<String> {
    match before {
        None if entry.number == 1 && entry.before.is_empty() => None,
        None if entry.number > 1 && entry.before_at < ends_before => None,
        None => Some("is the first that is there: those before it were removed".to_owned()),
        Some(before) if entry.number != before.number + 1 => {
            Some(format!("comes after entry {}: some were removed or put in", before.number))
        }
        Some(before) if entry.before != before.hash => {
            Some("does not follow from the one before: one of both was changed".to_owned())
        }
        Some(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::super::entry::Note;
    use super::*;

    const NOW: Timestamp = Timestamp(1_900_000_000_000);
    const DAY: i64 = 86_400_000;

    /// Two chains of four entries, the second of which saw the first.
    fn chains(at: i64) -> (Vec<Appended>, BTreeMap<String, Head>) {
        let (mut log, mut heads) = (Vec::new(), BTreeMap::new());
        for chain in ["a", "b"] {
            let mut head = Head::default();
            for number in 0..4 {
                let seen = if number == 2 { heads.clone() } else { BTreeMap::new() };
                let note = Note { detail: number.to_string(), ..Note::new("sent", "shop", Timestamp(at)) };
                let (body, next) = head.next(chain, vec![note], seen, Timestamp(at + number));
                let sequence = log.len() as u64 + 1;
                log.push(Appended { sequence, subject: subject(chain), body });
                head = Head { sequence, ..next };
            }
            heads.insert(chain.to_owned(), head);
        }
        (log, heads)
    }

    fn flaws(log: &[Appended], heads: &BTreeMap<String, Head>) -> Vec<String> {
        verify(log, heads, NOW).flaws
    }

    #[test]
    fn untouched_chains_hold() {
        let (log, heads) = chains(NOW.0 - DAY);
        let verified = verify(&log, &heads, NOW);
        assert_eq!((verified.chains, verified.entries, verified.notes), (2, 8, 8));
        assert!(verified.flaws.is_empty(), "{:?}", verified.flaws);
        assert!(flaws(&[], &BTreeMap::new()).is_empty());
    }

    /// A hub that is killed between the entry and its head.
    #[test]
    fn a_head_may_lag_behind_its_chain() {
        let (log, mut heads) = chains(NOW.0 - DAY);
        let third: Entry = serde_json::from_slice(&log[3].body).expect("an entry");
        heads.insert("a".into(), Head { number: 3, hash: third.before, ..heads["a"].clone() });
        // What `b` saw of `a` was its fourth, which is there.
        assert!(flaws(&log, &heads).is_empty());
    }

    #[test]
    fn every_removed_entry_is_missed() {
        let (log, heads) = chains(NOW.0 - DAY);
        for at in 0..log.len() {
            let mut less = log.clone();
            less.remove(at);
            assert!(!flaws(&less, &heads).is_empty(), "{at}");
        }
        let tail = flaws(&log[..7], &heads);
        assert_eq!(tail, ["entry 4 of b is missing: what is kept of it names it"]);
    }

    #[test]
    fn every_changed_byte_is_found() {
        let (log, heads) = chains(NOW.0 - DAY);
        let mut tried = 0;
        for at in 0..log.len() {
            for byte in 0..log[at].body.len() {
                let mut body = log[at].body.to_vec();
                body[byte] ^= 0x01;
                let mut changed = log.clone();
                changed[at].body = Bytes::from(body);
                assert!(!flaws(&changed, &heads).is_empty(), "byte {byte} of {at}");
                tried += 1;
            }
        }
        assert!(tried > 800, "{tried}");
    }

    #[test]
    fn an_entry_that_was_put_in_or_moved_is_found() {
        let (log, heads) = chains(NOW.0 - DAY);
        for at in 0..log.len() {
            let mut twice = log.clone();
            twice.insert(at, log[at].clone());
            assert!(!flaws(&twice, &heads).is_empty(), "{at}");
        }
        let mut elsewhere = log.clone();
        elsewhere[7].subject = subject("a");
        assert!(!flaws(&elsewhere, &heads).is_empty());
    }

    /// Whoever removes a chain with its head is told on by a chain that saw it.
    #[test]
    fn a_missing_audit_chain_is_found_without_its_head() {
        let (log, mut heads) = chains(NOW.0 - DAY);
        heads.remove("a");
        assert_eq!(flaws(&log[4..], &heads), ["entry 4 of a is missing: entry 3 of b names it"]);
        let (log, mut heads) = chains(NOW.0 - DAY);
        heads.remove("b");
        assert!(!flaws(&log, &heads).is_empty());
    }

    #[test]
    fn only_audit_entries_that_did_not_expire_are_missed() {
        let keeps = i64::try_from(Log::Audit.keeps().as_millis()).expect("days");
        let (old, heads) = chains(NOW.0 - keeps - DAY);
        assert!(flaws(&old[2..], &heads).is_empty(), "the first two are over");
        assert!(flaws(&[], &heads).is_empty(), "all of them");
        let (young, heads) = chains(NOW.0 - DAY);
        assert!(!flaws(&young[2..], &heads).is_empty());
    }
}
