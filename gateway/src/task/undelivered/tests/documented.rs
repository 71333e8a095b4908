//! The table of error classes in the documentation, against what happens.

use super::*;

/// `1 to 2 s`, `24 h`.
fn waits(all: &BTreeSet<i64>) -> String {
    let round = |seconds: i64| if seconds > 600 { (seconds + 59) / 60 * 60 } else { seconds };
    let words = |ms: i64| match round((ms + 999) / 1_000) {
        seconds if seconds % 3_600 == 0 => format!("{} h", seconds / 3_600),
        seconds if seconds % 60 == 0 => format!("{} min", seconds / 60),
        seconds => format!("{seconds} s"),
    };
    match (all.first(), all.last()) {
        (Some(least), Some(most)) if words(*least) == words(*most) => words(*most),
        (Some(_), Some(most)) => format!("up to {}", words(*most)),
        (_, _) => "–".to_owned(),
    }
}

/// What becomes of an alert whose message is refused so, as it is measured: when it is tried again, the first time and at last;
/// how often; what the outbox says at once; when the owner hears that nobody got it, and whether the number has stopped.
fn measured(code: i64, title: &str) -> String {
    let next = |tries: u32, rich: bool, seed: u64| {
        let form = match rich && refused(code).class == Class::Template {
            true => MessageForm::Template { name: "alarm".into(), language: "en".into() },
            false => MessageForm::Free,
        };
        let (templates, has_media) = (usize::from(rich), rich);
        let (count, expires_at) = (FailureCount { tries, streak: tries }, NOW + DAY * 2);
        let case =
            MessageCase { count, on_unknown: OnUnknown::Retry, form, templates, has_media, expires_at };
        after_answer(&ApiAnswer::Refused(refused(code)), &case, NOW, &mut Rng::seeded(seed))
    };
    let is_tried = |state: State| matches!(state, State::Queued | State::Unknown);
    let again = |tries: u32| -> BTreeSet<i64> {
        let of = |seed| {
            let next = next(tries, false, seed);
            let until = next.not_before.or(next.gate.as_ref().map(crate::outbox::retry_policy::Gate::until));
            until.filter(|_| is_tried(next.state)).map(|until| until.0 - NOW.0)
        };
        (0..400).filter_map(of).collect()
    };
    let last = (1..=40).rev().find(|tries| !again(*tries).is_empty()).unwrap_or(1);
    let tries = (1..=40).find(|tries| !is_tried(next(*tries, false, 1).state));
    let rich = next(1, true, 1);
    let again = match is_tried(rich.state) && rich.not_before.is_none() && rich.gate.is_none() {
        true if next(1, false, 1).held_for == Some(HeldFor::Window) => {
            "at once, in its next form; or when the person writes".to_owned()
        }
        true => "at once, in its next form".to_owned(),
        false if rich.held_for == Some(HeldFor::Quality) => "by hand".to_owned(),
        false if last == 1 || again(1) == again(last) => waits(&again(1)),
        false => format!("{}, then {}", waits(&again(1)), waits(&again(last))),
    };
    let often = match tries {
        None => "until it expires".to_owned(),
        Some(1) => "–".to_owned(),
        Some(count) => format!("{count} times, then {}", next(count, false, 1).state.as_str()),
    };
    let site = Site::new(&["nino"], DAY);
    site.answer(1, &ApiAnswer::Refused(refused(code)), DAY);
    let state = match site.message(1).0.as_str() {
        "queued" | "unknown" => "waits".to_owned(),
        state => state.to_owned(),
    };
    let hears = if site.told(NOW).len() == 1 { "at once" } else { "at its end" };
    let stopped = match crate::outbox::retry_policy::for_a_person(&refused(code)) {
        Some(_) => "; at once that the number has stopped",
        None => "",
    };
    format!("| {title} | {again} | {often} | {state} | {hears}{stopped} |")
}

/// What people read of each class is what happens.
#[test]
fn the_documented_table_of_classes_is_what_happens() {
    let page = std::fs::read_to_string(format!("{}/../docs/messages.md", env!("CARGO_MANIFEST_DIR")));
    let page = page.expect("a page");
    let table = page.split("| class | tried again after |").nth(1).expect("the table");
    let documented: Vec<&str> = table.lines().skip(2).take_while(|line| line.starts_with('|')).collect();
    let measured: Vec<String> = CLASSES.iter().map(|(code, title)| measured(*code, title)).collect();
    assert_eq!(documented, measured, "docs/messages.md should say\n{}", measured.join("\n"));
    // Every row of Meta's table is of one of them.
    let classes: Vec<Class> = CLASSES.iter().map(|(code, _)| refused(*code).class).collect();
    assert!(codes().iter().all(|code| classes.contains(&refused(*code).class)));
}
