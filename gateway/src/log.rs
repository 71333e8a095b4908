//! Log lines to standard error, or with their fields to the journal where that is behind it, without ever waiting for it: a journal that hangs must not
//! hold an alert back (docs/reliability.md F16). A thread writes; what it cannot take is dropped and counted.

/// Lines as the journal's own datagrams.
mod journal;

use std::io::{IsTerminal, Write};
use std::os::unix::net::UnixDatagram;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

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
    /// With its fields, for the journal.
    Datagram(Vec<u8>),
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
        hand_over(&self.0, Order::Line(line.to_vec()));
        Ok(line.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn hand_over(lines: &SyncSender<Order>, line: Order) {
    if lines.try_send(line).is_err() {
        DROPPED.fetch_add(1, Ordering::Relaxed);
    }
}

/// `BELLWIRE_LOG=debug` says more. A second start in one process keeps the first.
pub fn start() -> Flushing {
    let asked = std::env::var("BELLWIRE_LOG").ok().and_then(|words| words.parse::<Targets>().ok());
    let usual = || Targets::new().with_default(LevelFilter::INFO).with_target("rumqttc", LevelFilter::ERROR);
    let filter = asked.unwrap_or_else(usual);
    let (orders, inbox) = sync_channel(WAITING_MAX);
    let lines = orders.clone();
    let started = if journal::is_behind_stderr() {
        tracing_subscriber::registry().with(filter).with(journal::Journal(lines)).try_init()
    } else {
        let layer = tracing_subscriber::fmt::layer()
            .with_writer(move || Lines(lines.clone()))
            .with_target(false)
            .with_ansi(std::io::stderr().is_terminal());
        tracing_subscriber::registry().with(filter).with(layer).try_init()
    };
    if started.is_ok() {
        let thread = std::thread::Builder::new().name("log".into()).spawn(move || write(&inbox));
        drop(thread); // it lives as long as the process; without it every line is dropped and counted
    }
    Flushing(orders)
}

fn write(inbox: &Receiver<Order>) {
    let journal = UnixDatagram::unbound();
    for order in inbox {
        match order {
            Order::Datagram(line) => {
                let sent = journal.as_ref().map(|journal| journal.send_to(&line, journal::SOCKET));
                if !matches!(sent, Ok(Ok(_))) {
                    DROPPED.fetch_add(1, Ordering::Relaxed); // too long for a datagram, or no journal there
                }
            }
            Order::Line(line) => drop(std::io::stderr().write_all(&line)), // nowhere left to complain
            Order::Flush(done) => drop(done.send(())),
        }
    }
}
