//! How often somebody may try a password.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use crate::random::backoff;
use crate::time::Timestamp;

/// The longest wait: 96 guesses a day.
const WAIT_MAX: Duration = Duration::from_secs(15 * 60);
/// After this without a try it is forgotten.
const FORGET: Duration = Duration::from_secs(24 * 3_600);
/// Keys that are remembered; when there are more, the one that waits least goes.
const KEYS_MAX: usize = 256;

/// Whose tries are counted together.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Key {
    Address(IpAddr),
    /// A proxy that is not trusted, and whom it names.
    Claimed(IpAddr, IpAddr),
    /// All through such a proxy.
    Proxy(IpAddr),
    /// A browser that was logged in before.
    Known(String),
}

#[derive(Debug, Default)]
pub struct RateLimiter(BTreeMap<Key, (u32, Timestamp)>);

impl RateLimiter {
    /// How long must be waited, each key having that many tries for nothing; a call that need not wait counts as one.
    pub fn admit(&mut self, keys: &[(Key, u32)], now: Timestamp) -> Option<Duration> {
        self.0.retain(|_, (_, last)| *last + FORGET > now);
        let wait = keys.iter().filter_map(|(key, free)| self.wait(key, *free, now)).max();
        if wait.is_none() {
            keys.iter().for_each(|(key, _)| self.count(key, now));
        }
        wait
    }

    fn wait(&self, key: &Key, free: u32, now: Timestamp) -> Option<Duration> {
        let (tries, last) = self.0.get(key).filter(|(tries, _)| *tries >= free)?;
        let free_at = *last + backoff(Duration::from_secs(2), WAIT_MAX, tries - free + 1);
        (free_at > now).then(|| now.until(free_at))
    }

    fn count(&mut self, key: &Key, now: Timestamp) {
        if self.0.len() >= KEYS_MAX
            && !self.0.contains_key(key)
            && let Some(least) = self.0.iter().min_by_key(|(_, entry)| **entry).map(|(key, _)| key.clone())
        {
            self.0.remove(&least);
        }
        let (tries, last) = self.0.entry(key.clone()).or_insert((0, now));
        (*tries, *last) = (*tries + 1, now);
    }

    /// What others tried through the same proxy stays counted.
    pub fn succeeded(&mut self, keys: &[(Key, u32)]) {
        let own = keys.iter().filter(|(key, _)| !matches!(key, Key::Proxy(_)));
        for (key, _) in own {
            self.0.remove(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(last: u8) -> [(Key, u32); 1] {
        [(Key::Address(IpAddr::from([192, 0, 2, last])), 5)]
    }

    #[test]
    fn five_tries_are_free_and_then_each_takes_longer() {
        let mut throttle = RateLimiter::default();
        let at = |seconds: u64| Timestamp(1_795_242_180_000) + Duration::from_secs(seconds);
        for _ in 0..5 {
            assert_eq!(throttle.admit(&key(1), at(0)), None);
        }
        assert_eq!(throttle.admit(&key(1), at(0)), Some(Duration::from_secs(2)));
        assert_eq!(throttle.admit(&key(2), at(0)), None, "another address is free");
        assert_eq!(throttle.admit(&key(1), at(2)), None);
        assert_eq!(throttle.admit(&key(1), at(2)), Some(Duration::from_secs(4)));
        throttle.succeeded(&key(1));
        assert_eq!(throttle.admit(&key(1), at(2)), None);
    }

    #[test]
    fn a_proxys_visitors_are_limited_separately_and_together() {
        let (mut throttle, now) = (RateLimiter::default(), Timestamp(1_795_242_180_000));
        let proxy = IpAddr::from([192, 0, 2, 1]);
        let through = |visitor: u8| {
            let visitor = IpAddr::from([198, 51, 100, visitor]);
            [(Key::Claimed(proxy, visitor), 5), (Key::Proxy(proxy), 50)]
        };
        for visitor in 0..6 {
            assert_eq!(throttle.admit(&through(visitor), now), None);
        }
        assert_eq!(throttle.admit(&through(7), now), None, "six strangers keep nobody out");
        for visitor in 8..51 {
            assert_eq!(throttle.admit(&through(visitor), now), None, "{visitor}");
        }
        assert!(
            throttle.admit(&through(60), now).is_some(),
            "names that are made up give no tries without end"
        );
        throttle.succeeded(&through(7));
        assert!(throttle.admit(&through(60), now).is_some(), "nor does a right one");
        assert_eq!(
            throttle.admit(&[(Key::Known("a".into()), 5)], now),
            None,
            "whoever was here before is let in"
        );
    }

    #[test]
    fn a_flood_of_addresses_takes_no_memory() {
        let mut throttle = RateLimiter::default();
        for number in 0..10_000_u32 {
            let key = [(Key::Address(IpAddr::from(number.to_be_bytes())), 5)];
            assert_eq!(throttle.admit(&key, Timestamp(0)), None);
        }
        assert!(throttle.0.len() <= KEYS_MAX);
    }
}
