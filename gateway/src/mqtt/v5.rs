//! MQTT 5 on the wire.

#![expect(clippy::wildcard_enum_match_arm, reason = "the library's enums, which grow without us")]

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use rumqttc::mqttbytes::QoS;
use rumqttc::mqttbytes::v5::{
    ConnAck, ConnectReturnCode, DisconnectReasonCode, LastWill, Packet, PublishProperties, RetainForwardRule,
    SubscribeFilter, SubscribeProperties, SubscribeReasonCode,
};
use rumqttc::{
    AckMode, AsyncClient, ConnectionError, Event, EventLoop, IncomingPacketSizeLimit, ManualAck, MqttOptions,
    Outgoing, PersistedAckMode, PersistedSession, PublishNoticeError, PublishOptions, SessionStore,
    SessionStoreError, SessionStoreKey, StateError, TlsConfiguration, Transport,
};
use secrecy::ExposeSecret;

use super::advice::with_advice;
use super::limits::Limits;
use super::settings::Settings;
use super::subscriptions::{self, SubscribeRequest};
use crate::command::question::ReplyTo;
use crate::event::cloudevents::Name;
use crate::mqtt::limits::{KEEP_ALIVE, SESSION_EXPIRY};
use crate::mqtt::protocol::{
    Announce, CONNECT_DEADLINE, Cause, EventStream, Heard, IN_FLIGHT_MAX, Incoming, Publish, PublishAck,
    Publisher, READ_BATCH, RECEIVE_MAX, REQUESTS, Unsupported,
};

pub struct EventStream5(EventLoop, Announced);

#[derive(Debug, Clone)]
pub struct Publisher5(AsyncClient, Announced);

/// Set with the CONNACK, before anything is published.
type Announced = Arc<OnceLock<Limits>>;

impl EventStream for EventStream5 {
    type Publisher = Publisher5;

    fn open(settings: &Settings) -> (Self, Publisher5) {
        let (client, events) = AsyncClient::builder(options(settings)).capacity(REQUESTS).build();
        let announced = Announced::default();
        (Self(events, Arc::clone(&announced)), Publisher5(client, announced))
    }

    async fn poll(&mut self) -> Result<Heard<ManualAck>, String> {
        let packet = match self.0.poll().await {
            Ok(Event::Incoming(packet)) => packet,
            Ok(Event::Outgoing(Outgoing::Subscribe(packet))) => return Ok(Heard::Asked(packet)),
            Ok(Event::Outgoing(_) | Event::Auth(_)) => return Ok(Heard::Sent),
            Err(ConnectionError::ConnectionRefused(ConnectReturnCode::RetainNotSupported)) => {
                return Ok(Heard::Unfit(Unsupported::Retained));
            }
            Err(ConnectionError::ConnectionRefused(ConnectReturnCode::QoSNotSupported)) => {
                return Ok(Heard::Unfit(Unsupported::QoS1));
            }
            // The library makes an error of the broker's DISCONNECT, before it shows the packet.
            Err(ConnectionError::MqttState(StateError::ServerDisconnect { reason_code, .. })) => {
                return Ok(farewell(reason_code));
            }
            Err(error) => return Err(with_advice(error.to_string())),
        };
        Ok(match packet {
            Packet::ConnAck(ack) => {
                let limits = self.1.get_or_init(|| limits(&ack)).clone();
                Heard::Connected { session_present: ack.session_present, limits }
            }
            Packet::SubAck(ack) => Heard::Answered(ack.pkid, ack.return_codes.iter().map(answer).collect()),
            Packet::Publish(publish) => {
                let ack = (publish.qos == QoS::AtLeastOnce)
                    .then(|| ManualAck::PubAck(rumqttc::PubAck::new(publish.pkid, None)));
                Heard::Message(incoming(publish), ack)
            }
            Packet::Disconnect(why) => farewell(why.reason_code),
            _ => Heard::Alive,
        })
    }
}

impl Publisher for Publisher5 {
    type Ack = ManualAck;

    fn acknowledge(&self, ack: ManualAck) -> bool {
        self.0.try_manual_ack(ack).is_ok()
    }

    fn subscribe(&self, ask: &SubscribeRequest) -> bool {
        let filter = |filter: &String| SubscribeFilter {
            // Retained messages come with a new subscription, not with each connection (docs/reliability.md F25).
            retain_forward_rule: RetainForwardRule::OnNewSubscribe,
            // What we publish ourselves never comes back as an event (MQTT 5, 3.8.3.1; docs/reliability.md F30).
            nolocal: true,
            // Kept as published, so that a state can be told from an event.
            preserve_retain: false,
            ..SubscribeFilter::new(filter.clone(), QoS::AtLeastOnce)
        };
        let filters = ask.filters.iter().map(filter);
        let properties = SubscribeProperties {
            id: ask.identifier.and_then(|identifier| usize::try_from(identifier).ok()),
            user_properties: Vec::new(),
        };
        self.0.try_subscribe_many_with_properties(filters, properties).is_ok()
    }

    fn unsubscribe(&self, filters: &[String]) {
        drop(self.0.try_unsubscribe_many(filters.to_vec())); // without room for it the next connection does it
    }

    fn subscribe_to_own(&self, topic: &str) -> bool {
        self.0.try_subscribe(topic, QoS::AtLeastOnce).is_ok()
    }

    fn publish(&self, publish: Publish) -> Option<PublishAck> {
        let properties = PublishProperties {
            message_expiry_interval: publish.expires_in_s,
            content_type: publish.content_type,
            correlation_data: publish.correlation.map(Bytes::from),
            response_topic: publish.response_topic,
            user_properties: publish.user_properties,
            ..PublishProperties::default()
        };
        let whole = rumqttc::Publish::new(
            publish.topic.as_str(),
            QoS::AtLeastOnce,
            publish.payload.clone(),
            Some(properties.clone()),
        );
        // Two bytes more for the packet identifier. A packet beyond the limit would end the connection (3.1.2.11.4).
        if let Some(limit) = self.announced().packet_bytes.filter(|limit| whole.size() + 2 > *limit as usize)
        {
            let refusal = format!("the broker takes packets of at most {limit} bytes, and this one has more");
            return Some(Box::pin(std::future::ready(Some(Err(refusal)))));
        }
        let options = PublishOptions::new(self.qos()).retain(publish.retain).properties(properties);
        let notice = self.0.try_publish_tracked(publish.topic, publish.payload, options).ok()?;
        Some(Box::pin(async move {
            match notice.wait_completion_async().await {
                Ok(()) => Some(Ok(())),
                // PUBACK with a reason of 0x80 or more is a refusal (MQTT 5, 3.4.2.1); the library only logs it.
                Err(PublishNoticeError::V5PubAck(reason)) => {
                    Some(Err(format!("the broker refused it: {reason:?}")))
                }
                Err(PublishNoticeError::RetainNotSupported) => {
                    Some(Err("the broker keeps no retained messages".into()))
                }
                Err(_) => None,
            }
        }))
    }

    fn announce(&self, topic: &str, payload: Bytes, how: Announce) -> bool {
        let qos = if how == Announce::AtMostOnce { QoS::AtMostOnce } else { self.qos() };
        let retains = how == Announce::Retained && self.announced().retains;
        let options = PublishOptions::new(qos).retain(retains);
        self.0.try_publish(topic.to_owned(), payload, options).is_ok()
    }

    fn disconnect(&self) {
        drop(self.0.try_disconnect()); // without room for it the connection just ends
    }
}

impl Publisher5 {
    fn announced(&self) -> Limits {
        self.1.get().cloned().unwrap_or_default()
    }

    /// No more than the broker takes (MQTT 5, 3.2.2.3.4).
    fn qos(&self) -> QoS {
        if self.announced().qos1 { QoS::AtLeastOnce } else { QoS::AtMostOnce }
    }
}

fn options(settings: &Settings) -> MqttOptions {
    let mut options = access(settings);
    if settings.is_guest {
        options.set_clean_start(true);
    } else {
        let qos = if settings.will_qos1 { QoS::AtLeastOnce } else { QoS::AtMostOnce };
        let will = LastWill::new(settings.status_topic.clone(), "offline", qos, settings.will_retained, None);
        options
            .set_clean_start(false)
            .set_session_expiry_interval(session_expiry())
            .set_session_store(RowsAreTheStore)
            .set_last_will(will);
    }
    // Acknowledgements and commands are small, and a device waits for them: held back until the broker's system acknowledges
    // what went before (Nagle, RFC 896; delayed by 40 ms), eight events took 90 ms.
    let mut network = options.network_options();
    network.set_tcp_nodelay(true);
    options
        .set_network_options(network)
        .set_ack_mode(AckMode::Manual)
        .set_read_batch_size(READ_BATCH)
        .set_receive_maximum(Some(RECEIVE_MAX))
        .set_outgoing_inflight_upper_limit(IN_FLIGHT_MAX)
        .set_max_packet_size(Some(settings.max_packet_bytes))
        .set_incoming_packet_size_limit(IncomingPacketSizeLimit::Bytes(settings.max_packet_bytes));
    options
}

/// Where the broker is, and as whom we come.
fn access(settings: &Settings) -> MqttOptions {
    let mut options = MqttOptions::new(settings.client_id.clone(), (settings.host.clone(), settings.port));
    options
        .set_keep_alive(u16::try_from(KEEP_ALIVE.as_secs()).unwrap_or(30))
        // Its own 5 s would cut short what a slow line may take; the link's deadline rules.
        .set_connect_timeout(CONNECT_DEADLINE);
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

/// The library resumes a session that the broker kept only with a memory of its own to match (docs/reliability.md E7). Its policy
/// `AllowBrokerOnly` is no way out: with it, no request that needs a packet id is sent, and none is refused either. Ours
/// is a memory with nothing under way: commands that await their PUBACK are rows, and are published again after each
/// connection; events come again from the broker.
#[derive(Debug)]
struct RowsAreTheStore;

type Stored<'a, T> = Pin<Box<dyn Future<Output = Result<T, SessionStoreError>> + Send + 'a>>;

impl SessionStore for RowsAreTheStore {
    fn load<'a>(&'a self, key: &'a SessionStoreKey) -> Stored<'a, Option<PersistedSession>> {
        let session = PersistedSession {
            format_version: 1,
            client_id: key.client_id().to_owned(),
            clean_start: false,
            session_expiry_interval: session_expiry(),
            outgoing_inflight_upper_limit: Some(IN_FLIGHT_MAX),
            ack_mode: PersistedAckMode::Manual,
            last_pkid: 0,
            last_puback: 0,
            replay: Vec::new(),
            incoming_qos2: Vec::new(),
        };
        Box::pin(std::future::ready(Ok(Some(session))))
    }

    fn save<'a>(&'a self, _: &'a SessionStoreKey, _: &'a PersistedSession) -> Stored<'a, ()> {
        Box::pin(std::future::ready(Ok(())))
    }

    fn clear<'a>(&'a self, _: &'a SessionStoreKey) -> Stored<'a, ()> {
        Box::pin(std::future::ready(Ok(())))
    }
}

fn session_expiry() -> Option<u32> {
    u32::try_from(SESSION_EXPIRY.as_secs()).ok()
}

fn incoming(publish: rumqttc::Publish) -> Incoming {
    let properties = publish.properties.unwrap_or_default();
    Incoming {
        topic: String::from_utf8(publish.topic.to_vec()).map_err(|_| publish.topic),
        payload: publish.payload,
        qos1: publish.qos == QoS::AtLeastOnce,
        retain: publish.retain,
        redelivered: publish.dup,
        packet_id: publish.pkid,
        content_type: properties.content_type,
        expires_in_s: properties.message_expiry_interval,
        reply_to: properties.response_topic.map(|topic| {
            let correlation = properties.correlation_data.map(|data| data.to_vec());
            Box::new(ReplyTo { topic, correlation })
        }),
        subscriptions: properties
            .subscription_identifiers
            .iter()
            .filter_map(|identifier| u32::try_from(*identifier).ok())
            .collect(),
        id: Name::of_properties(&properties.user_properties),
    }
}

/// 0x8E: another client has connected with our client id (MQTT 5, 3.14.2.1).
fn farewell<A>(why: DisconnectReasonCode) -> Heard<A> {
    let cause = match why {
        DisconnectReasonCode::SessionTakenOver => Cause::TakenOver,
        _ => Cause::Broker,
    };
    Heard::Ended(cause, format!("the broker ended the connection: {why:?}"))
}

fn answer(code: &SubscribeReasonCode) -> subscriptions::Granted {
    match code {
        SubscribeReasonCode::Success(qos) => Ok(*qos != QoS::AtMostOnce),
        refused => Err(format!("{refused:?}")),
    }
}

fn limits(ack: &ConnAck) -> Limits {
    let Some(announced) = &ack.properties else { return Limits { identifiers: true, ..Limits::default() } };
    let is_there = |flag: Option<u8>| flag != Some(0); // absent means yes
    let seconds = |time: u32| Duration::from_secs(u64::from(time));
    Limits {
        retains: is_there(announced.retain_available),
        qos1: is_there(announced.max_qos),
        packet_bytes: announced.max_packet_size,
        wildcards: is_there(announced.wildcard_subscription_available),
        identifiers: is_there(announced.subscription_identifiers_available),
        session: announced.session_expiry_interval.map(seconds),
        keep_alive: announced.server_keep_alive.map_or(KEEP_ALIVE, |time| seconds(time.into())),
    }
}
