//! Events that a rule could not judge, for the people who can mend the rule or the device: silence must mean that all
//! is well.

use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash, Hasher};

use crate::alert::ignored::{EvaluationFailure, Ignored};
use crate::ids::RuleName;
use crate::rule::definition::Rule;

/// Topics of rules that are remembered, 8 bytes each. One that is not there is told of: rather once too often.
const WHOLE_MAX: usize = 4_096;

/// One reason of one rule on one event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unjudged {
    pub rule: RuleName,
    /// The rule's, as [`Rule::version`] gives it.
    pub version: i64,
    /// The sentence that all events that fail alike have in common.
    pub kind: String,
    /// A sentence that names the expression, the field and what was there.
    pub reason: String,
    /// Only fields are missing, and the topic has sent whole reports before: many devices report only what changed.
    pub is_partial: bool,
}

/// The rules and topics with a whole report since the start.
#[derive(Debug, Default)]
pub struct WholeReports {
    seen: BTreeSet<u64>,
}

impl WholeReports {
    /// The findings about one event and one rule. `ignored`: why nothing followed from it.
    pub fn judge(
        &mut self,
        rule: &Rule,
        topic: &str,
        flaws: &[EvaluationFailure],
        ignored: Option<&Ignored>,
    ) -> Vec<Unjudged> {
        let slot = slot(&rule.name, topic);
        let (mut found, is_known) = (Vec::new(), self.seen.contains(&slot));
        let mut add = |kind: String, reason: String, is_missing: bool| {
            let is_partial = is_missing && is_known;
            let (rule, version) = (rule.name.clone(), rule.version());
            found.push(Unjudged { rule, version, kind, reason, is_partial });
        };
        let mut reads_nothing = false;
        if let Some(why) = ignored {
            reads_nothing = matches!(why, Ignored::Retained); // it was not looked into
            if let (Some(kind), Some(reason)) = (why.kind(), why.reason()) {
                let is_missing = why.flaw().is_some_and(EvaluationFailure::is_missing);
                add(kind, reason, is_missing);
            }
        }
        let is_told = |flaw: &&EvaluationFailure| ignored.and_then(Ignored::flaw) != Some(flaw);
        for flaw in flaws.iter().filter(is_told) {
            add(flaw.kind(), flaw.to_string(), flaw.is_missing());
        }
        if found.is_empty() && !reads_nothing && !is_known && self.seen.len() < WHOLE_MAX {
            self.seen.insert(slot);
        }
        found
    }
}

/// Of each event and rule, so that nothing is made for it.
fn slot(rule: &RuleName, topic: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    (&rule.0, topic).hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use crate::alert::effect::Effect;
    use crate::alert::tests::{MORNING, event, site};
    use crate::event::incoming::Identity;

    const REPORT: &str = r#"{"id": 5, "c": 9, "on": false}"#;

    /// One expression that fails, whether the alarm is told all the same, and the reason.
    #[test]
    fn an_expression_that_fails_stops_no_other() {
        let missing = "`payload.no` is undefined";
        for (keys, is_told, kind) in [
            (
                "when = \"payload.no\"\nmessage = \"x\"",
                false,
                format!("`when` could not be judged: {missing}"),
            ),
            (
                "when = \"payload.no\"\nresolve_when = \"payload.on\"\nmessage = \"x\"",
                false,
                format!("`when` could not be judged: {missing}"),
            ),
            (
                "when = \"payload.c > 8\"\nresolve_when = \"payload.no\"\nmessage = \"x\"",
                true,
                format!("`resolve_when` could not be judged: {missing}"),
            ),
            (
                "value = \"payload.no\"\nresolve_after = \"1h\"\nmessage = \"x\"",
                true,
                format!("`value` gives no number: {missing}"),
            ),
            (
                "dedupe_key = \"payload.no\"\nresolve_after = \"1h\"\nmessage = \"x\"",
                true,
                format!("`dedupe_key` failed, so the event counts: {missing}"),
            ),
            (
                "key = [\"payload.no\"]\nresolve_after = \"1h\"\nmessage = \"x\"",
                false,
                format!("`key` could not be read: it has no `payload.no`: {missing}"),
            ),
            (
                "message = \"{{ payload.no }}\"",
                true,
                "`message` failed, a plain text stands for it: undefined value".to_owned(),
            ),
            (
                "resolve_after = \"1h\"\nmessage = \"{{ payload.no }}\"",
                true,
                "`message` failed, a plain text stands for it: undefined value".to_owned(),
            ),
            (
                "message = \"x\"\ntemplate = { name = \"a\", language = \"en\", parameters = [\"{{ payload.no }}\"] }",
                true,
                "a parameter of `template` failed, the message stands there: undefined value".to_owned(),
            ),
            (
                "message = \"x\"\nattach = { kind = \"image\", url = \"https://cam/{{ payload.no }}\" }",
                true,
                "the file could not be attached: undefined value".to_owned(),
            ),
        ] {
            let rule =
                format!("[[rule]]\nname = \"r\"\ntopic = \"t/{{id}}\"\nnotify = [\"giorgi\"]\n{keys}\n");
            let judge = site(&rule).1;
            let mut watch = judge.watch();
            let decision = judge.decide(event("t/1", REPORT, Identity::None), &mut watch, MORNING);
            let sends = decision.effects.iter().any(|effect| matches!(effect, Effect::Send(_)));
            assert_eq!(sends, is_told, "{keys}");
            let kinds: Vec<&str> = decision.unjudged.iter().map(|one| one.kind.as_str()).collect();
            assert_eq!(kinds, [kind.as_str()], "{keys}");
        }
    }

    /// The end comes though `when` cannot be judged; a report whose `expect` cannot be judged is no sign of life.
    #[test]
    fn an_end_and_a_sign_of_life_stand_for_themselves() {
        let keys = "when = \"payload.c > 8\"\nresolve_when = \"payload.on\"\nmessage = \"x\"";
        let alive = "expect = { every = \"1m\" }\nwhen = \"payload.on\"\nmessage = \"x\"";
        for (keys, reports, words) in [
            (keys, [REPORT, r#"{"on": true}"#], ["fired", "resolved"]),
            (alive, [r#"{"off": 1}"#, r#"{"on": true}"#], ["condition-failed", "condition-false"]),
        ] {
            let rule =
                format!("[[rule]]\nname = \"r\"\ntopic = \"t/{{id}}\"\nnotify = [\"giorgi\"]\n{keys}\n");
            let judge = site(&rule).1;
            let mut watch = judge.watch();
            for (report, word) in reports.into_iter().zip(words) {
                let decision = judge.decide(event("t/1", report, Identity::None), &mut watch, MORNING);
                assert_eq!(decision.ignored[0].1.as_str(), word, "{keys} {report}");
            }
        }
    }

    /// A rule's keys, what arrives, and what is said of the last: its reasons, and `partial` where nobody needs to hear.
    #[test]
    fn each_reason_is_named_once_and_partial_reports_are_marked() {
        let wet = "topic = \"leak/{id}\"\nwhen = \"payload.wet\"\nresolve_when = \"not payload.wet\"";
        let hot = "topic = \"t/{id}\"\nwhen = \"payload.c > 8\"\nvalue = \"payload.c\"";
        for (keys, payloads, said) in [
            (wet, &["{\"wet\":true}"][..], &[][..]),
            (
                wet,
                &["{\"battery\":90}"],
                &[
                    "`when` could not be judged: `payload.wet` is undefined",
                    "`resolve_when` could not be judged: `payload.wet` is undefined",
                ],
            ),
            (
                wet,
                &["{\"wet\":false}", "{\"battery\":90}"],
                &[
                    "partial `when` could not be judged: `payload.wet` is undefined",
                    "partial `resolve_when` could not be judged: `payload.wet` is undefined",
                ],
            ),
            // Null is no partial report: the sensor says that it has no reading.
            (
                hot,
                &["{\"c\":9}", "{\"c\":null}"],
                &[
                    "`value` gives no number: `payload.c` is null",
                    "`when` could not be judged: `payload.c` is null",
                ],
            ),
            (
                hot,
                &["{\"c\":9}", "{\"c\":\"9\"}"],
                &[
                    "`value` gives no number: `payload.c` is not a number",
                    "`when` could not be judged: it compares a text with a number in `payload.c > 8`",
                ],
            ),
            (hot, &["{\"c\":9}", "{\"c\":nan}"], &["the payload could not be read: it is not JSON"]),
        ] {
            let judge =
                site(&format!("[[rule]]\nname = \"r\"\nnotify = [\"giorgi\"]\nmessage = \"x\"\n{keys}\n")).1;
            let mut watch = judge.watch();
            let topic = if keys == wet { "leak/1" } else { "t/1" };
            let mut last = Vec::new();
            for payload in payloads {
                last = judge.decide(event(topic, *payload, Identity::None), &mut watch, MORNING).unjudged;
            }
            let mut last: Vec<String> = last
                .into_iter()
                .map(|one| format!("{}{}", if one.is_partial { "partial " } else { "" }, one.kind))
                .collect();
            last.sort();
            let mut said = said.to_vec();
            said.sort_unstable();
            assert_eq!(last, said, "{keys} {payloads:?}");
        }
    }
}
