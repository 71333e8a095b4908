//! Commits what events led to: together, or one by one where the database refuses something.

use std::sync::Arc;

use crate::alert::evaluate::excerpt;
use crate::alert::intake::{Decision, Intake};
use crate::command::action::{CommandOrigin, NewCommand};
use crate::outbox::scheduler;
use crate::store::{self, IntakeReport, Store};
use crate::task::context::TaskContext;
use crate::task::durable_store::StatementRefused;
use crate::task::home_assistant;
use crate::task::outbox_transaction::{SendStep, StepStart};
use crate::task::owner_notice;
use crate::task::unjudged::Lines;
use crate::task::wakeups::Written;

/// Something in it was refused: what is to blame is closed as failed and acknowledged like the rest, or the broker would bring
/// it again for ever.
pub(super) async fn one_by_one<A>(
    context: &TaskContext,
    intake: &mut Intake<A>,
    decisions: &[Decision],
) -> Option<()> {
    for decision in decisions {
        let alone = [decision.clone()];
        let Err(StatementRefused(why)) = write(context, move |store| store.accept(&alone)).await? else {
            continue;
        };
        let (event, reason) = (decision.event.clone(), why.clone());
        let topic = event.topic.clone();
        let begins = excerpt(&event.payload);
        let closed = context.store.durably_unless_refused(move |store| store.refuse(&event, &reason)).await?;
        if let Err(StatementRefused(why)) = closed {
            tracing::error!(topic, why, "a refused event could not be recorded");
        }
        let text = format!(
            "an event on the topic {topic} could not be written down, and no rule acts on it; look at what it reports yourself. \
             It begins: {begins} ({why})"
        );
        owner_notice::report(context, "events", vec![text]).await;
    }
    reload(context, intake).await
}

/// The memory of alerts is what is on disk again.
pub(super) async fn reload<A>(context: &TaskContext, intake: &mut Intake<A>) -> Option<()> {
    let kept = context.store.durably(Store::kept).await?;
    intake.reload(kept, context.machine.both());
    Some(())
}

pub(super) async fn commit(
    context: &TaskContext,
    decisions: &Arc<Vec<Decision>>,
    answers: Vec<(CommandOrigin, NewCommand)>,
    lines: &mut Lines,
) -> Option<Result<(), StatementRefused>> {
    let mut is_news = false;
    for decision in decisions.iter() {
        for one in &decision.unjudged {
            is_news |= lines.add(one, &decision.event.topic, context.machine.now());
        }
    }
    let decisions = Arc::clone(decisions);
    let now = context.machine.now();
    let accept = move |store: &Store| home_assistant::accept(store, &decisions, &answers, now);
    let written = write(context, accept).await;
    if is_news {
        context.wakeups.after(Written::UnjudgedEvent);
    }
    written
}

/// Messages leave with the commit that brings them: the sender takes its turn in it.
pub(super) async fn write(
    context: &TaskContext,
    accept: impl Fn(&Store) -> store::Result<IntakeReport> + Send + Sync + 'static,
) -> Option<Result<(), StatementRefused>> {
    let (turns, live) = (Arc::clone(&context.scheduler), context.live.get());
    let machine = Arc::clone(&context.machine);
    let write = move |store: &Store| {
        let accepted = accept(store)?;
        let turn = match accepted.messages {
            0 => SendStep::default(),
            _ => turns.take(store, StepStart::With(scheduler::SchedulerInput::Wake), &live, machine.now())?,
        };
        Ok((accepted, turn))
    };
    let (accepted, turn) = match context.store.durably_unless_refused(write).await? {
        Ok(written) => written,
        Err(refused) => return Some(Err(refused)),
    };
    context.scheduler.done(turn).await;
    context.metrics.accepted(&accepted);
    if accepted.messages > 0 {
        context.home.news();
    }
    if accepted.commands > 0 {
        context.wakeups.after(Written::Command);
    }
    if accepted.posts > 0 {
        context.wakeups.after(Written::EscalationPost);
    }
    Some(Ok(()))
}
