//! The accept loop over hyper: `axum::serve` never times out a connection that sends half a header (docs/reliability.md E16).

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, watch};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tower_service::Service;

use super::tls::Certificate;
use super::visitors::{Answered, ConnectionTable, Received, Stage};

/// Meta posts concurrently and keeps connections, and people a page or two; the rest is room for those who dawdle, until their
/// time is up. 400 at their worst, each with a header and a small body, are 35 MB. Who comes when all places are taken gets that
/// of somebody who dawdles (`visitors`).
const CONNECTIONS_MAX: usize = 400;
/// A header larger than this is refused; so much is read at once.
const HEADER_BYTES: usize = 16 * 1024;
/// Descriptors that are not for visitors: 14 are open at rest, the rest is for the broker, the Cloud API and the database.
const DESCRIPTORS_KEPT: usize = 24;
/// A header that takes longer is an attack or a dead line (docs/reliability.md F39).
const HEADER_DEADLINE: Duration = Duration::from_secs(2);
/// Three ways over a bad line, and an old processor.
const HANDSHAKE_DEADLINE: Duration = Duration::from_secs(5);
/// Who has just connected is about to ask, over whatever line; to be closed without an answer would look like a failure.
const FIRST_REQUEST: Duration = Duration::from_millis(500);
/// After this a connection that is still answering is cut.
const DRAIN: Duration = Duration::from_secs(5);
/// Without a free descriptor `accept` fails at once: wait instead of spinning (docs/reliability.md F14).
const ACCEPT_PAUSE: Duration = Duration::from_millis(500);

/// Who is at the other end of the connection.
#[derive(Debug, Clone, Copy)]
pub struct Peer {
    pub address: IpAddr,
    /// Through TLS of our own.
    pub encrypted: bool,
}

/// Serves until `stop` says so, then lets answers under way finish.
pub async fn serve(
    listener: Arc<TcpListener>,
    routes: Router,
    certificate: Option<Arc<Certificate>>,
    mut stop: watch::Receiver<bool>,
) {
    let visitors = ConnectionTable::new(connections_max(descriptors()));
    let mut open = tokio::task::JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stopped(&mut stop) => break,
        };
        while open.try_join_next().is_some() {}
        match accepted {
            Ok((stream, peer)) => {
                drop(stream.set_nodelay(true)); // an answer of 20 bytes must not wait for more
                let (routes, stop) = (routes.clone(), stop.clone());
                let acceptor = certificate.as_ref().map(|certificate| certificate.acceptor());
                let place = visitors.enter(peer.ip()).await;
                open.spawn(async move {
                    let peer = Peer { address: peer.ip(), encrypted: acceptor.is_some() };
                    tokio::select! {
                        () = greet(stream, acceptor, peer, &place.stage, routes, stop) => {}
                        () = place.asked_to_leave() => tracing::debug!("a connection that said nothing made room"),
                    }
                });
                // They get their turn one by one, so that none is sent away before it was heard.
                tokio::task::yield_now().await;
            }
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted; trying again in half a second");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    let drained = tokio::time::timeout(DRAIN, async { while open.join_next().await.is_some() {} }).await;
    if drained.is_err() {
        tracing::warn!(connections = open.len(), "connections were closed at the stop before they had ended");
    }
}

async fn greet(
    stream: TcpStream,
    acceptor: Option<TlsAcceptor>,
    peer: Peer,
    stage: &Stage,
    routes: Router,
    stop: watch::Receiver<bool>,
) {
    let Some(acceptor) = acceptor else { return converse(stream, peer, stage, routes, stop).await };
    // Nobody holds a connection by not shaking hands.
    match tokio::time::timeout(HANDSHAKE_DEADLINE, acceptor.accept(stream)).await {
        Ok(Ok(stream)) => converse(stream, peer, stage, routes, stop).await,
        Ok(Err(error)) => tracing::debug!(%error, "a TLS handshake failed"),
        Err(_) => tracing::debug!("a TLS handshake took too long"),
    }
}

/// The kernel's limit for this process.
fn descriptors() -> usize {
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(usize::MAX)
}

/// However few there are, visitors never take the last one (docs/reliability.md F14).
fn connections_max(descriptors: usize) -> usize {
    CONNECTIONS_MAX.min(descriptors.saturating_sub(DESCRIPTORS_KEPT) / 2).max(2) // there may be two listeners
}

/// Answers the requests of one connection, over whatever carries its bytes.
pub async fn converse(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    peer: Peer,
    stage: &Stage,
    routes: Router,
    mut stop: watch::Receiver<bool>,
) {
    let (stage, asked) = (stage.clone(), Arc::new(Notify::new()));
    let has_asked = Arc::clone(&asked);
    let answer = move |request: hyper::Request<Incoming>| {
        asked.notify_one();
        let mut request = request.map(|body| Body::new(Received::new(body, &stage)));
        request.extensions_mut().insert(peer);
        let (answer, stage) = (routes.clone().call(request), stage.clone());
        async move { answer.await.map(|answer| answer.map(|body| Answered::new(body, &stage))) }
    };
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_DEADLINE)
        .max_buf_size(HEADER_BYTES)
        .serve_connection(TokioIo::new(stream), service_fn(answer));
    tokio::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stopped(&mut stop) => tokio::select! {
            ended = connection.as_mut() => ended,
            _ = timeout(FIRST_REQUEST, has_asked.notified()) => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        },
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection ended early");
    }
}

async fn stopped(stop: &mut watch::Receiver<bool>) {
    drop(stop.wait_for(|stop| *stop).await); // a sender that is gone means stop, too
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    /// A reload, while somebody has connected and not asked yet.
    #[tokio::test]
    async fn a_new_connection_is_answered_before_shutdown() {
        let (mut client, server) = tokio::io::duplex(1_024);
        let (stop, stopped) = watch::channel(false);
        let stage = Stage::default();
        let routes = Router::new().route("/", axum::routing::get(|| async { "here" }));
        let peer = Peer { address: IpAddr::from([127, 0, 0, 1]), encrypted: false };
        let served = tokio::spawn(async move { converse(server, peer, &stage, routes, stopped).await });
        stop.send_replace(true);
        tokio::time::sleep(Duration::from_millis(50)).await;
        client.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await.expect("open");
        let mut answer = String::new();
        client.read_to_string(&mut answer).await.expect("until the end");
        assert!(answer.ends_with("here"), "{answer}");
        served.await.expect("ended");
    }

    #[test]
    fn connections_leave_file_descriptors_for_other_work() {
        assert_eq!([32, 100, 1_024, usize::MAX].map(connections_max), [4, 38, 400, 400]);
        assert!(descriptors() > 0);
    }
}
