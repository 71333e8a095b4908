//! The sockets of the page, Meta's webhook and the metrics.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::TcpListener;

use crate::config::Http;

/// A port that cannot be opened.
#[derive(Debug, thiserror::Error)]
#[error("{key} = \"{address}\" cannot be opened ({error}); {}", next_step(.error.kind()))]
pub struct ListenError {
    key: &'static str,
    address: SocketAddr,
    error: std::io::Error,
}

impl ListenError {
    /// Whether only a person can mend it. Another program may end, and an address may come: after a power cut the router that
    /// gives it may start after us.
    #[must_use]
    pub fn is_mistake(&self) -> bool {
        self.error.kind() == ErrorKind::PermissionDenied
    }
}

/// The sockets, opened before anything else so that a port that is taken is told at once.
#[derive(Debug, Clone)]
pub struct Listeners {
    pub local: Arc<TcpListener>,
    pub webhook: Option<Arc<TcpListener>>,
    pub metrics: Option<Arc<TcpListener>>,
}

impl Listeners {
    pub async fn open(http: &Http) -> Result<Self, ListenError> {
        Self::open_beside(None, http).await
    }

    /// For another configuration: a socket whose address is the same stays open, and who comes meanwhile waits in its queue.
    pub async fn reopen(&self, before: &Http, http: &Http) -> Result<Self, ListenError> {
        Self::open_beside(Some((self, before)), http).await
    }

    async fn open_beside(before: Option<(&Self, &Http)>, http: &Http) -> Result<Self, ListenError> {
        let open: Vec<(SocketAddr, &Arc<TcpListener>)> = before
            .into_iter()
            .flat_map(|(kept, http)| {
                let optional = |address: Option<SocketAddr>, socket| address.zip(Option::as_ref(socket));
                let local = Some((http.listen, &kept.local));
                let webhook = optional(http.webhook_listen, &kept.webhook);
                [local, webhook, optional(http.metrics_listen, &kept.metrics)]
            })
            .flatten()
            .collect();
        let bind = async |address: SocketAddr, key: &'static str| {
            if let Some((_, kept)) = open.iter().find(|(known, _)| *known == address) {
                return Ok(Arc::clone(kept));
            }
            let socket =
                TcpListener::bind(address).await.map_err(|error| ListenError { key, address, error });
            socket.map(Arc::new)
        };
        let optional = async |address: Option<SocketAddr>, key: &'static str| match address {
            Some(address) => bind(address, key).await.map(Some),
            None => Ok(None),
        };
        Ok(Self {
            local: bind(http.listen, "listen").await?,
            webhook: optional(http.webhook_listen, "webhook_listen").await?,
            metrics: optional(http.metrics_listen, "metrics_listen").await?,
        })
    }
}

/// What to do about a port that cannot be opened.
fn next_step(why: ErrorKind) -> &'static str {
    let known = [
        (ErrorKind::AddrInUse, "another program is on this port: ss -ltnp shows which"),
        (ErrorKind::AddrNotAvailable, "this machine has no such address: ip address shows those that it has"),
        (
            ErrorKind::PermissionDenied,
            "take a port above 1023, or allow this one with CAP_NET_BIND_SERVICE (docs/installation.md)",
        ),
    ];
    known.into_iter().find(|(kind, _)| *kind == why).map_or("choose another address", |(_, next)| next)
}
