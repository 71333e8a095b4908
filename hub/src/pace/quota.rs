//! How many messages a site may send, in a minute and in a day: what a stolen one can do before somebody revokes it, and what a
//! mistake in a rule can cost.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Refused, Scope};
use crate::engine::{Engine, Table, change, json};
use crate::sites::Quota;

/// A day's quota is taken from the engine in fifty parts, so that two hubs do not change one row for each message: with many
/// writers a row takes 87 changes a second.
const PARTS: u32 = 50;
/// A site that has used up its day asks again after this: the quota may be raised meanwhile.
const DAY_PAUSE: Duration = Duration::from_secs(15 * 60);
const MINUTE: Duration = Duration::from_secs(60);
const DAY: i64 = 24 * 3_600 * 1_000;

/// A row of that table; its key is the site's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
struct Taken {
    /// Days since 1970, UTC.
    day: i64,
    messages: u32,
}

/// At this hub.
#[derive(Debug, Default)]
struct Used {
    day: i64,
    /// Of what was taken from the engine.
    left: u32,
    /// When each message of the last minute left.
    minute: std::collections::VecDeque<Duration>,
}

#[derive(Clone)]
pub struct Quotas<E> {
    engine: E,
    used: Arc<Mutex<BTreeMap<String, Used>>>,
}

impl<E: Engine> Quotas<E> {
    pub fn new(engine: E) -> Self {
        Self { engine, used: Arc::default() }
    }

    /// Takes one message of the site's quota, of which each of so many hubs has its share of a minute. `now`: milliseconds since
    /// 1970, and a clock that never goes back.
    pub async fn take(
        &self,
        site: &str,
        quota: &Quota,
        hubs: usize,
        now: (i64, Duration),
    ) -> Result<(), Refused> {
        let (today, steady) = (now.0.div_euclid(DAY), now.1);
        if let Some(most) = quota.minute {
            let share = (most as usize).div_ceil(hubs.max(1));
            let mut all = self.lock();
            let minute = &mut all.entry(site.to_owned()).or_default().minute;
            while minute.front().is_some_and(|left| steady.saturating_sub(*left) >= MINUTE) {
                minute.pop_front();
            }
            if minute.len() >= share {
                let oldest = minute.front().copied().unwrap_or(steady);
                let retry_after = (oldest + MINUTE).saturating_sub(steady);
                let why = "the site has used up its messages of this minute";
                return Err(Refused { why, retry_after, scope: Scope::Severity });
            }
        }
        if let Some(most) = quota.day {
            self.take_of_day(site, most, today).await?;
        }
        if quota.minute.is_some() {
            self.lock().entry(site.to_owned()).or_default().minute.push_back(steady);
        }
        Ok(())
    }

    /// It did not leave after all.
    pub fn give_back(&self, site: &str, quota: &Quota) {
        let mut all = self.lock();
        let used = all.entry(site.to_owned()).or_default();
        used.left += u32::from(quota.day.is_some());
        if quota.minute.is_some() {
            used.minute.pop_back();
        }
    }

    async fn take_of_day(&self, site: &str, most: u32, today: i64) -> Result<(), Refused> {
        if self.take_left(site, today) {
            return Ok(());
        }
        let part = AtomicU32::new(0);
        let taken = change(&self.engine, Table::Quota, site, |row| {
            let row: Taken = row.and_then(|row| serde_json::from_slice(row).ok()).unwrap_or_default();
            let messages = if row.day == today { row.messages } else { 0 };
            part.store((most / PARTS).max(1).min(most.saturating_sub(messages)), Ordering::Relaxed);
            let taken = Taken { day: today, messages: messages + part.load(Ordering::Relaxed) };
            (part.load(Ordering::Relaxed) > 0).then(|| json(&taken))
        });
        match taken.await {
            Ok(true) => {
                let mut all = self.lock();
                let used = all.entry(site.to_owned()).or_default();
                let left = if used.day == today { used.left } else { 0 };
                (used.day, used.left) = (today, left + part.load(Ordering::Relaxed) - 1);
                Ok(())
            }
            Ok(false) => {
                let why = "the site has used up its messages of today";
                Err(Refused { why, retry_after: DAY_PAUSE, scope: Scope::Severity })
            }
            Err(_) => {
                let why = "the engine does not say what the site may still send";
                Err(Refused { why, retry_after: Duration::from_secs(5), scope: Scope::Severity })
            }
        }
    }

    fn take_left(&self, site: &str, today: i64) -> bool {
        let mut all = self.lock();
        let used = all.entry(site.to_owned()).or_default();
        let has = used.day == today && used.left > 0;
        used.left -= u32::from(has);
        has
    }

    /// A panic ends the process, so that nothing is ever poisoned.
    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Used>> {
        self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::memory::Memory;

    #[tokio::test]
    async fn a_days_quota_holds_over_all_hubs_and_begins_anew() {
        let engine = Memory::default();
        let hubs = [Quotas::new(engine.clone()), Quotas::new(engine.clone())];
        let quota = Quota { minute: None, day: Some(120) };
        let mut taken = 0;
        for at in 0..400_usize {
            let one = hubs[at % 2].take("shop", &quota, 2, (DAY, Duration::ZERO)).await;
            taken += u32::from(one.is_ok());
        }
        assert_eq!(taken, 120);
        hubs[0].give_back("shop", &quota);
        let again = hubs[0].take("shop", &quota, 2, (DAY, Duration::ZERO)).await;
        assert!(again.is_ok(), "what did not leave does not count");
        assert!(hubs[0].take("other", &quota, 2, (DAY, Duration::ZERO)).await.is_ok(), "each has its own");
        assert!(hubs[0].take("shop", &quota, 2, (2 * DAY, Duration::ZERO)).await.is_ok(), "tomorrow");
        engine.is_down.store(true, std::sync::atomic::Ordering::Relaxed);
        let third = Quotas::new(engine);
        let refused = third.take("shop", &quota, 2, (2 * DAY, Duration::ZERO)).await.expect_err("no engine");
        assert_eq!(refused.retry_after, Duration::from_secs(5));
    }

    #[tokio::test]
    async fn a_minutes_quota_is_shared_by_the_hubs_and_slides() {
        let quotas = Quotas::new(Memory::default());
        let quota = Quota { minute: Some(10), day: None };
        let mut taken = 0;
        for second in 0..60 {
            let now = (0, Duration::from_secs(second));
            taken += u32::from(quotas.take("shop", &quota, 2, now).await.is_ok());
        }
        assert_eq!(taken, 5);
        let refused = quotas.take("shop", &quota, 2, (0, Duration::from_secs(59))).await.expect_err("full");
        assert_eq!(refused.retry_after, Duration::from_secs(1), "the first is a minute old then");
        assert!(quotas.take("shop", &quota, 2, (0, Duration::from_secs(60))).await.is_ok());
        assert!(quotas.take("shop", &Quota::default(), 2, (0, Duration::ZERO)).await.is_ok(), "no quota");
    }
}
