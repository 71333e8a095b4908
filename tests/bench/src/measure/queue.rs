//! Memory, start and cost a message with outboxes of any size.

use std::time::Duration;

use anyhow::Result;

use super::Bench;
use super::intake::generate;
use crate::clock::{pause, wait};
use crate::parts::{Broker, Plan, Site, fill, free_port};
use crate::report::{Line, median};

/// Whoever is waited for while rows are drained: each is written to ten times at once, then rests.
pub const PEOPLE: u32 = 200;
/// Messages between which the cost is taken.
const FROM: u64 = 200;
const TO: u64 = 1_800;
/// As many as may leave in one run: ten for each of the people, and some.
const EACH: u64 = 2_300;

/// A site whose outbox holds so many messages, stopped; where they go nobody listens yet.
pub fn filled(bench: &Bench, broker: &Broker, sink_port: u16, rows: u64) -> Result<Site> {
    let plan = Plan { people: PEOPLE, rules: PEOPLE, ..Plan::default() };
    let mut site = bench.site(broker, sink_port, &plan)?;
    site.start()?;
    generate(bench, broker, 1, 1, &[])?;
    site.reached("SELECT count(*) FROM message", 1.0, 20)?;
    site.stop();
    if rows > 1 {
        fill(&site.database(), rows, PEOPLE)?;
    }
    Ok(site)
}

/// Resident memory in MB some seconds after the start: (then, at its highest).
pub fn memory(bench: &Bench, site: &mut Site) -> Result<(f64, f64)> {
    site.start()?;
    pause(bench.count(4_000, 1_500));
    let usage = site.usage()?;
    site.stop();
    Ok((usage.resident_mb, usage.peak_mb))
}

/// What one message costs while so many wait, in µs of processor; once for each of `runs` starts.
pub fn drain(bench: &Bench, rows: u64, runs: u64) -> Result<Vec<f64>> {
    let (broker, mut sink) = (bench.broker()?, bench.sink()?);
    let mut site = filled(bench, &broker, sink.port, rows.max(runs * EACH))?;
    let mut costs = Vec::new();
    for _ in 0..runs {
        sink.order("reset")?;
        site.start()?;
        let mut at = |wanted: u64| {
            wait(Duration::from_secs(60), "messages to leave", || {
                let requests = sink.order("count")?.requests;
                Ok((requests >= wanted).then_some(requests))
            })
        };
        let first = at(FROM)?;
        let before = site.usage()?.cpu_ns;
        let last = at(TO)?;
        costs.push((site.usage()?.cpu_ns - before) / 1e3 / (last - first) as f64);
        site.stop();
    }
    Ok(costs)
}

pub fn budgets(bench: &Bench) -> Result<Vec<Line>> {
    let runs = bench.count(5, 2);
    let large = bench.count(1_000_000, 10_000);
    let mut lines = Vec::new();
    let mut site_of = Vec::new();
    for (rows, limit) in [(0, 10.0), (10_000, 16.0), (large, 24.0)] {
        let broker = bench.broker()?;
        let mut site = if rows == 0 {
            bench.site(&broker, free_port()?, &Plan::default())?
        } else {
            filled(bench, &broker, free_port()?, rows)?
        };
        let (resident, peak) = memory(bench, &mut site)?;
        let name = if rows == 0 { "memory, idle".into() } else { format!("memory, {rows} queued") };
        let line = Line::new(&name, &format!("≤ {limit} MB"), "MB", vec![resident]).at_most(limit);
        lines.push(line.note(format!("{peak:.1} MB at its highest")));
        site_of.push((rows, broker, site));
    }
    for (rows, _broker, site) in &mut site_of {
        if *rows == 10_000 && large != 10_000 {
            continue;
        }
        let mut starts = Vec::new();
        for _ in 0..runs {
            starts.push(site.start()? * 1e3);
            site.stop();
        }
        let name = format!("start to subscribed, {rows} queued");
        lines.push(Line::new(&name, "≤ 100 ms", "ms", starts).at_most(100.0));
    }
    Ok(lines)
}

/// What a message costs with few and with many that wait.
pub fn costs(bench: &Bench) -> Result<Vec<Line>> {
    let (runs, large) = (bench.count(3, 1), bench.count(100_000, 10_000));
    let (few, many) = (drain(bench, 1, runs)?, drain(bench, large, runs)?);
    let name = format!("cost a message, {large} queued");
    let cost = Line::new(&name, "flat: ≤ 1.25 × with 7,000", "µs", many);
    Ok(vec![cost.against("the same with 7,000 queued", &few).ratio_at_most(1.25).note(format!(
        "processor from the outbox to the recorded outcome; {:.0} µs with 7,000",
        median(&few)
    ))])
}
