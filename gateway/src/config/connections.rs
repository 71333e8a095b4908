//! `[[connection]]`: WhatsApp business numbers.

use std::collections::BTreeSet;
use std::path::Path;

use super::Connection;
use super::read::{Wishes, check_file};
use super::section::Section;
use crate::alert::sender::RATE;
use crate::ids::ConnectionName;

pub fn read(root: &Section, folder: &Path, wishes: &Wishes) -> Vec<Connection> {
    let sections = root.sections("connection", "[[connection]]");
    if sections.is_empty() {
        root.report(0, "there is no [[connection]]; add one for your WhatsApp number");
    }
    let mut seen = BTreeSet::new();
    sections.into_iter().filter_map(|section| read_one(section, folder, wishes, &mut seen)).collect()
}

fn read_one(
    section: Section,
    folder: &Path,
    wishes: &Wishes,
    seen: &mut BTreeSet<String>,
) -> Option<Connection> {
    let name = section.required("name");
    if let Some(name) = name.as_ref().filter(|name| !seen.insert(name.value.clone())) {
        section.report(
            name.offset,
            format!("there are two connections `{}`; give each its own name", name.value),
        );
    }
    let digits = |text: &str| match text.bytes().all(|byte| byte.is_ascii_digit()) {
        true => Ok(text.to_owned()),
        false => {
            Err("it is the long number under WhatsApp > API Setup in Meta's dashboard, not the phone number")
        }
    };
    let phone_number_id = section.required_parsed("phone_number_id", digits);
    let business_account_id = section.parsed("business_account_id", digits);
    let file = |key| {
        let text = section.required(key)?;
        let path = folder.join(&text.value);
        check_file(&section, &path, text.offset, wishes);
        Some(path)
    };
    let access_token_file = file("access_token_file");
    let app_secret_file = file("app_secret_file");
    let verify_token_file = file("verify_token_file");
    let api_url = section.parsed("api_url", read_api_url);
    let messages_per_second = section.integer("messages_per_second", 1..=1_000);
    let api_version = section.parsed("api_version", |text| {
        let numbers = text.strip_prefix('v').and_then(|text| text.split_once('.'));
        let is_version = numbers.is_some_and(|(a, b)| a.parse::<u8>().is_ok() && b.parse::<u8>().is_ok());
        if is_version { Ok(text.to_owned()) } else { Err("write it as v25.0") }
    });
    section.finish();
    Some(Connection {
        name: ConnectionName(name?.value),
        phone_number_id: phone_number_id?,
        business_account_id,
        access_token_file: access_token_file?,
        app_secret_file: app_secret_file?,
        verify_token_file: verify_token_file?,
        api_url: api_url.unwrap_or_else(|| "https://graph.facebook.com".to_owned()),
        api_version: api_version.unwrap_or_else(|| "v25.0".to_owned()),
        messages_per_second: messages_per_second.unwrap_or(RATE),
    })
}

/// Without TLS the token would be readable on the way, so that is for a simulator on this machine.
fn read_api_url(text: &str) -> Result<String, &'static str> {
    let text = text.trim_end_matches('/');
    let local = ["http://127.0.0.1", "http://localhost", "http://[::1]"];
    if text.starts_with("https://") || local.iter().any(|start| text.starts_with(start)) {
        Ok(text.to_owned())
    } else {
        Err("it must begin with https://; http:// only for a simulator on 127.0.0.1")
    }
}
