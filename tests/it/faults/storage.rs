//! The disk: full, failing, slow, read-only.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use bellwire_tests::{Broker, Gateway, Simulator, Site, wait_for};

use super::{messages, tool, warm};
use crate::round_trip::FREEZER;

/// What of the gateway strace watches, to make it fail.
const SYNCS: [&str; 4] = ["-o", "/dev/null", "-e", "trace=fsync,fdatasync"];

/// A file system of its own over a site's state directory; unmounted when it goes.
struct Mounted(PathBuf);

impl Mounted {
    fn over(site: &Site, options: &[&str], what: &str) -> Self {
        let state = site.path().join("state");
        std::fs::create_dir_all(&state).expect("a directory");
        tool("mount", &[options, &[what, &state.to_string_lossy()]].concat());
        Self(state)
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        drop(std::process::Command::new("umount").arg("--lazy").arg(&self.0).status());
    }
}

fn ready(site: &Site) -> bool {
    ureq::get(&site.url("/readyz")).call().is_ok()
}

/// What a full disk holds back waits at the broker; with room again everything goes out, once.
#[test]
fn f06_f40_a_full_disk_accepts_nothing_and_loses_nothing() {
    let broker = Broker::start();
    let site = Site::new(broker.port, FREEZER);
    let _disk = Mounted::over(&site, &["-t", "tmpfs", "-o", "size=8m"], "tmpfs");
    let _simulator = Simulator::start(&site);
    let gateway = Gateway::start(&site);
    warm(&broker, 1..=3);
    let _arrived = site.wait_sent(3);

    let filling = site.path().join("state/somebody-elses-file");
    let full = std::fs::write(&filling, vec![0; 16 << 20]);
    assert!(full.is_err(), "the disk is full now");
    // The reserve is given up, and what it gives is used up; then nothing more is taken.
    for round in 1..200_u32 {
        warm(&broker, round * 10..=round * 10 + 9);
        drop(std::fs::write(site.path().join(format!("state/more-{round}")), vec![0; 1 << 20]));
        if !ready(&site) {
            break;
        }
    }
    let words = wait_for(5, "a red light", || {
        let answer = ureq::get(&site.url("/readyz")).config().http_status_as_error(false).build().call();
        let mut answer = answer.ok()?;
        (answer.status() == 503).then(|| answer.body_mut().read_to_string().unwrap_or_default())
    });
    assert!(words.contains("the disk is full"), "{words}");
    // A small body may still fit into what the reserve gave back; then the next one does not.
    let body = serde_json::json!({ "object": "whatsapp_business_account", "entry": [], "padding": "x".repeat(60_000) });
    let body = body.to_string().into_bytes();
    let signature = crate::webhook::sign("secret", &body);
    wait_for(20, "F40: Meta keeps what we cannot", || {
        (crate::webhook::post(&site, &body, Some(&signature)) == 503).then_some(())
    });

    for file in std::fs::read_dir(site.path().join("state")).expect("the directory") {
        let path = file.expect("a file").path();
        if path.to_string_lossy().contains("more-") || path == filling {
            std::fs::remove_file(path).expect("removed");
        }
    }
    wait_for(30, "a green light", || ready(&site).then_some(()));
    warm(&broker, 9_001..=9_001);
    wait_for(60, "every event", || {
        let wanted = site.count("SELECT count(*) FROM alert");
        let last = "SELECT count(*) FROM event WHERE topic LIKE '%/9001/%'";
        (site.count(last) == 1 && messages(&site) == wanted).then_some(())
    });
    wait_for(10, "the reserve is back", || site.path().join("state/reserve").exists().then_some(()));
    assert_eq!(gateway.stop(), Some(0));
}

/// Whichever fsync fails: exit 74, and the next start has all that was acknowledged and gets the rest again. Only that of
/// a directory is none of SQLite's business.
#[test]
fn f07_a_failed_fsync_ends_the_process_without_loss() {
    let read = "SELECT count(*) FROM message WHERE state = 'read'";
    let mut ended = 0;
    for when in [1, 2, 3, 5, 8, 12] {
        let broker = Broker::start();
        let site = Site::new(broker.port, FREEZER);
        let _simulator = Simulator::start(&site);
        assert_eq!(Gateway::start(&site).stop(), Some(0)); // the subscription is made, the database is there
        let inject = format!("--inject=fsync,fdatasync:error=EIO:when={when}");
        let mut gateway = Gateway::launch_traced(&site, &[&SYNCS[..], &[&inject]].concat());
        warm(&broker, 1..=8);
        wait_for(40, "an end", || (!gateway.is_running() || site.count(read) == 8).then_some(()));
        if !gateway.is_running() {
            assert_eq!(gateway.wait_end(1), Some(74), "fsync number {when}: {}", site.log());
            ended += 1;
        }
        let _gateway = Gateway::start(&site);
        wait_for(40, "every message", || (messages(&site) >= 8 && site.count(read) == 8).then_some(()));
        assert_eq!(messages(&site), 8, "fsync number {when}: each event once");
    }
    assert!(ended >= 4, "only {ended} of 6 ended the process");
}

/// The kernel makes a failing card read-only: nothing is accepted until it can be written again.
#[test]
fn f08_a_card_that_turned_read_only_accepts_nothing() {
    let broker = Broker::start();
    let site = Site::new(broker.port, FREEZER);
    let image = site.path().join("card.img").to_string_lossy().into_owned();
    tool("truncate", &["-s", "24M", &image]);
    tool("mkfs.ext4", &["-q", &image]);
    let card = Mounted::over(&site, &["-o", "loop"], &image);
    let _simulator = Simulator::start(&site);
    let gateway = Gateway::start(&site);
    warm(&broker, 1..=1);
    let _arrived = site.wait_sent(1);
    wait_for(10, "rest", || {
        (site.count("SELECT count(*) FROM message WHERE state = 'read'") == 1).then_some(())
    });
    tool("mount", &["-o", "remount,abort", &card.0.to_string_lossy()]);
    warm(&broker, 2..=4);
    assert_eq!(gateway.wait_end(20), Some(74), "{}", site.log());
    // As systemd would, again and again: it does not start, and says why.
    assert_eq!(Gateway::launch(&site).wait_end(20), Some(74), "{}", site.log());
    drop(card);
    let card = Mounted::over(&site, &["-o", "loop"], &image); // mended by a person
    let _gateway = Gateway::start(&site);
    let _arrived = site.wait_sent(4);
    assert_eq!(messages(&site), 4);
    drop(card);
}

/// A card that collects garbage for 30 s: the broker's line stays up, a webhook is refused in time, nothing comes twice.
#[test]
fn f09_f40_a_stalled_fsync_holds_nothing_else_up() {
    let broker = Broker::start();
    let site = Site::new(broker.port, FREEZER);
    let _simulator = Simulator::start(&site);
    assert_eq!(Gateway::start(&site).stop(), Some(0));
    // One call takes half a minute.
    let inject = "--inject=fsync,fdatasync:delay_enter=30000000:when=8";
    let gateway = Gateway::launch_traced(&site, &[&SYNCS[..], &[inject]].concat());
    gateway.wait_ready(&site);
    let begin = Instant::now();
    warm(&broker, 1..=6);
    let health = || ureq::get(&site.url("/healthz")).call().is_ok();
    let (mut slowest, mut refused) = (Duration::ZERO, 0);
    let body = br#"{"object": "whatsapp_business_account", "entry": []}"#;
    let signature = crate::webhook::sign("secret", body);
    let ended = || site.count("SELECT count(*) FROM message WHERE state = 'read'") == 6;
    while !ended() {
        assert!(begin.elapsed() < Duration::from_secs(80), "{}", site.log());
        let asked = Instant::now();
        assert!(health(), "the main loop turns while the card stalls");
        slowest = slowest.max(asked.elapsed());
        let asked = Instant::now();
        if crate::webhook::post(&site, body, Some(&signature)) == 503 {
            refused += 1; // F40
        }
        assert!(asked.elapsed() < Duration::from_secs(8), "Meta is answered within its patience");
        std::thread::sleep(Duration::from_millis(200));
    }
    assert!(begin.elapsed() > Duration::from_secs(25), "the card did stall");
    assert!(slowest < Duration::from_secs(2), "{slowest:?}");
    assert!(refused > 0, "a webhook that could not be kept was refused");
    let gone = site.log().matches("the broker is gone").count();
    assert_eq!(gone, 0, "an orderly stop is no warning: {}", site.log());
    assert_eq!(site.sent().len(), 6);
}

/// A database that cannot be read at the start: set aside, told to the owner, and alerts flow.
#[test]
fn f05_a_damaged_database_is_set_aside_and_reported() {
    let broker = Broker::start();
    let site = Site::new(broker.port, FREEZER);
    let text = std::fs::read_to_string(site.config()).expect("the configuration");
    std::fs::write(site.config(), text.replacen("[site]\n", "[site]\nowner = [\"nino\"]\n", 1))
        .expect("written");
    let path = site.path().join("state/bellwire.db");
    {
        let gateway = Gateway::start(&site); // without a Cloud API: the alert waits
        warm(&broker, 1..=1);
        wait_for(10, "the alert", || (messages(&site) == 1).then_some(()));
        assert_eq!(gateway.stop(), Some(0));
    }
    let mut bytes = std::fs::read(&path).expect("read");
    bytes[..100].fill(0);
    std::fs::write(&path, bytes).expect("written");
    let _simulator = Simulator::start(&site);
    let _gateway = Gateway::start(&site);
    let sent = site.wait_sent(2);
    let texts: Vec<&str> = sent.iter().filter_map(|message| message["text"].as_str()).collect();
    assert!(
        texts.iter().any(|text| text.contains("Freezer 1 in bar is at")),
        "what waited goes out: {texts:?}"
    );
    assert!(texts.iter().any(|text| text.contains("has been set aside as")), "{texts:?}");
    assert!(site.path().join("state/bellwire.db.corrupt-1").exists());
}

/// The owner hears of a disk that is nearly full while there is room to say so, and after a restart that there is room again.
#[test]
fn the_owner_hears_of_a_disk_that_is_nearly_full() {
    let broker = Broker::start();
    let site = Site::new(broker.port, FREEZER);
    let text = std::fs::read_to_string(site.config()).expect("readable");
    let owned = text.replacen("[site]\n", "[site]\nowner = [\"nino\"]\n", 1);
    std::fs::write(site.config(), owned).expect("written");
    let disk = Mounted::over(&site, &["-t", "tmpfs", "-o", "size=100m"], "tmpfs");
    let _simulator = Simulator::start(&site);
    let gateway = Gateway::start(&site);
    let text = site.wait_sent(1)[0]["text"].as_str().expect("a text").to_owned();
    assert!(text.starts_with("💾 The gateway's disk is nearly full\n"), "{text}");
    assert!(text.contains(" MB are left; when it is full no event is accepted"), "{text}");
    assert_eq!(gateway.stop(), Some(0));
    tool("mount", &["-o", "remount,size=900m", &disk.0.to_string_lossy()]);
    let gateway = Gateway::start(&site);
    let over = site.wait_sent(2)[1]["text"].clone();
    assert!(over.as_str().is_some_and(|text| text.starts_with("✅ Over after ")), "{over}");
    assert_eq!(gateway.stop(), Some(0));
}
