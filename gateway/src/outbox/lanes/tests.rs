//! The order against the plain one: each lane looked at, each time.

use proptest::prelude::*;

use super::*;

const NOW: Timestamp = Timestamp(1_900_000_000_000);
const SEVERITIES: [Severity; 3] = [Severity::Info, Severity::Warning, Severity::Critical];

fn name(number: usize) -> Conversation {
    Conversation {
        connection: ConnectionName(format!("number{}", number % 2)),
        contact: ContactId(format!("p{number}")),
    }
}

/// What may happen to a lane at some time after the one before.
#[derive(Debug, Clone)]
struct Step {
    lane: usize,
    what: u8,
    id: i64,
    severity: usize,
    count: u32,
    after: Duration,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = (0..6_usize, 0..8_u8, 1..1_000_i64, 0..3_usize, 0..30_u32, 0..4_000_u64).prop_map(
        |(lane, what, id, severity, count, millis)| Step {
            lane,
            what,
            // No two lanes have the same message.
            id: id * 6 + i64::try_from(lane).unwrap_or_default(),
            severity,
            count,
            after: Duration::from_millis(if millis > 3_900 { 90_000 } else { millis }),
        },
    );
    prop::collection::vec(step, 1..120)
}

fn happen(lane: &mut Lane, step: &Step, now: Timestamp) {
    let head = |alert| Some(LaneHead::new(MessageId(step.id), SEVERITIES[step.severity], alert));
    match step.what {
        0 => lane.content = LaneContent::default(),
        1 => lane.content.single = head(None),
        2 => {
            lane.content.mergeable = head(Some(AlertId(1)));
            lane.content.waiting =
                WaitingMessages { count: step.count, oldest: now - Duration::from_secs(200) };
        }
        3 => lane.busy = !lane.busy,
        4 => lane.gate = Some(ClosedGate { until: now + step.after * 3, streak: 1, told: false }),
        5 => lane.gate = None,
        6 => lane.set_back(step.after),
        _ => {
            lane.meter = Some(PAIR.take(lane.meter, now));
            lane.near_pair_limit = step.count > 10;
            lane.rests_until = Some(now + digest::REST);
        }
    }
}

/// Each lane that is remembered, looked at now.
fn plainly(lanes: &Lanes, now: Timestamp) -> (Vec<MessageId>, Vec<Conversation>) {
    let places = || lanes.iter().map(|(name, lane)| (name, lane.place(now)));
    let mut heads: Vec<LaneHead> = places().filter_map(|(_, place)| place.head).collect();
    heads.sort_unstable();
    let crowded = places().filter(|(_, place)| place.crowded).map(|(name, _)| name.clone());
    (heads.iter().map(|head| head.id).collect(), crowded.collect())
}

fn in_order(lanes: &Lanes) -> (Vec<MessageId>, Vec<Conversation>) {
    (lanes.heads(usize::MAX, |_| usize::MAX, |_, _| true), lanes.crowded(|_| usize::MAX))
}

proptest! {
    #[test]
    fn lane_order_equals_that_of_a_full_scan(steps in steps()) {
        let (mut lanes, mut now) = (Lanes::default(), NOW);
        for step in steps {
            now = now + step.after;
            lanes.change(&name(step.lane), now, |lane| happen(lane, &step, now));
            lanes.look(now);
            prop_assert_eq!(in_order(&lanes), plainly(&lanes, now));
            prop_assert!(lanes.next_look().is_none_or(|at| at > now), "or it would wake for ever");
        }
        now = now + Duration::from_secs(3_600);
        for number in 0..6 {
            lanes.change(&name(number), now, |lane| *lane = Lane { meter: lane.meter, ..Lane::default() });
        }
        lanes.look(now);
        prop_assert_eq!(lanes.iter().count(), 0, "nothing waits and nothing is owed");
        prop_assert!(lanes.looks.is_empty() && lanes.idle.is_empty() && in_order(&lanes) == (vec![], vec![]));
    }

    #[test]
    fn a_rolled_back_change_is_restored(before in steps(), after in steps()) {
        let (mut lanes, mut now) = (Lanes::default(), NOW);
        let mut play = |lanes: &mut Lanes, steps: &[Step]| {
            for step in steps {
                now = now + step.after;
                lanes.change(&name(step.lane), now, |lane| happen(lane, step, now));
                lanes.look(now);
            }
        };
        play(&mut lanes, &before);
        let seen = |lanes: &Lanes| {
            let all = lanes.iter().map(|(name, lane)| (name.clone(), *lane)).collect::<Vec<_>>();
            (all, lanes.looks.clone(), lanes.idle.clone(), in_order(lanes))
        };
        let (mark, was) = (lanes.mark(true), seen(&lanes));
        play(&mut lanes, &after);
        lanes.put_back(mark);
        prop_assert_eq!(seen(&lanes), was);
    }
}

#[test]
fn a_blocked_number_delays_no_other() {
    let mut lanes = Lanes::default();
    for number in 0..6 {
        let id = i64::try_from(number).expect("small");
        let head = LaneHead::new(MessageId(id), Severity::Warning, None);
        lanes.change(&name(number), NOW, |lane| lane.content.single = Some(head));
    }
    let heads = |limit, first, second| -> Vec<i64> {
        let takes = |name: &ConnectionName| if name.0 == "number0" { first } else { second };
        lanes.heads(limit, takes, |_, _| true).iter().map(|id| id.0).collect()
    };
    assert_eq!(heads(4, 9, 9), [0, 1, 2, 3]);
    assert_eq!(heads(4, 0, 9), [1, 3, 5]);
    assert_eq!(heads(4, 1, 9), [0, 1, 3, 5]);
    assert!(heads(0, 9, 9).is_empty());
}
