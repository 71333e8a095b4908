//! Where and with what it was measured.

use std::path::Path;
use std::process::Command;

use serde::{Deserialize, Serialize};

use crate::parts::Cores;

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Machine {
    pub processor: String,
    pub processors: usize,
    pub memory: String,
    pub kernel: String,
    pub system: String,
    pub disk: String,
    pub cores: String,
    pub versions: Vec<String>,
    pub date: String,
    pub load: String,
}

impl Machine {
    pub fn look(program: &Path, cores: &Cores) -> Self {
        let line = |file: &str, name: &str| {
            let text = std::fs::read_to_string(file).unwrap_or_default();
            let found = text.lines().find_map(|line| line.strip_prefix(name).map(str::to_owned));
            found.unwrap_or_default().trim_matches([' ', ':', '\t', '"', '=']).to_owned()
        };
        let said = |program: &str, words: &[&str]| {
            let output = Command::new(program).args(words).output();
            let text = output.map(|output| [output.stdout, output.stderr].concat()).unwrap_or_default();
            String::from_utf8_lossy(&text).lines().next().unwrap_or("not here").trim().to_owned()
        };
        Self {
            processor: line("/proc/cpuinfo", "model name"),
            processors: std::thread::available_parallelism().map_or(0, std::num::NonZero::get),
            memory: line("/proc/meminfo", "MemTotal"),
            kernel: said("uname", &["-srm"]),
            system: line("/etc/os-release", "PRETTY_NAME"),
            disk: said("sh", &["-c", "df --output=fstype,source \"${TMPDIR:-/tmp}\" | tail -n 1"]),
            cores: format!(
                "broker {}, generator {}, sink {}, gateway {}",
                cores.broker, cores.generator, cores.sink, cores.gateway
            ),
            versions: vec![
                said(&program.to_string_lossy(), &["--version"]),
                said("/usr/sbin/mosquitto", &["-h"]),
                said("rustc", &["--version"]),
                format!("commit {}", said("git", &["rev-parse", "--short", "HEAD"])),
            ],
            date: said("date", &["-u", "+%Y-%m-%d %H:%M UTC"]),
            load: line("/proc/loadavg", ""),
        }
    }
}
