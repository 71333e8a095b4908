//! Hours of mixed load with random faults: what must stay flat is looked at, what must not be lost is counted.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Result;

use super::Bench;
use super::intake::generate;
use crate::clock::{now_ns, pause};
use crate::parts::{Broker, Plan, Sink, Site, number};
use crate::report::{Plot, Soak};

/// Above this share of its size an hour, what should be flat is not.
const GROWTH: f64 = 0.05;
/// A fault each so many seconds on average.
const FAULT_EVERY_S: u64 = 20;
/// Alerts whose message, or its digest, says that it may have come twice.
const MARKED: &str = "SELECT count(*) FROM message m LEFT JOIN message d ON d.id = m.digest
     WHERE m.alert IS NOT NULL AND (m.possible_duplicate = 1 OR d.possible_duplicate = 1)";
/// Points of a line on the page, which is 550 pixels wide.
const PLOTTED: usize = 275;
/// So many people that a good three alerts come for each in twelve seconds, where Meta takes two messages: there are always
/// digests to make.
const PEOPLE: u32 = 200;

struct Run {
    broker: Broker,
    sink: Sink,
    site: Site,
    dice: u64,
    faults: BTreeMap<String, u64>,
    plots: [Plot; 4],
    began: u64,
}

/// So many seconds: bursts and quiet, and every so often the API fails, refuses or hangs, or the gateway is killed.
pub fn soak(bench: &Bench, seconds: u64) -> Result<Soak> {
    let (broker, sink) = (bench.broker()?, bench.sink()?);
    let plan = Plan { people: PEOPLE, rules: PEOPLE, ..Plan::default() };
    let mut site = bench.site(&broker, sink.port, &plan)?;
    site.start()?;
    let x = "seconds";
    let plots = [
        Plot::new("soak-memory", "Memory", x, "MB resident").over_time(),
        Plot::new("soak-descriptors", "Open descriptors", x, "descriptors").over_time(),
        Plot::new("soak-log", "SQLite's log", x, "KiB").over_time(),
        Plot::new("soak-age", "The oldest message that waits", x, "seconds").over_time(),
    ];
    let mut run =
        Run { broker, sink, site, dice: 0x9e37_79b9, faults: BTreeMap::new(), plots, began: now_ns() };
    let mut sent = 0;
    while run.elapsed() < seconds {
        let count = 20 + run.roll(180);
        let (from, rate) = (sent.to_string(), (20 + run.roll(200)).to_string());
        let words = ["--from", &from, "--rate", &rate, "--window", "1000"];
        generate(bench, &run.broker, count, PEOPLE.into(), &words)?;
        sent += count;
        run.look()?;
        if run.roll(FAULT_EVERY_S) < 2 {
            run.fault()?;
        }
        pause(200 + run.roll(800));
    }
    let mut quiet_for = 0;
    let mut arrived = 0;
    while arrived < sent && quiet_for < 120 {
        pause(1_000);
        let now = run.sink.count()?;
        quiet_for = if now == arrived { quiet_for + 1 } else { 0 };
        arrived = now;
        run.look()?;
    }
    let stats = run.sink.order("count")?;
    let marked = number(&run.site.database(), MARKED)? as u64;
    let slopes = run.plots.iter().map(slope).collect();
    Ok(Soak {
        seconds,
        sent,
        lost: sent - arrived.min(sent),
        twice: stats.duplicates,
        marked: Some(marked),
        faults: run.faults,
        plots: run.plots.map(|plot| plot.peaks(PLOTTED)).to_vec(),
        slopes,
    })
}

impl Run {
    fn elapsed(&self) -> u64 {
        (now_ns() - self.began) / 1_000_000_000
    }

    /// Below `limit`; the same each run (xorshift).
    fn roll(&mut self, limit: u64) -> u64 {
        self.dice ^= self.dice << 13;
        self.dice ^= self.dice >> 7;
        self.dice ^= self.dice << 17;
        self.dice % limit
    }

    fn fault(&mut self) -> Result<()> {
        let away = 500 + self.roll(3_000);
        let names = ["fail", "refuse", "hang", "kill"];
        let name = names[self.roll(4) as usize];
        *self.faults.entry(name.to_owned()).or_default() += 1;
        if name == "kill" {
            self.site.kill();
            pause(away);
            self.site.start()?;
        } else {
            self.sink.order(name)?;
            pause(away);
            self.sink.order("ok")?;
        }
        Ok(())
    }

    fn look(&mut self) -> Result<()> {
        let usage = self.site.usage()?;
        let log = std::fs::metadata(self.site.state().join("bellwire.db-wal")).map_or(0, |file| file.len());
        let oldest = "SELECT min(created_at) / 1000.0 FROM message WHERE state IN ('queued', 'sending')";
        let oldest = number(&self.site.database(), oldest)?;
        let now = Duration::from_nanos(now_ns()).as_secs_f64();
        let age = if oldest > 0.0 { now - oldest } else { 0.0 };
        let at = (now_ns() - self.began) as f64 / 1e9;
        for (plot, value) in
            self.plots.iter_mut().zip([usage.resident_mb, usage.descriptors, log as f64 / 1024.0, age])
        {
            plot.add("", at, value);
        }
        Ok(())
    }
}

/// Growth an hour over the second half by least squares, and whether it is less than a twentieth of the mean: as much as
/// an allocator's habits, and in an hour or two more than they.
fn slope(plot: &Plot) -> (String, f64, bool) {
    let points = plot.series.first().map(|series| series.points.as_slice()).unwrap_or_default();
    let half = &points[points.len() / 2..];
    let count = half.len().max(1) as f64;
    let (x, y) = half.iter().fold((0.0, 0.0), |(x, y), point| (x + point.0 / count, y + point.1 / count));
    let (mut over, mut under) = (0.0, 0.0);
    for point in half {
        over += (point.0 - x) * (point.1 - y);
        under += (point.0 - x) * (point.0 - x);
    }
    let an_hour = if under > 0.0 { over / under * 3_600.0 } else { 0.0 };
    let seconds = half.last().map_or(0.0, |last| last.0 - half[0].0);
    // What it grew by in the time that was looked at, so that a short run is not judged by an hour that nobody saw.
    (plot.title.clone(), an_hour, an_hour * seconds / 3_600.0 <= y * GROWTH + 1.0)
}
