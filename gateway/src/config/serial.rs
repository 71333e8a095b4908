//! `[[serial]]`.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::section::Section;

/// A serial port with one device at its other end.
#[derive(Debug, Clone)]
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
