//! What systemd hears: the watchdog is fed by progress, not by the clock.

use std::os::unix::net::UnixDatagram;
use std::time::{Duration, Instant};

use bellwire_tests::{Broker, Gateway, Simulator, Site, bellwire, wait_for};

/// The service manager's end of `NOTIFY_SOCKET`.
struct Manager {
    socket: UnixDatagram,
    path: String,
    heard: Vec<(Instant, String)>,
}

impl Manager {
    fn new(site: &Site) -> Self {
        let path = site.path().join("notify").to_string_lossy().into_owned();
        let socket = UnixDatagram::bind(&path).expect("a socket");
        socket.set_nonblocking(true).expect("set");
        Self { socket, path, heard: Vec::new() }
    }

    /// Everything that was said so far, line by line.
    fn listen(&mut self) -> &[(Instant, String)] {
        let mut datagram = [0; 4_096];
        while let Ok(length) = self.socket.recv(&mut datagram) {
            let text = String::from_utf8_lossy(&datagram[..length]).into_owned();
            self.heard.extend(text.lines().map(|line| (Instant::now(), line.to_owned())));
        }
        &self.heard
    }

    fn wait(&mut self, line: &str) -> Instant {
        wait_for(15, line, || self.listen().iter().find(|(_, heard)| heard == line).map(|(at, _)| *at))
    }

    fn feeds(&mut self) -> usize {
        self.listen().iter().filter(|(_, line)| line == "WATCHDOG=1").count()
    }
}

#[test]
fn systemd_is_told_of_readiness_status_and_stop() {
    let broker = Broker::start();
    let site = Site::new(broker.port, crate::round_trip::FREEZER);
    let mut manager = Manager::new(&site);
    let socket = manager.path.clone();
    let _simulator = Simulator::start(&site);
    let gateway = Gateway::launch_with(&site, &[("NOTIFY_SOCKET", &socket), ("WATCHDOG_USEC", "600000")]);
    manager.wait("READY=1");
    manager.wait("STATUS=events are accepted");
    assert_eq!(gateway.stop(), Some(0));
    manager.wait("STOPPING=1");
    let log = site.log();
    let farewell = log.split("stopping: ").nth(1).expect("it says that it stops");
    assert!(!farewell.contains("WARN"), "an orderly stop is no reason to look: {farewell}");
}

#[test]
fn the_watchdog_is_not_fed_without_commits() {
    let broker = Broker::start();
    let site = Site::new(broker.port, crate::round_trip::FREEZER);
    let mut manager = Manager::new(&site);
    let socket = manager.path.clone();
    let gateway = Gateway::launch_with(&site, &[("NOTIFY_SOCKET", &socket), ("WATCHDOG_USEC", "600000")]);
    wait_for(15, "three feeds", || (manager.feeds() >= 3).then_some(()));

    // Somebody else holds the database: the store's thread waits for up to 5 s, as it would for a disk that hangs.
    let database = site.database();
    database.execute_batch("BEGIN IMMEDIATE").expect("the lock");
    std::thread::sleep(Duration::from_millis(400)); // a feed that was under way
    let before = manager.feeds();
    std::thread::sleep(Duration::from_secs(2));
    assert_eq!(manager.feeds(), before, "fed without progress");

    database.execute_batch("COMMIT").expect("the lock is given back");
    wait_for(15, "feeding again", || (manager.feeds() > before + 2).then_some(()));
    assert_eq!(gateway.stop(), Some(0));
}

/// After a power cut the program that has the port ends, or the router gives the address: nobody has to come.
#[test]
fn a_taken_port_is_waited_for_only_under_systemd() {
    let broker = Broker::start();
    let site = Site::new(broker.port, crate::round_trip::FREEZER);
    let address = site.url("").replace("http://", "");
    let taken = std::net::TcpListener::bind(&address).expect("free until now");
    let config = site.config();
    let by_hand = || {
        let output = bellwire(&["run", "--config", config.to_str().expect("a path")]);
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let (code, said) = by_hand();
    assert!(code == Some(75) && said.contains("another program is on this port"), "{code:?} {said}");

    let mut manager = Manager::new(&site);
    let socket = manager.path.clone();
    let gateway = Gateway::launch_with(&site, &[("NOTIFY_SOCKET", &socket)]);
    wait_for(15, "the log", || site.log().contains("it is tried again").then_some(()));
    drop(taken);
    manager.wait("READY=1");
    assert_eq!(site.log().matches("another program is on this port").count(), 1, "{}", site.log());
    assert_eq!(gateway.stop(), Some(0));

    // One of TEST-NET-1 (RFC 5737), which no machine has.
    let text = std::fs::read_to_string(&config).expect("readable").replace(&address, "192.0.2.1:8080");
    std::fs::write(&config, text).expect("written");
    let (code, said) = by_hand();
    assert!(code == Some(75) && said.contains("this machine has no such address"), "{code:?} {said}");
}
