//! What follows when nobody acts: one step after the other, never back.

use crate::alert::lifecycle::{Firing, Reach};
use crate::rule::lifecycle_settings::{Life, Step, Unless};
use crate::time::Timestamp;

/// What becomes of a step whose time has come.
#[derive(Debug)]
pub enum Verdict<'a> {
    Take(&'a Step),
    /// Not needed; the sentence says why.
    Skip(String),
}

/// The next step, if its time has come or it is in a hurry. The step counts as done, whatever the verdict: it never comes twice.
pub fn advance<'a>(
    firing: &mut Firing,
    life: &'a Life,
    now: Timestamp,
    hurry: bool,
) -> Option<(usize, Verdict<'a>)> {
    let step = life.escalate.get(firing.step).filter(|step| hurry || firing.fired_at + step.after <= now)?;
    firing.step += 1;
    let verdict = match needless(firing, step.unless) {
        Some(why) => Verdict::Skip(why),
        None => Verdict::Take(step),
    };
    Some((firing.step, verdict))
}

/// When the next step is looked at.
#[must_use]
pub fn due(firing: &Firing, life: &Life) -> Option<Timestamp> {
    life.escalate.get(firing.step).map(|step| firing.fired_at + step.after)
}

fn needless(firing: &Firing, unless: Unless) -> Option<String> {
    let acknowledged = firing.acknowledged.as_ref().map(|ack| format!("{} has acknowledged it", ack.by));
    let reached = |least: Reach, word: &str| {
        let who = firing.told.iter().find(|(_, told)| told.reach >= least)?;
        Some(format!("it was {word} {}", who.0))
    };
    match unless {
        Unless::Delivered => acknowledged.or_else(|| reached(Reach::Delivered, "delivered to")),
        Unless::Read => acknowledged.or_else(|| reached(Reach::Read, "read by")),
        Unless::Acknowledged => acknowledged,
        Unless::Resolved => None, // an alert that is over has no steps any more
    }
}
