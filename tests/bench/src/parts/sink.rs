//! The sink, from outside.

use std::io::{BufRead, BufReader, Write};
use std::process::{ChildStdout, Stdio};

use anyhow::{Context, Result};
use serde::Deserialize;

use super::process::{Process, free_port, role};

pub struct Sink {
    pub port: u16,
    process: Process,
    answers: BufReader<ChildStdout>,
}

/// What has arrived.
#[derive(Debug, Clone, Deserialize)]
pub struct Stats {
    pub events: u64,
    pub duplicates: u64,
    pub requests: u64,
    pub most_open: u64,
    pub last_arrived: Option<u64>,
    pub latencies_ns: Vec<u64>,
}

impl Stats {
    /// In milliseconds.
    pub fn latency(&self, part: f64) -> f64 {
        let mut sorted = self.latencies_ns.clone();
        sorted.sort_unstable();
        let at = ((sorted.len() as f64) * part) as usize;
        sorted.get(at.min(sorted.len().saturating_sub(1))).map_or(f64::NAN, |ns| *ns as f64 / 1e6)
    }
}

impl Sink {
    pub fn start(core: &str) -> Result<Self> {
        let port = free_port()?;
        let mut command = role(core, &["sink", "--port", &port.to_string()])?;
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let answers = BufReader::new(child.stdout.take().context("no output")?);
        let mut sink = Self { port, process: Process::of(child), answers };
        sink.order("reset")?;
        Ok(sink)
    }

    /// `ok`, `fail`, `hang`, `refuse`, `reset`, `delay MS`; `stats` brings the latencies, too.
    pub fn order(&mut self, words: &str) -> Result<Stats> {
        let input = self.process.child().stdin.as_mut().context("no input")?;
        writeln!(input, "{words}")?;
        let mut line = String::new();
        self.answers.read_line(&mut line)?;
        serde_json::from_str(&line).with_context(|| format!("the sink answered {words} with {line:?}"))
    }

    pub fn count(&mut self) -> Result<u64> {
        Ok(self.order("count")?.events)
    }
}
