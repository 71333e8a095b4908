//! Another configuration while the daemon runs: nothing is lost, nobody is told twice, the broker sees the same client all along,
//! and a file with mistakes changes nothing.

use std::net::TcpListener;
use std::process::Command;

use bellwire_tests::{
    Broker, Gateway, Simulator, Site, Subscriber, bellwire, free_port, get_json, publish, publish_lines,
    wait_for,
};

const RULES: &str = r#"
[[contact]]
id = "nino"
phone = "+995 555 12 34 56"
[[contact]]
id = "lali"
phone = "+995 555 12 34 57"
[[rule]]
name = "door"
topic = "site/{door}/door"
message = "Door {{ door }} is open"
notify = ["nino"]
[[rule]]
name = "till"
topic = "site/{place}/till"
message = "Ticket {{ payload.ticket }}"
notify = ["lali"]
[[rule]]
name = "freezer"
topic = "site/{unit}/freezer"
when = "payload.temperature > -15"
key = ["unit"]
resolve_when = "payload.temperature < -16"
message = "Freezer {{ unit }} has {{ payload.temperature }}"
notify = ["nino"]
"#;

struct Running {
    broker: Broker,
    site: Site,
    _simulator: Simulator,
    gateway: Gateway,
}

impl Running {
    fn start() -> Self {
        let broker = Broker::start();
        let site = Site::new(broker.port, RULES);
        let text = text(&site).replace("name = \"Test\"", "name = \"Test\"\nowner = [\"nino\"]");
        std::fs::write(site.config(), text).expect("written");
        let (simulator, gateway) = (Simulator::start(&site), Gateway::start(&site));
        Self { broker, site, _simulator: simulator, gateway }
    }

    /// Writes another file and asks for it; returns when it is run, or refused.
    fn reload(&self, from: &str, to: &str) {
        let text = text(&self.site);
        assert!(text.contains(from), "{from}");
        std::fs::write(self.site.config(), text.replace(from, to)).expect("written");
        self.hang_up();
    }

    fn hang_up(&self) {
        let outcomes = || self.site.log().matches("ready site=").count() + self.refusals();
        let before = outcomes();
        let told = Command::new("kill").args(["-HUP", &self.gateway.id().to_string()]).status();
        assert!(told.expect("kill runs").success());
        wait_for(40, "the configuration's end", || (outcomes() > before).then_some(()));
    }

    fn refusals(&self) -> usize {
        self.site.log().matches("was not taken over").count()
    }

    fn texts(&self) -> Vec<String> {
        let first = |text: &str| text.lines().next().unwrap_or_default().to_owned();
        self.site.sent().iter().map(|sent| first(sent["text"].as_str().unwrap_or_default())).collect()
    }
}

fn text(site: &Site) -> String {
    std::fs::read_to_string(site.config()).expect("readable")
}

#[test]
fn another_rule_holds_at_once_over_the_same_connection() {
    let running = Running::start();
    let (site, port) = (&running.site, running.broker.port);
    let status = Subscriber::start(port, "bellwire/bellwire-test/status");
    publish(port, "site/2/freezer", br#"{"temperature": -9}"#);
    assert_eq!(site.wait_sent(1).len(), 1);

    running.reload(
        "name = \"door\"\ntopic = \"site/{door}/door\"",
        "name = \"gate\"\ntopic = \"yard/{door}/gate\"",
    );
    running.gateway.wait_ready(site);
    publish(port, "yard/north/gate", b"open");
    publish(port, "site/north/door", b"open");
    publish(port, "site/2/freezer", br#"{"temperature": -9}"#); // it goes on, and is no news
    publish(port, "site/2/freezer", br#"{"temperature": -20}"#);
    let sent = wait_for(20, "both messages", || Some(running.texts()).filter(|texts| texts.len() >= 3));
    assert!(sent.contains(&"Door north is open".to_owned()), "{sent:?}");
    assert_eq!((sent.len(), site.count("SELECT count(*) FROM alert WHERE rule = 'freezer'")), (3, 1));
    assert_eq!(site.count("SELECT count(*) FROM alert WHERE state = 'resolved' AND rule = 'freezer'"), 1);
    assert_eq!(
        site.count("SELECT count(*) FROM event WHERE topic = 'site/north/door'"),
        0,
        "no longer subscribed to"
    );
    let connections = running.broker.log().matches("New client connected").count();
    assert!(status.messages().iter().all(|line| line.ends_with("online")), "{:?}", status.messages());
    running.reload("\"yard/{door}/gate\"", "\"yard/{door}/door\"");
    running.gateway.wait_ready(site);
    assert_eq!(running.broker.log().matches("New client connected").count(), connections);
    assert_eq!(running.gateway.stop(), Some(0));
}

/// More than the intake takes at once, while one configuration after the other is taken over.
#[test]
fn each_event_is_told_once_while_configurations_change() {
    let running = Running::start();
    let (site, port) = (&running.site, running.broker.port);
    let publishing = std::thread::spawn(move || {
        for turn in 0..20 {
            let tickets: Vec<String> =
                (0..30).map(|number| format!("{{\"ticket\": \"{turn}-{number}\"}}")).collect();
            publish_lines(port, "site/bar/till", &tickets);
        }
    });
    for turn in 0..8 {
        let (from, to) = ("Ticket {{ payload.ticket }}", "The ticket {{ payload.ticket }}");
        let (from, to) = if turn % 2 == 0 { (from, to) } else { (to, from) };
        running.reload(from, to);
    }
    publishing.join().expect("published");
    let alerts = "SELECT count(*) FROM alert WHERE rule = 'till'";
    wait_for(40, "600 alerts", || (site.count(alerts) == 600).then_some(()));
    assert_eq!(site.count("SELECT count(*) FROM message WHERE alert IS NOT NULL"), 600, "each is told once");
    assert_eq!(site.count("SELECT count(DISTINCT payload) FROM event WHERE topic = 'site/bar/till'"), 600);
    assert_eq!(
        site.count("SELECT count(*) FROM message WHERE state = 'unknown'"),
        0,
        "no request was given up"
    );
    wait_for(40, "an end of each", || {
        (site.count("SELECT count(*) FROM message WHERE state IN ('queued', 'sending')") == 0).then_some(())
    });
    assert_eq!(running.gateway.stop(), Some(0));
}

#[test]
fn a_file_with_mistakes_changes_nothing_and_the_owner_hears() {
    let running = Running::start();
    let (site, port) = (&running.site, running.broker.port);
    running.reload("notify = [\"nino\"]", "notify = [\"nina\"]");
    let sent = site.wait_sent(1);
    let told = sent[0]["text"].as_str().unwrap_or_default();
    assert!(told.contains("was not taken over") && told.contains("bellwire.toml:"), "{told}");
    assert!(told.contains("there is no contact or team `nina`") || told.contains("nina"), "{told}");
    assert_eq!(get_json(&site.url("/readyz"))["ready"], true, "events are accepted");
    publish(port, "site/back/door", b"open");
    let sent = site.wait_sent(2);
    assert_eq!(sent[1]["text"].as_str().and_then(|text| text.lines().next()), Some("Door back is open"));
    running.reload("notify = [\"nina\"]", "notify = [\"lali\"]");
    publish(port, "site/side/door", b"open");
    let sent = site.wait_sent(3);
    assert!(sent[2]["to"].as_str().is_some_and(|to| to.ends_with("57")), "{sent:?}");
    assert_eq!(running.gateway.stop(), Some(0));
}

/// As `systemctl reload` does it: whoever asks hears what became of it.
#[test]
fn the_command_says_what_became_of_it() {
    let running = Running::start();
    let (site, now) = (&running.site, running.site.http_port);
    let config = site.config();
    let reload = || {
        let output = bellwire(&["reload", "--config", config.to_str().expect("a path")]);
        let said = [&output.stdout[..], &output.stderr].concat();
        (output.status.code(), String::from_utf8_lossy(&said).into_owned())
    };
    let write =
        |from: &str, to: &str| std::fs::write(&config, text(site).replace(from, to)).expect("written");
    assert_eq!(reload(), (Some(0), "the configuration is taken over\n".into()), "though nothing has changed");

    write("notify = [\"nino\"]", "notify = [\"lali\"]");
    assert_eq!(reload().0, Some(0));
    publish(running.broker.port, "site/back/door", b"open");
    assert!(site.wait_sent(1)[0]["to"].as_str().is_some_and(|to| to.ends_with("57")));

    write("notify = [\"lali\"]", "notify = [\"lala\"]");
    let (code, said) = reload();
    assert!(
        code == Some(78) && said.contains("bellwire.toml:28:11: there is no contact or team `lala`"),
        "{said}"
    );
    write("notify = [\"lala\"]", "notify = [\"lali\"]");
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let taken = taken.local_addr().expect("an address").port();
    write(&format!("127.0.0.1:{now}"), &format!("127.0.0.1:{taken}"));
    let (code, said) = reload();
    assert!(code == Some(65) && said.contains("the one before goes on: listen ="), "{said}");
    write(&format!("127.0.0.1:{taken}"), &format!("127.0.0.1:{now}"));
    assert_eq!(running.gateway.stop(), Some(0));
    let (code, said) = reload();
    assert!(code == Some(65) && said.contains("no bellwire runs on"), "{said}");
}

#[test]
fn what_cannot_be_changed_while_it_runs_says_so() {
    let mut running = Running::start();
    let (socket, free) = (TcpListener::bind("127.0.0.1:0").expect("a port"), free_port());
    let listen = |port: u16| format!("listen = \"127.0.0.1:{port}\"");
    let taken = socket.local_addr().expect("an address").port();
    let now = running.site.http_port;
    running.reload(&listen(now), &listen(taken));
    assert!(running.site.log().contains("another program is on this port"), "{}", running.site.log());
    running.gateway.wait_ready(&running.site);

    running.reload(&listen(taken), &listen(free));
    running.site.http_port = free;
    running.gateway.wait_ready(&running.site);
    assert!(TcpListener::bind(("127.0.0.1", now)).is_ok(), "the former socket is closed");

    running.reload("/state\"", "/elsewhere\"");
    assert!(running.site.log().contains("state_directory is"), "{}", running.site.log());
    publish(running.broker.port, "site/back/door", b"open");
    assert!(running.site.wait_sent(2).len() >= 2);
    assert_eq!(running.gateway.stop(), Some(0));
}

#[test]
fn another_broker_is_connected_to_and_the_former_hears_goodbye() {
    let running = Running::start();
    let (former, other) = (&running.broker, Broker::start());
    let status = Subscriber::start(former.port, "bellwire/bellwire-test/status");
    running.reload(&former.port.to_string(), &other.port.to_string());
    running.gateway.wait_ready(&running.site);
    publish(other.port, "site/back/door", b"open");
    assert_eq!(running.site.wait_sent(1).len(), 1);
    wait_for(10, "the goodbye", || {
        status.messages().last().filter(|last| last.ends_with("offline")).map(drop)
    });
    assert_eq!(running.gateway.stop(), Some(0));
}

/// SQLite removes its log when the database is closed; a connection that only breaks lets the broker tell the last will.
#[test]
fn a_stop_in_the_middle_of_a_reload_closes_everything() {
    let mut running = Running::start();
    for delay_ms in [0, 2, 4, 8, 16, 32] {
        let id = running.gateway.id().to_string();
        let signal = |name: &str| {
            assert!(Command::new("kill").args([name, &id]).status().expect("kill runs").success())
        };
        signal("-HUP");
        std::thread::sleep(std::time::Duration::from_millis(delay_ms));
        signal("-TERM");
        assert_eq!(running.gateway.wait_end(30), Some(0), "{delay_ms} ms: {}", running.site.log());
        let log = running.site.path().join("state/bellwire.db-wal");
        assert!(!log.exists(), "{delay_ms} ms: the database was not closed");
        let told = running.broker.log();
        assert!(!told.contains("bellwire-test closed its connection"), "{delay_ms} ms: no goodbye: {told}");
        running.gateway = Gateway::start(&running.site);
    }
}
