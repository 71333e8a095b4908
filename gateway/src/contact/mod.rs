//! People: who they are and how they are reached. Nothing here performs I/O or asks the time.

mod phone;
/// When somebody is left in peace.
pub mod quiet;
/// Whose turn it is.
pub mod rota;

use std::collections::{BTreeMap, BTreeSet};

pub use phone::{Phone, PhoneError};

use self::quiet::Quiet;
use self::rota::Rota;
use crate::alert::topic::TopicPattern;
use crate::time::Timestamp;
use jiff::tz::TimeZone;

use crate::ids::ContactId;

/// A person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contact {
    pub id: ContactId,
    /// How lists call them; the id when the configuration gives none.
    pub name: String,
    pub to: Recipient,
    pub roles: BTreeSet<String>,
    /// Where they may act; empty means everywhere.
    pub topics: Vec<TopicPattern>,
    /// Whether STOP is obeyed: for those on duty it may not be.
    pub may_stop: bool,
}

/// How a message is addressed (FACTS 1.1, 3.6).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Recipient {
    Phone(Phone),
    /// A business-scoped user id, byte for byte as a webhook gave it: for somebody who hides the number.
    UserId(String),
    Group(String),
}

impl Recipient {
    /// As the store keeps it: a number with its `+`, else an id of WhatsApp's.
    #[must_use]
    pub fn address(&self) -> &str {
        match self {
            Self::Phone(phone) => phone.e164(),
            Self::UserId(id) | Self::Group(id) => id,
        }
    }

    /// For logs and tables: `+995…456`.
    #[must_use]
    pub fn masked(&self) -> String {
        match self {
            Self::Phone(phone) => phone.masked(),
            Self::UserId(id) => format!("{}…", id.split('.').next().unwrap_or_default()),
            Self::Group(_) => "a group".into(),
        }
    }

    /// A user id has a country and a point, `US.1349…`; a group's id has none (FACTS 3.6).
    #[must_use]
    pub fn parse(address: &str) -> Option<Self> {
        match address {
            "" => None,
            number if number.starts_with('+') => Phone::parse(number).ok().map(Self::Phone),
            id if id.contains('.') => Some(Self::UserId(id.to_owned())),
            id => Some(Self::Group(id.to_owned())),
        }
    }
}

/// All contacts and teams. Built by `config`, which has checked that every name exists.
#[derive(Debug, Clone, Default)]
pub struct People {
    pub contacts: BTreeMap<ContactId, Contact>,
    pub teams: BTreeMap<String, Vec<ContactId>>,
    /// Of teams whose members take turns.
    pub rotas: BTreeMap<String, Rota>,
    pub quiet: BTreeMap<ContactId, Quiet>,
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

    /// As [`People::resolve`], but of a team whose members take turns only the one on duty.
    #[must_use]
    pub fn on_duty(&self, names: &[String], now: Timestamp, zone: &TimeZone) -> Vec<&Contact> {
        let duty = |name: &String| {
            let (rota, members) = (self.rotas.get(name)?, self.teams.get(name)?);
            rota.on_duty(members, now, zone).map(|id| id.0.clone())
        };
        let names: Vec<String> =
            names.iter().map(|name| duty(name).unwrap_or_else(|| name.clone())).collect();
        self.resolve(&names)
    }

    /// Whether there is a contact or team of this name.
    #[must_use]
    pub fn knows(&self, name: &str) -> bool {
        self.teams.contains_key(name) || self.contacts.contains_key(&ContactId(name.to_owned()))
    }

    /// The contact behind what a webhook names: the number first, since ids change with it (FACTS 3.6).
    #[must_use]
    pub fn find(&self, phone: Option<&Phone>, user_id: Option<&str>) -> Option<&Contact> {
        let by_id = || {
            let id = user_id?;
            self.contacts
                .values()
                .find(|contact| matches!(&contact.to, Recipient::UserId(known) if known == id))
        };
        phone.and_then(|phone| self.by_phone(phone)).or_else(by_id)
    }

    /// The contact with this number.
    #[must_use]
    pub fn by_phone(&self, phone: &Phone) -> Option<&Contact> {
        self.contacts
            .values()
            .find(|contact| matches!(&contact.to, Recipient::Phone(known) if known == phone))
    }
}
