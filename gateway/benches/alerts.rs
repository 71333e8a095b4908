//! What an event costs the alerts: `cargo bench -p bellwire --bench alerts`. 100,000 events over 1,000 keys, then the cost of
//! an event beside few and beside many alerts (in one run, so that the machine does not matter), then 100,000 keys.
#![expect(clippy::expect_used, clippy::print_stdout, reason = "a bench that cannot go on stops, and prints")]

use std::time::{Duration, Instant};

use bellwire::alert::engine::Engine;
use bellwire::alert::intake::RuleSet;
use bellwire::alert::replay::{RecordedInput, Replay, Timed};
use bellwire::config::{Config, LoadOptions, read};
use bellwire::time::Timestamp;

const FILE: &str = r#"
[site]
name = "Corner Bakery"
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
[[rule]]
name = "freezer"
topic = "freezer/{unit}"
when = "payload > -15 and window.mean > -15"
resolve_when = "payload < -17"
for = "1m"
window = "10m"
message = "Freezer {{ unit }} is at {{ value }}"
notify = ["nino"]
"#;

/// Noon of 2026-03-10.
const START: Timestamp = Timestamp(1_773_144_000_000);

struct Bench<'a> {
    replay: Replay<'a>,
    at: Timestamp,
}

impl<'a> Bench<'a> {
    fn new(config: &Config, judge: &'a RuleSet, limit: usize) -> Self {
        let watch = Engine::new(&config.rules, config.people.clone(), config.site.time_zone.clone(), limit);
        Self { replay: Replay::new(judge, watch), at: START }
    }

    /// Each key in turn, 10 ms apart; every fourth reading is warm.
    fn run(&mut self, events: u64, keys: u64) -> Duration {
        #[expect(clippy::disallowed_methods, reason = "a bench measures")]
        let begun = Instant::now();
        for number in 0..events {
            self.at = self.at + Duration::from_millis(10);
            let warm = (number / keys + number).is_multiple_of(4);
            let what = RecordedInput::Publish {
                topic: format!("freezer/{}", number % keys),
                payload: if warm { "-3" } else { "-20" }.into(),
                retained: false,
                id: None,
                content_type: None,
            };
            self.replay.step(Timed { at: self.at, what });
        }
        begun.elapsed()
    }
}

fn main() {
    let wishes = LoadOptions { without_secrets: true, ..LoadOptions::default() };
    let config = read("bench.toml", FILE, &wishes).expect("good");
    let judge = config.rule_set().expect("compiled");

    let taken = Bench::new(&config, &judge, 10_000).run(100_000, 1_000);
    println!("100,000 events over 1,000 keys: {:.2} s", taken.as_secs_f64());

    let mut costs = Vec::new();
    for keys in [100, 1_000, 10_000] {
        let mut bench = Bench::new(&config, &judge, 10_000);
        bench.run(keys, keys); // every alert is there
        let micros = bench.run(20_000, keys).as_secs_f64() * 1e6 / 20_000.0;
        println!("beside {keys} alerts an event costs {micros:.1} µs");
        costs.push(micros);
    }
    println!("10,000 alerts to 100: {:.2} times", costs[2] / costs[0]);

    let mut bench = Bench::new(&config, &judge, 10_000);
    let taken = bench.run(100_000, 100_000);
    let kept = bench.replay.watch().alerts().len();
    println!("100,000 keys: {kept} alerts are kept, {:.2} s", taken.as_secs_f64());
    assert!(kept <= 10_000, "the memory is bounded");
}
