//! Answers like Meta's Graph API, and remembers which events arrived, when, and how often. A thread a connection: what
//! keeps sixteen or three thousand open is served alike.

use std::collections::BTreeMap;
use std::io::{BufRead, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Result;
use clap::Args;
use serde_json::json;

use crate::clock::{now_ns, pause};
use crate::wire::http;

#[derive(Debug, Args)]
pub struct Sink {
    #[arg(long)]
    pub port: u16,
}

#[derive(Default)]
struct Seen {
    /// By the event's number: when it was published, when it arrived.
    first: BTreeMap<u64, (u64, u64)>,
    duplicates: u64,
    requests: u64,
}

struct Shared {
    seen: Mutex<Seen>,
    answers: AtomicU64,
    delay_ms: AtomicU64,
    failing: AtomicBool,
    hanging: AtomicBool,
    listening: AtomicBool,
    open: Mutex<BTreeMap<u64, TcpStream>>,
    connections: AtomicU64,
    most_open: AtomicU64,
    port: u16,
}

/// Orders come by standard input, a word or two a line; `stats` is answered with a line of JSON.
pub fn run(order: &Sink) -> Result<()> {
    let shared = Arc::new(Shared {
        seen: Mutex::default(),
        answers: AtomicU64::new(0),
        delay_ms: AtomicU64::new(0),
        failing: AtomicBool::new(false),
        hanging: AtomicBool::new(false),
        listening: AtomicBool::new(false),
        open: Mutex::default(),
        connections: AtomicU64::new(0),
        most_open: AtomicU64::new(0),
        port: order.port,
    });
    listen(&shared)?;
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        let (word, rest) = line.split_once(' ').unwrap_or((&line, ""));
        match word {
            "delay" => shared.delay_ms.store(rest.parse()?, Ordering::Relaxed),
            "ok" => {
                shared.failing.store(false, Ordering::Relaxed);
                shared.hanging.store(false, Ordering::Relaxed);
                if !shared.listening.load(Ordering::Relaxed) {
                    listen(&shared)?;
                }
            }
            "fail" => shared.failing.store(true, Ordering::Relaxed),
            "hang" => shared.hanging.store(true, Ordering::Relaxed),
            "refuse" => refuse(&shared),
            "reset" => *lock(&shared.seen) = Seen::default(),
            "count" | "stats" => {}
            other => anyhow::bail!("no such order: {other}"),
        }
        writeln!(std::io::stdout(), "{}", stats(&shared, word == "stats"))?;
        std::io::stdout().flush()?;
    }
    Ok(())
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn listen(shared: &Arc<Shared>) -> Result<()> {
    let listener = TcpListener::bind(("127.0.0.1", shared.port))?;
    shared.listening.store(true, Ordering::Relaxed);
    let shared = Arc::clone(shared);
    std::thread::Builder::new().spawn(move || {
        for stream in listener.incoming() {
            if !shared.listening.load(Ordering::Relaxed) {
                return; // the knock that ends it
            }
            let Ok(stream) = stream else { continue };
            let shared = Arc::clone(&shared);
            // Small stacks: a thousand connections are 64 MiB of addresses, and little of it memory.
            let begun = std::thread::Builder::new().stack_size(65_536 * 2).spawn(move || {
                let id = shared.connections.fetch_add(1, Ordering::Relaxed);
                if let Ok(copy) = stream.try_clone() {
                    let mut open = lock(&shared.open);
                    open.insert(id, copy);
                    shared.most_open.fetch_max(open.len() as u64, Ordering::Relaxed);
                }
                drop(serve(&shared, stream)); // the other side ended it
                lock(&shared.open).remove(&id);
            });
            drop(begun);
        }
    })?;
    Ok(())
}

fn refuse(shared: &Shared) {
    shared.listening.store(false, Ordering::Relaxed);
    drop(TcpStream::connect(("127.0.0.1", shared.port)));
    pause(20);
    for stream in std::mem::take(&mut *lock(&shared.open)).values() {
        drop(stream.shutdown(Shutdown::Both));
    }
}

fn serve(shared: &Shared, mut stream: TcpStream) -> Result<()> {
    stream.set_nodelay(true)?;
    let mut buffer = Vec::new();
    while let Some(message) = http::read(&mut stream, &mut buffer)? {
        let arrived = now_ns();
        if shared.hanging.load(Ordering::Relaxed) {
            while shared.hanging.load(Ordering::Relaxed) {
                pause(50);
            }
            return Ok(()); // a connection that hung never answers
        }
        if shared.failing.load(Ordering::Relaxed) {
            let body = br#"{"error":{"message":"Service temporarily unavailable","type":"OAuthException","code":2}}"#;
            answer(&mut stream, "503 Service Unavailable", body)?;
            continue;
        }
        note(&mut lock(&shared.seen), &message, arrived);
        let delay = shared.delay_ms.load(Ordering::Relaxed);
        if delay > 0 {
            pause(delay);
        }
        let body = if message.head.starts_with("GET") {
            br#"{"data":[]}"#.to_vec()
        } else {
            let id = shared.answers.fetch_add(1, Ordering::Relaxed);
            format!(
                r#"{{"messaging_product":"whatsapp","contacts":[{{"input":"1","wa_id":"1"}}],"messages":[{{"id":"wamid.BENCH{id}"}}]}}"#
            )
            .into_bytes()
        };
        answer(&mut stream, "200 OK", &body)?;
        if message.has("connection: close") || message.head.contains("HTTP/1.0") {
            return Ok(());
        }
    }
    Ok(())
}

fn answer(stream: &mut TcpStream, status: &str, body: &[u8]) -> Result<()> {
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    let mut answer = head.into_bytes();
    answer.extend_from_slice(body);
    Ok(stream.write_all(&answer)?)
}

/// A body may carry several events: a digest of many.
fn note(seen: &mut Seen, message: &http::Message, arrived: u64) {
    seen.requests += 1;
    let mut rest = &message.body[..];
    while let Some(at) = http::find(rest, b"BENCH:") {
        rest = &rest[at + 6..];
        let words = String::from_utf8_lossy(&rest[..rest.len().min(48)]).into_owned();
        let mut words = words.split(':').map(str::parse::<u64>);
        let (Some(Ok(number)), Some(Ok(published))) = (words.next(), words.next()) else { continue };
        if seen.first.contains_key(&number) {
            seen.duplicates += 1;
            continue;
        }
        seen.first.insert(number, (published, arrived));
    }
}

fn stats(shared: &Shared, with_times: bool) -> serde_json::Value {
    let seen = lock(&shared.seen);
    let times = seen.first.values().map(|(published, arrived)| arrived.saturating_sub(*published));
    let last = seen.first.values().map(|(_, at)| *at).max();
    json!({
        "events": seen.first.len(),
        "duplicates": seen.duplicates,
        "requests": seen.requests,
        "most_open": shared.most_open.load(Ordering::Relaxed),
        "last_arrived": last,
        "latencies_ns": if with_times { times.collect::<Vec<_>>() } else { Vec::new() },
    })
}
