//! A process of ours, pinned, and what the kernel tells of it.

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result};

use crate::clock::pause;

/// Which core each part runs on. Broker and generator share one, sink and gateway have the other or their own: on two
/// cores the gateway has one with the sink, which is idle while events come in.
#[derive(Debug, Clone)]
pub struct Cores {
    pub broker: String,
    pub generator: String,
    pub sink: String,
    pub gateway: String,
}

impl Cores {
    /// On two cores: the outside on the first, the gateway alone on the second.
    pub fn of_machine() -> Self {
        let count = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let core = |wanted: usize| wanted.min(count - 1).to_string();
        if count >= 4 {
            Self { broker: core(0), generator: core(1), sink: core(2), gateway: core(3) }
        } else {
            Self { broker: core(0), generator: core(0), sink: core(0), gateway: core(1) }
        }
    }
}

/// Ended when it is dropped.
#[derive(Debug)]
pub struct Process {
    child: Child,
}

/// What a process has used so far, all its threads and children of its own together.
#[derive(Debug, Clone, Copy, Default)]
pub struct Usage {
    pub cpu_ns: f64,
    pub resident_mb: f64,
    pub peak_mb: f64,
    pub written_bytes: f64,
    /// How often it was woken: each time that one of its threads gave the processor away.
    pub wakes: f64,
    pub descriptors: f64,
}

/// A command on that core.
pub fn pinned(core: &str, program: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = Command::new("taskset");
    command.arg("-c").arg(core).arg(program);
    command
}

/// This program in one of its roles, on that core.
pub fn role(core: &str, words: &[&str]) -> Result<Command> {
    let mut command = pinned(core, std::env::current_exe()?);
    command.args(words);
    Ok(command)
}

pub fn free_port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

impl Process {
    pub fn start(command: &mut Command, log: &Path) -> Result<Self> {
        let out = fs::File::options().create(true).append(true).open(log)?;
        let child = command.stdin(Stdio::null()).stdout(out.try_clone()?).stderr(out).spawn();
        Ok(Self { child: child.with_context(|| format!("cannot start {command:?}"))? })
    }

    pub fn of(child: Child) -> Self {
        Self { child }
    }

    pub fn child(&mut self) -> &mut Child {
        &mut self.child
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    pub fn runs(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// As a power cut would.
    pub fn kill(&mut self) {
        drop(self.child.kill()); // it may have ended by itself
        drop(self.child.wait());
    }

    /// Asks it to end, and waits for up to ten seconds.
    pub fn stop(&mut self) {
        let asked = Command::new("kill").arg(self.id().to_string()).status();
        for _ in 0..1_000 {
            if asked.is_err() || !self.runs() {
                break;
            }
            pause(10);
        }
        self.kill();
    }

    pub fn usage(&self) -> Result<Usage> {
        let pid = self.id();
        let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
        let field = |text: &str, name: &str| -> f64 {
            let line = text.lines().find_map(|line| line.strip_prefix(name));
            line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or_default()
        };
        let io = fs::read_to_string(format!("/proc/{pid}/io")).unwrap_or_default();
        let (mut cpu_ns, mut wakes) = (0.0, 0.0);
        for task in fs::read_dir(format!("/proc/{pid}/task"))? {
            let path = task?.path();
            let spent = fs::read_to_string(path.join("schedstat")).unwrap_or_default();
            cpu_ns += field(&format!("cpu {spent}"), "cpu ");
            let status = fs::read_to_string(path.join("status")).unwrap_or_default();
            wakes += field(&status, "voluntary_ctxt_switches:");
        }
        // Threads that have ended are in the process's own count alone, which is in ticks of 10 ms.
        let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
        let after_name = stat.rsplit(')').next().unwrap_or_default();
        let ticks: f64 =
            after_name.split_whitespace().skip(11).take(2).filter_map(|word| word.parse::<f64>().ok()).sum();
        Ok(Usage {
            cpu_ns: cpu_ns.max((ticks - 2.0) * 1e7),
            resident_mb: field(&status, "VmRSS:") / 1024.0,
            peak_mb: field(&status, "VmHWM:") / 1024.0,
            written_bytes: field(&io, "write_bytes:"),
            wakes,
            descriptors: fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, Iterator::count) as f64,
        })
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}
