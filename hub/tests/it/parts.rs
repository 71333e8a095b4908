//! Engines, hubs, Meta and the way between site and hub, each a process or a thread of its own that ends with the test.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bellwire_tests::{
    PHONE_NUMBER_ID, Site, free_port, get_json, libfaketime, post_json, wait_for, wait_or_show,
};
use serde_json::{Value, json};
use tempfile::TempDir;

pub const APP_SECRET: &str = "metas-secret";
pub const META_TOKEN: &str = "metas-token";

/// Beside this test in `target/debug`.
fn program(name: &str) -> PathBuf {
    let test = std::env::current_exe().expect("a path");
    let path = test.ancestors().nth(2).expect("target/PROFILE/deps/test").join(name);
    assert!(
        path.exists(),
        "{} is missing: run `cargo build --workspace` first, or tests/run",
        path.display()
    );
    path
}

fn nats_server() -> PathBuf {
    if let Ok(named) = std::env::var("NATS_SERVER") {
        return named.into();
    }
    let path = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../target/nats/bin/nats-server"));
    assert!(path.exists(), "{} is missing: run tests/nats first, or tests/run", path.display());
    path
}

fn spawn(command: &mut Command, log: &Path) -> Child {
    let log = std::fs::OpenOptions::new().create(true).append(true).open(log).expect("a log");
    command.stdout(Stdio::null()).stderr(log).spawn().expect("it starts")
}

/// What is in memory of it, in kB (proc(5), `VmRSS`).
fn memory(process: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok()).unwrap_or(0)
}

/// What it took of the processor so far: hundredths of a second (proc(5), `utime` and `stime`).
fn processor(process: u32) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    let fields = stat.rsplit_once(')').map_or("", |(_, rest)| rest).split_whitespace().skip(11).take(2);
    Duration::from_millis(10 * fields.filter_map(|field| field.parse::<u64>().ok()).sum::<u64>())
}

/// Nodes of the engine: one, or a cluster of three.
pub struct Engine {
    folder: TempDir,
    ports: Vec<(u16, u16)>,
    nodes: Vec<Option<Child>>,
}

impl Engine {
    pub fn start(count: usize) -> Self {
        Self::start_with(count, "always")
    }

    pub fn start_with(count: usize, sync: &str) -> Self {
        Self::start_as(count, sync, |_| String::new())
    }

    /// With more in the settings of each node, for which files may be put into its folder.
    pub fn start_as(count: usize, sync: &str, more: impl Fn(&Path) -> String) -> Self {
        Self::start_apart(count, sync, more, |_, _, port| port, "")
    }

    /// With something between the nodes: `way` says at which port one finds another, whose own port it is given; `cluster` is more for
    /// that section.
    pub fn start_apart(
        count: usize,
        sync: &str,
        more: impl Fn(&Path) -> String,
        mut way: impl FnMut(usize, usize, u16) -> u16,
        cluster: &str,
    ) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let ports: Vec<(u16, u16)> = (0..count).map(|_| (free_port(), free_port())).collect();
        let more = more(folder.path());
        let own: Vec<u16> = (0..count).map(|_| free_port()).collect();
        for (at, (port, monitor)) in ports.iter().enumerate() {
            let route = |(to, port): (usize, &u16)| {
                format!("nats://127.0.0.1:{}", if to == at { *port } else { way(at, to, *port) })
            };
            let routes: Vec<String> = own.iter().enumerate().map(route).collect();
            let cluster = match count {
                1 => String::new(),
                _ => format!(
                    "cluster {{ name: hub, host: 127.0.0.1, port: {}, routes: [{}] {cluster} }}",
                    own[at],
                    routes.join(", ")
                ),
            };
            let text = format!(
                "server_name: n{at}\nhost: 127.0.0.1\nport: {port}\nhttp: 127.0.0.1:{monitor}\n\
                 authorization {{ user: hub, password: engines-password }}\n\
                 jetstream {{ store_dir: \"{}/n{at}\", sync_interval: {sync} }}\n{cluster}\n{more}",
                folder.path().display()
            );
            std::fs::write(folder.path().join(format!("n{at}.conf")), text).expect("written");
        }
        let mut engine = Self { folder, ports, nodes: (0..count).map(|_| None).collect() };
        (0..count).for_each(|at| engine.up(at));
        engine
    }

    pub fn up(&mut self, at: usize) {
        let config = self.folder.path().join(format!("n{at}.conf"));
        let log = self.folder.path().join("log");
        self.nodes[at] = Some(spawn(Command::new(nats_server()).arg("-c").arg(config), &log));
    }

    /// SIGKILL.
    pub fn kill(&mut self, at: usize) {
        if let Some(mut node) = self.nodes[at].take() {
            node.kill().expect("killed");
            node.wait().expect("ended");
        }
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// SIGTERM.
    pub fn stop(&mut self, at: usize) {
        if let Some(mut node) = self.nodes[at].take() {
            let told = Command::new("kill").arg(node.id().to_string()).status().expect("kill runs");
            assert!(told.success() && node.wait().is_ok(), "it ends");
        }
    }

    /// Which node leads a log, as the monitor of one says.
    pub fn leader(&self, log: &str) -> usize {
        let leads = |at: usize| {
            let path = "/jsz?streams=true";
            let said = get_json(&format!("http://127.0.0.1:{}{path}", self.ports[at].1));
            let streams = said["account_details"][0]["stream_detail"].as_array().cloned().unwrap_or_default();
            let stream = streams.into_iter().find(|stream| stream["name"] == log)?;
            stream["cluster"]["leader"].as_str()?.strip_prefix('n')?.parse().ok()
        };
        wait_for(30, "a leader", || (0..self.len()).find_map(leads))
    }

    /// Makes a node that a hub is connected to the leader of a log.
    pub fn lead_where_a_hub_is(&self, log: &str) -> usize {
        let has_hub = |at: &usize| {
            let said = get_json(&format!("http://127.0.0.1:{}/connz", self.ports[*at].1));
            let clients = said["connections"].as_array().cloned().unwrap_or_default();
            clients.iter().any(|client| client["name"] == "bellwire-hub")
        };
        let node = (0..self.len()).find(has_hub).expect("hubs are connected");
        for tries in 0.. {
            let leader = self.leader(log);
            if leader == node {
                break;
            }
            assert!(tries < 20, "node {node} is never elected for {log}");
            self.ask(&format!("$JS.API.STREAM.LEADER.STEPDOWN.{log}"), "");
            wait_for(30, "another leader", || (self.leader(log) != leader).then_some(()));
        }
        node
    }

    /// What somebody with the password asks the first node, in its own protocol; the answer.
    pub fn ask(&self, subject: &str, body: &str) -> String {
        let mut stream = TcpStream::connect(("127.0.0.1", self.ports[0].0)).expect("a node");
        stream.set_read_timeout(Some(Duration::from_secs(5))).expect("set");
        let login = r#"CONNECT {"user":"hub","pass":"engines-password","verbose":false}"#;
        let asked =
            format!("{login}\r\nSUB _INBOX.test 1\r\nPUB {subject} _INBOX.test {}\r\n{body}\r\n", body.len());
        stream.write_all(asked.as_bytes()).expect("asked");
        let (mut answer, mut bytes) = (String::new(), [0; 4096]);
        while !answer.contains("MSG _INBOX.test") || !answer.ends_with("}\r\n") {
            let count = stream.read(&mut bytes).expect("an answer");
            assert!(count > 0, "the node has hung up: {answer}");
            answer.push_str(&String::from_utf8_lossy(&bytes[..count]));
        }
        answer
    }

    /// Of all nodes, in kB.
    pub fn memory(&self) -> u64 {
        self.nodes.iter().flatten().map(|node| memory(node.id())).sum()
    }

    pub fn processor(&self) -> Duration {
        self.nodes.iter().flatten().map(|node| processor(node.id())).sum()
    }

    /// What hubs have sent to all nodes so far, as their monitors say: a request each, and what hubs tell each other.
    pub fn requests(&self) -> u64 {
        let of_node = |(_, monitor): &(u16, u16)| {
            let said = get_json(&format!("http://127.0.0.1:{monitor}/connz"));
            let clients = said["connections"].as_array().cloned().unwrap_or_default();
            clients.iter().filter_map(|client| client["in_msgs"].as_u64()).sum::<u64>()
        };
        self.ports.iter().map(of_node).sum()
    }

    /// All that a node had is gone.
    pub fn lose(&mut self, at: usize) {
        self.kill(at);
        std::fs::remove_dir_all(self.folder.path().join(format!("n{at}"))).expect("it had something");
    }

    /// Stops and goes on: SIGSTOP, SIGCONT.
    pub fn signal(&self, name: &str) {
        for node in self.nodes.iter().flatten() {
            let sent = Command::new("kill").args([&format!("-{name}"), &node.id().to_string()]).status();
            assert!(sent.expect("kill runs").success());
        }
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        (0..self.nodes.len()).for_each(|at| self.kill(at));
    }
}

/// Meta: the simulator, whose webhooks go to the given address.
pub struct Meta {
    pub port: u16,
    process: Child,
}

impl Meta {
    pub fn start(folder: &Path, webhook: &str) -> Self {
        let port = free_port();
        let listen = format!("127.0.0.1:{port}");
        let mut command = Command::new(program("bellwire"));
        command.args(["simulator", "--listen", &listen, "--webhook", webhook, "--app-secret", APP_SECRET]);
        command.args(["--verify-token", "my-verify-token", "--access-token", META_TOKEN]);
        let process = spawn(&mut command, &folder.join("meta.log"));
        wait_for(10, "the simulator", || TcpStream::connect(&listen).ok());
        Self { port, process }
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    pub fn sent(&self) -> Vec<Value> {
        get_json(&self.url("/_simulator/messages")).as_array().expect("a list").clone()
    }

    pub fn fault(&self, fault: &Value) {
        assert_eq!(post_json(&self.url("/_simulator/faults"), fault).0, 200, "{fault}");
    }

    /// A person writes or taps; the wamid of that.
    pub fn does(&self, what: &Value) -> String {
        let mut what = what.clone();
        what["phone_number_id"] = json!(PHONE_NUMBER_ID);
        let (status, answer) = post_json(&self.url("/_simulator/reply"), &what);
        assert_eq!(status, 200, "{what}: {answer}");
        answer["id"].as_str().expect("an id").to_owned()
    }
}

impl Drop for Meta {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

/// A hub as a process; its settings stay when it is killed.
pub struct Hub {
    folder: TempDir,
    pub port: u16,
    pub admin: u16,
    process: Option<Child>,
}

impl Hub {
    /// Settings for a hub of this engine, which asks this Meta.
    pub fn new(engine: &Engine, meta_port: u16) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let secrets = [
            ("access-token", META_TOKEN),
            ("app-secret", APP_SECRET),
            ("verify-token", "my-verify-token"),
            ("password", "engines-password"),
        ];
        for (name, secret) in secrets {
            let path = folder.path().join(name);
            std::fs::write(&path, secret).expect("written");
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).expect("set");
        }
        let (port, admin) = (free_port(), free_port());
        let list = |of: &dyn Fn(&(u16, u16)) -> String| engine.ports.iter().map(of).collect::<Vec<_>>();
        let servers = list(&|(port, _)| format!("nats://127.0.0.1:{port}"));
        let monitors = list(&|(_, port)| format!("http://127.0.0.1:{port}"));
        let text = format!(
            "listen = \"127.0.0.1:{port}\"\nadmin = \"127.0.0.1:{admin}\"\n[engine]\nservers = {servers:?}\nmonitors = {monitors:?}\nreplicas = {}\n\
             user = \"hub\"\npassword_file = \"password\"\n[[number]]\nphone_number_id = \"{PHONE_NUMBER_ID}\"\n\
             access_token_file = \"access-token\"\napp_secret_file = \"app-secret\"\n\
             verify_token_file = \"verify-token\"\napi_url = \"http://127.0.0.1:{meta_port}\"\n",
            engine.len()
        );
        std::fs::write(folder.path().join("hub.toml"), text).expect("written");
        Self { folder, port, admin, process: None }
    }

    /// With other words in its settings.
    pub fn replace(&self, from: &str, to: &str) {
        let text = std::fs::read_to_string(self.settings()).expect("readable");
        assert!(text.contains(from), "{text}");
        std::fs::write(self.settings(), text.replace(from, to)).expect("written");
    }

    /// At a port that somebody has been told already.
    pub fn listen_at(&mut self, port: u16) {
        self.replace(&format!(":{}", self.port), &format!(":{port}"));
        self.port = port;
    }

    pub fn up(&mut self) {
        let mut command = Command::new(program("bellwire-hub"));
        command.args(["run", "--config"]).arg(self.settings());
        self.process = Some(spawn(&mut command, &self.folder.path().join("log")));
    }

    /// With a clock that is five minutes ahead.
    pub fn up_ahead(&mut self) {
        let mut command = Command::new(program("bellwire-hub"));
        command.args(["run", "--config"]).arg(self.settings());
        command
            .env("LD_PRELOAD", libfaketime())
            .env("FAKETIME", "+5m")
            .env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
        self.process = Some(spawn(&mut command, &self.folder.path().join("log")));
    }

    /// Whether it has ended by itself.
    pub fn has_ended(&mut self) -> bool {
        self.process.as_mut().is_some_and(|process| process.try_wait().is_ok_and(|ended| ended.is_some()))
    }

    pub fn wait_ready(&self) {
        let url = self.url("/readyz");
        wait_or_show(90, "the hub", || self.log(), || ureq::get(&url).call().ok());
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill().expect("killed");
            process.wait().expect("ended");
        }
    }

    /// In kB.
    pub fn memory(&self) -> u64 {
        self.process.as_ref().map_or(0, |process| memory(process.id()))
    }

    pub fn processor(&self) -> Duration {
        self.process.as_ref().map_or(Duration::ZERO, |process| processor(process.id()))
    }

    /// SIGTERM; whether it ended well.
    pub fn stop(&mut self) -> bool {
        let Some(mut process) = self.process.take() else { return false };
        let told = Command::new("kill").arg(process.id().to_string()).status().expect("kill runs");
        told.success() && process.wait().expect("ended").success()
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// What the page of all sites or `/metrics` says.
    pub fn admin(&self, path: &str) -> String {
        let mut answer =
            ureq::get(format!("http://127.0.0.1:{}{path}", self.admin)).call().expect("an answer");
        answer.body_mut().read_to_string().expect("text")
    }

    pub fn settings(&self) -> PathBuf {
        self.folder.path().join("hub.toml")
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// `bellwire-hub ARGUMENTS`.
    pub fn command(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(program("bellwire-hub"));
        command.args(arguments).arg("--config").arg(self.settings());
        command.output().expect("it runs")
    }

    /// The same, which must succeed: what it says.
    pub fn says(&self, arguments: &[&str]) -> String {
        let output = self.command(arguments);
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// A new site and its token.
    pub fn enrol(&self, name: &str, people: &[&str]) -> String {
        let mut arguments = vec!["sites", "add", name, "--number", PHONE_NUMBER_ID];
        people.iter().for_each(|person| arguments.extend(["--person", person]));
        self.token(self.says(&arguments).trim())
    }

    /// A token for a code.
    pub fn token(&self, code: &str) -> String {
        let mut answer = ureq::post(self.url("/hub/v1/enrol")).send(code).expect("a token");
        answer.body_mut().read_to_string().expect("text").trim().to_owned()
    }
}

impl Drop for Hub {
    fn drop(&mut self) {
        self.kill();
    }
}

/// What stands before hubs: each connection goes to one that answers, in turn. It can cut an answer off.
pub struct Proxy {
    pub port: u16,
    /// The next answers are not passed on, so many of them.
    pub cuts: Arc<AtomicUsize>,
    ended: Arc<AtomicBool>,
}

impl Proxy {
    pub fn start(hubs: &[u16]) -> Self {
        let port = free_port();
        let listener = TcpListener::bind(("127.0.0.1", port)).expect("a port");
        let (cuts, ended) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
        let (hubs, turn) = (hubs.to_vec(), Arc::new(Mutex::new(0)));
        let (of_loop, is_over) = (Arc::clone(&cuts), Arc::clone(&ended));
        std::thread::spawn(move || {
            for site in listener.incoming() {
                if is_over.load(Ordering::Relaxed) {
                    return;
                }
                let Ok(site) = site else { continue };
                let first = {
                    let mut turn = turn.lock().expect("a lock");
                    *turn += 1;
                    *turn
                };
                let mut order = (0..hubs.len()).map(|at| hubs[(first + at) % hubs.len()]);
                let Some(hub) = order.find_map(|port| TcpStream::connect(("127.0.0.1", port)).ok()) else {
                    continue; // nobody is there: the connection is closed
                };
                let cuts = Arc::clone(&of_loop);
                pass(&site, &hub, None);
                pass(&hub, &site, Some(cuts));
            }
        });
        Self { port, cuts, ended }
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        drop(TcpStream::connect(("127.0.0.1", self.port)));
    }
}

fn pass(from: &TcpStream, to: &TcpStream, cuts: Option<Arc<AtomicUsize>>) {
    let (mut from, mut to) = (from.try_clone().expect("a copy"), to.try_clone().expect("a copy"));
    std::thread::spawn(move || {
        let mut bytes = [0; 16 * 1024];
        while let Ok(count @ 1..) = from.read(&mut bytes) {
            let cut = |cuts: &Arc<AtomicUsize>| {
                cuts.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok()
            };
            if cuts.as_ref().is_some_and(cut) || to.write_all(&bytes[..count]).is_err() {
                break;
            }
        }
        drop((from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both)));
    });
}

/// An engine of one node, Meta, two hubs, and a proxy before both.
pub fn two_hubs() -> (Engine, Meta, [Hub; 2], Proxy) {
    let engine = Engine::start(1);
    let folder = tempfile::tempdir().expect("a folder");
    let meta = Meta::start(folder.path(), &format!("http://127.0.0.1:{}/webhook/whatsapp", free_port()));
    let mut hubs = [Hub::new(&engine, meta.port), Hub::new(&engine, meta.port)];
    hubs.iter_mut().for_each(Hub::up);
    hubs.iter().for_each(Hub::wait_ready);
    let proxy = Proxy::start(&[hubs[0].port, hubs[1].port]);
    (engine, meta, hubs, proxy)
}

/// Three nodes, Meta, two hubs, and a proxy before both that Meta asks, too.
pub struct Chain {
    pub engine: Engine,
    pub meta: Meta,
    pub hubs: [Hub; 2],
    pub proxy: Proxy,
}

impl Chain {
    /// `prepare` changes the settings of each hub before it starts.
    pub fn start(prepare: impl Fn(&Hub)) -> Self {
        Self::over(Engine::start(3), prepare)
    }

    /// Over these nodes.
    pub fn over(engine: Engine, prepare: impl Fn(&Hub)) -> Self {
        let (folder, ports) = (tempfile::tempdir().expect("a folder"), [free_port(), free_port()]);
        let proxy = Proxy::start(&ports);
        let meta = Meta::start(folder.path(), &proxy.url("/webhook/whatsapp"));
        let mut hubs = [Hub::new(&engine, meta.port), Hub::new(&engine, meta.port)];
        for (hub, port) in hubs.iter_mut().zip(ports) {
            hub.listen_at(port);
            prepare(hub);
            hub.up();
        }
        hubs.iter().for_each(Hub::wait_ready);
        Self { engine, meta, hubs, proxy }
    }
}

/// Makes a site's configuration one that goes through a hub.
pub fn put_behind(site: &Site, url: &str, token: &str) {
    let path = site.path().join("hub-token");
    std::fs::write(&path, token).expect("written");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).expect("set");
    let text = std::fs::read_to_string(site.config()).expect("readable");
    let of_meta = ["access_token_file", "app_secret_file", "verify_token_file", "api_url"];
    let kept: Vec<&str> =
        text.lines().filter(|line| !of_meta.iter().any(|key| line.starts_with(key))).collect();
    let by_hub = format!("name = \"main\"\nhub = \"{url}\"\nhub_token_file = \"hub-token\"");
    let text = kept.join("\n").replace("name = \"main\"", &by_hub);
    std::fs::write(site.config(), text).expect("written");
}

/// What a site sends, where the test is the site: the status, the hub's own word, the body.
pub fn send(
    url: &str,
    token: &str,
    row: u32,
    attempt: u32,
    to: &str,
    waited: u64,
) -> Option<(u16, String, String)> {
    send_as("warning", "0badcafe", url, token, row, attempt, to, waited)
}

/// The same, so severe and of that store.
#[expect(clippy::too_many_arguments, reason = "they are what a message has")]
pub fn send_as(
    severity: &str,
    tag: &str,
    url: &str,
    token: &str,
    row: u32,
    attempt: u32,
    to: &str,
    waited: u64,
) -> Option<(u16, String, String)> {
    let text = json!({ "type": "text", "text": { "body": format!("m{row}") } });
    send_content(severity, tag, url, token, (row, attempt), to, waited, text)
}

/// The same, with whatever a message may hold.
#[expect(clippy::too_many_arguments, reason = "they are what a message has")]
pub fn send_content(
    severity: &str,
    tag: &str,
    url: &str,
    token: &str,
    (row, attempt): (u32, u32),
    to: &str,
    waited: u64,
    mut body: Value,
) -> Option<(u16, String, String)> {
    let callback = format!("bellwire/{tag}/{row}");
    body["messaging_product"] = json!("whatsapp");
    body["to"] = json!(to);
    body["biz_opaque_callback_data"] = json!(callback);
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .timeout_global(Some(Duration::from_secs(30)))
        .build()
        .into();
    let mut answer = agent
        .post(format!("{url}/v25.0/{PHONE_NUMBER_ID}/messages"))
        .header("Authorization", format!("Bearer {token}"))
        .header("Bellwire-Key", format!("{callback}/{attempt}"))
        .header("Bellwire-Severity", severity)
        .header("Bellwire-Waited", waited.to_string())
        .send_json(&body)
        .ok()?;
    let said = answer
        .headers()
        .get("bellwire-hub")
        .and_then(|said| said.to_str().ok())
        .unwrap_or_default()
        .to_owned();
    let status = answer.status().as_u16();
    Some((status, said, answer.body_mut().read_to_string().unwrap_or_default()))
}
