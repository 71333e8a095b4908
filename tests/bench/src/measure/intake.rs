//! How fast events become rows, against how fast `mosquitto_sub` takes them and keeps nothing.

use std::process::Stdio;

use anyhow::{Context, Result};

use super::Bench;
use crate::clock::{now_ns, pause};
use crate::parts::{Broker, Plan, Usage, free_port, role};
use crate::report::{Line, median};

/// What a flood of events costs.
pub struct Taken {
    pub per_second: f64,
    pub cpu_us: f64,
}

/// Publishes; the time at which it began.
pub fn generate(bench: &Bench, broker: &Broker, count: u64, keys: u64, more: &[&str]) -> Result<u64> {
    let (port, count, keys) = (broker.port.to_string(), count.to_string(), keys.to_string());
    let mut words = vec!["generate", "--port", &port, "--count", &count, "--keys", &keys];
    words.extend(more);
    if !more.contains(&"--topic") {
        words.extend(["--topic", "bench/KEY/unit"]);
    }
    let output = role(&bench.cores.generator, &words)?.stderr(Stdio::inherit()).output()?;
    let line: serde_json::Value =
        serde_json::from_slice(&output.stdout).context("the generator said nothing")?;
    line["began"].as_u64().context("the generator did not begin")
}

/// Events a second that `mosquitto_sub` takes, on the gateway's core.
pub fn floor(bench: &Bench, count: u64) -> Result<f64> {
    let broker = bench.broker()?;
    let (port, wanted) = (broker.port.to_string(), count.to_string());
    let mut command = std::process::Command::new("taskset");
    command.args(["-c", &bench.cores.gateway, "mosquitto_sub", "-V", "5", "-p", &port, "-q", "1"]);
    command.args(["-t", "bench/#", "-C", &wanted]).stdout(Stdio::null());
    let mut subscriber =
        command.spawn().context("mosquitto_sub is not installed: apt-get install mosquitto-clients")?;
    pause(300);
    let waiter = std::thread::spawn(move || {
        drop(subscriber.wait());
        now_ns()
    });
    let began = generate(bench, &broker, count, 1, &[])?;
    let ended = waiter.join().map_err(|_| anyhow::anyhow!("mosquitto_sub was lost"))?;
    Ok(count as f64 / ((ended - began) as f64 / 1e9))
}

/// Events a second that the gateway has committed. Nobody listens where messages go: the line is down, as in a flood it
/// may well be, and the processor is the intake's.
pub fn taken(
    bench: &Bench,
    plan: &Plan,
    count: u64,
    keys: u64,
    wanted: &str,
    more: &[&str],
) -> Result<Taken> {
    let broker = bench.broker()?;
    let mut site = bench.site(&broker, free_port()?, plan)?;
    site.start()?;
    let before: Usage = site.usage()?;
    let began = generate(bench, &broker, count, keys, more)?;
    let ended = site.reached(wanted, count as f64, 120)?;
    let used = site.usage()?.cpu_ns - before.cpu_ns;
    Ok(Taken { per_second: count as f64 / ((ended - began) as f64 / 1e9), cpu_us: used / 1e3 / count as f64 })
}

pub const ROWS: &str = "SELECT max(id) FROM message";
pub const COUNTED: &str = "SELECT sum(count) FROM tally";

pub fn budgets(bench: &Bench) -> Result<Vec<Line>> {
    let (runs, count) = (bench.count(5, 1), bench.count(20_000, 2_000));
    let (mut floors, mut alerts, mut counted, mut cpu) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for _ in 0..runs {
        floors.push(floor(bench, count)?);
        let taken = taken(bench, &Plan::default(), count, 1, ROWS, &[])?;
        alerts.push(taken.per_second);
        cpu.push(taken.cpu_us);
        let quiet = Plan { when: Some("payload.celsius > 20"), ..Plan::default() };
        counted.push(self::taken(bench, &quiet, count, 1, COUNTED, &[])?.per_second);
    }
    let floor = "mosquitto_sub at QoS 1 without storing";
    let aim = "≥ 80 % of the floor";
    Ok(vec![
        Line::new("durable intake, each event an alert with its message", aim, "events/s", alerts)
            .against(floor, &floors)
            .ratio_at_least(0.8)
            .note(format!("{:.0} µs of processor an event", median(&cpu))),
        Line::new("durable intake, events that are counted and alert nobody", aim, "events/s", counted)
            .against(floor, &floors)
            .ratio_at_least(0.8),
    ])
}
