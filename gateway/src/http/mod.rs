//! The only server, and the one request to other programs. It knows no store and no Cloud API: what a request means is asked
//! through [`Webhook`], [`Health`], [`Desk`] and [`Keys`], which the composition root provides.

/// The API for programs.
mod api;
/// Who is behind a proxy.
mod behind;
/// The memory that large bodies share.
mod bodies;
/// What pages and API ask for.
mod desk;
/// The first visit, logging in and out.
mod entry;
/// What the routes share.
mod front;
/// Who may come in.
mod guard;
/// `/healthz`, `/readyz`, `/metrics`, `/version`.
mod health;
/// Line drawings of the pages.
mod icons;
/// The accept loop: permits, deadlines, drain.
mod listen;
/// Pages are told of changes.
mod live;
/// WhatsApp numbers: connect, check, disconnect.
mod numbers;
/// Tokens and sessions: made, listed, ended.
mod opened;
/// The pages for people.
mod pages;
/// Passwords and secrets that are shown once.
mod password;
/// The one request that goes out: an escalation's last resort.
mod post;
/// RFC 9457.
mod problem;
/// How often a password may be tried.
mod throttle;
/// Certificates from files.
mod tls;
/// Templates, languages, files.
mod view;
/// Who is connected, and who makes room.
mod visitors;
/// `/webhook/whatsapp`: Meta's door.
mod webhook;

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;

pub use desk::{
    AlertDeed, Answer, Deed, Desk, Filter, Keys, LIMIT_MAX, NewConnection, Question, Scope, Token, Trouble,
    Who,
};
pub use entry::SESSION;
pub use front::Front;
pub use health::{Health, health_routes, metrics_routes};
pub use listen::{Peer, converse, serve};
pub use password::{code, digest, fresh};
pub use post::Poster;
pub use tls::Certificate;
pub use view::View;
pub use visitors::Stage;
pub use webhook::{Handshake, Refused, Webhook, webhook_routes};

/// A form or an event: the payload of an event is read up to 64 KiB, and JSON may write each byte as six.
const BODY_MAX_BYTES: usize = 512 * 1024;

/// The pages and the API behind their guard.
pub fn front_routes(front: Arc<Front>) -> Router {
    pages::page_routes()
        .merge(entry::entry_routes())
        .merge(api::api_routes())
        .merge(numbers::number_routes())
        .merge(opened::opened_routes())
        .layer(DefaultBodyLimit::max(BODY_MAX_BYTES))
        .layer(axum::middleware::from_fn_with_state(Arc::clone(&front), guard::guard))
        .with_state(front)
}
