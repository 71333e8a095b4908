//! The only server, and the one request to other programs. It knows no store and no Cloud API: what a request means is asked through [`Webhook`] and
//! [`Health`], which the composition root provides.

/// `/healthz`, `/readyz`, `/metrics`, `/version`.
mod health;
/// The accept loop: permits, deadlines, drain.
mod listen;
/// The one request that goes out: an escalation's last resort.
mod post;
/// `/webhook/whatsapp`: Meta's door.
mod webhook;

pub use health::{Health, health_routes};
pub use listen::serve;
pub use post::Poster;
pub use webhook::{Handshake, Webhook, webhook_routes};
