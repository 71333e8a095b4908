//! `/live`: server-sent events that say that something changed. What changed, the page asks for.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http_body_util::BodyExt;
use http_body_util::channel::Channel;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep, timeout};

use super::password::digest;
use crate::http::auth::Caller;
use crate::http::state::{AppState, RequestContext};

/// How soon a page hears of an alert: soon enough to be live, rarely enough for a budget of two wake-ups a second.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// Proxies cut a connection that says nothing for a minute; it also finds out that a browser went without a word.
const BREATHE: Duration = Duration::from_secs(20);
/// A page that takes longer to read twenty bytes has gone.
const READER_DEADLINE: Duration = Duration::from_secs(10);

pub async fn live(State(state): State<Arc<AppState>>, request: RequestContext) -> Response {
    let Caller::Page(cookie) = request.caller else { return StatusCode::FORBIDDEN.into_response() };
    let Ok(seat) = Arc::clone(&state.watchers).try_acquire_owned() else {
        let full = "too many pages are open already; this one is not told of changes\n";
        return (StatusCode::SERVICE_UNAVAILABLE, full).into_response();
    };
    let (mut sender, body) = Channel::<Bytes, std::convert::Infallible>::new(1);
    // The body is dropped as soon as the browser closes the connection, and what its closure owns with it.
    let (held_by_body, mut left) = oneshot::channel::<()>();
    let body = body.map_frame(move |frame| {
        let _ = &held_by_body;
        frame
    });
    tokio::spawn(async move {
        let _seat = seat;
        let session = digest(&cookie);
        let mut stop = state.stop.clone();
        let mut seen = None;
        let mut silent_since = Instant::now();
        loop {
            let Ok(revision) = state.admin.revision().await else { return };
            let text = match seen.replace(revision) {
                Some(before) if before == revision && silent_since.elapsed() < BREATHE => None,
                Some(before) if before == revision => Some(": still here\n\n".to_owned()),
                Some(_) | None => Some(format!("event: change\ndata: {revision}\n\n")),
            };
            if let Some(text) = text {
                // Whoever is logged out hears nothing more.
                if !state.keys.has_session(session.clone()).await.unwrap_or(false) {
                    return;
                }
                if !matches!(timeout(READER_DEADLINE, sender.send_data(text.into())).await, Ok(Ok(()))) {
                    return;
                }
                silent_since = Instant::now();
            }
            tokio::select! {
                () = sleep(LOOK_EVERY) => {}
                _ = &mut left => return,
                _ = stop.wait_for(|stop| *stop) => return,
            }
        }
    });
    ([(header::CONTENT_TYPE, "text/event-stream"), (header::CACHE_CONTROL, "no-store")], Body::new(body))
        .into_response()
}
