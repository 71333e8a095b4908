//! Where the limits of a number are, as far as a rule's conditions name them: what a drawing shows beside it.

use minijinja::value::Value;
use serde::{Deserialize, Serialize};

use crate::rule::expression::{Comparison, Node};

/// A limit that is a number in a condition.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Threshold {
    pub limit: f64,
    /// Whether the condition holds above it.
    pub is_above: bool,
    /// It is the limit of `resolve_when`.
    pub ends: bool,
}

/// More lines than these nobody tells apart.
const SHOWN: usize = 4;

/// Those of `when` and of `resolve_when` about the number that `value` gives: `value > 8`, `payload.celsius > 8`,
/// `window.max > 8`, `-15 < payload.celsius`.
#[must_use]
pub fn thresholds(value: &str, when: Option<&str>, resolve_when: Option<&str>) -> Vec<Threshold> {
    let watched = Node::read(value).ok().and_then(|node| path(&node));
    let mut found: Vec<Threshold> = Vec::new();
    for (condition, ends) in [(when, false), (resolve_when, true)] {
        let Some(node) = condition.and_then(|condition| Node::read(condition).ok()) else { continue };
        let is_watched = |node: &Node| {
            let path = path(node);
            let of_rule = ["value", "window.min", "window.max", "window.mean"];
            path.is_some() && (path == watched || path.is_some_and(|path| of_rule.contains(&path.as_str())))
        };
        node.each(&mut |node| {
            let Node::Chain(first, steps) = node else { return };
            let mut left: &Node = first;
            for (comparison, right) in steps {
                let is_above = match comparison {
                    Comparison::More | Comparison::MoreOrEqual => Some(true),
                    Comparison::Less | Comparison::LessOrEqual => Some(false),
                    Comparison::Equal | Comparison::Unequal | Comparison::In | Comparison::NotIn => None,
                };
                let limit = match (number(left), number(right)) {
                    (None, Some(limit)) if is_watched(left) => is_above.map(|above| (limit, above)),
                    (Some(limit), None) if is_watched(right) => is_above.map(|above| (limit, !above)),
                    (_, _) => None,
                };
                left = right;
                let Some((limit, is_above)) = limit else { continue };
                let one = Threshold { limit, is_above, ends };
                if found.len() < SHOWN && !found.contains(&one) {
                    found.push(one);
                }
            }
        });
    }
    found
}

/// `payload.celsius`, whatever filters make of it.
fn path(node: &Node) -> Option<String> {
    if let Node::Name(name) = node {
        return Some(name.to_string());
    }
    if let Node::Filter(_, of, _) = node {
        return path(of);
    }
    if let Node::Field(of, field) = node {
        return Some(format!("{}.{field}", path(of)?));
    }
    let Node::Item(of, item) = node else { return None };
    let Node::Constant(item) = &**item else { return None };
    Some(format!("{}.{item}", path(of)?))
}

fn number(node: &Node) -> Option<f64> {
    if let Node::Negative(of) = node {
        return number(of).map(|number| -number);
    }
    let Node::Constant(value) = node else { return None };
    let number = if value.is_number() { f64::try_from(Value::clone(value)).ok() } else { None };
    number.filter(|number| number.abs() <= f64::from(f32::MAX)) // as the values beside it
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_found_where_a_condition_names_them_as_numbers() {
        let value = "payload.celsius";
        for (value, when, resolve_when, found) in [
            (value, "payload.celsius > -15", Some("payload.celsius < -17"), ">-15 end<-17"),
            (value, "value > 8 and not payload.defrost", None, ">8"),
            (value, "-15 < payload.celsius", None, ">-15"),
            (value, "2 <= value <= 8", None, ">2 <8"),
            (value, "value < 2 or value >= 8.5", None, "<2 >8.5"),
            ("payload.celsius | float", "payload.celsius | float > 8", None, ">8"),
            ("payload['celsius']", "payload.celsius > 8", None, ">8"),
            (value, "window.mean > 5 and window.count > 3", None, ">5"),
            (value, "payload.hours > 5", None, ""),
            (value, "value > payload.limit", None, ""),
            (value, "value > previous", None, ""),
            (value, "value == 5", None, ""),
            (value, "value > 8 and value > 8", None, ">8"),
        ] {
            let texts: Vec<String> = thresholds(value, Some(when), resolve_when)
                .iter()
                .map(|one| {
                    format!(
                        "{}{}{}",
                        if one.ends { "end" } else { "" },
                        if one.is_above { '>' } else { '<' },
                        one.limit
                    )
                })
                .collect();
            assert_eq!(texts.join(" "), found, "{when}");
        }
    }
}
