use std::time::Duration;

use crate::alert::effect::{Effect, Notification, NotificationKind, Snapshot};
use crate::alert::engine::{Engine, StateKey};
use crate::alert::intake::RuleSet;
use crate::alert::lifecycle::AlertKey;
use crate::alert::tests::{MORNING, event, site};
use crate::chart::curve::Curve;
use crate::event::incoming::{Event, Identity};
use crate::outbox::message::{Header, Media, Part};
use crate::time::{Now, Timestamp};

const FREEZER: &str = r#"
[[rule]]
name = "freezer"
topic = "freezer/{id}"
when = "value > -15"
resolve_when = "value < -17"
value = "payload.celsius"
chart = "6h"
message = "Freezer {{ id }} is at {{ value }}"
notify = ["keti", "giorgi"]
repeat_interval = "1h"
template = [{ name = "pictured", language = "en", header_file = true }, { name = "plain", language = "en" }]
"#;

fn now(seconds: u64) -> Now {
    Now { wall: MORNING + Duration::from_secs(seconds), steady: Duration::from_secs(seconds) }
}

fn reading(id: &str, celsius: f64) -> Event {
    event(&format!("freezer/{id}"), format!("{{\"celsius\": {celsius}}}"), Identity::None)
}

fn take(judge: &RuleSet, watch: &mut Engine, event: Event, seconds: u64) -> Vec<Effect> {
    watch.advance(now(seconds));
    let event = Event { received_at: now(seconds).wall, ..event };
    judge.decide(event, watch, now(seconds).wall).effects
}

fn told(effects: &[Effect], kind: NotificationKind) -> Vec<Notification> {
    effects.iter().cloned().filter_map(Effect::notice).filter(|notice| notice.kind == kind).collect()
}

fn pictures(effects: &[Effect]) -> Vec<String> {
    let sha = |effect: &Effect| {
        if let Effect::Picture(file, _) = effect { Some(file.sha256.clone()) } else { None }
    };
    effects.iter().filter_map(sha).collect()
}

fn curves(effects: &[Effect]) -> Vec<(AlertKey, Option<Curve>)> {
    let one = |effect: &Effect| {
        if let Effect::Keep(Snapshot { slot: StateKey::Curve(alert), state }) = effect {
            return Some((alert.clone(), Some(serde_json::from_str(state).expect("a curve"))));
        }
        if let Effect::Forget(StateKey::Curve(alert)) = effect { Some((alert.clone(), None)) } else { None }
    };
    effects.iter().filter_map(one).collect()
}

fn values(curve: &Curve, until: Timestamp) -> Vec<f64> {
    let plot = curve.plot(Duration::from_secs(6 * 3_600), until, &[], Vec::new());
    plot.map(|plot| plot.readings.iter().map(|one| one.last).collect()).unwrap_or_default()
}

#[test]
fn alerts_carry_a_chart_and_their_end_does_not() {
    let judge = site(FREEZER).1;
    let mut watch = judge.watch();
    assert!(told(&take(&judge, &mut watch, reading("1", -18.0), 0), NotificationKind::Fired).is_empty());
    let effects = take(&judge, &mut watch, reading("1", -12.5), 100);
    let (fired, drawn) = (told(&effects, NotificationKind::Fired), pictures(&effects));
    assert_eq!((fired.len(), drawn.len()), (2, 1), "one picture for both");
    let shown = Media::Kept { sha256: drawn[0].clone(), is_drawn: true };
    for notice in &fired {
        assert_eq!(notice.content.part, Some(Part::Image(shown.clone())));
        assert!(notice.content.is_plain(), "a digest may take it, without its picture");
        let [pictured, plain] = &notice.content.templates[..] else { panic!("{notice:?}") };
        assert_eq!((&pictured.header, &plain.header), (&Some(Header::Image(shown.clone())), &None));
    }
    watch.advance(now(3_700));
    let still = watch.drain();
    let (told_again, drawn_again) = (told(&still, NotificationKind::Still), pictures(&still));
    assert_eq!((told_again.len(), drawn_again.len()), (2, 1));
    assert_ne!(drawn, drawn_again, "what came since");
    let over = told(&take(&judge, &mut watch, reading("1", -18.0), 3_800), NotificationKind::Resolved);
    assert!(!over.is_empty() && over.iter().all(|notice| notice.content.part.is_none()));
    let names = over[0].content.templates.iter().map(|template| template.name.as_str());
    assert_eq!(names.collect::<Vec<_>>(), ["plain"], "no template whose header would be empty");
}

#[test]
fn with_buttons_the_picture_stands_above_the_words() {
    let judge = site(&format!("{FREEZER}buttons = [\"acknowledge\"]")).1;
    let effects = take(&judge, &mut judge.watch(), reading("1", -12.5), 0);
    let fired = told(&effects, NotificationKind::Fired);
    assert!(matches!(fired[0].content.header, Some(Header::Image(_))) && fired[0].content.part.is_none());
}

#[test]
fn only_a_group_of_one_alert_has_a_chart() {
    let judge = site(&FREEZER.replace("repeat_interval = \"1h\"", "group_by = []\ngroup_wait = \"10s\"")).1;
    for (ids, drawn) in [(&["1"][..], 1), (&["1", "2"], 0)] {
        let mut watch = judge.watch();
        for id in ids {
            take(&judge, &mut watch, reading(id, -12.5), 0);
        }
        watch.advance(now(10));
        let effects = watch.drain();
        assert_eq!(
            (told(&effects, NotificationKind::Fired).len(), pictures(&effects).len()),
            (2, drawn),
            "{ids:?}"
        );
    }
}

#[test]
fn a_flood_stops_charts_but_not_texts() {
    let judge = site(FREEZER).1;
    let mut watch = judge.watch();
    let (mut words, mut drawn) = (0, 0);
    for id in 0..40 {
        let effects = take(&judge, &mut watch, reading(&id.to_string(), -12.5), 0);
        (words, drawn) =
            (words + told(&effects, NotificationKind::Fired).len(), drawn + pictures(&effects).len());
        assert!(told(&effects, NotificationKind::Fired).iter().all(|notice| {
            notice.content.part.is_some() == (id < 30)
                && notice.content.templates.len() == if id < 30 { 2 } else { 1 }
        }));
    }
    assert_eq!((words, drawn), (80, 30));
    assert_eq!(pictures(&take(&judge, &mut watch, reading("40", -12.5), 60)).len(), 1, "a minute later");
}

#[test]
fn curves_are_saved_once_a_minute_and_with_each_transition() {
    let judge = site(FREEZER).1;
    let mut watch = judge.watch();
    let kept = |effects: &[Effect], at: u64| -> Vec<f64> {
        let curves = curves(effects);
        curves
            .first()
            .and_then(|(_, curve)| curve.as_ref())
            .map(|curve| values(curve, now(at).wall))
            .unwrap_or_default()
    };
    assert_eq!(kept(&take(&judge, &mut watch, reading("1", -18.0), 0), 0), [-18.0]);
    assert!(curves(&take(&judge, &mut watch, reading("1", -18.5), 20)).is_empty());
    assert_eq!(watch.wake_at(), Some(now(80).wall));
    assert_eq!(
        kept(&take(&judge, &mut watch, reading("1", -12.5), 30), 30),
        [-12.5],
        "the alert's own value, in its part"
    );
    take(&judge, &mut watch, reading("1", -13.0), 40);
    watch.advance(now(100));
    assert_eq!(kept(&watch.drain(), 100), [-13.0]);
    let retained = Event { retained: true, ..reading("1", -1.0) };
    assert!(curves(&take(&judge, &mut watch, retained, 400)).is_empty(), "nobody knows when that was");
}

#[test]
fn a_restart_keeps_curves_of_unchanged_rules() {
    let judge = site(FREEZER).1;
    let mut watch = judge.watch();
    let rows: Vec<Snapshot> = take(&judge, &mut watch, reading("1", -18.0), 0)
        .into_iter()
        .filter_map(|effect| if let Effect::Keep(kept) = effect { Some(kept) } else { None })
        .filter(|kept| matches!(kept.slot, StateKey::Curve(_)))
        .collect();
    assert_eq!(rows.len(), 1);
    for (rules, hours, goes_on) in [
        (FREEZER.to_owned(), 1, true),
        (FREEZER.replace("chart = \"6h\"", "chart = \"3h\"\nwindow = \"1h\""), 1, true),
        (FREEZER.replace("value = \"payload.celsius\"", "value = \"payload.kelvin\""), 1, false),
        (FREEZER.replace("name = \"freezer\"", "name = \"icebox\""), 1, false),
        (FREEZER.to_owned(), 7 * 24 + 1, false),
    ] {
        let judge = site(&rules).1;
        let mut next = judge.watch();
        next.restore(rows.clone(), now(hours * 3_600));
        let forgotten = curves(&next.drain());
        assert_eq!(forgotten.is_empty(), goes_on, "{rules} {hours}");
        let kept = next.snapshots().into_iter().filter(|kept| matches!(kept.slot, StateKey::Curve(_)));
        assert_eq!(kept.collect::<Vec<_>>(), if goes_on { rows.clone() } else { Vec::new() });
    }
}

#[test]
fn a_new_curve_replaces_those_silent_for_a_week() {
    let judge = site(FREEZER).1;
    let mut watch = judge.watch();
    let count = |watch: &Engine| {
        watch.snapshots().iter().filter(|kept| matches!(kept.slot, StateKey::Curve(_))).count()
    };
    for id in 0..1_100 {
        take(&judge, &mut watch, reading(&id.to_string(), -18.0), id / 100);
    }
    assert_eq!(count(&watch), 1_000);
    let week = 7 * 24 * 3_600;
    for id in 500..1_000 {
        take(&judge, &mut watch, reading(&id.to_string(), -18.0), week);
    }
    let effects = take(&judge, &mut watch, reading("new", -18.0), week + 7);
    assert_eq!(count(&watch), 501);
    assert_eq!(curves(&effects).iter().filter(|(_, curve)| curve.is_none()).count(), 500);
}
