use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bellwire_tests::{Broker, Gateway, Site, wait_for};
use hmac::{Hmac, KeyInit, Mac};
use serde_json::Value;
use sha2::Sha256;

fn fixtures() -> String {
    format!("{}/fixtures/cloud-api", env!("CARGO_MANIFEST_DIR"))
}

fn agent() -> ureq::Agent {
    ureq::Agent::config_builder().http_status_as_error(false).build().into()
}

pub fn post(site: &Site, body: &[u8], signature: Option<&str>) -> u16 {
    let mut request = agent().post(site.url("/webhook/whatsapp"));
    if let Some(signature) = signature {
        request = request.header("X-Hub-Signature-256", signature);
    }
    request.send(body).expect("an answer").status().as_u16()
}

pub fn sign(secret: &str, body: &[u8]) -> String {
    let mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("any key").chain_update(body);
    let hex: String = mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256={hex}")
}

#[test]
fn forged_bodies_are_refused_and_store_nothing() {
    let broker = Broker::start();
    let site = Site::new(broker.port, crate::round_trip::FREEZER);
    let _gateway = Gateway::start(&site);
    let body = br#"{"object":"whatsapp_business_account","entry":[]}"#;
    assert_eq!(post(&site, body, None), 401);
    assert_eq!(post(&site, body, Some(&sign("another secret", body))), 401);
    assert_eq!(post(&site, body, Some("sha256=00")), 401);
    assert_eq!(post(&site, body, Some(&sign("my-verify-token", body))), 401);
    assert_eq!(site.count("SELECT count(*) FROM inbox"), 0);
    assert_eq!(post(&site, body, Some(&sign("secret", body))), 200);
    assert_eq!(site.count("SELECT count(*) FROM inbox"), 1, "it is on disk when 200 is answered");
}

#[test]
fn every_handshake_is_answered() {
    let broker = Broker::start();
    let site = Site::new(broker.port, crate::round_trip::FREEZER);
    let _gateway = Gateway::start(&site);
    let cases: Value =
        serde_json::from_slice(&std::fs::read(fixtures() + "/handshake.json").unwrap()).unwrap();
    for case in cases["cases"].as_array().unwrap() {
        let url = site.url(&format!("/webhook/whatsapp?{}", case["query"].as_str().unwrap()));
        let mut response = agent().get(&url).call().expect("an answer");
        assert_eq!(u64::from(response.status().as_u16()), case["status"].as_u64().unwrap(), "{case}");
        if let Some(body) = case["body"].as_str() {
            assert_eq!(response.headers()["content-type"], "text/plain; charset=utf-8");
            assert_eq!(response.headers()["x-content-type-options"], "nosniff");
            assert_eq!(response.body_mut().read_to_string().unwrap(), body, "{case}");
        }
    }
}

/// A file holds one body as it came, or a list of bodies that came one after the other.
pub fn bodies(file: &[u8]) -> Vec<Vec<u8>> {
    match serde_json::from_slice::<Vec<Value>>(file) {
        Ok(list) => list.iter().map(|body| serde_json::to_vec(body).unwrap()).collect(),
        Err(_) => vec![file.to_vec()],
    }
}

#[test]
fn every_body_of_metas_is_taken_once_and_again() {
    let broker = Broker::start();
    let site = Site::new(broker.port, crate::round_trip::FREEZER);
    let mut gateway = Gateway::start(&site);
    let mut posted = 0;
    for folder in ["messages", "statuses", "fields", "batches"] {
        for file in std::fs::read_dir(format!("{}/webhooks/{folder}", fixtures())).unwrap() {
            let text = std::fs::read(file.unwrap().path()).unwrap();
            for body in bodies(&text) {
                for _ in 0..2 {
                    assert_eq!(post(&site, &body, Some(&sign("secret", &body))), 200);
                    posted += 1;
                }
            }
        }
    }
    let done = "SELECT count(*) FROM inbox WHERE state = 'done'";
    wait_for(20, "all bodies to be read", || (site.count(done) == posted).then_some(()));
    assert!(gateway.is_running());
    assert_eq!(site.count("SELECT count(*) FROM command"), 0, "nobody in them is a contact of ours");
    assert!(site.count("SELECT count(*) FROM reply") > 20);
}

/// Sends the beginning of something, and then no more, again and again until the test ends.
fn dawdle(port: u16, beginning: &str, stop: &Arc<AtomicBool>) -> std::thread::JoinHandle<()> {
    let (stop, beginning) = (Arc::clone(stop), beginning.to_owned());
    std::thread::spawn(move || {
        while !stop.load(Ordering::Relaxed) {
            let Ok(mut stream) = TcpStream::connect(("127.0.0.1", port)) else { continue };
            drop(stream.set_read_timeout(Some(Duration::from_secs(10))));
            drop(stream.write_all(beginning.as_bytes()));
            drop(stream.read(&mut [0; 64])); // until it is cut off
            std::thread::sleep(Duration::from_millis(500));
        }
    })
}

#[test]
fn slow_clients_delay_neither_webhooks_nor_pages() {
    const BEGINNINGS: [&str; 4] = [
        "POST /webhook/whatsapp HTTP/1.1\r\nHost: x\r\nX-",
        "POST /webhook/whatsapp HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{",
        "POST /webhook/whatsapp HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\nX-Hub-Signature-256: \
         sha256=00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff\r\n\r\n{",
        "POST /login HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-www-form-urlencoded\r\n\
         Content-Length: 1000\r\n\r\npassword=",
    ];
    let (_broker, site, _gateway) = crate::web::start(crate::round_trip::FREEZER);
    let body = br#"{"object":"whatsapp_business_account","entry":[]}"#;
    let signature = sign("secret", body);
    for beginning in BEGINNINGS {
        let stop = Arc::new(AtomicBool::new(false));
        let dawdlers: Vec<_> = (0..300).map(|_| dawdle(site.http_port, beginning, &stop)).collect();
        std::thread::sleep(Duration::from_millis(1_500));
        // On a machine that other programs keep busy a single answer may be late; all five together are not.
        let mut took: Vec<Duration> = (0..5)
            .map(|_| {
                let begun = Instant::now();
                assert_eq!(post(&site, body, Some(&signature)), 200);
                assert_eq!(crate::web::get(&site, "/login", &[]).status, 200);
                begun.elapsed()
            })
            .collect();
        took.sort();
        assert!(took[2] < Duration::from_secs(1), "{beginning}: a post and the page took {took:?}");
        assert!(took[4] < Duration::from_secs(5), "{beginning}: a post and the page took {took:?}");
        stop.store(true, Ordering::Relaxed);
        dawdlers.into_iter().for_each(|dawdler| dawdler.join().expect("it ends"));
    }
}

#[test]
fn large_bodies_that_dawdle_hold_up_no_large_genuine_post() {
    let (_broker, site, _gateway) = crate::web::start(crate::round_trip::FREEZER);
    let head = "POST /webhook/whatsapp HTTP/1.1\r\nHost: x\r\nContent-Length: 4000000\r\nX-Hub-Signature-256: \
                sha256=00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff\r\n\r\n";
    let beginning = format!("{head}{}", "x".repeat(100 * 1024));
    let body =
        format!(r#"{{"object":"whatsapp_business_account","entry":[],"x":"{}"}}"#, "x".repeat(1024 * 1024));
    let signature = sign("secret", body.as_bytes());
    let stop = Arc::new(AtomicBool::new(false));
    let dawdlers: Vec<_> = (0..40).map(|_| dawdle(site.http_port, &beginning, &stop)).collect();
    std::thread::sleep(Duration::from_millis(1_500));
    let mut took: Vec<Duration> = (0..5)
        .map(|_| {
            let begun = Instant::now();
            assert_eq!(post(&site, body.as_bytes(), Some(&signature)), 200);
            begun.elapsed()
        })
        .collect();
    took.sort();
    assert!(took[2] < Duration::from_secs(1), "a large post took {took:?}");
    stop.store(true, Ordering::Relaxed);
    dawdlers.into_iter().for_each(|dawdler| dawdler.join().expect("it ends"));
}

#[test]
fn one_clients_large_bodies_leave_room_for_others() {
    let (_broker, site, gateway) = crate::web::start(crate::round_trip::FREEZER);
    let head = "POST /webhook/whatsapp HTTP/1.1\r\nHost: x\r\nContent-Length: 4000000\r\nX-Hub-Signature-256: \
                sha256=00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff\r\n\r\n";
    let beginning = format!("{head}{}", "x".repeat(3_990_000));
    let body =
        format!(r#"{{"object":"whatsapp_business_account","entry":[],"x":"{}"}}"#, "x".repeat(1024 * 1024));
    let signature = sign("secret", body.as_bytes());
    let (stop, port) = (Arc::new(AtomicBool::new(false)), site.http_port);
    let before = memory(gateway.id());
    let others: Vec<_> = (0..30)
        .map(|_| {
            let (stop, beginning) = (Arc::clone(&stop), beginning.clone());
            std::thread::spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    let mut stream = crate::web::connect_from("127.0.0.2", port);
                    drop(stream.set_read_timeout(Some(Duration::from_secs(10))));
                    drop(stream.set_write_timeout(Some(Duration::from_secs(10))));
                    drop(stream.write_all(beginning.as_bytes()));
                    drop(stream.read(&mut [0; 64])); // until it is cut off
                }
            })
        })
        .collect();
    std::thread::sleep(Duration::from_millis(1_500));
    let mut took: Vec<Duration> = (0..5)
        .map(|_| {
            let begun = Instant::now();
            assert_eq!(post(&site, body.as_bytes(), Some(&signature)), 200);
            begun.elapsed()
        })
        .collect();
    took.sort();
    let grown = memory(gateway.id()) - before;
    stop.store(true, Ordering::Relaxed);
    others.into_iter().for_each(|other| other.join().expect("it ends"));
    assert!(took[2] < Duration::from_secs(1), "a large post took {took:?}");
    // Half of 16 MiB for one client, a body of ours, and what thirty connections read ahead.
    assert!(grown < 24 * 1024, "{grown} KiB for bodies that nobody signed");
}

/// The most that it ever had, in KiB.
fn memory(process: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a line");
    line.split_whitespace().next().and_then(|word| word.parse().ok()).expect("a number")
}

#[test]
fn what_can_be_no_signature_is_refused_before_the_body() {
    let broker = Broker::start();
    let site = Site::new(broker.port, crate::round_trip::FREEZER);
    let _gateway = Gateway::start(&site);
    let answer = |signature: &str, length: usize| {
        let mut stream = TcpStream::connect(("127.0.0.1", site.http_port)).expect("connected");
        stream.set_read_timeout(Some(Duration::from_secs(10))).expect("set");
        let head = format!(
            "POST /webhook/whatsapp HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n{signature}\r\n{{"
        );
        stream.write_all(head.as_bytes()).expect("sent");
        let (begun, mut answer) = (Instant::now(), [0; 12]);
        stream.read_exact(&mut answer).expect("an answer");
        (String::from_utf8_lossy(&answer[9..]).into_owned(), begun.elapsed())
    };
    let digits = "0".repeat(64);
    for signature in [
        String::new(),
        "X-Hub-Signature-256: \r\n".to_owned(),
        "X-Hub-Signature-256: sha256=00\r\n".to_owned(),
        format!("X-Hub-Signature-256: sha1={digits}\r\n"),
        format!("X-Hub-Signature-256: sha256={digits}0\r\n"),
        format!("X-Hub-Signature-256: sha256={}g\r\n", &digits[1..]),
    ] {
        let (status, took) = answer(&signature, 1_000);
        assert_eq!(status, "401", "{signature}");
        assert!(took < Duration::from_millis(900), "{signature}: its body was waited for, {took:?}");
    }
    let formed = format!("X-Hub-Signature-256: sha256={digits}\r\n");
    let (status, took) = answer(&formed, 1_000);
    assert_eq!(status, "408");
    assert!((Duration::from_millis(1_900)..Duration::from_secs(4)).contains(&took), "{took:?}");
    let (status, took) = answer(&formed, 5 * 1024 * 1024);
    assert_eq!(status, "413");
    assert!(took < Duration::from_millis(900), "{took:?}");
}
