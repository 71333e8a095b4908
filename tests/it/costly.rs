//! An event cannot cost more than it is worth: not the memory, not the next alert, and not the process for ever.

use std::time::{Duration, Instant};

use bellwire_tests::{Broker, Gateway, Simulator, Site, bellwire, publish, wait_for};
use serde_json::{Value, json};

/// What multiplies, repeats, pads, joins and doubles what a device sends, and an alarm beside it.
const RULES: &str = r#"
[[contact]]
id = "nino"
phone = "+995 555 12 34 56"
[[contact]]
id = "keti"
phone = "+995 555 65 43 21"
[[rule]]
name = "freezer"
topic = "site/{unit}/temperature"
when = "payload.celsius > -15"
severity = "critical"
message = "Freezer {{ unit }} is at {{ payload.celsius }}"
notify = ["nino"]
[[rule]]
name = "power"
topic = "cost/{m}"
when = "payload.text * 1000 > 3000"
message = "{{ m }} draws {{ payload.text * 1000 }} W"
notify = ["keti"]
[[rule]]
name = "product"
topic = "cost/{m}"
message = "{{ payload.text * payload.n }} VA"
notify = ["keti"]
[[rule]]
name = "doubled"
topic = "cost/{m}"
message = "{% set ns = namespace(t=payload.text) %}{% for i in range(40) %}{% set ns.t = ns.t ~ ns.t %}{% endfor %}{{ ns.t }}"
notify = ["keti"]
[[rule]]
name = "shared"
topic = "cost/{m}"
message = "{% set ns = namespace(t=payload.list) %}{% for i in range(40) %}{% set ns.t = [ns.t, ns.t] %}{% endfor %}{{ ns.t }}"
notify = ["keti"]
[[rule]]
name = "looped"
topic = "cost/{m}"
message = "{% set u %}{% for i in payload.list %}{{ payload.text }}{% endfor %}{% endset %}{{ u }}"
notify = ["keti"]
[[rule]]
name = "padded"
topic = "cost/{m}"
when = "payload.text | indent(payload.n) | length > 3"
message = "{{ '%*d' | format(payload.n, 1) }}"
notify = ["keti"]
[[rule]]
name = "joined"
topic = "cost/{m}"
when = "payload.list | join(payload.text) | length > 3"
message = "{{ payload.text | replace('x', payload.text) }}"
notify = ["keti"]
[[rule]]
name = "life"
topic = "cost/{m}"
when = "payload.text ~ payload.text ~ payload.text != ''"
message = "{{ payload.list * payload.n }}"
for = "1s"
notify = ["keti"]
"#;

/// 32 MB for data beyond what the program has when idle would hold none of what these rules ask for.
const DATA_MAX: &str = "--data=100663296";

fn kib(process: u32, name: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("a line");
    line.split_whitespace().next().and_then(|word| word.parse().ok()).expect("a number")
}

/// Of all its threads, in hundredths of a second (proc(5)).
fn processor_time(process: u32) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).expect("it runs");
    let (_, fields) = stat.rsplit_once(") ").expect("a name");
    let ticks = fields.split(' ').skip(11).take(2).map(|ticks| ticks.parse::<u64>().expect("a number"));
    Duration::from_millis(ticks.sum::<u64>() * 10)
}

fn texts(site: &Site) -> Vec<String> {
    site.sent().iter().map(|sent| sent["text"].as_str().unwrap_or_default().to_owned()).collect()
}

#[test]
fn costly_payloads_take_little_memory_and_delay_no_alert() {
    let broker = Broker::start();
    let site = Site::new(broker.port, RULES);
    let _simulator = Simulator::start(&site);
    let mut gateway = Gateway::launch_under(&site, &["prlimit", DATA_MAX], &[]);
    gateway.wait_ready(&site);
    // The first alert makes what stays: a connection, statements.
    publish(broker.port, "site/0/temperature", br#"{"celsius": -3}"#);
    assert_eq!(site.wait_sent(1).len(), 1);
    let idle = kib(gateway.id(), "VmRSS:");
    let costly = [
        json!({ "text": "x".repeat(60_000), "n": 1_600, "list": [1] }),
        json!({ "text": "x", "n": 99_999_999, "list": [1] }),
        json!({ "text": "x".repeat(20_000), "n": 3_000_000, "list": vec![1; 12_000] }),
        json!({ "text": "x\n".repeat(1_000), "n": 90_000_000, "list": vec!["\u{1}".repeat(100); 90] }),
    ];
    for (unit, payload) in costly.iter().enumerate() {
        let worked = processor_time(gateway.id());
        for _ in 0..3 {
            publish(broker.port, "cost/a", payload.to_string().as_bytes());
        }
        let begun = Instant::now();
        publish(broker.port, &format!("site/{unit}x/temperature"), br#"{"celsius": -3}"#);
        let words = format!("Freezer {unit}x is at -3");
        wait_for(20, "the alarm", || texts(&site).iter().any(|text| text.contains(&words)).then_some(()));
        // Other programs of a busy machine take time, too, and none of the daemon's own.
        let (took, worked) = (begun.elapsed(), processor_time(gateway.id()) - worked);
        assert!(worked < Duration::from_secs(1), "payload {unit} took {worked:?} of a processor");
        assert!(took < Duration::from_secs(6), "the alarm took {took:?} behind payload {unit}");
        let grown = kib(gateway.id(), "VmHWM:").saturating_sub(idle);
        assert!(grown <= 16 * 1024, "payload {unit} took {grown} KiB");
        assert!(gateway.is_running(), "{}", site.log());
    }
    // An alarm that could not be worded is told all the same.
    wait_for(20, "the plain text", || {
        texts(&site).iter().any(|text| text.contains("product: cost/a")).then_some(())
    });
    let stored = site.count("SELECT max(length(content)) FROM message");
    assert!(stored < 200_000, "{stored} bytes are kept of one message");
    assert_eq!(gateway.stop(), Some(0));
}

/// strace ends the process before it writes down that the event was survived: the third write of each process, after that at
/// the start and that of the event under way.
fn die_on_the_first_event(site: &Site) -> Gateway {
    let file = site.path().join("state/under-way");
    let file = file.to_string_lossy();
    Gateway::launch_traced(
        site,
        &["-P", &file, "-e", "trace=pwrite64", "-e", "inject=pwrite64:signal=SIGKILL:when=3"],
    )
}

#[test]
fn an_event_that_kills_the_process_twice_is_set_aside() {
    let broker = Broker::start();
    let site = Site::new(broker.port, RULES);
    let config = std::fs::read_to_string(site.config()).expect("a configuration");
    let config = config.replacen("name = \"Test\"", "name = \"Test\"\nowner = [\"nino\"]", 1);
    std::fs::write(site.config(), config).expect("written");
    let _simulator = Simulator::start(&site);
    Gateway::start(&site).stop(); // the broker keeps events for it from now on
    publish(broker.port, "cost/poison", br#"{"text": "x", "n": 1, "list": []}"#);
    publish(broker.port, "site/2/temperature", br#"{"celsius": -3}"#);
    for round in 1..=2 {
        assert_eq!(die_on_the_first_event(&site).wait_end(30), None, "death {round}");
    }
    let gateway = Gateway::start(&site);
    wait_for(10, "the alarm behind it", || {
        texts(&site).iter().any(|text| text.contains("Freezer 2 is at -3")).then_some(())
    });
    let told = |text: &String| text.contains("cost/poison") && text.contains("set aside");
    wait_for(10, "a word to the owner", || texts(&site).iter().any(told).then_some(()));
    let output = bellwire(&["events", "--json", "--config", &site.config().to_string_lossy()]);
    let seen: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let row =
        seen["events"].as_array().and_then(|rows| rows.iter().find(|row| row["topic"] == "cost/poison"));
    assert_eq!(row.map(|row| &row["outcome"]), Some(&json!("set-aside")), "{seen}");
    assert!(!texts(&site).iter().any(|text| text.contains("draws")), "no rule has seen it");
    // It was acknowledged: the next process does not see it, and nobody hears of it again.
    gateway.kill();
    let gateway = Gateway::start(&site);
    std::thread::sleep(Duration::from_secs(1));
    assert_eq!(texts(&site).iter().filter(|text| told(text)).count(), 1);
    assert_eq!(gateway.stop(), Some(0));
    assert!(!site.path().join("state/under-way").exists(), "a clean stop begins anew");
}
