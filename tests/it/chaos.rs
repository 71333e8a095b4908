//! Brokers and gateways that are killed, restarted and emptied at random: no rule stays deaf for more than a minute while
//! `/readyz` is green. Twenty seconds by default; docs/performance.md has a run of ten minutes, and how to repeat it.

use std::collections::BTreeMap;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant, SystemTime};

use bellwire::random::Rng;
use bellwire_tests::{Broker, Gateway, Simulator, Site, program};

/// Its promise (docs/broker.md).
const DEAF_MAX: Duration = Duration::from_secs(60);
/// When nothing disturbs any more: the longest pause between two connections, and the promise.
const CALM: Duration = Duration::from_secs(120);
const CLIENT: &str = "bellwire-test";
/// Topics that overlap, one that a wildcard matches and one that has none.
const TOPICS: [&str; 3] = ["plant/boiler", "site/front/door", "site/back/door"];
const RULES: &str = r#"
[[contact]]
id = "nino"
phone = "+995 555 12 34 56"
[[rule]]
name = "boiler"
topic = "plant/boiler"
message = "Boiler {{ payload }}"
notify = ["nino"]
[[rule]]
name = "door"
topic = "site/{which}/door"
message = "Door {{ payload }}"
notify = ["nino"]
[[rule]]
name = "site"
topic = "site/#"
message = "Site {{ payload }}"
notify = ["nino"]
"#;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Blow {
    BrokerRestarts,
    BrokerIsKilled,
    BrokerForgets,
    OtherEmptiesSession,
    OtherLeavesSession,
    GatewayIsKilled,
    GatewayRestarts,
}

const BLOWS: [Blow; 7] = [
    Blow::BrokerRestarts,
    Blow::BrokerIsKilled,
    Blow::BrokerForgets,
    Blow::OtherEmptiesSession,
    Blow::OtherLeavesSession,
    Blow::GatewayIsKilled,
    Blow::GatewayRestarts,
];

/// What is being shaken.
struct Place {
    version: &'static str,
    broker: Broker,
    site: Site,
    gateway: Option<Gateway>,
    _simulator: Simulator,
}

impl Place {
    fn new(version: &'static str) -> Self {
        let broker = Broker::start();
        let mqtt = format!(
            "url = \"mqtt://127.0.0.1:{}\"\nversion = \"{version}\"\nclient_id = \"{CLIENT}\"",
            broker.port
        );
        let site = Site::with_mqtt(&mqtt, RULES);
        let simulator = Simulator::start(&site);
        let gateway = Some(Gateway::start(&site));
        Self { version, broker, site, gateway, _simulator: simulator }
    }

    fn strike(&mut self, blow: Blow, away: Duration) {
        match blow {
            Blow::BrokerRestarts => {
                self.broker.down();
                std::thread::sleep(away);
                self.broker.up();
            }
            Blow::BrokerIsKilled => {
                self.broker.kill();
                std::thread::sleep(away);
                self.broker.up();
            }
            Blow::BrokerForgets => {
                self.broker.kill();
                self.broker.forget();
                self.broker.up();
            }
            Blow::OtherEmptiesSession => self.take_over(&[]),
            Blow::OtherLeavesSession if self.version == "5" => self.take_over(&["-V", "5", "-x", "3600"]),
            Blow::OtherLeavesSession => self.take_over(&["-c"]),
            Blow::GatewayIsKilled => {
                self.gateway.take().expect("it runs").kill();
                std::thread::sleep(away);
                self.gateway = Some(Gateway::launch(&self.site));
            }
            Blow::GatewayRestarts => {
                self.gateway.take().expect("it runs").stop();
                self.gateway = Some(Gateway::launch(&self.site));
            }
        }
    }

    /// Another client with our id subscribes to something else and goes.
    fn take_over(&self, options: &[&str]) {
        let port = self.broker.port.to_string();
        let status = Command::new(program("mosquitto_sub"))
            .args(["-h", "127.0.0.1", "-p", &port, "-q", "1", "-t", "foo/#", "-E", "-W", "5", "-i", CLIENT])
            .args(options)
            .stderr(Stdio::null())
            .status();
        status.expect("mosquitto_sub runs"); // what became of it matters to nobody: the gateway may have been quicker
    }

    /// Whether the broker has taken it.
    fn publish(&self, topic: &str, number: i64) -> bool {
        let port = self.broker.port.to_string();
        let status = Command::new(program("mosquitto_pub"))
            .args(["-h", "127.0.0.1", "-p", &port, "-q", "1", "-t", topic, "-m", &number.to_string()])
            .stderr(Stdio::null())
            .status();
        status.expect("mosquitto_pub runs").success()
    }

    /// The newest that each rule's alerts carry.
    fn heard(&self) -> BTreeMap<String, i64> {
        let sql = "SELECT topic, max(CAST(CAST(payload AS TEXT) AS INTEGER)) FROM event GROUP BY topic";
        let database = self.site.database();
        let Ok(mut statement) = database.prepare(sql) else { return BTreeMap::new() };
        let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)));
        rows.map(|rows| rows.filter_map(Result::ok).collect()).unwrap_or_default()
    }

    fn is_ready(&self) -> bool {
        ureq::get(&self.site.url("/readyz")).call().is_ok()
    }
}

/// For how long each topic is deaf: since the first that the broker took and nobody heard.
#[derive(Default)]
struct Watch {
    number: i64,
    /// By topic: what was published and not heard yet, nor anything after it, and when.
    open: BTreeMap<&'static str, BTreeMap<i64, Instant>>,
    /// Since when `/readyz` is green.
    green: Option<Instant>,
    longest: Duration,
    longest_while_green: Duration,
    red: Duration,
    published: u64,
    heard: u64,
    looked: Option<Instant>,
}

impl Watch {
    /// One round: publishes to each topic, and looks what was heard of the rounds before.
    fn look(&mut self, place: &Place) {
        let is_ready = place.is_ready();
        let heard = place.heard();
        let now = Instant::now();
        if is_ready {
            self.green.get_or_insert(now);
        } else {
            self.green = None;
            self.red += self.looked.map_or(Duration::ZERO, |last| now - last);
        }
        self.looked = Some(now);
        for topic in TOPICS {
            let open = self.open.entry(topic).or_default();
            let newest = heard.get(topic).copied().unwrap_or(0);
            let later = open.split_off(&(newest + 1));
            self.heard += open.len() as u64;
            *open = later;
            if let Some(since) = open.values().next() {
                self.longest = self.longest.max(now - *since);
                if let Some(green) = self.green {
                    self.longest_while_green = self.longest_while_green.max(now - green.max(*since));
                }
            }
        }
        self.number += 1;
        for topic in TOPICS {
            let at = Instant::now();
            if place.publish(topic, self.number) {
                self.published += 1;
                self.open.entry(topic).or_default().insert(self.number, at);
            }
        }
    }

    fn is_deaf(&self) -> bool {
        self.open.values().any(|open| open.values().any(|at| at.elapsed() > Duration::from_secs(3)))
    }
}

fn shake(version: &'static str, seed: u64, time: Duration) {
    let (mut place, mut watch, mut dice) =
        (Place::new(version), Watch::default(), Rng::seeded(seed.wrapping_add(u64::from(version == "5"))));
    let mut blows: BTreeMap<Blow, u32> = BTreeMap::new();
    let (began, mut next) = (Instant::now(), Instant::now());
    while began.elapsed() < time {
        if next <= Instant::now() {
            let blow = BLOWS[usize::try_from(dice.below(BLOWS.len() as u64)).expect("small")];
            *blows.entry(blow).or_default() += 1;
            place.strike(blow, Duration::from_millis(dice.below(3_000)));
            // Mostly one after the other; now and then time enough to be deaf in peace.
            let pause =
                if dice.below(8) == 0 { 20_000 + dice.below(60_000) } else { 500 + dice.below(5_000) };
            next = Instant::now() + Duration::from_millis(pause);
        }
        watch.look(&place);
        std::thread::sleep(Duration::from_millis(500));
    }
    let calm = Instant::now();
    loop {
        watch.look(&place);
        std::thread::sleep(Duration::from_millis(500));
        if place.is_ready() && !watch.is_deaf() {
            break;
        }
        assert!(calm.elapsed() < CALM, "version {version}, seed {seed}: still deaf\n{}", place.site.log());
    }
    #[expect(clippy::print_stdout, reason = "by hand it is a measurement: its figures are what it is for")]
    {
        println!(
            "version {version}, seed {seed}, {} s: {} published, {} heard or overtaken; deaf for {:.1} s at most, {:.1} s of it while \
         /readyz was green; red for {:.0} s; well again {:.1} s after the last blow; {blows:?}",
            time.as_secs(),
            watch.published,
            watch.heard,
            watch.longest.as_secs_f64(),
            watch.longest_while_green.as_secs_f64(),
            watch.red.as_secs_f64(),
            calm.elapsed().as_secs_f64(),
        );
    }
    assert!(!blows.is_empty() && watch.published > 0);
    assert!(watch.longest_while_green <= DEAF_MAX, "version {version}, seed {seed}\n{}", place.site.log());
}

#[test]
fn a_ready_gateway_receives_events_of_every_rule() {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse().ok());
    let time = Duration::from_secs(number("BELLWIRE_CHAOS_SECONDS").unwrap_or(20));
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970").as_secs();
    let seed = number("BELLWIRE_CHAOS_SEED").unwrap_or(now);
    println!("BELLWIRE_CHAOS_SEED={seed}");
    for shaken in ["5", "3.1.1"].map(|version| std::thread::spawn(move || shake(version, seed, time))) {
        shaken.join().expect("no rule is deaf");
    }
}
