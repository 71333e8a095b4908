//! One port: open, read, write, open again.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Error, ErrorKind};
use std::time::Duration;

use firmware_bridge::Kind;
use firmware_bridge::frame::{Decoder, Encoder, Found, OVERHEAD_BYTES};
use firmware_bridge::message::TO_GATEWAY_MAX_BYTES;
use serial2_tokio::SerialPort;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout};

use crate::config::Serial;
use crate::random::{Rng, backoff};

/// A cable that is put back is noticed within seconds; to look whether the path is there costs one system call.
const OPEN_FIRST: Duration = Duration::from_millis(250);
const OPEN_LIMIT: Duration = Duration::from_secs(5);
/// Open for so long, a port that goes away again is looked for soon.
const HEALTHY: Duration = Duration::from_secs(60);
/// Frames of all ports that wait to be understood: eight devices' windows of eight events. Beyond it ports are read no
/// further; the kernel's 4 KiB a port fill up, and what is lost then the device sends again.
const NOTICES: usize = 64;
/// Frames that wait for one port: the acknowledgements of two windows of eight, a welcome, a command. What finds no room
/// is asked for again by the device, or sent again to it.
const OUTGOING: usize = 18;
/// The longest frame takes 0.2 s at 9,600 baud; a line that takes nothing for so long is stuck.
const WRITE_PATIENCE: Duration = Duration::from_secs(2);
const CHUNK_BYTES: usize = 1_024;
/// Bytes came so often, so far apart, and none of them made a frame: this is no device of ours, or another baud. One that
/// is not welcomed says hello after 0, 1, 3, 7 and 15 s; what a board prints when it starts is one burst or two.
const NOISE_BURSTS: u32 = 5;
const BURST_PAUSE: Duration = Duration::from_millis(500);

/// What comes up.
#[derive(Debug)]
pub enum PortEvent {
    Opened {
        port: String,
    },
    Gone {
        port: String,
        reason: String,
    },
    Frame {
        port: String,
        kind: Kind,
        message: Vec<u8>,
    },
    /// A frame was damaged on the line, or of no kind that we know. Bits that the UART itself found wrong end here too.
    Damaged {
        port: String,
    },
    Unknown {
        port: String,
    },
    /// Nothing but noise for a while; told once until there is a frame.
    Noise {
        port: String,
        baud: u32,
    },
}

/// What goes down. Never waits. The ports are closed with the last copy.
#[derive(Debug, Clone)]
pub struct Ports {
    lines: BTreeMap<String, Line>,
}

#[derive(Debug, Clone)]
struct Line {
    frames: mpsc::Sender<Vec<u8>>,
}

/// What comes up, and which ports are open by what has been received so far.
#[derive(Debug)]
pub struct PortEvents {
    received: mpsc::Receiver<PortEvent>,
    open: BTreeSet<String>,
}

impl PortEvents {
    pub async fn recv(&mut self) -> Option<PortEvent> {
        let event = self.received.recv().await?;
        Some(self.noted(event))
    }

    /// What has come already.
    pub fn try_recv(&mut self) -> Option<PortEvent> {
        let event = self.received.try_recv().ok()?;
        Some(self.noted(event))
    }

    fn noted(&mut self, event: PortEvent) -> PortEvent {
        match &event {
            PortEvent::Opened { port } => drop(self.open.insert(port.clone())),
            PortEvent::Gone { port, .. } => drop(self.open.remove(port)),
            PortEvent::Frame { .. }
            | PortEvent::Damaged { .. }
            | PortEvent::Unknown { .. }
            | PortEvent::Noise { .. } => {}
        }
        event
    }

    /// For whoever was not there when they were opened.
    #[must_use]
    pub fn open(&self) -> Vec<String> {
        self.open.iter().cloned().collect()
    }
}

impl Ports {
    /// `false`: there is no such port, or no room.
    #[must_use]
    pub fn send(&self, port: &str, kind: Kind, message: &[u8]) -> bool {
        let frame = || Encoder::new(kind, message).collect();
        self.lines.get(port).is_some_and(|line| line.frames.try_send(frame()).is_ok())
    }
}

/// Starts a task for each port on the current runtime.
#[must_use]
pub fn start(configured: &[Serial]) -> (Ports, PortEvents) {
    let (notices, received) = mpsc::channel(NOTICES);
    let mut lines = BTreeMap::new();
    for serial in configured {
        let (frames, outgoing) = mpsc::channel(OUTGOING);
        let port = serial.path.display().to_string();
        lines.insert(port.clone(), Line { frames });
        let task = Task { serial: serial.clone(), port, notices: notices.clone(), outgoing };
        tokio::spawn(task.run(Rng::from_machine()));
    }
    (Ports { lines }, PortEvents { received, open: BTreeSet::new() })
}

struct Task {
    serial: Serial,
    port: String,
    notices: mpsc::Sender<PortEvent>,
    outgoing: mpsc::Receiver<Vec<u8>>,
}

impl Task {
    async fn run(mut self, mut dice: Rng) {
        let mut failures = 0;
        loop {
            let began = Instant::now();
            let (reason, was_open) = match SerialPort::open(&self.serial.path, self.serial.baud) {
                Ok(line) => (self.converse(&line).await, true),
                Err(error) => (advice(&error), false),
            };
            if self.outgoing.is_closed() {
                return; // nobody speaks over it any more
            }
            failures = if was_open && began.elapsed() > HEALTHY { 1 } else { failures + 1 };
            // A port that stays away is told of once.
            let told = was_open || failures == 1;
            if told && self.notices.send(PortEvent::Gone { port: self.port.clone(), reason }).await.is_err() {
                return; // the daemon has ended
            }
            sleep(dice.jitter(backoff(OPEN_FIRST, OPEN_LIMIT, failures))).await;
        }
    }

    /// Until the line ends; the reason is a sentence.
    async fn converse(&mut self, line: &SerialPort) -> String {
        while self.outgoing.try_recv().is_ok() {} // for whoever was at the other end before
        if self.notices.send(PortEvent::Opened { port: self.port.clone() }).await.is_err() {
            return "the daemon ends".to_owned();
        }
        let mut decoder = Decoder::<{ TO_GATEWAY_MAX_BYTES + OVERHEAD_BYTES }>::default();
        let mut chunk = [0; CHUNK_BYTES];
        let mut noise = Noise::default();
        loop {
            tokio::select! {
                read = line.read(&mut chunk) => match read {
                    Ok(0) => return "it was unplugged, or its other end was closed".to_owned(),
                    Ok(count) => {
                        let understood = self.take(&mut decoder, &chunk[..count]).await;
                        if noise.is_one_burst_too_many(understood, Instant::now()) {
                            let (port, baud) = (self.port.clone(), self.serial.baud);
                            drop(self.notices.send(PortEvent::Noise { port, baud }).await);
                        }
                    }
                    Err(error) => return advice(&error),
                },
                frame = self.outgoing.recv() => match frame {
                    None => return "nobody speaks over it any more".to_owned(),
                    Some(frame) => match timeout(WRITE_PATIENCE, line.write_all(&frame)).await {
                    Ok(Ok(())) => {}
                    Ok(Err(error)) => return advice(&error),
                    Err(_) => return format!("it has taken nothing for {} s", WRITE_PATIENCE.as_secs()),
                    },
                },
            }
        }
    }

    /// Whether there was a frame among the bytes.
    async fn take<const N: usize>(&self, decoder: &mut Decoder<N>, bytes: &[u8]) -> bool {
        let mut understood = false;
        for byte in bytes {
            let port = || self.port.clone();
            let notice = match decoder.push(*byte) {
                Found::Nothing => continue,
                Found::Frame { kind: Some(kind), message } => {
                    PortEvent::Frame { port: port(), kind, message: message.to_vec() }
                }
                Found::Frame { kind: None, .. } => PortEvent::Unknown { port: port() },
                Found::Damaged => PortEvent::Damaged { port: port() },
            };
            understood |= matches!(notice, PortEvent::Frame { .. });
            drop(self.notices.send(notice).await); // nobody listens after the end
        }
        understood
    }
}

/// Bursts of bytes since the last frame.
#[derive(Default)]
struct Noise {
    bursts: u32,
    last: Option<Instant>,
}

impl Noise {
    fn is_one_burst_too_many(&mut self, understood: bool, now: Instant) -> bool {
        if understood {
            *self = Self::default();
            return false;
        }
        let begins = self.last.is_none_or(|last| now.duration_since(last) >= BURST_PAUSE);
        self.last = Some(now);
        self.bursts += u32::from(begins && self.bursts <= NOISE_BURSTS); // beyond it is told already
        begins && self.bursts == NOISE_BURSTS
    }
}

fn advice(error: &Error) -> String {
    let next = if error.kind() == ErrorKind::NotFound {
        "; is it plugged in? `ls /dev/serial/by-id` shows what is"
    } else if error.kind() == ErrorKind::PermissionDenied {
        "; let the user that runs bellwire use it: docs/devices.md tells how"
    } else {
        ""
    };
    format!("{error}{next}")
}
