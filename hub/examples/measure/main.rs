//! What a hub costs beside its floor, in one run on this machine: three nodes of the engine, two hubs, the simulator, and this
//! program as a thousand sites. It prints the table of docs/hub-performance.md.
//!
//! `cargo build --release --workspace --bins --examples && target/release/examples/measure`; with `idle`, `throughput`,
//! `webhooks` or `sends` that part alone

#![expect(
    clippy::expect_used,
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "what cannot start stops it; it measures by the machine's clock, and its output is for people"
)]

#[path = "../../tests/it/parts.rs"]
#[allow(dead_code, reason = "the tests need more of it")]
mod parts;
/// A thousand sites that wait.
mod waiting;

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bellwire_hub::engine::{Engine as _, JetStream, Log};
use bellwire_hub::settings::Settings;
use bellwire_hub::sites::{self, People, Site};
use bellwire_tests::{PHONE_NUMBER_ID, wait_for};
use serde_json::{Value, json};
use tokio::runtime::Handle;

use parts::{APP_SECRET, Chain, Engine, Hub, META_TOKEN, Meta, Proxy, send_as};

const SITES: usize = 1_000;
/// What Meta lets leave over one number, and so about what comes back of it.
const RATE: Duration = Duration::from_micros(12_500);
const SECONDS: u32 = 10;
/// Sites to which something is sent: they would be answered at once.
const SKIPPED: usize = 3;

struct Rig {
    engine: Engine,
    meta: Meta,
    hubs: [Hub; 2],
    proxy: Proxy,
    runtime: Handle,
    jetstream: JetStream,
    tokens: Vec<String>,
}

/// In milliseconds: the middle, and what 99 of 100 stay below.
fn middle_and_99(mut waits: Vec<Duration>) -> (f64, f64) {
    waits.sort_unstable();
    let at = |part: usize| waits[(waits.len() * part / 100).min(waits.len() - 1)].as_secs_f64() * 1_000.0;
    (at(50), at(99))
}

fn line(what: &str, budget: &str, measured: &str, floor: &str) {
    println!("| {what} | {budget} | {measured} | {floor} |");
}

fn rig() -> Rig {
    let Chain { engine, meta, hubs, proxy } = Chain::start(|_| {});
    let own = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let runtime = own.handle().clone();
    std::thread::spawn(move || own.block_on(std::future::pending::<()>()));
    let settings = Settings::read(&hubs[0].settings()).expect("good settings");
    let opened = wait(&runtime, async move { JetStream::open(&settings.engine).await });
    let jetstream = opened.expect("an engine");
    let tokens = wait(&runtime, enrolled(jetstream.clone()));
    Rig { engine, meta, hubs, proxy, runtime, jetstream, tokens }
}

async fn enrolled(engine: JetStream) -> Vec<String> {
    let mut tokens = Vec::new();
    for at in 0..SITES {
        let people = match at {
            1 => People::All, // it sends
            _ => People::Only([format!("4915100{at:05}")].into()),
        };
        let site = Site { numbers: [PHONE_NUMBER_ID.to_owned()].into(), people, ..Site::default() };
        let name = format!("s{at}");
        sites::add(&engine, &name, &site).await.expect("added");
        let code = sites::code(&engine, &name).await.expect("a code");
        tokens.push(sites::enrol(&engine, &code).await.expect("a token").1);
    }
    tokens
}

fn wait<T: Send + 'static>(runtime: &Handle, does: impl Future<Output = T> + Send + 'static) -> T {
    let (done, result) = std::sync::mpsc::channel();
    runtime.spawn(async move { done.send(does.await) });
    result.recv().expect("it ended")
}

fn body(id: &str, site: usize) -> String {
    json!({ "object": "whatsapp_business_account", "entry": [{ "id": "1", "changes": [{ "field": "messages",
        "value": { "messaging_product": "whatsapp", "metadata": { "phone_number_id": PHONE_NUMBER_ID },
            "messages": [{ "from": format!("4915100{site:05}"), "id": id, "timestamp": "1900000000",
                           "type": "text", "text": { "body": "x".repeat(500) } }] } }] }] })
    .to_string()
}

fn post(agent: &ureq::Agent, url: &str, body: &str) -> bool {
    let signature = bellwire::whatsapp::signature::sign(&APP_SECRET.into(), body.as_bytes());
    let asked = agent.post(format!("{url}/webhook/whatsapp")).header("X-Hub-Signature-256", signature);
    asked.send(body).is_ok()
}

fn agent() -> ureq::Agent {
    ureq::Agent::config_builder().timeout_global(Some(Duration::from_secs(30))).build().into()
}

impl Rig {
    fn append(&self, id: &str, body: &str) -> Duration {
        let (engine, id, body) = (self.jetstream.clone(), id.to_owned(), body.to_owned());
        wait(&self.runtime, async move {
            let began = Instant::now();
            engine.append(Log::Unrouted, "unrouted.floor", &id, body.into()).await.expect("kept");
            began.elapsed()
        })
    }

    /// At the rate at which Meta lets messages leave: a bare append, then a webhook, each until it is acknowledged.
    fn webhooks(&self) {
        let (agent, url) = (agent(), self.hubs[0].url(""));
        let arrived: Mutex<BTreeMap<String, Instant>> = Mutex::default();
        let done = AtomicBool::new(false);
        let (mut floor, mut taken, mut sent) = (Vec::new(), Vec::new(), BTreeMap::new());
        std::thread::scope(|scope| {
            scope.spawn(|| self.receive(0, &arrived, &done));
            std::thread::sleep(Duration::from_secs(1));
            for at in 0..(SECONDS * 80) {
                let turn = Instant::now();
                let id = format!("wamid.{at}");
                floor.push(self.append(&format!("floor-{at}"), &body(&id, 0)));
                let began = Instant::now();
                assert!(post(&agent, &url, &body(&id, 0)), "it is taken");
                taken.push(began.elapsed());
                sent.insert(id, began);
                std::thread::sleep(RATE.saturating_sub(turn.elapsed()));
            }
            wait_for(30, "the last of them", || {
                (arrived.lock().expect("a lock").len() == sent.len()).then_some(())
            });
            done.store(true, Ordering::Relaxed);
        });
        let arrived = arrived.into_inner().expect("a lock");
        let ways: Vec<Duration> = sent.iter().map(|(id, began)| arrived[id].duration_since(*began)).collect();
        let ((floor, floor_99), (taken, taken_99), (way, way_99)) =
            (middle_and_99(floor), middle_and_99(taken), middle_and_99(ways));
        let bare = format!("{floor:.2} / {floor_99:.1} ms, a bare append to three nodes");
        let ratio = |one: f64, other: f64| format!("{:.1} × / {:.1} ×", one / floor, other / floor_99);
        line(
            "webhook to its 200, 80/s, middle / 99 %",
            "≤ 3 × / 5 ×",
            &format!("{taken:.2} / {taken_99:.1} ms: {}", ratio(taken, taken_99)),
            &bare,
        );
        line(
            "webhook to the site's program, 80/s",
            "≤ 3 × / 3 ×",
            &format!("{way:.2} / {way_99:.1} ms: {}", ratio(way, way_99)),
            &bare,
        );
    }

    /// As a site: asks with its cursor, and notes when what came was there.
    fn receive(&self, site: usize, arrived: &Mutex<BTreeMap<String, Instant>>, done: &AtomicBool) {
        let (agent, mut cursor) = (agent(), String::new());
        while !done.load(Ordering::Relaxed) {
            let after = if cursor.is_empty() { String::new() } else { format!("?after={cursor}") };
            let asked = agent
                .get(self.hubs[1].url(&format!("/hub/v1/webhooks{after}")))
                .header("Authorization", format!("Bearer {}", self.tokens[site]));
            let Ok(mut answer) = asked.call() else { continue };
            let now = Instant::now();
            let Ok(batch) = answer.body_mut().read_json::<Value>() else { continue };
            for webhook in batch["webhooks"].as_array().expect("a list") {
                let body: Value =
                    serde_json::from_str(webhook["body"].as_str().expect("a body")).expect("JSON");
                let id = &body["entry"][0]["changes"][0]["value"]["messages"][0]["id"];
                arrived.lock().expect("a lock").entry(id.as_str().expect("an id").to_owned()).or_insert(now);
            }
            cursor = batch["cursor"].as_str().expect("a cursor").to_owned();
        }
    }

    /// Meta takes 90 ms to answer; the same message straight to it and through a hub, in turn.
    fn sends(&self) {
        self.meta.fault(&json!({ "delay_ms": 90 }));
        let url = self.meta.url(&format!("/v25.0/{PHONE_NUMBER_ID}/messages"));
        let to = |row: u32| format!("+49150{row:07}"); // what one person gets has a limit of its own
        let straight = |row: u32| {
            let began = Instant::now();
            let body = json!({ "messaging_product": "whatsapp", "to": to(row), "type": "text", "text": { "body": format!("m{row}") } });
            let sent =
                ureq::post(&url).header("Authorization", format!("Bearer {META_TOKEN}")).send_json(&body);
            assert!(sent.is_ok(), "Meta takes it");
            began.elapsed()
        };
        let by_hub = |row: u32| {
            let began = Instant::now();
            let hub = self.hubs[row as usize % 2].url("");
            let sent = send_as("warning", "0badcafe", &hub, &self.tokens[1], row, 1, &to(row), 0);
            assert!(matches!(sent, Some((200, ..))), "{sent:?}");
            began.elapsed()
        };
        let (floor, hub): (Vec<_>, Vec<_>) = (0..200).map(|row| (straight(row), by_hub(row))).unzip();
        let ((floor, floor_99), (hub, hub_99)) = (middle_and_99(floor), middle_and_99(hub));
        line(
            "a message through a hub, Meta answers after 90 ms",
            "≤ 1.15 × / 2 ×",
            &format!("{hub:.1} / {hub_99:.1} ms: {:.2} × / {:.2} ×", hub / floor, hub_99 / floor_99),
            &format!("{floor:.1} / {floor_99:.1} ms, straight to Meta"),
        );
        assert!(ureq::delete(self.meta.url("/_simulator/faults")).call().is_ok(), "Meta is well again");
    }

    /// All that a body can bring in: many at a time, against bare appends, as many at a time.
    fn throughput(&self) {
        const AT_A_TIME: usize = 64;
        let time = Duration::from_secs(5);
        let (engine, posted) = (self.jetstream.clone(), AtomicUsize::new(0));
        let appended = wait(&self.runtime, async move {
            let (engine, end) = (&engine, Instant::now() + time);
            let lane = async |lane: usize| {
                let mut count = 0;
                while Instant::now() < end {
                    let id = format!("{lane}-{count}");
                    let text = body(&id, 2).into();
                    engine.append(Log::Unrouted, "unrouted.floor", &id, text).await.expect("kept");
                    count += 1;
                }
                count
            };
            let counts: Vec<usize> = futures_util::future::join_all((0..AT_A_TIME).map(lane)).await;
            counts.iter().sum::<usize>()
        });
        let (before, began) = (self.routed(), Instant::now());
        let end = began + time;
        std::thread::scope(|scope| {
            for lane in 0..AT_A_TIME {
                let posted = &posted;
                let url = self.hubs[lane % 2].url("");
                scope.spawn(move || {
                    let (agent, mut count) = (agent(), 0);
                    while Instant::now() < end {
                        let id = format!("wamid.t{lane}-{count}");
                        if post(&agent, &url, &body(&id, SKIPPED + lane)) {
                            count += 1;
                            posted.fetch_add(1, Ordering::Relaxed);
                        }
                    }
                });
            }
        });
        let a_second = |count: usize| count as f64 / time.as_secs_f64();
        let (floor, hubs) = (a_second(appended), a_second(posted.load(Ordering::Relaxed)));
        line(
            "webhooks a second, 64 at a time",
            "≥ 50 % of the floor, ≥ 1,280",
            &format!("{hubs:.0}: {:.0} %", 100.0 * hubs / floor),
            &format!("{floor:.0} bare appends"),
        );
        let posted = posted.load(Ordering::Relaxed) as u64;
        let routed =
            wait_for(120, "all to be routed", || (self.routed() >= before + posted).then(|| began.elapsed()));
        line(
            "webhooks for 64 sites that are routed a second, while they come so",
            "≥ 320",
            &format!("{:.0}", posted as f64 / routed.as_secs_f64()),
            "–",
        );
    }

    fn routed(&self) -> u64 {
        let engine = self.jetstream.clone();
        wait(&self.runtime, async move { engine.last(Log::Inbound).await.expect("it answers").sequence })
    }

    /// The longest time without an acknowledgement while webhooks come all the time, and how many came twice or not at all.
    fn gap(&mut self, what: &str, budget: &str, begin: usize, does: impl FnOnce(&mut Self)) {
        let (url, done) = (self.proxy.url(""), AtomicBool::new(false));
        let (acknowledged, count) = (Mutex::new(Vec::new()), AtomicUsize::new(begin));
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let agent = agent();
                    while !done.load(Ordering::Relaxed) {
                        let id = format!("wamid.g{}", count.fetch_add(1, Ordering::Relaxed));
                        while !post(&agent, &url, &body(&id, 2)) {
                            std::thread::sleep(Duration::from_millis(50));
                        }
                        acknowledged.lock().expect("a lock").push(Instant::now());
                        std::thread::sleep(Duration::from_millis(10));
                    }
                });
            }
            std::thread::sleep(Duration::from_secs(2));
            does(self);
            std::thread::sleep(Duration::from_secs(14));
            done.store(true, Ordering::Relaxed);
        });
        let mut acknowledged = acknowledged.into_inner().expect("a lock");
        acknowledged.sort_unstable();
        let longest = acknowledged.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or_default();
        line(what, budget, &format!("{:.2} s", longest.as_secs_f64()), "–");
    }
}

/// By its name, which the first argument may be.
type Part = (&'static str, fn(&Rig));

fn main() {
    let mut rig = rig();
    println!("| what | budget | measured | floor |\n|---|---|---:|---:|");
    let only = std::env::args().nth(1);
    let parts: [Part; 4] = [
        ("idle", Rig::idle_sites),
        ("throughput", Rig::throughput),
        ("webhooks", Rig::webhooks),
        ("sends", Rig::sends),
    ];
    for (_, measure) in parts.iter().filter(|(name, _)| only.as_deref().is_none_or(|only| only == *name)) {
        measure(&rig);
    }
    if only.is_some() {
        return;
    }
    rig.gap("a hub is killed: no acknowledgement for", "≤ 2 s", 0, |rig| {
        rig.hubs[0].kill();
        rig.hubs[0].up();
    });
    rig.gap("a hub is told to end", "≤ 0.5 s", 100_000, |rig| {
        assert!(rig.hubs[0].stop(), "it ends well");
        rig.hubs[0].up();
    });
    let leader = rig.engine.leader("RAW");
    rig.gap("the node that leads is killed", "≤ 10 s", 200_000, |rig| {
        rig.engine.kill(leader);
        rig.engine.up(leader);
    });
    let leader = rig.engine.leader("RAW");
    rig.gap("the node that leads is told to end", "≤ 0.5 s", 300_000, |rig| {
        rig.engine.stop(leader);
        rig.engine.up(leader);
    });
}
