//! One file for each thing that is measured.

mod disk;
mod growth;
mod idle;
mod intake;
mod latency;
mod pages;
mod peers;
mod queue;
mod soak;
mod webhook;

use std::io::Write;
use std::path::PathBuf;

use anyhow::Result;
use tempfile::TempDir;

use crate::parts::{Broker, Cores, Plan, Sink, Site};
use crate::report::Line;

pub use growth::growth;
pub use peers::peers;
pub use soak::soak;

/// What every measurement needs.
pub struct Bench {
    pub program: PathBuf,
    pub pi: Option<PathBuf>,
    pub deb: Option<PathBuf>,
    pub cores: Cores,
    /// Few and short: to see that all runs, not to believe a figure.
    pub quick: bool,
    pub folder: TempDir,
}

impl Bench {
    /// `whole`, or with `--quick` so few.
    fn count(&self, whole: u64, quick: u64) -> u64 {
        if self.quick { quick } else { whole }
    }

    fn broker(&self) -> Result<Broker> {
        Broker::start(self.folder.path(), &self.cores.broker)
    }

    fn sink(&self) -> Result<Sink> {
        Sink::start(&self.cores.sink)
    }

    fn site(&self, broker: &Broker, sink_port: u16, plan: &Plan) -> Result<Site> {
        Site::new(&self.program, &self.cores.gateway, broker.port, sink_port, plan)
    }

    pub fn say(&self, what: &str) {
        drop(writeln!(std::io::stderr(), "… {what}"));
    }

    /// All lines of the budget, or those whose group is among `only`.
    pub fn budgets(&self, only: &[String]) -> Result<Vec<Line>> {
        type Measure = fn(&Bench) -> Result<Vec<Line>>;
        let groups: [(&str, Measure); 10] = [
            ("floors", latency::floors),
            ("intake", intake::budgets),
            ("latency", latency::budgets),
            ("queue", queue::budgets),
            ("drain", queue::costs),
            ("disk", disk::budgets),
            ("idle", idle::budgets),
            ("webhook", webhook::budgets),
            ("size", idle::sizes),
            ("pages", pages::budgets),
        ];
        let mut lines = Vec::new();
        for (name, measure) in groups {
            if only.is_empty() || only.iter().any(|wanted| wanted == name) {
                self.say(name);
                let found = measure(self)?;
                for line in &found {
                    self.say(&format!("  {}: {:.3} {} {:?}", line.name, line.value, line.unit, line.floor));
                }
                lines.extend(found);
            }
        }
        Ok(lines)
    }
}
