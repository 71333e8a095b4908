//! Two values side by side, or why they cannot be: Jinja orders a text and a number by their kinds, and takes what is
//! missing for less than anything, so that an alarm would sound, or end, for no reason that anyone can see.

use std::cmp::Ordering;

use minijinja::value::{Value, ValueKind};

use crate::rule::expression::Comparison;

/// What is shown of a value in a reason: a line on a phone.
const SHOWN_MAX: usize = 80;
/// Texts that say no, or nothing, though Jinja takes each text that is not empty for a yes.
const NO_WORDS: [&str; 9] = ["false", "off", "no", "0", "none", "null", "nan", "unknown", "unavailable"];

/// Why two values, or one, cannot be judged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mismatch {
    /// Without the values: what all such events have in common.
    pub kind: String,
    pub what: String,
}

impl Mismatch {
    fn compares(left: &Value, right: &Value) -> Self {
        Self {
            kind: format!("it compares {} with {}", a_kind(left), a_kind(right)),
            what: format!("it compares {} with {}", shown(left), shown(right)),
        }
    }
}

/// Missing, null, or no number though it calls itself one: nothing follows from it.
pub(crate) fn is_absent(value: &Value) -> bool {
    value.is_undefined() || value.is_none() || is_not_finite(value)
}

pub(crate) fn is_not_finite(value: &Value) -> bool {
    value.kind() == ValueKind::Number && f64::try_from(value.clone()).is_ok_and(|number| !number.is_finite())
}

/// `is_written`: a text among the two stands in the expression itself, so that its author expects texts here.
pub(crate) fn compare(
    how: Comparison,
    left: &Value,
    right: &Value,
    is_written: bool,
) -> Result<bool, Mismatch> {
    let order = || order(left, right);
    match how {
        Comparison::Equal => equal(left, right, is_written),
        Comparison::Unequal => equal(left, right, is_written).map(|equal| !equal),
        Comparison::Less => order().map(Ordering::is_lt),
        Comparison::LessOrEqual => order().map(Ordering::is_le),
        Comparison::More => order().map(Ordering::is_gt),
        Comparison::MoreOrEqual => order().map(Ordering::is_ge),
        Comparison::In => contains(left, right),
        Comparison::NotIn => contains(left, right).map(|found| !found),
    }
}

pub(crate) fn order(left: &Value, right: &Value) -> Result<Ordering, Mismatch> {
    let has_order = matches!(left.kind(), ValueKind::Number | ValueKind::Bool | ValueKind::String);
    if is_absent(left) || is_absent(right) || !has_order || left.kind() != right.kind() {
        return Err(Mismatch::compares(left, right));
    }
    Ok(left.cmp(right))
}

/// A state may be a text or a number, and is then simply another one. But a text where a number or a yes or no was expected
/// is no answer: `"unavailable"`, `"21,5"`, `"ON"`.
fn equal(left: &Value, right: &Value, is_written: bool) -> Result<bool, Mismatch> {
    let mismatch = || Err(Mismatch::compares(left, right));
    let has_gap = |list: &Value| {
        list.kind() == ValueKind::Seq
            && list.try_iter().is_ok_and(|mut items| items.any(|item| is_absent(&item)))
    };
    if [left, right].into_iter().any(|value| is_absent(value) || has_gap(value)) {
        return mismatch();
    }
    let plain = |kind| matches!(kind, ValueKind::Number | ValueKind::Bool);
    let text = match (left.as_str(), right.as_str()) {
        (Some(text), None) if plain(right.kind()) => text,
        (None, Some(text)) if plain(left.kind()) => text,
        (Some(_) | None, Some(_) | None) => return Ok(left == right),
    };
    let reads_as_other = text.trim().parse::<f64>().is_ok() || matches!(text.trim(), "true" | "false");
    if is_written && !reads_as_other { Ok(false) } else { mismatch() }
}

fn contains(sought: &Value, within: &Value) -> Result<bool, Mismatch> {
    let mismatch = || Mismatch {
        kind: format!("it looks for {} in {}", a_kind(sought), a_kind(within)),
        what: format!("it looks for {} in {}", shown(sought), shown(within)),
    };
    if let (Some(sought), Some(within)) = (sought.as_str(), within.as_str()) {
        return Ok(within.contains(sought));
    }
    if is_absent(sought) {
        return Err(mismatch());
    }
    if within.kind() == ValueKind::Map {
        return Ok(within.get_item(sought).is_ok_and(|value| !value.is_undefined()));
    }
    let is_list = matches!(within.kind(), ValueKind::Seq | ValueKind::Iterable);
    let items = within.try_iter().ok().filter(|_| is_list).ok_or_else(mismatch)?;
    one_of(sought, items.map(|item| (item, false))).map_err(|_| mismatch())
}

/// Whether it equals one of them; each with whether it stands in the expression itself.
pub(crate) fn one_of(sought: &Value, items: impl Iterator<Item = (Value, bool)>) -> Result<bool, Mismatch> {
    let (mut doubt, mut gap, mut is_of_kind) = (None, None, false);
    for (item, is_written) in items {
        if item.is_none() && is_written {
            if sought.is_none() {
                return Ok(true);
            }
            continue;
        }
        let is_text = is_written && item.as_str().is_some();
        match equal(sought, &item, is_text) {
            Ok(true) => return Ok(true),
            Ok(false) => is_of_kind |= sought.kind() == item.kind(),
            Err(mismatch) if is_absent(&item) => drop(gap.get_or_insert(mismatch)), // it may be the one
            Err(mismatch) => drop(doubt.get_or_insert(mismatch)),
        }
    }
    // Beside one of its kind, others are other ways to say it: `in ['on', 1, true]`.
    gap.or(doubt.filter(|_| !is_of_kind)).map_or(Ok(false), Err)
}

/// What a value alone says, as a condition.
pub(crate) fn truth(value: &Value) -> Result<bool, Mismatch> {
    match value.as_str().map(str::trim) {
        Some(text) if NO_WORDS.iter().any(|word| word.eq_ignore_ascii_case(text)) => Err(Mismatch {
            kind: "it takes a text for yes or no".to_owned(),
            what: format!("it takes {} for yes or no; compare it with `==`", shown(value)),
        }),
        Some(_) | None => Ok(value.is_true()),
    }
}

/// A value with its kind, short enough for a line.
pub(crate) fn shown(value: &Value) -> String {
    let kind = value.kind();
    if value.is_undefined() {
        "what is undefined".to_owned()
    } else if value.is_none() {
        "null".to_owned()
    } else if let Some(text) = value.as_str() {
        format!("the text {:?}", shorten(text))
    } else if matches!(kind, ValueKind::Number | ValueKind::Bool) {
        format!("the {kind} {value}")
    } else {
        shorten(&serde_json::to_string(value).unwrap_or_else(|_| value.to_string()))
    }
}

fn a_kind(value: &Value) -> &'static str {
    if value.is_undefined() {
        "what is undefined"
    } else if value.is_none() {
        "null"
    } else if value.as_str().is_some() {
        "a text"
    } else if value.kind() == ValueKind::Number {
        "a number"
    } else if value.kind() == ValueKind::Bool {
        "yes or no"
    } else if value.kind() == ValueKind::Map {
        "an object"
    } else {
        "a list"
    }
}

pub(crate) fn shorten(text: &str) -> String {
    match text.char_indices().nth(SHOWN_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}
