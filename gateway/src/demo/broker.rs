//! The demo's own broker, so that nothing needs to be installed. For the demo alone: it keeps nothing on disk, and its log
//! of messages only grows.

use std::net::SocketAddr;

use anyhow::{Context, Result};
use rumqttd::{Broker, Config, ConnectionSettings, RouterConfig, ServerSettings};

/// Starts it on threads of its own; it ends with the process.
pub fn start(listen: SocketAddr) -> Result<()> {
    let settings = ServerSettings {
        name: "demo".to_owned(),
        listen,
        tls: None,
        next_connection_delay_ms: 1,
        connections: ConnectionSettings {
            connection_timeout_ms: 5_000,
            max_payload_size: 1024 * 1024,
            max_inflight_count: 100,
            auth: None,
            external_auth: None,
            dynamic_filters: true,
        },
    };
    let router = RouterConfig {
        max_connections: 32,
        max_outgoing_packet_count: 200,
        max_segment_size: 1024 * 1024,
        max_segment_count: 4,
        ..RouterConfig::default()
    };
    let v4 = Some([("demo".to_owned(), settings)].into_iter().collect());
    let config = Config { id: 0, router, v4, ..Config::default() };
    std::thread::Builder::new()
        .name("demo-broker".into())
        .spawn(move || {
            if let Err(error) = Broker::new(config).start() {
                tracing::error!(%error, "the demo's broker ended");
            }
        })
        .context("the demo's broker cannot be started")?;
    Ok(())
}
