//! The same work by Bellwire, mqttwarn and Node-RED: cost, time, and what is lost when something stops.

use std::path::Path;

use anyhow::Result;

use super::Bench;
use super::intake::generate;
use crate::clock::{now_ns, pause};
use crate::parts::{self, Broker, PEOPLE, Peer, Sink};
use crate::report;

/// Numbers of events that only ask whether somebody is there.
const PROBES: &str = "100000000";

pub fn peers(bench: &Bench, installed: &Path) -> Result<Vec<report::Peer>> {
    let (mqttwarn, nodered) = parts::install(installed)?;
    let core = &bench.cores.gateway;
    let own = env!("CARGO_PKG_VERSION").to_owned();
    type Make<'a> = Box<dyn Fn(&Broker, u16) -> Result<Peer> + 'a>;
    let all: [(&str, String, Make); 3] = [
        ("Bellwire", own, Box::new(|broker, sink| Peer::bellwire(&bench.program, core, broker, sink))),
        ("mqttwarn", mqttwarn, Box::new(|broker, sink| Peer::mqttwarn(installed, core, broker, sink))),
        ("Node-RED", nodered, Box::new(|broker, sink| Peer::nodered(installed, core, broker, sink))),
    ];
    let mut found = Vec::new();
    for (name, version, make) in all {
        bench.say(&format!("peers: {name}"));
        let mut peer = report::Peer { name: name.into(), version, ..report::Peer::default() };
        steady(bench, &make, &mut peer)?;
        peer.outage_sent = bench.count(600, 200);
        peer.lost_at_503 = outage(bench, &make, "fail", peer.outage_sent)?;
        peer.lost_at_refusal = outage(bench, &make, "refuse", peer.outage_sent)?;
        killed(bench, &make, &mut peer)?;
        bench.say(&format!("{peer:?}"));
        found.push(peer);
    }
    Ok(found)
}

struct Scene {
    broker: Broker,
    sink: Sink,
    peer: Peer,
    start_ms: f64,
}

/// Everything up, and the first event delivered.
fn scene(bench: &Bench, make: &dyn Fn(&Broker, u16) -> Result<Peer>) -> Result<Scene> {
    let (broker, sink) = (bench.broker()?, bench.sink()?);
    let peer = make(&broker, sink.port)?;
    let mut scene = Scene { broker, sink, peer, start_ms: 0.0 };
    let began = now_ns();
    scene.peer.start()?;
    for probe in 0.. {
        anyhow::ensure!(probe < 1_500, "nothing was delivered within 30 s");
        generate(bench, &scene.broker, 1, u64::from(PEOPLE), &["--from", PROBES])?;
        pause(20);
        if scene.sink.count()? > 0 {
            break;
        }
    }
    scene.start_ms = (now_ns() - began) as f64 / 1e6;
    pause(bench.count(3_000, 500));
    scene.sink.order("reset")?;
    Ok(scene)
}

/// Waits until so many arrived, or nothing has for so many seconds. How many did.
fn quiet(sink: &mut Sink, wanted: u64, seconds: u64) -> Result<u64> {
    let (mut last, mut since) = (0, now_ns());
    loop {
        let count = sink.count()?;
        if count != last {
            (last, since) = (count, now_ns());
        }
        if count >= wanted || now_ns() - since > seconds * 1_000_000_000 {
            return Ok(count);
        }
        pause(20);
    }
}

fn steady(
    bench: &Bench,
    make: &dyn Fn(&Broker, u16) -> Result<Peer>,
    found: &mut report::Peer,
) -> Result<()> {
    let mut scene = scene(bench, make)?;
    found.start_ms = scene.start_ms;
    found.idle_mb = scene.peer.usage()?.resident_mb;
    let count = bench.count(1_000, 200);
    let before = scene.peer.usage()?.cpu_ns;
    generate(bench, &scene.broker, count, u64::from(PEOPLE), &["--rate", "50"])?;
    quiet(&mut scene.sink, count, 10)?;
    pause(300);
    found.cpu_us_per_message = (scene.peer.usage()?.cpu_ns - before) / 1e3 / count as f64;
    let stats = scene.sink.order("stats")?;
    (found.p50_ms, found.p99_ms) = (stats.latency(0.5), stats.latency(0.99));
    scene.sink.order("reset")?;
    let burst = bench.count(5_000, 500);
    let began = generate(bench, &scene.broker, burst, u64::from(PEOPLE), &[])?;
    let arrived = quiet(&mut scene.sink, burst, 10)?;
    let stats = scene.sink.order("stats")?;
    let took = stats.last_arrived.unwrap_or(began).saturating_sub(began) as f64 / 1e9;
    found.burst_sent = burst;
    found.burst_per_s = arrived as f64 / took;
    found.sockets = stats.most_open;
    found.peak_mb = scene.peer.usage()?.peak_mb;
    Ok(())
}

/// Fifty events a second; the sink is away for the middle third. How many never arrive.
fn outage(bench: &Bench, make: &dyn Fn(&Broker, u16) -> Result<Peer>, how: &str, count: u64) -> Result<u64> {
    let mut scene = scene(bench, make)?;
    let third_ms = count * 1_000 / 50 / 3;
    std::thread::scope(|scope| -> Result<()> {
        let broker = &scene.broker;
        let events =
            scope.spawn(move || generate(bench, broker, count, u64::from(PEOPLE), &["--rate", "50"]));
        pause(third_ms);
        scene.sink.order(how)?;
        pause(third_ms);
        scene.sink.order("ok")?;
        events.join().map_err(|_| anyhow::anyhow!("the generator was lost"))??;
        Ok(())
    })?;
    Ok(count - quiet(&mut scene.sink, count, 15)?)
}

/// A burst against a sink that takes 5 ms; SIGKILL in the middle, and a start a second later.
fn killed(
    bench: &Bench,
    make: &dyn Fn(&Broker, u16) -> Result<Peer>,
    found: &mut report::Peer,
) -> Result<()> {
    let mut scene = scene(bench, make)?;
    let count = bench.count(5_000, 1_000);
    scene.sink.order("delay 5")?;
    std::thread::scope(|scope| -> Result<()> {
        let broker = &scene.broker;
        let events = scope.spawn(move || generate(bench, broker, count, u64::from(PEOPLE), &[]));
        while scene.sink.count()? < count / 5 {
            pause(2);
        }
        scene.peer.kill();
        events.join().map_err(|_| anyhow::anyhow!("the generator was lost"))??;
        Ok(())
    })?;
    pause(1_000);
    scene.peer.start()?;
    let arrived = quiet(&mut scene.sink, count, 15)?;
    let stats = scene.sink.order("stats")?;
    found.kill_sent = count;
    found.lost_at_kill = count - arrived.min(count);
    found.twice_at_kill = stats.duplicates;
    Ok(())
}
