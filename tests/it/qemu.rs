use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use bellwire_tests::{Broker, Gateway, Simulator, firmware, program, wait_for};
use serde_json::json;

use crate::fleet::{ended, show, site, tap};

/// The example firmware on an emulated Cortex-M3, its UART joined to a pseudo terminal that is linked as `port`.
struct Board(Child);

impl Board {
    fn power_on(port: &Path) -> Self {
        let mut process = Command::new(program("qemu-system-arm"))
            .args(["-M", "lm3s6965evb", "-display", "none", "-monitor", "none", "-serial", "pty", "-kernel"])
            .arg(firmware("demo-device"))
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("qemu starts");
        let said = BufReader::new(process.stdout.take().unwrap()).lines().map_while(Result::ok);
        // "char device redirected to /dev/pts/3 (label serial0)"
        let terminal =
            |line: String| line.split_whitespace().find(|word| word.starts_with("/dev/")).map(PathBuf::from);
        let terminal = said.into_iter().find_map(terminal).expect("qemu tells its terminal");
        drop(std::fs::remove_file(port)); // of the board before
        std::os::unix::fs::symlink(terminal, port).unwrap();
        Self(process)
    }
}

impl Drop for Board {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

#[test]
fn firmware_on_a_cortex_m_alerts_and_obeys() {
    let (broker, folder) = (Broker::start(), tempfile::tempdir().unwrap());
    let port = folder.path().join("ttyUSB0");
    let site = site(&broker, &port);
    let (_simulator, gateway) = (Simulator::start(&site), Gateway::start(&site));
    let board = Board::power_on(&port);
    let powered = Instant::now();

    let sent = site.wait_sent(1);
    let alerted = powered.elapsed();
    assert!(
        sent[0]["text"].as_str().unwrap().starts_with("freezer-2 is at -9.5 °C\n"),
        "{}",
        sent[0]["text"]
    );
    let tapped = Instant::now();
    tap(&site);
    let end = wait_for(20, "the firmware's answer", || ended(&site, "freezer-2"));
    assert_eq!(end, ("done".to_owned(), "the device did it: cooling".to_owned()));
    println!(
        "alert {alerted:?} after power, of which 2 s are the firmware's; answer {:?} after the tap",
        tapped.elapsed()
    );
    // The event at its start, the one that alerted, the one after it obeyed.
    wait_for(10, "the event after it", || (show(&site, "freezer-2")?["events"] == 3).then_some(()));
    let shown = show(&site, "freezer-2").unwrap();
    assert_eq!(
        (&shown["firmware"], &shown["boot"], &shown["counted"]),
        (&json!("demo 0.1"), &json!(1), &json!("1/3"))
    );
    assert_eq!(site.sent().len(), 1);

    // The gateway is killed, and the board, which keeps nothing over a power cut, starts anew under its old name.
    gateway.kill();
    drop(board);
    let _board = Board::power_on(&port);
    std::thread::sleep(Duration::from_secs(1)); // it speaks to nobody at first
    let gateway = Gateway::start(&site);
    assert!(site.wait_sent(2)[1]["text"].as_str().unwrap().starts_with("freezer-2 is at -9.5 °C\n"));
    let shown = show(&site, "freezer-2").unwrap();
    assert_eq!((&shown["boot"], &shown["counted"], &shown["events"]), (&json!(2), &json!("2/2"), &json!(5)));
    assert_eq!(gateway.stop(), Some(0));
}
