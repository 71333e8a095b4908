//! What answers page and API: the handles that it needs, and the one way to the store.

use std::sync::Arc;

use serde::Serialize;
use serde_json::Value;
use tokio::sync::{Mutex, mpsc};

use crate::alert::intake::RuleSet;
use crate::http::{ApiError, ApiFuture};
use crate::store::{self, Store, StoreError};
use crate::task::context::TaskContext;
use crate::task::mqtt_intake::Submitted;
use crate::time::Timestamp;
use crate::whatsapp::client::Client;

#[derive(Clone)]
pub struct AdminService(Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) context: Arc<TaskContext>,
    pub(crate) rules: RuleSet,
    pub(crate) events: mpsc::Sender<Submitted>,
    pub(crate) client: Client,
    /// One save of the configuration at a time.
    pub(crate) saving: Mutex<()>,
    /// One replay of the last day at a time.
    pub(crate) replaying: Arc<Mutex<()>>,
}

impl AdminService {
    pub fn new(
        context: Arc<TaskContext>,
        rules: RuleSet,
        events: mpsc::Sender<Submitted>,
        client: Client,
    ) -> Self {
        Self(Arc::new(Inner {
            context,
            rules,
            events,
            client,
            saving: Mutex::new(()),
            replaying: Arc::default(),
        }))
    }

    pub(crate) fn answer<T, F: Future<Output = Result<T, ApiError>> + Send + 'static>(
        &self,
        work: impl FnOnce(Arc<Inner>) -> F,
    ) -> ApiFuture<T> {
        Box::pin(work(Arc::clone(&self.0)))
    }
}

/// An answer, as the pages' templates and the API take it: times are milliseconds until it goes out.
pub(crate) fn as_json<T: Serialize>(answer: T) -> Value {
    serde_json::to_value(answer).unwrap_or_default()
}

/// A question, boxed: what waits for its answer is compiled once and not for each.
type Read = Box<dyn FnOnce(&TaskContext, &Store) -> store::Result<Option<Value>> + Send>;

impl Inner {
    pub(crate) fn now(&self) -> Timestamp {
        self.context.machine.now()
    }

    pub(crate) async fn store<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Store) -> store::Result<T> + Send + 'static,
    ) -> Result<T, ApiError> {
        self.context.store.run(work).await.map_err(|gone| {
            tracing::error!(error = %gone, "a question of the page could not be answered");
            ApiError::Unavailable(match gone {
                StoreError::Refused(_) => "The database refused it; the log says why.".to_owned(),
                StoreError::DiskFull | StoreError::Busy | StoreError::Failed(_) => gone.to_string(),
            })
        })
    }

    async fn found(&self, what: String, read: Read) -> Result<Value, ApiError> {
        let context = Arc::clone(&self.context);
        self.store(move |store| read(&context, store))
            .await?
            .ok_or(ApiError::NotFound(format!("There is no {what}; it may be older than 90 days.")))
    }

    /// What is partly in the configuration and partly in the store; `what` is missing when there is none.
    pub(crate) fn both(
        &self,
        what: String,
        read: impl FnOnce(&TaskContext, &Store) -> store::Result<Option<Value>> + Send + 'static,
    ) -> impl Future<Output = Result<Value, ApiError>> + Send {
        self.found(what, Box::new(read))
    }

    /// The same where there always is something.
    pub(crate) fn shown<T: Serialize>(
        &self,
        read: impl FnOnce(&TaskContext, &Store) -> store::Result<T> + Send + 'static,
    ) -> impl Future<Output = Result<Value, ApiError>> + Send {
        self.both(String::new(), move |context, store| read(context, store).map(as_json).map(Some))
    }
}
