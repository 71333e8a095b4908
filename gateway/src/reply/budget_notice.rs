//! Budgets and Meta's daily limit, as the owner hears of them before they stop anything. Whoever keeps notices tells the same one once.

use crate::contact::severity::Severity;
use crate::ids::ConnectionName;
use crate::outbox::budget::{Budget, BudgetState, FREE_OF_CHARGE, standing};
use crate::reply::inbound::AccountNotice;

/// So many messages of a number's budget are spent in this month.
#[must_use]
pub fn of_budget(name: &ConnectionName, budget: &Budget, spent: u32, month: &str) -> Option<AccountNotice> {
    let (limit, exceeding) = (budget.messages, budget.exceeded_from.as_str());
    let (word, text) = match standing(spent, limit) {
        BudgetState::Fine => return None,
        BudgetState::Near => {
            let text = format!(
                "80 % of the budget of {limit} messages for {month} are used up; when it is, {exceeding} messages still leave \
                 and others are held"
            );
            ("near", text)
        }
        BudgetState::Spent => {
            let text = format!(
                "the budget of {limit} messages for {month} is used up: {exceeding} messages still leave, others are held; if \
                 they should go, raise `budget` in [[connection]] {name}"
            );
            ("spent", text)
        }
    };
    Some(notice(format!("budget {month} {word}"), text))
}

/// Of what Meta gives away, nothing is left.
#[must_use]
pub fn of_free(month: &str) -> AccountNotice {
    let text = format!(
        "the {FREE_OF_CHARGE} free messages of {month} are used up: what is written inside the 24 hours costs as much as a \
         utility template until the month ends"
    );
    notice(format!("free {month}"), text)
}

/// So many people were written to first within a day, of as many as Meta allows.
#[must_use]
pub fn of_people(people: u32, limit: u32, day: &str) -> Option<AccountNotice> {
    let text = format!(
        "within a day {people} people were written to first, and Meta allows {limit}: beyond that, messages wait; Meta raises \
         it for businesses that are verified"
    );
    (standing(people, limit) != BudgetState::Fine).then(|| notice(format!("people {day}"), text))
}

fn notice(field: String, text: String) -> AccountNotice {
    AccountNotice::of(field, Severity::Warning, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn owners_are_warned_before_and_at_a_limit() {
        let budget = Budget { messages: 100, exceeded_from: Severity::Critical };
        let of_budget = |spent| of_budget(&"main".into(), &budget, spent, "2026-11");
        let of_people = |people| of_people(people, 250, "2026-11-21");
        for (found, field, words) in [
            (of_budget(79), "", ""),
            (
                of_budget(80),
                "budget 2026-11 near",
                "80 % of the budget of 100 messages for 2026-11 are used up; when it is, critical",
            ),
            (of_budget(99), "budget 2026-11 near", "and others are held"),
            (of_budget(100), "budget 2026-11 spent", "raise `budget` in [[connection]] main"),
            (Some(of_free("2026-11")), "free 2026-11", "the 1000 free messages of 2026-11 are used up"),
            (of_people(199), "", ""),
            (
                of_people(200),
                "people 2026-11-21",
                "within a day 200 people were written to first, and Meta allows 250: beyond",
            ),
        ] {
            let told = found.map(|notice| (notice.field, notice.severity, notice.text));
            let (told_field, _, text) =
                told.clone().unwrap_or((String::new(), Severity::Info, String::new()));
            assert_eq!(told_field, field);
            assert!(text.contains(words), "{told:?}");
            assert!(told.is_none_or(|(_, severity, _)| severity == Severity::Warning));
        }
    }
}
