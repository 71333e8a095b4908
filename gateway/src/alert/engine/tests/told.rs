use super::*;
use crate::alert::effect::told_once;
use crate::alert::message_text::Said;
use crate::contact::quiet_hours::QuietHours;
use crate::rule::lifecycle_settings::{Flapping, Grouping, Inhibition, Step, Target, Unless};

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

#[test]
fn a_fired_alert_has_its_duration_template_and_expiry() {
    for (pending_for, what) in [(0, "the condition holds"), (60, "the condition has held for 1 min")] {
        let mut fixture = Fixture::door(LifecycleSettings {
            pending_for: seconds(pending_for),
            ..LifecycleSettings::bare()
        });
        let mut effects = fixture.see("door", "1", true);
        effects.extend(fixture.pass(seconds(60)));
        assert_eq!(records(&effects, Why::Fired), [what]);
        let notice = effects.into_iter().find_map(Effect::notice).expect("a message");
        assert_eq!(notice.content.templates, [template()]);
        assert_eq!(notice.expires_at, notice.at + 2 * HOUR);
    }
}

#[test]
fn a_new_contact_gets_the_next_alert() {
    let mut fixture = Fixture::door(LifecycleSettings::bare());
    assert_eq!(said(&fixture.see("door", "1", true)), [("nino", NotificationKind::Fired, "door 1")]);
    fixture.watch.meet(Arc::new(people(&["nino", "giorgi"])));
    let both = [("nino", NotificationKind::Fired, "door 2"), ("giorgi", NotificationKind::Fired, "door 2")];
    assert_eq!(said(&fixture.see("door", "2", true)), both);
}

#[test]
fn a_group_lists_each_alert_once_and_references_one() {
    let group = Grouping { by: Vec::new(), wait: seconds(30), interval: seconds(300) };
    let mut fixture = Fixture::door(LifecycleSettings { group: Some(group), ..LifecycleSettings::bare() });
    for fires in [true, false, true] {
        assert_eq!(said(&fixture.see("door", "1", fires)), []);
    }
    assert_eq!(said(&fixture.pass(seconds(30))), [("nino", NotificationKind::Fired, "door 1")]);
    fixture.see("door", "1", false);
    fixture.see("door", "2", true);
    let effects = fixture.pass(seconds(300));
    assert_eq!(said(&effects), [("nino", NotificationKind::Fired, "🔔 1 alert, 1 over")]);
    let about = effects.into_iter().find_map(Effect::notice).and_then(|notice| notice.alert);
    assert_eq!(about, Some((ident("door", "2"), 1)));
}

#[test]
fn a_silence_ends_at_its_moment() {
    let still = ("nino", NotificationKind::Still, "🔁 Still, for 1 h 0 min: door 1");
    let mut fixture =
        Fixture::door(LifecycleSettings { repeat_interval: Some(HOUR), ..LifecycleSettings::bare() });
    fixture.see("door", "1", true);
    fixture.note(&silence(None, START + HOUR));
    assert_eq!(said(&fixture.pass(HOUR)), [still]);
    // What is told once is held back in the same way.
    for (until, is_told) in [(START, true), (START + seconds(1), false)] {
        let bell = Rule { life: None, ..rule("bell", LifecycleSettings::bare()) };
        let mut fixture = Fixture::new(std::slice::from_ref(&bell));
        fixture.note(&silence(None, until));
        let event = crate::alert::tests::event("bell/1", "x", crate::event::incoming::Identity::None);
        let said = Said { wording: MessageText::of("x"), templates: Vec::new(), file: None };
        let alert = &ident("bell", "1");
        let (bindings, flaw, is_repetition) = (BTreeMap::new(), None, false);
        let request = None;
        let once =
            OneTime { rule: &bell, alert, bindings, event: &event, said, request, flaw, is_repetition };
        fixture.watch.tell_once(once, START);
        let effects = fixture.watch.drain();
        let (raised, messages) = told_once(&effects).remove(0);
        assert_eq!((messages.len() == 1, raised.held.is_empty()), (is_told, is_told));
    }
}

#[test]
fn the_same_text_is_not_repeated_within_the_interval() {
    // The end of a snooze reminds, in the moment of the repetition.
    let mut fixture =
        Fixture::door(LifecycleSettings { repeat_interval: Some(HOUR), ..LifecycleSettings::bare() });
    fixture.see("door", "1", true);
    let by = Person { name: "nino".into(), contact: Some("nino".into()) };
    fixture.note(&AlertCommand::Snooze { alert: ident("door", "1"), by, seconds: 3_600 });
    let effects = fixture.pass(HOUR);
    assert_eq!(said(&effects), [("nino", NotificationKind::Still, "🔁 Still, for 1 h 0 min: door 1")]);
    assert_eq!(records(&effects, Why::Repeated), ["not to nino: the same was said before"]);
    // After a day the age is told in hours: two repetitions within one read the same.
    let mut fixture =
        Fixture::door(LifecycleSettings { repeat_interval: Some(HOUR / 2), ..LifecycleSettings::bare() });
    fixture.see("door", "1", true);
    let told: Vec<Vec<Effect>> = (0..52).map(|_| fixture.pass(HOUR / 2)).collect();
    assert!(told.iter().all(|effects| said(effects).len() == 1));
    assert_eq!(said(&told[48]), said(&told[47]));
}

#[test]
fn a_summary_leaves_out_what_is_silenced_by_then() {
    let mut people = people(&["nino"]);
    let quiet = QuietHours::parse(["12:00-13:00"], Severity::Critical).expect("hours");
    people.quiet.insert("nino".into(), quiet);
    let mut fixture = Fixture::with(&[rule("door", LifecycleSettings::bare())], people, ALERTS_MAX);
    for id in ["1", "2", "3"] {
        assert_eq!(said(&fixture.see("door", id, true)), []);
    }
    fixture.note(&silence(Some("1"), START + 2 * HOUR));
    fixture.note(&silence(Some("2"), START + HOUR));
    let effects = fixture.pass(HOUR);
    assert_eq!(said(&effects), [("nino", NotificationKind::Summary, "🌙 In your quiet hours: 2 alerts")]);
    let notice = effects.into_iter().find_map(Effect::notice).expect("a message");
    let lines: Vec<&str> = notice.content.text.lines().skip(1).collect();
    assert_eq!(lines, ["🟠 12:00 door 2", "🟠 12:00 door 3"]);
}

#[test]
fn a_persons_quiet_hours_extend_those_of_the_rule() {
    let hours = |text| QuietHours::parse([text], Severity::Critical).expect("hours");
    let mut people = people(&["nino"]);
    people.quiet.insert("nino".into(), hours("14:00-16:00"));
    let life = LifecycleSettings { quiet: Some(hours("12:00-15:00")), ..LifecycleSettings::bare() };
    let mut fixture = Fixture::with(&[rule("door", life)], people, ALERTS_MAX);
    assert_eq!(said(&fixture.see("door", "1", true)), []);
    assert_eq!((said(&fixture.pass(3 * HOUR)), fixture.watch.wake_at()), (vec![], Some(START + 4 * HOUR)));
    assert_eq!(
        said(&fixture.pass(HOUR)),
        [("nino", NotificationKind::Still, "🌙 In your quiet hours: 1 alert")]
    );
}

#[test]
fn flapping_ends_after_a_whole_calm_window() {
    let flapping = Flapping { changes: 2, within: seconds(600) };
    let life = LifecycleSettings { flapping, resolve_after: Some(seconds(100)), ..LifecycleSettings::bare() };
    let mut fixture = Fixture::door(life);
    let effects: Vec<Effect> =
        [true, false, true].into_iter().flat_map(|f| fixture.see("door", "1", f)).collect();
    assert_eq!(said(&effects).last().map(|(_, kind, _)| *kind), Some(NotificationKind::Flapping));
    assert_eq!(said(&fixture.pass(seconds(100))), [], "it ends by itself");
    assert_eq!((fixture.alert("1").state(), fixture.alert("1").flapping), ("resolved", true));
    assert_eq!(
        said(&fixture.pass(seconds(600))),
        [("nino", NotificationKind::Calm, "〰 Calm again, and it is over: door 1")]
    );
}

#[test]
fn an_ended_source_releases_only_the_alerts_it_inhibited() {
    let inhibited_by = vec![Inhibition { source: "power".into(), equal: vec!["id".into()] }];
    let door = rule("door", LifecycleSettings { inhibited_by, ..LifecycleSettings::bare() });
    let mut fixture = Fixture::new(&[door, rule("power", LifecycleSettings::bare())]);
    for (rule, id) in [("power", "1"), ("power", "2"), ("door", "1")] {
        fixture.see(rule, id, true);
    }
    let effects = fixture.see("power", "2", false);
    assert_eq!(said(&effects).len(), 1);
    assert_eq!(records(&effects, Why::Inhibited), Vec::<&str>::new(), "the other is not even looked at");
    let effects = fixture.see("power", "1", false);
    assert_eq!(said(&effects).last(), Some(&("nino", NotificationKind::Fired, "door 1")));
}

#[test]
fn an_escalation_step_does_not_repeat_an_acknowledged_alert() {
    let step = Step {
        after: 2 * HOUR,
        unless: Unless::Resolved,
        target: Target::Post { url: "http://x/hook".into() },
    };
    let mut fixture = Fixture::door(LifecycleSettings {
        repeat_interval: Some(HOUR),
        escalate: vec![step],
        ..LifecycleSettings::bare()
    });
    fixture.see("door", "1", true);
    let by = Person { name: "operator".into(), contact: None };
    fixture.note(&AlertCommand::Acknowledge { alert: ident("door", "1"), by });
    let effects = fixture.pass(2 * HOUR);
    assert_eq!(records(&effects, Why::Step), ["step 1: posted to http://x/…"]);
    assert_eq!(said(&effects), []);
}

/// docs/alerts.md, `repeat_interval`: whoever was asked in between has just heard of it.
#[test]
fn a_reminder_comes_one_interval_after_the_last_message() {
    let half = HOUR / 2;
    let step = |target| Step { after: half, unless: Unless::Acknowledged, target };
    let hook = Target::Post { url: "http://x/hook".into() };
    for (target, told) in [
        (Target::People(vec!["giorgi".into()]), [&["giorgi"][..], &[], &["giorgi", "nino"], &[]]),
        (hook, [&[], &["nino"], &[], &["nino"]]), // it tells nobody
    ] {
        let life = LifecycleSettings {
            repeat_interval: Some(HOUR),
            escalate: vec![step(target)],
            ..LifecycleSettings::bare()
        };
        let rule = Rule { notify: vec!["nino".into()], ..rule("door", life) };
        let mut fixture = Fixture::with(&[rule], people(&["nino", "giorgi"]), ALERTS_MAX);
        assert_eq!(said(&fixture.see("door", "1", true)), [("nino", NotificationKind::Fired, "door 1")]);
        for told in told {
            let effects = fixture.pass(half);
            assert_eq!(said(&effects).iter().map(|(whom, ..)| *whom).collect::<Vec<_>>(), told);
        }
    }
}
