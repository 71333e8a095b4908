//! The accept loop. Unlike the daemon's it can drop a connection without an answer, since that is what it is for.

use std::future::Future;
use std::io;
use std::sync::Arc;

use axum::Router;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::sync::Mutex;
use tower_service::Service;

use crate::state::{Dropped, Simulator};
use crate::webhooks::Postman;
use crate::world::{Options, World};
use crate::{api, control};

/// What the simulator enforces and is from its start; the rest is set through the control interface.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    pub enforce_window: bool,
    pub enforce_pair_limit: bool,
    /// The only business account that exists; without it any id names the same one.
    pub business_account_id: Option<String>,
}

/// Serves until `shutdown` is done, with nothing enforced that the control interface does not ask for.
pub async fn serve(
    options: Options,
    listener: TcpListener,
    shutdown: impl Future<Output = ()>,
) -> io::Result<()> {
    serve_with(options, Settings::default(), listener, shutdown).await
}

/// Serves until `shutdown` is done.
pub async fn serve_with(
    options: Options,
    settings: Settings,
    listener: TcpListener,
    shutdown: impl Future<Output = ()>,
) -> io::Result<()> {
    let mut world = World::default();
    world.account.token.accepted = options.access_token.clone();
    world.account.id = settings.business_account_id;
    world.limits.window.enforce = settings.enforce_window;
    world.limits.rules.pair = settings.enforce_pair_limit;
    let postman = Postman::new(options.app_secret.clone());
    let simulator = Simulator { options: Arc::new(options), world: Arc::new(Mutex::new(world)), postman };
    let routes = Router::new().merge(control::routes()).merge(api::routes()).with_state(simulator);
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
    let service = service_fn(move |mut request| {
        let mut routes = routes.clone();
        api::bring_into_form(&mut request);
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
