/// What the API answers.
mod api;
/// What somebody may try.
mod attacks;
/// The configuration, changed without a shell.
mod configuration;
/// What numbers were.
mod curves;
/// TLS, numbers for a monitor, alerts taken on the page.
mod listeners;
/// Home Assistant's frontend around the page.
mod ingress;
/// Pages that are told of changes.
mod live;
/// Numbers that come and go.
mod numbers;
/// Who was let in: tokens and sessions.
mod opened;
/// Lists over 100,000 messages.
mod speed;
/// What people asked for, and whether the audit of it is whole.
mod trail;
/// What an event would lead to.
mod trial;
/// What somebody writes to a person.
mod writing;

use std::io::{Read, Write};
use std::net::TcpStream;

use bellwire_tests::{Broker, Gateway, Site, wait_for};
use serde_json::Value;

pub const PASSWORD: &str = "correct horse";

/// An answer, read as bytes off the wire: nothing between the test and the server makes it nicer.
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        let matching = |line: &&str| line.to_ascii_lowercase().starts_with(&format!("{name}:"));
        self.head.lines().find(matching).and_then(|line| line.split_once(':')).map(|(_, value)| value.trim())
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).expect("JSON")
    }
}

/// One request; `headers` as they go over the wire, without Host if they have one.
pub fn ask(site: &Site, method: &str, path: &str, headers: &[&str], body: &str) -> Answer {
    let mut stream = TcpStream::connect(("127.0.0.1", site.http_port)).expect("connected");
    let mut request = format!("{method} {path} HTTP/1.1\r\nConnection: close\r\n");
    if !headers.iter().any(|header| header.starts_with("Host:")) {
        request += &format!("Host: 127.0.0.1:{}\r\n", site.http_port);
    }
    for header in headers {
        request += &format!("{header}\r\n");
    }
    if !body.is_empty() {
        request += &format!("Content-Length: {}\r\n", body.len());
    }
    stream.write_all(format!("{request}\r\n{body}").as_bytes()).expect("sent");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).expect("an answer");
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("a status");
    Answer { status, head: head.to_owned(), body: body.to_owned() }
}

pub fn get(site: &Site, path: &str, headers: &[&str]) -> Answer {
    ask(site, "GET", path, headers, "")
}

pub fn form(site: &Site, path: &str, headers: &[&str], fields: &str) -> Answer {
    let kind = "Content-Type: application/x-www-form-urlencoded";
    ask(site, "POST", path, &[headers, &[kind]].concat(), fields)
}

pub fn json(site: &Site, path: &str, headers: &[&str], body: &Value) -> Answer {
    ask(site, "POST", path, &[headers, &["Content-Type: application/json"]].concat(), &body.to_string())
}

/// The code of the first visit, as the log has it.
pub fn code(site: &Site) -> String {
    wait_for(10, "the code in the log", || {
        let log = site.log();
        let (_, rest) = log.split_once("code=")?;
        Some(rest.trim_start_matches('"').chars().take(11).collect())
    })
}

/// The cookie of a new session.
pub fn log_in(site: &Site) -> String {
    let answer = form(site, "/login", &[], "password=correct+horse");
    assert_eq!(answer.status, 303, "{}", answer.body);
    let cookie = answer.header("set-cookie").expect("a cookie");
    format!("Cookie: {}", cookie.split(';').next().expect("a value"))
}

/// The proof that a form of this session carries.
pub fn proof(site: &Site, cookie: &str) -> String {
    let page = get(site, "/setup", &[cookie]).body;
    let (_, rest) = page.split_once("data-csrf=\"").expect("a proof");
    rest.split('"').next().expect("its end").to_owned()
}

/// A token with these scopes.
pub fn token(site: &Site, scopes: &[&str]) -> String {
    let cookie = log_in(site);
    let scopes: String = scopes.iter().map(|scope| format!("&{scope}=on")).collect();
    let fields = format!("csrf={}&name=test{scopes}", proof(site, &cookie));
    let answer = form(site, "/tokens", &[&cookie], &fields);
    let (_, rest) = answer.body.split_once("id=\"token\">").expect("a token");
    format!("Authorization: Bearer {}", rest.split('<').next().expect("its end"))
}

/// A gateway whose password is set.
pub fn start(rules: &str) -> (Broker, Site, Gateway) {
    let broker = Broker::start();
    let site = Site::new(broker.port, rules);
    let gateway = Gateway::start(&site);
    choose_password(&site);
    (broker, site, gateway)
}

/// The first visit.
pub fn choose_password(site: &Site) {
    let fields = format!("code={}&password=correct+horse&again=correct+horse", code(site));
    let answer = form(site, "/welcome", &[], &fields);
    assert_eq!((answer.status, answer.header("location")), (303, Some("/")), "{}", answer.body);
}

/// A connection from another address of this machine.
pub fn connect_from(address: &str, port: u16) -> TcpStream {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let stream = runtime.block_on(async {
        let socket = tokio::net::TcpSocket::new_v4().expect("a socket");
        socket.bind(format!("{address}:0").parse().expect("an address")).expect("bound");
        socket.connect(([127, 0, 0, 1], port).into()).await.expect("connected").into_std().expect("plain")
    });
    stream.set_nonblocking(false).expect("set");
    stream
}
