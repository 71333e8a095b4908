//! The configuration as it is now: the file's, with the numbers that were connected on the page and the people who were
//! invited.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::Value;

use crate::config::{Config, Connection, Secret, SecretBox};
use crate::contact::Guest;
use crate::ids::{ConnectionName, ContactId};
use crate::store::{self, KeptConnection, Store};

#[derive(Debug)]
pub struct LiveConfig {
    of_file: Arc<Config>,
    now: Mutex<Arc<Config>>,
}

impl LiveConfig {
    pub fn new(of_file: Arc<Config>, now: Config) -> Self {
        Self { of_file, now: Mutex::new(Arc::new(now)) }
    }

    pub fn get(&self) -> Arc<Config> {
        Arc::clone(&self.now.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub fn set_connections(&self, connections: Vec<Connection>) {
        let mut now = self.now.lock().unwrap_or_else(PoisonError::into_inner);
        *now = Arc::new(Config { connections, ..(**now).clone() });
    }

    /// Takes over the guests as the store has them.
    pub fn set_guests(&self, guests: &[Guest]) {
        let people = self.of_file.people.with(guests);
        let mut now = self.now.lock().unwrap_or_else(PoisonError::into_inner);
        if now.people.contacts != people.contacts {
            *now = Arc::new(Config { people, ..(**now).clone() });
        }
    }
}

/// Those of the file first; a name that stands there is not taken from the store.
pub fn connections(of_file: &[Connection], store: &Store, state: &Path) -> store::Result<Vec<Connection>> {
    let mut all = of_file.to_vec();
    for kept in store.kept_connections()? {
        if all.iter().any(|known| known.name.0 == kept.name) {
            tracing::warn!(
                connection = kept.name,
                "a connection of the page is in the file, too: the file's is used; delete one"
            );
            continue;
        }
        if let Some(sealed) = &kept.sealed {
            all.push(opened(&kept, sealed, state));
        }
    }
    Ok(all)
}

fn opened(kept: &KeptConnection, sealed: &[u8], state: &Path) -> Connection {
    let read = SecretBox::of(state).and_then(|seal| seal.open(&kept.name, sealed));
    let secrets: Result<Value, String> =
        read.map(|text| serde_json::from_slice(&text).unwrap_or_default()).map_err(|error| error.to_string());
    let secret = |name: &str| match &secrets {
        Ok(found) => Secret::Known(found[name].as_str().unwrap_or_default().into()),
        Err(why) => Secret::Lost(why.clone()),
    };
    Connection {
        name: ConnectionName(kept.name.clone()),
        phone_number_id: kept.phone_number_id.clone(),
        business_account_id: Some(kept.business_account_id.clone()),
        access_token: secret("access_token"),
        app_secret: secret("app_secret"),
        verify_token: secret("verify_token"),
        api_url: kept.api_url.clone(),
        via_hub: false,
        api_version: kept.api_version.clone(),
        messages_per_second: kept.messages_per_second,
        mark_read: true,
        budget: None,
    }
}

/// The configuration with those who were invited and came.
pub fn with_guests(config: &Config, store: &Store) -> store::Result<Option<Config>> {
    let guests = store.guests()?;
    Ok((config.people.has_guests() || !guests.is_empty())
        .then(|| Config { people: config.people.with(&guests), ..config.clone() }))
}

/// Whether this person is an `owner` of the site.
pub fn is_owner(config: &Config, contact: &ContactId) -> bool {
    config.people.resolve(&config.site.owner).iter().any(|owner| owner.id == *contact)
}
