//! A sabotage: turns of the sender under an older rule. What waits for one person left in digests only while ten of the
//! burst that Meta lends were used; each rest of 6 s brought one back, which left alone while the others waited.

use std::collections::BTreeMap;

use bellwire::config::Config;
use bellwire::outbox::rate_limit::{Bucket, PAIR};
use bellwire::outbox::row::{Conversation, MessageUpdate};
use bellwire::outbox::scheduler::{Scheduler, SchedulerEffect, SchedulerInput};
use bellwire::random::Rng;
use bellwire::store::Store;
use bellwire::task::outbox_transaction::{SendStep, StepStart};
use bellwire::time::Timestamp;

const PRESSED: u32 = 35;

/// What each person was sent.
pub type Meters = BTreeMap<Conversation, Bucket>;

/// `task::outbox_transaction::take`, but for the rule.
pub fn take(
    store: &Store,
    sender: &mut Scheduler,
    begin: StepStart,
    config: &Config,
    now: Timestamp,
    dice: &mut Rng,
    meters: &mut Meters,
) -> rusqlite::Result<SendStep> {
    let mut turn = SendStep::default();
    let mut effects = match begin {
        StepStart::With(input) => sender.handle(input, now, dice),
        StepStart::Rest(effects) => effects,
    };
    while !effects.is_empty() {
        let mut next = Vec::new();
        for effect in effects {
            let input = match effect {
                SchedulerEffect::Load(mut wanted) => {
                    let near = |(_, meter): &(&Conversation, &Bucket)| PAIR.left(**meter, now) < PRESSED;
                    wanted.near_pair_limit =
                        meters.iter().filter(near).map(|(lane, _)| lane.clone()).collect();
                    store.tend(now)?;
                    let work = store.load(now, &wanted, &config.people)?;
                    for due in &work.due {
                        let meter = PAIR.take(meters.get(&due.lane).copied(), now);
                        meters.insert(due.lane.clone(), meter);
                    }
                    SchedulerInput::Loaded(work)
                }
                SchedulerEffect::Commit(change) => {
                    let held = store.change(&change, now)?;
                    match change {
                        MessageUpdate::Sending { id, .. } if !held => SchedulerInput::Withdrawn(id),
                        MessageUpdate::Sending { id, .. } => SchedulerInput::SendingCommitted(id),
                        MessageUpdate::Held { .. } | MessageUpdate::SetBack { .. } => {
                            SchedulerInput::HeldCommitted
                        }
                        MessageUpdate::Settled(settled) => SchedulerInput::SettledCommitted(settled.id),
                    }
                }
                SchedulerEffect::Upload(_)
                | SchedulerEffect::Post(..)
                | SchedulerEffect::WakeAt(_)
                | SchedulerEffect::Paused { .. }
                | SchedulerEffect::Resumed { .. } => {
                    turn.done.push(effect);
                    continue;
                }
            };
            next.extend(sender.handle(input, now, dice));
        }
        effects = next;
    }
    Ok(turn)
}
