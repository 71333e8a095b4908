//! The people who have WhatsApp: each has a business-scoped user id, and a phone number unless it is hidden (docs/cloud-api.md 3.6).

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::validate::Recipient;

/// Meta takes 10,000 groups of a number, with 8 participants each; a test has a handful.
const GROUPS_MAX: usize = 1_000;
const PARTICIPANTS_MAX: usize = 8;
/// As many people as messages are kept. Forgetting one costs little: the id that follows from a number is always the same.
const PEOPLE_MAX: usize = 20_000;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Person {
    pub user_id: String,
    /// Digits; a person with a username can hide it.
    pub wa_id: Option<String>,
    pub name: String,
    pub username: Option<String>,
}

/// What somebody says about oneself when writing; what is absent stays as it was.
#[derive(Debug, Clone, Default)]
pub struct Introduction {
    pub wa_id: Option<String>,
    pub user_id: Option<String>,
    pub name: Option<String>,
    pub username: Option<String>,
}

#[derive(Debug, Default)]
pub struct People {
    by_user: BTreeMap<String, Person>,
    by_phone: BTreeMap<String, String>,
    /// Who wrote in a group, by user id.
    groups: BTreeMap<String, Vec<String>>,
    /// Numbers that nobody has any more.
    left: BTreeSet<String>,
}

impl People {
    /// The person that a message is for.
    pub fn addressed(&mut self, recipient: &Recipient) -> Person {
        let (wa_id, user_id) = match recipient {
            Recipient::Phone(wa_id) => (Some(wa_id.clone()), None),
            Recipient::User(user_id) => (None, Some(user_id.clone())),
            // A group is no person: it is known by its id alone, and its statuses name it as the recipient.
            Recipient::Group(id) => (Some(id.clone()), Some(id.clone())),
        };
        self.introduced(Introduction { wa_id, user_id, ..Introduction::default() })
    }

    pub fn introduced(&mut self, introduction: Introduction) -> Person {
        let known_by_phone = introduction.wa_id.as_ref().and_then(|wa_id| self.by_phone.get(wa_id)).cloned();
        let user_id = introduction.user_id.or(known_by_phone);
        let user_id = user_id.unwrap_or_else(|| derived(introduction.wa_id.as_deref().unwrap_or_default()));
        let known = self.by_user.get(&user_id);
        let person = Person {
            wa_id: introduction.wa_id.or_else(|| known.and_then(|known| known.wa_id.clone())),
            name: introduction.name.unwrap_or_else(|| {
                known.map_or_else(|| "Simulated Person".to_owned(), |known| known.name.clone())
            }),
            username: introduction.username.or_else(|| known.and_then(|known| known.username.clone())),
            user_id,
        };
        if let Some(wa_id) = &person.wa_id {
            self.by_phone.insert(wa_id.clone(), person.user_id.clone());
        }
        self.by_user.insert(person.user_id.clone(), person.clone());
        while self.by_user.len() > PEOPLE_MAX {
            self.by_user.pop_first();
        }
        while self.by_phone.len() > PEOPLE_MAX {
            self.by_phone.pop_first();
        }
        person
    }

    /// Somebody has a new number, and with it a new user id (docs/cloud-api.md 3.6): returns the person as it is now.
    pub fn moved(&mut self, person: &Person, new_wa_id: &str, new_user_id: Option<String>) -> Person {
        if let Some(old) = &person.wa_id {
            self.by_phone.remove(old);
            self.left.insert(old.clone());
            while self.left.len() > PEOPLE_MAX {
                self.left.pop_first();
            }
        }
        self.by_user.remove(&person.user_id);
        self.left.remove(new_wa_id);
        self.introduced(Introduction {
            wa_id: Some(new_wa_id.to_owned()),
            user_id: new_user_id,
            name: Some(person.name.clone()),
            username: person.username.clone(),
        })
    }

    /// Whether somebody has this number, in exactly these digits.
    pub fn has_phone(&self, digits: &str) -> bool {
        self.by_phone.contains_key(digits)
    }

    /// The user id of a recipient that is known.
    pub fn user_id(&self, recipient: &Recipient) -> Option<String> {
        match recipient {
            Recipient::Phone(wa_id) => self.by_phone.get(wa_id).cloned(),
            Recipient::User(user_id) => Some(user_id.clone()),
            Recipient::Group(_) => None,
        }
    }

    /// Somebody writes in a group, and is one of its participants from then on.
    pub fn joined(&mut self, group: &str, person: &Person) {
        if self.groups.len() >= GROUPS_MAX && !self.groups.contains_key(group) {
            self.groups.pop_first();
        }
        let members = self.groups.entry(group.to_owned()).or_default();
        if members.len() < PARTICIPANTS_MAX && !members.contains(&person.user_id) {
            members.push(person.user_id.clone());
        }
    }

    /// The participants of a group; of one in which nobody wrote yet, a single one that is made up.
    pub fn participants(&mut self, group: &str) -> Vec<Person> {
        let members = self.groups.get(group).cloned().unwrap_or_default();
        let known: Vec<Person> =
            members.iter().filter_map(|user_id| self.by_user.get(user_id)).cloned().collect();
        if !known.is_empty() {
            return known;
        }
        let person = self.addressed(&Recipient::Phone("15550100199".to_owned()));
        self.joined(group, &person);
        vec![person]
    }

    /// The number of a user id, if it is known.
    pub fn phone(&self, user_id: &str) -> Option<&str> {
        self.by_user.get(user_id)?.wa_id.as_deref()
    }

    /// Whether a number was given up: what is sent to it fails with 131026.
    pub fn is_gone(&self, wa_id: &str) -> bool {
        self.left.contains(wa_id)
    }
}

impl Person {
    /// As an entry of `contacts[]`.
    pub fn contact(&self, with_user_id: bool, with_phone: bool) -> Value {
        let mut contact = json!({ "profile": { "name": self.name } });
        if let Some(username) = &self.username {
            contact["profile"]["username"] = json!(username);
        }
        if let Some(wa_id) = self.wa_id.as_ref().filter(|_| with_phone) {
            contact["wa_id"] = json!(wa_id);
        }
        if with_user_id {
            contact["user_id"] = json!(self.user_id);
        }
        contact
    }
}

/// The user id that belongs to a number: always the same, and it tells nothing about the number.
fn derived(wa_id: &str) -> String {
    let digest = Sha256::digest(format!("simulated user {wa_id}"));
    let number = digest.iter().take(8).fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
    format!("US.{number:020}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phone_and_user_id_identify_one_person() {
        let mut people = People::default();
        let nino = people.addressed(&Recipient::Phone("995555123456".into()));
        assert_eq!(people.addressed(&Recipient::User(nino.user_id.clone())), nino);
        let moved = people.moved(&nino, "995555000000", None);
        assert_ne!(moved.user_id, nino.user_id);
        assert!(people.is_gone("995555123456") && !people.is_gone("995555000000"));
    }
}
