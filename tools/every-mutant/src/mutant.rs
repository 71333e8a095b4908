//! This file goes into the program that is tested: which of its changes is the one that holds in this run.

use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{LazyLock, Mutex};

static CHANGED: LazyLock<usize> =
    LazyLock::new(|| std::env::var("MUTANT").ok().and_then(|number| number.parse().ok()).unwrap_or(0));
static TRACE: LazyLock<Option<Mutex<std::fs::File>>> =
    LazyLock::new(|| Some(Mutex::new(std::fs::File::create(std::env::var_os("MUTANT_TRACE")?).ok()?)));
static SEEN: [AtomicBool; 20_000] = [const { AtomicBool::new(false) }; 20_000];

/// Whether change `number` holds; with MUTANT_TRACE, which changes a test ever comes to.
pub fn on(number: usize) -> bool {
    if let Some(trace) = &*TRACE
        && !SEEN[number].swap(true, Ordering::Relaxed)
    {
        let _ = writeln!(trace.lock().unwrap(), "{number}");
    }
    *CHANGED == number
}

/// What a function gives back that gives back an iterator: its own, or the change's.
pub fn instead<Own: Iterator, Other: Iterator<Item = Own::Item>>(
    number: usize,
    own: Own,
    other: Other,
) -> Either<Own, Other> {
    if on(number) { Either::Other(other) } else { Either::Own(own) }
}

pub enum Either<Own, Other> {
    Own(Own),
    Other(Other),
}

impl<Own: Iterator, Other: Iterator<Item = Own::Item>> Iterator for Either<Own, Other> {
    type Item = Own::Item;

    fn next(&mut self) -> Option<Self::Item> {
        match self {
            Self::Own(own) => own.next(),
            Self::Other(other) => other.next(),
        }
    }
}
