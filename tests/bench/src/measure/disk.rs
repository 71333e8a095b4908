//! Bytes that the kernel was asked to write, an alert: from its event to its recorded outcome.

use anyhow::Result;

use super::Bench;
use super::intake::generate;
use super::latency::{arrived, plan};
use crate::clock::pause;
use crate::parts::Plan;
use crate::report::Line;

const SETTLED: &str =
    "SELECT count(*) FROM message WHERE state NOT IN ('queued', 'sending') AND reason NOT LIKE 'waiting%'";

pub fn budgets(bench: &Bench) -> Result<Vec<Line>> {
    Ok(vec![alone(bench)?, flood(bench)?])
}

fn alone(bench: &Bench) -> Result<Line> {
    let (broker, mut sink) = (bench.broker()?, bench.sink()?);
    let mut site = bench.site(&broker, sink.port, &plan())?;
    site.start()?;
    let count = bench.count(500, 20); // several times what the log takes before it is folded in, which is written again then
    generate(bench, &broker, 100, 100, &["--rate", "100"])?; // the tables have their first pages
    arrived(&mut sink, 100, 20)?;
    sink.order("reset")?;
    pause(500);
    let before = site.usage()?;
    generate(bench, &broker, count, 100, &["--rate", "20", "--from", "1000"])?;
    arrived(&mut sink, count, 60)?;
    pause(1_000);
    let bytes = site.usage()?.written_bytes - before.written_bytes;
    Ok(Line::new("disk writes an alert, alone", "≤ 24 KB", "KB", vec![bytes / 1e3 / count as f64])
        .at_most(24.0))
}

/// A flood for one person leaves in digests.
fn flood(bench: &Bench) -> Result<Line> {
    let (broker, sink) = (bench.broker()?, bench.sink()?);
    let mut site = bench.site(&broker, sink.port, &Plan::default())?;
    site.start()?;
    let count = bench.count(5_000, 1_000);
    let before = site.usage()?;
    generate(bench, &broker, count, 1, &[])?;
    site.reached(SETTLED, count as f64, 90)?;
    pause(500);
    let bytes = site.usage()?.written_bytes - before.written_bytes;
    let line =
        Line::new("disk writes an alert, in a flood", "≤ 2 KB", "KB", vec![bytes / 1e3 / count as f64]);
    Ok(line.at_most(2.0).note(format!("{count} alerts for one person, sent in digests")))
}
