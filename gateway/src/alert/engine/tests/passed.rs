use super::*;
use crate::event::incoming::UNACKNOWLEDGED_MAX;

#[test]
fn the_last_ineffective_events_are_remembered_for_a_week() {
    let mut fixture = Fixture::door(LifecycleSettings::bare());
    let door = ident("door", "1");
    assert_eq!(fixture.watch.keep_passed(), []);
    fixture.watch.remember(&door, recent(0, false));
    let Ok([Effect::Keep(kept)]) = <[Effect; 1]>::try_from(fixture.watch.keep_passed()) else {
        panic!("one part is kept")
    };
    assert_eq!(kept.slot, StateKey::Passed(0));
    assert_eq!(fixture.watch.keep_passed(), [], "it is written already");
    let week = 7 * 24 * HOUR;
    let known = [week - Duration::from_millis(1), week]
        .map(|after| fixture.watch.is_repetition(&door, 0, START + after));
    assert_eq!(known, [true, false], "for a week");
    // Another process reads it, and what belongs to a rule that is gone, too.
    let gone = StateKey::Alert(ident("gone", "1"));
    let mut next = Fixture::door(LifecycleSettings::bare());
    next.watch.restore(vec![kept, Snapshot { slot: gone.clone(), state: "{}".into() }], next.now);
    assert!(next.watch.is_repetition(&door, 0, START) && !next.watch.is_repetition(&door, 0, START + week));
    assert_eq!(slots(&next.watch.drain()), (vec![], vec![gone]));
}

/// A broker may send again what it has no acknowledgement for: 256 events, each for a few rules. An old "cold" among them that
/// nobody remembers would end the alarm of the "hot" that followed it.
#[test]
fn repeatable_events_are_known_after_every_restart() {
    let (door, repeated) = (ident("door", "1"), u64::from(UNACKNOWLEDGED_MAX) * 4);
    let mut fixture = Fixture::door(LifecycleSettings::bare());
    let mut disk: BTreeMap<StateKey, Snapshot> = BTreeMap::new();
    let (mut most_written, mut most_rows) = (0, 0);
    for identity in 0..3 * repeated {
        fixture.watch.remember(&door, recent(identity, false));
        let mut written = 0;
        for effect in fixture.watch.keep_passed() {
            if let Effect::Keep(kept) = effect {
                written += kept.state.len();
                disk.insert(kept.slot.clone(), kept);
            } else if let Effect::Forget(slot) = effect {
                disk.remove(&slot);
            }
        }
        (most_written, most_rows) = (most_written.max(written), most_rows.max(disk.len()));
        if identity % 500 == 0 {
            let mut next = Fixture::door(LifecycleSettings::bare());
            next.watch.restore(disk.values().cloned().collect(), next.now);
            let oldest = (identity + 1).saturating_sub(repeated);
            let is_known = |identity| next.watch.is_repetition(&door, identity, START);
            assert!((oldest..=identity).all(is_known), "after {identity}");
            fixture = next;
        }
    }
    assert_eq!(most_rows, 9, "as many as are needed, and the one that is filled");
    assert!(most_written < 6_000, "{most_written} bytes with one event: that is what a quiet site writes");
}

#[test]
fn a_new_session_forgets_only_packet_identifiers() {
    let mut fixture = Fixture::door(LifecycleSettings::bare());
    for id in ["1", "2"] {
        fixture.see("door", id, true);
    }
    for (id, identity, of_session) in [("1", 1, true), ("2", 2, false), ("3", 3, true), ("4", 4, false)] {
        fixture.watch.remember(&ident("door", id), recent(identity, of_session));
    }
    assert_eq!(fixture.watch.keep_passed().len(), 1);
    fixture.watch.drain();
    fixture.watch.free_packets();
    let known = [("1", 1), ("2", 2), ("3", 3), ("4", 4)]
        .map(|(id, identity)| fixture.watch.is_repetition(&ident("door", id), identity, START));
    assert_eq!(known, [false, true, false, true]);
    assert_eq!(slots(&fixture.watch.drain()).0, [StateKey::Alert(ident("door", "1"))]);
    let Ok([Effect::Keep(Snapshot { state, .. })]) = <[Effect; 1]>::try_from(fixture.watch.keep_passed())
    else {
        panic!("one part is kept")
    };
    assert!(state.ends_with(&format!(",{},false]]", START.0)) && !state.contains("true"), "{state}");
    fixture.watch.free_packets();
    assert_eq!((fixture.watch.drain(), fixture.watch.keep_passed()), (vec![], vec![]));
}

#[test]
fn a_corrected_clock_moves_remembered_events() {
    let (mut fixture, door) = (Fixture::door(LifecycleSettings::bare()), ident("door", "1"));
    fixture.watch.remember(&door, recent(7, false));
    let Ok([Effect::Keep(kept)]) = <[Effect; 1]>::try_from(fixture.watch.keep_passed()) else {
        panic!("one part is kept")
    };
    let mut next = Fixture::door(LifecycleSettings::bare());
    next.now = Now { wall: START - 24 * HOUR, steady: Duration::ZERO };
    next.watch.restore(vec![kept], next.now);
    next.set(Duration::ZERO, 24 * 3_600_000);
    let week = 7 * 24 * HOUR;
    let known = [week - Duration::from_millis(1), week]
        .map(|after| next.watch.is_repetition(&door, 7, START + after));
    assert_eq!(known, [true, false]);
}
