//! One number, several spellings: WhatsApp keeps the one under which an account was made, people write the one of today.
//!
//! | country | people write | webhooks may say | since |
//! |---|---|---|---|
//! | Brazil | +55 11 **9**8765 4321 | 55 11 8765 4321 | the ninth digit of mobiles came 2012 to 2016 (Anatel, resolution 553 of 2010); before it they began with 6 to 9, landlines with 2 to 5 |
//! | Mexico | +52 55 1234 5678 | 52 **1** 55 1234 5678 | the 1 before mobiles went on 3 August 2019 (IFT, national numbering plan) |
//! | Argentina | +54 11 **15** 2345 6789, +54 11 2345 6789 | 54 **9** 11 2345 6789 | abroad a mobile has a 9 before its area, at home 15 behind it (ITU-T E.164, national numbering plan of Argentina) |
//! | Benin | +229 **01** 97 12 34 56 | 229 97 12 34 56 | eight digits became ten on 30 November 2024 (ARCEP Bénin) |
//! | Ivory Coast | +225 **07** 07 12 34 56 | 225 07 12 34 56 | eight digits became ten on 31 January 2021, the new two by operator: the old second digit 0 to 3 gives 01, 4 to 6 gives 05, 7 to 9 gives 07 (ARTCI) |
//!
//! That Meta's answers may lose or gain a digit: Meta, Messages API, "Phone number formats" (Brazil, Mexico, Argentina); accounts
//! that keep the eight digits: waha, issue 1894. What a table cannot know is learned from Meta's answers.

use super::Phone;

impl Phone {
    /// Whether two spellings reach one telephone.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        self == other || self.in_one_spelling() == other.in_one_spelling()
    }

    /// Digits without `+`, as they are dialled from abroad today.
    #[must_use]
    pub fn in_one_spelling(&self) -> String {
        let digits = &self.e164()[1..];
        let (country, national) = digits.split_at(2);
        match (country, national.len()) {
            ("55", 10) if matches!(national.as_bytes()[2], b'6'..=b'9') => {
                format!("55{}9{}", &national[..2], &national[2..])
            }
            ("52", 11) if national.starts_with('1') => format!("52{}", &national[1..]),
            ("54", _) => format!("54{}", argentinian(national)),
            ("22", 9) if national.starts_with('9') => format!("22901{}", &national[1..]),
            ("22", 9) if national.starts_with('5') => ivorian(&national[1..]),
            (_, _) => digits.to_owned(),
        }
    }
}

/// Area and number, ten digits: without the 9 of calls from abroad, and without the 15 of calls at home, which stands behind an
/// area of two digits (11), three or four.
fn argentinian(national: &str) -> String {
    let rest = match national.len() {
        11 | 13 => national.strip_prefix('9').unwrap_or(national),
        _ => national,
    };
    let areas = if rest.starts_with("11") { 2..=2 } else { 3..=4 };
    let at = areas.clone().find(|area| rest.len() == 12 && rest[*area..].starts_with("15"));
    at.map_or_else(|| rest.to_owned(), |area| format!("{}{}", &rest[..area], &rest[area + 2..]))
}

/// Landlines, which begin with 2 or 3, are left as they are.
fn ivorian(old: &str) -> String {
    let operator = match old.as_bytes() {
        [b'2' | b'3', ..] => "",
        [_, b'0'..=b'3', ..] => "01",
        [_, b'4'..=b'6', ..] => "05",
        _ => "07",
    };
    format!("225{operator}{old}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn phone(text: &str) -> Phone {
        Phone::parse(text).expect(text)
    }

    /// Each row is one telephone, in every spelling; no two rows are one.
    const TELEPHONES: [&[&str]; 19] = [
        &["+55 11 98765-4321", "+55 11 8765-4321"],
        &["+55 31 96765-4321", "+55 31 6765-4321"],
        &["+55 11 98765-4320"],
        &["+55 21 98765-4321", "+55 21 8765-4321"],
        // A landline, and the mobile that has its digits behind a nine.
        &["+55 11 3765-4321"],
        &["+55 11 93765-4321"],
        &["+52 55 1234 5678", "+52 1 55 1234 5678"],
        &["+52 155 123 4567"],
        &["+54 11 2345 6789", "+54 9 11 2345 6789", "+54 11 15 2345 6789", "+54 9 11 15 2345 6789"],
        &["+54 351 234 5678", "+54 9 351 234 5678", "+54 351 15 234 5678"],
        &["+54 3435 23 4567", "+54 9 3435 23 4567", "+54 3435 15 23 4567"],
        &["+54 11 1523 4567", "+54 9 11 1523 4567"],
        &["+54 351 515 1515", "+54 351 15 515 1515"],
        &["+229 01 97 12 34 56", "+229 97 12 34 56"],
        &["+225 07 07 12 34 56", "+225 07 12 34 56"],
        &["+225 05 05 12 34 56", "+225 05 12 34 56"],
        &["+225 01 40 12 34 56", "+225 40 12 34 56"],
        &["+225 20 21 12 34"],
        &["+995 555 12 34 56"],
    ];

    #[test]
    fn one_telephone_is_one_in_every_spelling_and_no_other() {
        for (row, spellings) in TELEPHONES.iter().enumerate() {
            for (other_row, others) in TELEPHONES.iter().enumerate() {
                for (a, b) in spellings.iter().flat_map(|a| others.iter().map(move |b| (a, b))) {
                    assert_eq!(phone(a).is_same(&phone(b)), row == other_row, "{a} and {b}");
                }
            }
        }
    }

    proptest! {
        /// Elsewhere a number has one spelling, and every number is itself.
        #[test]
        fn other_countries_have_one_spelling(a in "[1-9][0-9]{6,14}", b in "[1-9][0-9]{6,14}") {
            let (one, other) = (phone(&format!("+{a}")), phone(&format!("+{b}")));
            prop_assert!(one.is_same(&one));
            let listed = ["55", "52", "54", "229", "225"].iter().any(|code| a.starts_with(code));
            prop_assert!(listed || one.is_same(&other) == (a == b));
        }
    }
}
