//! What a message costs, as its statuses tell (docs/cloud-api.md 3.7, 5.6).

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::time::Timestamp;

/// 2026-10-01: since then free-form messages and utility templates inside the window are charged.
const CHARGED_SINCE: Timestamp = Timestamp(1_790_812_800_000);
/// Free-form messages a number and month that stay free.
const FREE_A_MONTH: u32 = 1_000;
/// Numbers that are counted: a test has a handful, and last month's go first.
const COUNTED_MAX: usize = 1_000;

#[derive(Debug, Default)]
pub struct Prices {
    /// By month (`2026-11`) and number.
    free_form: BTreeMap<(String, String), u32>,
}

impl Prices {
    /// The `pricing` object of a template: charged by its category.
    pub fn template(&self, category: &str, in_window: bool, now: Timestamp) -> Value {
        let category = category.to_lowercase();
        let free = category == "utility" && in_window && now < CHARGED_SINCE;
        pricing(&category, if free { "free_customer_service" } else { "regular" })
    }

    /// The `pricing` object of a free-form message.
    pub fn service(&mut self, number: &str, now: Timestamp) -> Value {
        let month: String = now.rfc3339().chars().take(7).collect();
        let count = self.free_form.entry((month, number.to_owned())).or_default();
        *count += 1;
        let free = now < CHARGED_SINCE || *count <= FREE_A_MONTH;
        while self.free_form.len() > COUNTED_MAX {
            self.free_form.pop_first();
        }
        pricing("service", if free { "free_customer_service" } else { "regular" })
    }
}

fn pricing(category: &str, kind: &str) -> Value {
    json!({ "billable": kind == "regular", "pricing_model": "PMP", "type": kind, "category": category })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_thousand_of_a_month_are_free() {
        let mut prices = Prices::default();
        let november = Timestamp(1_795_242_180_000);
        let billable = |prices: &mut Prices, at| prices.service("1", at)["billable"].clone();
        for _ in 0..1_000 {
            assert_eq!(billable(&mut prices, november), false);
        }
        assert_eq!(billable(&mut prices, november), true);
        assert_eq!(billable(&mut prices, Timestamp(november.0 + 10 * 86_400_000)), false, "December");
        assert_eq!(prices.template("UTILITY", true, november)["type"], "regular");
        assert_eq!(
            prices.template("UTILITY", true, Timestamp(1_790_000_000_000))["type"],
            "free_customer_service"
        );
    }
}
