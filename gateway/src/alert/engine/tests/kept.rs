use super::*;
use crate::alert::notification::reached::Reached;
use crate::rule::lifecycle_settings::Grouping;

#[test]
fn a_set_clock_moves_a_firing_alerts_start() {
    // Seconds that pass, milliseconds by which the wall is set meanwhile, and by which the alert moves along.
    for (seconds, by, moved) in [
        (3_600, 0, 0),
        (0, 10_000, 0),
        (0, 10_001, 10_001),
        (0, -10_001, -10_001),
        (60, 60_000, 60_000),
        (60, -120_000, -120_000),
    ] {
        let mut fixture = Fixture::door(LifecycleSettings::bare());
        fixture.see("door", "1", true);
        fixture.set(Duration::from_secs(seconds), by);
        let since = fixture.alert("1").firing().expect("it fires").since;
        assert_eq!(since.0 - START.0, moved, "{seconds} s and {by} ms");
    }
}

#[test]
fn only_the_longest_quiet_alert_makes_room() {
    let mut fixture = Fixture::with(&[rule("door", LifecycleSettings::bare())], people(&["nino"]), 2);
    for (id, fires) in [("1", true), ("1", false), ("2", true), ("2", true)] {
        fixture.see("door", id, fires);
    }
    assert_eq!(fixture.ids(), ["id=1", "id=2"], "one that is known needs no room");
    let effects = fixture.see("door", "3", true);
    assert_eq!(fixture.ids(), ["id=2", "id=3"]);
    let forgotten = "forgotten: 2 alerts are kept, and this one was quiet for longest";
    assert_eq!(records(&effects, Why::Forgotten), [forgotten]);
}

#[test]
fn an_alert_beyond_the_limit_is_told_but_not_kept() {
    let mut fixture = Fixture::with(&[rule("door", LifecycleSettings::bare())], people(&["nino"]), 1);
    fixture.see("door", "1", true);
    let effects = fixture.see("door", "2", true);
    assert_eq!(said(&effects), [("nino", NotificationKind::Fired, "door 2")]);
    assert!(slots(&effects).1.contains(&StateKey::Alert(ident("door", "2"))));
    assert_eq!(fixture.ids(), ["id=1"]);
    // Else the index grows with each, and no limit holds it.
    assert_eq!(fixture.watch.firing[&"door".into()], [ident("door", "1")].into());
}

#[test]
fn an_alert_that_never_fired_leaves_only_its_event_identities() {
    let mut fixture = Fixture::door(LifecycleSettings {
        pending_for: Duration::from_secs(60),
        ..LifecycleSettings::bare()
    });
    let effects = fixture.see("door", "1", true);
    assert_eq!(records(&effects, Why::Pending), ["`for` runs: door 1"]);
    fixture.watch.remember(&ident("door", "1"), recent(7, false));
    assert_eq!(fixture.watch.keep_passed(), [], "the alert knows it");
    fixture.pass(Duration::from_secs(30));
    let effects = fixture.see("door", "1", false);
    assert_eq!(slots(&effects), (vec![], vec![StateKey::Alert(ident("door", "1"))]));
    assert!(fixture.watch.alerts.is_empty());
    assert!(fixture.watch.is_repetition(&ident("door", "1"), 7, START));
}

/// What no event can reach any more must not be said again for ever.
#[test]
fn an_alert_is_forgotten_when_the_rules_key_changes() {
    let keyed = |key: &[&str], expect| {
        let life = LifecycleSettings { expect, repeat_interval: Some(HOUR), ..LifecycleSettings::bare() };
        let mut rule = rule("door", life.clone());
        rule.life = Some(Arc::new(LifecycleSettings {
            key: key.iter().map(|part| (*part).to_owned()).collect(),
            ..life
        }));
        Fixture::new(&[rule])
    };
    let mut fixture = Fixture::door(LifecycleSettings::bare());
    let kept = kept(&fixture.see("door", "1", true));
    let why = "the rule's `key` has changed: what still holds is a new alert with its next event";
    for (key, is_kept) in [(&["id"][..], true), (&["id", "payload.n"], false), (&[], false), (&["+1"], false)]
    {
        let mut next = keyed(key, None);
        next.watch.restore(kept.clone(), next.now);
        assert_eq!(next.watch.alerts.len(), usize::from(is_kept), "{key:?}");
        let effects = next.watch.drain();
        assert_eq!(records(&effects, Why::Forgotten).first().copied(), (!is_kept).then_some(why), "{key:?}");
        let ended = effects.iter().any(|effect| matches!(effect, Effect::Moved { state: "resolved", .. }));
        assert_eq!((ended, slots(&effects).1.len()), (!is_kept, usize::from(!is_kept)), "{key:?}");
        assert_eq!(said(&next.pass(2 * HOUR)).len(), usize::from(is_kept), "{key:?} is said again or not");
    }
    // A sign of life under another name would be missed for ever, too.
    let mut alive = keyed(&["id"], Some(HOUR));
    let kept = super::kept(&alive.see("door", "1", false));
    let mut next = keyed(&["+1"], Some(HOUR));
    next.watch.restore(kept, next.now);
    assert_eq!(said(&next.pass(2 * HOUR)), []);
    let mut without = Fixture::new(&[]);
    without
        .watch
        .restore(super::kept(&Fixture::door(LifecycleSettings::bare()).see("door", "1", true)), without.now);
    let gone = "its rule is gone, or its alerts have no states any more";
    assert_eq!(records(&without.watch.drain(), Why::Forgotten), [gone]);
}

#[test]
fn a_restored_alert_never_begins_in_the_future() {
    let mut fixture = Fixture::door(LifecycleSettings::bare());
    let kept = kept(&fixture.see("door", "1", true));
    for (wall, since) in [(START - HOUR, START - HOUR), (START, START), (START + HOUR, START)] {
        let mut next = Fixture::door(LifecycleSettings::bare());
        next.watch.restore(kept.clone(), Now { wall, steady: Duration::ZERO });
        assert_eq!(next.alert("1").firing().expect("it fires").since, since, "read at {wall:?}");
        assert_eq!(slots(&next.watch.drain()).1, []);
    }
}

/// A Pi without a clock of its own starts in the past, and is told the time a little later.
#[test]
fn a_group_wait_survives_a_clock_set_back() {
    let wait = Duration::from_secs(30);
    let group = || Grouping { by: Vec::new(), wait, interval: HOUR };
    let grouped = || rule("door", LifecycleSettings { group: Some(group()), ..LifecycleSettings::bare() });
    for behind in [0, 3_600_000, START.0] {
        let mut fixture = Fixture::new(&[grouped()]);
        let kept = kept(&fixture.see("door", "1", true));
        let mut next = Fixture::new(&[grouped()]);
        next.now = Now { wall: Timestamp(START.0 - behind), steady: Duration::ZERO };
        next.watch.restore(kept, next.now);
        assert_eq!(said(&next.set(wait / 2, behind)), [], "{behind} ms");
        assert_eq!(said(&next.pass(wait / 2)), [("nino", NotificationKind::Fired, "door 1")], "{behind} ms");
    }
}

#[test]
fn the_longest_quiet_alert_makes_room_after_a_restart() {
    let fixture = || Fixture::with(&[rule("door", LifecycleSettings::bare())], people(&["nino"]), 2);
    let (mut before, mut rows) = (fixture(), Vec::new());
    for id in ["2", "1"] {
        before.see("door", id, true);
        rows.extend(kept(&before.see("door", id, false)));
        before.pass(HOUR);
    }
    let mut next = fixture();
    next.now = before.now;
    next.watch.restore(rows, next.now);
    next.see("door", "3", true);
    assert_eq!(next.ids(), ["id=1", "id=3"]);
}

/// Else its row stays for as long as the database does.
#[test]
fn a_restart_deletes_snapshots_of_idle_alerts() {
    let keyed = rule("door", LifecycleSettings { pending_for: HOUR, ..LifecycleSettings::bare() });
    let mut fixture = Fixture::new(std::slice::from_ref(&keyed));
    fixture.see("door", "1", true);
    fixture.watch.remember(&ident("door", "1"), recent(7, false));
    let mut alert = fixture.alert("1").clone();
    alert.phase = crate::alert::lifecycle::Phase::Idle; // as a rule with a `dedupe_key` keeps it
    let slot = StateKey::Alert(ident("door", "1"));
    let state = serde_json::to_string(&alert).expect("JSON");
    let passed = Snapshot { slot: StateKey::Passed(0), state: "[]".into() };
    let mut next = Fixture::new(&[keyed]);
    next.watch.restore(vec![Snapshot { slot: slot.clone(), state }, passed], next.now);
    assert_eq!(slots(&next.watch.drain()), (vec![], vec![slot]));
    assert!(next.watch.is_repetition(&ident("door", "1"), 7, START), "its events are known all the same");
}

#[test]
fn receipts_come_in_any_order_and_count_once() {
    for (states, reach, times) in [
        (&["delivered"][..], Reached::Delivered, 1),
        (&["delivered", "delivered"], Reached::Delivered, 1),
        (&["read", "delivered"], Reached::Read, 1),
        (&["failed"], Reached::Failed, 1),
        (&["failed", "failed"], Reached::Failed, 1),
        (&["failed", "delivered"], Reached::Delivered, 2),
        (&["delivered", "failed"], Reached::Delivered, 1),
        (&["sent"], Reached::Sent, 0),
    ] {
        let mut fixture = Fixture::door(LifecycleSettings::bare());
        fixture.see("door", "1", true);
        let mut noted = 0;
        for state in states {
            let effects = fixture.note(&AlertCommand::Receipt {
                alert: ident("door", "1"),
                episode: 1,
                contact: "nino".into(),
                state: (*state).to_owned(),
            });
            noted += records(&effects, Why::Receipt).len();
        }
        let firing = fixture.alert("1").firing().expect("it fires");
        assert_eq!((firing.told[&"nino".into()].reach, noted), (reach, times), "{states:?}");
    }
}

#[test]
fn silences_are_numbered_and_acknowledging_a_quiet_alert_is_refused() {
    let mut fixture = Fixture::door(LifecycleSettings::bare());
    for _ in 0..3 {
        fixture.note(&silence(None, START + HOUR));
    }
    assert_eq!(fixture.watch.silences.keys().copied().collect::<Vec<_>>(), [1, 2, 3]);
    let by = Person { name: "operator".into(), contact: None };
    let answer = fixture.watch.note(&AlertCommand::Acknowledge { alert: ident("door", "1"), by }, START);
    let unknown = "door id=1 does not fire; `bellwire alerts list` shows what does";
    assert_eq!(answer, Err(unknown.to_owned()));
}

/// Who was told, or took care, is gone from the configuration: somebody else has to know.
#[test]
fn alerts_whose_recipients_are_gone_go_to_others() {
    let by = |who: &str| AlertCommand::Acknowledge {
        alert: ident("door", "1"),
        by: Person { name: who.to_owned(), contact: Some(who.into()) },
    };
    // Who was there, who took care, who is there after it, and who is told.
    for (before, care, after, told) in [
        (&["nino"][..], None, &["giorgi"][..], &["giorgi"][..]),
        (&["nino", "giorgi"], None, &["giorgi"], &[]),
        (&["nino", "giorgi"], Some("nino"), &["giorgi"], &["giorgi"]),
        (&["nino", "giorgi"], Some("giorgi"), &["giorgi"], &[]),
        (&["nino"], Some("nino"), &["nino"], &[]),
        (&["nino"], None, &[], &[]),
    ] {
        let mut fixture =
            Fixture::with(&[rule("door", LifecycleSettings::bare())], people(before), ALERTS_MAX);
        let mut effects = fixture.see("door", "1", true);
        effects.extend(care.into_iter().flat_map(|who| fixture.note(&by(who))));
        let state = kept(&effects).pop().expect("it is kept");
        let mut next = Fixture::with(&[rule("door", LifecycleSettings::bare())], people(after), ALERTS_MAX);
        next.watch.restore(vec![state], next.now);
        let effects = next.watch.drain();
        let whom: Vec<&str> = said(&effects).iter().map(|(whom, ..)| *whom).collect();
        assert_eq!(whom, told, "{before:?} {care:?} {after:?}");
        let still_cared = care.is_some_and(|who| after.contains(&who));
        let firing = next.alert("1").firing().expect("it fires");
        assert_eq!(firing.acknowledged.is_some(), still_cared, "{before:?} {care:?} {after:?}");
        let moved = effects.iter().any(|effect| matches!(effect, Effect::Moved { state: "firing", .. }));
        assert_eq!(moved, care.is_some() && !still_cared || !told.is_empty() || after.is_empty());
    }
}

/// What a night or a group held back of a rule that is gone takes nothing else with it.
#[test]
fn a_removed_rule_takes_nothing_else_from_summaries_or_groups() {
    let hours =
        crate::contact::quiet_hours::QuietHours::parse(["11:00-13:00"], Severity::Critical).expect("hours");
    let mut asleep = people(&["nino"]);
    asleep.quiet.insert("nino".into(), hours);
    let both = [rule("door", LifecycleSettings::bare()), rule("gate", LifecycleSettings::bare())];
    let mut fixture = Fixture::with(&both, asleep.clone(), ALERTS_MAX);
    let mut effects = fixture.see("door", "1", true);
    effects.extend(fixture.see("gate", "2", true));
    let mut next = Fixture::with(&both[1..], asleep, ALERTS_MAX);
    next.watch.restore(kept(&effects), next.now);
    next.watch.drain();
    let effects = next.pass(HOUR);
    assert_eq!(said(&effects), [("nino", NotificationKind::Summary, "🌙 In your quiet hours: 2 alerts")]);

    let group = || Grouping { by: Vec::new(), wait: Duration::from_secs(30), interval: HOUR };
    let grouped =
        |name: &str| rule(name, LifecycleSettings { group: Some(group()), ..LifecycleSettings::bare() });
    let mut fixture = Fixture::new(&[grouped("door"), grouped("gate")]);
    let mut effects = fixture.see("door", "1", true);
    effects.extend(fixture.see("gate", "2", true));
    let mut next = Fixture::new(&[grouped("gate")]);
    next.watch.restore(kept(&effects), next.now);
    next.watch.drain();
    assert_eq!(said(&next.pass(Duration::from_secs(30))), [("nino", NotificationKind::Fired, "gate 2")]);
}

/// It had begun to wait for others when the rule was renamed.
#[test]
fn a_grouped_end_is_sent_after_its_rule_is_removed() {
    let group = || Grouping { by: Vec::new(), wait: Duration::from_secs(30), interval: HOUR };
    let grouped =
        |name: &str| rule(name, LifecycleSettings { group: Some(group()), ..LifecycleSettings::bare() });
    let mut fixture = Fixture::new(&[grouped("door"), grouped("gate")]);
    let mut effects = fixture.see("door", "1", true);
    effects.extend(fixture.pass(Duration::from_secs(30)));
    assert_eq!(said(&effects), [("nino", NotificationKind::Fired, "door 1")]);
    effects.extend(fixture.see("door", "1", false));
    let mut next = Fixture::new(&[grouped("gate")]);
    next.watch.restore(kept(&effects), next.now);
    next.watch.drain();
    let effects = next.pass(2 * HOUR);
    let told: Vec<_> = said(&effects).into_iter().map(|(whom, kind, _)| (whom, kind)).collect();
    assert_eq!(told, [("nino", NotificationKind::Resolved)]);
}

#[test]
fn people_removed_from_a_rule_get_no_repetition() {
    let life = || LifecycleSettings { repeat_interval: Some(HOUR), ..LifecycleSettings::bare() };
    let mut fixture = Fixture::with(&[rule("door", life())], people(&["nino", "giorgi"]), ALERTS_MAX);
    let effects = fixture.see("door", "1", true);
    let own = Rule { notify: vec!["nino".into()], ..rule("door", life()) };
    let mut next = Fixture::with(&[own], people(&["nino", "giorgi"]), ALERTS_MAX);
    next.watch.restore(kept(&effects), next.now);
    next.watch.drain();
    let effects = next.pass(HOUR);
    let whom: Vec<&str> = said(&effects).iter().map(|(whom, ..)| *whom).collect();
    assert_eq!(whom, ["nino"]);
}
