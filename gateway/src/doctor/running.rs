//! What goes on, and the file would leave without an owner.

use super::Findings;
use crate::config::Config;
use crate::task::orphans;
use crate::time::{Clock, SystemClock};

pub fn examine(findings: &mut Findings, config: &Config) {
    let found = match orphans::foreseen(config, SystemClock.now()) {
        Ok(found) => found.unwrap_or_default(),
        Err(error) => {
            let next = "run it as the user bellwire, or as root";
            return findings.warn(
                "running",
                format!("what goes on cannot be compared with the file: {error}"),
                next,
            );
        }
    };
    for what in &found {
        let next = "that is right if the change was meant; else put back what was taken out, or renamed, before the restart";
        findings.warn("running", format!("at the next start {what}"), next);
    }
    if found.is_empty() {
        findings.good("running", "all that goes on has its place in the file");
    }
}
