//! The gateway as it is installed: its own folder, its own configuration, the packaged program.

use std::fmt::Write as _;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;

use super::process::{Process, free_port, pinned};
use crate::wire::mqtt::{Client, Packet};

/// What the configuration holds.
#[derive(Debug, Clone)]
pub struct Plan {
    /// People; rule N tells person N modulo this.
    pub people: u32,
    pub rules: u32,
    /// `when` of each rule; without one each event is an alert.
    pub when: Option<&'static str>,
    /// The alerts have a life, keyed by the topic's last level.
    pub life: bool,
    pub messages_per_second: u32,
    /// Each person is written to over one of so many: together they may send so many times what Meta lets one of them.
    pub numbers: u32,
}

impl Default for Plan {
    fn default() -> Self {
        Self { people: 1, rules: 1, when: None, life: false, messages_per_second: 1_000, numbers: 1 }
    }
}

/// A folder with configuration, secrets and state, and the program that runs on it.
pub struct Site {
    folder: TempDir,
    program: PathBuf,
    core: String,
    pub http_port: u16,
    broker_port: u16,
    process: Option<Process>,
}

impl Site {
    /// The rules listen to `bench/N/+`.
    pub fn new(program: &Path, core: &str, broker_port: u16, sink_port: u16, plan: &Plan) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("bellwire-bench-").tempdir()?;
        for (name, secret) in [("access-token", "token"), ("app-secret", "secret"), ("verify-token", "word")]
        {
            let path = folder.path().join(name);
            std::fs::write(&path, secret)?;
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))?;
        }
        let http_port = free_port()?;
        let mut text = format!(
            "[site]\nname = \"Bench\"\nstate_directory = \"state\"\n[http]\nlisten = \"127.0.0.1:{http_port}\"\n\
             [mqtt]\nurl = \"mqtt://127.0.0.1:{broker_port}\"\nclient_id = \"bellwire\"\n"
        );
        for number in 0..plan.numbers {
            write!(
                text,
                "[[connection]]\nname = \"n{number}\"\nphone_number_id = \"{}\"\naccess_token_file = \"access-token\"\n\
                 app_secret_file = \"app-secret\"\nverify_token_file = \"verify-token\"\nmessages_per_second = {}\n\
                 api_url = \"http://127.0.0.1:{sink_port}\"\n",
                109_876_543_210_123_u64 + u64::from(number),
                plan.messages_per_second
            )?;
        }
        for person in 0..plan.people {
            write!(text, "[[contact]]\nid = \"p{person}\"\nphone = \"+4915{:09}\"\n", 100_000_000 + person)?;
        }
        for rule in 0..plan.rules {
            write!(
                text,
                "[[rule]]\nname = \"r{rule}\"\ntopic = \"bench/{rule}/{{unit}}\"\nnotify = [\"p{}\"]\nconnection = \"n{}\"\n\
                 message = \"{{{{ unit }}}} is at {{{{ payload.celsius }}}} °C {{{{ payload.msg }}}}\"\n",
                rule % plan.people,
                rule % plan.people % plan.numbers
            )?;
            if let Some(when) = plan.when {
                writeln!(text, "when = \"{when}\"")?;
            }
            if plan.life {
                text.push_str("key = [\"unit\"]\nresolve_when = \"payload.celsius < -17\"\n");
            }
        }
        let config = folder.path().join("bellwire.toml");
        std::fs::write(&config, text)?;
        Ok(Self {
            folder,
            program: program.to_owned(),
            core: core.to_owned(),
            http_port,
            broker_port,
            process: None,
        })
    }

    pub fn state(&self) -> PathBuf {
        self.folder.path().join("state")
    }

    pub fn database(&self) -> PathBuf {
        self.state().join("bellwire.db")
    }

    /// What it has said so far.
    pub fn said(&self) -> String {
        std::fs::read_to_string(self.log()).unwrap_or_default()
    }

    fn log(&self) -> PathBuf {
        self.folder.path().join("log")
    }

    /// Starts it, and waits until it has subscribed. The seconds that took.
    pub fn start(&mut self) -> Result<f64> {
        let mut watcher =
            Client::connect(self.broker_port, &format!("watcher-{}", std::process::id()), true)?;
        watcher.subscribe("bellwire/#")?;
        let began = crate::clock::now_ns();
        let mut command = pinned(&self.core, &self.program);
        command.current_dir(self.folder.path()).args(["run", "--config", "bellwire.toml"]);
        self.process = Some(Process::start(&mut command, &self.log())?);
        // It says `online` after its subscription, over the same connection; retained ones are older.
        loop {
            if let Packet::Publish { topic, payload, id, qos1 } = watcher.hear()? {
                if qos1 {
                    watcher.acknowledge(id)?;
                }
                if topic.ends_with("/status") && payload == b"online" {
                    break;
                }
            }
        }
        let took = (crate::clock::now_ns() - began) as f64 / 1e9;
        watcher.close()?;
        Ok(took)
    }

    pub fn process(&mut self) -> Result<&mut Process> {
        let log = self.log();
        let process = self.process.as_mut().context("the gateway was not started")?;
        ensure!(process.runs(), "the gateway ended: {}", std::fs::read_to_string(log).unwrap_or_default());
        Ok(process)
    }

    pub fn usage(&mut self) -> Result<super::Usage> {
        self.process()?.usage()
    }

    pub fn stop(&mut self) {
        if let Some(process) = &mut self.process {
            process.stop();
        }
        self.process = None;
    }

    pub fn kill(&mut self) {
        if let Some(process) = &mut self.process {
            process.kill();
        }
        self.process = None;
    }

    /// A subcommand on this configuration, on the gateway's core.
    pub fn command(&self, words: &[&str]) -> Command {
        let mut command = pinned(&self.core, &self.program);
        command.current_dir(self.folder.path()).args(words).args(["--config", "bellwire.toml"]);
        command
    }

    /// Waits until a number out of the database is reached; the time at which it was seen.
    pub fn reached(&mut self, sql: &str, wanted: f64, limit_s: u64) -> Result<u64> {
        let path = self.database();
        let ask = || Ok((super::number(&path, sql)? >= wanted).then(crate::clock::now_ns));
        crate::clock::wait(Duration::from_secs(limit_s), sql, ask)
    }
}
