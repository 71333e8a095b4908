//! A relative path in the configuration starts at its file's folder, wherever the command is called.

use std::path::Path;
use std::process::Output;

use bellwire_tests::{Broker, Gateway, Simulator, Site, gateway_command, publish, wait_for};

fn run(folder: &Path, words: &str, config: &str) -> Output {
    let words = words.split(' ').chain(["--config", config]);
    gateway_command().current_dir(folder).args(words).output().expect("bellwire runs")
}

#[test]
fn relative_paths_start_at_the_files_folder_for_every_command() {
    let broker = Broker::start();
    let site = Site::new(broker.port, crate::round_trip::FREEZER);
    let absolute = site.path().join("state").display().to_string();
    let config = std::fs::read_to_string(site.config()).unwrap();
    assert!(config.contains(&absolute) && config.contains("\"access-token\""), "{config}");
    std::fs::write(site.config(), config.replace(&absolute, "state")).unwrap();
    let (_simulator, gateway) = (Simulator::start(&site), Gateway::start(&site));
    publish(broker.port, "site/bar/freezer/2/temperature", br#"{"celsius": -12.5}"#);
    wait_for(10, "the alert", || (site.count("SELECT count(*) FROM alert") == 1).then_some(()));
    assert_eq!(gateway.stop(), Some(0));

    let elsewhere = tempfile::tempdir().unwrap();
    let parent = site.path().parent().unwrap();
    let beside = format!("{}/bellwire.toml", site.path().file_name().unwrap().to_string_lossy());
    let ways = [
        (elsewhere.path(), site.config().display().to_string()),
        (site.path(), "bellwire.toml".to_owned()),
        (parent, beside),
    ];
    let commands = [
        "check",
        "events",
        "alerts list",
        "alerts show 1",
        "outbox list",
        "why 1",
        "audit list",
        "status",
        "devices list",
        "files list",
        "contact list",
        "token list",
        "session list",
        "acl",
    ];
    for command in commands {
        let told: Vec<String> = ways
            .iter()
            .map(|(folder, config)| {
                let output = run(folder, command, config);
                let said = String::from_utf8_lossy(&output.stderr).into_owned();
                assert!(output.status.success(), "{command} in {}: {said}", folder.display());
                String::from_utf8(output.stdout).unwrap()
            })
            .collect();
        let is_there = |text: &String| !text.trim().is_empty();
        assert_eq!(told.iter().filter(|text| is_there(text)).count() % ways.len(), 0, "{command}: {told:?}");
    }
    for (folder, config) in &ways {
        let outbox = String::from_utf8(run(folder, "outbox list", config).stdout).unwrap();
        assert!(outbox.contains("Freezer 2"), "{}: {outbox}", folder.display());
    }
    assert_eq!(
        std::fs::read_dir(elsewhere.path()).unwrap().count(),
        0,
        "nothing is made where the command was called"
    );
}
