//! Publishes events at QoS 1, as fast as the broker takes them or so many a second.

use std::io::Write;

use anyhow::Result;
use clap::Args;
use serde_json::json;

use crate::clock::{now_ns, pause_ns};
use crate::wire::mqtt::{Client, Packet, encode};

#[derive(Debug, Args)]
pub struct Generate {
    #[arg(long)]
    pub port: u16,
    #[arg(long)]
    pub count: u64,
    /// Events a second; as fast as possible without it.
    #[arg(long)]
    pub rate: Option<u64>,
    /// `KEY` stands for a number below `--keys`.
    #[arg(long)]
    pub topic: String,
    #[arg(long, default_value_t = 1)]
    pub keys: u64,
    /// The first number.
    #[arg(long, default_value_t = 0)]
    pub from: u64,
    /// Unacknowledged at once.
    #[arg(long, default_value_t = 200)]
    pub window: u64,
    /// Prints the time of each acknowledgement of the first so many events, for the peers' words in the payload.
    #[arg(long, default_value_t = 9.5)]
    pub celsius: f64,
}

pub fn run(order: &Generate) -> Result<()> {
    let mut client = Client::connect(order.port, &format!("generator-{}", std::process::id()), true)?;
    let began = now_ns();
    let (mut sent, mut acknowledged) = (0, 0);
    let mut packets = Vec::new();
    while acknowledged < order.count {
        packets.clear();
        while sent < order.count && sent - acknowledged < order.window {
            if let Some(rate) = order.rate {
                let due = began + sent * 1_000_000_000 / rate;
                let now = now_ns();
                if due > now {
                    if !packets.is_empty() || sent > acknowledged {
                        break;
                    }
                    pause_ns(due - now);
                }
            }
            let sequence = order.from + sent;
            let topic = order.topic.replace("KEY", &(sequence % order.keys).to_string());
            let payload = format!(
                "{{\"celsius\":{},\"device\":\"fridge7\",\"msg\":\"BENCH:{sequence}:{}:\"}}",
                order.celsius,
                now_ns()
            );
            sent += 1;
            encode(&mut packets, &topic, payload.as_bytes(), u16::try_from(sent % 65_000).unwrap_or(0) + 1);
        }
        if !packets.is_empty() {
            client.send(&packets)?;
        }
        loop {
            if matches!(client.hear()?, Packet::Acknowledged) {
                acknowledged += 1;
            }
            if !client.has_more() {
                break;
            }
        }
    }
    client.close()?;
    writeln!(std::io::stdout(), "{}", json!({ "began": began, "ended": now_ns() }))?;
    Ok(())
}
