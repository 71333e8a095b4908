//! The node that leads is cut off from the two others, while hubs go on speaking to all three. Each id is counted.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bellwire_tests::{wait_for, wait_or_show};
use serde_json::json;

use crate::chain::{hello, poll, post_body, webhook};
use crate::parts::{Chain, Engine, send};

/// A way from one node to another, which can be cut: what is open breaks off, what is new is refused.
#[derive(Clone, Default)]
struct Way {
    is_cut: Arc<AtomicBool>,
    open: Arc<Mutex<Vec<TcpStream>>>,
}

impl Way {
    /// To that port; the port at which it begins.
    fn to(port: u16) -> (Self, u16) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let (way, begins) = (Self::default(), listener.local_addr().expect("an address").port());
        let of_loop = way.clone();
        std::thread::spawn(move || {
            for from in listener.incoming() {
                let (Ok(from), false) = (from, of_loop.is_cut.load(Ordering::SeqCst)) else { continue };
                let Ok(to) = TcpStream::connect(("127.0.0.1", port)) else { continue };
                let copy = |stream: &TcpStream| stream.try_clone().expect("a copy");
                of_loop.open.lock().expect("a lock").extend([copy(&from), copy(&to)]);
                for (mut from, mut to) in [(copy(&from), copy(&to)), (to, from)] {
                    std::thread::spawn(move || {
                        let mut bytes = [0; 16 * 1024];
                        while let Ok(count @ 1..) = from.read(&mut bytes) {
                            if to.write_all(&bytes[..count]).is_err() {
                                break;
                            }
                        }
                        drop((from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both)));
                    });
                }
            }
        });
        (way, begins)
    }

    fn cut(&self, is_cut: bool) {
        self.is_cut.store(is_cut, Ordering::SeqCst);
        if is_cut {
            for stream in self.open.lock().expect("a lock").drain(..) {
                drop(stream.shutdown(Shutdown::Both));
            }
        }
    }
}

/// Each way from the node and to it.
fn cut_off(ways: &BTreeMap<(usize, usize), Way>, node: usize, is_cut: bool) {
    let of_node = ways.iter().filter(|((from, to), _)| *from == node || *to == node);
    of_node.for_each(|(_, way)| way.cut(is_cut));
}

/// In turn, since only so many messages may go to one person in a minute.
const PEOPLE: u32 = 50;

fn person(row: u32) -> String {
    format!("491510{:02}", row % PEOPLE)
}

/// As a site does: again under its key, until the hub says what became of it. `false`: nobody knows.
fn sends(proxy: &str, token: &str, row: u32, logs: impl Fn() -> String) -> bool {
    let (began, to) = (Instant::now(), format!("+{}", person(row)));
    wait_or_show(90, "what became of a message", logs, || {
        match send(proxy, token, row, 1, &to, began.elapsed().as_secs()) {
            Some((200, said, _)) if said == "answer" => Some(true),
            Some((_, said, _)) if said == "unknown" => Some(false),
            Some(_) | None => {
                std::thread::sleep(Duration::from_secs(1));
                None
            }
        }
    })
}

/// The threads of a test end with it, also when it fails.
struct Ends<'a>(&'a AtomicBool);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

#[test]
fn isolating_the_leader_loses_and_duplicates_nothing() {
    let mut ways = BTreeMap::new();
    let between = |from: usize, to: usize, port: u16| {
        let (way, begins) = Way::to(port);
        ways.insert((from, to), way);
        begins
    };
    // Else nodes tell each other their own addresses, and go past the ways.
    let engine = Engine::start_apart(3, "always", |_| String::new(), between, ", no_advertise: true");
    let chain = Chain::over(engine, |_| {});
    let people: Vec<String> = (0..PEOPLE).map(person).collect();
    let token = chain.hubs[0].enrol("shop", &people.iter().map(String::as_str).collect::<Vec<_>>());
    let (proxy, sent, posted) = (chain.proxy.url(""), Mutex::new(Vec::new()), Mutex::new(0));
    let (is_over, longest) = (AtomicBool::new(false), Mutex::new(Duration::ZERO));
    let leader = chain.engine.lead_where_a_hub_is("KV_SENT");
    let fetched = std::thread::scope(|scope| {
        let fetching = scope.spawn(|| {
            let is_all = |fetched: &BTreeMap<String, usize>| {
                is_over.load(Ordering::SeqCst) && fetched.len() == *posted.lock().expect("a lock")
            };
            poll(&proxy, &token, is_all)
        });
        let sending: Vec<_> = (0..4)
            .map(|lane| {
                let (proxy, token, is_over, sent, longest) = (&proxy, &token, &is_over, &sent, &longest);
                scope.spawn(move || {
                    for row in (lane..).step_by(4).take_while(|_| !is_over.load(Ordering::SeqCst)) {
                        let began = Instant::now();
                        let is_known = sends(proxy, token, row, String::new);
                        sent.lock().expect("a lock").push((row, is_known));
                        let mut longest = longest.lock().expect("a lock");
                        *longest = began.elapsed().max(*longest);
                        std::thread::sleep(Duration::from_millis(100));
                    }
                })
            })
            .collect();
        let posting = scope.spawn(|| {
            while !is_over.load(Ordering::SeqCst) {
                let at = *posted.lock().expect("a lock");
                post_body(&proxy, &webhook(&json!([hello(&format!("wamid.{at}"), "49151000")])));
                *posted.lock().expect("a lock") += 1;
                std::thread::sleep(Duration::from_millis(100));
            }
        });
        let ends = Ends(&is_over);
        let count = || sent.lock().expect("a lock").len();
        wait_for(60, "some messages", || (count() >= 20).then_some(()));
        cut_off(&ways, leader, true);
        std::thread::sleep(Duration::from_secs(12)); // an election takes 9 at most
        let before = count();
        let logs = || format!("{}\n{}", chain.hubs[0].log(), chain.hubs[1].log());
        // The one at the node that is cut off goes to another.
        for (row, hub) in (900_000..).zip(&chain.hubs) {
            let is_known = sends(&hub.url(""), &token, row, || hub.log());
            sent.lock().expect("a lock").push((row, is_known));
        }
        wait_or_show(60, "messages past the cut", logs, || (count() >= before + 20).then_some(()));
        cut_off(&ways, leader, false);
        let before = count();
        wait_for(60, "messages after it", || (count() >= before + 20).then_some(()));
        drop(ends);
        sending.into_iter().for_each(|lane| lane.join().expect("sent"));
        posting.join().expect("posted");
        fetching.join().expect("fetched")
    });
    let longest = longest.into_inner().expect("a lock");
    let (sent, posted) = (sent.into_inner().expect("a lock"), posted.into_inner().expect("a lock"));
    println!("{}; the longest took {longest:?}", count_all(&chain, &sent, &fetched, posted));
}

/// What was sent, and whether it is known what became of it; what was fetched, of so many webhooks.
fn count_all(
    chain: &Chain,
    sent: &[(u32, bool)],
    fetched: &BTreeMap<String, usize>,
    posted: usize,
) -> String {
    let mut at_meta = BTreeMap::<String, usize>::new();
    for message in chain.meta.sent() {
        let callback = message["biz_opaque_callback_data"].as_str().map(str::to_owned).unwrap_or_default();
        *at_meta.entry(callback).or_default() += 1;
    }
    let known: Vec<u32> = sent.iter().filter(|(_, is_known)| *is_known).map(|(row, _)| *row).collect();
    let unknown = sent.len() - known.len();
    let lost: Vec<&u32> =
        known.iter().filter(|row| !at_meta.contains_key(&format!("bellwire/0badcafe/{row}"))).collect();
    let twice: Vec<_> = at_meta.iter().filter(|(_, count)| **count > 1).collect();
    let what = format!(
        "{} messages: {unknown} unknown, lost {lost:?}, twice {twice:?}; {posted} webhooks: {} fetched",
        sent.len(),
        fetched.len()
    );
    assert!(lost.is_empty() && twice.is_empty(), "{what}");
    assert!(unknown <= 4, "no more than were under way: {unknown}");
    assert_eq!(fetched.len(), posted, "none is lost");
    assert!(fetched.values().all(|count| *count == 1), "none came twice: {fetched:?}");
    let audit = chain.hubs[0].command(&["audit", "--verify"]);
    assert!(audit.status.success(), "{}", String::from_utf8_lossy(&audit.stderr));
    what
}
