//! Asks the daemon to take over its configuration file, and says what became of it.

use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use super::run::runtime;
use super::{Failure, Place, say};
use crate::started_by::StartedBy;
use crate::store::{Lock, Store, VersionOutcome};
use crate::time::{Clock, SystemClock};

const LOOK_EVERY: Duration = Duration::from_millis(50);
/// 50 s: requests under way may take 32 s to end, and a commit on a slow card some more (`app.rs`).
const LOOKS: u32 = 1_000;

/// A file with problems is not even asked for: they are told here, with their lines.
pub fn run(place: &Place) -> Result<(), Failure> {
    let config = place.load(false)?;
    let text = std::fs::read_to_string(&place.config).map_err(|error| Failure::Io(error.into()))?;
    let directory = config.site.state_directory;
    let Some(process) = Lock::holder(&directory).and_then(Pid::from_raw) else {
        return Err(Failure::Refused(format!(
            "no bellwire runs on {}, as far as this user may know; start it ({}), or ask as root: sudo bellwire reload",
            directory.display(),
            StartedBy::here().start()
        )));
    };
    let store = Store::open_existing(&directory)?;
    let failed = |error: crate::store::Error| Failure::Io(error.into());
    let version = store.is_to_be_taken(&text, SystemClock.now()).map_err(failed)?;
    kill_process(process, Signal::HUP).map_err(|error| {
        Failure::Refused(format!("the daemon cannot be asked ({error}); ask as root: sudo bellwire reload"))
    })?;
    runtime()?.block_on(async {
        for _ in 0..LOOKS {
            match store.outcome_of(version).map_err(failed)? {
                Some((VersionOutcome::Taken, _)) => {
                    say("the configuration is taken over");
                    return Ok(());
                }
                Some((VersionOutcome::Refused, why)) => {
                    let what = format!("it was not taken over, and the one before goes on: {why}");
                    return Err(Failure::Refused(what));
                }
                Some((VersionOutcome::Waiting, _)) | None => tokio::time::sleep(LOOK_EVERY).await,
            }
        }
        let log = StartedBy::here().log();
        Err(Failure::Refused(format!("the daemon has not said what became of it; look at its log: {log}")))
    })
}
