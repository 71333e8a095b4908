//! People: who they are and how they are reached. Nothing here performs I/O or asks the time.

mod phone;

use std::collections::{BTreeMap, BTreeSet};

pub use phone::{Phone, PhoneError};

use crate::ids::ContactId;

/// A person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contact {
    pub id: ContactId,
    /// How lists call them; the id when the configuration gives none.
    pub name: String,
    pub phone: Phone,
    pub roles: BTreeSet<String>,
}

/// How a message is addressed (FACTS 1.1, 3.6).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Recipient {
    Phone(Phone),
    /// A business-scoped user id, byte for byte as a webhook gave it: for somebody who hides the number.
    UserId(String),
    Group(String),
}

/// All contacts and teams. Built by `config`, which has checked that every name exists.
#[derive(Debug, Clone, Default)]
pub struct People {
    pub contacts: BTreeMap<ContactId, Contact>,
    pub teams: BTreeMap<String, Vec<ContactId>>,
}

impl People {
    /// The contacts behind a list of contact and team names: each once, in the order given. A name that is neither
    /// is skipped; `config` refuses such a file.
    #[must_use]
    pub fn resolve(&self, names: &[String]) -> Vec<&Contact> {
        let mut seen = BTreeSet::new();
        names
            .iter()
            .flat_map(|name| match self.teams.get(name) {
                Some(members) => members.clone(),
                None => vec![ContactId(name.clone())],
            })
            .filter(|id| seen.insert(id.clone()))
            .filter_map(|id| self.contacts.get(&id))
            .collect()
    }

    /// The contact with this number.
    #[must_use]
    pub fn by_phone(&self, phone: &Phone) -> Option<&Contact> {
        self.contacts.values().find(|contact| contact.phone == *phone)
    }
}
