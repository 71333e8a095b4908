//! Notifications to systemd: ready, a line of status, and the watchdog.

use std::sync::Arc;
use std::time::Duration;

use sd_notify::NotifyState;

use crate::store::{Store, StoreError};
use crate::task::context::TaskContext;

/// How often the status line is renewed when the unit has no watchdog.
const STATUS_EVERY: Duration = Duration::from_secs(10);
/// A third of WatchdogSec=: one feed may be missed, and half of it is what sd_watchdog_enabled(3) asks for at least.
const SHARE: u32 = 3;

/// Feeds the watchdog for as long as there is progress, and not by the clock alone: the turn of this task proves that the
/// main loop turns, and the empty job that the store's thread can commit. A disk that hangs, a lock that never comes back
/// or a loop that spins ends the feeding, and systemd starts the daemon again on what is really on disk.
pub async fn feed(context: Arc<TaskContext>) {
    if std::env::var_os("NOTIFY_SOCKET").is_none() {
        return std::future::pending().await; // nobody listens: no wake-ups for nothing
    }
    let watchdog = sd_notify::watchdog_enabled();
    let pause = watchdog.map_or(STATUS_EVERY, |limit| (limit / SHARE).min(STATUS_EVERY));
    let mut told = String::new();
    loop {
        let answer = context.store.run(|_: &Store| Ok(())).await;
        if matches!(answer, Err(StoreError::Failed(_))) {
            return; // the process is about to end by itself
        }
        if watchdog.is_some() {
            tell(&[NotifyState::Watchdog]);
        }
        let status = status(&context);
        if status != told {
            tell(&[NotifyState::Status(&status)]);
            told = status;
        }
        tokio::time::sleep(pause).await;
    }
}

/// The sockets are open: whoever waits for the unit may go on.
pub fn ready() {
    tell(&[NotifyState::Ready]);
}

/// Another configuration is taken over; [`ready`] follows.
pub fn reloading() {
    tell(&[NotifyState::Reloading]);
}

/// Only what is under way is still done.
pub fn stopping() {
    tell(&[NotifyState::Stopping, NotifyState::Status("stopping: what is under way may finish")]);
}

/// The line of `systemctl status`.
fn status(context: &TaskContext) -> String {
    let mut obstacles = context.readiness.troubles();
    obstacles.extend(context.readiness.pauses(context.machine.now()));
    if obstacles.is_empty() { "events are accepted".to_owned() } else { obstacles.join("; ") }
}

/// Without systemd there is nobody to tell, and that is no failure.
fn tell(states: &[NotifyState]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::debug!(%error, "systemd could not be told");
    }
}
