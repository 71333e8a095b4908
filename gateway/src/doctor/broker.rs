//! The broker, and how durable it is.

use std::path::Path;

use super::Findings;
use crate::config::Mqtt;
use crate::mqtt::{Settings, probe};

/// Where Debian's mosquitto reads its settings.
const MOSQUITTO: &str = "/etc/mosquitto";
/// mosquitto 2.0's default: 100 up to 1.5, 1,000 since.
const DEFAULT_QUEUE: u64 = 1_000;
/// A power cut loses what came since the last save; the default is 30 minutes.
const SAVE_MAX_S: u64 = 300;

pub async fn examine(findings: &mut Findings, mqtt: &Mqtt) {
    let place = format!("{}:{}", mqtt.host, mqtt.port);
    let settings = Settings::from_config(mqtt, Vec::new());
    match settings {
        Err(error) => findings.fail("broker", format!("{error:#}"), "correct the [mqtt] section"),
        Ok(settings) => match probe(settings).await {
            Ok(()) => findings.good("broker", format!("{place} lets us in")),
            Err(error) => findings.fail("broker", format!("{place}: {error}"), advice(&error)),
        },
    }
    let local = ["localhost", "127.0.0.1", "::1"].contains(&mqtt.host.as_str());
    if local && Path::new(MOSQUITTO).exists() {
        durability(findings, &settings_of(Path::new(MOSQUITTO)));
    }
}

fn advice(error: &str) -> &'static str {
    let lower = error.to_lowercase();
    if lower.contains("refused") && !lower.contains("connection refused") || lower.contains("authori") {
        "check username and password_file in [mqtt], and what the broker allows this user"
    } else if lower.contains("certificate") {
        "check ca_file in [mqtt], the name in the url, and the machine's clock"
    } else {
        "is the broker running, and the url in [mqtt] right? (systemctl status mosquitto)"
    }
}

/// All lines of mosquitto's configuration that say something. Unreadable files say nothing.
fn settings_of(folder: &Path) -> Vec<(String, String)> {
    let mut files = vec![folder.join("mosquitto.conf")];
    let parts = std::fs::read_dir(folder.join("conf.d")).into_iter().flatten().flatten();
    let mut parts: Vec<_> = parts.map(|part| part.path()).collect();
    parts.sort();
    files.extend(parts.into_iter().filter(|path| path.extension().is_some_and(|end| end == "conf")));
    let texts = files.iter().filter_map(|file| std::fs::read_to_string(file).ok());
    let read = |line: &str| {
        let (key, value) = line.trim().split_once(char::is_whitespace)?;
        (!key.starts_with('#')).then(|| (key.to_owned(), value.trim().to_owned()))
    };
    texts.flat_map(|text| text.lines().filter_map(read).collect::<Vec<_>>()).collect()
}

fn durability(findings: &mut Findings, settings: &[(String, String)]) {
    let last =
        |key: &str| settings.iter().rev().find(|(name, _)| name == key).map(|(_, value)| value.as_str());
    let number = |key: &str| last(key).and_then(|value| value.parse::<u64>().ok());
    let advice = "copy config/mosquitto.conf of the project to /etc/mosquitto/conf.d/bellwire.conf, then: systemctl restart mosquitto";
    let queue = number("max_queued_messages").unwrap_or(DEFAULT_QUEUE);
    let every = number("autosave_interval").unwrap_or(1_800);
    if last("persistence") != Some("true") {
        findings.warn("broker", "mosquitto keeps nothing over its restart", advice);
    } else if queue != 0 && queue <= DEFAULT_QUEUE {
        findings.warn(
            "broker",
            format!(
                "mosquitto keeps {queue} events while bellwire is away, and drops the rest without a word"
            ),
            advice,
        );
    } else if last("autosave_on_changes") != Some("true") && (every == 0 || every > SAVE_MAX_S) {
        findings.warn(
            "broker",
            format!("mosquitto saves every {every} s: a power cut loses what it took since"),
            advice,
        );
    } else {
        findings.good("broker", "mosquitto keeps events while bellwire is away");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Severity;

    fn verdict(text: &str) -> Severity {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::create_dir(folder.path().join("conf.d")).expect("made");
        std::fs::write(folder.path().join("mosquitto.conf"), "persistence true\n").expect("written");
        std::fs::write(folder.path().join("conf.d/x.conf"), text).expect("written");
        let mut findings = Findings::default();
        durability(&mut findings, &settings_of(folder.path()));
        findings.found[0].severity
    }

    #[test]
    fn the_distributions_settings_are_not_enough_and_ours_are() {
        assert_eq!(verdict(""), Severity::Warning);
        assert_eq!(verdict("# max_queued_messages 0\n"), Severity::Warning);
        assert_eq!(verdict("max_queued_messages 0\n"), Severity::Warning);
        assert_eq!(verdict("max_queued_messages 0\nautosave_interval 60\n"), Severity::Good);
        assert_eq!(verdict(include_str!("../../../config/mosquitto.conf")), Severity::Good);
    }
}
