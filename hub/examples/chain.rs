//! A chain of five shops behind two hubs and an engine of three nodes, on this machine alone: real programs, mosquitto for each
//! shop, and a simulated WhatsApp. It runs until Ctrl-C; `--headless` plays one round for each shop and ends.

#![expect(
    clippy::expect_used,
    clippy::print_stdout,
    reason = "what cannot start stops it; its output is for people"
)]

#[path = "../tests/it/parts.rs"]
#[allow(dead_code, reason = "the tests need more of it")]
mod parts;

use std::time::Duration;

use bellwire_tests::{Broker, Gateway, Site, publish, wait_for};
use serde_json::{Value, json};

use parts::{Chain, Hub, Meta, Proxy, put_behind};

const TOWNS: [&str; 5] = ["kassel", "bremen", "jena", "ulm", "trier"];
/// A shop's freezer becomes warm this often, each shop in turn.
const EVENT_EVERY: Duration = Duration::from_secs(12);

struct Shop {
    name: String,
    phone: String,
    broker: Broker,
    _site: Site,
    _gateway: Gateway,
}

fn shop(at: usize, town: &str, hub: &Hub, proxy: &Proxy) -> Shop {
    let (name, phone) = (format!("shop-{town}"), format!("+4915112345{at:03}"));
    let broker = Broker::start();
    let site = Site::new(
        broker.port,
        &format!(
            "[[contact]]\nid = \"keeper\"\nname = \"{town}\"\nphone = \"{phone}\"\nroles = [\"manager\"]\n\
             [[rule]]\nname = \"freezer\"\ntopic = \"shop/freezer\"\nwhen = \"payload.celsius > -15\"\nseverity = \"critical\"\n\
             message = \"{town}: the freezer is at {{{{ payload.celsius }}}} °C\"\nnotify = [\"keeper\"]\n\
             [[rule.action]]\nid = \"defrost\"\ntitle = \"Stop defrost\"\ntopic = \"shop/freezer/set\"\npayload = \"stop\"\n"
        ),
    );
    let config = std::fs::read_to_string(site.config()).expect("readable");
    let named = config.replacen("\"Test\"", &format!("\"{name}\"\nowner = [\"keeper\"]"), 1);
    std::fs::write(site.config(), named).expect("written");
    put_behind(&site, &proxy.url(""), &hub.enrol(&name, &[&phone]));
    let gateway = Gateway::start(&site);
    Shop { name, phone, broker, _site: site, _gateway: gateway }
}

impl Shop {
    fn becomes_warm(&self, celsius: i32) {
        publish(self.broker.port, "shop/freezer", format!("{{\"celsius\": {celsius}}}").as_bytes());
    }

    /// An alert reaches Meta's simulator, its button is tapped there, and the shop's broker hears the command.
    fn round(&self, meta: &Meta) {
        let heard = bellwire_tests::Subscriber::start(self.broker.port, "shop/freezer/set");
        self.becomes_warm(-9);
        let to_it = |sent: &Value| sent["to"] == self.phone.as_str();
        wait_for(30, "the alert", || meta.sent().into_iter().find(to_it));
        meta.does(&json!({ "from": self.phone, "tap": "Stop defrost" }));
        wait_for(30, "the command", || {
            heard.messages().iter().any(|line| line.contains("stop")).then_some(())
        });
        println!("{}: alert, tap, command", self.name);
    }
}

fn main() {
    let is_headless = std::env::args().any(|argument| argument == "--headless");
    println!("Starting three nodes of the engine, two hubs, five shops …");
    let silent = format!("[silent]\nafter = \"2m\"\ntell = [\"shop-{}\"]\n[engine]", TOWNS[0]);
    let Chain { engine: _engine, meta, hubs, proxy } = Chain::start(|hub| hub.replace("[engine]", &silent));
    let shops: Vec<Shop> =
        TOWNS.iter().enumerate().map(|(at, town)| shop(at, town, &hubs[at % 2], &proxy)).collect();
    if is_headless {
        shops.iter().for_each(|shop| shop.round(&meta));
        let page = hubs[0].admin("/");
        let heard = shops.iter().filter(|shop| page.contains(&format!("<td>{}</td>", shop.name))).count();
        println!("the page shows {heard} shops");
        assert_eq!(heard, shops.len());
        return;
    }
    println!("\nAll sites      http://127.0.0.1:{}/", hubs[0].admin);
    println!("               http://127.0.0.1:{}/  (the other hub)", hubs[1].admin);
    println!("The phones     {}", meta.url("/_simulator/"));
    println!("\nEvery {} s a freezer becomes warm. Ctrl-C ends all of it.", EVENT_EVERY.as_secs());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let mut at = 0;
        loop {
            shops[at % shops.len()].becomes_warm(-14 + i32::try_from(at % 9).expect("small"));
            at += 1;
            tokio::select! {
                _ = tokio::signal::ctrl_c() => return,
                () = tokio::time::sleep(EVENT_EVERY) => {}
            }
        }
    });
}
