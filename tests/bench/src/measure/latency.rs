//! From publish to the HTTP request, on an idle system; and what the processor does for it.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use anyhow::{Context, Result};

use super::Bench;
use super::intake::generate;
use crate::clock::wait;
use crate::parts::{Plan, Process, Sink, role};
use crate::report::Line;

/// Enough people that none is written to more often than Meta lets.
const PEOPLE: u32 = 100;

pub fn plan() -> Plan {
    Plan { people: PEOPLE, rules: PEOPLE, ..Plan::default() }
}

/// The same hops, as bare as can be: median and 99th percentile in ms, and the processor's µs a message.
fn floor(bench: &Bench, count: u64, rate: &str) -> Result<(f64, f64, f64)> {
    let (broker, mut sink) = (bench.broker()?, bench.sink()?);
    let file = bench.folder.path().join("hop");
    // It waits for one more than comes, so that it still runs when it is asked what it took.
    let (port, to, wanted) = (broker.port.to_string(), sink.port.to_string(), (count + 1).to_string());
    let words = ["hop", "--broker", &port, "--sink", &to, "--count", &wanted, "--topic", "bench/#", "--file"];
    let mut command = role(&bench.cores.gateway, &words)?;
    let mut child = command.arg(&file).stdout(Stdio::piped()).spawn()?;
    let mut output = BufReader::new(child.stdout.take().context("no output")?);
    let process = Process::of(child);
    output.read_line(&mut String::new())?;
    let before = process.usage()?.cpu_ns;
    generate(bench, &broker, count, u64::from(PEOPLE), &["--rate", rate])?;
    arrived(&mut sink, count, 20)?;
    let cpu = (process.usage()?.cpu_ns - before) / 1e3 / count as f64;
    let stats = sink.order("stats")?;
    Ok((stats.latency(0.5), stats.latency(0.99), cpu))
}

pub fn arrived(sink: &mut Sink, count: u64, limit_s: u64) -> Result<()> {
    wait(std::time::Duration::from_secs(limit_s), "the sink", || Ok((sink.count()? >= count).then_some(())))
}

/// What bounds every figure here: the disk alone, and the sink alone, which must not be what limits anybody.
pub fn floors(bench: &Bench) -> Result<Vec<Line>> {
    let file = bench.folder.path().join("fsync").to_string_lossy().into_owned();
    let count = bench.count(2_000, 200).to_string();
    let disk = said(bench, &["fsync", "--file", &file, "--count", &count])?;
    let sink = bench.sink()?;
    let (port, count) = (sink.port.to_string(), bench.count(40_000, 4_000));
    let wanted = count.to_string();
    let mut rates = Vec::new();
    for _ in 0..bench.count(3, 1) {
        let began = crate::clock::now_ns();
        said(bench, &["post", "--port", &port, "--count", &wanted, "--connections", "8"])?;
        rates.push(count as f64 / ((crate::clock::now_ns() - began) as f64 / 1e9));
    }
    let median = disk["p50_ns"].as_f64().context("no figure")? / 1e6;
    let tail = disk["p99_ns"].as_f64().context("no figure")? / 1e6;
    let disk = Line::new("floor: one page and fdatasync, bare", "–", "ms", vec![median]);
    let sink =
        Line::new("floor: the sink alone, 8 connections posting", "not the limit", "requests/s", rates);
    Ok(vec![disk.at_least(0.0).note(format!("99th percentile {tail:.2} ms")), sink.at_least(5_000.0)])
}

fn said(bench: &Bench, words: &[&str]) -> Result<serde_json::Value> {
    let output = role(&bench.cores.gateway, words)?.stderr(Stdio::inherit()).output()?;
    serde_json::from_slice(&output.stdout).context("the floor said nothing")
}

pub fn budgets(bench: &Bench) -> Result<Vec<Line>> {
    let (runs, count) = (bench.count(3, 1), bench.count(500, 100));
    let (mut medians, mut tails, mut cpu) = (Vec::new(), Vec::new(), Vec::new());
    let mut floors = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..runs {
        let (median, tail, spent) = floor(bench, count, "50")?;
        floors.0.push(median);
        floors.1.push(tail);
        floors.2.push(spent);
        let (broker, mut sink) = (bench.broker()?, bench.sink()?);
        let mut site = bench.site(&broker, sink.port, &plan())?;
        site.start()?;
        generate(bench, &broker, 10, 10, &["--rate", "50", "--from", "1000000"])?; // connections are open from here on
        arrived(&mut sink, 10, 20)?;
        sink.order("reset")?;
        let before = site.usage()?;
        generate(bench, &broker, count, u64::from(PEOPLE), &["--rate", "50"])?;
        arrived(&mut sink, count, 60)?;
        crate::clock::pause(300); // the outcomes are written
        cpu.push((site.usage()?.cpu_ns - before.cpu_ns) / 1e3 / count as f64);
        let stats = sink.order("stats")?;
        medians.push(stats.latency(0.5));
        tails.push(stats.latency(0.99));
    }
    let hops = "one broker hop, one fsync, one HTTP hop, bare";
    Ok(vec![
        Line::new("publish to HTTP request, idle system, median", "≤ 1.8 × the floor", "ms", medians)
            .against(hops, &floors.0)
            .ratio_at_most(1.8),
        Line::new("publish to HTTP request, idle system, 99th percentile", "≤ 3 × the floor", "ms", tails)
            .against(hops, &floors.1)
            .ratio_at_most(3.0),
        Line::new("processor a message, publish to recorded outcome, 50/s", "≤ 2.5 × the floor", "µs", cpu)
            .against(hops, &floors.2)
            .ratio_at_most(2.5)
            .note("against the peers: below"),
    ])
}
