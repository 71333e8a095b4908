//! A mosquitto that drops nothing by itself and stores nothing on disk, so that the disk is the gateway's.

use std::net::TcpStream;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};

use super::process::{Process, free_port, pinned};
use crate::clock::wait;

pub struct Broker {
    pub port: u16,
    /// Ends with this.
    _process: Process,
}

impl Broker {
    pub fn start(folder: &Path, core: &str) -> Result<Self> {
        let port = free_port()?;
        let config = folder.join("mosquitto.conf");
        let text = format!(
            "listener {port} 127.0.0.1\nallow_anonymous true\nuser root\npersistence false\nmax_queued_messages 0\nlog_type error\n"
        );
        std::fs::write(&config, text)?;
        let process = start(&config, core, port)?;
        Ok(Self { port, _process: process })
    }
}

fn start(config: &Path, core: &str, port: u16) -> Result<Process> {
    let program = ["/usr/sbin/mosquitto", "/usr/local/sbin/mosquitto", "/usr/bin/mosquitto"];
    let program = program.iter().find(|path| Path::new(path).exists());
    let program =
        program.context("mosquitto is not installed: apt-get install mosquitto mosquitto-clients")?;
    let mut command = pinned(core, program);
    let process = Process::start(command.arg("-c").arg(config), &config.with_extension("log"))?;
    wait(Duration::from_secs(10), "the broker", || Ok(TcpStream::connect(("127.0.0.1", port)).ok()))?;
    Ok(process)
}
