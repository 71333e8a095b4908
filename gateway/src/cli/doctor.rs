//! What keeps it from working, and the next step for each.

use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::run::runtime;
use super::{Failure, Place, counted, say, say_json};
use crate::doctor::{Finding, Severity, bundle, examine, examine_daemon, worst};
use crate::whatsapp::client::{Client, Deadlines};

/// Somebody waits at the screen: shorter than what the daemon gives a poor line.
const PATIENCE: Deadlines = Deadlines { connect: Duration::from_secs(8), answer: Duration::from_secs(15) };

#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    place: Place,
    /// Look only whether the daemon runs and accepts events
    #[arg(long)]
    daemon: bool,
    /// Print the findings as JSON
    #[arg(long)]
    json: bool,
    /// Also write what a supporter needs into this file: no secrets, numbers masked
    #[arg(long, value_name = "FILE")]
    bundle: Option<PathBuf>,
}

/// Exit codes as monitoring plugins have them: 0 all good, 1 a warning, 2 an error.
pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    let config = match arguments.place.open() {
        Ok((config, _)) => config,
        Err(_) => arguments.place.load(true)?, // it never ran; the secrets are looked at one by one
    };
    let client = Client::new(PATIENCE).map_err(Failure::Io)?;
    let findings = runtime()?.block_on(async {
        if arguments.daemon {
            examine_daemon(&config, &client).await
        } else {
            examine(&config, &client).await
        }
    });
    if let Some(file) = &arguments.bundle {
        write(file, &format!("{:#}\n", bundle(&config, &findings)))?;
    }
    let worst = worst(&findings);
    if arguments.json {
        say_json(&serde_json::json!({ "severity": worst, "findings": findings }));
    } else {
        findings.iter().for_each(print);
        if let Some(file) = &arguments.bundle {
            say(&format!("written for a supporter: {}", file.display()));
        }
    }
    if worst == Severity::Good { Ok(()) } else { Err(Failure::Diagnosed(worst, count(&findings))) }
}

fn print(finding: &Finding) {
    let whose = finding.connection.as_ref().map_or(String::new(), |name| format!(" ({name})"));
    say(&format!("{:<8} {}{whose}: {}", finding.severity.as_str(), finding.check, finding.what));
    if let Some(next) = &finding.next {
        say(&format!("         → {next}"));
    }
}

fn count(findings: &[Finding]) -> String {
    let of = |severity: Severity| findings.iter().filter(|finding| finding.severity == severity).count();
    format!("{}, {}", counted(of(Severity::Error), "error"), counted(of(Severity::Warning), "warning"))
}

/// Only its owner reads it: the shape of a site is nobody's business.
fn write(file: &Path, text: &str) -> Result<(), Failure> {
    let mut options = std::fs::OpenOptions::new();
    let opened = options.write(true).create(true).truncate(true).mode(0o600).open(file);
    opened.and_then(|mut opened| opened.write_all(text.as_bytes())).map_err(|error| {
        Failure::Usage(format!("{} cannot be written ({error}); name another file", file.display()))
    })
}
