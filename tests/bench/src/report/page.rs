//! The tables of `docs/performance.md` and the block in the README, from a report alone.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Context, Result};

use super::plot::short;
use super::{Line, Peer, Report};

/// Replaces what stands between the markers of that name.
fn write_block(path: &Path, name: &str, block: &str) -> Result<()> {
    let text = std::fs::read_to_string(path)?;
    let (begin, end) = (format!("<!-- bench: {name} -->\n"), format!("<!-- bench end: {name} -->"));
    let (before, rest) =
        text.split_once(&begin).with_context(|| format!("{} has no {begin}", path.display()))?;
    let (_, after) = rest.split_once(&end).with_context(|| format!("{} has no {end}", path.display()))?;
    std::fs::write(path, format!("{before}{begin}{block}{end}{after}"))?;
    Ok(())
}

/// Into `docs/performance.md`, `docs/performance/` and the README of the workspace in `root`.
pub fn write(report: &Report, root: &Path) -> Result<()> {
    let (page, folder) = (root.join("docs/performance.md"), root.join("docs/performance"));
    std::fs::create_dir_all(&folder)?;
    std::fs::write(folder.join("report.json"), serde_json::to_string_pretty(report)? + "\n")?;
    for (name, block) in blocks(report) {
        let target = if name == "readme" { root.join("README.md") } else { page.clone() };
        write_block(&target, name, &block)?;
    }
    let soaked = report.soak.iter().flat_map(|soak| &soak.plots);
    for plot in report.growth.iter().chain(soaked) {
        std::fs::write(folder.join(format!("{}.svg", plot.name)), plot.svg())?;
    }
    Ok(())
}

/// For a terminal: the same tables.
pub fn text(report: &Report) -> String {
    let mut text = machine(report) + "\n" + &budgets(&report.budgets);
    if !report.peers.is_empty() {
        text += "\n";
        text += &peers(&report.peers);
    }
    if report.soak.is_some() {
        text += "\n";
        text += &soak(report);
    }
    text
}

/// Each block with its marker's name.
fn blocks(report: &Report) -> Vec<(&'static str, String)> {
    vec![
        ("machine", machine(report)),
        ("budgets", budgets(&report.budgets)),
        ("growth", growth(report)),
        ("peers", peers(&report.peers)),
        ("soak", soak(report)),
        ("readme", readme(report)),
    ]
}

fn machine(report: &Report) -> String {
    let machine = &report.machine;
    let mut text = String::new();
    for (name, value) in [
        ("processor", format!("{} × {}", machine.processors, machine.processor)),
        ("memory", machine.memory.clone()),
        ("system", format!("{}, {}", machine.system, machine.kernel)),
        ("disk", machine.disk.clone()),
        ("cores", machine.cores.clone()),
        ("load before", machine.load.clone()),
        ("versions", machine.versions.join("; ")),
        ("measured", machine.date.clone()),
    ] {
        _ = writeln!(text, "- {name}: {value}");
    }
    text
}

fn budgets(lines: &[Line]) -> String {
    let mut text =
        String::from("| what | aim | measured | floor | ratio | met | |\n|---|---|---:|---:|---:|---|---|\n");
    for line in lines {
        let floor = line.floor.as_ref();
        _ = writeln!(
            text,
            "| {} | {} | {} {} | {} | {} | {} | {} |",
            line.name,
            line.aim,
            short(line.value),
            line.unit,
            floor.map_or("–".into(), |floor| format!("{} ({})", short(floor.value), floor.what)),
            floor.map_or("–".into(), |floor| format!("{:.2}", floor.ratio)),
            if line.met { "yes" } else { "**no**" },
            line.note
        );
    }
    text
}

fn growth(report: &Report) -> String {
    let mut text = String::new();
    for plot in &report.growth {
        _ = writeln!(text, "![{}: {} over {}](performance/{}.svg)\n", plot.title, plot.y, plot.x, plot.name);
    }
    text
}

fn peers(peers: &[Peer]) -> String {
    let row = |name: &str, cell: &dyn Fn(&Peer) -> String| {
        let cells: Vec<String> = peers.iter().map(cell).collect();
        format!("| {name} | {} |\n", cells.join(" | "))
    };
    let mut text = row("", &|peer| format!("{} {}", peer.name, peer.version));
    text += &format!("|---|{}\n", "---:|".repeat(peers.len()));
    text += &row("start to first delivery", &|peer| format!("{} ms", short(peer.start_ms)));
    text += &row("memory, idle", &|peer| format!("{:.1} MB", peer.idle_mb));
    text += &row("memory, at its highest", &|peer| format!("{:.1} MB", peer.peak_mb));
    text += &row("processor a message, 50/s", &|peer| format!("{} µs", short(peer.cpu_us_per_message)));
    text += &row("publish to request, median / 99 %", &|peer| {
        format!("{:.1} / {:.1} ms", peer.p50_ms, peer.p99_ms)
    });
    text += &row("burst", &|peer| format!("{}/s", short(peer.burst_per_s)));
    text += &row("sockets in the burst", &|peer| peer.sockets.to_string());
    text += &row("lost, the API answers 503 for a third of the time", &|peer| {
        format!("{} of {}", peer.lost_at_503, peer.outage_sent)
    });
    text += &row("lost, the API refuses connections as long", &|peer| {
        format!("{} of {}", peer.lost_at_refusal, peer.outage_sent)
    });
    text +=
        &row("lost, SIGKILL in the burst", &|peer| format!("{} of {}", peer.lost_at_kill, peer.kill_sent));
    text += &row("came twice, SIGKILL in the burst", &|peer| peer.twice_at_kill.to_string());
    text
}

fn soak(report: &Report) -> String {
    let Some(soak) = &report.soak else { return "Not run for this page.\n".into() };
    let faults: Vec<String> = soak.faults.iter().map(|(name, count)| format!("{name} {count}")).collect();
    let marked = soak.marked.map(|count| format!(" ({count} are marked as possible duplicates)"));
    let mut text = format!(
        "{} s of mixed load; {} faults ({}); {} events sent, {} lost, {} twice{}.\n\n| what | slope over the second half | flat |\n|---|---:|---|\n",
        soak.seconds,
        soak.faults.values().sum::<u64>(),
        faults.join(", "),
        soak.sent,
        soak.lost,
        soak.twice,
        marked.unwrap_or_default()
    );
    for (name, slope, flat) in &soak.slopes {
        _ = writeln!(
            text,
            "| {name} | {} an hour | {} |",
            short(if slope.abs() < 1e-6 { 0.0 } else { *slope }),
            if *flat { "yes" } else { "**no**" }
        );
    }
    for plot in &soak.plots {
        _ = writeln!(text, "\n![{}: {} over {}](performance/{}.svg)", plot.title, plot.y, plot.x, plot.name);
    }
    text
}

/// A few lines for whoever looks first.
fn readme(report: &Report) -> String {
    let chosen = [
        "memory, idle",
        "memory, 1000000 queued",
        "start to subscribed, 1000000 queued",
        "publish to HTTP request, idle system, median",
        "durable intake, each event an alert with its message",
        "wake-ups when idle",
        "program for a 64-bit Raspberry Pi, stripped",
    ];
    let mut text = String::from("| | measured | aim |\n|---|---:|---|\n");
    for line in report.budgets.iter().filter(|line| chosen.contains(&line.name.as_str())) {
        let mark = if line.met { "" } else { " (not met)" };
        _ = writeln!(text, "| {} | {} {} | {}{mark} |", line.name, short(line.value), line.unit, line.aim);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn root() -> std::path::PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
    }

    /// No figure in the README or on the page is written by hand, and none stays when the report changes.
    #[test]
    fn the_page_and_the_readme_say_what_was_measured() {
        let read = |path: &str| std::fs::read_to_string(root().join(path)).expect(path);
        let report: Report = serde_json::from_str(&read("docs/performance/report.json")).expect("a report");
        let (page, readme) = (read("docs/performance.md"), read("README.md"));
        for (name, block) in blocks(&report) {
            let text = if name == "readme" { &readme } else { &page };
            let framed = format!("<!-- bench: {name} -->\n{block}<!-- bench end: {name} -->");
            assert!(
                text.contains(&framed),
                "the block `{name}` is not what the report says: bellwire-bench --render"
            );
        }
        for plot in &report.growth {
            let path = format!("docs/performance/{}.svg", plot.name);
            assert_eq!(read(&path), plot.svg(), "{path}");
        }
    }
}
