//! How often somebody may try a password.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use crate::chance::backoff;
use crate::time::Timestamp;

/// Tries before the first wait: a person mistypes.
const FREE: u32 = 5;
/// The longest wait: 96 guesses a day.
const WAIT_MAX: Duration = Duration::from_secs(15 * 60);
/// After this without a try it is forgotten.
const FORGET: Duration = Duration::from_secs(24 * 3_600);
/// Addresses that are remembered; when there are more, the one that waits least goes.
const ADDRESSES_MAX: usize = 256;

#[derive(Debug, Default)]
pub struct Throttle(BTreeMap<IpAddr, (u32, Timestamp)>);

impl Throttle {
    /// How long this address must wait; each call that need not wait counts as a try.
    pub fn admit(&mut self, address: IpAddr, now: Timestamp) -> Option<Duration> {
        self.0.retain(|_, (_, last)| *last + FORGET > now);
        if self.0.len() >= ADDRESSES_MAX
            && !self.0.contains_key(&address)
            && let Some(least) = self.0.iter().min_by_key(|(_, entry)| **entry).map(|(address, _)| *address)
        {
            self.0.remove(&least);
        }
        let (tries, last) = self.0.entry(address).or_insert((0, now));
        if *tries >= FREE {
            let free_at = *last + backoff(Duration::from_secs(2), WAIT_MAX, *tries - FREE + 1);
            if free_at > now {
                return Some(now.until(free_at));
            }
        }
        (*tries, *last) = (*tries + 1, now);
        None
    }

    pub fn succeeded(&mut self, address: IpAddr) {
        self.0.remove(&address);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn five_tries_are_free_and_then_each_takes_longer() {
        let (mut throttle, address) = (Throttle::default(), IpAddr::from([192, 0, 2, 1]));
        let at = |seconds: u64| Timestamp(1_795_242_180_000) + Duration::from_secs(seconds);
        for _ in 0..5 {
            assert_eq!(throttle.admit(address, at(0)), None);
        }
        assert_eq!(throttle.admit(address, at(0)), Some(Duration::from_secs(2)));
        assert_eq!(throttle.admit(IpAddr::from([192, 0, 2, 2]), at(0)), None, "another address is free");
        assert_eq!(throttle.admit(address, at(2)), None);
        assert_eq!(throttle.admit(address, at(2)), Some(Duration::from_secs(4)));
        throttle.succeeded(address);
        assert_eq!(throttle.admit(address, at(2)), None);
    }

    #[test]
    fn a_flood_of_addresses_takes_no_memory() {
        let mut throttle = Throttle::default();
        for number in 0..10_000_u32 {
            assert_eq!(throttle.admit(IpAddr::from(number.to_be_bytes()), Timestamp(0)), None);
        }
        assert!(throttle.0.len() <= ADDRESSES_MAX);
    }
}
