//! The rate at which messages may leave: the generic cell rate algorithm, which needs one number a lane and no timer.
//! `scheduler/gates.rs` asks it before a message leaves.

use std::time::Duration;

use crate::time::Timestamp;

/// One message each `every`, and a burst of so many that is paid back afterwards.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateLimit {
    pub every: Duration,
    pub burst: u32,
}

/// Meta, Pair rate limit: one message to the same person each 6 s; a burst of 45 is borrowed (131056 beyond).
pub const PAIR: RateLimit = RateLimit { every: Duration::from_secs(6), burst: 45 };

/// When everything that was sent so far is paid for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bucket(Timestamp);

impl RateLimit {
    /// So many a second, with a burst of one second's worth.
    #[must_use]
    pub fn per_second(rate: u32) -> Self {
        let rate = rate.max(1);
        Self { every: Duration::from_secs(1) / rate, burst: rate }
    }

    /// From when the next message may leave.
    #[must_use]
    pub fn next_allowed(self, meter: Option<Bucket>) -> Timestamp {
        let credit = self.every * self.burst.saturating_sub(1);
        meter.map_or(Timestamp(i64::MIN), |meter| meter.0 - credit)
    }

    /// The number of messages that could leave at once.
    #[must_use]
    pub fn left(self, meter: Bucket, now: Timestamp) -> u32 {
        let owed = now.until(meter.0).as_millis().div_ceil(self.every.as_millis().max(1));
        self.burst.saturating_sub(u32::try_from(owed).unwrap_or(u32::MAX))
    }

    /// One message leaves now.
    #[must_use]
    pub fn take(self, meter: Option<Bucket>, now: Timestamp) -> Bucket {
        Bucket(meter.map_or(now, |meter| meter.0.max(now)) + self.every)
    }
}

impl Bucket {
    /// As it would be if the clock had always shown so much less.
    #[must_use]
    pub fn set_back(self, by: Duration) -> Self {
        Self(self.0 - by)
    }

    /// From when nothing is owed any more: forgetting it changes nothing.
    #[must_use]
    pub fn idle_at(self) -> Timestamp {
        self.0
    }

    #[must_use]
    pub fn is_idle(self, now: Timestamp) -> bool {
        self.0 <= now
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_paid_back() {
        let (mut meter, mut now, mut left) = (None, Timestamp(0), Vec::new());
        while now < Timestamp(600_000) {
            if PAIR.next_allowed(meter) <= now {
                meter = Some(PAIR.take(meter, now));
                left.push(now);
            } else {
                now = PAIR.next_allowed(meter);
            }
        }
        assert_eq!(left.iter().filter(|at| at.0 == 0).count(), 45, "all of the burst at once");
        assert_eq!(left[45], Timestamp(6_000), "then one each 6 s");
        assert_eq!(left.len(), 45 + 99);
        let used = PAIR.take(Some(PAIR.take(None, Timestamp(0))), Timestamp(0));
        assert_eq!(PAIR.left(used, Timestamp(0)), 43);
        assert_eq!(PAIR.left(used, Timestamp(6_000)), 44);
        assert!(meter.is_some_and(|meter| !meter.is_idle(now) && meter.is_idle(now + PAIR.every * 45)));
    }

    #[test]
    fn a_rate_holds_over_a_minute() {
        let pace = RateLimit::per_second(80);
        let (mut meter, mut sent) = (None, 0);
        for millis in 0..60_000 {
            while pace.next_allowed(meter) <= Timestamp(millis) {
                meter = Some(pace.take(meter, Timestamp(millis)));
                sent += 1;
            }
        }
        assert!((80 * 60..=80 * 61 + 80 * 3).contains(&sent), "{sent}"); // 12.5 ms in whole milliseconds is 12
    }
}
