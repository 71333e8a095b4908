use std::io::{Read, Write};
use std::net::TcpStream;

use bellwire_tests::{Site, publish, wait_for};

use super::{log_in, start};
use crate::round_trip::FREEZER;

/// How many pages are told of changes, as the gateway has it.
const SEATS: usize = 16;

/// A page that listens, and the status it was answered with.
fn listen(site: &Site, cookie: &str) -> (TcpStream, String) {
    let mut stream = TcpStream::connect(("127.0.0.1", site.http_port)).expect("connected");
    let request = format!("GET /live HTTP/1.1\r\nHost: 127.0.0.1:{}\r\n{cookie}\r\n\r\n", site.http_port);
    stream.write_all(request.as_bytes()).expect("sent");
    let mut status = [0; "HTTP/1.1 200".len()];
    stream.read_exact(&mut status).expect("a status");
    (stream, String::from_utf8_lossy(&status[status.len() - 3..]).into_owned())
}

#[test]
fn a_closed_page_frees_its_connection_at_once() {
    let (_broker, site, _gateway) = start(FREEZER);
    let cookie = log_in(&site);
    let mut open: Vec<_> = (0..SEATS).map(|_| listen(&site, &cookie)).collect();
    assert!(open.iter().all(|(_, status)| status == "200"));
    assert_eq!(listen(&site, &cookie).1, "503", "a bound");
    // Somebody who looks through the pages quickly leaves one for the next; a page that is gone was noticed after 20 s.
    for _ in 0..2 * SEATS {
        drop(open.remove(0));
        let next =
            wait_for(2, "a seat", || Some(listen(&site, &cookie)).filter(|(_, status)| status == "200"));
        open.push(next);
    }
}

#[test]
fn an_open_page_hears_of_an_alert() {
    let (broker, site, _gateway) = start(FREEZER);
    let (mut page, status) = listen(&site, &log_in(&site));
    assert_eq!(status, "200");
    let mut heard = String::new();
    let mut hears = |what: &str| {
        while !heard.contains(what) {
            let mut bytes = [0; 256];
            let count = page.read(&mut bytes).expect("more");
            assert!(count > 0, "the page is told of nothing more: {heard}");
            heard += &String::from_utf8_lossy(&bytes[..count]);
        }
        heard.clear();
    };
    hears("event: change");
    publish(broker.port, "site/bar/freezer/2/temperature", br#"{"celsius": -12.5}"#);
    hears("event: change");
}
