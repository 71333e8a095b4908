use super::*;
use crate::contact::severity::Severity;
use crate::contact::{Phone, Recipient};
use crate::ids::{ContactId, Wamid};
use crate::outbox::lanes::LaneHead;
use crate::outbox::message::{Content, Media, Part};
use crate::outbox::message_state::{OnUnknown, State};
use crate::outbox::uploads::UPLOADS_MAX;
use crate::outbox::window::Window;

mod rests;
mod uploads;

const NOW: Timestamp = Timestamp(1_790_000_000_000);
const HOUR: Duration = Duration::from_secs(3_600);

fn lane(contact: &str) -> Conversation {
    Conversation { connection: ConnectionName("main".into()), contact: ContactId(contact.into()) }
}

fn due(id: i64, contact: &str) -> DueMessage {
    DueMessage {
        id: MessageId(id),
        lane: lane(contact),
        to: Recipient::Phone(Phone::parse("+15550100123").expect("valid")),
        content: Content::text("x"),
        alert: None,
        severity: Severity::Warning,
        attempts: 0,
        tries: 0,
        on_unknown: OnUnknown::Retry,
        expires_at: Timestamp(i64::MAX),
        window: Window::Open,
        listed: Vec::new(),
    }
}

fn refusal(code: i64, class: Class) -> Refusal {
    Refusal {
        code,
        class,
        details: "details".into(),
        fbtrace_id: Some("trace".into()),
        http_status: Some(400),
        advice: "advice".into(),
        retry_after: None,
    }
}

/// The machine, and what would be sent.
struct Fixture {
    sender: Scheduler,
    dice: Rng,
}

impl Fixture {
    fn new() -> Self {
        Self { sender: Scheduler::new(BTreeMap::new()), dice: Rng::seeded(1) }
    }

    fn tell(&mut self, input: SchedulerInput, now: Timestamp) -> Vec<SchedulerEffect> {
        self.sender.handle(input, now, &mut self.dice)
    }

    /// Whether this message would leave now.
    fn leaves(&mut self, due: DueMessage, now: Timestamp) -> bool {
        let asked = self.tell(SchedulerInput::Wake, now);
        if !asked.iter().any(|effect| matches!(effect, SchedulerEffect::Look(_))) {
            return false;
        }
        let effects = self.tell(found(vec![due]), now);
        effects.iter().any(|effect| matches!(effect, SchedulerEffect::Commit(MessageUpdate::Sending { .. })))
    }

    fn answer(&mut self, id: i64, answer: ApiAnswer, now: Timestamp) -> Vec<SchedulerEffect> {
        let effects = self.tell(SchedulerInput::Answered(MessageId(id), answer), now);
        let then = self.tell(SchedulerInput::SettledCommitted(MessageId(id)), now);
        self.finds_nothing(then, now);
        effects
    }

    /// Whatever is asked: nothing has changed, and nothing leaves.
    fn finds_nothing(&mut self, mut effects: Vec<SchedulerEffect>, now: Timestamp) {
        while let Some(effect) = effects.pop() {
            effects = match effect {
                SchedulerEffect::Look(_) => self.tell(SchedulerInput::Lanes(LaneReport::default()), now),
                SchedulerEffect::Merge(_) => self.tell(SchedulerInput::Merged, now),
                SchedulerEffect::Load(_) => self.tell(found(Vec::new()), now),
                SchedulerEffect::Commit(_)
                | SchedulerEffect::Upload(_)
                | SchedulerEffect::Post(_)
                | SchedulerEffect::WakeAt(_)
                | SchedulerEffect::Paused { .. }
                | SchedulerEffect::Resumed { .. } => effects,
            }
        }
    }

    /// Looks, and finds that in nino's lane.
    fn finds(&mut self, content: LaneContent, now: Timestamp) -> Vec<SchedulerEffect> {
        self.tell(SchedulerInput::Wake, now);
        let report = LaneReport { lanes: vec![(lane("nino"), content)], ..LaneReport::default() };
        let effects = self.tell(SchedulerInput::Lanes(report), now);
        self.finds_nothing(effects.clone(), now);
        effects
    }

    /// Whether a single message to nino would leave now.
    fn is_open(&mut self, now: Timestamp) -> bool {
        let effects = self.finds(single(99), now);
        self.finds(LaneContent::default(), now);
        effects == [SchedulerEffect::Load(vec![MessageId(99)])]
    }
}

fn found(due: Vec<DueMessage>) -> SchedulerInput {
    SchedulerInput::Loaded(Work { due, damaged: false })
}

/// An answer waits.
fn single(id: i64) -> LaneContent {
    let head = LaneHead::new(MessageId(id), Severity::Warning, None);
    LaneContent { single: Some(head), ..LaneContent::default() }
}

fn accepted() -> ApiAnswer {
    ApiAnswer::Accepted(Wamid("wamid.x".into()).into())
}

#[test]
fn a_clock_set_back_lengthens_no_wait() {
    let mut fixture = Fixture::new();
    for id in 0..45 {
        assert!(fixture.leaves(due(id, "nino"), NOW), "{id}");
        fixture.answer(id, accepted(), NOW);
    }
    assert!(!fixture.leaves(due(45, "nino"), NOW), "the burst of the pair is used up");
    let throttled = ApiAnswer::Refused(refusal(190, Class::Auth));
    assert!(fixture.leaves(due(46, "giorgi"), NOW));
    fixture.answer(46, throttled, NOW);
    assert!(!fixture.leaves(due(47, "giorgi"), NOW));

    // Two hours back: without allowing for it, both would wait for two hours more.
    let back = NOW - HOUR * 2;
    let effects = fixture.tell(SchedulerInput::Wake, back);
    let by = HOUR * 2;
    assert!(
        effects.contains(&SchedulerEffect::Commit(MessageUpdate::SetBack { by }))
            && effects.contains(&SchedulerEffect::WakeAt(back))
    );
    fixture.tell(SchedulerInput::Lanes(LaneReport::default()), back);
    assert!(!fixture.leaves(due(48, "nino"), back + Duration::from_secs(5)), "what was owed is still owed");
    assert!(
        fixture.leaves(due(48, "giorgi"), back + Duration::from_secs(61)),
        "a minute later the token is tried"
    );
    fixture.answer(48, accepted(), back + Duration::from_secs(61));
    assert!(fixture.leaves(due(49, "nino"), back + Duration::from_secs(61)));
}

#[test]
fn a_clock_that_is_corrected_a_little_is_left_alone() {
    let mut fixture = Fixture::new();
    fixture.tell(SchedulerInput::Wake, NOW);
    let effects = fixture.tell(SchedulerInput::HeldCommitted, NOW - Duration::from_secs(60));
    assert!(!effects.iter().any(|effect| matches!(effect, SchedulerEffect::Commit(_))), "{effects:?}");
}

#[test]
fn a_reported_refusal_closes_its_gate() {
    let mut fixture = Fixture::new();
    let reported = |code, class| SchedulerInput::Reported(lane("nino"), Box::new(refusal(code, class)));
    let effects = fixture.tell(reported(131_056, Class::PairThrottle), NOW);
    assert!(effects.is_empty());
    assert!(!fixture.leaves(due(1, "nino"), NOW) && fixture.leaves(due(2, "giorgi"), NOW));

    // An answer to a request that left before does not open what a status closed since.
    let effects = fixture.tell(reported(131_048, Class::Quality), NOW);
    let [SchedulerEffect::Paused { notice: Some(notice), .. }] = &effects[..] else { panic!("{effects:?}") };
    assert!(notice.contains("131048") && !notice.contains("trace"), "the same words each time: {notice}");
    fixture.answer(2, accepted(), NOW);
    assert!(!fixture.leaves(due(3, "giorgi"), NOW + HOUR));
    assert!(fixture.leaves(due(3, "giorgi"), NOW + HOUR * 6));
    let effects = fixture.answer(3, accepted(), NOW + HOUR * 6);
    assert!(
        effects.contains(&SchedulerEffect::Resumed { connection: ConnectionName("main".into()) }),
        "{effects:?}"
    );
}

/// A flood of what a hub does not take must not hold back what it does: a critical alert of the same site.
#[test]
fn a_hub_refusal_holds_back_only_its_severity_and_below() {
    let mut fixture = Fixture::new();
    let severe = |id, severity| DueMessage { severity, ..due(id, "nino") };
    assert!(fixture.leaves(severe(1, Severity::Warning), NOW));
    let busy = Refusal { retry_after: Some(Duration::from_secs(5)), ..refusal(429, Class::HubThrottle) };
    let effects = fixture.answer(1, ApiAnswer::Refused(busy), NOW);
    assert!(!effects.iter().any(|effect| matches!(effect, SchedulerEffect::Paused { .. })), "{effects:?}");
    let soon = NOW + Duration::from_secs(1);
    assert!(
        !fixture.leaves(severe(1, Severity::Warning), soon)
            && !fixture.leaves(severe(2, Severity::Info), soon)
    );
    assert!(fixture.leaves(severe(3, Severity::Critical), soon));
    fixture.answer(3, accepted(), soon);
    assert!(
        !fixture.leaves(severe(1, Severity::Warning), soon),
        "an answer to another severity opens nothing"
    );
    assert!(fixture.leaves(severe(1, Severity::Warning), NOW + Duration::from_secs(5)));
}

#[test]
fn a_new_token_is_tried_at_once_with_one_message() {
    let mut fixture = Fixture::new();
    assert!(fixture.leaves(due(1, "nino"), NOW));
    fixture.answer(1, ApiAnswer::Refused(refusal(190, Class::Auth)), NOW);
    let soon = NOW + Duration::from_secs(2);
    assert!(!fixture.leaves(due(1, "nino"), soon));
    fixture.tell(SchedulerInput::CredentialsChanged(ConnectionName("main".into())), soon);
    let effects = fixture.tell(found(vec![due(1, "nino"), due(2, "giorgi")]), soon);
    let leaving = effects
        .iter()
        .filter(|effect| matches!(effect, SchedulerEffect::Commit(MessageUpdate::Sending { .. })))
        .count();
    assert_eq!(leaving, 1, "one asks whether it works again");
}

#[test]
fn all_lanes_are_read_at_start_and_after_a_rollback() {
    let mut fixture = Fixture::new();
    let asked = |fixture: &mut Fixture, now| {
        let effects = fixture.tell(SchedulerInput::Wake, now);
        fixture.tell(SchedulerInput::Lanes(LaneReport::default()), now);
        let [SchedulerEffect::Look(wanted)] = &effects[..] else { panic!("{effects:?}") };
        (wanted.all, wanted.since)
    };
    let later = NOW + Duration::from_secs(1);
    assert!(asked(&mut fixture, NOW).0, "at the start");
    assert_eq!(asked(&mut fixture, later), (false, NOW));
    let before = fixture.sender.checkpoint(true);
    assert!(fixture.leaves(due(1, "nino"), later) && !fixture.sender.is_idle());
    fixture.sender.put_back(before);
    assert!(fixture.sender.is_idle() && fixture.is_open(later), "nothing left");
    let before = fixture.sender.checkpoint(true);
    fixture.sender.put_back(before);
    assert!(asked(&mut fixture, later).0, "after what did not hold");
    assert!(!asked(&mut fixture, later - Duration::from_millis(999)).0, "jobs overtake one another");
    assert!(asked(&mut fixture, later - Duration::from_secs(2)).0, "a clock that was set");
}

/// The streak is what the pair limit waits for: 1, 4, 16 s.
#[test]
fn simultaneous_failures_count_once_and_success_resets_them() {
    let mut fixture = Fixture::new();
    let millis = Duration::from_millis;
    let report = |fixture: &mut Fixture, at| {
        fixture.tell(
            SchedulerInput::Reported(lane("nino"), Box::new(refusal(131_056, Class::PairThrottle))),
            at,
        );
    };
    let is_shut = |fixture: &mut Fixture, at| !fixture.is_open(at);
    let check = |fixture: &mut Fixture, at, seconds: u64| {
        assert!(
            is_shut(fixture, at + millis(seconds * 1_000 - 1))
                && !is_shut(fixture, at + millis(seconds * 1_000))
        );
    };
    report(&mut fixture, NOW);
    report(&mut fixture, NOW);
    check(&mut fixture, NOW, 1);
    let second = NOW + millis(1_000);
    report(&mut fixture, second);
    check(&mut fixture, second, 4);
    let third = second + millis(4_000);
    assert!(fixture.leaves(due(1, "nino"), third));
    fixture.answer(1, ApiAnswer::Refused(refusal(131_056, Class::PairThrottle)), third);
    check(&mut fixture, third, 16);
    let fourth = third + millis(16_000);
    assert!(fixture.leaves(due(1, "nino"), fourth));
    fixture.answer(1, accepted(), fourth);
    report(&mut fixture, fourth);
    check(&mut fixture, fourth, 1);
}

#[test]
fn tries_attempts_and_files_reach_the_decision() {
    let answered = |due: DueMessage, class| {
        let mut fixture = Fixture::new();
        let id = due.id;
        let attempts = due.attempts;
        fixture.tell(SchedulerInput::Wake, NOW);
        let left = fixture.tell(found(vec![due]), NOW);
        let Some(SchedulerEffect::Commit(MessageUpdate::Sending { attempt, .. })) = left.first() else {
            panic!("{left:?}")
        };
        assert_eq!(*attempt, attempts + 1);
        let effects = fixture.tell(SchedulerInput::Answered(id, ApiAnswer::Refused(refusal(1, class))), NOW);
        let Some(SchedulerEffect::Commit(MessageUpdate::Settled(settled))) = effects.last() else {
            panic!("{effects:?}")
        };
        assert_eq!(settled.attempt, attempts + 1);
        settled.next.state
    };
    let tried = |tries| DueMessage { tries, attempts: tries + 3, ..due(1, "nino") };
    assert_eq!(
        [0, 1, 2].map(|tries| answered(tried(tries), Class::Unknown)),
        [State::Queued, State::Queued, State::Failed]
    );
    let mut pictured = tried(0);
    pictured.content.header =
        Some(crate::outbox::message::Header::Image(crate::outbox::message::Media::Id("1".into())));
    assert_eq!(
        [answered(pictured, Class::Media), answered(tried(0), Class::Media)],
        [State::Queued, State::Failed]
    );
}

#[test]
fn one_message_per_person_and_one_probe_per_number() {
    let mut fixture = Fixture::new();
    let other = |id, contact: &str| {
        let lane =
            Conversation { connection: ConnectionName("second".into()), contact: ContactId(contact.into()) };
        DueMessage { lane, ..due(id, contact) }
    };
    let left = |fixture: &mut Fixture, due: Vec<DueMessage>, now| {
        fixture.tell(SchedulerInput::Wake, now);
        let effects = fixture.tell(found(due), now);
        let ids = effects.iter().filter_map(|effect| {
            if let SchedulerEffect::Commit(MessageUpdate::Sending { id, .. }) = effect {
                Some(id.0)
            } else {
                None
            }
        });
        ids.collect::<Vec<_>>()
    };
    let all = vec![due(1, "nino"), due(2, "nino"), due(3, "giorgi"), other(4, "nino")];
    assert_eq!(left(&mut fixture, all, NOW), [1, 3, 4]);
    for id in [1, 3, 4] {
        fixture.answer(id, accepted(), NOW);
    }
    let paused = NOW + Duration::from_secs(60);
    assert!(fixture.leaves(due(5, "nino"), NOW));
    fixture.answer(5, ApiAnswer::Refused(refusal(190, Class::Auth)), NOW);
    assert!(!fixture.is_open(NOW) && fixture.is_open(paused));
    let all = vec![due(6, "nino"), due(7, "giorgi"), other(8, "nino"), other(9, "giorgi")];
    assert_eq!(left(&mut fixture, all, paused), [6, 8, 9]);
}

#[test]
fn a_number_is_no_faster_than_it_may_be() {
    let rates = BTreeMap::from([(ConnectionName("main".into()), 2)]);
    let mut fixture = Fixture { sender: Scheduler::new(rates), dice: Rng::seeded(1) };
    let millis = Duration::from_millis;
    fixture.tell(SchedulerInput::Wake, NOW);
    let due = vec![due(1, "nino"), due(2, "giorgi"), due(3, "keti")];
    let effects = fixture.tell(found(due), NOW);
    let left = effects
        .iter()
        .filter(|effect| matches!(effect, SchedulerEffect::Commit(MessageUpdate::Sending { .. })))
        .count();
    assert_eq!(left, 2, "the burst of a second, and no more");
    fixture.answer(1, accepted(), NOW);
    assert!(!fixture.is_open(NOW + millis(499)) && fixture.is_open(NOW + millis(500)));
}

/// Or it would wake at once, again and again.
#[test]
fn a_gate_that_opens_now_sets_no_timer() {
    let mut fixture = Fixture::new();
    assert!(fixture.leaves(due(1, "nino"), NOW));
    fixture.answer(1, ApiAnswer::Refused(refusal(190, Class::Auth)), NOW);
    let opens = NOW + Duration::from_secs(60);
    fixture.tell(SchedulerInput::Wake, opens);
    assert_eq!(fixture.tell(SchedulerInput::Lanes(LaneReport::default()), opens), []);
}

/// Seed 51005 of the simulation: the next one waited until something else woke the sender.
#[test]
fn the_scheduler_looks_again_after_a_damaged_row() {
    let mut fixture = Fixture::new();
    fixture.tell(SchedulerInput::Wake, NOW);
    let effects = fixture.tell(SchedulerInput::Loaded(Work { due: Vec::new(), damaged: true }), NOW);
    assert!(matches!(effects[..], [SchedulerEffect::Look(_)]), "{effects:?}");
}
