//! One request to Meta: its turn in the number's pace, and what Meta's answer means for the key.

use std::time::Duration;

use bellwire::contact::severity::Severity;
use bellwire::outbox::retry_policy::{ApiAnswer, Class};
use bellwire::time::{Clock, SystemClock, Timestamp};
use bellwire::whatsapp::client::{Client, Endpoint, Exchanged, judge, whole};
use bytes::Bytes;
use hyper::Method;

use super::send::{Ports, Posted};
use super::sent::Answer;
use crate::engine::Engine;
use crate::pace::{Limits, Paces, Refused};
use crate::sites::Quota;

/// What Meta is asked again after, when nothing says how long.
const PAUSE: Duration = Duration::from_secs(2);

/// One message, and whom it asks.
pub struct Request<'a, E> {
    pub client: &'a Client,
    pub paces: &'a Paces,
    pub limits: &'a Limits<E>,
    pub endpoint: &'a Endpoint,
    /// Whose turn it is.
    pub site: &'a str,
    /// How much it may send.
    pub quota: &'a Quota,
    /// Whom it writes to.
    pub to: &'a str,
    /// So that it may be the first to that person today.
    pub is_template: bool,
    pub body: Bytes,
}

impl<E: Engine> Ports for Request<'_, E> {
    async fn turn(&self, severity: Severity) -> Result<(), Refused> {
        let (number, Limits { quotas, pairs, reach }) = (&self.endpoint.phone_number_id, self.limits);
        pairs.look(number, self.to, severity, SystemClock.now())?;
        if self.is_template {
            reach.look(self.to, severity, SystemClock.now())?;
        }
        let now = (SystemClock.now().0, SystemClock.both().steady);
        quotas.take(self.site, self.quota, self.paces.hubs(), now).await?;
        let turn = async {
            self.paces.turn(number, self.site, severity).await?;
            pairs.take(number, self.to, severity, SystemClock.now()).await?;
            match self.is_template {
                true => reach.take(self.to, severity, SystemClock.now()).await,
                false => Ok(()),
            }
        };
        let turn = turn.await;
        if turn.is_err() {
            quotas.give_back(self.site, self.quota);
        }
        turn
    }

    async fn post(&self) -> Posted {
        let posted = self.ask_meta().await;
        if matches!(posted, Posted::NotSent { .. }) {
            let (number, limits) = (&self.endpoint.phone_number_id, self.limits);
            limits.quotas.give_back(self.site, self.quota);
            limits.pairs.give_back(number, self.to, SystemClock.now()).await;
        }
        posted
    }

    async fn pause(&self, how_long: Duration) {
        tokio::time::sleep(how_long).await;
    }

    fn now(&self) -> Timestamp {
        SystemClock.now()
    }
}

impl<E: Engine> Request<'_, E> {
    async fn ask_meta(&self) -> Posted {
        let (number, json) = (&self.endpoint.phone_number_id, Some("application/json"));
        let path = format!("{number}/messages");
        let answered =
            self.client.call(Method::POST, self.endpoint, &path, json, whole(self.body.clone())).await;
        if matches!(&answered, Ok((status, headers, body)) if is_too_fast(&judge(*status, headers, body))) {
            self.paces.too_fast(number);
        }
        posted(answered)
    }
}

fn is_too_fast(answer: &ApiAnswer) -> bool {
    matches!(answer, ApiAnswer::Refused(refusal) if refusal.class == Class::Throttle)
}

/// What Meta's answer, or that there is none, says of the message.
#[must_use]
pub fn posted(answered: Exchanged) -> Posted {
    let (status, headers, body) = match answered {
        Ok(answered) => answered,
        Err(ApiAnswer::Offline(why) | ApiAnswer::NotAsked(why)) => {
            return Posted::NotSent { why, retry_after: PAUSE };
        }
        Err(ApiAnswer::Ambiguous { detail, .. }) => return Posted::Unknown(detail),
        Err(ApiAnswer::Accepted(_) | ApiAnswer::Refused(_)) => {
            return Posted::Unknown("the connection to Meta failed in an unexpected way".to_owned());
        }
    };
    let answer = Answer {
        status: status.as_u16(),
        body: String::from_utf8_lossy(&body).into_owned(),
        is_unknown: false,
    };
    match judge(status, &headers, &body) {
        ApiAnswer::Accepted(accepted) => Posted::Answered(answer, Some(accepted.wamid.0)),
        ApiAnswer::Refused(refusal) if refusal.class == Class::Throttle => Posted::NotSent {
            why: format!("Meta says that it is too fast: {}", refusal.details),
            retry_after: refusal.retry_after.unwrap_or(PAUSE),
        },
        ApiAnswer::Refused(_) => Posted::Answered(answer, None),
        ApiAnswer::Offline(why) | ApiAnswer::NotAsked(why) => Posted::NotSent { why, retry_after: PAUSE },
        ApiAnswer::Ambiguous { detail, .. } => Posted::Unknown(detail),
    }
}
