//! Escalation when nobody acts: one step after the other, never back.

use crate::alert::lifecycle::Firing;
use crate::alert::notification::reached::Reached;
use crate::rule::lifecycle_settings::{LifecycleSettings, Step, Unless};
use crate::time::Timestamp;

/// The outcome of a step whose time has come.
#[derive(Debug)]
pub enum StepOutcome<'a> {
    Take(&'a Step),
    /// Not needed; the sentence says why.
    Skip(String),
}

/// The next step, if its time has come or it is in a hurry. The step counts as done, whatever the verdict: it never comes twice.
pub fn advance<'a>(
    firing: &mut Firing,
    life: &'a LifecycleSettings,
    now: Timestamp,
    hurry: bool,
) -> Option<(usize, StepOutcome<'a>)> {
    let step = life.escalate.get(firing.step).filter(|step| hurry || firing.fired_at + step.after <= now)?;
    firing.step += 1;
    let verdict = match needless(firing, step.unless) {
        Some(why) => StepOutcome::Skip(why),
        None => StepOutcome::Take(step),
    };
    Some((firing.step, verdict))
}

/// When the next step is looked at.
#[must_use]
pub fn due(firing: &Firing, life: &LifecycleSettings) -> Option<Timestamp> {
    life.escalate.get(firing.step).map(|step| firing.fired_at + step.after)
}

fn needless(firing: &Firing, unless: Unless) -> Option<String> {
    let acknowledged = firing.acknowledged.as_ref().map(|ack| format!("{} has acknowledged it", ack.by));
    let reached = |least: Reached, word: &str| {
        let who = firing.told.iter().find(|(_, told)| told.reach >= least)?;
        Some(format!("it was {word} {}", who.0))
    };
    match unless {
        Unless::Delivered => acknowledged.or_else(|| reached(Reached::Delivered, "delivered to")),
        Unless::Read => acknowledged.or_else(|| reached(Reached::Read, "read by")),
        Unless::Acknowledged => acknowledged,
        Unless::Resolved => None, // an alert that is over has no steps any more
    }
}
