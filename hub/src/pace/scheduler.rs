//! Whose turn it is: the most severe first, then each site in turn, however much one has.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use bellwire::contact::severity::Severity;
use serde::{Deserialize, Serialize};

/// A tenth of the number's rate is kept for critical messages: a site's flood of others never holds one up.
const RESERVED: f64 = 0.1;
/// A site has at most 16 requests under way (`IN_FLIGHT_MAX` of the gateway).
const WAITING_MAX: usize = 16;
/// Of what is not critical no more waits than leaves in a second: the rest is refused, so that a critical message finds a
/// request of its site free. Two wait always, or a site would be told to come back while it was its turn.
const LESSER_SECONDS: f64 = 1.0;
const LESSER_MIN: usize = 2;
/// How much of a second's share may leave at once.
const BURST_SECONDS: f64 = 0.05;
/// A hub that was not heard for four beats is gone.
const BEAT_LASTS: Duration = Duration::from_secs(1);
/// After Meta has said that it is too fast (130429), half the pace for so long.
const SLOW_FOR: Duration = Duration::from_secs(10);

/// What a hub tells the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Beat {
    /// Sites of which something waits.
    pub sites: u32,
    /// Meta has said that it is too fast.
    pub too_fast: bool,
}

/// Too much of this site waits already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Full;

#[derive(Debug)]
pub struct Pace {
    /// Messages a second over the number, at all hubs.
    rate: f64,
    queues: BTreeMap<std::cmp::Reverse<Severity>, Queue>,
    share: Bucket,
    reserve: Bucket,
    others: BTreeMap<String, (Duration, Beat)>,
    slow_until: Duration,
    /// This hub was told by Meta, and tells the others.
    told_until: Duration,
}

/// What waits of one severity: sites in turn.
#[derive(Debug, Default)]
struct Queue {
    turn: VecDeque<String>,
    waiting: BTreeMap<String, VecDeque<u64>>,
}

#[derive(Debug, Default)]
struct Bucket {
    tokens: f64,
    at: Duration,
}

impl Bucket {
    fn fill(&mut self, rate: f64, most: f64, now: Duration) {
        let passed = now.saturating_sub(self.at).as_secs_f64();
        (self.tokens, self.at) = ((self.tokens + passed * rate).min(most), now);
    }

    fn take(&mut self) -> bool {
        let is_there = self.tokens >= 1.0;
        self.tokens -= f64::from(u8::from(is_there));
        is_there
    }

    fn wait(&self, rate: f64) -> Duration {
        Duration::from_secs_f64(((1.0 - self.tokens).max(0.0) / rate.max(0.01)).min(60.0))
    }
}

impl Queue {
    fn push(&mut self, site: &str, ticket: u64) {
        let waiting = self.waiting.entry(site.to_owned()).or_default();
        if waiting.is_empty() {
            self.turn.push_back(site.to_owned());
        }
        waiting.push_back(ticket);
    }

    fn pop(&mut self) -> Option<u64> {
        let site = self.turn.pop_front()?;
        let waiting = self.waiting.get_mut(&site)?;
        let ticket = waiting.pop_front();
        if waiting.is_empty() {
            self.waiting.remove(&site);
        } else {
            self.turn.push_back(site);
        }
        ticket
    }

    fn forget(&mut self, ticket: u64) {
        self.waiting.values_mut().for_each(|waiting| waiting.retain(|other| *other != ticket));
        self.waiting.retain(|_, waiting| !waiting.is_empty());
        let waiting = &self.waiting;
        self.turn.retain(|site| waiting.contains_key(site));
    }

    fn of(&self, site: &str) -> usize {
        self.waiting.get(site).map_or(0, VecDeque::len)
    }
}

impl Pace {
    #[must_use]
    pub fn new(messages_per_second: u32) -> Self {
        Self {
            rate: f64::from(messages_per_second),
            queues: BTreeMap::new(),
            share: Bucket::default(),
            reserve: Bucket::default(),
            others: BTreeMap::new(),
            slow_until: Duration::ZERO,
            told_until: Duration::ZERO,
        }
    }

    /// A message of that site wants to leave.
    pub fn ask(&mut self, site: &str, severity: Severity, ticket: u64, now: Duration) -> Result<(), Full> {
        let is_critical = severity == Severity::Critical;
        let alike = self.queues.iter().filter(|(at, _)| (at.0 == Severity::Critical) == is_critical);
        let waiting: usize = alike.map(|(_, queue)| queue.of(site)).sum();
        if waiting >= if is_critical { WAITING_MAX } else { self.lesser_max(now) } {
            return Err(Full);
        }
        self.queues.entry(std::cmp::Reverse(severity)).or_default().push(site, ticket);
        Ok(())
    }

    /// It does not want to any more.
    pub fn forget(&mut self, ticket: u64) {
        self.queues.values_mut().for_each(|queue| queue.forget(ticket));
    }

    /// What leaves now.
    pub fn leave(&mut self, now: Duration) -> Vec<u64> {
        let (share, reserve) = self.rates(now);
        self.share.fill(share, 1.0 + share * BURST_SECONDS, now);
        self.reserve.fill(reserve, 1.0 + reserve * BURST_SECONDS, now);
        let mut leave = Vec::new();
        for (severity, queue) in &mut self.queues {
            while !queue.turn.is_empty() {
                let may = self.share.take() || (severity.0 == Severity::Critical && self.reserve.take());
                if !may {
                    break;
                }
                leave.extend(queue.pop());
            }
        }
        leave
    }

    /// When to ask again; `None`: nothing waits.
    #[must_use]
    pub fn next(&self, now: Duration) -> Option<Duration> {
        let (share, reserve) = self.rates(now);
        let waits = self.queues.iter().find(|(_, queue)| !queue.turn.is_empty())?;
        let wait = self.share.wait(share);
        Some(if waits.0.0 == Severity::Critical { wait.min(self.reserve.wait(reserve)) } else { wait })
    }

    #[must_use]
    pub fn beat(&self, now: Duration) -> Beat {
        Beat { sites: self.sites(), too_fast: self.told_until > now }
    }

    pub fn hear(&mut self, hub: &str, beat: Beat, now: Duration) {
        self.others.retain(|_, (at, _)| now.saturating_sub(*at) < BEAT_LASTS);
        self.others.insert(hub.to_owned(), (now, beat));
        if beat.too_fast {
            self.slow_until = self.slow_until.max(now + BEAT_LASTS);
        }
    }

    /// Meta says that it is too fast: nothing was sent, and all hubs go at half the pace for a while.
    pub fn too_fast(&mut self, now: Duration) {
        (self.slow_until, self.told_until) = (now + SLOW_FOR, now + SLOW_FOR);
    }

    /// How many wait at this hub, for who looks.
    #[must_use]
    pub fn waiting(&self, severity: Severity) -> usize {
        let queue = self.queues.get(&std::cmp::Reverse(severity));
        queue.map_or(0, |queue| queue.waiting.values().map(VecDeque::len).sum())
    }

    /// How many hubs there are, as far as this one has heard.
    #[must_use]
    pub fn hubs(&self, now: Duration) -> usize {
        1 + self.others.values().filter(|(at, _)| now.saturating_sub(*at) < BEAT_LASTS).count()
    }

    /// How much that is not critical may wait of one site.
    fn lesser_max(&self, now: Duration) -> usize {
        let a_second = self.rates(now).0 / f64::from(self.sites().max(1)) * LESSER_SECONDS;
        (LESSER_MIN..=WAITING_MAX).rev().find(|max| a_second >= *max as f64).unwrap_or(LESSER_MIN)
    }

    fn sites(&self) -> u32 {
        let sites: std::collections::BTreeSet<_> =
            self.queues.values().flat_map(|queue| queue.waiting.keys()).collect();
        u32::try_from(sites.len()).unwrap_or(u32::MAX)
    }

    /// A second's share of this hub, and of what is kept for critical messages. A hub at which nothing waits reckons as if one
    /// site did: what comes first need not wait for a beat.
    fn rates(&self, now: Duration) -> (f64, f64) {
        let heard = || self.others.values().filter(|(at, _)| now.saturating_sub(*at) < BEAT_LASTS);
        let others: f64 = heard().map(|(_, beat)| f64::from(beat.sites)).sum();
        let hubs = 1.0 + heard().fold(0.0, |hubs, _| hubs + 1.0);
        let own = f64::from(self.sites().max(1));
        let rate = if self.slow_until > now { self.rate / 2.0 } else { self.rate };
        (rate * (1.0 - RESERVED) * own / (own + others), rate * RESERVED / hubs)
    }
}

#[cfg(test)]
mod tests;
