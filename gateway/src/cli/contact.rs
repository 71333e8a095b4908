//! People: what is known of them, whether it is still them, and their right to be forgotten.

use serde_json::json;

use super::{Failure, Place, say, say_json};
use crate::config::Config;
use crate::contact::Contact;
use crate::ids::{ConnectionName, ContactId};
use crate::store::{self, AuditEntry, Store};
use crate::task::hub_poll::one_for_each_token;
use crate::time::{Clock, SystemClock};

#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Everybody in the configuration, and those whom the owner invited
    List {
        #[command(flatten)]
        place: Place,
        #[arg(long)]
        json: bool,
    },
    /// Everything that is kept of a person, as JSON
    Export {
        #[command(flatten)]
        place: Place,
        contact: String,
    },
    /// Forget a person: number, name and words leave the database, the record of what was done stays
    Erase {
        #[command(flatten)]
        place: Place,
        contact: String,
        /// Do it; without this it only says what would go
        #[arg(long)]
        yes: bool,
    },
    /// Take somebody off the list whom the owner invited
    Remove {
        #[command(flatten)]
        place: Place,
        contact: String,
    },
    /// The number still belongs to this contact, though its WhatsApp user has changed
    Accept {
        #[command(flatten)]
        place: Place,
        contact: String,
    },
}

pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    match &arguments.action {
        Action::List { place, json } => list(place, *json),
        Action::Export { place, contact } => {
            let (_, store) = place.open()?;
            say_json(&store.export(&ContactId(contact.clone())).map_err(io)?);
            Ok(())
        }
        Action::Erase { place, contact, yes } => erase(place, contact, *yes),
        Action::Remove { place, contact } => remove(place, contact),
        Action::Accept { place, contact } => {
            let (config, store) = place.open()?;
            let known = find(&config, contact)?;
            let changed =
                store.transaction(|store| store.accept_identity(&known.id, SystemClock.now())).map_err(io)?;
            say(if changed {
                "accepted: whoever writes next from this number is this contact"
            } else {
                "nothing to accept: no other WhatsApp user has written from this number"
            });
            Ok(())
        }
    }
}

fn io(error: store::Error) -> Failure {
    Failure::Io(error.into())
}

fn find<'a>(config: &'a Config, contact: &str) -> Result<&'a Contact, Failure> {
    let ids: Vec<&str> = config.people.contacts.keys().map(|id| id.0.as_str()).collect();
    let unknown = || Failure::Usage(format!("there is no contact `{contact}`; there are {}", ids.join(", ")));
    config.people.contacts.get(&ContactId(contact.to_owned())).ok_or_else(unknown)
}

fn list(place: &Place, json: bool) -> Result<(), Failure> {
    // Before the first start there is no database, and nobody was invited.
    let (config, guests) = match place.open() {
        Ok((config, store)) => (config, store.guests().map_err(io)?),
        Err(_) => (place.load(true)?, Vec::new()),
    };
    let contacts = config.people.contacts.values();
    let invited =
        |contact: &Contact| guests.iter().find(|guest| guest.id == contact.id).map(|guest| &guest.by.0);
    if json {
        let row = |contact: &Contact| {
            json!({ "id": contact.id.0, "name": contact.name, "to": contact.to.masked(), "roles": contact.roles,
                    "language": contact.locale.language.code(), "time_zone": contact.locale.zone.iana_name(),
                    "invited_by": invited(contact) })
        };
        say_json(&contacts.map(row).collect());
        return Ok(());
    }
    for contact in contacts {
        let roles: Vec<&str> = contact.roles.iter().map(String::as_str).collect();
        say(&format!(
            "{:<16} {:<20} {:<12} {:<2} {:<16} {}{}",
            contact.id.0,
            contact.name,
            contact.to.masked(),
            contact.locale.language.code(),
            contact.locale.zone.iana_name().unwrap_or_default(),
            roles.join(", "),
            invited(contact).map(|by| format!(" (invited by {by})")).unwrap_or_default()
        ));
    }
    Ok(())
}

/// Replies do nothing from this commit on; alerts end within half a minute.
fn remove(place: &Place, contact: &str) -> Result<(), Failure> {
    let (config, store) = place.open()?;
    let id = ContactId(contact.to_owned());
    let work = |store: &Store| {
        let now = SystemClock.now();
        let removed = store.take_off(&id, now)?;
        if removed {
            let detail = format!("{}, at the command line", store.seal().pseudonym(&id));
            let entry =
                AuditEntry { what: "removed", who: None, message: None, command: None, detail: &detail };
            store.record(&entry, now)?;
        }
        Ok(removed)
    };
    if store.transaction(work).map_err(io)? {
        say(&format!(
            "{contact} is off the list; what is kept of them goes with: bellwire contact erase {contact}"
        ));
        return Ok(());
    }
    find(&config, contact)?;
    Err(Failure::Usage(format!(
        "{contact} was not invited but stands in the configuration: take the [[contact]] out and restart"
    )))
}

/// The contact may be out of the configuration already; then its spellings are what the database knows.
fn erase(place: &Place, contact: &str, yes: bool) -> Result<(), Failure> {
    let (config, store) = place.open()?;
    let id = ContactId(contact.to_owned());
    let export = store.export(&id).map_err(io)?;
    let count = |key: &str| export[key].as_array().map_or(0, Vec::len);
    let what = format!(
        "{} messages, {} replies, {} commands",
        count("messages"),
        count("replies"),
        count("commands")
    );
    let configured = config.people.contacts.get(&id);
    if !yes {
        say(&format!(
            "{what} would be made nameless; nothing was changed. With --yes it is done, and cannot be undone."
        ));
        return Ok(());
    }
    let names: Vec<String> = configured.iter().map(|known| known.name.clone()).collect();
    let hubs = one_for_each_token(&config.connections);
    let hubs: Vec<ConnectionName> = hubs.iter().map(|connection| connection.name.clone()).collect();
    let work = |store: &Store| {
        store.owe_erasure(&hubs, &id)?;
        store.erase(&id, &names, SystemClock.now())
    };
    let pseudonym = store.transaction(work).map_err(io)?;
    if !store.compact().map_err(io)? {
        return Err(Failure::Usage(format!(
            "{what} are nameless now ({pseudonym}), but another program is reading the database, so its log still holds \
             them: close that program (sqlite3, a backup) and run `bellwire contact erase {contact} --yes` again"
        )));
    }
    say(&format!("{what} are nameless now ({pseudonym})."));
    if configured.is_some() {
        say(&format!(
            "Take [[contact]] `{contact}` out of the configuration too, or the next alert writes to them again."
        ));
    }
    if !hubs.is_empty() {
        say(
            "The hub is told while the daemon runs; what it has of messages as they came ends after 7 to 30 days.",
        );
    }
    say("Backups in the state directory's backup/ still hold what they held; delete those that must not.");
    Ok(())
}
