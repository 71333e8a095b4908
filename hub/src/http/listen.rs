//! The accept loop over hyper. A thousand sites each hold a request open, so that its bound is another than the gateway's.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use bellwire::http::Certificate;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};

/// A thousand sites with a poll and sixteen requests each would be 17,000; most of them have one. 4,096 at 22 KB each are 90 MB.
const CONNECTIONS_MAX: usize = 4_096;
/// A header that takes longer is an attack or a dead line. It counts from the answer before, too, and sites keep a connection for
/// 15 s: a hub that closed it before would break a request that is on its way.
const HEADER_DEADLINE: Duration = Duration::from_secs(20);
/// A request to Meta may take 30 s, and its answer must be kept and told.
const DRAIN: Duration = Duration::from_secs(35);
const ACCEPT_PAUSE: Duration = Duration::from_millis(500);
/// Slow lines take two seconds; who takes longer holds a place and says nothing.
const HANDSHAKE_DEADLINE: Duration = Duration::from_secs(10);

/// Serves until `stop` says so, then lets answers under way finish. With a certificate it speaks TLS alone.
pub async fn serve(
    listener: TcpListener,
    certificate: Option<Certificate>,
    routes: Router,
    mut stop: watch::Receiver<bool>,
) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut open = tokio::task::JoinSet::new();
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { break };
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stopped(&mut stop) => break,
        };
        while open.try_join_next().is_some() {}
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted; trying again in half a second");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        drop(stream.set_nodelay(true)); // an answer of 20 bytes must not wait for more
        let (service, stop) = (TowerToHyperService::new(routes.clone()), stop.clone());
        let tls = certificate.as_ref().map(Certificate::acceptor);
        let answered: Pin<Box<dyn Future<Output = ()> + Send>> = match tls {
            None => Box::pin(answer(stream, service, stop)),
            // Of its own: else a connection without it would take the room of one with it.
            Some(tls) => Box::pin(async move {
                match tokio::time::timeout(HANDSHAKE_DEADLINE, tls.accept(stream)).await {
                    Ok(Ok(stream)) => answer(stream, service, stop).await,
                    Ok(Err(error)) => tracing::debug!(%error, "somebody did not agree on TLS"),
                    Err(_) => tracing::debug!("somebody took too long to agree on TLS"),
                }
            }),
        };
        open.spawn(async move {
            answered.await;
            drop(place);
        });
    }
    let drained = tokio::time::timeout(DRAIN, async { while open.join_next().await.is_some() {} }).await;
    if drained.is_err() {
        tracing::warn!(connections = open.len(), "connections were closed at the stop before they had ended");
    }
}

async fn answer(
    stream: impl AsyncRead + AsyncWrite + Unpin + 'static,
    service: TowerToHyperService<Router>,
    mut stop: watch::Receiver<bool>,
) {
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_DEADLINE)
        .serve_connection(TokioIo::new(stream), service);
    tokio::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stopped(&mut stop) => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection ended early");
    }
}

async fn stopped(stop: &mut watch::Receiver<bool>) {
    drop(stop.wait_for(|stop| *stop).await); // a sender that is gone means stop, too
}
