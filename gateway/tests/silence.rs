//! A device that falls silent is an alert with a life, told once, over a restart too; and it ends when the device is back.
#![expect(clippy::expect_used, reason = "a test that cannot go on stops")]

use std::path::Path;
use std::time::Duration;

use bellwire::alert::intake::{Intake, IntakeEffect as Wanted, IntakeInput as Arriving};
use bellwire::config::{Config, LoadOptions, read};
use bellwire::device::fleet::{ExchangeEffect, ExchangeInput, Fleet};
use bellwire::device::record::Route;
use bellwire::device::status::SILENT_AFTER;
use bellwire::random::Rng;
use bellwire::store::Store;
use bellwire::time::{Now, Timestamp};
use bytes::Bytes;
use firmware_bridge::message::Hello;
use firmware_bridge::{Kind, Position};

const CONFIG: &str = r#"
[site]
name = "Test"
[mqtt]
url = "mqtt://127.0.0.1:1883"
[[connection]]
name = "main"
phone_number_id = "109876543210123"
access_token_file = "a"
app_secret_file = "b"
verify_token_file = "c"
[[contact]]
id = "nino"
phone = "+995 555 12 34 56"
[[rule]]
name = "silent"
topic = "bellwire/device/{device}/status"
when = "payload.state == 'silent'"
message = "{{ device }} is silent; its line was {{ payload.line }}"
notify = ["nino"]
repeat_interval = "0s"
"#;

struct Gateway {
    store: Store,
    fleet: Fleet,
    intake: Intake<()>,
}

impl Gateway {
    fn start(folder: &Path, now: Timestamp) -> Self {
        let wishes = LoadOptions { without_secrets: true, ..LoadOptions::default() };
        let config: Config = read("test.toml", CONFIG, &wishes).expect("good");
        let store = Store::open(folder, &mut Rng::seeded(1)).expect("opened");
        let judge = config.rule_set().expect("compiled");
        let watch = judge.watch();
        let mut intake = Intake::new(judge, watch);
        intake.restore(store.kept().expect("read"), moment(now));
        let fleet = Fleet::new(store.known_devices().expect("read"), Vec::new(), now);
        Self { store, fleet, intake }
    }

    /// Performs what the fleet asks for, as the daemon does.
    fn play(&mut self, input: ExchangeInput, now: Timestamp) {
        let mut inputs = vec![input];
        while let Some(input) = inputs.pop() {
            for effect in self.fleet.handle(input, now) {
                match effect {
                    ExchangeEffect::Status(event) => self.take(Arriving::Arrived(vec![(event, None)]), now),
                    ExchangeEffect::Write(write) => {
                        self.store.transaction(|store| store.write_device(&write)).expect("written");
                        inputs.push(ExchangeInput::Written(write));
                    }
                    ExchangeEffect::Take { .. }
                    | ExchangeEffect::Send { .. }
                    | ExchangeEffect::Load
                    | ExchangeEffect::Tell { .. }
                    | ExchangeEffect::Warn { .. }
                    | ExchangeEffect::Note { .. }
                    | ExchangeEffect::Ignored { .. } => {}
                }
            }
        }
    }

    fn take(&mut self, input: Arriving<()>, now: Timestamp) {
        for effect in self.intake.handle(input, moment(now)) {
            let done = self.store.transaction(|store| match &effect {
                Wanted::Commit(_, decisions) => store.accept(decisions).map(drop),
                Wanted::Watched { effects, taken } => store.watched(effects, taken).map(drop),
                Wanted::Acknowledge(()) => Ok(()),
            });
            done.expect("committed");
        }
    }

    fn hello(&mut self, now: Timestamp) {
        let (token, oldest) = (7, Position::default());
        let commands = [].into_iter().collect();
        let hello = Hello {
            device: "f",
            boot: 1,
            token,
            oldest,
            queued: 0,
            refused: 0,
            firmware: "test 1",
            commands,
        };
        let message = Bytes::copy_from_slice(hello.encode(&mut [0; 200]).expect("fits"));
        let route = Route::Serial("/dev/ttyUSB0".to_owned());
        self.play(ExchangeInput::Heard { route, device: None, kind: Kind::Hello, message }, now);
    }

    /// First lines of all messages, and whether the device is silent on disk.
    fn told(&self, folder: &Path) -> (Vec<String>, bool) {
        let database = rusqlite::Connection::open(folder.join("bellwire.db")).expect("opened");
        let mut texts = database.prepare("SELECT content ->> 'text' FROM message ORDER BY id").expect("read");
        let texts = texts.query_map([], |row| row.get::<_, String>(0)).expect("read");
        let first = |text: rusqlite::Result<String>| {
            text.expect("read").lines().next().unwrap_or_default().to_owned()
        };
        let silent = database.query_row("SELECT silent FROM device", [], |row| row.get(0)).expect("read");
        (texts.map(first).collect(), silent)
    }
}

fn moment(wall: Timestamp) -> Now {
    Now { wall, steady: Duration::from_millis(wall.0.unsigned_abs()) }
}

#[test]
fn a_silent_device_is_an_alert_until_it_returns() {
    let folder = tempfile::tempdir().expect("a folder");
    let begun = Timestamp(1_795_247_385_145);
    let mut gateway = Gateway::start(folder.path(), begun);
    gateway.hello(begun);
    gateway.play(ExchangeInput::Wake, begun + SILENT_AFTER - Duration::from_secs(1));
    assert_eq!(gateway.told(folder.path()), (Vec::new(), false));
    let silent = begun + SILENT_AFTER;
    gateway.play(ExchangeInput::Wake, silent);
    let mut expected = vec!["f is silent; its line was /dev/ttyUSB0".to_owned()];
    assert_eq!(gateway.told(folder.path()), (expected.clone(), true));

    // After a restart it is silent still, and nobody hears of it again.
    drop(gateway);
    let later = silent + Duration::from_secs(3_600);
    let mut gateway = Gateway::start(folder.path(), later);
    gateway.play(ExchangeInput::Wake, later + SILENT_AFTER);
    assert_eq!(gateway.told(folder.path()), (expected.clone(), true));

    gateway.hello(later + SILENT_AFTER);
    let (texts, silent) = gateway.told(folder.path());
    expected.push("✅ Over after 1 h 3 min: f is silent; its line was /dev/ttyUSB0".to_owned());
    assert_eq!((texts, silent), (expected, false));
}
