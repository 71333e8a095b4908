//! A sabotage: turns of the sender under an older rule. What waits for one person left in digests only while ten of the
//! burst that Meta lends were used; each rest of 6 s brought one back, which left alone while the others waited.

use std::collections::BTreeMap;

use bellwire::config::Config;
use bellwire::outbox::rate_limit::{Meter, PAIR};
use bellwire::outbox::row::{Change, Lane};
use bellwire::outbox::scheduler::{Effect, Input, Sender};
use bellwire::random::Dice;
use bellwire::store::Store;
use bellwire::task::outbox_transaction::{Begin, Turn};
use bellwire::time::Timestamp;

const PRESSED: u32 = 35;

/// What each person was sent.
pub type Meters = BTreeMap<Lane, Meter>;

/// `task::outbox_transaction::take`, but for the rule.
pub fn take(
    store: &Store,
    sender: &mut Sender,
    begin: Begin,
    config: &Config,
    now: Timestamp,
    dice: &mut Dice,
    meters: &mut Meters,
) -> rusqlite::Result<Turn> {
    let mut turn = Turn::default();
    let mut effects = match begin {
        Begin::With(input) => sender.handle(input, now, dice),
        Begin::Rest(effects) => effects,
    };
    while !effects.is_empty() {
        let mut next = Vec::new();
        for effect in effects {
            let input = match effect {
                Effect::Load(mut wanted) => {
                    let near = |(_, meter): &(&Lane, &Meter)| PAIR.left(**meter, now) < PRESSED;
                    wanted.pressed = meters.iter().filter(near).map(|(lane, _)| lane.clone()).collect();
                    store.tend(now)?;
                    let work = store.work(now, &wanted, &config.people)?;
                    for due in &work.due {
                        let meter = PAIR.take(meters.get(&due.lane).copied(), now);
                        meters.insert(due.lane.clone(), meter);
                    }
                    Input::Loaded(work)
                }
                Effect::Commit(change) => {
                    let held = store.change(&change, now)?;
                    match change {
                        Change::Sending { id, .. } if !held => Input::Withdrawn(id),
                        Change::Sending { id, .. } => Input::SendingCommitted(id),
                        Change::Held { .. } | Change::SetBack { .. } => Input::HeldCommitted,
                        Change::Settled(settled) => Input::SettledCommitted(settled.id),
                    }
                }
                Effect::Upload(_)
                | Effect::Post(..)
                | Effect::WakeAt(_)
                | Effect::Paused { .. }
                | Effect::Resumed { .. } => {
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
