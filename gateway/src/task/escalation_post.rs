//! Last resorts over HTTP: performs what escalations want posted. At least once: a program that minds looks at `since`.

use std::sync::Arc;
use std::time::Duration;

use crate::http::Poster;
use crate::random::backoff;
use crate::rule::attachment::without_secrets;
use crate::task::context::TaskContext;
use crate::task::wakeups::Work;

/// A notice that was missed is made up for after this time, and what failed is looked at again.
const LOOK_EVERY: Duration = Duration::from_secs(30);
/// Tries with doubling pauses from 10 s: about an hour and a half, after which the alarm is no news.
const TRIES_MAX: u32 = 10;

pub async fn run(context: Arc<TaskContext>, poster: Poster) {
    loop {
        loop {
            let now = context.machine.now();
            let Some(post) = context.store.durably(move |store| store.next_post(now)).await else { return };
            let Some(post) = post else { break };
            let outcome = poster.post(&post.url, post.body.clone()).await;
            let now = context.machine.now();
            let pause = backoff(Duration::from_secs(10), Duration::from_secs(1_800), post.attempts + 1);
            let again = (outcome.is_err() && post.attempts + 1 < TRIES_MAX).then(|| now + pause);
            tracing::info!(alert = %post.alert, url = without_secrets(&post.url), ?outcome, "an escalation was posted");
            let (done, reason) = (outcome.is_ok(), outcome.unwrap_or_else(|reason| reason));
            let settle =
                move |store: &crate::store::Store| store.settle_post(&post, done, &reason, again, now);
            if context.store.durably(settle).await.is_none() {
                return;
            }
        }
        drop(tokio::time::timeout(LOOK_EVERY, context.wakeups.wait(Work::EscalationPosts)).await); // either way there is something to look for
    }
}
