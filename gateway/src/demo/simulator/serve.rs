//! The accept loop. Unlike the daemon's it can drop a connection without an answer, since that is what it is for.

use std::future::Future;
use std::io;
use std::sync::Arc;

use anyhow::Result;
use axum::Router;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::sync::Mutex;
use tower_service::Service;

use super::webhooks::Postman;
use super::world::{Options, World};
use super::{account, api, control};
use crate::time::{Clock, SystemClock, Timestamp};

/// What all requests share.
#[derive(Clone)]
pub struct Simulator {
    pub options: Arc<Options>,
    pub world: Arc<Mutex<World>>,
    pub postman: Postman,
}

/// Marks a response that must not be sent: the connection is dropped instead.
#[derive(Debug, Clone, Copy)]
pub struct Dropped;

impl Simulator {
    /// Its own time: the machine's, moved by `/_simulator/clock`.
    pub fn now(world: &World) -> Timestamp {
        Timestamp(SystemClock.now().0 + world.ahead_ms)
    }
}

/// Serves until `shutdown` is done.
pub async fn serve(
    options: Options,
    listener: TcpListener,
    shutdown: impl Future<Output = ()>,
) -> Result<()> {
    let postman = Postman::new(options.webhook.clone(), options.app_secret.clone());
    let simulator = Simulator { options: Arc::new(options), world: Arc::default(), postman };
    let routes = Router::new()
        .merge(control::routes())
        .merge(api::routes())
        .merge(account::routes())
        .with_state(simulator);
    tokio::pin!(shutdown);
    loop {
        let stream = tokio::select! {
            accepted = listener.accept() => accepted?.0,
            () = &mut shutdown => return Ok(()),
        };
        drop(stream.set_nodelay(true));
        tokio::spawn(converse(stream, routes.clone()));
    }
}

async fn converse(stream: tokio::net::TcpStream, routes: Router) {
    let service = service_fn(move |request| {
        let mut routes = routes.clone();
        async move {
            let response = match routes.call(request).await {
                Ok(response) => response,
                Err(never) => match never {},
            };
            let dropped = response.extensions().get::<Dropped>().is_some();
            if dropped { Err(io::Error::other("dropped, as the simulator was told")) } else { Ok(response) }
        }
    });
    let served =
        hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
    if let Err(error) = served {
        tracing::debug!(%error, "a connection to the simulator ended");
    }
}
