//! Removes old rows, once an hour.

use std::sync::Arc;
use std::time::Duration;

use crate::task::context::TaskContext;
use crate::task::owner_notice;

/// How often old rows are looked for.
const HOUSEKEEPING: Duration = Duration::from_secs(3_600);

/// Removes what is too old, a batch at a time.
pub async fn housekeep(context: Arc<TaskContext>) {
    loop {
        tokio::time::sleep(HOUSEKEEPING).await;
        owner_notice::remind(&context.config);
        let now = context.machine.now();
        while context.store.durably(move |store| store.forget_old(now)).await == Some(true) {
            tokio::time::sleep(Duration::from_secs(1)).await; // alarms come first
        }
    }
}
