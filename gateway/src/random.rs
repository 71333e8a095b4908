//! The only dice. Seeded in a simulation, drawn from the machine in the daemon.

use std::time::Duration;

/// A source of chance that a test can repeat.
#[derive(Debug)]
pub struct Rng {
    rng: fastrand::Rng,
    is_seeded: bool,
}

impl Rng {
    #[must_use]
    pub fn seeded(seed: u64) -> Self {
        Self { rng: fastrand::Rng::with_seed(seed), is_seeded: true }
    }

    #[expect(clippy::disallowed_methods, reason = "the one place that draws from the machine")]
    #[must_use]
    pub fn from_machine() -> Self {
        Self { rng: fastrand::Rng::new(), is_seeded: false }
    }

    /// A number below `bound`; zero when the bound is zero.
    pub fn below(&mut self, bound: u64) -> u64 {
        if bound == 0 { 0 } else { self.rng.u64(0..bound) }
    }

    /// Eight lower-case hex digits.
    pub fn tag(&mut self) -> String {
        format!("{:08x}", self.rng.u32(..))
    }

    /// A key that nobody can guess, from the operating system; `None` when it gives none. A simulation's is drawn from its
    /// seed like everything else.
    pub fn secret_key(&mut self) -> Option<[u8; 32]> {
        let mut key = [0; 32];
        if self.is_seeded {
            self.rng.fill(&mut key);
            return Some(key);
        }
        rustls::crypto::ring::default_provider().secure_random.fill(&mut key).ok().map(|()| key)
    }

    /// Full jitter: anything between a quarter of the duration and the whole of it. The quarter keeps a floor, so
    /// that a retry is never immediate.
    pub fn jitter(&mut self, whole: Duration) -> Duration {
        let millis = u64::try_from(whole.as_millis()).unwrap_or(u64::MAX);
        Duration::from_millis(millis / 4 + self.below(millis - millis / 4 + 1))
    }
}

/// Bytes that nobody can guess, for keys; `None` when the machine has none. Not for anything that a test repeats.
#[must_use]
pub fn random_bytes<const N: usize>() -> Option<[u8; N]> {
    let mut bytes = [0; N];
    rustls::crypto::ring::default_provider().secure_random.fill(&mut bytes).ok().map(|()| bytes)
}

/// Doubling from `first` to `limit`; `attempt` counts from 1.
#[must_use]
pub fn backoff(first: Duration, limit: Duration, attempt: u32) -> Duration {
    first.saturating_mul(2_u32.saturating_pow(attempt.saturating_sub(1).min(31))).min(limit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backoff_doubles_up_to_its_limit() {
        let (first, limit) = (Duration::from_secs(1), Duration::from_secs(60));
        let waits: Vec<u64> = (1..9).map(|attempt| backoff(first, limit, attempt).as_secs()).collect();
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60, 60]);
        assert_eq!(backoff(first, limit, u32::MAX), limit);
    }

    #[test]
    fn jitter_stays_between_a_quarter_and_the_whole() {
        let mut dice = Rng::seeded(7);
        for _ in 0..1_000 {
            let wait = dice.jitter(Duration::from_secs(8));
            assert!((2_000..=8_000).contains(&wait.as_millis()), "{wait:?}");
        }
    }
}
