//! The context in which a reply is understood.

use std::sync::Arc;

use crate::command::action::TextCommand;
use crate::command::authorise::RecentAbuse;
use crate::command::question::Question;
use crate::contact::{Contact, People};
use crate::ids::{ConnectionName, ContactId};
use crate::outbox::button_token::ButtonSigner;
use crate::reply::forward::ForwardRule;
use crate::reply::opt_out::Words;
use crate::rule::definition::Rule;
use crate::time::Timestamp;

#[derive(Debug, Clone, Copy)]
pub struct ReplyContext<'a> {
    pub rules: &'a [Arc<Rule>],
    pub commands: &'a [TextCommand],
    pub onward: &'a [ForwardRule],
    pub words: &'a Words,
    pub seal: &'a ButtonSigner,
    /// The contact who wrote; `None` for a stranger.
    pub sender: Option<&'a Contact>,
    pub standing: RecentAbuse,
    /// Whether they may invite people.
    pub is_owner: bool,
    pub now: Timestamp,
}

/// The facts that decide beyond the message itself: who people are, who owns the site, which numbers there are.
#[derive(Debug, Clone)]
pub struct SiteContext<'a> {
    pub name: &'a str,
    pub people: &'a People,
    /// Contacts and teams.
    pub owner: &'a [String],
    pub rules: &'a [Arc<Rule>],
    pub questions: &'a [Question],
    /// The words that count as STOP and START.
    pub words: &'a Words,
    /// The connections, in the order of the configuration.
    pub numbers: Vec<&'a ConnectionName>,
    pub seal: &'a ButtonSigner,
    pub now: Timestamp,
}

impl<'a> SiteContext<'a> {
    #[must_use]
    pub fn owners(&self) -> Vec<&'a Contact> {
        self.people.resolve(self.owner)
    }

    #[must_use]
    pub fn is_owner(&self, contact: &ContactId) -> bool {
        self.owners().iter().any(|owner| owner.id == *contact)
    }
}
