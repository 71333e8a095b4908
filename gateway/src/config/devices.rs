//! `[[serial]]`, and actions that command a device.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use firmware_bridge::NAME_MAX_BYTES;
use firmware_bridge::message::PAYLOAD_MAX_BYTES;
use firmware_bridge::mqtt::PREFIX;

use super::section::{At, Section};

/// A serial port with one device at its other end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Serial {
    pub path: PathBuf,
    pub baud: u32,
}

/// What the protocol's page says (docs/device-protocol.md, section 3).
const BAUD: u32 = 115_200;

pub fn read(root: &Section, folder: &Path) -> Vec<Serial> {
    let mut seen = BTreeSet::new();
    let mut ports = Vec::new();
    for section in root.sections("serial", "[[serial]]") {
        let path = section.required("path");
        let baud = section.integer("baud", 300..=4_000_000);
        if let Some(path) = path {
            let full = folder.join(&path.value);
            if !seen.insert(full.clone()) {
                section
                    .report(path.offset, format!("there are two sections for {}; keep one", full.display()));
            }
            ports.push(Serial { path: full, baud: baud.unwrap_or(BAUD) });
        }
        section.finish();
    }
    ports
}

/// What a device could not take is told now, not when somebody taps.
pub fn check_action(action: &Section, topic: &At<String>) {
    let Some(rest) = topic.value.strip_prefix(PREFIX).and_then(|rest| rest.strip_prefix('/')) else { return };
    let levels: Vec<&str> = rest.split('/').collect();
    let [_, "command", name] = levels[..] else {
        let what = format!(
            "`topic`: a command to a device goes to {PREFIX}/DEVICE/command/NAME; what else is there is the protocol's own"
        );
        action.report(topic.offset, what);
        return;
    };
    if !name.starts_with('{') && !(1..=NAME_MAX_BYTES).contains(&name.len()) {
        let what = format!("`topic`: a command's name has 1 to {NAME_MAX_BYTES} bytes");
        action.report(topic.offset, what);
    }
    if let Some(payload) = action.text("payload").filter(|text| text.value.len() > PAYLOAD_MAX_BYTES) {
        let what = format!("`payload` has {} bytes; a device takes {PAYLOAD_MAX_BYTES}", payload.value.len());
        action.report(payload.offset, what);
    }
}
