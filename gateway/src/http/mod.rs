//! The only server. It knows no store and no Cloud API: what a request means is asked through [`Webhook`] and
//! [`Health`], which the composition root provides.

/// `/healthz`, `/readyz`, `/metrics`, `/version`.
mod health;
/// The accept loop: permits, deadlines, drain.
mod listen;
/// `/webhook/whatsapp`: Meta's door.
mod webhook;

pub use health::{Health, health_routes};
pub use listen::serve;
pub use webhook::{Handshake, Webhook, webhook_routes};
