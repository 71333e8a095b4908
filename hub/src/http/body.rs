//! Bodies from outside: each is bounded in length and in time, and all of them in the memory that they take together.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt, Limited};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

/// Of all bodies that are here at once: twenty of Meta's largest, and of the usual ones as many as there are connections.
const MEMORY_KIB: usize = 64 * 1024;
const KIB: usize = 1024;
/// A body that takes longer is a dead line or an attack; Meta and sites send it again.
const DEADLINE: Duration = Duration::from_secs(10);
/// Files that sites fetch, of up to 100 MB each, are in memory as a whole.
const DOWNLOADS: usize = 4;

#[derive(Clone)]
pub struct Bodies {
    memory: Arc<Semaphore>,
    pub downloads: Arc<Semaphore>,
}

/// A body, and the memory that it has until it is dropped.
pub struct Held {
    pub bytes: Bytes,
    _memory: OwnedSemaphorePermit,
}

impl Default for Bodies {
    fn default() -> Self {
        let memory = Arc::new(Semaphore::new(MEMORY_KIB));
        Self { memory, downloads: Arc::new(Semaphore::new(DOWNLOADS)) }
    }
}

impl Bodies {
    /// Takes memory for what has come, so that nobody holds any who does not send.
    pub async fn read(&self, body: Body, max: usize) -> Result<Held, Response> {
        let slow =
            || (StatusCode::REQUEST_TIMEOUT, "the body took too long; send it again\n").into_response();
        timeout(DEADLINE, self.collect(body, max)).await.unwrap_or_else(|_| Err(slow()))
    }

    async fn collect(&self, body: Body, max: usize) -> Result<Held, Response> {
        let (mut body, mut bytes) = (Limited::new(body, max), BytesMut::new());
        let mut memory = self.take(1).await?;
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error| {
                let too_large = error.is::<http_body_util::LengthLimitError>();
                let status = if too_large { StatusCode::PAYLOAD_TOO_LARGE } else { StatusCode::BAD_REQUEST };
                (status, format!("the body cannot be taken: {error}\n")).into_response()
            })?;
            let Ok(data) = frame.into_data() else { continue };
            let more = (bytes.len() + data.len()).div_ceil(KIB).saturating_sub(memory.num_permits());
            memory.merge(self.take(more).await?);
            bytes.extend_from_slice(&data);
        }
        Ok(Held { bytes: bytes.freeze(), _memory: memory })
    }

    async fn take(&self, kib: usize) -> Result<OwnedSemaphorePermit, Response> {
        let kib = u32::try_from(kib).unwrap_or(u32::MAX);
        let taken = Arc::clone(&self.memory).acquire_many_owned(kib).await;
        taken.map_err(|_| (StatusCode::SERVICE_UNAVAILABLE, "the hub stops\n").into_response())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn bodies_share_a_bounded_memory_and_give_it_back() {
        let (bodies, max) = (Bodies::default(), 4 * KIB * KIB);
        let mut held = Vec::new();
        for _ in 0..MEMORY_KIB * KIB / max {
            held.push(bodies.read(Body::from(vec![0; max]), max).await.expect("there is room"));
        }
        let refused = bodies.read(Body::from("x"), max).await.err().expect("there is none");
        assert_eq!(refused.status(), StatusCode::REQUEST_TIMEOUT);
        drop(held);
        assert_eq!(bodies.read(Body::from("x"), max).await.expect("there is room again").bytes, "x");
        assert_eq!(bodies.memory.available_permits(), MEMORY_KIB);
    }

    #[tokio::test(start_paused = true)]
    async fn a_long_or_a_slow_body_is_given_up() {
        let bodies = Bodies::default();
        let long = bodies.read(Body::from("xxxxx"), 4).await.err().expect("too long");
        assert_eq!(long.status(), StatusCode::PAYLOAD_TOO_LARGE);
        let never = Body::from_stream(futures_util::stream::pending::<Result<Bytes, std::io::Error>>());
        let slow = bodies.read(never, 4).await.err().expect("too slow");
        assert_eq!(slow.status(), StatusCode::REQUEST_TIMEOUT);
    }
}
