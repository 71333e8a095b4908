//! What it costs when nothing happens, and how large it is.

use anyhow::Result;

use super::Bench;
use crate::clock::pause;
use crate::parts::Plan;
use crate::report::Line;

pub fn budgets(bench: &Bench) -> Result<Vec<Line>> {
    let (broker, sink) = (bench.broker()?, bench.sink()?);
    let mut site = bench.site(&broker, sink.port, &Plan::default())?;
    site.start()?;
    pause(2_000);
    let seconds = bench.count(30, 6);
    let before = site.usage()?;
    pause(seconds * 1_000);
    let after = site.usage()?;
    let wakes = (after.wakes - before.wakes) / seconds as f64;
    let share = (after.cpu_ns - before.cpu_ns) / 1e7 / seconds as f64;
    Ok(vec![
        Line::new("wake-ups when idle", "≤ 2 a second", "/s", vec![wakes])
            .at_most(2.0)
            .note(format!("all threads together; {share:.3} % of one core")),
    ])
}

pub fn sizes(bench: &Bench) -> Result<Vec<Line>> {
    let megabytes =
        |path: &std::path::Path| Ok::<_, anyhow::Error>(std::fs::metadata(path)?.len() as f64 / 1e6);
    let (what, path) = match &bench.pi {
        Some(pi) => ("program for a 64-bit Raspberry Pi, stripped", pi),
        None => ("program, stripped, device features", &bench.program),
    };
    let program = Line::new(what, "≤ 7 MB", "MB", vec![megabytes(path)?]);
    let mut lines = vec![program.at_most(7.0)];
    if let Some(deb) = &bench.deb {
        let size = megabytes(deb)?;
        lines.push(Line::new("Debian package", "≤ 3.5 MB", "MB", vec![size]).at_most(3.5));
    }
    Ok(lines)
}
