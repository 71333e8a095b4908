//! `bellwire simulator` as a process, through HTTP alone: what is proven against it is worth as much as it is faithful.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bellwire_tests::{PHONE_NUMBER_ID, Simulator, Site, get_json, post_json, wait_for};
use serde_json::{Value, json};

/// Numbers, subscription, token, webhooks of any field, load.
mod account;
/// The gateway on the other side.
mod gateway;
/// How Graph reads addresses, parameters, fields and ids.
mod graph;
/// What a person can do.
mod inbound;
/// Upload, look up, fetch, delete.
mod media;
/// Every kind of message, and what is refused.
mod sending;
/// The catalogue, and what fills a template.
mod templates;
/// Window and limits by the simulator's clock.
mod window;

const NINO: &str = "+995555123456";
const ACCOUNT: &str = "900000000000001";

/// A simulator whose webhooks come to the test.
struct World {
    site: Site,
    inbox: Inbox,
    _simulator: Simulator,
}

/// The signature and the bytes of a webhook.
type Post = (String, Vec<u8>);

/// What came to the webhook's address; it answers with `status`.
#[derive(Clone)]
struct Inbox {
    bodies: Arc<Mutex<Vec<Post>>>,
    status: Arc<Mutex<u16>>,
}

impl World {
    fn start() -> Self {
        let site = Site::new(0, "");
        let inbox = Inbox::listen(site.http_port);
        let simulator = Simulator::start(&site);
        Self { site, inbox, _simulator: simulator }
    }

    /// A request to the Cloud API with the right token.
    fn call(&self, method: &str, path: &str, body: Option<&Value>) -> (u16, Value) {
        let bytes = body.map(|body| serde_json::to_vec(body).expect("JSON")).unwrap_or_default();
        let (status, answer) = self.request(method, &format!("/v25.0/{path}"), "application/json", &bytes);
        (status, serde_json::from_slice(&answer).unwrap_or(Value::Null))
    }

    fn request(&self, method: &str, path: &str, mime: &str, body: &[u8]) -> (u16, Vec<u8>) {
        raw(&self.site.api(path), method, &[("Authorization", "Bearer token"), ("Content-Type", mime)], body)
    }

    fn send(&self, body: &Value) -> (u16, Value) {
        self.call("POST", &format!("{PHONE_NUMBER_ID}/messages"), Some(body))
    }

    /// Sends with the usual envelope around it.
    fn send_kind(&self, kind: &str, object: Value) -> (u16, Value) {
        self.send(&json!({ "messaging_product": "whatsapp", "recipient_type": "individual", "to": NINO,
                           "type": kind, kind: object }))
    }

    fn text(&self, body: &str) -> (u16, Value) {
        self.send_kind("text", json!({ "body": body }))
    }

    /// A request to the control interface, which must be taken.
    fn control(&self, path: &str, body: &Value) -> Value {
        let (status, answer) = post_json(&self.site.api(&format!("/_simulator/{path}")), body);
        assert_eq!(status, 200, "{path} {body}: {answer}");
        answer
    }

    fn look(&self, path: &str) -> Value {
        get_json(&self.site.api(&format!("/_simulator/{path}")))
    }

    fn advance(&self, seconds: i64) {
        self.control("clock", &json!({ "advance_s": seconds }));
    }

    /// A person does something; the message as the webhook brings it, and its whole value.
    fn reply(&self, body: Value) -> (Value, Value) {
        let mut body = body;
        if body["from"].is_null() && body["user_id"].is_null() {
            body["from"] = json!(NINO);
        }
        let id = self.control("reply", &body)["id"].clone();
        let value =
            self.inbox.wait(&format!("the webhook of {body}"), |value| value["messages"][0]["id"] == id);
        (value["messages"][0].clone(), value)
    }

    /// Waits for a status of a message; its whole value.
    fn status(&self, wamid: &Value, word: &str) -> Value {
        self.inbox.wait(&format!("{word} of {wamid}"), |value| {
            value["statuses"][0]["id"] == *wamid && value["statuses"][0]["status"] == word
        })
    }
}

impl Inbox {
    fn listen(port: u16) -> Self {
        let inbox = Self { bodies: Arc::default(), status: Arc::new(Mutex::new(200)) };
        let listener = TcpListener::bind(("127.0.0.1", port)).expect("a free port");
        let keeper = inbox.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let keeper = keeper.clone();
                std::thread::spawn(move || drop(keeper.take(stream)));
            }
        });
        inbox
    }

    /// One request, one answer, and the end of the connection.
    fn take(&self, stream: TcpStream) -> std::io::Result<()> {
        let mut reader = BufReader::new(stream.try_clone()?);
        let (mut first, mut length, mut signature) = (String::new(), 0, String::new());
        reader.read_line(&mut first)?;
        loop {
            let mut line = String::new();
            reader.read_line(&mut line)?;
            let Some((name, value)) = line.trim().split_once(':') else { break };
            match name.to_ascii_lowercase().as_str() {
                "content-length" => length = value.trim().parse().unwrap_or(0),
                "x-hub-signature-256" => signature = value.trim().to_owned(),
                _ => {}
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body)?;
        let challenge = first.split("hub.challenge=").nth(1).and_then(|rest| rest.split('&').next());
        let right = first.contains("hub.verify_token=my%2Dverify%2Dtoken");
        let (status, answer) = match challenge {
            Some(challenge) if right => (200, challenge.to_owned()),
            Some(_) => (403, String::new()),
            None => (*self.status.lock().unwrap(), String::new()),
        };
        if challenge.is_none() {
            self.bodies.lock().unwrap().push((signature, body));
        }
        let mut stream = stream;
        write!(
            stream,
            "HTTP/1.1 {status} X\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{answer}",
            answer.len()
        )
    }

    fn answer(&self, status: u16) {
        *self.status.lock().unwrap() = status;
    }

    /// All that came.
    fn all(&self) -> Vec<Post> {
        self.bodies.lock().unwrap().clone()
    }

    /// The changes that came: field and value.
    fn changes(&self) -> Vec<(String, Value)> {
        let bodies = self.all();
        let bodies = bodies.iter().map(|(_, body)| serde_json::from_slice::<Value>(body).expect("JSON"));
        bodies
            .map(|body| {
                let change = &body["entry"][0]["changes"][0];
                (change["field"].as_str().unwrap_or_default().to_owned(), change["value"].clone())
            })
            .collect()
    }

    /// The first value that came for which this holds.
    fn wait(&self, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        wait_for(10, what, || self.changes().into_iter().map(|(_, value)| value).find(&wanted))
    }

    fn wait_field(&self, field: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        wait_for(10, field, || {
            self.changes()
                .into_iter()
                .find(|(found, value)| found == field && wanted(value))
                .map(|found| found.1)
        })
    }
}

fn raw(url: &str, method: &str, headers: &[(&str, &str)], body: &[u8]) -> (u16, Vec<u8>) {
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .timeout_global(Some(Duration::from_secs(20)))
        .build()
        .into();
    let mut request = ureq::http::Request::builder().method(method).uri(url);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let mut response = agent.run(request.body(body).expect("a request")).expect(url);
    let bytes = response.body_mut().with_config().limit(200 * 1024 * 1024).read_to_vec().expect("a body");
    (response.status().as_u16(), bytes)
}

/// The code of Meta's error form, whose other parts are there too; 0 without an error.
fn code(answer: &(u16, Value)) -> i64 {
    let (status, body) = answer;
    if *status == 200 {
        return 0;
    }
    let error = &body["error"];
    assert!(error["message"].is_string() && error["type"].is_string(), "{status} {body}");
    assert!(error["fbtrace_id"].as_str().is_some_and(|trace| trace.starts_with("SIM")), "{body}");
    error["code"].as_i64().expect("a code")
}

fn fixture(path: &str) -> Value {
    let path = format!("{}/fixtures/cloud-api/{path}", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_slice(&std::fs::read(&path).expect(&path)).expect("JSON")
}

/// Every key of `expected` is there, and no other, at every depth; lists by their first entry. Values may differ.
fn same_shape(expected: &Value, found: &Value, place: &str) {
    match (expected, found) {
        (Value::Object(expected), Value::Object(found)) => {
            let keys = |object: &serde_json::Map<String, Value>| object.keys().cloned().collect::<Vec<_>>();
            assert_eq!(keys(expected), keys(found), "{place}");
            for (key, value) in expected {
                same_shape(value, &found[key], &format!("{place}.{key}"));
            }
        }
        (Value::Array(expected), Value::Array(found)) => {
            if let (Some(expected), Some(found)) = (expected.first(), found.first()) {
                same_shape(expected, found, &format!("{place}[0]"));
            }
        }
        _ => {
            let kind = |value: &Value| std::mem::discriminant(value);
            assert_eq!(kind(expected), kind(found), "{place}: {expected} or {found}");
        }
    }
}
