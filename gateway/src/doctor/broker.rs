//! The broker: what it lets us do, what never came, and how durable it is.

use std::path::Path;
use std::time::Duration;

use super::Findings;
use crate::alert::route::OWN_TOPICS;
use crate::app;
use crate::config::{Config, Mqtt};
use crate::mqtt::{Look, Outcome, Settings, probe};
use crate::store::Store;
use crate::time::{Clock, SystemClock, duration_for_people};

/// Where Debian's mosquitto reads its settings.
const MOSQUITTO: &str = "/etc/mosquitto";
/// mosquitto 2.0's default: 100 up to 1.5, 1,000 since.
const DEFAULT_QUEUE: u64 = 1_000;
/// A power cut loses what came since the last save; the default is 30 minutes.
const SAVE_MAX_S: u64 = 300;

/// A topic that is silent for less may just be new.
const SILENT: Duration = Duration::from_secs(24 * 3_600);
/// Names that a person reads; the rest are counted.
const NAMED: usize = 8;

pub async fn examine(findings: &mut Findings, config: &Config) {
    let mqtt = &config.mqtt;
    let place = format!("{}:{}", mqtt.host, mqtt.port);
    let settings = Settings::from_config(mqtt, app::filters(config));
    match settings {
        Err(error) => findings.fail("broker", format!("{error:#}"), "correct the [mqtt] section"),
        Ok(settings) => match probe(settings.clone()).await {
            Ok(Look { limits, outcome, loopback }) => {
                findings.good("broker", format!("{place} lets us in; our client id is {}", mqtt.client_id));
                for limit in limits.in_words() {
                    findings.warn(
                        "broker",
                        limit,
                        "see what else the broker offers, or live with it: docs/broker.md",
                    );
                }
                subscriptions(findings, config, &outcome);
                returned(findings, &settings, loopback);
            }
            Err(error) => findings.fail("broker", format!("{place}: {error}"), advice(&error)),
        },
    }
    silent(findings, config);
    let local = ["localhost", "127.0.0.1", "::1"].contains(&mqtt.host.as_str());
    if local && Path::new(MOSQUITTO).exists() {
        durability(findings, &settings_of(Path::new(MOSQUITTO)));
    }
}

/// What the broker answers to each topic.
fn subscriptions(findings: &mut Findings, config: &Config, outcome: &Outcome) {
    for (filter, reason) in &outcome.refused {
        let rules = config.rules.iter().filter(|rule| rule.topic.filter() == *filter);
        let rules: Vec<&str> = rules.map(|rule| rule.name.0.as_str()).collect();
        let whose =
            if rules.is_empty() { String::new() } else { format!("; it is of rule {}", rules.join(", ")) };
        findings.fail(
            "broker",
            format!("it refuses to let us read {filter} ({reason}){whose}"),
            format!("let this user read it: {}", access(&config.mqtt, &[filter.as_str()])),
        );
    }
    for filter in &outcome.unsure {
        findings.warn(
            "broker",
            format!("it delivers {filter} with QoS 0 only: what comes while the line breaks is lost"),
            "allow QoS 1 to this user in the broker's settings",
        );
    }
    for (one, two) in &outcome.doubled {
        findings.warn(
            "broker",
            format!("{one} and {two} overlap, and it does not say which copy is whose: such an event may come twice"),
            "use version = \"5\" in [mqtt], or topics that do not overlap; dedupe_key finds the repetition as well",
        );
    }
}

/// Whether our own test message came back: without it nobody would know whether events come.
fn returned(findings: &mut Findings, settings: &Settings, loopback: Option<Result<(), String>>) {
    let topic = &settings.loopback_topic;
    let what = match loopback {
        Some(Ok(())) => {
            return findings.good("broker", format!("our own test message comes back over {topic}"));
        }
        Some(Err(reason)) => format!("it refuses our own test message on {topic} ({reason})"),
        None => format!("it takes our own test message on {topic}, and does not send it back"),
    };
    let what = format!("{what}: nobody would know whether events come");
    findings.fail("broker", what, settings.right_to_loop());
}

/// Rules for which nothing came, as far as is recorded. A broker may grant a subscription and deliver nothing, as mosquitto does with an
/// access list; nothing is published as a test to a topic that devices listen to.
fn silent(findings: &mut Findings, config: &Config) {
    let Ok(store) = Store::open_existing(&config.site.state_directory) else { return };
    let (Ok(known), now) = (store.subscriptions(), SystemClock.now()) else { return };
    let mut found = Vec::new();
    for rule in config.rules.iter().filter(|rule| !rule.topic.as_str().starts_with(OWN_TOPICS)) {
        let filter = rule.topic.filter();
        let Some(time) = known.get(&filter).map(|since| since.until(now)).filter(|time| *time >= SILENT)
        else {
            continue;
        };
        if !store.has_heard(&rule.name.0).unwrap_or(true) {
            found.push((rule.name.0.clone(), filter, time));
        }
    }
    let more = found.len().saturating_sub(NAMED);
    for (rule, filter, time) in found.iter().take(NAMED) {
        let age = duration_for_people(Duration::from_secs(time.as_secs() / 3_600 * 3_600));
        findings.warn(
            "broker",
            format!("nothing has come on {filter} for rule {rule}, for {age}"),
            format!(
                "does its device publish there? If so, the broker keeps it from us without a word; mosquitto needs {}",
                access(&config.mqtt, &[filter.as_str()])
            ),
        );
    }
    if more > 0 {
        findings.warn(
            "broker",
            format!("and nothing for {more} more rules"),
            "bellwire events shows what came",
        );
    }
}

/// The lines of mosquitto's `acl_file` that allow it.
fn access(mqtt: &Mqtt, filters: &[&str]) -> String {
    let who = mqtt.username.as_ref().map_or(String::new(), |user| format!(" under `user {user}`"));
    let lines: Vec<String> = filters.iter().map(|filter| format!("`topic read {filter}`")).collect();
    format!("{}{who} in its acl_file", lines.join(" and "))
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
