//! The gateway, the simulator and their configuration.

use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use crate::broker::terminate;
use crate::{free_port, wait_for};

pub const PHONE_NUMBER_ID: &str = "109876543210123";

/// The program under test, built by `cargo build` beside this test.
fn binary() -> PathBuf {
    let test = std::env::current_exe().expect("a path");
    let folder = test.ancestors().nth(2).expect("target/PROFILE/deps/test");
    let path = folder.join("bellwire");
    assert!(path.exists(), "{} is missing: run `cargo build` first, or tests/run", path.display());
    path
}

/// A program of `firmware-bridge/demo-device`, built by `firmware-bridge/check-targets` into the same target folder.
#[must_use]
pub fn firmware(name: &str) -> PathBuf {
    let test = std::env::current_exe().expect("a path");
    let target = test.ancestors().nth(3).expect("target/PROFILE/deps/test");
    let path = target.join("bare/thumbv6m-none-eabi/release").join(name);
    assert!(
        path.exists(),
        "{} is missing: run firmware-bridge/check-targets first, or tests/run",
        path.display()
    );
    path
}

/// What runs as the gateway: the program above, or the command in `BELLWIRE_GATEWAY`, for example an emulator and a program
/// for another processor (tests/cross). The simulator is always ours: programs for devices have none.
#[must_use]
pub fn gateway_command() -> Command {
    let named = std::env::var("BELLWIRE_GATEWAY").unwrap_or_default();
    let mut words = named.split_whitespace();
    let mut command = words.next().map_or_else(|| Command::new(binary()), Command::new);
    command.args(words);
    command
}

/// A folder with a configuration, secrets and state.
pub struct Site {
    folder: TempDir,
    pub http_port: u16,
    pub api_port: u16,
}

impl Site {
    /// `rest` are the contacts and rules, in TOML.
    #[must_use]
    pub fn new(broker_port: u16, rest: &str) -> Self {
        Self::with_mqtt(&format!("url = \"mqtt://127.0.0.1:{broker_port}\""), rest)
    }

    /// `mqtt` is the whole section; without a `client_id` of its own it is `bellwire-test`.
    #[must_use]
    pub fn with_mqtt(mqtt: &str, rest: &str) -> Self {
        let named = if mqtt.contains("client_id") { "" } else { "\nclient_id = \"bellwire-test\"" };
        let folder = tempfile::tempdir().expect("a folder");
        let (http_port, api_port) = (free_port(), free_port());
        for (name, secret) in
            [("access-token", "token"), ("app-secret", "secret"), ("verify-token", "my-verify-token")]
        {
            let path = folder.path().join(name);
            std::fs::write(&path, secret).expect("written");
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).expect("set");
        }
        let config = format!(
            "[site]\nname = \"Test\"\nstate_directory = \"{}/state\"\n[http]\nlisten = \"127.0.0.1:{http_port}\"\n\
             [mqtt]\n{mqtt}{named}\n[[connection]]\nname = \"main\"\nphone_number_id = \"{PHONE_NUMBER_ID}\"\n\
             access_token_file = \"access-token\"\napp_secret_file = \"app-secret\"\nverify_token_file = \"verify-token\"\n\
             api_url = \"http://127.0.0.1:{api_port}\"\n{rest}",
            folder.path().display()
        );
        std::fs::write(folder.path().join("bellwire.toml"), config).expect("written");
        Self { folder, http_port, api_port }
    }

    #[must_use]
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    #[must_use]
    pub fn config(&self) -> PathBuf {
        self.path().join("bellwire.toml")
    }

    /// The database, opened to look into.
    #[must_use]
    pub fn database(&self) -> rusqlite::Connection {
        rusqlite::Connection::open(self.path().join("state/bellwire.db")).expect("a database")
    }

    /// One number out of the database.
    #[must_use]
    pub fn count(&self, sql: &str) -> i64 {
        self.database().query_row(sql, [], |row| row.get(0)).expect(sql)
    }

    /// `bellwire outbox show ID --json`.
    #[must_use]
    pub fn show(&self, id: i64) -> Value {
        let output = bellwire(&[
            "outbox",
            "show",
            &id.to_string(),
            "--json",
            "--config",
            &self.config().to_string_lossy(),
        ]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).expect("JSON")
    }

    /// What the gateway has said so far.
    #[must_use]
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.path().join("log")).unwrap_or_default()
    }

    #[must_use]
    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.http_port)
    }

    #[must_use]
    pub fn api(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.api_port)
    }

    /// What businesses sent, as the simulator tells it.
    #[must_use]
    pub fn sent(&self) -> Vec<Value> {
        get_json(&self.api("/_simulator/messages")).as_array().expect("a list").clone()
    }

    /// Waits until this many messages were sent; longer than the gateway's longest pause after a failure, 30 s.
    #[must_use]
    pub fn wait_sent(&self, count: usize) -> Vec<Value> {
        wait_for(40, &format!("{count} messages"), || Some(self.sent()).filter(|sent| sent.len() >= count))
    }

    pub fn fault(&self, fault: &Value) {
        assert_eq!(post_json(&self.api("/_simulator/faults"), fault).0, 200, "{fault}");
    }
}

/// Runs the program to its end.
#[must_use]
pub fn bellwire(arguments: &[&str]) -> Output {
    gateway_command().args(arguments).output().expect("bellwire runs")
}

/// `bellwire run` as a process of its own.
pub struct Gateway(Child);

impl Gateway {
    /// Returns when it is ready: the broker has answered its subscriptions.
    #[must_use]
    pub fn start(site: &Site) -> Self {
        let gateway = Self::launch(site);
        gateway.wait_ready(site);
        gateway
    }

    /// Does not wait.
    #[must_use]
    pub fn launch(site: &Site) -> Self {
        Self::launch_with(site, &[])
    }

    /// With more of an environment, as systemd gives it.
    #[must_use]
    pub fn launch_with(site: &Site, environment: &[(&str, &str)]) -> Self {
        Self::launch_under(site, &[], environment)
    }

    /// As an argument of another program: one that takes something away from it, or makes its system calls fail.
    #[must_use]
    pub fn launch_under(site: &Site, under: &[&str], environment: &[(&str, &str)]) -> Self {
        let log = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(site.path().join("log"))
            .expect("a log");
        Self::spawn(site, under, environment, log.into())
    }

    /// Under strace, which sees its system calls and can make them fail. `-D`: the gateway is the child, as ever, and strace
    /// looks on from a process of its own, so that whoever ends the gateway ends both.
    #[must_use]
    pub fn launch_traced(site: &Site, arguments: &[&str]) -> Self {
        Self::launch_under(site, &[&["strace", "-D", "-f", "-qq"], arguments].concat(), &[])
    }

    /// With standard error wherever it is wanted.
    #[must_use]
    pub fn spawn(site: &Site, under: &[&str], environment: &[(&str, &str)], stderr: Stdio) -> Self {
        let gateway = gateway_command();
        let mut command = match under.split_first() {
            None => gateway,
            Some((program, arguments)) => {
                let mut command = Command::new(program);
                command.args(arguments).arg(gateway.get_program()).args(gateway.get_args());
                command
            }
        };
        command
            .args(["run", "--config"])
            .arg(site.config())
            .env("BELLWIRE_LOG", "info")
            .envs(environment.iter().copied())
            .stdout(Stdio::null())
            .stderr(stderr);
        Self(command.spawn().expect("bellwire starts"))
    }

    /// Waits until it says that it is ready.
    pub fn wait_ready(&self, site: &Site) {
        let url = site.url("/readyz");
        let end = Instant::now() + Duration::from_secs(15);
        while ureq::get(&url).call().is_err() {
            assert!(Instant::now() < end, "the gateway is not ready; it says:\n{}", site.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Waits until it ends by itself; its exit code.
    pub fn wait_end(mut self, seconds: u64) -> Option<i32> {
        wait_for(seconds, "the gateway's end", || self.0.try_wait().expect("asked")).code()
    }

    /// Its process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.0.id()
    }

    /// SIGKILL.
    pub fn kill(mut self) {
        self.0.kill().expect("killed");
        self.0.wait().expect("ended");
    }

    /// SIGTERM; returns the exit code.
    pub fn stop(mut self) -> Option<i32> {
        terminate(&self.0);
        self.0.wait().expect("ended").code()
    }

    /// Whether it is still running.
    pub fn is_running(&mut self) -> bool {
        self.0.try_wait().expect("asked").is_none()
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// `bellwire simulator` as a process of its own.
pub struct Simulator(Child);

impl Simulator {
    #[must_use]
    pub fn start(site: &Site) -> Self {
        Self::start_with(site, &[])
    }

    #[must_use]
    pub fn start_with(site: &Site, more: &[&str]) -> Self {
        let (listen, webhook) = (format!("127.0.0.1:{}", site.api_port), site.url("/webhook/whatsapp"));
        let secret = |name: &str| std::fs::read_to_string(site.path().join(name)).expect("a secret");
        let (token, app_secret) = (secret("access-token"), secret("app-secret"));
        let token = ["--access-token", token.as_str()];
        let process = Command::new(binary())
            .args(["simulator", "--listen", &listen, "--webhook", &webhook])
            .args(["--app-secret", &app_secret, "--verify-token", &secret("verify-token")])
            .args(if more.contains(&"--access-token") { &[][..] } else { &token })
            .args(more)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("the simulator starts");
        wait_for(10, "the simulator", || TcpStream::connect(&listen).ok());
        Self(process)
    }
}

impl Drop for Simulator {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

#[must_use]
pub fn get_json(url: &str) -> Value {
    let mut response = ureq::get(url).call().expect(url);
    response.body_mut().with_config().limit(64 * 1024 * 1024).read_json().expect("JSON")
}

/// The status and the body, whatever the status is.
#[must_use]
pub fn post_json(url: &str, body: &Value) -> (u16, Value) {
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .timeout_global(Some(Duration::from_secs(20)))
        .build()
        .into();
    let mut response = agent.post(url).send_json(body).expect(url);
    (response.status().as_u16(), response.body_mut().read_json().unwrap_or(Value::Null))
}
