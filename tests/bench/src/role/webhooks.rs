//! Posts signed webhook bodies as Meta does: statuses of messages that were sent, many in a body.

use std::fmt::Write as _;
use std::io::Write;

use anyhow::Result;
use clap::Args;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::json;
use sha2::Sha256;

use crate::clock::{now_ns, pause_ns, seconds};
use crate::wire::http;

#[derive(Debug, Args)]
pub struct Webhooks {
    #[arg(long)]
    pub port: u16,
    /// Bodies.
    #[arg(long)]
    pub count: u64,
    /// Statuses in each.
    #[arg(long)]
    pub batch: u64,
    #[arg(long, default_value_t = 1)]
    pub connections: u64,
    /// Bodies a second over each connection; as fast as they are answered without it.
    #[arg(long)]
    pub rate: Option<u64>,
    /// Of the first message's.
    #[arg(long, default_value_t = 1)]
    pub from: u64,
}

pub fn run(order: &Webhooks) -> Result<()> {
    let began = now_ns();
    let (port, batch, rate, share) = (order.port, order.batch, order.rate, order.count / order.connections);
    let lines = (0..order.connections).map(|line| {
        let first = order.from + line * share * batch;
        std::thread::spawn(move || posts(port, share, batch, first, rate))
    });
    let mut times = Vec::new();
    for line in lines.collect::<Vec<_>>() {
        times.extend(line.join().map_err(|_| anyhow::anyhow!("a poster stopped"))??);
    }
    let ended = now_ns();
    times.sort_by(f64::total_cmp);
    let at = |part: f64| times.get(((times.len() as f64) * part) as usize).copied().unwrap_or_default();
    let line = json!({ "began": began, "ended": ended, "p50_ms": at(0.5) * 1e3, "p99_ms": at(0.99) * 1e3 });
    writeln!(std::io::stdout(), "{line}")?;
    Ok(())
}

fn posts(port: u16, count: u64, batch: u64, first: u64, rate: Option<u64>) -> Result<Vec<f64>> {
    let bodies = (0..count).map(|index| signed(first + index * batch, batch)).collect::<Result<Vec<_>>>()?;
    let mut client = http::Client::connect(port)?;
    let began = now_ns();
    let mut times = Vec::new();
    for (index, (body, signature)) in bodies.iter().enumerate() {
        if let Some(rate) = rate {
            pause_ns((began + index as u64 * 1_000_000_000 / rate).saturating_sub(now_ns()));
        }
        let head = format!("X-Hub-Signature-256: sha256={signature}\r\n");
        let (took, status) = seconds(|| client.post("/webhook/whatsapp", &head, body));
        let status = status?;
        anyhow::ensure!(status == 200, "a webhook was answered {status}");
        times.push(took);
    }
    Ok(times)
}

fn signed(first: u64, batch: u64) -> Result<(Vec<u8>, String)> {
    let statuses: Vec<_> = (first..first + batch)
        .map(|number| {
            json!({ "id": format!("wamid.S{number}"), "status": "delivered", "timestamp": "1790000000", "recipient_id": "4915100000000",
                "pricing": { "billable": true, "pricing_model": "PMP", "category": "utility", "type": "regular" } })
        })
        .collect();
    let body = json!({ "object": "whatsapp_business_account", "entry": [{ "id": "102290129340398", "changes": [{ "field": "messages",
        "value": { "messaging_product": "whatsapp", "metadata": { "display_phone_number": "1", "phone_number_id": "109876543210123" },
            "statuses": statuses } }] }] });
    let body = body.to_string().into_bytes();
    let mut mac = Hmac::<Sha256>::new_from_slice(b"secret")?;
    mac.update(&body);
    let mut signature = String::new();
    for byte in mac.finalize().into_bytes() {
        write!(signature, "{byte:02x}")?;
    }
    Ok((body, signature))
}
