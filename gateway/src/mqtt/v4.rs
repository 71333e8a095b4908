//! MQTT 3.1.1 on the wire: no properties, no reasons, no limit that the broker would be told.

#![expect(clippy::wildcard_enum_match_arm, reason = "the library's enums, which grow without us")]

use bytes::Bytes;
use rumqttc_v4::mqttbytes::QoS;
use rumqttc_v4::mqttbytes::v4::{LastWill, Packet, SubscribeFilter, SubscribeReasonCode};
use rumqttc_v4::{
    AckMode, AsyncClient, Event, EventLoop, ManualAck, MqttOptions, Outgoing, PublishOptions,
    TlsConfiguration, Transport,
};
use secrecy::ExposeSecret;

use super::advice::with_advice;
use super::limits::Limits;
use super::settings::Settings;
use super::subscriptions::{self, SubscribeRequest};
use crate::mqtt::limits::KEEP_ALIVE;
use crate::mqtt::protocol::{
    Announce, CONNECT_DEADLINE, EventStream, Heard, IN_FLIGHT_MAX, Incoming, Publish, PublishAck, Publisher,
    READ_BATCH, REQUESTS,
};

pub struct EventStream4(EventLoop);

#[derive(Debug, Clone)]
pub struct Publisher4(AsyncClient);

impl EventStream for EventStream4 {
    type Publisher = Publisher4;

    fn open(settings: &Settings) -> (Self, Publisher4) {
        let (client, mut events) = AsyncClient::builder(options(settings)).capacity(REQUESTS).build();
        // Its own 5 s would cut short what a slow line may take; the link's deadline rules.
        events.network_options.set_connection_timeout(CONNECT_DEADLINE.as_secs());
        events.network_options.set_tcp_nodelay(true); // as in v5.rs
        (Self(events), Publisher4(client))
    }

    async fn poll(&mut self) -> Result<Heard<ManualAck>, String> {
        let packet = match self.0.poll().await.map_err(|error| with_advice(error.to_string()))? {
            Event::Incoming(packet) => packet,
            Event::Outgoing(Outgoing::Subscribe(packet)) => return Ok(Heard::Asked(packet)),
            Event::Outgoing(_) => return Ok(Heard::Sent),
        };
        Ok(match packet {
            Packet::ConnAck(ack) => {
                Heard::Connected { session_present: ack.session_present, limits: Limits::default() }
            }
            Packet::SubAck(ack) => Heard::Answered(ack.pkid, ack.return_codes.iter().map(answer).collect()),
            Packet::Publish(publish) => {
                let ack = (publish.qos == QoS::AtLeastOnce)
                    .then(|| ManualAck::PubAck(rumqttc_v4::PubAck::new(publish.pkid)));
                Heard::Message(incoming(publish), ack)
            }
            _ => Heard::Alive,
        })
    }
}

impl Publisher for Publisher4 {
    type Ack = ManualAck;

    fn acknowledge(&self, ack: ManualAck) -> bool {
        self.0.try_manual_ack(ack).is_ok()
    }

    fn subscribe(&self, ask: &SubscribeRequest) -> bool {
        let filter = |filter: &String| SubscribeFilter::new(filter.clone(), QoS::AtLeastOnce);
        self.0.try_subscribe_many(ask.filters.iter().map(filter)).is_ok()
    }

    fn unsubscribe(&self, filters: &[String]) {
        drop(self.0.try_unsubscribe_many(filters.to_vec())); // without room for it the next connection does it
    }

    fn subscribe_to_own(&self, topic: &str) -> bool {
        self.0.try_subscribe(topic, QoS::AtLeastOnce).is_ok()
    }

    fn publish(&self, publish: Publish) -> Option<PublishAck> {
        let options = PublishOptions::new(QoS::AtLeastOnce).retain(publish.retain);
        let notice = self.0.try_publish_tracked(publish.topic, publish.payload, options).ok()?;
        Some(Box::pin(async move { notice.wait_async().await.ok().map(|_| Ok(())) }))
    }

    fn announce(&self, topic: &str, payload: Bytes, how: Announce) -> bool {
        let qos = if how == Announce::AtMostOnce { QoS::AtMostOnce } else { QoS::AtLeastOnce };
        let options = PublishOptions::new(qos).retain(how == Announce::Retained);
        self.0.try_publish(topic.to_owned(), payload, options).is_ok()
    }

    fn disconnect(&self) {
        drop(self.0.try_disconnect()); // without room for it the connection just ends
    }
}

fn options(settings: &Settings) -> MqttOptions {
    let mut options = access(settings);
    if !settings.is_guest {
        let will = LastWill::new(settings.status_topic.clone(), "offline", QoS::AtLeastOnce, true);
        options.set_last_will(will);
    }
    options
        .set_clean_session(settings.is_guest)
        .set_ack_mode(AckMode::Manual)
        .set_read_batch_size(READ_BATCH)
        .set_inflight(IN_FLIGHT_MAX)
        // The broker cannot be told a limit, and a packet over ours would end the connection again and again
        // (docs/reliability.md E3): whatever MQTT can carry is taken (256 MiB, 2.2.3), and the policy counts what is too large.
        .set_max_packet_size(268_435_455, 268_435_455);
    options
}

/// Where the broker is, and as whom we come.
fn access(settings: &Settings) -> MqttOptions {
    let mut options = MqttOptions::new(settings.client_id.clone(), (settings.host.clone(), settings.port));
    options.set_keep_alive(u16::try_from(KEEP_ALIVE.as_secs()).unwrap_or(30));
    match (&settings.username, &settings.password) {
        (Some(user), Some(password)) => {
            options.set_credentials(user.clone(), password.expose_secret().to_owned());
        }
        (Some(user), None) => {
            options.set_username(user.clone());
        }
        (None, _) => {}
    }
    if let Some(tls) = &settings.tls {
        options.set_transport(Transport::Tls(TlsConfiguration::Rustls(tls.clone())));
    }
    options
}

fn incoming(publish: rumqttc_v4::Publish) -> Incoming {
    Incoming {
        topic: String::from_utf8(publish.topic.to_vec()).map_err(|_| publish.topic),
        payload: publish.payload,
        qos1: publish.qos == QoS::AtLeastOnce,
        retain: publish.retain,
        redelivered: publish.dup,
        packet_id: publish.pkid,
        content_type: None,
        expires_in_s: None,
        id: None,
        subscriptions: Vec::new(),
        reply_to: None,
    }
}

fn answer(code: &SubscribeReasonCode) -> subscriptions::Granted {
    match code {
        SubscribeReasonCode::Success(qos) => Ok(*qos != QoS::AtMostOnce),
        refused => Err(format!("{refused:?}")),
    }
}
