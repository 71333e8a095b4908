//! A device as a process: a client of the protocol behind a program that reads commands and says what came of them.
//!
//! | command | answer |
//! |---|---|
//! | `emit COUNT FIRST` | accepts so many events with `celsius` and `n`, from `n = FIRST`: `ACCEPTED REFUSED` |
//! | `fields NAME:TYPE:VALUE…` | accepts one event, TYPE being `b`, `i`, `f` or `t`: `ok`, `full`, `refused` or `storage` |
//! | `lose KIND COUNT` | the next so many messages of the kind are lost, to whichever side they go |
//! | `line 0`, `line 1` | leaves the broker, or goes there again |
//! | `topic NAME`, `topic` | speaks on topics of another name than its own, or of its own again |
//! | `status` | what it knows of itself, `key=value` each |
//! | `decode KIND BYTES` | a message's values, or `refused` |
//! | `encode-hello …`, `encode-event …`, `encode-result …` | the message, or `refused` |
//! | `frame KIND BYTES`, `unframe BYTES` | a frame; kind and message, or `nothing` |
//!
//! Names, texts and bytes are hexadecimal words: `x`, then two digits a byte.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::Duration;

use bellwire_tests::program;

/// Bytes of events that a device keeps.
pub const MEMORY: u32 = 8_192;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    /// The crate `firmware-bridge`.
    Ours,
    C,
    /// In CPython.
    Python,
    MicroPython,
}

pub struct Harness {
    process: Child,
    commands: ChildStdin,
    answers: Receiver<String>,
}

impl Harness {
    /// `port`: the broker's, or after `serial:` that of a line. `store`: the file that outlives it; without one it keeps its
    /// events in memory. `id`: a number of its own.
    pub fn start(which: Which, name: &str, port: &str, store: Option<&Path>, id: Option<&str>) -> Self {
        let store = store.map_or("-".into(), |path| path.to_string_lossy().into_owned());
        let mut command = command(which);
        if which == Which::Python {
            command.arg(root().join("tests/devices/harness.py"));
        }
        let mut process = command
            .args([name, port, &store, &MEMORY.to_string(), id.unwrap_or("-")])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("python3, node and cc are needed for this test: tests/run installs them");
        let output = process.stdout.take().unwrap();
        let (told, answers) = mpsc::channel();
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                drop(told.send(line)); // nobody may be waiting any more
            }
        });
        Self { commands: process.stdin.take().unwrap(), process, answers }
    }

    pub fn ask(&mut self, command: &str) -> String {
        writeln!(self.commands, "{command}").expect("the device has not ended");
        self.answers
            .recv_timeout(Duration::from_secs(30))
            .expect("the device has not ended, and does not hang")
    }

    pub fn status(&mut self) -> BTreeMap<String, u32> {
        let line = self.ask("status");
        let number = |word: &str| {
            let (key, value) = word.split_once('=').unwrap();
            (key.to_owned(), value.parse().expect(&line))
        };
        line.split(' ').map(number).collect()
    }
}

/// SIGKILL.
impl Drop for Harness {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

fn command(which: Which) -> Command {
    let devices = root().join("tests/devices");
    match which {
        Which::Ours => Command::new(env!("CARGO_BIN_EXE_device-harness")),
        Which::C => Command::new(compiled("harness")),
        Which::Python => {
            let mut command = Command::new("python3");
            command.env("PYTHONPATH", root().join("firmware-bridge/clients/micropython"));
            command.env("PYTHONDONTWRITEBYTECODE", "1");
            command
        }
        Which::MicroPython => {
            let there = devices.join("node_modules/@micropython").exists();
            assert!(there, "MicroPython is not there: npm ci --prefix tests/devices (tests/run does it)");
            let mut command = Command::new(program("node"));
            command.arg(devices.join("micropython.mjs"));
            command
        }
    }
}

/// What is right and wrong with a client alone; it ends with 0 if nothing is wrong. Its output.
pub fn selftest(which: Which) -> String {
    let devices = root().join("tests/devices");
    let mut command = match which {
        Which::C => Command::new(compiled("selftest")),
        Which::Python | Which::MicroPython => command(which),
        Which::Ours => unreachable!("the crate has tests of its own"),
    };
    match which {
        Which::Python => drop(command.args([devices.join("selftest.py")])),
        Which::MicroPython => drop(command.arg("selftest")),
        Which::C | Which::Ours => {}
    }
    let output =
        command.output().expect("python3, node and cc are needed for this test: tests/run installs them");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    said
}

/// A C program of tests/devices, compiled if there is none yet that is newer than its sources: every warning is an error, and what is
/// undefined or out of bounds ends it.
fn compiled(name: &str) -> PathBuf {
    let (client, devices) = (root().join("firmware-bridge/clients/c"), root().join("tests/devices"));
    let sources =
        [client.join("bellwire.h"), client.join("bellwire.c"), devices.join(name).with_extension("c")];
    let test = std::env::current_exe().unwrap();
    let folder = test.ancestors().nth(3).unwrap().join("devices"); // target/PROFILE/deps/test
    let target = folder.join(name);
    let changed = |path: &Path| path.metadata().and_then(|file| file.modified()).ok();
    let newest = sources.iter().filter_map(|path| changed(path)).max();
    if changed(&target) > newest {
        return target;
    }
    std::fs::create_dir_all(&folder).unwrap();
    // Several tests may find it missing at once: each makes its own, and the last one stays.
    let own = folder.join(format!("{name}-{}", std::process::id()));
    let output = Command::new(program("cc"))
        .args([
            "-std=c99",
            "-Wall",
            "-Wextra",
            "-Wpedantic",
            "-Wconversion",
            "-Wshadow",
            "-Werror",
            "-O1",
            "-g",
        ])
        .args(["-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-DBW_BUFFER_BYTES=1200"])
        .arg("-I")
        .arg(&client)
        .args(&sources[1..])
        .args(["-lm", "-o"])
        .arg(&own)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    std::fs::rename(own, &target).unwrap();
    target
}
