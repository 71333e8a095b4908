//! Log lines to standard error, where journald reads them, without ever waiting for it: a journal that hangs must not
//! hold an alert back (RELIABILITY F16). A thread writes; what it cannot take is dropped and counted.

use std::io::{IsTerminal, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

use tracing_subscriber::EnvFilter;

/// Lines that wait for the journal: some seconds of a busy daemon, 200 KiB.
const WAITING_MAX: usize = 1_000;
/// At the end the last lines get this long to be written.
const FLUSH: Duration = Duration::from_secs(1);

static DROPPED: AtomicU64 = AtomicU64::new(0);

/// Lines that nobody will read.
#[must_use]
pub fn dropped() -> u64 {
    DROPPED.load(Ordering::Relaxed)
}

enum Order {
    Line(Vec<u8>),
    /// Answers when every line before it is written.
    Flush(SyncSender<()>),
}

/// Writes the last lines when it goes.
#[derive(Debug)]
#[must_use = "the last lines are lost without it"]
pub struct Flushing(SyncSender<Order>);

impl Drop for Flushing {
    fn drop(&mut self) {
        let (done, waiting) = sync_channel(1);
        if self.0.try_send(Order::Flush(done)).is_ok() {
            let _in_time = waiting.recv_timeout(FLUSH); // a journal that still hangs is left behind
        }
    }
}

struct Lines(SyncSender<Order>);

impl Write for Lines {
    fn write(&mut self, line: &[u8]) -> std::io::Result<usize> {
        if self.0.try_send(Order::Line(line.to_vec())).is_err() {
            DROPPED.fetch_add(1, Ordering::Relaxed);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// `BELLWIRE_LOG=debug` says more. A second start in one process keeps the first.
pub fn start() -> Flushing {
    let filter = EnvFilter::try_from_env("BELLWIRE_LOG")
        .unwrap_or_else(|_| EnvFilter::new("info,rumqttc=error,rumqttd=off"));
    let (orders, inbox) = sync_channel(WAITING_MAX);
    let lines = orders.clone();
    let started = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(move || Lines(lines.clone()))
        .with_target(false)
        .with_ansi(std::io::stderr().is_terminal())
        .try_init();
    if started.is_ok() {
        let thread = std::thread::Builder::new().name("log".into()).spawn(move || write(&inbox));
        drop(thread); // it lives as long as the process; without it every line is dropped and counted
    }
    Flushing(orders)
}

fn write(inbox: &Receiver<Order>) {
    for order in inbox {
        match order {
            Order::Line(line) => drop(std::io::stderr().write_all(&line)), // nowhere left to complain
            Order::Flush(done) => drop(done.send(())),
        }
    }
}
