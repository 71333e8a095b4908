//! The ports of the loops: the broker and Meta. A simulation has others.

use std::future::Future;
use std::sync::Arc;

use bytes::Bytes;

use crate::mqtt::{AckToken, BrokerHandle, Publish};
use crate::outbox::retry_policy::ApiAnswer;
use crate::outbox::row::DueMessage;
use crate::outbox::uploads::Uploaded;
use crate::task::context::TaskContext;
use crate::task::media_upload;
use crate::whatsapp::client::{Client, Endpoint};
use crate::whatsapp::hub;
use crate::whatsapp::prepare::PreparedRequest;

/// The outgoing side of the broker's connection. Never waits.
pub trait BrokerPort: Send + Sync + 'static {
    /// Acknowledges one event, over the connection that it came by.
    type Ack: Send + 'static;
    fn ack(&self, token: Self::Ack);
    fn is_connected(&self) -> bool;
    /// `false`: no connection, or no room; offer it again after the next notice.
    fn publish(&self, publish: Publish) -> bool;
    /// `false`: no connection, or no room.
    fn say_at_most_once(&self, topic: &str, payload: Bytes) -> bool;
}

/// The calls of the sender to Meta.
pub trait CloudApi: Clone + Send + Sync + 'static {
    fn post(&self, endpoint: Endpoint, request: PreparedRequest) -> impl Future<Output = ApiAnswer> + Send;
    /// The files of a message, as ids of Meta's.
    fn upload(
        &self,
        context: Arc<TaskContext>,
        endpoint: Endpoint,
        due: DueMessage,
    ) -> impl Future<Output = Uploaded> + Send;
}

impl BrokerPort for BrokerHandle {
    type Ack = AckToken;

    fn ack(&self, token: AckToken) {
        Self::ack(self, token);
    }

    fn is_connected(&self) -> bool {
        Self::is_connected(self)
    }

    fn publish(&self, publish: Publish) -> bool {
        Self::publish(self, publish)
    }

    fn say_at_most_once(&self, topic: &str, payload: Bytes) -> bool {
        Self::say_at_most_once(self, topic, payload)
    }
}

impl CloudApi for Client {
    async fn post(&self, endpoint: Endpoint, request: PreparedRequest) -> ApiAnswer {
        match endpoint.via_hub {
            true => hub::send(self, &endpoint, request).await,
            false => self.send(&endpoint, request.body).await,
        }
    }

    async fn upload(&self, context: Arc<TaskContext>, endpoint: Endpoint, due: DueMessage) -> Uploaded {
        media_upload::upload_all(&context, self, &endpoint, &due.lane.connection, due.content).await
    }
}
