//! Files that people sent.

use std::path::PathBuf;

use serde_json::{Value, json};

use super::{Failure, Place, say, say_json};
use crate::store::{self, FileRow, FileState};

#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Pictures, sounds and documents from contacts, newest first
    List {
        #[command(flatten)]
        place: Place,
        #[arg(long, default_value_t = 50)]
        limit: u32,
        #[arg(long)]
        json: bool,
    },
    /// Copy one to a file of your own
    Save {
        #[command(flatten)]
        place: Place,
        id: i64,
        /// Where to; it must not be there yet
        #[arg(value_name = "FILE")]
        to: PathBuf,
    },
    /// Remove one from this machine
    Delete {
        #[command(flatten)]
        place: Place,
        id: i64,
    },
}

pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    match &arguments.command {
        Command::List { place, limit, json } => list(place, *limit, *json),
        Command::Save { place, id, to } => save(place, *id, to),
        Command::Delete { place, id } => delete(place, *id),
    }
}

fn list(place: &Place, limit: u32, json: bool) -> Result<(), Failure> {
    let (config, store) = place.open()?;
    let files = store.files(limit).map_err(|error| Failure::Io(error.into()))?;
    if json {
        say_json(&Value::Array(files.iter().map(as_json).collect()));
        return Ok(());
    }
    for file in &files {
        let at = file.at.for_tables(&config.site.time_zone);
        let name = file.name.as_deref().unwrap_or(&file.mime);
        let is_kept = file.state == FileState::Kept;
        let what = if is_kept { format!("{} bytes", file.bytes) } else { file.reason.clone() };
        say(&format!(
            "{:>6}  {at}  {:<12} {:<8} {:<7} {name}  {what}",
            file.id,
            file.contact,
            file.kind,
            file.state.as_str()
        ));
    }
    if files.is_empty() {
        say("no contact has sent a file yet");
    }
    Ok(())
}

fn as_json(file: &FileRow) -> Value {
    json!({
        "id": file.id, "at": file.at.rfc3339(), "contact": file.contact.0, "connection": file.connection.0,
        "kind": file.kind, "mime": file.mime, "name": file.name, "state": file.state.as_str(), "bytes": file.bytes, "sha256": file.sha256,
        "reason": file.reason,
    })
}

fn save(place: &Place, id: i64, to: &PathBuf) -> Result<(), Failure> {
    let (_, store) = place.open()?;
    kept(&store, id)?;
    if to.exists() {
        return Err(Failure::Usage(format!("{} is there already; give another name", to.display())));
    }
    let bytes = std::fs::copy(store.shelf().path(id), to).map_err(|error| Failure::Io(error.into()))?;
    say(&format!("{} has {bytes} bytes", to.display()));
    Ok(())
}

fn delete(place: &Place, id: i64) -> Result<(), Failure> {
    let (_, store) = place.open()?;
    kept(&store, id)?;
    let forget = |error: store::Error| Failure::Io(error.into());
    store.transaction(|store| store.forget_file(id, "an operator removed it")).map_err(forget)?;
    store.shelf().remove(id).map_err(|error| Failure::Io(error.into()))?;
    say(&format!("file {id} is gone from this machine"));
    Ok(())
}

fn kept(store: &crate::store::Store, id: i64) -> Result<FileRow, Failure> {
    match store.file(id).map_err(|error| Failure::Io(error.into()))? {
        None => Err(Failure::Usage(format!("there is no file {id}; `bellwire files list` shows them"))),
        Some(file) if file.state != FileState::Kept => {
            Err(Failure::Usage(format!("file {id} is not here ({}: {})", file.state.as_str(), file.reason)))
        }
        Some(file) => Ok(file),
    }
}
