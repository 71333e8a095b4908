//! Meta lets so many messages a second leave over a number, whoever sends them. Hubs share that by what waits at each of them,
//! told four times a second; nobody leads, and no row is written for it. Some of it is for critical messages alone.

/// Who may leave now, at this hub. Pure.
mod scheduler;
/// How much a site may send.
mod quota;
/// How much one person gets.
mod pair;
/// How many people are written to first.
mod reach;
/// The loop that asks it.
mod task;

pub use pair::Pairs;
pub use quota::Quotas;
pub use reach::Reach;
pub use scheduler::{Beat, Full, Pace};
pub use task::{Paces, Refused, Scope};

use crate::engine::Engine;

/// What is counted over all hubs, beside the pace.
#[derive(Clone)]
pub struct Limits<E> {
    pub quotas: Quotas<E>,
    pub pairs: Pairs<E>,
    pub reach: Reach<E>,
}

impl<E: Engine> Limits<E> {
    pub fn new(engine: &E, reach: Reach<E>) -> Self {
        Self { quotas: Quotas::new(engine.clone()), pairs: Pairs::new(engine.clone()), reach }
    }
}
