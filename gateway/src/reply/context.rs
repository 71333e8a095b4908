//! What a reply is understood by.

use crate::command::action::TextCommand;
use crate::command::authorise::RecentAbuse;
use crate::contact::Contact;
use crate::outbox::button_token::ButtonSigner;
use crate::reply::forward::ForwardRule;
use crate::reply::opt_out::Words;
use crate::rule::definition::Rule;
use crate::time::Timestamp;

#[derive(Debug, Clone, Copy)]
pub struct ReplyContext<'a> {
    pub rules: &'a [Rule],
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
