//! The demo's own broker, so that nothing needs to be installed: MQTT 3.1.1 with sessions, retained messages and wills, in memory.
//! For the demo alone: nothing but a packet's size is limited, and what is sent at QoS 2 is taken as at QoS 1.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::BytesMut;
use rumqttc_v4::mqttbytes::v4::{
    ConnAck, Connect, ConnectReturnCode, LastWill, Packet, PubAck, PubComp, PubRec, Publish, SubAck,
    SubscribeReasonCode, UnsubAck,
};
use rumqttc_v4::mqttbytes::{Error, QoS, matches};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// Sixteen times what the gateway reads of an event.
const PACKET_MAX: usize = 1024 * 1024;

/// Serves until the task is dropped.
pub async fn serve(listener: TcpListener) {
    let broker = Arc::new(Mutex::new(Broker::default()));
    loop {
        match listener.accept().await {
            Ok((stream, _)) => drop(tokio::spawn(converse(stream, Arc::clone(&broker)))),
            Err(error) => tracing::debug!(%error, "the demo's broker could not take a connection"),
        }
    }
}

async fn converse(mut stream: TcpStream, broker: Arc<Mutex<Broker>>) {
    let mut heard = BytesMut::new();
    let Some(Packet::Connect(connect)) = hear(&mut stream, &mut heard).await else { return };
    let (number, mut to_say) = lock(&broker).connect(&connect);
    let client = connect.client_id;
    let mut is_over = false;
    while !is_over {
        tokio::select! {
            packet = hear(&mut stream, &mut heard) => match packet {
                Some(Packet::Disconnect) => {
                    lock(&broker).forget_will(&client);
                    is_over = true;
                }
                Some(packet) => lock(&broker).take(&client, packet),
                None => is_over = true,
            },
            packet = to_say.recv() => match packet {
                Some(packet) => is_over = say(&mut stream, &packet).await.is_none(),
                None => return, // another connection has its session now
            },
        }
    }
    lock(&broker).leave(&client, number);
}

/// Nothing is lost when it is not waited for any more. `None`: the connection has ended, or has to.
async fn hear(stream: &mut TcpStream, heard: &mut BytesMut) -> Option<Packet> {
    loop {
        match Packet::read(heard, PACKET_MAX) {
            Ok(packet) => return Some(packet),
            Err(Error::InsufficientBytes(_)) => {}
            Err(error) => {
                tracing::debug!(%error, "the demo's broker cannot read a client");
                return None;
            }
        }
        if stream.read_buf(heard).await.ok()? == 0 {
            return None;
        }
    }
}

async fn say(stream: &mut TcpStream, packet: &Packet) -> Option<()> {
    let mut bytes = BytesMut::new();
    packet.write(&mut bytes, 2 * PACKET_MAX).ok()?;
    stream.write_all(&bytes).await.ok()
}

fn lock(broker: &Mutex<Broker>) -> MutexGuard<'_, Broker> {
    broker.lock().unwrap_or_else(PoisonError::into_inner) // a panic ends the process, so that nothing is ever poisoned
}

#[derive(Default)]
struct Broker {
    /// By the client's identifier.
    sessions: BTreeMap<String, Session>,
    retained: BTreeMap<String, Publish>,
    /// How many connections there have been.
    connections: u64,
}

#[derive(Default)]
struct Session {
    /// The connection that has it now, if one has.
    connection: Option<(u64, UnboundedSender<Packet>)>,
    is_kept: bool,
    will: Option<LastWill>,
    filters: BTreeMap<String, QoS>,
    /// At QoS 1, in order; it is said again to the client's next connection.
    unacknowledged: VecDeque<Publish>,
    last_id: u16,
}

impl Broker {
    /// The number of the connection, and what it has to say to its client.
    fn connect(&mut self, connect: &Connect) -> (u64, UnboundedReceiver<Packet>) {
        if connect.clean_session {
            self.sessions.remove(&connect.client_id);
        }
        let is_known = self.sessions.contains_key(&connect.client_id);
        let session = self.sessions.entry(connect.client_id.clone()).or_default();
        let (to, to_say) = unbounded_channel();
        self.connections += 1;
        session.connection = Some((self.connections, to));
        session.is_kept = !connect.clean_session;
        session.will.clone_from(&connect.last_will);
        session.say(Packet::ConnAck(ConnAck::new(ConnectReturnCode::Success, is_known)));
        for publish in session.unacknowledged.clone() {
            session.say(Packet::Publish(Publish { dup: true, ..publish }));
        }
        (self.connections, to_say)
    }

    fn take(&mut self, client: &str, packet: Packet) {
        if let Packet::Publish(publish) = packet {
            let (id, qos) = (publish.pkid, publish.qos);
            self.publish(publish);
            match qos {
                QoS::AtMostOnce => {}
                QoS::AtLeastOnce => self.answer(client, Packet::PubAck(PubAck::new(id))),
                QoS::ExactlyOnce => self.answer(client, Packet::PubRec(PubRec::new(id))),
            }
            return;
        }
        let Some(session) = self.sessions.get_mut(client) else { return };
        match packet {
            Packet::PubAck(of) => session.unacknowledged.retain(|publish| publish.pkid != of.pkid),
            Packet::PubRel(of) => session.say(Packet::PubComp(PubComp::new(of.pkid))),
            Packet::Subscribe(of) => {
                let mut codes = Vec::new();
                for filter in &of.filters {
                    let granted =
                        if filter.qos == QoS::AtMostOnce { QoS::AtMostOnce } else { QoS::AtLeastOnce };
                    codes.push(SubscribeReasonCode::Success(granted));
                    session.filters.insert(filter.path.clone(), granted);
                }
                session.say(Packet::SubAck(SubAck::new(of.pkid, codes)));
                for (topic, publish) in &self.retained {
                    let newly = of.filters.iter().find(|filter| matches(topic, &filter.path));
                    let granted = newly.and_then(|filter| session.filters.get(&filter.path)).copied();
                    if let Some(granted) = granted {
                        session.tell(publish, granted);
                    }
                }
            }
            Packet::Unsubscribe(of) => {
                session.filters.retain(|filter, _| !of.topics.contains(filter));
                session.say(Packet::UnsubAck(UnsubAck::new(of.pkid)));
            }
            Packet::PingReq => session.say(Packet::PingResp),
            // What a broker says, or what nobody says twice.
            Packet::Connect(_)
            | Packet::ConnAck(_)
            | Packet::Publish(_)
            | Packet::PubRec(_)
            | Packet::PubComp(_)
            | Packet::SubAck(_)
            | Packet::UnsubAck(_)
            | Packet::PingResp
            | Packet::Disconnect => {}
        }
    }

    fn answer(&mut self, client: &str, packet: Packet) {
        if let Some(session) = self.sessions.get(client) {
            session.say(packet);
        }
    }

    /// Once to each client, however many of its filters match.
    fn publish(&mut self, publish: Publish) {
        let topic = String::from_utf8_lossy(&publish.topic).into_owned();
        let now = Publish { retain: false, dup: false, ..publish.clone() };
        for session in self.sessions.values_mut() {
            let matching = session.filters.iter().filter(|(filter, _)| matches(&topic, filter));
            let granted = matching.map(|(_, qos)| *qos).reduce(|a, b| if b > a { b } else { a });
            if let Some(granted) = granted {
                session.tell(&now, granted);
            }
        }
        match (publish.retain, publish.payload.is_empty()) {
            (true, true) => drop(self.retained.remove(&topic)),
            (true, false) => drop(self.retained.insert(topic, publish)),
            (false, _) => {}
        }
    }

    fn forget_will(&mut self, client: &str) {
        if let Some(session) = self.sessions.get_mut(client) {
            session.will = None;
        }
    }

    fn leave(&mut self, client: &str, number: u64) {
        let Some(session) = self.sessions.get_mut(client) else { return };
        if session.connection.as_ref().is_none_or(|(current, _)| *current != number) {
            return;
        }
        session.connection = None;
        let will = session.will.take();
        if !session.is_kept {
            self.sessions.remove(client);
        }
        if let Some(will) = will {
            let publish = Publish::from_bytes(will.topic, will.qos, will.message);
            self.publish(Publish { retain: will.retain, ..publish });
        }
    }
}

impl Session {
    fn say(&self, packet: Packet) {
        if let Some((_, to)) = &self.connection {
            drop(to.send(packet)); // it is about to leave
        }
    }

    fn tell(&mut self, publish: &Publish, granted: QoS) {
        let mut publish = Publish { dup: false, pkid: 0, ..publish.clone() };
        if publish.qos == QoS::AtMostOnce || granted == QoS::AtMostOnce {
            publish.qos = QoS::AtMostOnce;
        } else {
            self.last_id = self.last_id % u16::MAX + 1;
            (publish.qos, publish.pkid) = (QoS::AtLeastOnce, self.last_id);
            self.unacknowledged.push_back(publish.clone());
        }
        self.say(Packet::Publish(publish));
    }
}

#[cfg(test)]
mod tests {
    use rumqttc_v4::mqttbytes::v4::{PubRel, Subscribe, Unsubscribe};

    use super::*;

    fn connect(broker: &mut Broker, client: &str, is_clean: bool) -> (u64, UnboundedReceiver<Packet>) {
        broker.connect(&Connect { clean_session: is_clean, ..Connect::new(client) })
    }

    fn subscribe(broker: &mut Broker, client: &str, filter: &str, qos: QoS) {
        broker.take(client, Packet::Subscribe(Subscribe::new(filter, qos)));
    }

    fn publish(topic: &str, qos: QoS, payload: &str, retain: bool) -> Packet {
        Packet::Publish(Publish { pkid: 7, retain, ..Publish::new(topic, qos, payload) })
    }

    /// What was said, in short.
    fn heard(to_say: &mut UnboundedReceiver<Packet>) -> Vec<String> {
        std::iter::from_fn(|| to_say.try_recv().ok())
            .map(|packet| {
                let Packet::Publish(of) = packet else { return format!("{:?}", packet.packet_type()) };
                let text = String::from_utf8_lossy(&of.payload).into_owned();
                let marks = [(of.dup, " again"), (of.retain, " retained")];
                let marks: String = marks.iter().filter(|(is, _)| *is).map(|(_, mark)| *mark).collect();
                format!("{text} {}{marks}", of.pkid)
            })
            .collect()
    }

    #[test]
    fn what_was_not_acknowledged_comes_again_to_a_kept_session() {
        let mut broker = Broker::default();
        let (first, _) = connect(&mut broker, "gateway", false);
        subscribe(&mut broker, "gateway", "shop/#", QoS::ExactlyOnce);
        let (_, mut shop) = connect(&mut broker, "shop", true);
        for payload in ["a", "b"] {
            broker.take("shop", publish("shop/door", QoS::AtLeastOnce, payload, false));
        }
        assert_eq!(heard(&mut shop), ["ConnAck", "PubAck", "PubAck"]);
        broker.take("gateway", Packet::PubAck(PubAck::new(1)));
        broker.leave("gateway", first);
        broker.take("shop", publish("shop/door", QoS::ExactlyOnce, "c", false));
        broker.take("shop", Packet::PubRel(PubRel::new(7)));
        assert_eq!(heard(&mut shop), ["PubRec", "PubComp"]);
        let (_, mut again) = connect(&mut broker, "gateway", false);
        assert_eq!(heard(&mut again), ["ConnAck", "b 2 again", "c 3 again"]);
        let (_, mut new) = connect(&mut broker, "gateway", true);
        assert_eq!(heard(&mut new), ["ConnAck"]);
    }

    #[test]
    fn a_client_hears_once_what_several_filters_match() {
        let mut broker = Broker::default();
        let (_, mut client) = connect(&mut broker, "phone", true);
        subscribe(&mut broker, "phone", "shop/+/state", QoS::AtMostOnce);
        subscribe(&mut broker, "phone", "shop/#", QoS::AtLeastOnce);
        broker.take("phone", publish("shop/door/state", QoS::AtLeastOnce, "open", false));
        broker.take("phone", publish("street/door/state", QoS::AtMostOnce, "open", false));
        broker.take("phone", publish("shop/door/state", QoS::AtMostOnce, "shut", false));
        broker.take("phone", Packet::Unsubscribe(Unsubscribe::new("shop/#")));
        broker.take("phone", publish("shop/door/state", QoS::AtLeastOnce, "ajar", false));
        broker.take("phone", Packet::PingReq);
        let said =
            ["ConnAck", "SubAck", "SubAck", "open 1", "PubAck", "shut 0", "UnsubAck", "ajar 0", "PubAck"];
        assert_eq!(heard(&mut client), [&said[..], &["PingResp"]].concat());
    }

    #[test]
    fn later_subscribers_get_retained_messages_until_they_are_cleared() {
        let mut broker = Broker::default();
        let (_, mut early) = connect(&mut broker, "early", true);
        subscribe(&mut broker, "early", "state", QoS::AtMostOnce);
        broker.take("early", publish("state", QoS::AtMostOnce, "on", true));
        assert_eq!(heard(&mut early), ["ConnAck", "SubAck", "on 0"]);
        let (_, mut late) = connect(&mut broker, "late", true);
        subscribe(&mut broker, "late", "#", QoS::AtMostOnce);
        broker.take("late", publish("state", QoS::AtMostOnce, "", true));
        subscribe(&mut broker, "late", "#", QoS::AtMostOnce);
        assert_eq!(heard(&mut late), ["ConnAck", "SubAck", "on 0 retained", " 0", "SubAck"]);
    }

    #[test]
    fn a_lost_client_has_its_will_published() {
        let mut broker = Broker::default();
        let (_, mut watcher) = connect(&mut broker, "watcher", true);
        subscribe(&mut broker, "watcher", "#", QoS::AtMostOnce);
        let will = Some(LastWill::new("status", "offline", QoS::AtLeastOnce, false));
        let device = Connect { clean_session: true, last_will: will, ..Connect::new("device") };
        let (replaced, _) = broker.connect(&device);
        let (number, _) = broker.connect(&device);
        broker.leave("device", replaced);
        assert_eq!(heard(&mut watcher), ["ConnAck", "SubAck"], "its next connection has its session");
        broker.leave("device", number);
        assert_eq!(heard(&mut watcher), ["offline 0"]);
        let (number, _) = broker.connect(&device);
        broker.forget_will("device");
        broker.leave("device", number);
        assert_eq!(heard(&mut watcher), [""; 0]);
    }
}
