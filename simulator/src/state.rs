//! What all requests share.

use std::sync::Arc;

use tokio::sync::Mutex;

use crate::time::Timestamp;
use crate::webhooks::Postman;
use crate::world::{Options, World};

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
        Timestamp(Timestamp::now().0.saturating_add(world.ahead_ms))
    }

    /// Where the webhooks of a number go: the number's own address, the account's, or the app's. Nowhere without a
    /// subscription (docs/cloud-api.md 3.1, 3.3).
    pub fn callback(&self, world: &World, number: &str) -> Option<String> {
        let account = &world.account;
        if !account.subscribed {
            return None;
        }
        let of_number = account.number(number).and_then(|number| number.callback.clone());
        of_number.or_else(|| account.callback.clone()).or_else(|| self.options.webhook.clone())
    }
}
