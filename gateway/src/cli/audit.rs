//! Who asked for what, and what became of it.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{Failure, Place, say, say_json};
use crate::config::Config;
use crate::hex::hex;
use crate::store::{self, AuditRow, Store};
use crate::time::Timestamp;

#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// The latest entries, the newest last
    List {
        #[command(flatten)]
        place: Place,
        #[arg(long, default_value_t = 50)]
        limit: u32,
        #[arg(long)]
        json: bool,
    },
    /// Check that no entry was changed, removed or inserted
    Verify {
        #[command(flatten)]
        place: Place,
    },
    /// Everything, one JSON object a line, with the hashes
    Export {
        #[command(flatten)]
        place: Place,
    },
}

pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    let read = |error: store::Error| Failure::Io(error.into());
    match &arguments.command {
        Command::List { place, limit, json } => {
            let (config, store) = place.open()?;
            let people = people(&config, &store).map_err(read)?;
            let rows = store.audit(*limit).map_err(read)?;
            if *json {
                say_json(&rows.iter().map(|row| row_json(row, &people)).collect::<Value>());
                return Ok(());
            }
            for row in &rows {
                let at = Timestamp(row.at).for_tables(&config.site.time_zone);
                let who = people.get(&row.who).unwrap_or(&row.who);
                let command = row.command.map(|id| format!(" [command {id}]")).unwrap_or_default();
                say(&format!("{:>6}  {at}  {:<12}  {who:<16}  {}{command}", row.id, row.what, row.detail));
            }
            Ok(())
        }
        Command::Verify { place } => {
            let (_, store) = place.open()?;
            match store.verify_audit().map_err(read)? {
                Ok(count) => {
                    say(&format!("{count} entries, none changed, removed or inserted"));
                    Ok(())
                }
                Err(flaw) => Err(Failure::Io(anyhow::anyhow!(
                    "{flaw}; compare with an export that was kept elsewhere, and keep this database as it is"
                ))),
            }
        }
        Command::Export { place } => {
            let (config, store) = place.open()?;
            let people = people(&config, &store).map_err(read)?;
            for row in store.audit(u32::MAX).map_err(read)? {
                say(&row_json(&row, &people).to_string());
            }
            Ok(())
        }
    }
}

/// Whose pseudonym is whose. Somebody who is no longer in the configuration stays a pseudonym.
fn people(config: &Config, store: &Store) -> store::Result<BTreeMap<String, String>> {
    let name = |id: &crate::ids::ContactId| (store.seal().pseudonym(id), id.0.clone());
    Ok(config.people.contacts.keys().chain(&store.guest_ids()?).map(name).collect())
}

fn row_json(row: &AuditRow, people: &BTreeMap<String, String>) -> Value {
    json!({ "id": row.id, "at": Timestamp(row.at).rfc3339(), "at_ms": row.at, "what": row.what, "who": row.who,
            "contact": people.get(&row.who), "message": row.message, "command": row.command, "detail": row.detail,
            "hash": hex(&row.hash) })
}
