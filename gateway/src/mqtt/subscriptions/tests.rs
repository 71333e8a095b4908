use proptest::prelude::*;

use super::*;
use crate::event::topic::TopicPattern;

/// How brokers send a publish that several subscriptions match.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// Mosquitto, EMQX: a copy for each, with its identifier.
    Copies,
    /// HiveMQ: one copy with all identifiers.
    Merges,
    /// One copy with one identifier of several: against the specification, and nothing may be lost by it.
    MergesAndNamesTheLast,
    /// A copy for each, and no identifier.
    NamesNone,
}

struct Broker {
    way: Way,
    denied: BTreeSet<String>,
    session: BTreeMap<String, Option<u32>>,
    largest: usize,
}

impl Broker {
    fn new(way: Way, denied: &[&str]) -> Self {
        let denied = denied.iter().map(|filter| (*filter).to_owned()).collect();
        Self { way, denied, session: BTreeMap::new(), largest: 0 }
    }

    fn serve(&mut self, ours: &mut Subscriptions, asks: Vec<SubscribeRequest>) {
        let mut asks = VecDeque::from(asks);
        while let Some(ask) = asks.pop_front() {
            self.largest = self.largest.max(ask.filters.len());
            let mut answers = Vec::new();
            for filter in &ask.filters {
                if self.denied.contains(filter) {
                    answers.push(Err("NotAuthorized".to_owned()));
                } else {
                    self.session.insert(filter.clone(), ask.identifier);
                    answers.push(Ok(true));
                }
            }
            asks.extend(ours.answered(&ask, answers));
        }
        assert!(ours.is_settled());
        for filter in ours.leftovers().concat() {
            self.session.remove(&filter);
        }
    }

    fn connect(&mut self, ours: &mut Subscriptions, present: bool, limits: &Limits) {
        if !present {
            self.session.clear();
        }
        let asks = ours.begin(present, limits);
        self.serve(ours, asks);
    }

    /// The copies of one publish: their identifiers.
    fn copies(&self, topic: &str) -> Vec<Vec<u32>> {
        let matches = |filter: &str| TopicPattern::parse(filter).is_ok_and(|it| it.matches(topic).is_some());
        let matching = self.session.iter().filter(|(filter, _)| matches(filter));
        let named: Vec<Vec<u32>> = matching.map(|(_, id)| id.iter().copied().collect()).collect();
        match self.way {
            _ if named.is_empty() => Vec::new(),
            Way::Copies => named,
            Way::Merges => vec![named.concat()],
            Way::MergesAndNamesTheLast => vec![named.last().cloned().unwrap_or_default()],
            Way::NamesNone => named.iter().map(|_| Vec::new()).collect(),
        }
    }

    /// How often a publish is taken.
    fn publish(&mut self, ours: &mut Subscriptions, topic: &str, payload: &str) -> usize {
        let mut taken = 0;
        for identifiers in self.copies(topic) {
            taken += usize::from(judge(ours, topic, payload, &identifiers) == Delivery::Take);
            let asks = ours.reconsider();
            self.serve(ours, asks);
        }
        taken
    }
}

fn judge(ours: &mut Subscriptions, topic: &str, payload: &str, identifiers: &[u32]) -> Delivery {
    ours.judge(&DeliveredCopy { topic, payload: payload.as_bytes(), retained: false, identifiers })
}

fn strings(filters: &[&str]) -> Vec<String> {
    filters.iter().map(|filter| (*filter).to_owned()).collect()
}

fn v5() -> Limits {
    Limits { identifiers: true, ..Limits::default() }
}

const FILTER: &str = "(s|t|\\+)(/(a|b|\\+)){0,3}(/#)?|#";
const TOPIC: &str = "(s|t)(/(a|b|c)){0,4}";

proptest! {
    /// Each publish that is wanted is taken once where the broker keeps to the specification, and never lost by another.
    #[test]
    fn each_publish_is_taken_once(
        wanted in prop::collection::btree_set(FILTER, 1..20),
        denied in prop::collection::btree_set(FILTER, 0..3),
        topics in prop::collection::vec(TOPIC, 1..40),
        way in prop::sample::select(vec![Way::Copies, Way::Merges, Way::MergesAndNamesTheLast, Way::NamesNone]),
        identifiers: bool,
        again: bool,
    ) {
        let wanted: Vec<String> = wanted.into_iter().collect();
        let mut ours = Subscriptions::new(&wanted, &[]);
        let mut broker = Broker { way, denied, session: BTreeMap::new(), largest: 0 };
        let limits = Limits { identifiers, ..Limits::default() };
        broker.connect(&mut ours, false, &limits);
        if again {
            broker.connect(&mut ours, true, &limits);
        }
        prop_assert!(broker.largest <= 8);
        let outcome = ours.outcome();
        for topic in &topics {
            let matches = |filter: &&String| TopicPattern::parse(filter).is_ok_and(|it| it.matches(topic).is_some());
            let taken = broker.publish(&mut ours, topic, "same");
            let is_allowed = wanted.iter().filter(matches).any(|filter| !outcome.refused.contains_key(filter));
            prop_assert!(taken > 0 || !is_allowed, "{topic} of {wanted:?} is lost");
            prop_assert!(taken == 0 || wanted.iter().any(|filter| matches(&filter)), "nobody wants {topic}");
            // Where nothing names copies, filters with no common first level may still overlap; that is told.
            if identifiers && (way == Way::Copies || way == Way::Merges) || outcome.doubled.is_empty() && !identifiers {
                prop_assert!(taken <= 1, "{topic} of {wanted:?}, {:?}", broker.session);
            }
        }
        prop_assert!(outcome.refused.keys().all(|filter| wanted.contains(filter) && broker.denied.contains(filter)));
    }

    /// What the broker queued under another configuration is never lost.
    #[test]
    fn what_was_queued_under_other_filters_is_taken(
        before in prop::collection::btree_set(FILTER, 1..10),
        after in prop::collection::btree_set(FILTER, 1..10),
        topics in prop::collection::vec(TOPIC, 1..20),
    ) {
        let (before, after): (Vec<_>, Vec<_>) = (before.into_iter().collect(), after.into_iter().collect());
        let mut broker = Broker::new(Way::Copies, &[]);
        let mut earlier = Subscriptions::new(&before, &[]);
        broker.connect(&mut earlier, false, &v5());
        let queued: Vec<(String, Vec<Vec<u32>>)> =
            topics.iter().map(|topic| (topic.clone(), broker.copies(topic))).collect();
        let mut ours = Subscriptions::new(&after, &before);
        broker.connect(&mut ours, true, &v5());
        for (topic, copies) in queued {
            let taken = copies.iter().filter(|ids| judge(&mut ours, &topic, "x", ids) == Delivery::Take).count();
            prop_assert!(taken > 0 || copies.is_empty(), "{topic}: {before:?}, then {after:?}");
        }
        // And the session holds no more than what is wanted now.
        prop_assert_eq!(broker.session.keys().cloned().collect::<Vec<_>>(), ours.outcome().filters);
    }
}

#[test]
fn a_contained_filter_needs_no_subscription_of_its_own() {
    let mut ours = Subscriptions::new(&strings(&["site/#", "site/+/door"]), &[]);
    let asks = ours.begin(false, &v5());
    assert_eq!(asks, [SubscribeRequest { filters: strings(&["site/#"]), identifier: None }]);
    let mut broker = Broker::new(Way::Copies, &[]);
    broker.serve(&mut ours, asks);
    assert_eq!(broker.publish(&mut ours, "site/back/door", "open"), 1);
}

#[test]
fn nine_filters_go_in_two_pieces() {
    let wanted: Vec<String> = (0..9).map(|number| format!("d{number}/+/x")).collect();
    let mut ours = Subscriptions::new(&wanted, &[]);
    let sizes: Vec<usize> = ours.begin(false, &v5()).iter().map(|ask| ask.filters.len()).collect();
    assert_eq!(sizes, [8, 1]);
}

#[test]
fn partly_overlapping_filters_stay_narrow_with_identifiers() {
    let mut ours = Subscriptions::new(&strings(&["tele/+/SENSOR", "tele/plug/+", "bell"]), &[]);
    let mut broker = Broker::new(Way::Copies, &[]);
    broker.connect(&mut ours, false, &v5());
    assert_eq!(ours.outcome().filters, ["bell", "tele/+/SENSOR", "tele/plug/+"]);
    for payload in ["1", "1", "2"] {
        assert_eq!(broker.publish(&mut ours, "tele/plug/SENSOR", payload), 1, "also of equal content");
    }
}

#[test]
fn overlapping_filters_merge_without_identifiers() {
    let mut ours = Subscriptions::new(&strings(&["tele/+/SENSOR", "tele/plug/+"]), &[]);
    let mut broker = Broker::new(Way::Copies, &[]);
    broker.connect(&mut ours, false, &Limits::default());
    assert_eq!(ours.outcome().filters, ["tele/+/+"]);
    assert_eq!(broker.publish(&mut ours, "tele/plug/SENSOR", "1"), 1);
    assert_eq!(judge(&mut ours, "tele/lamp/STATE", "1", &[]), Delivery::Unwanted);
    // Refused: each by its own name, and it is told that they overlap.
    let mut ours = Subscriptions::new(&strings(&["tele/+/SENSOR", "tele/plug/+"]), &[]);
    let mut broker = Broker::new(Way::Copies, &["tele/+/+"]);
    broker.connect(&mut ours, false, &Limits::default());
    assert_eq!(ours.outcome().filters, ["tele/+/SENSOR", "tele/plug/+"]);
    assert_eq!(ours.outcome().doubled, [("tele/+/SENSOR".to_owned(), "tele/plug/+".to_owned())]);
    assert!(ours.outcome().refused.is_empty(), "nobody wanted the wider one");
}

#[test]
fn a_broker_that_ignores_identifiers_is_found_out() {
    let mut ours = Subscriptions::new(&strings(&["tele/+/SENSOR", "tele/plug/+"]), &[]);
    let mut broker = Broker::new(Way::NamesNone, &[]);
    broker.connect(&mut ours, false, &v5());
    assert!(broker.publish(&mut ours, "tele/plug/SENSOR", "1") >= 1);
    assert_eq!(broker.publish(&mut ours, "tele/plug/SENSOR", "2"), 1);
    assert_eq!(broker.session.keys().collect::<Vec<_>>(), ["tele/+/+"]);
}

#[test]
fn a_refused_filter_is_named_and_requested_again() {
    let mut ours = Subscriptions::new(&strings(&["secret/+", "site/+"]), &[]);
    let mut broker = Broker::new(Way::Copies, &["secret/+"]);
    broker.connect(&mut ours, false, &v5());
    let refused = BTreeMap::from([("secret/+".to_owned(), "NotAuthorized".to_owned())]);
    assert_eq!(ours.outcome().refused, refused);
    assert!(ours.lacks());
    broker.denied.clear();
    let asks = ours.again();
    assert_eq!(asks.iter().flat_map(|ask| ask.filters.clone()).collect::<Vec<_>>(), ["secret/+"]);
    broker.serve(&mut ours, asks);
    assert!(ours.outcome().refused.is_empty() && !ours.lacks());
}

#[test]
fn a_broker_without_wildcards_is_never_asked_for_one() {
    let mut ours = Subscriptions::new(&strings(&["site/+", "site/door"]), &[]);
    let limits = Limits { wildcards: false, ..v5() };
    assert_eq!(
        ours.begin(false, &limits),
        [SubscribeRequest { filters: strings(&["site/door"]), identifier: None }]
    );
    assert_eq!(ours.outcome().refused.keys().collect::<Vec<_>>(), ["site/+"]);
}

/// A copy is judged when it is known which subscriptions there are: one that was refused sends nothing.
#[test]
fn a_copy_that_comes_before_the_answer_waits_for_it() {
    let wanted = strings(&["s/+/a", "s/b/+"]);
    let mut ours = Subscriptions::new(&wanted, &[]);
    let asks = ours.begin(true, &v5());
    let ids: Vec<u32> = asks.iter().filter_map(|ask| ask.identifier).collect();
    assert_eq!(judge(&mut ours, "s/b/a", "x", &ids[1..]), Delivery::Later);
    let mut broker = Broker::new(Way::Copies, &["s/+/a"]);
    broker.serve(&mut ours, asks);
    assert_eq!(judge(&mut ours, "s/b/a", "x", &ids[1..]), Delivery::Take);
}

/// A killed gateway hears again what it had not acknowledged: the copy that counts is the same one.
#[test]
fn a_single_copy_is_judged_by_its_identifier() {
    let wanted = strings(&["s/+/a", "s/b/+"]);
    let mut ours = Subscriptions::new(&wanted, &[]);
    let mut broker = Broker::new(Way::Copies, &[]);
    broker.connect(&mut ours, false, &v5());
    assert_eq!(broker.publish(&mut ours, "s/b/a", "1"), 1);
    let [first, second] = broker.copies("s/b/a").try_into().expect("two copies");
    assert_eq!(judge(&mut ours, "s/b/a", "2", &second), Delivery::Repeated);
    assert_eq!(judge(&mut ours, "s/b/a", "2", &first), Delivery::Take);
    assert_eq!(judge(&mut ours, "s/b/a", "2", &first), Delivery::Take, "the same words, said again");
}

#[test]
fn a_retained_state_comes_once_in_a_new_session() {
    let wanted = strings(&["s/+/a", "s/b/+"]);
    for (present, expected) in [(false, 1), (true, 2)] {
        let mut ours = Subscriptions::new(&wanted, &[]);
        let mut broker = Broker::new(Way::Copies, &[]);
        let asks = ours.begin(present, &v5());
        broker.serve(&mut ours, asks);
        let copies = broker.copies("s/b/a");
        let taken = copies.iter().filter(|identifiers| {
            let copy = DeliveredCopy { topic: "s/b/a", payload: b"x", retained: true, identifiers };
            ours.judge(&copy) == Delivery::Take
        });
        assert_eq!(taken.count(), expected);
    }
}
