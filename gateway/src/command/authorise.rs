//! Whether this person may do this: by role, by place, and by how they have behaved.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::contact::Contact;
use crate::contact::language::Locale;

/// Acts of one person in [`ACTS_IN`]. A thumb that reads before it taps makes three or four; ten leave room for a bad
/// evening, and what goes on is a telephone in a pocket, or somebody else's program.
pub const ACTS_MAX: u32 = 10;
pub const ACTS_IN: Duration = Duration::from_secs(60);
/// Refusals of one person in [`REFUSALS_IN`] that lock them out for as long: who is refused five times is not guessing
/// by mistake.
pub const REFUSALS_MAX: u32 = 5;
pub const REFUSALS_IN: Duration = Duration::from_secs(15 * 60);

/// How a person has behaved of late, as the store counts it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RecentAbuse {
    /// Acts in the last [`ACTS_IN`].
    pub acts: u32,
    /// Acts beyond the limit in that time: one of them was answered.
    pub hurried: u32,
    /// Refusals in the last [`REFUSALS_IN`].
    pub refusals: u32,
}

/// What a person lacks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Denial {
    /// One of these roles.
    Role(BTreeSet<String>),
    /// The right to act on this topic.
    Place,
}

/// Something without roles is open to every contact; with roles to whoever has one of them. Who is bound to some places
/// may act on no other.
pub fn may(contact: &Contact, roles: &BTreeSet<String>, topic: &str) -> Result<(), Denial> {
    if !has_role(contact, roles) {
        return Err(Denial::Role(roles.clone()));
    }
    let here = contact.topics.is_empty() || contact.topics.iter().any(|place| place.matches(topic).is_some());
    if here { Ok(()) } else { Err(Denial::Place) }
}

#[must_use]
pub fn has_role(contact: &Contact, roles: &BTreeSet<String>) -> bool {
    roles.is_empty() || roles.intersection(&contact.roles).next().is_some()
}

impl Denial {
    #[must_use]
    pub fn sentence(&self, locale: &Locale) -> String {
        match self {
            Self::Role(roles) => {
                let or = format!(" {} ", locale.plain(|s| s.or));
                let roles: Vec<&str> = roles.iter().map(String::as_str).collect();
                locale.say(|s| s.needs_role, &[("roles", &roles.join(&or))])
            }
            Self::Place => locale.plain(|s| s.not_in_area),
        }
    }

    /// For the person who asked for it.
    #[must_use]
    pub fn refusal(&self, title: &str, locale: &Locale) -> String {
        locale.say(|s| s.not_done, &[("title", title), ("why", &self.sentence(locale))])
    }
}

impl RecentAbuse {
    #[must_use]
    pub fn is_locked(self) -> bool {
        self.refusals >= REFUSALS_MAX
    }

    #[must_use]
    pub fn hurries(self) -> bool {
        self.acts >= ACTS_MAX
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::contact::Recipient;
    use crate::ids::ContactId;

    #[test]
    fn any_one_of_the_required_roles_is_enough() {
        let set = |roles: &[&str]| roles.iter().map(|role| (*role).to_owned()).collect::<BTreeSet<_>>();
        let check = |has: &[&str], asked: &[&str], expected: bool| {
            let contact = Contact {
                id: ContactId("nino".into()),
                name: String::new(),
                to: Recipient::UserId("GE.1".into()),
                roles: set(has),
                topics: Vec::new(),
                may_stop: true,
                locale: Locale::default(),
            };
            assert_eq!(may(&contact, &set(asked), "b").is_ok(), expected, "{has:?} for {asked:?}");
        };
        check(&[], &[], true);
        check(&["cook"], &[], true);
        check(&[], &["manager"], false);
        check(&["cook"], &["manager"], false);
        check(&["cook", "owner"], &["manager", "owner"], true);
    }

    #[test]
    fn a_refusal_names_the_missing_right() {
        let roles = ["cook", "owner"].map(str::to_owned).into();
        let locale = Locale::default();
        let role = Denial::Role(roles).refusal("Open", &locale);
        assert_eq!(role, "“Open” was not done: it needs the role cook or owner.");
        assert_eq!(Denial::Place.refusal("Open", &locale), "“Open” was not done: it is not in your area.");
    }
}
