//! What a start asks of the engine, until it is ready for it.

use std::fmt::Display;
use std::time::Duration;

use tokio::time::Instant;

/// A new cluster has no leader for some seconds, on a slow machine for half a minute; and after a log is made its nodes hear of that
/// one after the other: until then one answers that there is no such log.
const WITHIN: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_secs(1);

/// Asks again when it fails; the last failure when a minute is over.
pub async fn until_ready<T, E: Display, F>(what: impl Fn() -> F) -> Result<T, E>
where
    F: Future<Output = Result<T, E>>,
{
    let end = Instant::now() + WITHIN;
    loop {
        match what().await {
            Err(error) if Instant::now() < end => {
                tracing::info!("the engine is not ready ({error:#}); trying again in a second");
            }
            done => return done,
        }
        tokio::time::sleep(PAUSE).await;
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn an_engine_that_is_not_ready_is_asked_again() {
        let asked = Cell::new(0);
        let ready_at = |wanted: usize| {
            let asked = &asked;
            move || {
                asked.set(asked.get() + 1);
                let found = asked.get();
                async move { if found >= wanted { Ok(found) } else { Err("no stream found") } }
            }
        };
        assert_eq!(until_ready(ready_at(3)).await, Ok(3));
        asked.set(0);
        assert_eq!(until_ready(ready_at(usize::MAX)).await, Err("no stream found"));
        assert_eq!(asked.get(), 61, "once a second");
    }
}
