//! All problems of a configuration, one a line.

use std::io::Write;

use super::{Failure, Place, counted, say, say_json};
use crate::config::{Config, LoadOptions, load, remarks};
use crate::task::orphans;
use crate::time::{Clock, SystemClock, Timestamp};

#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    place: Place,
    /// Do not look whether the secret files are there
    #[arg(long)]
    no_secrets: bool,
    /// Print the problems as JSON
    #[arg(long)]
    json: bool,
}

pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    let today = SystemClock.now();
    let wishes = LoadOptions { today: Some(today), ..arguments.place.wishes(arguments.no_secrets) };
    match load(&arguments.place.config, &wishes) {
        Ok(config) => {
            let (rules, contacts) = (config.written_rules, config.people.contacts.len());
            let mut remarks = remarks(&config, today);
            remarks.extend(foreseen(&config, today));
            if arguments.json {
                say_json(
                    &serde_json::json!({ "problems": [], "remarks": remarks, "rules": rules, "contacts": contacts }),
                );
            } else {
                remarks.iter().for_each(|remark| say(&format!("note: {remark}")));
                say(&format!(
                    "{}: good ({}, {})",
                    arguments.place.config.display(),
                    counted(rules, "rule"),
                    counted(contacts, "contact")
                ));
            }
            Ok(())
        }
        Err(problems) => {
            if arguments.json {
                say_json(&serde_json::json!({ "problems": problems.0 }));
                drop(std::io::stdout().flush());
                return Err(Failure::Config(crate::config::Problems(Vec::new())));
            }
            Err(problems.into())
        }
    }
}

/// What goes on now and would end. Whoever checks may not be allowed to look, and there may be nothing to look at.
fn foreseen(config: &Config, today: Timestamp) -> Vec<String> {
    match orphans::foreseen(config, today) {
        Ok(Some(found)) => found.into_iter().map(|what| format!("at the next start {what}")).collect(),
        Ok(None) => Vec::new(),
        Err(error) => vec![format!("what goes on now was not looked at: {error}")],
    }
}
