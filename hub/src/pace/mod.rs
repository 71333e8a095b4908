//! Meta lets so many messages a second leave over a number, whoever sends them. Hubs share that by what waits at each of them,
//! told four times a second; nobody leads, and no row is written for it. Some of it is for critical messages alone.

/// Who may leave now, at this hub. Pure.
mod scheduler;
/// How much a site may send.
mod quota;
/// The loop that asks it.
mod task;

pub use quota::Quotas;
pub use scheduler::{Beat, Full, Pace};
pub use task::{Paces, Refused};
