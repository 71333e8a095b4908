//! The machine that the loops run on: its clocks and timers, its chance, its tasks and its file system. The daemon hands in the
//! real one, a simulation its own.

use std::fmt;
use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::time::{Duration, SystemTime};

use crate::random::Rng;
use crate::time::{Clock, Now, SystemClock, Timestamp};

/// Something that goes on by itself.
pub type Job = Pin<Box<dyn Future<Output = ()> + Send>>;

/// When a file was written last, and how long it is.
pub type FileMark = Option<(SystemTime, u64)>;

pub trait Machine: fmt::Debug + Send + Sync {
    fn now(&self) -> Timestamp;
    fn both(&self) -> Now;
    fn dice(&self) -> Rng;
    /// By the steady clock.
    fn sleep(&self, how_long: Duration) -> Job;
    fn spawn(&self, task: Job);
    fn mark(&self, file: &Path) -> FileMark;
}

#[derive(Debug, Clone, Copy)]
pub struct SystemMachine;

impl Machine for SystemMachine {
    fn now(&self) -> Timestamp {
        SystemClock.now()
    }

    fn both(&self) -> Now {
        SystemClock.both()
    }

    fn dice(&self) -> Rng {
        Rng::from_machine()
    }

    fn sleep(&self, how_long: Duration) -> Job {
        Box::pin(tokio::time::sleep(how_long))
    }

    fn spawn(&self, task: Job) {
        tokio::spawn(task);
    }

    fn mark(&self, file: &Path) -> FileMark {
        let file = std::fs::metadata(file).ok()?;
        Some((file.modified().ok()?, file.len()))
    }
}
