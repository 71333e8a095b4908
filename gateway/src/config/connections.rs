//! `[[connection]]`: WhatsApp numbers, and `[files]`: what becomes of what people send to them.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use hyper::Uri;

use super::read::{LoadOptions, check_file};
use super::section::Section;
use super::versions::{self, VersionSupport};
use super::{Connection, Files, Secret};
use crate::contact::severity::Severity;
use crate::ids::ConnectionName;
use crate::outbox::budget::Budget;
use crate::outbox::scheduler::RATE;
use crate::time::parse_duration;

pub(super) fn read(root: &Section, folder: &Path, wishes: &LoadOptions) -> Vec<Connection> {
    let sections = root.sections("connection", "[[connection]]"); // none: the number is connected on the page
    let mut seen = BTreeSet::new();
    sections.into_iter().filter_map(|section| read_connection(section, folder, wishes, &mut seen)).collect()
}

fn read_connection(
    section: Section,
    folder: &Path,
    wishes: &LoadOptions,
    seen: &mut BTreeSet<String>,
) -> Option<Connection> {
    let name = section.required("name");
    if let Some(name) = name.as_ref().filter(|name| !seen.insert(name.value.clone())) {
        section.report(
            name.offset,
            format!("there are two connections `{}`; give each its own name", name.value),
        );
    }
    let phone_number_id = section.required_parsed("phone_number_id", digits);
    let business_account_id = section.parsed("business_account_id", digits);
    let hub = section.parsed("hub", api_url);
    let secrets = read_secrets(&section, hub.is_some(), folder, wishes);
    let api_url = hub.clone().or_else(|| section.parsed("api_url", api_url));
    let mark_read = section.bool("mark_read").unwrap_or(true);
    let budget = read_budget(&section);
    let messages_per_second = section.integer("messages_per_second", 1..=1_000);
    let api_version = read_api_version(&section, wishes);
    section.finish();
    let [access_token, app_secret, verify_token] = secrets;
    Some(Connection {
        name: ConnectionName(name?.value),
        phone_number_id: phone_number_id?,
        business_account_id,
        access_token: Secret::File(access_token?),
        app_secret: Secret::File(app_secret?),
        verify_token: Secret::File(verify_token?),
        api_url: api_url.unwrap_or_else(|| "https://graph.facebook.com".to_owned()),
        via_hub: hub.is_some(),
        api_version,
        messages_per_second: messages_per_second.unwrap_or(RATE),
        mark_read,
        budget,
    })
}

/// The files of access token, app secret and verify token. A hub has those, and gave one token for all: by it we are known to it,
/// and with it it signs what it has for us.
fn read_secrets(
    section: &Section,
    by_hub: bool,
    folder: &Path,
    wishes: &LoadOptions,
) -> [Option<PathBuf>; 3] {
    let file = |key| {
        let text = section.required(key)?;
        let path = folder.join(&text.value);
        check_file(section, &path, text.offset, wishes);
        Some(path)
    };
    if !by_hub {
        if let Some(text) = section.text("hub_token_file") {
            section.report(text.offset, "`hub_token_file` means something only beside `hub`; add it");
        }
        return [file("access_token_file"), file("app_secret_file"), file("verify_token_file")];
    }
    for key in ["access_token_file", "app_secret_file", "verify_token_file", "api_url"] {
        if let Some(text) = section.text(key) {
            section.report(text.offset, format!("`{key}` is the hub's matter; leave it out"));
        }
    }
    let token = file("hub_token_file");
    [token.clone(), token.clone(), token]
}

/// Where tokens go. Without TLS they would be readable on the way, so that is for a simulator on this machine: its host is an
/// address that is read as such, not a name that begins like one.
pub fn api_url(text: &str) -> Result<String, &'static str> {
    const HOW: &str = "it must begin with https://; http:// only for a simulator on 127.0.0.1";
    let text = text.trim_end_matches('/');
    let url: Uri = text.parse().map_err(|_| "it is no address; write it as https://graph.facebook.com")?;
    let (Some(scheme), Some(authority)) = (url.scheme_str(), url.authority()) else { return Err(HOW) };
    if authority.as_str().contains('@') {
        return Err("it has a name or a password before the host; write the host alone");
    }
    if url.query().is_some() || text.contains('#') {
        return Err("it ends with the host or a path; leave out what begins with ? or #");
    }
    // What follows the host is its port and nothing else: `[::1].example` is a name.
    let after = authority.as_str().strip_prefix(authority.host()).unwrap_or("?");
    let is_port = |port: &str| !port.is_empty() && port.bytes().all(|digit| digit.is_ascii_digit());
    if !after.is_empty() && !after.strip_prefix(':').is_some_and(is_port) {
        return Err(HOW);
    }
    let host = authority.host().trim_start_matches('[').trim_end_matches(']');
    let is_local = host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
    match scheme {
        _ if host.is_empty() => Err(HOW),
        "https" => Ok(text.to_owned()),
        "http" if is_local => Ok(text.to_owned()),
        _ => Err(HOW),
    }
}

/// One that has ended is a mistake for whoever checks. A daemon that starts in the night starts all the same: Meta answers as
/// the next version would.
fn read_api_version(section: &Section, wishes: &LoadOptions) -> String {
    let given = section.text("api_version").map(|text| text.offset);
    let version = section.parsed("api_version", api_version).unwrap_or_else(|| versions::DEFAULT.to_owned());
    if let Some(VersionSupport::Ended(why)) = wishes.today.map(|today| versions::standing(&version, today)) {
        section
            .report(given.unwrap_or_else(|| section.offset()), format!("{why}; {}", versions::next_step()));
    }
    version
}

/// `budget = 500`, and from which severity on messages leave beyond it.
fn read_budget(section: &Section) -> Option<Budget> {
    let messages = section.integer("budget", 1..=10_000_000);
    let words = ["info", "warning", "critical"];
    let exceeded_from = section.enum_value("over_budget", &words, |word| match word {
        "info" => Some(Severity::Info),
        "warning" => Some(Severity::Warning),
        "critical" => Some(Severity::Critical),
        _ => None,
    });
    if exceeded_from.is_some() && messages.is_none() {
        section.report(section.offset(), "`over_budget` means something only beside `budget`; add it");
    }
    Some(Budget { messages: messages?, exceeded_from: exceeded_from.unwrap_or(Severity::Critical) })
}

pub(super) fn read_files(section: Section) -> Files {
    let usual = Files::default();
    let read_duration = |text: &str| parse_duration(text).ok_or("write it as 30d, 12h or 90m");
    let files = Files {
        fetch: section.bool("fetch").unwrap_or(usual.fetch),
        max_bytes: section.integer("max_bytes", 1_024..=MAX_BYTES).unwrap_or(usual.max_bytes),
        keep_bytes: section.integer("keep_bytes", 1_024..=u32::MAX).map_or(usual.keep_bytes, u64::from),
        keep_for: section.parsed("keep_for", read_duration).unwrap_or(usual.keep_for),
        delete_at_meta: section.bool("delete_at_meta").unwrap_or(usual.delete_at_meta),
    };
    section.finish();
    files
}

/// One file is in memory at a time, and the unit's memory is limited to 128 MiB.
const MAX_BYTES: u32 = 64 * 1024 * 1024;

pub fn api_version(text: &str) -> Result<String, &'static str> {
    let numbers = text.strip_prefix('v').and_then(|text| text.split_once('.'));
    let is_version = numbers.is_some_and(|(a, b)| a.parse::<u8>().is_ok() && b.parse::<u8>().is_ok());
    if is_version { Ok(text.to_owned()) } else { Err("write it as v25.0") }
}

/// An id of Meta's.
pub fn digits(text: &str) -> Result<String, &'static str> {
    match !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        true => Ok(text.to_owned()),
        false => {
            Err("it is the long number under WhatsApp > API Setup in Meta's dashboard, not the phone number")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;

    #[test]
    fn a_hub_has_metas_secrets_and_gave_one_token() {
        let read = |connection: &str| {
            let text = format!(
                "[site]\nname = \"Bar\"\n[mqtt]\nurl = \"mqtt://127.0.0.1\"\n[[connection]]\nname = \"main\"\n\
                 phone_number_id = \"1\"\n{connection}"
            );
            config::read("t.toml", &text, &LoadOptions { without_secrets: true, ..LoadOptions::default() })
        };
        let good = read("hub = \"https://hub.example/\"\nhub_token_file = \"hub-token\"").expect("good");
        let [connection] = good.connections.as_slice() else { panic!("one") };
        assert_eq!((connection.api_url.as_str(), connection.via_hub), ("https://hub.example", true));
        for (connection, expected) in [
            ("hub = \"https://hub.example\"", "hub_token_file"),
            ("hub = \"http://hub.example\"\nhub_token_file = \"t\"", "https://"),
            (
                "hub = \"https://hub.example\"\nhub_token_file = \"t\"\napp_secret_file = \"s\"",
                "the hub's matter",
            ),
            (
                "hub_token_file = \"t\"\naccess_token_file = \"a\"\napp_secret_file = \"s\"\nverify_token_file = \"v\"",
                "beside `hub`",
            ),
        ] {
            let said = read(connection).expect_err(connection).to_string();
            assert!(said.contains(expected), "{said}");
        }
    }

    #[test]
    fn api_urls_need_tls_or_the_loopback_address() {
        for url in [
            "https://graph.facebook.com",
            "https://graph.facebook.com/",
            "https://proxy.example:8443/graph",
            "http://127.0.0.1:8090",
            "http://127.1.2.3",
            "http://localhost:8090",
            "http://[::1]:8090",
        ] {
            assert_eq!(api_url(url).as_deref(), Ok(url.trim_end_matches('/')), "{url}");
        }
        for url in [
            "",
            "graph.facebook.com",
            "ftp://graph.facebook.com",
            "http://graph.facebook.com",
            "http://127.0.0.1.attacker.example",
            "http://127.0.0.1.attacker.example:80/x",
            "http://localhost.attacker.example:80",
            "http://localhostile.example",
            "http://localhost@127.0.0.1:23019",
            "http://127.0.0.1@attacker.example",
            "http://127.0.0.1:80@attacker.example",
            "https://graph.facebook.com@attacker.example",
            "https://user:password@graph.facebook.com",
            "http://[::1].attacker.example",
            "http://[::2]",
            "http://0.0.0.0",
            "http://10.0.0.1",
            "http://127.1",
            "http://2130706433",
            "http://127.0.0.1\\@attacker.example",
            "http://127.0.0.1 .attacker.example",
            "https://graph.facebook.com?x=1",
            "https://graph.facebook.com#x",
            "https://",
        ] {
            assert!(api_url(url).is_err(), "{url}");
        }
    }
}
