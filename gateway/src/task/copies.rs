//! The right of this copy of the gateway to send: `bellwire backup --move` and a newer copy at the broker end it for
//! good.

use tokio::sync::watch;

use crate::store::{self, Stopped, Store};
use crate::task::context::TaskContext;
use crate::time::Timestamp;

/// The reason why this copy ends, once it does.
#[derive(Debug)]
pub struct CopyState(watch::Sender<Option<Stopped>>);

impl Default for CopyState {
    fn default() -> Self {
        Self(watch::channel(None).0)
    }
}

impl CopyState {
    /// Waits until nothing may be sent from here any more: why.
    pub async fn ends(&self) -> Stopped {
        let mut stopped = self.0.subscribe();
        let why = stopped.wait_for(Option::is_some).await.ok().and_then(|why| *why);
        match why {
            Some(why) => why,
            None => std::future::pending().await, // its sender lives as long as this
        }
    }
}

/// Another process has written: perhaps that this copy is stopped.
pub async fn look(context: &TaskContext) {
    if let Some(Some(why)) = context.store.durably(Store::copy_stopped).await {
        context.copy.0.send_replace(Some(why));
    }
}

/// Another copy, restored then, is at the broker. Known at the next start, too, before anything is sent.
pub async fn is_newer(context: &TaskContext, restored_at: Timestamp) {
    let why = Stopped::Newer(restored_at);
    let stop = move |store: &Store| -> store::Result<()> { store.stop_copy(why) };
    if context.store.durably(stop).await.is_some() {
        context.copy.0.send_replace(Some(why));
    }
}
