//! How intake, drain, list, start and memory change with rows, rules and keys.

use anyhow::Result;

use super::Bench;
use super::intake::{COUNTED, ROWS, taken};
use super::queue::{drain, filled, memory};
use crate::clock::seconds;
use crate::parts::{Plan, free_port};
use crate::report::{Plot, median};

pub fn growth(bench: &Bench) -> Result<Vec<Plot>> {
    Ok([rows(bench)?, rules(bench)?, keys(bench)?].concat())
}

fn rows(bench: &Bench) -> Result<Vec<Plot>> {
    let x = "messages in the outbox";
    let mut cost = Plot::new(
        "cost-by-rows",
        "One message's cost while others wait",
        x,
        "µs of processor, outbox to outcome",
    );
    let mut intake = Plot::new(
        "intake-by-rows",
        "Intake beside a full outbox",
        x,
        "events a second, each a row and a message",
    );
    let mut time = Plot::new("start-by-rows", "Start and list", x, "milliseconds");
    let mut size = Plot::new("memory-by-rows", "Memory", x, "MB resident");
    let sizes: &[u64] = if bench.quick { &[1, 10_000] } else { &[1, 10_000, 100_000, 1_000_000] };
    for rows in sizes.iter().copied() {
        bench.say(&format!("growth: {rows} rows"));
        let n = rows as f64;
        cost.add("drain", n, median(&drain(bench, rows, 1)?));
        let broker = bench.broker()?;
        let mut site = filled(bench, &broker, free_port()?, rows)?;
        let starts: Vec<f64> = (0..3)
            .map(|_| {
                let took = site.start();
                site.stop();
                took
            })
            .collect::<Result<_>>()?;
        time.add("start to subscribed", n, median(&starts) * 1e3);
        let (took, output) = seconds(|| site.command(&["outbox", "list"]).output());
        anyhow::ensure!(output?.status.success(), "the outbox could not be listed");
        time.add("bellwire outbox list", n, took * 1e3);
        size.add("resident", n, memory(bench, &mut site)?.0);
        site.start()?;
        let count = bench.count(5_000, 1_000);
        let had = crate::parts::number(&site.database(), ROWS)?;
        let began = super::intake::generate(bench, &broker, count, 50, &[])?;
        let ended = site.reached(ROWS, had + count as f64, 60)?;
        intake.add("committed", n, count as f64 / ((ended - began) as f64 / 1e9));
    }
    Ok(vec![cost, intake, time, size])
}

fn rules(bench: &Bench) -> Result<Vec<Plot>> {
    let x = "rules, one of which matches";
    let mut rate = Plot::new("intake-by-rules", "Intake with many rules", x, "µs of processor an event");
    let count = bench.count(10_000, 1_000);
    for rules in [1, 100, 1_000] {
        bench.say(&format!("growth: {rules} rules"));
        let plan = Plan { rules, people: rules, ..Plan::default() };
        let alerting = taken(bench, &plan, count, rules.into(), ROWS, &[])?;
        let quiet = Plan { when: Some("payload.celsius > 20"), ..plan };
        let counted = taken(bench, &quiet, count, rules.into(), COUNTED, &[])?;
        rate.add("alerting", rules.into(), alerting.cpu_us);
        rate.add("counted", rules.into(), counted.cpu_us);
    }
    Ok(vec![rate])
}

fn keys(bench: &Bench) -> Result<Vec<Plot>> {
    let x = "alerts that are firing, one a key";
    let mut rate = Plot::new(
        "intake-by-keys",
        "Intake with many alerts that have a life",
        x,
        "µs of processor an event",
    );
    let count = bench.count(20_000, 2_000);
    let most = bench.count(10_000, 1_000);
    for keys in [1, 100, 1_000, 10_000].into_iter().filter(|keys| *keys <= most) {
        bench.say(&format!("growth: {keys} keys"));
        let plan = Plan { life: true, when: Some("payload.celsius > 0"), ..Plan::default() };
        let found = taken(bench, &plan, count, keys, COUNTED, &["--topic", "bench/0/KEY"])?;
        rate.add("life", keys as f64, found.cpu_us);
    }
    Ok(vec![rate])
}
