//! Single decisions; and the fleet of the design, simulated: one site floods ten thousand over all hubs, the others want little.

use super::*;

const STEP: Duration = Duration::from_millis(5);

#[test]
fn the_most_severe_leaves_first_and_sites_take_turns() {
    let mut pace = Pace::new(80);
    for (site, severity, ticket) in [
        ("a", Severity::Info, 1),
        ("a", Severity::Info, 2),
        ("b", Severity::Info, 3),
        ("a", Severity::Critical, 4),
        ("a", Severity::Warning, 5),
    ] {
        pace.ask(site, severity, ticket, Duration::ZERO).expect("room");
    }
    let mut left = Vec::new();
    let mut now = Duration::ZERO;
    while left.len() < 5 {
        left.extend(pace.leave(now));
        now += STEP;
    }
    assert_eq!(left, [4, 5, 1, 3, 2]);
    assert_eq!(pace.next(now), None);
}

#[test]
fn a_busy_site_is_refused_except_for_critical_messages() {
    let mut pace = Pace::new(80);
    let now = Duration::from_secs(1);
    let taken = (0..20).filter(|ticket| pace.ask("a", Severity::Info, *ticket, now).is_ok()).count();
    assert_eq!(taken, WAITING_MAX, "they are gone in a quarter of a second");
    assert_eq!(pace.ask("a", Severity::Critical, 100, now), Ok(()));
    assert_eq!(pace.ask("b", Severity::Info, 101, now), Ok(()));
    pace.forget(0);
    assert_eq!(pace.ask("a", Severity::Info, 102, now), Ok(()));
    pace.hear("other", Beat { sites: 100, too_fast: false }, now);
    let taken = (200..220).filter(|ticket| pace.ask("c", Severity::Info, *ticket, now).is_ok()).count();
    assert_eq!(taken, LESSER_MIN, "a hundred sites wait elsewhere: each has less than one a second");
}

#[test]
fn every_hub_halves_its_pace_when_meta_throttles() {
    let mut pace = Pace::new(80);
    let now = Duration::from_secs(1);
    let before = pace.rates(now).0;
    pace.too_fast(now);
    let mut other = Pace::new(80);
    other.hear("first", pace.beat(now), now);
    assert!((pace.rates(now).0 - before / 2.0).abs() < 0.1);
    assert!(other.rates(now).0 <= before / 2.0);
    assert!((pace.rates(now + SLOW_FOR * 2).0 - before).abs() < 0.1, "and then as before");
}

/// What came of a simulated fleet.
#[derive(Debug)]
struct Fleet {
    /// Of what the number may send, in per cent, while the flood lasts.
    used: f64,
    worst_second: usize,
    critical_p99: Duration,
    critical_max: Duration,
    others_p99: Duration,
}

/// `hubs` hubs for a minute. A flood is at all of them as fast as they take it; one critical and five other messages a second
/// come from other sites. A beat is lost with this chance (of a hundred). `dies`: the first hub stops in the middle.
fn fleet(hubs: usize, lost: u64, dies: bool) -> Fleet {
    let mut dice = bellwire::random::Rng::seeded(7);
    let mut paces: Vec<Pace> = (0..hubs).map(|_| Pace::new(80)).collect();
    let (mut critical, mut others, mut sent) = (Vec::new(), Vec::new(), Vec::new());
    let mut born: BTreeMap<u64, (Duration, Severity, bool)> = BTreeMap::new();
    let mut ticket = 0;
    let mut now = Duration::ZERO;
    let end = Duration::from_secs(60);
    while now < end {
        let alive = if dies && now > end / 2 { 1..hubs } else { 0..hubs };
        for hub in alive.clone() {
            ticket += 1;
            if paces[hub].ask("flood", Severity::Info, ticket, now).is_ok() {
                born.insert(ticket, (now, Severity::Info, true));
            }
        }
        for (severity, one_in) in [(Severity::Critical, 200), (Severity::Warning, 40)] {
            if dice.below(one_in) == 0 {
                ticket += 1;
                let hub = alive.start + usize::try_from(dice.below(alive.len() as u64)).expect("small");
                let site = format!("s{}", dice.below(1_000));
                if paces[hub].ask(&site, severity, ticket, now).is_ok() {
                    born.insert(ticket, (now, severity, false));
                }
            }
        }
        for hub in alive.clone() {
            for left in paces[hub].leave(now) {
                sent.push(now);
                let (at, severity, is_flood) = born.remove(&left).expect("born");
                match severity {
                    Severity::Critical => critical.push(now - at),
                    Severity::Info | Severity::Warning if !is_flood => others.push(now - at),
                    Severity::Info | Severity::Warning => {}
                }
            }
        }
        if now.as_millis().is_multiple_of(250) {
            for hub in alive.clone() {
                let beat = paces[hub].beat(now);
                for other in alive.clone().filter(|other| *other != hub) {
                    if dice.below(100) >= lost {
                        paces[other].hear(&hub.to_string(), beat, now);
                    }
                }
            }
        }
        now += STEP;
    }
    let mut seconds = BTreeMap::<u64, usize>::new();
    sent.iter().for_each(|at| *seconds.entry(at.as_secs()).or_default() += 1);
    let p99 = |waits: &mut Vec<Duration>| {
        waits.sort_unstable();
        waits[waits.len() * 99 / 100]
    };
    Fleet {
        used: sent.len() as f64 / (80.0 * end.as_secs_f64()) * 100.0,
        worst_second: seconds.values().copied().max().unwrap_or_default(),
        critical_max: critical.iter().copied().max().unwrap_or_default(),
        critical_p99: p99(&mut critical),
        others_p99: p99(&mut others),
    }
}

/// The budgets of the design: a critical message of another site leaves with the next of its hub, nine tenths of the pace are
/// used, and no second is much over it.
#[test]
fn a_flood_at_every_hub_holds_nobody_else_up() {
    for (hubs, lost, dies) in [(1, 10, false), (3, 10, false), (3, 50, false), (3, 10, true), (8, 10, false)]
    {
        let fleet = fleet(hubs, lost, dies);
        println!("{hubs} hubs, {lost} % of beats lost, dies {dies}: {fleet:?}");
        assert!(fleet.critical_p99 <= Duration::from_millis(60), "{fleet:?}");
        assert!(fleet.critical_max <= Duration::from_millis(150), "{fleet:?}");
        assert!(fleet.others_p99 <= Duration::from_millis(300), "{fleet:?}");
        assert!(fleet.used >= 88.0, "{fleet:?}");
        assert!(fleet.worst_second <= 140, "{fleet:?}");
    }
}

/// Three hundred sites have a critical message at once: all are gone in what the pace allows.
#[test]
fn a_burst_of_critical_messages_leaves_at_full_pace() {
    let mut pace = Pace::new(80);
    for ticket in 0..300 {
        pace.ask(&format!("s{ticket}"), Severity::Critical, ticket, Duration::ZERO).expect("room");
    }
    let (mut left, mut now) = (0, Duration::ZERO);
    while left < 300 {
        left += pace.leave(now).len();
        now += STEP;
    }
    assert!(now <= Duration::from_millis(3_900), "{now:?}; at 80 a second it is 3.75 s");
}
