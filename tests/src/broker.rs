//! A mosquitto of one's own.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

use tempfile::TempDir;

use crate::{free_port, program, wait_for};

/// A broker with a persistent store, as an installer would run it.
pub struct Broker {
    pub port: u16,
    folder: TempDir,
    process: Option<Child>,
}

impl Broker {
    #[must_use]
    pub fn start() -> Self {
        Self::start_with("")
    }

    /// With more lines of configuration.
    #[must_use]
    pub fn start_with(extra: &str) -> Self {
        Self::start_on(free_port(), extra)
    }

    /// On a port that somebody has been told already.
    #[must_use]
    pub fn start_on(port: u16, extra: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let config = format!(
            "listener {port} 127.0.0.1\nallow_anonymous true\npersistence true\npersistence_location {}/\n\
             max_queued_messages 0\nmax_inflight_messages 20\n{extra}\n",
            folder.path().display()
        );
        std::fs::write(folder.path().join("mosquitto.conf"), config).expect("written");
        // Started as root, mosquitto would become the user mosquitto, which cannot write here.
        let mut broker = Self { port, folder, process: None };
        broker.up();
        broker
    }

    pub fn up(&mut self) {
        let config = self.folder.path().join("mosquitto.conf");
        let mut text = std::fs::read_to_string(&config).expect("readable");
        if !text.contains("\nuser ") {
            text.push_str("user root\n");
            std::fs::write(&config, text).expect("written");
        }
        let log = std::fs::File::create(self.folder.path().join("log")).expect("a log");
        let process = Command::new(program("mosquitto"))
            .arg("-c")
            .arg(&config)
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("mosquitto starts");
        self.process = Some(process);
        let port = self.port;
        wait_for(10, "the broker", || TcpStream::connect(("127.0.0.1", port)).ok());
    }

    /// Ends it as a machine that shuts down does: it saves its store.
    pub fn down(&mut self) {
        if let Some(mut process) = self.process.take() {
            terminate(&process);
            process.wait().expect("ended");
        }
    }

    /// Ends it as a power cut does: what it did not save is gone.
    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill().expect("killed");
            process.wait().expect("ended");
        }
    }

    /// Takes away what it saved, sessions and all, while it is down.
    pub fn forget(&self) {
        drop(std::fs::remove_file(self.folder.path().join("mosquitto.db"))); // it may not have saved yet
    }

    /// What it has said so far.
    #[must_use]
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    pub fn restart(&mut self) {
        self.down();
        self.up();
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.down();
    }
}

pub(crate) fn terminate(process: &Child) {
    let pid = process.id().to_string();
    Command::new("kill").args(["-TERM", &pid]).status().expect("kill runs");
}

/// Publishes with QoS 1 and waits for the broker's acknowledgement.
pub fn publish(port: u16, topic: &str, payload: &[u8]) {
    let mut child = Command::new(program("mosquitto_pub"))
        .args(["-h", "127.0.0.1", "-p", &port.to_string(), "-q", "1", "-t", topic, "-s"])
        .stdin(Stdio::piped())
        .spawn()
        .expect("mosquitto_pub starts");
    child.stdin.take().expect("piped").write_all(payload).expect("written");
    assert!(child.wait().expect("ended").success(), "publishing to {topic}");
}

/// Publishes with MQTT 5 and more options of mosquitto_pub's, such as `-D publish response-topic a/b`.
pub fn publish_5(port: u16, topic: &str, payload: &str, options: &[&str]) {
    let published = Command::new(program("mosquitto_pub"))
        .args(["-h", "127.0.0.1", "-p", &port.to_string(), "-V", "5", "-q", "1", "-t", topic, "-m", payload])
        .args(options)
        .status()
        .expect("mosquitto_pub starts");
    assert!(published.success(), "publishing to {topic}");
}

/// Publishes each line as a message of its own over one connection.
pub fn publish_lines(port: u16, topic: &str, lines: &[String]) {
    let mut child = Command::new(program("mosquitto_pub"))
        .args(["-h", "127.0.0.1", "-p", &port.to_string(), "-q", "1", "-t", topic, "-l"])
        .stdin(Stdio::piped())
        .spawn()
        .expect("mosquitto_pub starts");
    child.stdin.take().expect("piped").write_all((lines.join("\n") + "\n").as_bytes()).expect("written");
    assert!(child.wait().expect("ended").success(), "publishing to {topic}");
}

/// Collects what is published to a filter.
pub struct Subscriber {
    process: Child,
    lines: Arc<Mutex<Vec<String>>>,
}

impl Subscriber {
    /// Returns when the broker has granted the subscription.
    #[must_use]
    pub fn start(port: u16, filter: &str) -> Self {
        Self::start_with(port, filter, &["-v"])
    }

    /// Payloads in hexadecimal.
    #[must_use]
    pub fn in_hex(port: u16, filter: &str) -> Self {
        Self::start_with(port, filter, &["-F", "%t %x"])
    }

    /// With other options of mosquitto_sub's, such as MQTT 5 and a format of one's own.
    #[must_use]
    pub fn start_with(port: u16, filter: &str, options: &[&str]) -> Self {
        // Into a pipe its reports would be held back until 4 KiB have come together.
        let mut process = Command::new(program("stdbuf"))
            .arg("-oL")
            .arg(program("mosquitto_sub"))
            .args(["-h", "127.0.0.1", "-p", &port.to_string(), "-q", "1", "-t", filter, "-d"])
            .args(options)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("mosquitto_sub starts");
        let output = process.stdout.take().expect("piped");
        let lines: Arc<Mutex<Vec<String>>> = Arc::default();
        let collected = Arc::clone(&lines);
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                collected.lock().expect("unpoisoned").push(line);
            }
        });
        let subscriber = Self { process, lines };
        wait_for(10, "the subscription", || {
            subscriber.all().iter().any(|line| line.contains("SUBACK")).then_some(())
        });
        subscriber
    }

    /// Subscribes and goes away again, as whoever the options say.
    pub fn once(port: u16, filter: &str, options: &[&str]) {
        let status = Command::new(program("mosquitto_sub"))
            .args(["-h", "127.0.0.1", "-p", &port.to_string(), "-q", "1", "-t", filter, "-E"])
            .args(options)
            .status();
        assert!(status.expect("mosquitto_sub runs").success(), "subscribing to {filter}");
    }

    /// `topic payload`, one a message.
    #[must_use]
    pub fn messages(&self) -> Vec<String> {
        let chatter = ["Client ", "Subscribed ("];
        self.all().into_iter().filter(|line| !chatter.iter().any(|start| line.starts_with(start))).collect()
    }

    fn all(&self) -> Vec<String> {
        self.lines.lock().expect("unpoisoned").clone()
    }
}

impl Drop for Subscriber {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}
