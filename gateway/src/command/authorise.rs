//! Whether this person may do this.

use crate::alert::rule::Action;
use crate::contact::Contact;

/// An action without roles is open to every contact; one with roles to whoever has one of them.
#[must_use]
pub fn may(contact: &Contact, action: &Action) -> bool {
    action.roles.is_empty() || action.roles.intersection(&contact.roles).next().is_some()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::time::Duration;

    use super::*;
    use crate::alert::topic::{TopicPattern, TopicTemplate};
    use crate::contact::Recipient;
    use crate::ids::ContactId;

    #[test]
    fn one_role_of_several_is_enough_and_none_is_too_few() {
        let set = |roles: &[&str]| roles.iter().map(|role| (*role).to_owned()).collect::<BTreeSet<_>>();
        let check = |has: &[&str], asked: &[&str], expected: bool| {
            let contact = Contact {
                id: ContactId("nino".into()),
                name: String::new(),
                to: Recipient::UserId("GE.1".into()),
                roles: set(has),
                may_stop: true,
            };
            let pattern = TopicPattern::parse("a").expect("a pattern");
            let action = Action {
                id: String::new(),
                title: String::new(),
                topic: TopicTemplate::parse("b", &pattern).expect("a topic"),
                payload: String::new(),
                retain: false,
                roles: set(asked),
                expires: Duration::ZERO,
            };
            assert_eq!(may(&contact, &action), expected, "{has:?} for {asked:?}");
        };
        check(&[], &[], true);
        check(&["cook"], &[], true);
        check(&[], &["manager"], false);
        check(&["cook"], &["manager"], false);
        check(&["cook", "owner"], &["manager", "owner"], true);
    }
}
