//! One turn of the sender: all that it decides without waiting for anybody, in one transaction of the store.
//!
//! Whoever writes down events lets the sender take its turn in the same transaction, so that an alert and its `sending` are
//! one commit; and an answer is written down together with what leaves next. On a memory card a commit takes longer than
//! everything else between an event and its request.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::mpsc;

use crate::config::Config;
use crate::outbox::row::{Conversation, MessageUpdate};
use crate::outbox::scheduler::{IN_FLIGHT_MAX, Scheduler, SchedulerEffect, SchedulerInput};
use crate::random::Rng;
use crate::store::{Result, Store};
use crate::task::sending_limits;
use crate::time::Timestamp;
use crate::whatsapp::errors::{ApiMessage, refusal};

/// Questions and changes in one turn. Each takes 0.1 to 0.3 ms, and the store's thread has others to serve; the rest is
/// the next turn's.
const STEPS_MAX: usize = 64;
/// Turns whose effects wait for the sender's task: one for each message under way, and those of the intake.
const TURNS_MAX: usize = IN_FLIGHT_MAX * 4;

/// The outcome of one turn.
#[derive(Debug, Default)]
pub struct SendStep {
    /// To be done now that it is on disk. A `Commit` has been done: it is here to be told of.
    pub done: Vec<SchedulerEffect>,
    /// The effects that did not fit.
    pub rest: Vec<SchedulerEffect>,
}

/// With what a turn begins.
#[derive(Debug, Clone)]
pub enum StepStart {
    With(SchedulerInput),
    /// What the turn before left.
    Rest(Vec<SchedulerEffect>),
}

/// Takes a turn; call it inside a transaction. When that fails, `sender` must be as it was before.
pub fn take(
    store: &Store,
    sender: &mut Scheduler,
    begin: StepStart,
    config: &Config,
    now: Timestamp,
    dice: &mut Rng,
) -> Result<SendStep> {
    let mut turn = SendStep::default();
    let mut effects = match begin {
        StepStart::With(input) => sender.handle(input, now, dice),
        StepStart::Rest(effects) => effects,
    };
    let mut steps = 0;
    while !effects.is_empty() {
        let mut next = Vec::new();
        for effect in effects {
            let input = match effect {
                effect @ (SchedulerEffect::Look(_)
                | SchedulerEffect::Merge(_)
                | SchedulerEffect::Load(_)
                | SchedulerEffect::Commit(_))
                    if steps == STEPS_MAX =>
                {
                    turn.rest.push(effect);
                    continue;
                }
                SchedulerEffect::Look(wanted) => {
                    store.tend(now)?;
                    sending_limits::enforce_limits(store, config, now)?;
                    SchedulerInput::Lanes(store.look(now, &wanted)?)
                }
                SchedulerEffect::Merge(lanes) => {
                    store.merge(&lanes, &config.people, now)?;
                    SchedulerInput::Merged
                }
                SchedulerEffect::Load(ids) => {
                    SchedulerInput::Loaded(store.load(now, &ids, &config.people)?)
                }
                SchedulerEffect::Commit(change) => {
                    let held = store.change(&change, now)?;
                    let input = answer(&change, held);
                    if held {
                        turn.done.push(SchedulerEffect::Commit(change));
                    }
                    input
                }
                SchedulerEffect::Upload(_)
                | SchedulerEffect::Post(_)
                | SchedulerEffect::WakeAt(_)
                | SchedulerEffect::Paused { .. }
                | SchedulerEffect::Resumed { .. } => {
                    turn.done.push(effect);
                    continue;
                }
            };
            steps += 1;
            next.extend(sender.handle(input, now, dice));
        }
        effects = next;
    }
    Ok(turn)
}

/// Numbers that were restricted before this start stay so, whoever takes the first turn: a try would make it worse.
pub fn remember(
    sender: &mut Scheduler,
    restricted: Vec<(Conversation, i64, Timestamp)>,
    now: Timestamp,
    dice: &mut Rng,
) -> SendStep {
    let mut done = Vec::new();
    for (lane, code, at) in restricted {
        let said = ApiMessage { code, details: "said before this start".into(), ..ApiMessage::default() };
        let at = at.min(now); // said by a clock that was set back since
        let remembered = SchedulerInput::Remembered { lane, refusal: Box::new(refusal(said)), at };
        done.extend(sender.handle(remembered, now, dice));
    }
    SendStep { done, rest: Vec::new() }
}

/// What the sender hears of its change.
fn answer(change: &MessageUpdate, held: bool) -> SchedulerInput {
    match change {
        MessageUpdate::Sending { id, .. } if !held => SchedulerInput::Withdrawn(*id),
        MessageUpdate::Sending { id, .. } => SchedulerInput::SendingCommitted(*id),
        MessageUpdate::Held { .. } | MessageUpdate::SetBack { .. } => SchedulerInput::HeldCommitted,
        MessageUpdate::Settled(settled) => SchedulerInput::SettledCommitted(settled.id),
    }
}

/// The sender between its turns.
#[derive(Debug)]
pub struct SchedulerHandle {
    mind: Arc<Mutex<(Scheduler, Rng)>>,
    stopping: AtomicBool,
    done: mpsc::Sender<SendStep>,
}

impl SchedulerHandle {
    /// The turns' effects come out at the other end, after `first`.
    pub fn new(sender: Scheduler, dice: Rng, first: SendStep) -> (Self, mpsc::Receiver<SendStep>) {
        let (done, to_do) = mpsc::channel(TURNS_MAX);
        if !first.done.is_empty() {
            drop(done.try_send(first)); // there is room for more than one
        }
        let mind = Arc::new(Mutex::new((sender, dice)));
        (Self { mind, stopping: AtomicBool::new(false), done }, to_do)
    }

    /// Inside a transaction of the store's thread. If that does not hold, the turn was not taken.
    pub fn take(&self, store: &Store, begin: StepStart, config: &Config, now: Timestamp) -> Result<SendStep> {
        let mut mind = lock(&self.mind);
        let (sender, dice) = &mut *mind;
        let (before, here) = (sender.checkpoint(!store.can_roll_back()), Arc::clone(&self.mind));
        store.on_rollback(move || lock(&here).0.put_back(before));
        if self.stopping.load(Ordering::Relaxed) {
            sender.stop();
        }
        take(store, sender, begin, config, now, dice)
    }

    /// A turn is on disk: the sender's task does what is to be done.
    pub async fn done(&self, turn: SendStep) {
        if !turn.done.is_empty() || !turn.rest.is_empty() {
            drop(self.done.send(turn).await); // the sender's task ends only when the daemon does
        }
    }

    /// In which lanes something else waits than memory shows; see [`Store::missed_changes`].
    pub fn missed_changes(&self, store: &Store) -> Result<Vec<Conversation>> {
        lock(&self.mind).0.seen().map_or(Ok(Vec::new()), |(asked, seen)| store.missed_changes(&asked, &seen))
    }

    /// Nothing new leaves from now on.
    pub fn stop(&self) {
        self.stopping.store(true, Ordering::Relaxed);
    }

    /// Whether nothing is under way, so that the process may end. While a turn is being taken nobody knows.
    pub fn is_idle(&self) -> bool {
        self.mind.try_lock().is_ok_and(|mind| mind.0.is_idle())
    }
}

/// A panic ends the process, so that nothing is ever poisoned.
fn lock(mind: &Mutex<(Scheduler, Rng)>) -> MutexGuard<'_, (Scheduler, Rng)> {
    mind.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::time::Duration;

    use super::*;
    use crate::config::{LoadOptions, read};
    use crate::contact::Recipient;
    use crate::ids::{ConnectionName, ContactId, MessageId, Wamid};
    use crate::outbox::message::Content;
    use crate::outbox::retry_policy::ApiAnswer;

    const NOW: Timestamp = Timestamp(1_900_000_000_000);

    struct Site {
        store: Store,
        turns: SchedulerHandle,
        config: Config,
        _folder: tempfile::TempDir,
    }

    impl Site {
        fn new() -> Self {
            let (folder, store) = Store::in_new_folder();
            let text = "[site]\nname = \"Bar\"\n[mqtt]\nurl = \"mqtt://127.0.0.1\"";
            let config =
                read("t.toml", text, &LoadOptions { without_secrets: true, ..LoadOptions::default() })
                    .expect("good");
            let rates = BTreeMap::from([(ConnectionName("main".into()), 1_000)]); // a second
            let (turns, _) = SchedulerHandle::new(Scheduler::new(rates), Rng::seeded(1), SendStep::default());
            Self { store, turns, config, _folder: folder }
        }

        /// Writes a message to each and lets the sender take its turn, in one transaction.
        fn write(&self, people: u32, holds: bool) -> Option<SendStep> {
            let written = self.store.transaction(|store| {
                for person in 0..people {
                    let contact = ContactId(format!("p{person}"));
                    let lane = Conversation { connection: ConnectionName("main".into()), contact };
                    let to = Recipient::parse(&format!("+1555{person:07}")).expect("a number");
                    store.compose(&lane, &to, &Content::text("hot"), NOW)?;
                }
                let turn =
                    self.turns.take(store, StepStart::With(SchedulerInput::Wake), &self.config, NOW)?;
                if holds { Ok(turn) } else { Err(crate::store::Error::InvalidQuery) }
            });
            written.ok()
        }

        fn turn(&self, begin: StepStart) -> SendStep {
            self.store
                .transaction(|store| self.turns.take(store, begin.clone(), &self.config, NOW))
                .expect("on disk")
        }

        fn states(&self) -> Vec<String> {
            let counts = self.store.counts().expect("counted");
            counts.into_iter().map(|(state, count)| format!("{count} {state}")).collect()
        }
    }

    fn posts(turn: &SendStep) -> Vec<MessageId> {
        let post = |effect: &SchedulerEffect| match effect {
            SchedulerEffect::Post(under_way) => Some(under_way.0.id),
            SchedulerEffect::Look(_)
            | SchedulerEffect::Merge(_)
            | SchedulerEffect::Load(_)
            | SchedulerEffect::Commit(_)
            | SchedulerEffect::Upload(_)
            | SchedulerEffect::WakeAt(_)
            | SchedulerEffect::Paused { .. }
            | SchedulerEffect::Resumed { .. } => None,
        };
        turn.done.iter().filter_map(post).collect()
    }

    #[test]
    fn each_send_shares_a_commit_with_its_cause() {
        let site = Site::new();
        let first = site.write(1, true).expect("on disk");
        assert_eq!((posts(&first).len(), site.states()), (1, vec!["1 sending".to_owned()]));
        assert!(!site.turns.is_idle());
        assert!(posts(&site.write(1, true).expect("on disk")).is_empty(), "one at a time to a person");
        let answer = ApiAnswer::Accepted(Wamid("wamid.1".into()).into());
        let next = site.turn(StepStart::With(SchedulerInput::Answered(posts(&first)[0], answer)));
        assert_eq!(posts(&next).len(), 1);
        assert_eq!(site.states(), ["1 accepted", "1 sending"]);
    }

    #[test]
    fn a_turn_without_a_commit_is_rolled_back() {
        let site = Site::new();
        assert!(site.write(1, false).is_none());
        assert!(site.turns.is_idle(), "it waits for no answer");
        let again = site.write(1, true).expect("on disk");
        assert_eq!((posts(&again).len(), site.states()), (1, vec!["1 sending".to_owned()]));
    }

    #[test]
    fn all_messages_leave_within_the_in_flight_limit() {
        let site = Site::new();
        let mut waiting = posts(&site.write(100, true).expect("on disk"));
        assert_eq!(waiting.len(), IN_FLIGHT_MAX);
        let mut sent = 0;
        while let Some(id) = waiting.pop() {
            sent += 1;
            let answer = ApiAnswer::Accepted(Wamid(format!("wamid.{id}")).into());
            waiting.extend(posts(&site.turn(StepStart::With(SchedulerInput::Answered(id, answer)))));
            assert!(waiting.len() <= IN_FLIGHT_MAX);
        }
        assert_eq!((sent, site.states()), (100, vec!["100 accepted".to_owned()]));
        assert!(site.turns.is_idle());
    }

    #[test]
    fn steps_beyond_the_limit_run_in_the_next_turn() {
        let site = Site::new();
        let change = || SchedulerEffect::Commit(MessageUpdate::SetBack { by: Duration::from_secs(1) });
        let first = site.turn(StepStart::Rest(std::iter::repeat_with(change).take(STEPS_MAX + 10).collect()));
        assert_eq!((first.done.len(), first.rest.len()), (STEPS_MAX, 11), "ten, and the question for work");
        let second = site.turn(StepStart::Rest(first.rest));
        assert_eq!((second.done.len(), second.rest.len()), (10, 0));
    }

    #[test]
    fn a_clock_set_back_lengthens_no_restriction() {
        let lane = Conversation { connection: "main".into(), contact: "nino".into() };
        let (mut sender, hour) = (Scheduler::new(BTreeMap::new()), Duration::from_secs(3_600));
        for (at, opens) in [(NOW - hour, NOW + hour * 5), (NOW + hour * 3, NOW + hour * 6)] {
            let restricted = vec![(lane.clone(), 131_048, at)];
            let turn = remember(&mut sender, restricted, NOW, &mut Rng::seeded(1));
            let until = |effect: &SchedulerEffect| matches!(effect, SchedulerEffect::Paused { until, .. } if *until == opens);
            assert!(turn.done.iter().any(until), "{:?}", turn.done);
        }
    }

    #[test]
    fn stopping_sends_nothing_new() {
        let site = Site::new();
        site.turns.stop();
        assert!(posts(&site.write(1, true).expect("on disk")).is_empty());
        assert_eq!(site.states(), ["1 queued"]);
        assert!(site.turns.is_idle());
    }
}
