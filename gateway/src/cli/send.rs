//! A message by hand, through the real outbox.

use super::{Failure, Place, say};
use crate::ids::ContactId;
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
    text: String,
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
    let Some(connection) = config.connections.first() else {
        return Err(Failure::Usage("there is no [[connection]] to send over".to_owned()));
    };
    let id = store
        .transaction(|store| store.compose(&connection.name, contact, arguments.text, SystemClock.now()))
        .map_err(|error| Failure::Io(error.into()))?;
    let waits = match Lock::take(&config.site.state_directory) {
        Err(LockError::Taken(_)) => "the daemon sends it now",
        Ok(_) | Err(LockError::File(..)) => "no daemon is running here: it goes out when one starts",
    };
    say(&format!("message {id} is in the outbox; {waits} (bellwire outbox show {id})"));
    Ok(())
}
