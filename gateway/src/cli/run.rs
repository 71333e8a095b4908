//! The daemon: configuration, lock, store, sockets, then everything else until a signal.

use std::fs::File;
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer};

use super::{Failure, Place};
use crate::app::{self, Fatal, Listeners};
use crate::chance::Dice;
use crate::store::{Lock, Store};

pub fn run(place: &Place) -> Result<(), Failure> {
    log();
    let config = place.load(false)?;
    let directory = config.site.state_directory.clone();
    let lock = Lock::take(&directory).map_err(|error| match error {
        taken @ crate::store::LockError::Taken(_) => Failure::AlreadyRunning(taken),
        file @ crate::store::LockError::File(..) => Failure::Io(file.into()),
    })?;
    let store = Store::open(&directory, &mut Dice::from_machine())?;
    let runtime = runtime()?;
    let outcome = runtime.block_on(async {
        let listeners = Listeners::open(&config).await.map_err(Failure::Io)?;
        let stop = on_signal()?;
        app::ready();
        tracing::info!(site = config.site.name, listen = %config.http.listen, "ready");
        app::run(config, store, listeners, stop).await.map_err(|fatal| match fatal {
            Fatal::Start(error) => Failure::Io(error),
            disk @ Fatal::Disk(_) => Failure::Io(disk.into()),
        })
    });
    runtime.shutdown_timeout(Duration::from_secs(1));
    drop(lock);
    outcome
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

/// To the journal with its fields (`journalctl -u bellwire BELLWIRE_MESSAGE_ID=7`) where standard error leads there, else to
/// standard error; `BELLWIRE_LOG=debug` says more.
pub(super) fn log() {
    let filter = EnvFilter::try_from_env("BELLWIRE_LOG")
        .unwrap_or_else(|_| EnvFilter::new("info,rumqttc=error,rumqttd=off"));
    let journal = leads_to_journal().then(tracing_journald::layer).and_then(Result::ok);
    let started = match journal {
        Some(journal) => {
            let journal =
                journal.with_field_prefix(Some("BELLWIRE".into())).with_syslog_identifier("bellwire".into());
            tracing_subscriber::registry().with(filter).with(journal).try_init()
        }
        None => tracing_subscriber::registry().with(filter).with(lines()).try_init(),
    };
    drop(started); // a second start in one process (the demo) keeps the first
}

fn lines<S: tracing::Subscriber + for<'a> LookupSpan<'a>>() -> impl Layer<S> {
    tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_target(false)
        .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()))
}

/// systemd names the device and inode of the journal's socket (systemd.exec(5), $JOURNAL_STREAM); whoever has redirected
/// standard error since then wants the lines elsewhere.
fn leads_to_journal() -> bool {
    let stderr = std::io::stderr().as_fd().try_clone_to_owned().map(File::from);
    let Ok(place) = stderr.and_then(|file| file.metadata()) else { return false };
    std::env::var("JOURNAL_STREAM").is_ok_and(|stream| stream == format!("{}:{}", place.dev(), place.ino()))
}
