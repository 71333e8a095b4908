//! Power cuts, from the system calls of a real run: strace writes down what the gateway writes, syncs and acknowledges; for
//! hundreds of moments the disk is then built as a power cut could leave it (what was synced, and of the rest any part,
//! in any order, torn at sectors), opened, and compared with what the broker had been told.

use std::collections::BTreeMap;
use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;

use bellwire::random::Rng;
use bellwire::store::Store;
use bellwire::time::Timestamp;
use bellwire_tests::{Broker, Gateway, Simulator, Site, wait_for};

use super::{messages, warm};
use crate::round_trip::FREEZER;

const SECTOR: usize = 512;
const EVENTS: u32 = 40;
const CUTS: usize = 300;

#[derive(Debug, Clone)]
enum Call {
    Write {
        file: String,
        at: usize,
        bytes: Vec<u8>,
    },
    Truncate {
        file: String,
        length: usize,
    },
    Sync {
        file: String,
    },
    /// PUBACKs to the broker.
    Acknowledge(usize),
}

/// `"\x0a\x0b"` to bytes.
fn bytes(quoted: &str) -> Vec<u8> {
    let digits = quoted.split("\\x").skip(1);
    digits.map(|pair| u8::from_str_radix(&pair[..2], 16).expect("two digits")).collect()
}

/// PUBACK packets (MQTT 5, 3.4) in what is written to the broker; the gateway sends no other packet of type 4.
fn acknowledgements(mut stream: &[u8]) -> usize {
    let mut count = 0;
    while let [first, length, rest @ ..] = stream {
        count += usize::from(first >> 4 == 4);
        if *length >= 128 {
            return count; // a long packet: none of the short ones that matter here follow it
        }
        stream = rest.get(usize::from(*length)..).unwrap_or_default();
    }
    count
}

/// One line of `strace -f -yy -xx`: the process, the call, and for a file its name.
fn call(line: &str, state: &str, port: u16) -> Option<Call> {
    let (name, arguments) = line.split_once('(')?;
    if arguments.contains(" = -1 ") {
        return None;
    }
    let target = arguments.split_once('<')?.1;
    let target = target.split_once(">,").or_else(|| target.split_once(">)"))?.0;
    let target =
        if target.starts_with("\\x") { String::from_utf8(bytes(target)).ok()? } else { target.to_owned() };
    let data = || arguments.split('"').nth(1).map(bytes);
    let file =
        || target.strip_prefix(state).filter(|file| file.starts_with("/bellwire.db")).map(str::to_owned);
    let number = |from_end: usize| {
        let inside = arguments.rsplit_once(')')?.0;
        inside.rsplit(", ").nth(from_end)?.parse().ok()
    };
    match name {
        "pwrite64" => Some(Call::Write { file: file()?, at: number(0)?, bytes: data()? }),
        "ftruncate" => Some(Call::Truncate { file: file()?, length: number(0)? }),
        "fsync" | "fdatasync" => Some(Call::Sync { file: file()? }),
        "sendto" | "write" | "writev" if target.contains(&format!("->127.0.0.1:{port}]")) => {
            Some(Call::Acknowledge(acknowledgements(&data()?)))
        }
        _ => None,
    }
}

/// What happened, in order. A call that another thread's line interrupted counts where it ended.
fn calls(trace: &str, state: &str, port: u16) -> Vec<Call> {
    let mut begun = BTreeMap::new();
    let mut calls = Vec::new();
    for line in trace.lines() {
        let Some((process, line)) = line.split_once(' ') else { continue };
        let line = line.trim_start();
        if let Some((start, _)) = line.split_once(" <unfinished ...>") {
            begun.insert(process, start.to_owned());
            continue;
        }
        let whole = match line.split_once(" resumed>") {
            Some((_, end)) => begun.remove(process).unwrap_or_default() + end,
            None => line.to_owned(),
        };
        calls.extend(call(&whole, state, port));
    }
    calls
}

/// The files as they surely are, and what was written since.
#[derive(Debug, Default, Clone)]
struct Disk {
    synced: BTreeMap<String, Vec<u8>>,
    pending: Vec<Call>,
}

fn apply(files: &mut BTreeMap<String, Vec<u8>>, call: &Call) {
    match call {
        Call::Write { file, at, bytes } => {
            let content = files.entry(file.clone()).or_default();
            content.resize(content.len().max(at + bytes.len()), 0);
            content[*at..at + bytes.len()].copy_from_slice(bytes);
        }
        Call::Truncate { file, length } => files.entry(file.clone()).or_default().resize(*length, 0),
        Call::Sync { .. } | Call::Acknowledge(_) => {}
    }
}

impl Disk {
    fn take(&mut self, call: &Call, honest: bool) {
        match call {
            Call::Sync { file } if honest => {
                let of = |call: &Call| matches!(call, Call::Write { file: f, .. } | Call::Truncate { file: f, .. } if f == file);
                let (done, rest): (Vec<Call>, Vec<Call>) = self.pending.drain(..).partition(of);
                self.pending = rest;
                done.iter().for_each(|call| apply(&mut self.synced, call));
            }
            Call::Sync { .. } | Call::Acknowledge(_) => {}
            Call::Write { .. } | Call::Truncate { .. } => self.pending.push(call.clone()),
        }
    }

    /// What a power cut leaves: of what was not synced any part, each sector by itself.
    fn cut(&self, dice: &mut Rng) -> BTreeMap<String, Vec<u8>> {
        let mut files = self.synced.clone();
        for call in &self.pending {
            match call {
                Call::Write { file, at, bytes } => {
                    for (number, sector) in bytes.chunks(SECTOR).enumerate() {
                        if dice.below(2) == 0 {
                            let at = at + number * SECTOR;
                            apply(
                                &mut files,
                                &Call::Write { file: file.clone(), at, bytes: sector.to_vec() },
                            );
                        }
                    }
                }
                Call::Truncate { .. } if dice.below(2) == 0 => apply(&mut files, call),
                Call::Truncate { .. } | Call::Sync { .. } | Call::Acknowledge(_) => {}
            }
        }
        files
    }
}

/// The rows of that table in what a power cut left.
fn recovered(files: &BTreeMap<String, Vec<u8>>, table: &str) -> usize {
    let folder = tempfile::tempdir().expect("a folder");
    for (name, content) in files {
        std::fs::write(folder.path().join(&name[1..]), content).expect("written");
    }
    drop(Store::open(folder.path(), &mut Rng::seeded(1)).expect("a database that a power cut left opens"));
    assert!(!folder.path().join("bellwire.db.corrupt-1").exists(), "it is not damaged");
    let sql = rusqlite::Connection::open(folder.path().join("bellwire.db")).expect("opens");
    let count: i64 =
        sql.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0)).expect("counted");
    usize::try_from(count).expect("not negative")
}

/// The first moment at which the broker had been told more than what is left.
fn first_loss(
    start: &BTreeMap<String, Vec<u8>>,
    calls: &[Call],
    table: &str,
    honest: bool,
) -> Option<String> {
    let mut dice = Rng::seeded(7);
    let mut disk = Disk { synced: start.clone(), pending: Vec::new() };
    let mut told = 0;
    let every = (calls.len() / CUTS).max(1);
    for (moment, call) in calls.iter().enumerate() {
        disk.take(call, honest);
        if let Call::Acknowledge(count) = call {
            told += count;
        }
        if moment % every == 0 || matches!(call, Call::Acknowledge(1..)) {
            let left = recovered(&disk.cut(&mut dice), table);
            if left < told {
                return Some(format!(
                    "at call {moment} the broker had been told of {told} events, {left} are left"
                ));
            }
        }
    }
    assert_eq!(told, EVENTS as usize, "every event was acknowledged");
    None
}

fn files(state: &Path) -> BTreeMap<String, Vec<u8>> {
    let names = ["/bellwire.db", "/bellwire.db-wal"];
    let read = |name: &str| std::fs::read(state.join(&name[1..])).ok().map(|bytes| (name.to_owned(), bytes));
    names.iter().filter_map(|name| read(name)).collect()
}

/// What strace is to write down: the calls that change files or send, with all of their bytes.
const WRITES: [&str; 6] =
    ["-yy", "-xx", "-s", "70000", "-e", "trace=pwrite64,ftruncate,fsync,fdatasync,sendto,write,writev"];

#[test]
fn f02_acknowledged_events_survive_a_power_cut() {
    let broker = Broker::start();
    let site = Site::new(broker.port, FREEZER);
    assert_eq!(Gateway::start(&site).stop(), Some(0));
    let state = site.path().join("state");
    let start = files(&state);
    let trace = site.path().join("trace").to_string_lossy().into_owned();
    let gateway = Gateway::launch_traced(&site, &[&WRITES[..], &["-o", &trace]].concat()); // without a Cloud API: events, and attempts that fail
    wait_for(20, "the gateway's own test message", || {
        let metrics = ureq::get(&site.url("/metrics")).call().ok()?.body_mut().read_to_string().ok()?;
        metrics.contains("bellwire_mqtt_round_trip_seconds_count 1").then_some(())
    });
    warm(&broker, 1..=EVENTS);
    wait_for(30, "the alerts", || (messages(&site) == i64::from(EVENTS)).then_some(()));
    std::thread::sleep(std::time::Duration::from_millis(300)); // the last acknowledgement
    let trace = std::fs::read_to_string(&trace).expect("a trace");
    drop(gateway);
    let mut calls = calls(&trace, &state.to_string_lossy(), broker.port);
    // The first acknowledgement is of the gateway's own test message, which has no row.
    let first = calls.iter_mut().find_map(|call| match call {
        Call::Acknowledge(count @ 1..) => Some(count),
        Call::Acknowledge(_) | Call::Write { .. } | Call::Truncate { .. } | Call::Sync { .. } => None,
    });
    *first.expect("it was acknowledged") -= 1;
    assert_eq!(first_loss(&start, &calls, "event", true), None);
    // The check bites: a card that only says that it has synced loses what was acknowledged.
    let loss = first_loss(&start, &calls, "event", false).expect("a card that lies loses something");
    println!("with a card that lies: {loss}");
}

/// A part of the next test, in a process of its own: commits with one setting of `synchronous`, and says so each time as the
/// gateway does to a broker.
#[test]
fn commits_under_strace() {
    let Some((state, port, synchronous)) = std::env::var("BELLWIRE_COMMITS").ok().and_then(|wish| {
        let mut words = wish.split(' ').map(str::to_owned);
        Some((words.next()?, words.next()?.parse::<u16>().ok()?, words.next()?))
    }) else {
        return; // nobody asks
    };
    let sql = rusqlite::Connection::open(Path::new(&state).join("bellwire.db")).expect("opens");
    sql.execute_batch(&format!("PRAGMA journal_mode = WAL; PRAGMA synchronous = {synchronous};"))
        .expect("set");
    let mut broker = TcpStream::connect(("127.0.0.1", port)).expect("connected");
    for number in 0..EVENTS {
        let row = "INSERT INTO inbox (received_at, body, state, checksum) VALUES (?1, randomblob(200), 'new', x'00')";
        sql.execute(row, [number]).expect("committed");
        broker.write_all(&[0x40, 2, 0, 1]).expect("acknowledged");
    }
}

/// Why the store insists on FULL: the same commits with NORMAL are gone after a power cut, though each had ended.
#[test]
fn f02_synchronous_normal_loses_what_was_acknowledged() {
    let loss = |synchronous: &str| {
        let folder = tempfile::tempdir().expect("a folder");
        drop(Store::open(folder.path(), &mut Rng::seeded(1)).expect("opens"));
        let start = files(folder.path());
        let door = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = door.local_addr().expect("an address").port();
        let trace = folder.path().join("trace").to_string_lossy().into_owned();
        let state = folder.path().to_string_lossy().into_owned();
        let ran = Command::new("strace")
            .args(["-f", "-o", &trace])
            .args(WRITES)
            .arg(std::env::current_exe().expect("this program"))
            .args(["--exact", "faults::power::commits_under_strace"])
            .env("BELLWIRE_COMMITS", format!("{state} {port} {synchronous}"))
            .output()
            .expect("strace runs");
        assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stdout));
        let trace = std::fs::read_to_string(&trace).expect("a trace");
        first_loss(&start, &calls(&trace, &state, port), "inbox", true)
    };
    assert_eq!(loss("FULL"), None);
    println!("with NORMAL: {}", loss("NORMAL").expect("NORMAL loses something"));
}

/// A log that ends anywhere, as a torn last write leaves it: the database opens with the commits before that place.
#[test]
fn f03_a_torn_log_is_a_prefix_of_the_commits() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = Store::open(folder.path(), &mut Rng::seeded(1)).expect("opens");
    for number in 0_u8..20 {
        store.transaction(|store| store.keep_webhook(&[number; 200], Timestamp(1))).expect("committed");
    }
    let whole = files(folder.path()); // the store is still open: nothing is folded in
    let length = whole["/bellwire.db-wal"].len();
    let mut last = 0;
    for cut in (0..length).step_by(97).chain([length]) {
        let mut torn = whole.clone();
        torn.get_mut("/bellwire.db-wal").expect("a log").truncate(cut);
        let copy = tempfile::tempdir().expect("a folder");
        for (name, content) in &torn {
            std::fs::write(copy.path().join(&name[1..]), content).expect("written");
        }
        let sql = rusqlite::Connection::open(copy.path().join("bellwire.db")).expect("opens");
        let left: i64 = sql.query_row("SELECT count(*) FROM inbox", [], |row| row.get(0)).expect("counted");
        let newest: i64 =
            sql.query_row("SELECT coalesce(max(id), 0) FROM inbox", [], |row| row.get(0)).expect("a number");
        assert!(left == newest && left >= last, "{left} rows up to {newest} at {cut} bytes");
        last = left;
    }
    assert_eq!(last, 20);
}

/// One changed character in a message that waits: it is not sent, and the operator is told why.
#[test]
fn f04_a_row_with_a_flipped_bit_is_never_sent() {
    let broker = Broker::start();
    let site = Site::new(broker.port, FREEZER);
    let gateway = Gateway::start(&site); // without a Cloud API: they wait
    warm(&broker, 1..=2);
    wait_for(10, "the alerts", || (messages(&site) == 2).then_some(()));
    assert_eq!(gateway.stop(), Some(0));
    let flipped = "UPDATE message SET content = replace(content, '-12.5', '-13.5') WHERE id = 1";
    assert_eq!(site.database().execute(flipped, []).expect("flipped"), 1);
    let _simulator = Simulator::start(&site);
    let _gateway = Gateway::start(&site);
    assert_eq!(site.wait_sent(1).len(), 1);
    wait_for(10, "both ends", || {
        (site.count("SELECT count(*) FROM message WHERE state IN ('held', 'read')") == 2).then_some(())
    });
    assert_eq!(site.sent().len(), 1);
    assert!(
        site.show(1)["reason"].as_str().is_some_and(|reason| reason.contains("damaged on disk")),
        "{}",
        site.show(1)
    );
}
