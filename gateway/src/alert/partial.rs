//! Properties of partial reports: devices send what changed, and what they leave out must decide nothing.

use std::time::Duration;

use bytes::Bytes;
use minijinja::value::{Serde, Value};
use proptest::prelude::*;
use serde_json::{Value as Json, json};

use crate::alert::effect::Why;
use crate::alert::replay::{Recorded, RecordedInput, Replay, ReplayedMessage, Timed};
use crate::alert::tests::{MORNING, site};
use crate::rule::condition::Judgement;
use crate::rule::template::Expressions;

const FIELDS: [&str; 5] = ["a", "b", "f", "s", "o"];

/// Everything that a condition may read, each of its kind.
fn whole() -> impl Strategy<Value = Json> {
    let number = || -3..4_i32;
    let tenth = (-30..40_i32).prop_map(|tenths| f64::from(tenths) / 10.0);
    (number(), tenth, any::<bool>(), prop::sample::select(&["open", "shut", "on"][..]), number())
        .prop_map(|(a, b, f, s, x)| json!({ "a": a, "b": b, "f": f, "s": s, "o": { "x": x } }))
}

/// One question that reads one field or two, in the ways that people write it.
fn question() -> impl Strategy<Value = String> {
    let forms = [
        "payload.a > N",
        "payload.a <= N",
        "payload.a == N",
        "payload.a != N",
        "payload.a < payload.b",
        "payload.a is gt(N)",
        "payload.a in [N, 2]",
        "payload.a not in [N, payload.b]",
        "payload['a'] >= N",
        "(payload.a | float) > N",
        "payload.a | abs > N",
        "payload.a + payload.b > N",
        "payload.a * 2 > payload.b",
        "-payload.a > N",
        "[payload.a, payload.b] | max > N",
        "(payload.a > N) == true",
        "(payload.a > N) != payload.f",
        "payload.f",
        "payload.f == true",
        "payload.f is true",
        "payload.o.x > N",
        "payload.o.x | int == N",
        "payload.s == 'open'",
        "payload.s != 'open'",
        "payload.s in ['open', 'on']",
        "payload.s | length > N",
        "payload.s | upper == 'OPEN'",
        "'o' in payload.s",
        "payload.s is startingwith('o')",
        "(payload.a if payload.f else payload.b) > N",
    ];
    (prop::sample::select(forms.to_vec()), -2..3_i32).prop_map(|(form, n)| form.replace('N', &n.to_string()))
}

fn condition() -> impl Strategy<Value = String> {
    question().prop_recursive(3, 8, 2, |inner| {
        prop_oneof![
            inner.clone().prop_map(|one| format!("not ({one})")),
            (inner.clone(), inner.clone()).prop_map(|(one, two)| format!("({one}) and ({two})")),
            (inner.clone(), inner).prop_map(|(one, two)| format!("({one}) or ({two})")),
        ]
    })
}

/// Which fields go, and whether they are null instead of missing.
fn gaps() -> impl Strategy<Value = Vec<Option<bool>>> {
    prop::collection::vec(prop::option::of(any::<bool>()), FIELDS.len())
}

fn without(whole: &Json, gaps: &[Option<bool>]) -> Json {
    let mut part = whole.clone();
    for (field, gap) in FIELDS.iter().zip(gaps) {
        match (gap, part.as_object_mut()) {
            (Some(true), Some(fields)) => drop(fields.insert((*field).to_owned(), Json::Null)),
            (Some(false), Some(fields)) => drop(fields.remove(*field)),
            (Some(_) | None, _) => {}
        }
    }
    part
}

/// What the report may have been before the gaps.
fn completed(part: &Json, other: &Json) -> Json {
    let mut all = other.clone();
    for (field, value) in part.as_object().into_iter().flatten().filter(|(_, value)| !value.is_null()) {
        all[field] = value.clone();
    }
    all
}

fn judge(expressions: &Expressions, condition: &str, payload: &Json) -> Option<bool> {
    let context = Value::from(Serde(json!({ "payload": payload })));
    match expressions.judge(condition, &context) {
        Judgement::Yes => Some(true),
        Judgement::No => Some(false),
        Judgement::Unknown(_) => None,
    }
}

/// What people get, and all that was decided on the way, from reports ten seconds apart.
fn replay(rule: &str, reports: &[&Json]) -> (Vec<ReplayedMessage>, Vec<Recorded>) {
    let judge = site(rule).1;
    let mut replay = Replay::new(&judge, judge.watch());
    let steps = reports.iter().map(|report| RecordedInput::Publish {
        topic: "r/1".into(),
        payload: Bytes::from(report.to_string()),
        retained: false,
        id: None,
        content_type: None,
    });
    let mut at = MORNING;
    for what in steps.chain([RecordedInput::Wait]) {
        replay.step(Timed { at, what });
        at = at + Duration::from_secs(10);
    }
    let decided = replay.records.into_iter().filter(|record| record.why != Why::Flaw).collect();
    (replay.sent, decided)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// An answer that a partial report gives is the answer that each whole report with the same fields gives.
    #[test]
    fn a_decision_without_a_field_holds_for_any_value(
        condition in condition(),
        report in whole(),
        gaps in gaps(),
        others in prop::collection::vec(whole(), 8),
    ) {
        let expressions = Expressions::default();
        prop_assert!(judge(&expressions, &condition, &report).is_some(), "{condition} on {report}");
        let part = without(&report, &gaps);
        if let Some(decided) = judge(&expressions, &condition, &part) {
            for other in &others {
                let all = completed(&part, other);
                prop_assert_eq!(Some(decided), judge(&expressions, &condition, &all), "{} on {} and {}", condition, part, all);
            }
        }
    }

    /// Between whole reports come partial ones on which the answer depends on what they lack. It is as if they had never come.
    #[test]
    fn a_report_without_the_decisive_field_changes_no_alert(
        when in condition(),
        end in prop::option::of(condition()),
        life in prop::sample::select(&["for = \"15s\"", "keep_firing_for = \"15s\"", "repeat_interval = \"1m\"", "value = \"payload.a\""][..]),
        reports in prop::collection::vec((whole(), gaps()), 1..8),
        others in prop::collection::vec(whole(), 12),
    ) {
        let expressions = Expressions::default();
        let conditions: Vec<&String> = std::iter::once(&when).chain(&end).collect();
        let depends = |part: &Json| conditions.iter().all(|condition| {
            let answers = others.iter().filter_map(|other| judge(&expressions, condition, &completed(part, other)));
            let answers: Vec<bool> = answers.collect();
            answers.contains(&true) && answers.contains(&false)
        });
        let parts: Vec<Json> = reports.iter().map(|(report, gaps)| without(report, gaps)).collect();
        let end = end.as_ref().map_or(String::new(), |end| format!("resolve_when = \"{end}\"\n"));
        let rule = format!(
            "[[rule]]\nname = \"r\"\ntopic = \"r/{{id}}\"\nnotify = [\"giorgi\"]\nmessage = \"x\"\nwhen = \"{when}\"\n{end}{life}\n"
        );
        // Where nothing is put in between, an empty report stands, which lacks everything.
        let empty = json!({ "battery": 88 });
        let mut with: Vec<&Json> = vec![&empty];
        let mut alone: Vec<&Json> = vec![&Json::Null]; // null is no report at all
        for ((report, _), part) in reports.iter().zip(&parts) {
            with.extend([report, if depends(part) { part } else { &empty }]);
            alone.extend([report, &Json::Null]);
        }
        prop_assert_eq!(replay(&rule, &with), replay(&rule, &alone), "{}", rule);
    }
}
