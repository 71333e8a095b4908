//! Measures the gateway as it is built for devices: against its budgets, against what the machine can do at all, and
//! against what people use today. Everything runs on the loopback of this machine.
//!
//! `main` reads the wishes; `measure` has one file for each thing that is measured, `parts` the processes that take part,
//! `role` what this program itself is as one of them, `wire` the two protocols, `report` the page and its plots.

mod clock;
mod measure;
mod parts;
mod report;
mod role;
mod wire;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use clap::{Parser, Subcommand};

use measure::Bench;
use report::{Machine, Report};

#[derive(Debug, Parser)]
#[command(about = "Measures Bellwire against its budgets", version)]
struct Arguments {
    #[command(subcommand)]
    role: Option<Role>,
    /// The program; without it, it is built with `cargo build --profile device --no-default-features`.
    #[arg(long)]
    program: Option<PathBuf>,
    /// The program for a 64-bit Raspberry Pi, as tools/cross-build makes it, for its size; without it, that of the program.
    #[arg(long)]
    pi: Option<PathBuf>,
    /// The Debian package, for its size.
    #[arg(long)]
    deb: Option<PathBuf>,
    /// Prints the report as JSON.
    #[arg(long)]
    json: bool,
    /// Few and short: shows that everything runs; no figure of it means anything.
    #[arg(long)]
    quick: bool,
    /// Only these: floors, intake, latency, queue, drain, disk, idle, webhook, size, pages; or none.
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// Growth with rows, rules and keys.
    #[arg(long)]
    growth: bool,
    /// The same work by mqttwarn and Node-RED, installed into this folder when they are not there yet.
    #[arg(long)]
    peers: Option<PathBuf>,
    /// So many seconds of mixed load with faults.
    #[arg(long)]
    soak: Option<u64>,
    /// Adds to the report that is in docs/performance, and writes the page, the plots and the README's figures.
    #[arg(long)]
    write: bool,
    /// Writes the page from the report that is there, and measures nothing.
    #[arg(long)]
    render: bool,
}

/// What this program is as a process of a measurement.
#[derive(Debug, Subcommand)]
enum Role {
    #[command(hide = true)]
    Generate(role::generate::Generate),
    #[command(hide = true)]
    Sink(role::sink::Sink),
    #[command(hide = true)]
    Fsync(role::floor::Fsync),
    #[command(hide = true)]
    Post(role::floor::Post),
    #[command(hide = true)]
    Hop(role::floor::Hop),
    #[command(hide = true)]
    Webhooks(role::webhooks::Webhooks),
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    match &arguments.role {
        None => measure(&arguments),
        Some(Role::Generate(order)) => role::generate::run(order),
        Some(Role::Sink(order)) => role::sink::run(order),
        Some(Role::Fsync(order)) => role::floor::fsync(order),
        Some(Role::Post(order)) => role::floor::post(order),
        Some(Role::Hop(order)) => role::floor::hop(order),
        Some(Role::Webhooks(order)) => role::webhooks::run(order),
    }
}

fn measure(arguments: &Arguments) -> Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize()?;
    let kept = std::fs::read_to_string(root.join("docs/performance/report.json")).ok();
    let kept: Option<Report> = kept.map(|text| serde_json::from_str(&text)).transpose()?;
    if arguments.render {
        return report::write(&kept.context("there is no report yet; run with --write")?, &root);
    }
    let program = match &arguments.program {
        Some(program) => program.canonicalize().context("--program")?,
        None => build(&root)?,
    };
    let cores = parts::Cores::of_machine();
    let machine = Machine::look(&program, &cores);
    let folder = tempfile::Builder::new().prefix("bellwire-bench-").tempdir()?;
    let (pi, deb) = (arguments.pi.clone(), arguments.deb.clone());
    let bench = Bench { program, pi, deb, cores, quick: arguments.quick, folder };
    let mut report = if arguments.write { kept.unwrap_or_default() } else { Report::default() };
    if arguments.only.first().map(String::as_str) != Some("none") {
        report.merge(bench.budgets(&arguments.only)?);
        report.machine = machine;
    }
    if arguments.growth {
        report.growth = measure::growth(&bench)?;
    }
    if let Some(folder) = &arguments.peers {
        report.peers = measure::peers(&bench, folder)?;
    }
    if let Some(seconds) = arguments.soak {
        report.soak = Some(measure::soak(&bench, seconds)?);
    }
    if arguments.write {
        report::write(&report, &root)?;
    }
    let text = if arguments.json { serde_json::to_string_pretty(&report)? } else { report::text(&report) };
    writeln!(std::io::stdout(), "{text}")?;
    Ok(())
}

/// The program as it goes onto a device.
fn build(root: &Path) -> Result<PathBuf> {
    let words =
        ["build", "--profile", "device", "--no-default-features", "--package", "bellwire", "--locked"];
    let status = Command::new("cargo").current_dir(root).args(words).status()?;
    ensure!(status.success(), "the gateway could not be built");
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
    Ok(target.join("device/bellwire"))
}
