//! Whoever has had much is left in peace for a while, and then told in one message.

use super::*;
use crate::ids::AlertId;
use crate::outbox::digest::{self, WaitingMessages};

/// Alerts of that severity wait, that the sender has not tried.
fn alerts(count: u32, severity: Severity) -> LaneContent {
    let head = LaneHead::new(MessageId(50), severity, Some(AlertId(1)));
    LaneContent {
        mergeable: Some(head),
        waiting: WaitingMessages { count, oldest: Timestamp(i64::MAX) },
        ..LaneContent::default()
    }
}

#[test]
fn only_a_digest_rests_after_a_message() {
    let mut fixture = Fixture::new();
    assert!(fixture.sender.is_idle() && fixture.leaves(due(1, "nino"), NOW) && !fixture.sender.is_idle());
    assert!(!fixture.is_open(NOW), "one at a time");
    fixture.answer(1, accepted(), NOW);
    assert!(fixture.is_open(NOW));
    let (merge, load) =
        (SchedulerEffect::Merge(vec![lane("nino")]), SchedulerEffect::Load(vec![MessageId(50)]));
    let flood = alerts(digest::FLOOD, Severity::Warning);
    let rest = NOW + Duration::from_secs(6);
    assert_eq!(fixture.finds(flood, rest - Duration::from_millis(1)), [SchedulerEffect::WakeAt(rest)]);
    let both = LaneContent { single: single(99).single, ..flood };
    assert_eq!(
        fixture.finds(both, rest - Duration::from_millis(1)),
        [SchedulerEffect::Load(vec![MessageId(99)])]
    );
    assert_eq!(fixture.finds(flood, rest), [merge]);
    assert_eq!(fixture.finds(alerts(1, Severity::Warning), NOW), [load], "one alone is no digest");
}

#[test]
fn two_become_a_digest_after_eleven_until_the_burst_recovers() {
    let mut fixture = Fixture::new();
    let (merge, load) =
        (SchedulerEffect::Merge(vec![lane("nino")]), SchedulerEffect::Load(vec![MessageId(50)]));
    for id in 1..=11 {
        assert_eq!(fixture.finds(alerts(2, Severity::Warning), NOW)[..1], [load.clone()][..], "{id}");
        assert!(fixture.leaves(due(id, "nino"), NOW));
        fixture.answer(id, accepted(), NOW);
    }
    for (millis, count, severity, expected) in [
        (0, 1, Severity::Warning, SchedulerEffect::WakeAt(NOW + Duration::from_secs(6))),
        (0, 1, Severity::Critical, load.clone()),
        (0, 2, Severity::Critical, SchedulerEffect::WakeAt(NOW + Duration::from_secs(6))),
        (6_000, 1, Severity::Warning, load.clone()),
        (6_000, 2, Severity::Warning, merge.clone()),
        (65_999, 2, Severity::Warning, merge),
        (66_000, 2, Severity::Warning, load),
    ] {
        let effects = fixture.finds(alerts(count, severity), NOW + Duration::from_millis(millis));
        assert_eq!(effects, [expected], "{millis} {count} {severity:?}");
    }
    fixture.sender.stop();
    assert!(fixture.tell(SchedulerInput::Wake, NOW + Duration::from_secs(66)).is_empty());
}

/// Or everything would wait for the next answer; what nobody asked for is not told.
#[test]
fn the_scheduler_wakes_for_the_first_due_message() {
    let second = |seconds| NOW + Duration::from_secs(seconds);
    for (next_at, content, expected) in [
        (None, LaneContent::default(), None),
        (Some(second(2)), LaneContent::default(), Some(second(2))),
        (None, alerts(digest::FLOOD, Severity::Warning), Some(second(6))),
        (Some(second(2)), alerts(digest::FLOOD, Severity::Warning), Some(second(2))),
        (Some(second(9)), alerts(digest::FLOOD, Severity::Warning), Some(second(6))),
    ] {
        let mut fixture = Fixture::new();
        assert!(fixture.leaves(due(2, "nino"), NOW));
        fixture.answer(2, accepted(), NOW);
        fixture.tell(SchedulerInput::Wake, NOW);
        let report = LaneReport { next_at, lanes: vec![(lane("nino"), content)], ..LaneReport::default() };
        let effects = fixture.tell(SchedulerInput::Lanes(report), NOW);
        assert_eq!(effects, Vec::from_iter(expected.map(SchedulerEffect::WakeAt)), "{next_at:?}");
    }
}

#[test]
fn a_clock_set_back_moves_the_rest() {
    let mut fixture = Fixture::new();
    assert!(fixture.leaves(due(1, "nino"), NOW));
    fixture.answer(1, accepted(), NOW);
    let (back, flood) = (NOW - HOUR, alerts(digest::FLOOD, Severity::Warning));
    fixture.tell(SchedulerInput::Wake, back);
    fixture.tell(SchedulerInput::Lanes(LaneReport::default()), back);
    let rest = back + Duration::from_secs(6);
    assert_eq!(fixture.finds(flood, rest - Duration::from_millis(1)), [SchedulerEffect::WakeAt(rest)]);
    assert_eq!(fixture.finds(flood, rest), [SchedulerEffect::Merge(vec![lane("nino")])]);
}
