//! One site floods; what others send, and what is critical of its own, leaves all the same. And what a hub costs on the way.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use bellwire_tests::{PHONE_NUMBER_ID, free_port, post_json, wait_for};
use serde_json::json;

use crate::parts::{Engine, Hub, META_TOKEN, Meta, send_as, send_content, two_hubs};

/// A person for each message: what one person gets has a limit of its own.
fn person(row: u32) -> String {
    format!("+4915{row:08}")
}

/// Ends the flood however the test ends.
struct Ends<'a>(&'a AtomicBool);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn sorted(mut waits: Vec<Duration>) -> Vec<Duration> {
    waits.sort_unstable();
    waits
}

/// Sixteen requests at a time, as a gateway has them, at both hubs, for five seconds.
#[test]
fn a_flood_delays_no_other_site_and_nothing_critical() {
    let (_engine, meta, hubs, proxy) = two_hubs();
    let tokens = ["flood", "other"].map(|name| hubs[0].enrol(name, &[]));
    // It counts here, and refuses nothing: the hubs are to keep the pace by themselves.
    assert_eq!(post_json(&meta.url("/_simulator/limits"), &json!({ "throughput": false })).0, 200);
    let (done, row, taken) = (AtomicBool::new(false), AtomicU32::new(1), AtomicU32::new(0));
    let (url, began) = (proxy.url(""), Instant::now());
    let waits = std::thread::scope(|scope| {
        let _ends = Ends(&done);
        for _ in 0..16 {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    let row = row.fetch_add(1, Ordering::Relaxed);
                    let sent = send_as("info", "0badcafe", &url, &tokens[0], row, 1, &person(row), 0);
                    match sent {
                        Some((200, ..)) => drop(taken.fetch_add(1, Ordering::Relaxed)),
                        Some((429, ..)) => std::thread::sleep(Duration::from_secs(1)),
                        other => assert_eq!(other, None, "it ends here"),
                    }
                }
            });
        }
        std::thread::sleep(Duration::from_secs(1));
        let critical = |token: &str, tag: &str| {
            let mut waits = Vec::new();
            for row in 100_000..100_012 {
                let began = Instant::now();
                let sent = send_as("critical", tag, &url, token, row, 1, &person(row), 0);
                assert!(matches!(sent, Some((200, ..))), "{sent:?}");
                waits.push(began.elapsed());
                std::thread::sleep(Duration::from_millis(300));
            }
            sorted(waits)
        };
        let (own, other) = std::thread::scope(|inner| {
            let own = inner.spawn(|| critical(&tokens[0], "0badcafe"));
            let other = inner.spawn(|| critical(&tokens[1], "deadbeef"));
            (own.join().expect("sent"), other.join().expect("sent"))
        });
        [own, other]
    });
    let rate = f64::from(taken.load(Ordering::Relaxed)) / began.elapsed().as_secs_f64();
    let mut seconds = std::collections::BTreeMap::<u64, usize>::new();
    for sent in meta.sent() {
        *seconds.entry(sent["timestamp"].as_u64().expect("a time")).or_default() += 1;
    }
    let busiest = seconds.values().copied().max().unwrap_or_default();
    println!(
        "flood {rate:.0}/s, busiest second {busiest}; critical of its own: middle {:?}, longest {:?}; of another: {:?}, {:?}",
        waits[0][6], waits[0][11], waits[1][6], waits[1][11]
    );
    assert!(waits.iter().all(|waits| waits[11] < Duration::from_secs(2)), "{waits:?}");
    assert!((30.0..90.0).contains(&rate), "{rate}");
    assert!(busiest <= 100, "{seconds:?}");
}

/// Meta answers after 90 ms; the same messages straight to it and through a hub.
#[test]
fn a_hub_costs_little_on_the_way() {
    let (_engine, meta, hubs, _proxy) = two_hubs();
    let token = hubs[0].enrol("shop", &[]);
    meta.fault(&json!({ "delay_ms": 90 }));
    let straight = |row: u32| {
        let began = Instant::now();
        let body = json!({ "messaging_product": "whatsapp", "to": person(row), "type": "text", "text": { "body": format!("m{row}") } });
        let url = meta.url(&format!("/v25.0/{PHONE_NUMBER_ID}/messages"));
        let sent = ureq::post(url).header("Authorization", format!("Bearer {META_TOKEN}")).send_json(&body);
        assert!(sent.is_ok());
        began.elapsed()
    };
    let by_hub = |row: u32| {
        let began = Instant::now();
        let sent = send_as("warning", "0badcafe", &hubs[0].url(""), &token, row, 1, &person(row), 0);
        assert!(matches!(sent, Some((200, ..))), "{sent:?}");
        began.elapsed()
    };
    // In turn, so that both meet the same machine.
    let (floor, hub): (Vec<_>, Vec<_>) = (0..60).map(|row| (straight(row), by_hub(row))).unzip();
    let (floor, hub) = (sorted(floor), sorted(hub));
    println!(
        "straight: middle {:?}, longest {:?}; by a hub: {:?}, {:?}",
        floor[30], floor[59], hub[30], hub[59]
    );
    assert!(hub[30] < floor[30] * 3 / 2, "{:?} {:?}", hub[30], floor[30]);
}

/// Two sites write to one person at two hubs: together they get what Meta gives one number, and a fire alarm leaves all the same.
#[test]
fn two_sites_together_keep_the_pair_limit() {
    let (_engine, meta, hubs, _proxy) = two_hubs();
    let tokens = ["one", "other"].map(|name| hubs[0].enrol(name, &[]));
    let tags = ["0badcafe", "deadbeef"];
    let send = |at: usize, severity: &str, row: u32, to: &str| {
        let hub = hubs[(row % 2) as usize].url("");
        send_as(severity, tags[at], &hub, &tokens[at], row, 1, to, 0).expect("an answer")
    };
    let (began, nino) = (Instant::now(), person(0));
    let sent: Vec<_> = (0..60).map(|row| send(row as usize / 2 % 2, "info", row, &nino)).collect();
    let took = began.elapsed().as_secs();
    let taken = sent.iter().filter(|(status, ..)| *status == 200).count() as u64;
    assert!((35..=36 + took / 6).contains(&taken), "{taken} in {took} s");
    let refused = sent.iter().filter(|(status, ..)| *status != 200);
    for (status, said, body) in refused {
        assert!(*status == 400 && said == "refused" && body.contains("131056"), "{status} {said} {body}");
    }
    assert_eq!(send(0, "critical", 100, &nino).0, 200, "the last of the burst is for these");
    assert_eq!(send(1, "info", 101, &person(1)).0, 200, "another person");
    assert_eq!(meta.sent().len() as u64, taken + 2);
}

/// Ten people a day, says Meta: the last of them is for what is critical. It takes any number here, so that the hubs keep to it.
#[test]
fn two_sites_together_keep_metas_daily_limit() {
    let (engine, folder) = (Engine::start(1), tempfile::tempdir().expect("a folder"));
    let meta = Meta::start(folder.path(), &format!("http://127.0.0.1:{}/webhook/whatsapp", free_port()));
    let limit = json!({ "whatsapp_business_manager_messaging_limit": "10" });
    let node = json!({ "id": PHONE_NUMBER_ID, "fields": limit });
    assert_eq!(post_json(&meta.url("/_simulator/node"), &node).0, 200);
    let mut hubs = [Hub::new(&engine, meta.port), Hub::new(&engine, meta.port)];
    hubs.iter_mut().for_each(Hub::up);
    hubs.iter().for_each(Hub::wait_ready);
    wait_for(20, "what Meta says", || hubs.iter().all(|hub| hub.log().contains("people=10")).then_some(()));
    let tokens = ["one", "other"].map(|name| hubs[0].enrol(name, &[]));
    let template =
        json!({ "type": "template", "template": { "name": "hello_world", "language": { "code": "en_US" } } });
    let send = |severity: &str, row: u32, to: u32| {
        let (at, hub) = ((row / 2 % 2) as usize, hubs[(row % 2) as usize].url(""));
        let tag = ["0badcafe", "deadbeef"][at];
        let (to, body) = (person(to), template.clone());
        let sent = send_content(severity, tag, &hub, &tokens[at], (row, 1), &to, 0, body).expect("an answer");
        std::thread::sleep(Duration::from_millis(150)); // the other hub is told in that time
        (sent.0, sent.1)
    };
    let (taken, later) = ((200, "answer".to_owned()), (429, "later".to_owned()));
    let sent: Vec<_> = (0..16).map(|row| send("warning", row, row)).collect();
    assert!(
        sent[..9].iter().all(|one| *one == taken) && sent[9..].iter().all(|one| *one == later),
        "{sent:?}"
    );
    assert_eq!(send("info", 20, 3), taken, "counted already");
    assert_eq!(send("critical", 21, 30), taken, "the tenth");
    assert_eq!(send("critical", 22, 31), later);
    let free = send_as("info", "0badcafe", &hubs[0].url(""), &tokens[0], 40, 1, &person(40), 0);
    assert!(matches!(free, Some((200, ..))), "in a window that is open nobody is counted: {free:?}");
}
