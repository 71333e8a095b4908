//! What a thousand sites cost hubs and engine while they wait, and when all come back at once.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use bellwire_tests::wait_for;

use crate::parts::Hub;
use crate::{Rig, SITES, SKIPPED, line};

/// Two rounds of questions of sites that wait, each held for 25 s.
const IDLE: Duration = Duration::from_secs(50);

impl Rig {
    /// A thousand sites that wait, then all of them at once again.
    pub fn idle_sites(&self) {
        let before = (self.hubs[0].memory(), self.hubs[1].memory(), self.engine.memory());
        let mut open = self.ask_all();
        let after = (self.hubs[0].memory(), self.hubs[1].memory(), self.engine.memory());
        let (cpu, requests) = ((self.hubs[0].processor(), self.engine.processor()), self.engine.requests());
        self.wait_and_ask_again(&mut open);
        let requests = (self.engine.requests() - requests) as f64 / IDLE.as_secs_f64();
        let used = |now: Duration, then: Duration| {
            100.0 * (now.saturating_sub(then)).as_secs_f64() / IDLE.as_secs_f64()
        };
        let (hub, nodes) =
            (used(self.hubs[0].processor(), cpu.0), used(self.engine.processor(), cpu.1) / 3.0);
        let a_site = (after.0 + after.1).saturating_sub(before.0 + before.1) as f64 / SITES as f64;
        line("memory of a hub for a site that waits", "≤ 32 KB", &format!("{a_site:.1} KB"), "–");
        line(
            "a hub with 500 of 1,000 sites that wait",
            "≤ 64 MB, ≤ 1 % of a core",
            &format!("{:.0} MB, {hub:.1} %", after.0 as f64 / 1_000.0),
            &format!("{:.0} MB before they asked", before.0 as f64 / 1_000.0),
        );
        line(
            "a node of the engine, 1,000 sites that wait",
            "≤ 3 × an empty one, ≤ 1 % of a core",
            &format!(
                "{:.0} MB: {:.1} ×, {nodes:.1} %",
                after.2 as f64 / 3_000.0,
                after.2 as f64 / before.2 as f64
            ),
            &format!("{:.0} MB before they asked", before.2 as f64 / 3_000.0),
        );
        line(
            "what both hubs ask the engine, 1,000 sites that wait",
            "≤ 100 a second",
            &format!("{requests:.0} a second"),
            "40 questions of sites a second",
        );
        open.clear();
        wait_for(30, "the hubs to see them go", || (self.polls() == 0).then_some(()));
        let (began, cpu) = (Instant::now(), self.hubs[0].processor() + self.hubs[1].processor());
        let open = self.ask_all();
        let cpu = (self.hubs[0].processor() + self.hubs[1].processor()).saturating_sub(cpu);
        line(
            "1,000 sites come back at once",
            "all in 10 s, ≤ 1 ms of processor each",
            &format!("{:.1} s, {:.2} ms", began.elapsed().as_secs_f64(), cpu.as_secs_f64()),
            "–",
        );
        drop(open);
    }

    fn polls(&self) -> usize {
        let of = |hub: &Hub| {
            let text = hub.admin("/metrics");
            let line = text.lines().find_map(|line| line.strip_prefix("bellwire_hub_polls "));
            line.and_then(|count| count.parse::<usize>().ok()).unwrap_or(0)
        };
        self.hubs.iter().map(of).sum()
    }

    /// As sites do: when a question was held for its time, the next one.
    fn wait_and_ask_again(&self, open: &mut [TcpStream]) {
        let end = Instant::now() + IDLE;
        while Instant::now() < end {
            for (stream, token) in open.iter_mut().zip(&self.tokens[SKIPPED..]) {
                if stream.read(&mut [0; 1_024]).is_ok_and(|bytes| bytes > 0) {
                    ask(stream, token);
                }
            }
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    /// Each over a connection of its own, half of them at each hub; until all are held.
    fn ask_all(&self) -> Vec<TcpStream> {
        let connect = |(at, token): (usize, &String)| {
            let mut stream = TcpStream::connect(("127.0.0.1", self.hubs[at % 2].port)).expect("a connection");
            ask(&mut stream, token);
            stream
        };
        let mut open: Vec<TcpStream> = self.tokens.iter().enumerate().skip(SKIPPED).map(connect).collect();
        wait_for(30, "all to be held", || (self.polls() >= SITES - SKIPPED).then_some(()));
        open.iter_mut().for_each(|stream| {
            stream.set_nonblocking(true).expect("set");
            assert!(stream.read(&mut [0]).is_err(), "nothing is there for it");
        });
        open
    }
}

fn ask(stream: &mut TcpStream, token: &str) {
    let asked = write!(
        stream,
        "GET /hub/v1/webhooks?waiting=0&oldest=0 HTTP/1.1\r\nHost: hub\r\nAuthorization: Bearer {token}\r\n\r\n"
    );
    asked.expect("asked");
}
