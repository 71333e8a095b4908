//! Whether this person may do this.

use crate::alert::rule::Action;
use crate::contact::Contact;

/// An action without roles is open to every contact; one with roles to whoever has one of them.
#[must_use]
pub fn may(contact: &Contact, action: &Action) -> bool {
    action.roles.is_empty() || action.roles.intersection(&contact.roles).next().is_some()
}
