//! The clock and the disk.

use std::io::Write;
use std::path::Path;

use super::Findings;
use crate::config::{Config, exposed};
use crate::started_by::StartedBy;
use crate::store::free_megabytes;
use crate::time::{Clock, SystemClock, Timestamp};

/// Writes that are timed; the slowest counts, since each alert waits for its own.
const SYNCS: usize = 5;
/// A good card takes 5 to 20 ms for an fsync, one that wears out hundreds.
const SYNC_SLOW_MS: u64 = 200;
/// What a month of a busy site needs, with its write-ahead log.
const FREE_MIN_MB: u64 = 200;

pub fn examine(findings: &mut Findings, config: &Config) {
    judge_clock(findings, SystemClock.now());
    for (what, next) in exposed(config) {
        findings.warn("exposure", what, next);
    }
    let directory = &config.site.state_directory;
    match slowest_sync(directory) {
        Ok(slowest) if slowest <= SYNC_SLOW_MS => {
            findings.good("disk", format!("{}: a write is on the disk within {slowest} ms", directory.display()));
        }
        Ok(slowest) => findings.warn(
            "disk",
            format!("{}: a write took {slowest} ms to reach the disk", directory.display()),
            "each event waits that long; is the card worn out, or something else writing? A USB disk or another card helps",
        ),
        Err(error) => findings.fail(
            "disk",
            format!("{} cannot be written: {error}", directory.display()),
            format!("run this as the daemon's user ({} doctor); create the directory if it is missing", StartedBy::here().program()),
        ),
    }
    if let Some(megabytes) = free_megabytes(directory).filter(|megabytes| *megabytes < FREE_MIN_MB) {
        findings.warn(
            "disk",
            format!("{} has {megabytes} MB left", directory.display()),
            "free some space: when it is full nothing is accepted",
        );
    }
}

fn judge_clock(findings: &mut Findings, now: Timestamp) {
    if now.is_sane() {
        findings.good("clock", format!("it is {now}"));
    } else {
        findings.fail(
            "clock",
            format!("the machine's clock says {now}: certificates seem not valid yet, and messages carry the wrong time"),
            "let it reach a time server (timedatectl set-ntp true), or fit a battery-backed clock",
        );
    }
}

fn slowest_sync(directory: &Path) -> std::io::Result<u64> {
    let path = directory.join("doctor.probe");
    let timed = (|| {
        drop(std::fs::remove_file(&path)); // left by an earlier look, or planted: a link would be written through
        let mut file = std::fs::File::options().write(true).create_new(true).open(&path)?;
        let mut slowest = 0;
        for _ in 0..SYNCS {
            let begun = SystemClock.now();
            file.write_all(&[0; 4_096])?;
            file.sync_all()?;
            slowest = slowest.max(begun.until(SystemClock.now()).as_millis());
        }
        Ok(u64::try_from(slowest).unwrap_or(u64::MAX))
    })();
    drop(std::fs::remove_file(&path)); // it was not made, or it goes with the next look
    timed
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::{Severity, worst};

    #[test]
    fn only_a_clock_that_was_never_set_is_an_error() {
        for (seconds, severity) in
            [(0, Severity::Error), (86_400 * 365, Severity::Error), (1_795_000_000, Severity::Good)]
        {
            let mut findings = Findings::default();
            judge_clock(&mut findings, Timestamp(seconds * 1_000));
            assert_eq!(worst(&findings.found), severity, "{:?}", findings.found);
        }
    }
}
