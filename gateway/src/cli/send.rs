//! A message by hand, through the real outbox.

use super::{Failure, Place, say};
use crate::ids::{ConnectionName, ContactId};
use crate::outbox::message::Content;
use crate::outbox::row::Conversation;
use crate::store::{Lock, LockError};
use crate::time::{Clock, SystemClock};

#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    place: Place,
    /// The contact's id
    #[arg(long)]
    to: String,
    /// What to say
    #[arg(required_unless_present = "content", allow_hyphen_values = true)]
    text: Option<String>,
    /// Any kind of message, as JSON (docs/messages.md): a file, or `-` for standard input
    #[arg(long, value_name = "FILE", conflicts_with = "text")]
    content: Option<std::path::PathBuf>,
    /// Over which connection; the first one without it
    #[arg(long)]
    connection: Option<String>,
}

pub fn run(arguments: Arguments) -> Result<(), Failure> {
    let (config, store) = arguments.place.open()?;
    let Some(contact) = config.people.contacts.get(&ContactId(arguments.to.clone())) else {
        let known: Vec<&str> = config.people.contacts.keys().map(|id| id.0.as_str()).collect();
        return Err(Failure::Usage(format!(
            "there is no contact `{}`; there are {}",
            arguments.to,
            known.join(", ")
        )));
    };
    let named = |name: &ConnectionName| arguments.connection.as_ref().is_none_or(|wanted| *wanted == name.0);
    let Some(connection) = config.connections.iter().find(|connection| named(&connection.name)) else {
        let known: Vec<&str> =
            config.connections.iter().map(|connection| connection.name.0.as_str()).collect();
        return Err(Failure::Usage(format!("there is no such connection; there are: {}", known.join(", "))));
    };
    let content = read_content(&arguments)?;
    let lane = Conversation { connection: connection.name.clone(), contact: contact.id.clone() };
    let id = store
        .transaction(|store| store.compose(&lane, &contact.to, &content, SystemClock.now()))
        .map_err(|error| Failure::Io(error.into()))?;
    let waits = match Lock::take(&config.site.state_directory) {
        Err(LockError::Taken(_)) => "the daemon sends it now",
        Ok(_) | Err(LockError::File(..)) => "no daemon is running here: it goes out when one starts",
    };
    say(&format!("message {id} is in the outbox; {waits} (bellwire outbox show {id})"));
    Ok(())
}

fn read_content(arguments: &Arguments) -> Result<Content, Failure> {
    let Some(file) = &arguments.content else {
        return Ok(Content::text(arguments.text.clone().unwrap_or_default()));
    };
    let read = match file.to_str() {
        Some("-") => std::io::read_to_string(std::io::stdin()),
        _ => std::fs::read_to_string(file),
    };
    let text = read.map_err(|error| Failure::Usage(format!("{} cannot be read: {error}", file.display())))?;
    serde_json::from_str(&text).map_err(|error| {
        Failure::Usage(format!(
            "{} is not a message: {error}; docs/messages.md has an example of each kind",
            file.display()
        ))
    })
}
