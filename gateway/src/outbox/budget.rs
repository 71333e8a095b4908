//! The budget of a number for a month, and the limit of people to write to first in a day.

use crate::contact::severity::Severity;

/// For one connection and calendar month (UTC).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    /// Messages that Meta charges for.
    pub messages: u32,
    /// The severity that still leaves when it is used up.
    pub exceeded_from: Severity,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BudgetState {
    Fine,
    /// Four fifths are used up: the owner is told.
    Near,
    Spent,
}

/// Meta gives away so many free-form messages of a number and month (docs/cloud-api.md 5.6, since October 2026).
pub const FREE_OF_CHARGE: u32 = 1_000;
/// The first month in which they are counted: before, all were free.
pub const COUNTED_SINCE: &str = "2026-10";

/// The number of free messages that are left. That one was charged says that none is, whatever was counted here.
#[must_use]
pub fn free_left(given_away: u32, charged: u32) -> u32 {
    if charged > 0 { 0 } else { FREE_OF_CHARGE.saturating_sub(given_away) }
}

#[must_use]
pub fn standing(used: u32, limit: u32) -> BudgetState {
    if used >= limit {
        BudgetState::Spent
    } else if u64::from(used) * 5 >= u64::from(limit) * 4 {
        BudgetState::Near
    } else {
        BudgetState::Fine
    }
}

/// Meta's word for how many people may be written to first within 24 h: a number, or a tier (docs/cloud-api.md 5.3). `None` is
/// without a limit, or a word that nobody has written down: Meta then says no by itself.
#[must_use]
pub fn read_tier(word: &str) -> Option<u32> {
    let number = word.strip_prefix("TIER_").unwrap_or(word);
    match number.strip_suffix('K') {
        Some(thousands) => thousands.parse::<u32>().ok()?.checked_mul(1_000),
        None => number.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn four_fifths_of_a_budget_are_near_its_end() {
        assert_eq!(standing(799, 1_000), BudgetState::Fine);
        assert_eq!(standing(800, 1_000), BudgetState::Near);
        assert_eq!(standing(999, 1_000), BudgetState::Near);
        assert_eq!(standing(1_000, 1_000), BudgetState::Spent);
        assert_eq!(standing(0, 0), BudgetState::Spent);
    }

    #[test]
    fn a_thousand_are_free_until_meta_charges_one() {
        let left = [(0, 0), (999, 0), (1_000, 0), (1_200, 0), (640, 1)]
            .map(|(free, charged)| free_left(free, charged));
        assert_eq!(left, [1_000, 1, 0, 0, 0]);
    }

    #[test]
    fn tiers_are_read_in_both_forms() {
        for (word, people) in [
            ("TIER_250", Some(250)),
            ("TIER_2K", Some(2_000)),
            ("TIER_100K", Some(100_000)),
            ("2000", Some(2_000)),
            ("TIER_UNLIMITED", None),
            ("unlimited", None),
            ("-1", None),
        ] {
            assert_eq!(read_tier(word), people, "{word}");
        }
    }
}
