//! From a signed webhook to its committed body, and to what it says of the messages.

use anyhow::{Context, Result};

use super::Bench;
use super::queue::filled;
use crate::clock::now_ns;
use crate::parts::{Site, fill_sent, free_port, role};
use crate::report::Line;

/// Updates in one body: what Meta puts together in a burst.
const BATCH: u64 = 50;

/// Every body that was taken has been read. Each was stored before it was answered.
const READ: &str = "SELECT NOT EXISTS (SELECT 1 FROM inbox WHERE state = 'new')";

fn post(bench: &Bench, site: &Site, words: &[&str]) -> Result<serde_json::Value> {
    let port = site.http_port.to_string();
    let mut command = role(&bench.cores.generator, &["webhooks", "--port", &port])?;
    let output = command.args(words).stderr(std::process::Stdio::inherit()).output()?;
    serde_json::from_slice(&output.stdout).context("the poster said nothing")
}

pub fn budgets(bench: &Bench) -> Result<Vec<Line>> {
    let broker = bench.broker()?;
    let updates = bench.count(20_000, 4_000);
    let runs = bench.count(3, 1);
    let (alone, singles) = (bench.count(300, 60), bench.count(300, 60).to_string());
    let all = updates * runs + alone * runs;
    let mut site = filled(bench, &broker, free_port()?, all)?;
    fill_sent(&site.database(), all)?;
    site.start()?;
    let (mut taken, mut read, mut tails) = (Vec::new(), Vec::new(), Vec::new());
    let mut from = 1;
    for _ in 0..runs {
        let (bodies, first) = ((updates / BATCH).to_string(), from.to_string());
        let said = post(
            bench,
            &site,
            &["--count", &bodies, "--batch", "50", "--connections", "8", "--from", &first],
        )?;
        let began = said["began"].as_u64().context("no begin")?;
        let answered = said["ended"].as_u64().context("no end")?;
        from += updates;
        site.reached(READ, 1.0, 120)?;
        let rate = |until: u64| updates as f64 / ((until - began) as f64 / 1e9);
        taken.push(rate(answered));
        read.push(rate(now_ns()));
        let first = from.to_string();
        let said =
            post(bench, &site, &["--count", &singles, "--batch", "1", "--rate", "50", "--from", &first])?;
        from += alone;
        tails.push(said["p99_ms"].as_f64().context("no figure")?);
        site.reached(READ, 1.0, 60)?;
    }
    let line = Line::new(
        "webhook, signature to committed, in batches of 50",
        "≥ 5,000 updates/s",
        "updates/s",
        taken,
    );
    let applied = crate::report::median(&read);
    Ok(vec![
        line.at_least(5_000.0)
            .note(format!("read and applied to their messages as well: {applied:.0} updates/s")),
        Line::new("webhook alone, 99th percentile to the answer", "≤ 50 ms", "ms", tails).at_most(50.0),
    ])
}
