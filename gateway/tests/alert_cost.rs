//! What an event costs does not grow with the alerts that are kept. Work is counted in rows, which no busy machine changes;
//! time only within one run, with a bound that any loop over all alerts breaks. `benches/alerts.rs` has the figures.

#![expect(clippy::expect_used, reason = "a test that cannot go on stops")]

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use bellwire::alert::effect::{Effect, Snapshot};
use bellwire::alert::engine::Engine;
use bellwire::alert::lifecycle::{AlertKey, Observation, Transition};
use bellwire::alert::message_text::MessageText;
use bellwire::config::{Config, LoadOptions, read};
use bellwire::ids::RuleName;
use bellwire::time::{Now, Timestamp};

const CONFIG: &str = r#"
[site]
name = "S"
[mqtt]
url = "mqtt://127.0.0.1"
[[connection]]
name = "main"
phone_number_id = "1"
access_token_file = "t"
app_secret_file = "s"
verify_token_file = "v"
[[contact]]
id = "nino"
phone = "+995 555 12 34 56"
quiet_hours = "22:00-06:00"
[[rule]]
name = "freezer"
topic = "freezer/{unit}"
when = "payload > -15"
message = "Freezer {{ unit }} is at {{ payload }}"
notify = ["nino"]
flap_changes = 99
[[rule]]
name = "power"
topic = "power/{unit}"
when = "payload > 5"
message = "Power {{ unit }}"
repeat_interval = "4h"
notify = ["nino"]
[[inhibit_rule]]
source = "power"
target = ["freezer"]
equal = ["unit"]
"#;

/// Events between two looks at the clock.
const ROUND: usize = 2_000;

fn config() -> Config {
    let wishes = LoadOptions { without_secrets: true, ..LoadOptions::default() };
    read("c.toml", CONFIG, &wishes).expect("good")
}

/// A watch in which a power alarm fires for each key, and every second freezer is silent because of it.
struct Site {
    watch: Engine,
    keys: usize,
    now: Now,
    events: usize,
    rows: usize,
    bytes: usize,
}

impl Site {
    fn new(config: &Config, keys: usize) -> Self {
        let watch = Engine::new(&config.rules, config.people.clone(), config.site.time_zone.clone(), 50_000);
        let now = Now { wall: Timestamp(1_773_144_000_000), steady: Duration::ZERO };
        let mut site = Self { watch, keys, now, events: 0, rows: 0, bytes: 0 };
        for unit in 0..keys {
            site.see("power", unit, true);
        }
        for unit in 0..keys {
            site.see("freezer", unit, unit % 2 == 0);
        }
        (site.rows, site.bytes) = (0, 0);
        site
    }

    fn see(&mut self, rule: &str, unit: usize, fires: bool) -> Transition {
        let step = Duration::from_millis(1);
        self.now = Now { wall: self.now.wall + step, steady: self.now.steady + step };
        let alert = AlertKey { rule: RuleName(rule.into()), key: format!("unit={unit}") };
        let bindings = BTreeMap::from([("unit".to_owned(), unit.to_string())]);
        let wording = Some(MessageText::of(format!("{rule} {unit}")));
        let seen = Observation { bindings, fires, clears: !fires, wording, ..Observation::default() };
        self.watch.advance(self.now);
        let turn = self.watch.observe(&alert, &seen, self.now.wall);
        for effect in self.watch.drain() {
            self.rows += 1;
            if let Effect::Keep(Snapshot { state, .. }) = effect {
                self.bytes += state.len();
            }
        }
        turn
    }

    /// Each event changes its alert: begins it or ends it.
    fn round(&mut self) -> Duration {
        #[expect(clippy::disallowed_methods, reason = "the time is what this is about")]
        let began = Instant::now();
        for _ in 0..ROUND {
            let unit = (self.events * 7) % self.keys;
            let pass = self.events / self.keys;
            let turn = self.see("freezer", unit, (unit + pass) % 2 == 1);
            assert!(matches!(turn, Transition::Fired | Transition::Resolved(..)), "{turn:?}");
            self.events += 1;
        }
        began.elapsed()
    }
}

#[test]
fn what_an_event_costs_does_not_grow_with_the_alerts() {
    let config = config();
    let (mut few, mut many) = (Site::new(&config, 101), Site::new(&config, 10_001));
    assert_eq!(many.watch.alerts().len(), 15_002, "every power alarm, and the freezers that are warm");
    let (mut fastest_few, mut fastest_many) = (Duration::MAX, Duration::MAX);
    for _ in 0..3 {
        fastest_few = fastest_few.min(few.round());
        fastest_many = fastest_many.min(many.round());
    }
    let events = 3 * ROUND;
    assert!(many.rows <= few.rows && few.rows <= 8 * events, "{} and {} rows", few.rows, many.rows);
    assert!(many.bytes <= few.bytes * 11 / 10, "{} and {} bytes", few.bytes, many.bytes);
    // A hundred times as many alerts: a loop over them would cost a hundred times as much.
    assert!(fastest_many < fastest_few * 10, "{fastest_few:?} and {fastest_many:?} for {ROUND} events");
}
