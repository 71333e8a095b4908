//! A freezer, a door and a POS terminal that publish by themselves and obey commands: a client like any other, over the
//! demo's broker.

use std::time::Duration;

use rumqttc_v4::mqttbytes::QoS;
use rumqttc_v4::mqttbytes::v4::Packet;
use rumqttc_v4::{AsyncClient, Event, MqttOptions, PublishOptions};
use serde_json::json;
use tokio::time::{Instant, interval, sleep};

/// How often the shop looks at its clock.
const TICK: Duration = Duration::from_secs(1);
/// Ticks: the first alarm comes while one is still reading what to try.
const DEFROST_AT: u32 = 4;
const DOOR_AT: u32 = 40;
const SALE_EVERY: u32 = 17;
const ROUND: u32 = 90;

/// Of the people below.
pub const PHONES: [&str; 2] = ["+995555123456", "+995555654321"];

/// The rules that the demo runs with.
pub const RULES: &str = r#"
[[contact]]
id = "nino"
name = "Nino"
phone = "+995 555 12 34 56"

[[contact]]
id = "giorgi"
name = "Giorgi"
phone = "+995 555 65 43 21"

[[team]]
id = "shop"
members = ["nino", "giorgi"]

[[rule]]
name = "freezer-too-warm"
topic = "shop/freezer/{unit}/temperature"
when = "payload.celsius > -15"
resolve_when = "payload.celsius < -17"
value = "payload.celsius"
chart = "3m"
severity = "critical"
message = "🧊 Freezer {{ unit }} is at {{ payload.celsius | round(1) }} °C and rising: it is defrosting"
notify = ["nino"]

[[rule.action]]
id = "stop-defrost"
title = "Stop defrost"
topic = "shop/freezer/{unit}/set"
payload = '{"defrost": false}'

[[rule]]
name = "door-left-open"
topic = "shop/door/{door}/state"
when = "payload == 'open'"
message = "🚪 The {{ door }} door has been open for a minute"
notify = ["shop"]

[[rule.action]]
id = "close"
title = "Close it"
topic = "shop/door/{door}/set"
payload = "CLOSE"

[[rule]]
name = "large-refund"
topic = "shop/pos/{till}/refund"
when = "payload.amount >= 100"
message = "🧾 Till {{ till }} asks to refund {{ payload.amount }} {{ payload.currency }}"
notify = ["giorgi"]

[[rule.action]]
id = "approve"
title = "Approve"
topic = "shop/pos/{till}/answer"
payload = '{"refund": "approved"}'

[[rule.action]]
id = "deny"
title = "Deny"
topic = "shop/pos/{till}/answer"
payload = '{"refund": "denied"}'
"#;

/// What the devices say about themselves; the demo prints it.
pub type Report = Box<dyn Fn(String) + Send>;

struct Shop {
    client: AsyncClient,
    celsius: f64,
    defrosting: bool,
    tick: u32,
    report: Report,
}

/// Runs the devices until the task is dropped.
pub async fn run(port: u16, report: Report) {
    let mut options = MqttOptions::new("demo-shop", ("127.0.0.1".to_owned(), port));
    options.set_keep_alive(10);
    let (client, mut events) = AsyncClient::builder(options).capacity(64).build();
    let mut shop = Shop { client, celsius: -18.0, defrosting: false, tick: 0, report };
    let mut ticks = interval(TICK);
    let mut quiet_until = Instant::now();
    loop {
        tokio::select! {
            event = events.poll(), if Instant::now() >= quiet_until => match event {
                Ok(Event::Incoming(Packet::ConnAck(_))) => shop.listen(),
                Ok(Event::Incoming(Packet::Publish(publish))) => {
                    shop.obey(&String::from_utf8_lossy(&publish.topic), &publish.payload);
                }
                Ok(_) => {}
                Err(_) => quiet_until = Instant::now() + TICK,
            },
            _ = ticks.tick() => shop.live(),
            () = sleep(TICK) => {}
        }
    }
}

impl Shop {
    fn listen(&self) {
        for filter in ["shop/freezer/+/set", "shop/door/+/set", "shop/pos/+/answer"] {
            drop(self.client.try_subscribe(filter, QoS::AtLeastOnce)); // again at the next connection
        }
    }

    fn live(&mut self) {
        let now = self.tick % ROUND;
        self.tick += 1;
        if now == DEFROST_AT {
            self.defrosting = true;
            (self.report)("freezer 2 starts to defrost".to_owned());
        }
        self.celsius =
            if self.defrosting { (self.celsius + 0.9).min(4.0) } else { (self.celsius - 1.5).max(-18.0) };
        self.publish("shop/freezer/2/temperature", &json!({ "celsius": self.celsius }).to_string());
        if now == DOOR_AT {
            self.publish("shop/door/back/state", "open");
        }
        if now % SALE_EVERY == SALE_EVERY - 1 {
            let amount = 7 * now;
            self.publish("shop/pos/1/refund", &json!({ "amount": amount, "currency": "GEL" }).to_string());
        }
    }

    fn obey(&mut self, topic: &str, payload: &[u8]) {
        let words = String::from_utf8_lossy(payload).into_owned();
        if topic == "shop/freezer/2/set" && words.contains("false") {
            self.defrosting = false;
            (self.report)("freezer 2 obeys: the defrost stops, it cools down".to_owned());
        } else {
            (self.report)(format!("{topic} obeys: {words}"));
        }
    }

    fn publish(&self, topic: &str, payload: &str) {
        let sent = self.client.try_publish(topic, payload.to_owned(), PublishOptions::at_least_once());
        if let Err(error) = sent {
            tracing::debug!(%error, "the shop's device could not publish");
        }
    }
}
