//! What each answer of Meta's leads to: every example body, and every row of the error table, by name. A row or a body
//! that is added without a decision here fails.

use std::collections::BTreeSet;

use super::*;
use crate::outbox::message_state::{OnUnknown, State};
use crate::outbox::retry_policy::{
    FailureCount, Gate, HeldFor, Learned, MessageCase, Next, after_answer, after_status,
};
use crate::outbox::window::MessageForm;
use crate::random::Rng;
use crate::time::Timestamp;

const NOW: Timestamp = Timestamp(1_790_000_000_000);

/// What may be decided, and the codes for which it is.
const DECISIONS: [(&str, &[&str]); 11] = [
    (
        "the connection pauses, one message asks again each minute",
        &[
            "0", "190", "102", "104", "3", "10", "200-299", "131005", "368", "131031", "131042", "131044",
            "131045", "133010", "33", "803", "131037", "131063", "134011", "133000", "133005", "133006",
            "133008", "133009", "133015", "136024", "2635",
        ],
    ),
    ("the connection slows down", &["130429", "4", "80007", "17", "613", "341", "133016"]),
    ("this person waits", &["131056"]),
    ("the connection waits a minute", &["131057", "2494100", "133004"]),
    ("it may have gone out", &["1", "2", "131000", "131016"]),
    ("its template goes instead", &["131047"]),
    ("it waits 24 h", &["131049"]),
    ("it is held for a person, and the connection pauses", &["131048", "131064"]),
    (
        "the next template goes instead",
        &["132000", "132001", "132005", "132007", "132008", "132012", "132015", "132016", "132018"],
    ),
    ("it goes without its file", &["131052", "131053", "131014"]),
    (
        "it failed",
        &[
            "100",
            "131008",
            "131009",
            "131021",
            "131051",
            "135000",
            "130497",
            "131030",
            "131026",
            "130403",
            "130472",
            "131050",
            "131055",
            "131062",
            "131059",
            "131060",
            "132068",
            "132069",
            "134100-134103",
            "137000",
            "138038",
            "138000-138xxx",
            "139000-139004",
            "139100",
            "139101",
            "139102",
            "139103",
            "141002/141006",
            "147001-147005",
            "200005-200007",
            "131020,131041,131201-131215",
            "2388xxx",
            "2494164-2494179",
            "2593079,2593085,2593107,2593108",
            "1752041",
            "506",
        ],
    ),
];

/// A message with words, a template to fall back to, and a picture: it went out in that form.
fn case(tries: u32, form: MessageForm) -> MessageCase {
    MessageCase {
        count: FailureCount { tries, streak: tries },
        on_unknown: OnUnknown::Retry,
        form,
        templates: 1,
        has_media: true,
        expires_at: NOW + std::time::Duration::from_secs(48 * 3_600),
    }
}

fn template() -> MessageForm {
    MessageForm::Template { name: "alarm".into(), language: "en".into() }
}

/// An error in Meta's form, by way of the bytes.
fn refused(code: i64, status: u16) -> ApiAnswer {
    let body = serde_json::json!({ "error": { "code": code, "message": "(#0) Words", "fbtrace_id": "TRACE",
                                              "error_data": { "details": "details" } } });
    judged(status, body.to_string().as_bytes())
}

fn judged(status: u16, body: &[u8]) -> ApiAnswer {
    judge(StatusCode::from_u16(status).expect("a status"), &HeaderMap::new(), body)
}

/// The decision in the words of the table above.
fn words(next: &Next) -> &'static str {
    let wait = next.not_before.map(|until| NOW.until(until).as_secs());
    let gate = next.gate.as_ref().map(|gate| match gate {
        Gate::Connection { until, .. } => ("connection", NOW.until(*until).as_secs()),
        Gate::Severity { until } => ("severity", NOW.until(*until).as_secs()),
        Gate::Pair { until } => ("pair", NOW.until(*until).as_secs()),
    });
    match (next.state, gate, wait, &next.learned) {
        (State::Accepted, None, None, None) => "it was accepted",
        (State::Queued, Some(("connection", 60)), None, None) => {
            "the connection pauses, one message asks again each minute"
        }
        (State::Queued, Some(("connection", 20..60)), Some(20..60), None) => "the connection waits a minute",
        (State::Queued, Some(("connection", 0..20)), Some(0..20), None) => "the connection slows down",
        (State::Queued, Some(("pair", 1)), Some(1), None) => "this person waits",
        (State::Unknown, None, Some(_), None) => "it may have gone out",
        (State::Queued, None, None, Some(Learned::WindowClosed)) => "its template goes instead",
        (State::Queued, None, Some(86_400), None) => "it waits 24 h",
        (State::Held, Some(("connection", 21_600)), None, None) => {
            "it is held for a person, and the connection pauses"
        }
        (State::Queued, None, None, Some(Learned::TemplateUnusable { .. })) => {
            "the next template goes instead"
        }
        (State::Queued, None, None, Some(Learned::MediaRefused)) => "it goes without its file",
        (State::Failed, None, None, None) => "it failed",
        (State::Queued, None, Some(_), None) => "it is tried again soon",
        _ => "a decision without a name",
    }
}

/// Codes of templates are answers to templates.
fn decided(answer: &ApiAnswer, tries: u32) -> Next {
    let is_template = matches!(answer, ApiAnswer::Refused(refusal) if refusal.class == Class::Template);
    let form = if is_template { template() } else { MessageForm::Free };
    after_answer(answer, &case(tries, form), NOW, &mut Rng::seeded(1))
}

/// The first and the last code of a row such as `131020,131041,131201-131215` or `2388xxx`.
fn codes(row: &str) -> Vec<i64> {
    let number = |text: &str, x: &str| text.trim().replace('x', x).parse::<i64>().expect(text);
    row.split([',', '/'])
        .flat_map(|part| {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            [number(first, "0"), number(last, "9")]
        })
        .collect()
}

#[test]
fn every_row_of_the_error_table_has_its_decision() {
    let table: Value = serde_json::from_str(include_str!("../error_codes.json")).expect("JSON");
    let rows: BTreeSet<&str> = table["codes"]
        .as_array()
        .expect("rows")
        .iter()
        .map(|row| row["code"].as_str().expect("code"))
        .collect();
    let named: Vec<&str> = DECISIONS.iter().flat_map(|(_, codes)| codes.iter().copied()).collect();
    assert_eq!(named.iter().copied().collect::<BTreeSet<_>>(), rows, "each row stands in the list, once");
    assert_eq!(named.len(), rows.len());
    for (decision, row) in DECISIONS.iter().flat_map(|(what, rows)| rows.iter().map(move |row| (*what, *row)))
    {
        for code in codes(row) {
            for status in [400, 401, 403, 404, 429, 500, 503] {
                let next = decided(&refused(code, status), 1);
                assert_eq!(words(&next), decision, "{code}, HTTP {status}: {next:?}");
                assert!(next.reason.contains("details") && next.reason.contains("TRACE"), "{}", next.reason);
            }
        }
    }
}

/// The same codes as a `failed` status, which surely was not delivered: nothing is in doubt, and no answer closes a gate
/// (what they tell of the number is told to the sender beside, `Scheduler`'s `SchedulerInput::Reported`).
#[test]
fn every_row_has_its_decision_as_a_status() {
    for (decision, rows) in DECISIONS {
        for code in rows.iter().flat_map(|row| codes(row)) {
            let ApiAnswer::Refused(refusal) = refused(code, 400) else { panic!("{code} is a refusal") };
            let form = if refusal.class == Class::Template { template() } else { MessageForm::Free };
            let next = |tries| {
                after_status(
                    State::Failed,
                    Some(&refusal),
                    &case(tries, form.clone()),
                    NOW,
                    &mut Rng::seeded(1),
                )
            };
            let (first, last) = (next(1), next(5));
            assert_eq!(first.gate, None, "{code}");
            let expected = match decision {
                "it failed" => State::Failed,
                "it is held for a person, and the connection pauses" => State::Held,
                _ => State::Queued,
            };
            assert_eq!(first.state, expected, "{code}: {first:?}");
            assert!(matches!(last.state, State::Failed | State::Held), "{code} ends: {last:?}");
        }
    }
}

#[test]
fn an_unknown_code_is_tried_twice_more_and_then_failed() {
    let states: Vec<State> = (1..=3).map(|tries| decided(&refused(987_654, 400), tries).state).collect();
    assert_eq!(states, [State::Queued, State::Queued, State::Failed]);
    assert!(decided(&refused(987_654, 400), 3).reason.contains("987654"));
}

#[test]
fn without_a_template_the_message_waits_until_the_person_writes() {
    let case = MessageCase { templates: 0, ..case(1, MessageForm::Free) };
    let next = after_answer(&refused(131_047, 400), &case, NOW, &mut Rng::seeded(1));
    assert_eq!((next.state, next.held_for), (State::Held, Some(HeldFor::Window)));
    let again = after_answer(
        &refused(131_047, 400),
        &super::decisions::case(1, template()),
        NOW,
        &mut Rng::seeded(1),
    );
    assert_eq!(again.state, State::Failed, "a template may go out at any time: no second resend");
}

/// Bodies by the name of their file, and what a message that got them as its answer does.
const BODIES: [(&str, &str); 39] = [
    ("ok_text", "it was accepted"),
    ("ok_bsuid", "it was accepted"),
    ("ok_template_accepted", "it was accepted"),
    ("err_0_auth", "the connection pauses, one message asks again each minute"),
    ("err_190_expired", "the connection pauses, one message asks again each minute"),
    ("err_3_capability", "the connection pauses, one message asks again each minute"),
    ("err_10_permission", "the connection pauses, one message asks again each minute"),
    ("err_200_permission", "the connection pauses, one message asks again each minute"),
    ("err_368_blocked", "the connection pauses, one message asks again each minute"),
    ("err_131031_locked", "the connection pauses, one message asks again each minute"),
    ("err_131042_payment", "the connection pauses, one message asks again each minute"),
    ("err_4_app_limit", "the connection slows down"),
    ("err_80007_waba_limit", "the connection slows down"),
    ("err_130429_throughput", "the connection slows down"),
    ("err_131056_pair", "this person waits"),
    ("err_1_unknown", "it may have gone out"),
    ("err_2_service", "it may have gone out"),
    ("err_131000_unknown", "it may have gone out"),
    ("err_131016_unavailable", "it may have gone out"),
    ("err_html_body", "it may have gone out"),
    ("err_131047_window", "its template goes instead"),
    ("err_131048_spam", "it is held for a person, and the connection pauses"),
    ("err_132000_params", "the next template goes instead"),
    ("err_132001_template_missing", "the next template goes instead"),
    ("err_132012_format", "the next template goes instead"),
    ("err_132016_disabled", "the next template goes instead"),
    ("err_132018_template_params", "the next template goes instead"),
    ("err_100_parameter", "it failed"),
    ("err_131008_missing", "it failed"),
    ("err_131009_value", "it failed"),
    ("err_131030_allowlist", "it failed"),
    ("err_131062_bsuid", "it failed"),
    // Answers to other questions: none of them is taken for an acceptance of a message.
    ("ok_mark_read", "it may have gone out"),
    ("ok_media_get", "it may have gone out"),
    ("ok_media_upload", "it may have gone out"),
    ("debug_token_ok", "it may have gone out"),
    ("debug_token_invalid", "it may have gone out"),
    ("health_status_blocked", "it may have gone out"),
    ("phone_number_doctor", "it may have gone out"),
];

#[test]
fn every_example_of_an_answer_has_its_decision() {
    let folder = format!("{}/../tests/fixtures/cloud-api/responses", env!("CARGO_MANIFEST_DIR"));
    for file in std::fs::read_dir(folder).expect("a folder") {
        let path = file.expect("a file").path();
        let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
        let answer: Value = serde_json::from_slice(&std::fs::read(&path).expect("readable")).expect("JSON");
        let status =
            answer["http_status"].as_u64().and_then(|status| status.try_into().ok()).expect("a status");
        let body = answer["body"].as_str().map_or_else(|| answer["body"].to_string(), str::to_owned);
        let next = decided(&judged(status, body.as_bytes()), 1);
        let expected = BODIES.iter().find(|(known, _)| *known == name).map(|(_, decision)| *decision);
        assert_eq!(Some(words(&next)), expected, "{name}: {next:?}");
    }
}
