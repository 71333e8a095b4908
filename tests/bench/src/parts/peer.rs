//! What people use today for the same work, as its documentation sets it up; and Bellwire, as one of them.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;

use super::process::{Process, Usage, free_port, pinned};
use super::{Broker, Plan, Site};

/// A program that takes events from the broker and posts each to the sink.
pub enum Peer {
    Bellwire(Box<Site>),
    Other { command: Box<dyn Fn() -> Command>, folder: TempDir, process: Option<Process> },
}

/// People enough that Meta's limit for one person holds nothing back.
pub const PEOPLE: u32 = 1_000;

/// The others keep no pace: with eight numbers Meta's, 1,000 messages a second each, is not what a burst waits for.
const NUMBERS: u32 = 8;

impl Peer {
    pub fn bellwire(program: &Path, core: &str, broker: &Broker, sink: u16) -> Result<Self> {
        let plan = Plan { people: PEOPLE, rules: PEOPLE, numbers: NUMBERS, ..Plan::default() };
        Ok(Self::Bellwire(Box::new(Site::new(program, core, broker.port, sink, &plan)?)))
    }

    pub fn mqttwarn(installed: &Path, core: &str, broker: &Broker, sink: u16) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let config = folder.path().join("mqttwarn.ini");
        std::fs::write(&config, filled(include_str!("../../peers/mqttwarn.ini"), broker, sink))?;
        let (program, core, home) =
            (installed.join("mqttwarn/bin/mqttwarn"), core.to_owned(), folder.path().to_owned());
        let command = move || {
            let mut command = pinned(&core, &program);
            command.arg(format!("--config-file={}", config.display())).current_dir(&home);
            command
        };
        Ok(Self::Other { command: Box::new(command), folder, process: None })
    }

    pub fn nodered(installed: &Path, core: &str, broker: &Broker, sink: u16) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let flows = filled(include_str!("../../peers/nodered-flows.json"), broker, sink);
        std::fs::write(folder.path().join("flows.json"), flows)?;
        let settings =
            include_str!("../../peers/nodered-settings.js").replace("@PORT@", &free_port()?.to_string());
        std::fs::write(folder.path().join("settings.js"), settings)?;
        let (installed, core, home) = (installed.canonicalize()?, core.to_owned(), folder.path().to_owned());
        let command = move || {
            let mut command = pinned(&core, "node");
            command.arg(installed.join("nodered/node_modules/node-red/red.js")).arg("-u").arg(&home);
            command.arg("-s").arg(home.join("settings.js"));
            command
        };
        Ok(Self::Other { command: Box::new(command), folder, process: None })
    }

    pub fn start(&mut self) -> Result<()> {
        match self {
            Self::Bellwire(site) => site.start().map(drop),
            Self::Other { command, folder, process } => {
                *process = Some(Process::start(&mut command(), &folder.path().join("log"))?);
                Ok(())
            }
        }
    }

    pub fn kill(&mut self) {
        match self {
            Self::Bellwire(site) => site.kill(),
            Self::Other { process, .. } => *process = None, // dropping it kills it
        }
    }

    pub fn usage(&mut self) -> Result<Usage> {
        match self {
            Self::Bellwire(site) => site.usage(),
            Self::Other { process, folder, .. } => {
                let process = process.as_mut().context("it was not started")?;
                let log = folder.path().join("log");
                ensure!(process.runs(), "it ended: {}", std::fs::read_to_string(log).unwrap_or_default());
                process.usage()
            }
        }
    }
}

fn filled(text: &str, broker: &Broker, sink: u16) -> String {
    text.replace("@BROKER@", &broker.port.to_string()).replace("@SINK@", &sink.to_string())
}

/// Installs what is not there yet, from PyPI and npm; the versions of both.
pub fn install(folder: &Path) -> Result<(String, String)> {
    std::fs::create_dir_all(folder)?;
    let run = |program: PathBuf, words: &[&str], place: &Path| -> Result<String> {
        let output = Command::new(&program).args(words).current_dir(place).output();
        let output = output.with_context(|| format!("{} is not installed", program.display()))?;
        ensure!(
            output.status.success(),
            "{program:?} {words:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let (python, node) = (folder.join("mqttwarn/bin/python"), folder.join("nodered"));
    if !folder.join("mqttwarn/bin/mqttwarn").exists() {
        run("python3".into(), &["-m", "venv", "mqttwarn"], folder)?;
        run(
            python.canonicalize().map(|_| python.clone())?,
            &["-m", "pip", "install", "-q", "mqttwarn", "requests"],
            folder,
        )?;
    }
    if !node.join("node_modules/node-red/red.js").exists() {
        std::fs::create_dir_all(&node)?;
        run("npm".into(), &["init", "-y"], &node)?;
        run("npm".into(), &["install", "--no-fund", "--no-audit", "node-red"], &node)?;
    }
    let ask = "import importlib.metadata as m; print(m.version('mqttwarn'))";
    let python = std::path::absolute(&python)?;
    let mqttwarn = run(python, &["-c", ask], folder)?;
    let package = std::fs::read_to_string(node.join("node_modules/node-red/package.json"))?;
    let package: serde_json::Value = serde_json::from_str(&package)?;
    Ok((mqttwarn, package["version"].as_str().unwrap_or_default().to_owned()))
}
