//! An obstacle that stays in sight for a while after it has gone, so that whoever looks now and then sees it, too.

use std::time::Duration;

use tokio::time::Instant;

/// Twice as long as `self_monitor` takes to look, so that the owner hears of what heals by itself.
const IN_SIGHT: Duration = Duration::from_secs(10);
/// Two clients that take the session from each other within this time do so again: the pauses between two connections
/// grow to a minute.
const CONTEST: Duration = Duration::from_secs(600);
const CONTEST_OVER: Duration = Duration::from_secs(120);

#[derive(Debug, Default)]
pub struct Passing(Option<Met>);

#[derive(Debug)]
struct Met {
    reason: String,
    /// The last time.
    at: Instant,
    /// `None`: it is still there.
    until: Option<Instant>,
}

impl Passing {
    /// Whether it is there. `true` if that is news.
    pub fn is_now(&mut self, obstacle: Option<String>, at: Instant) -> bool {
        match (obstacle, &mut self.0) {
            (None, None) => false,
            (None, Some(met)) => {
                let is_news = met.until.is_none();
                met.until.get_or_insert(at + IN_SIGHT);
                is_news
            }
            (Some(reason), met) => {
                let is_news = met.as_ref().is_none_or(|met| met.until.is_some() || met.reason != reason);
                *met = Some(Met { reason, at, until: None });
                is_news
            }
        }
    }

    /// One that is over at once, unless it comes again: then it is there until it has stayed away.
    pub fn came_again(&mut self, reason: String, at: Instant) {
        let again = self.0.as_ref().is_some_and(|met| at.duration_since(met.at) < CONTEST);
        let until = Some(at + if again { CONTEST_OVER } else { IN_SIGHT });
        self.0 = Some(Met { reason, at, until });
    }

    pub fn shown(&self, now: Instant) -> Option<String> {
        let shown = self.0.as_ref().filter(|met| met.until.is_none_or(|until| now < until));
        shown.map(|met| met.reason.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(after: u64) -> Instant {
        static BEGAN: std::sync::LazyLock<Instant> = std::sync::LazyLock::new(Instant::now);
        *BEGAN + Duration::from_secs(after)
    }

    fn lost() -> Option<String> {
        Some("lost".to_owned())
    }

    #[test]
    fn a_brief_fault_stays_visible_for_ten_seconds() {
        let mut passing = Passing::default();
        assert!(!passing.is_now(None, seconds(0)), "there was nothing");
        assert!(passing.is_now(lost(), seconds(0)));
        assert!(!passing.is_now(lost(), seconds(30)), "that is known");
        assert!(passing.is_now(None, seconds(60)));
        assert!(!passing.is_now(None, seconds(61)));
        assert_eq!((passing.shown(seconds(66)), passing.shown(seconds(71))), (lost(), None));
        assert!(passing.is_now(lost(), seconds(80)), "once more is news");
    }

    #[test]
    fn a_repeated_fault_stays_visible_for_two_minutes() {
        let mut passing = Passing::default();
        passing.came_again("lost".into(), seconds(0));
        assert_eq!((passing.shown(seconds(9)), passing.shown(seconds(11))), (lost(), None));
        passing.came_again("lost".into(), seconds(11));
        assert_eq!((passing.shown(seconds(130)), passing.shown(seconds(132))), (lost(), None));
    }
}
