use super::*;
use crate::alert::form::Window;
use crate::alert::message::Content;
use crate::alert::rule::Severity;
use crate::alert::state::OnUnknown;
use crate::contact::{Phone, Recipient};
use crate::ids::{ContactId, Wamid};

const NOW: Timestamp = Timestamp(1_790_000_000_000);
const HOUR: Duration = Duration::from_secs(3_600);

fn lane(contact: &str) -> Lane {
    Lane { connection: ConnectionName("main".into()), contact: ContactId(contact.into()) }
}

fn due(id: i64, contact: &str) -> Due {
    Due {
        id: MessageId(id),
        lane: lane(contact),
        to: Recipient::Phone(Phone::parse("+15550100123").expect("valid")),
        content: Content::text("x"),
        alert: None,
        severity: Severity::Warning,
        attempts: 0,
        tries: 0,
        on_unknown: OnUnknown::Retry,
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
struct Desk {
    sender: Sender,
    dice: Dice,
}

impl Desk {
    fn new() -> Self {
        Self { sender: Sender::new(BTreeMap::new()), dice: Dice::seeded(1) }
    }

    fn tell(&mut self, input: Input, now: Timestamp) -> Vec<Effect> {
        self.sender.handle(input, now, &mut self.dice)
    }

    /// Whether this message would leave now.
    fn leaves(&mut self, due: Due, now: Timestamp) -> bool {
        let asked = self.tell(Input::Wake, now);
        if !asked.iter().any(|effect| matches!(effect, Effect::Load(_))) {
            return false;
        }
        let work = Work { due: vec![due], next_at: None };
        let effects = self.tell(Input::Loaded(work), now);
        effects.iter().any(|effect| matches!(effect, Effect::Commit(Change::Sending { .. })))
    }

    fn answer(&mut self, id: i64, answer: Answer, now: Timestamp) -> Vec<Effect> {
        let effects = self.tell(Input::Answered(MessageId(id), answer), now);
        let then = self.tell(Input::SettledCommitted(MessageId(id)), now);
        // The load that follows finds nothing.
        if then.iter().any(|effect| matches!(effect, Effect::Load(_))) {
            self.tell(Input::Loaded(Work::default()), now);
        }
        effects
    }
}

fn accepted() -> Answer {
    Answer::Accepted(Wamid("wamid.x".into()))
}

#[test]
fn a_clock_that_is_set_back_makes_nothing_wait_for_longer() {
    let mut desk = Desk::new();
    for id in 0..45 {
        assert!(desk.leaves(due(id, "nino"), NOW), "{id}");
        desk.answer(id, accepted(), NOW);
    }
    assert!(!desk.leaves(due(45, "nino"), NOW), "the burst of the pair is used up");
    let throttled = Answer::Refused(refusal(190, Class::Auth));
    assert!(desk.leaves(due(46, "giorgi"), NOW));
    desk.answer(46, throttled, NOW);
    assert!(!desk.leaves(due(47, "giorgi"), NOW));

    // Two hours back: without allowing for it, both would wait for two hours more.
    let back = NOW - HOUR * 2;
    let effects = desk.tell(Input::Wake, back);
    let by = HOUR * 2;
    assert!(
        effects.contains(&Effect::Commit(Change::SetBack { by })) && effects.contains(&Effect::WakeAt(back))
    );
    desk.tell(Input::Loaded(Work::default()), back);
    assert!(!desk.leaves(due(48, "nino"), back + Duration::from_secs(5)), "what was owed is still owed");
    assert!(
        desk.leaves(due(48, "giorgi"), back + Duration::from_secs(61)),
        "a minute later the token is tried"
    );
    desk.answer(48, accepted(), back + Duration::from_secs(61));
    assert!(desk.leaves(due(49, "nino"), back + Duration::from_secs(61)));
}

#[test]
fn a_clock_that_is_corrected_a_little_is_left_alone() {
    let mut desk = Desk::new();
    desk.tell(Input::Wake, NOW);
    let effects = desk.tell(Input::HeldCommitted, NOW - Duration::from_secs(60));
    assert!(!effects.iter().any(|effect| matches!(effect, Effect::Commit(_))), "{effects:?}");
}

#[test]
fn what_statuses_tell_of_a_number_or_a_person_closes_a_gate() {
    let mut desk = Desk::new();
    let reported = |code, class| Input::Reported(lane("nino"), Box::new(refusal(code, class)));
    let effects = desk.tell(reported(131_056, Class::PairThrottle), NOW);
    assert!(effects.is_empty());
    assert!(!desk.leaves(due(1, "nino"), NOW) && desk.leaves(due(2, "giorgi"), NOW));

    // An answer to a request that left before does not open what a status closed since.
    let effects = desk.tell(reported(131_048, Class::Quality), NOW);
    let [Effect::Paused { notice: Some(notice), .. }] = &effects[..] else { panic!("{effects:?}") };
    assert!(notice.contains("131048") && !notice.contains("trace"), "the same words each time: {notice}");
    desk.answer(2, accepted(), NOW);
    assert!(!desk.leaves(due(3, "giorgi"), NOW + HOUR));
    assert!(desk.leaves(due(3, "giorgi"), NOW + HOUR * 6));
    let effects = desk.answer(3, accepted(), NOW + HOUR * 6);
    assert!(effects.contains(&Effect::Resumed { connection: ConnectionName("main".into()) }), "{effects:?}");
}

#[test]
fn a_new_token_is_tried_at_once_and_by_one_message() {
    let mut desk = Desk::new();
    assert!(desk.leaves(due(1, "nino"), NOW));
    desk.answer(1, Answer::Refused(refusal(190, Class::Auth)), NOW);
    let soon = NOW + Duration::from_secs(2);
    assert!(!desk.leaves(due(1, "nino"), soon));
    desk.tell(Input::PutRight(ConnectionName("main".into())), soon);
    let work = Work { due: vec![due(1, "nino"), due(2, "giorgi")], next_at: None };
    let effects = desk.tell(Input::Loaded(work), soon);
    let leaving =
        effects.iter().filter(|effect| matches!(effect, Effect::Commit(Change::Sending { .. }))).count();
    assert_eq!(leaving, 1, "one asks whether it works again");
}
