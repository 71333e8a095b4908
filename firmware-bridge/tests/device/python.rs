use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command};

use firmware_bridge::gateway::End;
use firmware_bridge::{Outcome, Value};

use crate::line::Gateway;

/// Ends the process with the test, whatever becomes of it.
struct Python(Child);

impl Drop for Python {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn start(listener: &TcpListener, name: &str, store: &str, events: u32) -> Python {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/examples/device.py");
    let address = format!("tcp:{}", listener.local_addr().unwrap());
    let events = events.to_string();
    let arguments = [script, &address, "--name", name, "--store", store, "--events", &events];
    Python(
        Command::new("python3").args(arguments).spawn().expect("python3 is needed for this test: install it"),
    )
}

fn numbers(gateway: &Gateway) -> Vec<(u32, u32, i64)> {
    let number = |event: &firmware_bridge::Event| {
        let n = event.fields.iter().find(|field| field.name == "n").map(|field| &field.value);
        let Some(Value::Integer(n)) = n else { panic!("{event:?}") };
        (event.boot, event.sequence, *n)
    };
    gateway.events.iter().map(number).collect()
}

/// The example from the page and the crate understand each other: events, a damaged line, a kill, a command.
#[test]
fn the_example_in_python_loses_nothing() {
    let folder = tempdir("killed");
    let store = folder.join("device.json").to_string_lossy().into_owned();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut gateway = Gateway::default();
    gateway.damage_every = Some(700);

    let first = start(&listener, "python-1", &store, 30);
    let (mut line, _) = listener.accept().unwrap();
    gateway.serve(&mut line, |gateway| gateway.events.len() >= 10);
    drop(first); // killed while it has events under way
    let before = gateway.events.len();

    let mut second = start(&listener, "python-1", &store, 5);
    let (mut line, _) = listener.accept().unwrap();
    gateway.serve(&mut line, |gateway| gateway.events.last().is_some_and(|event| event.boot == 2));
    gateway.damage_every = None;
    gateway.command(7);
    gateway.serve(&mut line, |_| false); // until the device has what it waits for, and ends
    assert!(second.0.wait().unwrap().success());

    let found = numbers(&gateway);
    let of_boot = |boot| found.iter().filter(move |event| event.0 == boot).copied().collect::<Vec<_>>();
    let (kept, last) = (of_boot(1), of_boot(2));
    assert!(kept.len() >= before, "{found:?}");
    let expected = |boot, count: usize| {
        (1..=count as u32).map(|sequence| (boot, sequence, i64::from(sequence) - 1)).collect::<Vec<_>>()
    };
    assert_eq!((kept.clone(), last), (expected(1, kept.len()), expected(2, 5)));
    assert_eq!(found.len(), kept.len() + 5);
    assert_eq!(gateway.ended, Some((End::Answered(Outcome::Done), "cooling".to_owned())));
    assert_eq!(gateway.hello.as_deref(), Some(r#"python 1 ["defrost"]"#));
    std::fs::remove_dir_all(folder).unwrap();
}

/// What it kept goes under the name before: the gateway may have counted it.
#[test]
fn python_example_sends_kept_events_under_the_old_name() {
    let folder = tempdir("renamed");
    let store = folder.join("device.json").to_string_lossy().into_owned();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut gateway = Gateway::default();
    let first = start(&listener, "python-1", &store, 30);
    let (mut line, _) = listener.accept().unwrap();
    gateway.serve(&mut line, |gateway| gateway.events.len() >= 10);
    drop(first); // killed while it has events under way
    let second = start(&listener, "python-2", &store, 5);
    let (mut line, _) = listener.accept().unwrap();
    gateway.serve(&mut line, |gateway| {
        gateway.events.last().is_some_and(|event| event.sequence == 5 && event.boot == 2)
    });
    let names: Vec<_> = gateway.events.iter().map(|event| (event.device.as_str(), event.boot)).collect();
    let (before, after): (Vec<_>, Vec<_>) = names.iter().partition(|(_, boot)| *boot == 1);
    assert!(before.iter().all(|(name, _)| *name == "python-1") && before.len() >= 10, "{names:?}");
    assert_eq!(after, vec![("python-2", 2); 5]);
    drop(second); // it writes to the folder
    std::fs::remove_dir_all(folder).unwrap();
}

fn tempdir(test: &str) -> PathBuf {
    let folder = std::env::temp_dir().join(format!("bellwire-python-{test}-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    folder
}
