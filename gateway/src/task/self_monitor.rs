//! The gateway's own health, as events that rules can tell: broker, deliveries, connections, disk, clock. Each change is told once;
//! how long it must last, and to whom it is told, is the rules' affair (`config/self_monitor_rules.rs`, docs/alerts.md).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use crate::alert::route::OWN_TOPICS;
use crate::event::incoming::{Event, EventSource};
use crate::store::free_megabytes;
use crate::task::context::TaskContext;
use crate::task::mqtt_intake::Submitted;
use crate::time::Timestamp;

/// An obstacle that is shorter troubles nobody.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// A disk fills slowly: it is asked every five minutes.
const DISK_EVERY: u32 = 60;
/// A month of a busy site with its write-ahead log (`bellwire doctor` asks for the same).
const FREE_MIN_MB: u64 = 200;

/// Looks again and again, and ends with the intake. Where no rule asks for it only the disk is looked at, for `/metrics`.
pub async fn watch(context: Arc<TaskContext>, to_intake: mpsc::Sender<Submitted>) {
    if !context.config.rules.iter().any(|rule| rule.topic.as_str().starts_with(OWN_TOPICS)) {
        loop {
            disk_obstacle(&context).await;
            tokio::time::sleep(LOOK_EVERY * DISK_EVERY).await;
        }
    }
    let mut told: BTreeMap<String, bool> = BTreeMap::new();
    let mut disk = None;
    for round in 0_u32.. {
        if round % DISK_EVERY == 0 {
            disk = disk_obstacle(&context).await;
        }
        for (part, obstacle) in parts(&context, disk.clone()) {
            let is_well = obstacle.is_none();
            if told.insert(part.clone(), is_well) == Some(is_well) {
                continue;
            }
            // Nobody waits for the commit: after a crash all of it is told anew.
            if to_intake
                .send((event(&part, obstacle, context.machine.now()), oneshot::channel().0))
                .await
                .is_err()
            {
                return;
            }
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Each part, and what is wrong with it.
fn parts(context: &TaskContext, disk: Option<String>) -> Vec<(String, Option<String>)> {
    let now = context.machine.now();
    let clock = (!now.is_sane()).then(|| {
        "it says 1970 or so; let the machine reach a time server, or fit a battery-backed clock".to_owned()
    });
    let refused = Some(context.readiness.refused()).filter(|refused| !refused.is_empty());
    let mut parts = vec![
        ("broker".to_owned(), context.readiness.broker()),
        ("subscriptions".to_owned(), refused.map(|refused| refused.join("\n"))),
        ("deliveries".into(), context.readiness.deliveries()),
        ("client-id".into(), context.readiness.client_id()),
        ("disk".into(), disk),
        ("clock".into(), clock),
    ];
    for connection in &context.config.connections {
        parts.push((
            format!("connection/{}", connection.name),
            context.readiness.pause(&connection.name, now),
        ));
    }
    parts
}

fn event(part: &str, obstacle: Option<String>, now: Timestamp) -> Event {
    let payload = obstacle.unwrap_or_else(|| "ok".to_owned());
    Event::new(EventSource::Own, format!("{OWN_TOPICS}{part}"), payload, now)
}

async fn disk_obstacle(context: &TaskContext) -> Option<String> {
    let directory = context.config.site.state_directory.clone();
    let free = tokio::task::spawn_blocking(move || free_megabytes(&directory)).await.ok().flatten()?;
    context.metrics.free(free);
    (free < FREE_MIN_MB).then(|| format!("{free} MB are left; when it is full no event is accepted"))
}
