//! What the machine itself can do: the least that any program with the same promise must do.

use std::fs::File;
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use serde_json::json;

use crate::clock::{now_ns, seconds};
use crate::wire::{http, mqtt};

/// What a commit's fsync is asked to make durable, at least: one page.
const PAGE: [u8; 4_096] = [7; 4_096];

#[derive(Debug, Args)]
pub struct Fsync {
    #[arg(long)]
    pub file: PathBuf,
    #[arg(long)]
    pub count: u32,
}

#[derive(Debug, Args)]
pub struct Post {
    #[arg(long)]
    pub port: u16,
    #[arg(long)]
    pub count: u32,
    /// Connections at once.
    #[arg(long, default_value_t = 1)]
    pub connections: u32,
}

#[derive(Debug, Args)]
pub struct Hop {
    #[arg(long)]
    pub broker: u16,
    #[arg(long)]
    pub sink: u16,
    #[arg(long)]
    pub file: PathBuf,
    #[arg(long)]
    pub count: u32,
    #[arg(long)]
    pub topic: String,
}

/// Appends a page and waits for the disk, again and again.
pub fn fsync(order: &Fsync) -> Result<()> {
    let file = File::create(&order.file)?;
    let mut times = Vec::new();
    for index in 0..order.count {
        let (took, done) = seconds(|| {
            file.write_all_at(&PAGE, u64::from(index % 64) * PAGE.len() as u64)?;
            file.sync_data()
        });
        done?;
        times.push(took * 1e9);
    }
    report(&times)
}

/// Posts what a small alert looks like and waits for the answer.
pub fn post(order: &Post) -> Result<()> {
    let (port, count) = (order.port, order.count / order.connections);
    let lines = (0..order.connections).map(|_| std::thread::spawn(move || posts(port, count)));
    let mut times = Vec::new();
    for line in lines.collect::<Vec<_>>() {
        times.extend(line.join().map_err(|_| anyhow::anyhow!("a poster stopped"))??);
    }
    report(&times)
}

fn posts(port: u16, count: u32) -> Result<Vec<f64>> {
    let mut client = http::Client::connect(port)?;
    let body = br#"{"messaging_product":"whatsapp","recipient_type":"individual","to":"4915100000000","type":"text","text":{"preview_url":false,"body":"a small alert"}}"#;
    let mut times = Vec::new();
    for _ in 0..count {
        let (took, status) = seconds(|| client.post("/v25.0/1/messages", "", body));
        anyhow::ensure!(status? == 200, "the sink did not take it");
        times.push(took * 1e9);
    }
    Ok(times)
}

/// One broker hop, one fsync, one HTTP hop, acknowledged in between, as bare as can be.
pub fn hop(order: &Hop) -> Result<()> {
    let mut broker = mqtt::Client::connect(order.broker, "floor", true)?;
    broker.subscribe(&order.topic)?;
    let mut sink = http::Client::connect(order.sink)?;
    let file = File::create(&order.file)?;
    writeln!(std::io::stdout(), "ready")?;
    std::io::stdout().flush()?;
    let began = now_ns();
    let mut taken = 0;
    while taken < order.count {
        let mqtt::Packet::Publish { payload, id, qos1, .. } = broker.hear()? else { continue };
        let mut page = PAGE;
        let length = payload.len().min(page.len());
        page[..length].copy_from_slice(&payload[..length]);
        file.write_all_at(&page, u64::from(taken % 64) * PAGE.len() as u64)?;
        file.sync_data()?;
        if qos1 {
            broker.acknowledge(id)?;
        }
        sink.post("/v25.0/1/messages", "", &payload)?;
        taken += 1;
    }
    writeln!(std::io::stdout(), "{}", json!({ "began": began, "ended": now_ns() }))?;
    Ok(())
}

fn report(times: &[f64]) -> Result<()> {
    let sum: f64 = times.iter().sum();
    let mut sorted = times.to_vec();
    sorted.sort_by(f64::total_cmp);
    let at = |part: f64| sorted.get(((sorted.len() as f64) * part) as usize).copied().unwrap_or_default();
    let line = json!({ "count": times.len(), "sum_ns": sum, "p50_ns": at(0.5), "p99_ns": at(0.99) });
    writeln!(std::io::stdout(), "{line}")?;
    Ok(())
}
