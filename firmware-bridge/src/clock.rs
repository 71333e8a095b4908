//! The gateway's time on a device without a clock, and the wait between two tries.

/// Milliseconds of the device's own clock: any start, never back.
pub type Millis = u64;

/// When an event was accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Moment {
    Unknown,
    /// Milliseconds since 1970.
    Unix(u64),
    /// The device's own clock, in the start that accepted the event: the gateway's time was not known yet.
    Uptime(Millis),
}

/// A moment before a kept event's fields.
pub(crate) const MOMENT_BYTES: usize = 8;
/// Marks an uptime; no clock comes so far.
const UPTIME: u64 = 1 << 63;

impl Moment {
    pub(crate) fn to_bytes(self) -> [u8; MOMENT_BYTES] {
        match self {
            Self::Unknown => 0,
            Self::Unix(at) => at & !UPTIME,
            Self::Uptime(at) => at | UPTIME,
        }
        .to_le_bytes()
    }

    pub(crate) fn from_bytes(bytes: [u8; MOMENT_BYTES]) -> Self {
        match u64::from_le_bytes(bytes) {
            0 => Self::Unknown,
            at if at & UPTIME == 0 => Self::Unix(at),
            at => Self::Uptime(at & !UPTIME),
        }
    }
}

/// What the last welcome said about the time.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock {
    unix_ms: u64,
    /// When the hello was sent that the welcome answers.
    asked_at: Millis,
    heard_at: Millis,
}

/// A welcome that took longer says too little about the time.
const ROUND_TRIP_MAX_MS: u64 = 10_000;
/// The device's clock may be wrong by one part in this many: RC oscillators are within 0.5 % when trimmed, crystals far
/// better.
const DRIFT: u64 = 128;

impl Clock {
    pub(crate) fn heard(unix_ms: u64, asked_at: Millis, now: Millis) -> Option<Self> {
        let usable = unix_ms > 0 && now.saturating_sub(asked_at) <= ROUND_TRIP_MAX_MS;
        usable.then_some(Self { unix_ms, asked_at, heard_at: now })
    }

    /// The best guess for a moment of the device's clock, also one before: the welcome was written half way between the
    /// hello and its arrival.
    pub(crate) fn guess(&self, at: Millis) -> u64 {
        let written_at = self.asked_at.midpoint(self.heard_at);
        self.unix_ms
            .saturating_add(at.saturating_sub(written_at))
            .saturating_sub(written_at.saturating_sub(at))
    }

    /// The gateway's clock does not show more than this: the welcome was written after the hello was sent.
    pub(crate) fn latest(&self, now: Millis) -> u64 {
        let since = now.saturating_sub(self.asked_at);
        self.unix_ms.saturating_add(since).saturating_add(since / DRIFT)
    }
}

/// When to try again, and how patiently.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Retry {
    pub(crate) due: Millis,
    tries: u8,
}

/// A serial round trip with its commit is below 200 ms, an MQTT one below a second.
const FIRST_MS: u64 = 1_000;
/// 1 s, 2 s, 4 s ... 64 s.
const DOUBLINGS_MAX: u8 = 6;

impl Retry {
    /// After a try at `now`. `dice` spreads the devices of one broker over a quarter of the wait.
    pub(crate) fn tried(&mut self, now: Millis, dice: &mut u32) {
        let wait = FIRST_MS << self.tries.min(DOUBLINGS_MAX);
        self.tries = self.tries.saturating_add(1).min(DOUBLINGS_MAX);
        *dice = roll(*dice);
        let spread = (wait / 4).saturating_mul(u64::from(*dice >> 16)) >> 16;
        self.due = now.saturating_add(wait).saturating_add(spread);
    }

    pub(crate) fn at(due: Millis) -> Self {
        Self { due, tries: 0 }
    }
}

/// Marsaglia's xorshift (2003): good enough to spread devices, and nothing else.
fn roll(dice: u32) -> u32 {
    let dice = dice.max(1);
    let dice = dice ^ (dice << 13);
    let dice = dice ^ (dice >> 17);
    dice ^ (dice << 5)
}
