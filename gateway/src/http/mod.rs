//! The only server, and the one request to other programs. It knows no store and no Cloud API: what a request means is asked
//! through [`Webhook`], [`Health`], [`AdminApi`] and [`Credentials`], which the composition root provides.

/// The API for programs.
mod api;
/// Who is behind a proxy.
mod behind;
/// The memory that large bodies share.
mod bodies;
/// What pages and API ask for.
mod admin_port;
/// The first visit, logging in and out.
mod login;
/// What the routes share.
mod state;
/// What numbers were, drawn.
mod curve_drawing;
/// Cookies of a request.
mod cookies;
/// Who may come in.
mod auth;
/// What programs may ask for.
mod endpoints;
/// `/healthz`, `/readyz`, `/metrics`, `/version`.
mod health;
/// Line drawings of the pages.
mod icons;
/// The accept loop: permits, deadlines, drain.
mod listen;
/// The sockets: page, webhook, metrics.
mod listeners;
/// Pages are told of changes.
mod live;
/// The configuration: shown, changed, saved.
mod configuration;
/// WhatsApp numbers: connect, check, disconnect.
mod connections;
/// Tokens and sessions: made, listed, ended.
mod opened;
/// The pages for people.
mod pages;
/// Passwords and secrets that are shown once.
mod password;
/// The one request that goes out: an escalation's last resort.
mod post_client;
/// The page under a path of a proxy's.
mod prefix;
/// RFC 9457.
mod problem;
/// How often a password may be tried.
mod rate_limit;
/// Certificates from files.
mod tls;
/// Templates, languages, files.
mod templates;
/// Who is connected, and who makes room.
mod visitors;
/// `/webhook/whatsapp`, where Meta posts.
mod webhook;

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;

pub use admin_port::{
    Actor, AdminAction, AdminApi, AdminQuery, AlertAction, ApiError, ApiFuture, ApiToken, ConfigurationQuery,
    Credentials, Draft, Filter, LIMIT_MAX, MessageAction, NewConnection, Scope, Trial,
};
#[cfg(test)]
pub use api::{Event, Named, Words};
#[cfg(test)]
pub use configuration::api::Text;
pub use endpoints::Endpoint;
pub use health::{Health, health_routes, metrics_routes};
pub use listen::{Peer, converse, serve};
pub use listeners::{ListenError, Listeners};
pub use login::SESSION;
pub use password::{code, digest, fresh};
pub use post_client::Poster;
pub use state::AppState;
pub use templates::View;
pub use tls::Certificate;
pub use visitors::Stage;
pub use webhook::{Handshake, Webhook, WebhookRejection, webhook_routes};

/// A form or an event: the payload of an event is read up to 64 KiB, and JSON may write each byte as six.
const BODY_MAX_BYTES: usize = 512 * 1024;

/// The pages and the API behind their guard.
pub fn front_routes(state: Arc<AppState>) -> Router {
    pages::page_routes()
        .merge(login::entry_routes())
        .merge(api::api_routes())
        .merge(connections::number_routes())
        .merge(opened::opened_routes())
        .merge(configuration::configuration_routes())
        .layer(DefaultBodyLimit::max(BODY_MAX_BYTES))
        .layer(axum::middleware::from_fn_with_state(Arc::clone(&state), auth::guard))
        .with_state(state)
}
