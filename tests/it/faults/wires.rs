//! Lines to Meta that lie, and people who talk too slowly to us.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bellwire_tests::{Broker, Gateway, Simulator, Site, wait_for};

use super::warm;
use crate::round_trip::FREEZER;

fn point_at(site: &Site, url: &str) {
    let text = std::fs::read_to_string(site.config()).expect("the configuration");
    let old = format!("http://127.0.0.1:{}", site.api_port);
    assert!(text.contains(&old));
    std::fs::write(site.config(), text.replace(&old, url)).expect("written");
}

/// A name that does not resolve, and a portal that answers every request with its own page: messages wait.
#[test]
fn f35_without_a_way_to_meta_messages_wait() {
    let portal = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}", portal.local_addr().expect("an address"));
    std::thread::spawn(move || {
        for stream in portal.incoming() {
            let mut stream = stream.expect("a connection");
            let _request = stream.read(&mut [0; 4_096]);
            let page = "<html>Please log in to the hotel's network</html>";
            let answer = format!(
                "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: {}\r\n\r\n{page}",
                page.len()
            );
            drop(stream.write_all(answer.as_bytes()));
        }
    });
    for (case, url) in [("no name", "https://meta.invalid"), ("a portal", url.as_str())] {
        let broker = Broker::start();
        let site = Site::new(broker.port, FREEZER);
        let before = std::fs::read_to_string(site.config()).expect("the configuration");
        point_at(&site, url);
        let gateway = Gateway::start(&site);
        warm(&broker, 1..=2);
        wait_for(10, "an attempt", || (site.count("SELECT count(*) FROM attempt") > 0).then_some(()));
        std::thread::sleep(Duration::from_secs(2));
        let lost = "SELECT count(*) FROM message WHERE state NOT IN ('queued', 'sending', 'unknown')";
        assert_eq!(site.count(lost), 0, "{case}");
        assert_eq!(gateway.stop(), Some(0));
        std::fs::write(site.config(), before).expect("written");
        let _simulator = Simulator::start(&site);
        let _gateway = Gateway::start(&site);
        let _arrived = site.wait_sent(2);
    }
}

/// Another's certificate where Meta's should be: nothing is told to it.
#[test]
fn f35_a_wrong_certificate_gets_neither_token_nor_message() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let (heard, connections) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let (hears, counts) = (Arc::clone(&heard), Arc::clone(&connections));
    let certificate =
        rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).expect("a certificate");
    let folder = tempfile::tempdir().expect("a folder");
    let (chain, key) = (folder.path().join("chain.pem"), folder.path().join("key.pem"));
    std::fs::write(&chain, certificate.cert.pem()).expect("written");
    std::fs::write(&key, certificate.signing_key.serialize_pem()).expect("written");
    drop(listener);
    // openssl prints what it hears after the handshake.
    let mut server = std::process::Command::new("openssl")
        .args(["s_server", "-quiet", "-accept", &port.to_string(), "-cert"])
        .arg(&chain)
        .arg("-key")
        .arg(&key)
        .stdin(std::process::Stdio::null())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::null())
        .spawn()
        .expect("openssl runs");
    let mut stdout = server.stdout.take().expect("piped");
    std::thread::spawn(move || {
        let mut bytes = [0; 64];
        if stdout.read(&mut bytes).is_ok_and(|count| count > 0) {
            hears.store(true, Ordering::SeqCst);
        }
        counts.fetch_add(1, Ordering::SeqCst);
    });
    let broker = Broker::start();
    let site = Site::new(broker.port, FREEZER);
    point_at(&site, &format!("https://127.0.0.1:{port}"));
    let _gateway = Gateway::start(&site);
    warm(&broker, 1..=1);
    wait_for(15, "an attempt's end", || {
        (site.count("SELECT count(*) FROM attempt WHERE ended_at IS NOT NULL") > 0).then_some(())
    });
    assert_eq!(site.count("SELECT count(*) FROM message WHERE state = 'queued'"), 1, "it waits");
    assert!(!heard.load(Ordering::SeqCst), "not one byte of the request was told");
    server.kill().expect("ended");
    server.wait().expect("ended");
}

/// A proxy that resets connections which it has kept open: no hidden second POST.
#[test]
fn f36_a_stale_connection_sends_nothing_twice() {
    let broker = Broker::start();
    let site = Site::new(broker.port, FREEZER);
    let simulator_port = site.api_port;
    let _simulator = Simulator::start(&site);
    let proxy = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = proxy.local_addr().expect("an address");
    std::thread::spawn(move || {
        for stream in proxy.incoming() {
            let near = stream.expect("a connection");
            let far = TcpStream::connect(("127.0.0.1", simulator_port)).expect("the simulator");
            let pipe = |mut from: TcpStream, mut to: TcpStream| {
                std::thread::spawn(move || drop(std::io::copy(&mut from, &mut to)));
            };
            pipe(near.try_clone().expect("cloned"), far.try_clone().expect("cloned"));
            // The answer goes through, and a little later the line is cut, while the client thinks that it is kept.
            std::thread::spawn(move || {
                let (mut near, mut far) = (near, far);
                let mut bytes = [0; 16_384];
                if let Ok(count) = far.read(&mut bytes) {
                    drop(near.write_all(&bytes[..count]));
                }
                std::thread::sleep(Duration::from_millis(20));
                drop(near.shutdown(std::net::Shutdown::Both));
                drop(far.shutdown(std::net::Shutdown::Both));
            });
        }
    });
    point_at(&site, &format!("http://{address}"));
    let _gateway = Gateway::start(&site);
    for unit in 1..=15 {
        warm(&broker, unit..=unit);
        std::thread::sleep(Duration::from_millis(u64::from(unit) * 4)); // around the moment of the cut
    }
    wait_for(120, "every message's end", || {
        let open = "SELECT count(*) FROM message WHERE state NOT IN ('sent', 'delivered', 'read')";
        (super::messages(&site) >= 15 && site.count(open) == 0).then_some(())
    });
    let doubled = "SELECT count(*) FROM message WHERE possible_duplicate = 0 AND (SELECT count(*) FROM sent WHERE message = id) > 1";
    assert_eq!(site.count(doubled), 0, "what went twice says so");
}

/// Headers that never end, 200 of them: they are cut after 5 s, and Meta's webhook comes through.
#[test]
fn f39_slow_talkers_are_cut_off() {
    let broker = Broker::start();
    let site = Site::new(broker.port, FREEZER);
    let _gateway = Gateway::start(&site);
    let begin = Instant::now();
    let mut slow: Vec<TcpStream> = (0..200)
        .map(|_| {
            let mut stream = TcpStream::connect(("127.0.0.1", site.http_port)).expect("connected");
            stream.write_all(b"POST /webhook/whatsapp HTTP/1.1\r\nHost: x\r\nX-").expect("written");
            stream
        })
        .collect();
    let body = br#"{"object": "whatsapp_business_account", "entry": []}"#;
    let signature = crate::webhook::sign("secret", body);
    let status = wait_for(40, "an answer", || {
        std::panic::catch_unwind(|| crate::webhook::post(&site, body, Some(&signature))).ok()
    });
    assert_eq!(status, 200);
    let waited = begin.elapsed();
    assert!(waited < Duration::from_secs(30), "{waited:?}");
    // Each of those that were let in first is cut, by the latest when its time for headers is over.
    let first = slow.first_mut().expect("one");
    first.set_read_timeout(Some(Duration::from_secs(30))).expect("set");
    let mut said = Vec::new();
    assert!(first.read_to_end(&mut said).is_ok(), "the line is closed: {}", String::from_utf8_lossy(&said));
}
