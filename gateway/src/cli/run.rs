//! The daemon: configuration, lock, store, sockets, then everything else until a signal.

use std::path::Path;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use super::{Failure, Place};
use crate::app::{self, Fatal, Listeners, ReloadHandle, Start};
use crate::config::{Config, ConfigurationFile, LoadOptions};
use crate::random::Rng;
use crate::store::{Lock, Store};
use crate::time::{Clock, SystemClock};

pub fn run(place: &Place) -> Result<(), Failure> {
    let _flushing = crate::log::start();
    let (config, text) = place.load_to_run(false)?;
    let directory = config.site.state_directory.clone();
    let lock = Lock::take(&directory)?;
    let store = Store::open(&directory, &mut Rng::from_machine())?;
    if let Some(why) = store.copy_stopped().map_err(|error| Failure::Io(error.into()))? {
        return Err(Failure::Stopped(why));
    }
    let config = place.owned_by(&store, config, false)?;
    note_version(&store, &place.config, &config, text.as_deref())?;
    let client_tag = store.client_tag().map_err(|error| Failure::Io(error.into()))?;
    let options = LoadOptions { client_tag, ..place.wishes(false) };
    let (reload, requests) = ReloadHandle::new(ConfigurationFile { path: place.config.clone(), options });
    let runtime = runtime()?;
    let outcome = runtime.block_on(async {
        let listeners = listen(&config).await?;
        if let Some(text) = text {
            app::keep(&directory, &text);
        }
        let stop = on_signal()?;
        on_hangup(reload.clone())?;
        let start = Start { config, store, listeners, reload, requests };
        app::run(start, stop).await.map_err(|fatal| match fatal {
            Fatal::Start(error) => Failure::Io(error),
            Fatal::Stopped(why) => Failure::Stopped(why),
            ended @ (Fatal::Disk(_) | Fatal::Refused(_) | Fatal::Task(_)) => Failure::Io(ended.into()),
        })
    });
    runtime.shutdown_timeout(Duration::from_secs(1));
    drop(lock);
    outcome
}

/// Between tries of a port that cannot be opened, a minute in all; then systemd starts a new process. Its own `RestartSteps=`,
/// which would make the pauses longer, came with version 254; Debian 12 has 252.
const LISTEN_PAUSES: [u64; 5] = [2, 4, 8, 16, 30];

/// Under systemd it waits for a port or an address that may come; whoever types the command hears of it at once.
async fn listen(config: &Config) -> Result<Listeners, Failure> {
    let is_service = std::env::var_os("NOTIFY_SOCKET").is_some();
    for (number, pause) in LISTEN_PAUSES.into_iter().enumerate().filter(|_| is_service) {
        match Listeners::open(&config.http).await {
            Err(error) if !error.is_mistake() => {
                if number == 0 {
                    tracing::error!(%error, "it is tried again, first every few seconds, then every half minute");
                }
                tokio::time::sleep(Duration::from_secs(pause)).await;
            }
            opened => return opened.map_err(Failure::Listen),
        }
    }
    Listeners::open(&config.http).await.map_err(Failure::Listen)
}

/// The history of the configuration has what it starts with, or that the file is not that.
fn note_version(store: &Store, file: &Path, config: &Config, text: Option<&str>) -> Result<(), Failure> {
    let now = SystemClock.now();
    let noted = store.transaction(|store| match (text, &config.stands_in) {
        (Some(text), _) => store.runs_with(text, now),
        (None, Some(why)) => match std::fs::read_to_string(file) {
            Ok(text) => store.runs_without(&text, why, now),
            Err(_) => Ok(()), // there is no text to keep
        },
        (None, None) => Ok(()),
    });
    noted.map_err(|error| Failure::Io(error.into()))
}

/// One thread for everything but the store: order that can be reasoned about, and a small footprint.
pub(super) fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::Io(error.into()))
}

/// Becomes true at SIGTERM or SIGINT.
pub(super) fn on_signal() -> Result<watch::Receiver<bool>, Failure> {
    let wrap = |error: std::io::Error| Failure::Io(error.into());
    let mut terminate = signal(SignalKind::terminate()).map_err(wrap)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(wrap)?;
    let (stop, stopped) = watch::channel(false);
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("stopping: what is under way may finish, everything else waits on disk");
        stop.send_replace(true);
        std::future::pending::<()>().await; // the channel must outlive the daemon
    });
    Ok(stopped)
}

/// SIGHUP: the configuration is read again.
fn on_hangup(reload: ReloadHandle) -> Result<(), Failure> {
    let mut hangup = signal(SignalKind::hangup()).map_err(|error| Failure::Io(error.into()))?;
    tokio::spawn(async move {
        while hangup.recv().await.is_some() {
            reload.request("SIGHUP");
        }
    });
    Ok(())
}
