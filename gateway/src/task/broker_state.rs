//! Events of the broker's connection: connected, lost, published, subscribed.

use std::collections::BTreeMap;

use tokio::sync::mpsc;

use crate::command::dispatch;
use crate::device;
use crate::ids::CommandId;
use crate::mqtt::{Cause, ConnectionEvent, Grants};
use crate::task::context::TaskContext;
use crate::task::{copies, subscriptions};

/// Condition, log and dispatch hear of it.
pub async fn tell<A>(
    context: &TaskContext,
    notice: ConnectionEvent<A>,
    to_dispatch: &mpsc::Sender<dispatch::DispatchInput>,
) {
    let input = match notice {
        ConnectionEvent::Message { .. } => return, // the intake has it
        ConnectionEvent::Connected { session_present } => {
            tracing::info!(session_present, "connected to the broker");
            context.metrics.broker_is(true);
            context.readiness.broker_is(Some("the broker has not answered all subscriptions yet".into()));
            context.home.greet();
            dispatch::DispatchInput::Connected
        }
        ConnectionEvent::Disconnected { cause, reason } => {
            context.metrics.lost(cause);
            if cause == Cause::TakenOver {
                tracing::error!(reason, "another client takes our place at the broker");
                context.readiness.was_taken_over(reason.clone());
            }
            tracing::warn!(
                reason,
                "disconnected from the broker; events queue at the broker, commands queue here"
            );
            context.metrics.broker_is(false);
            context.readiness.broker_is(Some(format!("the broker is not connected: {reason}")));
            dispatch::DispatchInput::Disconnected
        }
        ConnectionEvent::Published { id, result } => {
            dispatch::DispatchInput::Published(CommandId(i64::try_from(id).unwrap_or(i64::MAX)), result)
        }
        ConnectionEvent::Loopback(result) => {
            if let Ok(time) = &result {
                context.metrics.round_trip(*time);
            }
            let obstacle = result.err();
            if context.readiness.deliveries_are(obstacle.clone()) {
                match obstacle {
                    Some(reason) => tracing::error!("{reason}"),
                    None => tracing::info!("our own test message comes back from the broker again"),
                }
            }
            return;
        }
        ConnectionEvent::NewerCopy(restored_at) => {
            copies::is_newer(context, restored_at).await;
            return;
        }
        ConnectionEvent::Subscribed(outcome) => {
            subscribed(context, outcome).await;
            return;
        }
    };
    drop(to_dispatch.send(input).await); // the dispatch ends only when the daemon does
}

/// What the broker lets us read, and what not.
async fn subscribed(context: &TaskContext, outcome: Grants) {
    for (one, two) in &outcome.doubled {
        let why = "an event that both match may come twice: this broker does not say which copy is whose";
        tracing::warn!(one, two, why, "two topics overlap");
    }
    for filter in &outcome.unsure {
        tracing::warn!(
            filter,
            "the broker delivers this with QoS 0 only: what comes while the line breaks is lost"
        );
    }
    let (beside, refused): (BTreeMap<_, _>, BTreeMap<_, _>) =
        outcome.refused.into_iter().partition(|(filter, _)| is_beside(context, filter));
    for (filter, reason) in beside {
        let what = "the broker refused a subscription for devices or Home Assistant; give this user the right to read it";
        tracing::warn!(filter, reason, "{what}");
    }
    for (filter, reason) in &refused {
        let what = "the broker refused a subscription; give this user the right to read it";
        tracing::error!(filter, reason, "{what}");
    }
    tracing::info!(
        filters = outcome.filters.len(),
        refused = refused.len(),
        "the broker has answered all subscriptions"
    );
    context.readiness.broker_is(None);
    context.readiness.subscriptions_are(refused);
    let mut held = subscriptions::all(&context.config);
    held.extend(outcome.filters);
    let now = context.machine.now();
    context.store.durably(move |store| store.keep_subscriptions(&held, now)).await;
}

/// Whether the rules do without it.
fn is_beside(context: &TaskContext, filter: &str) -> bool {
    let home = subscriptions::of_home_assistant(context.config.home_assistant.as_ref());
    let is_ours = device::topic::filters().chain(home).any(|ours| ours == *filter);
    is_ours && !context.config.rules.iter().any(|rule| rule.topic.filter() == *filter)
}
