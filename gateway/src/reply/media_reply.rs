//! Messages of people without words: it goes on where an `[[onward]]` takes it.

use serde_json::Value;

use crate::event::topic::Bindings;
use crate::reply::forward::ForwardedMessage;
use crate::reply::interpret::{Interpretation, Reading};

/// A flow of ten screens has less; what is longer is no form that somebody filled in.
const FACTS_MAX_BYTES: usize = 16 * 1024;

impl Reading<'_> {
    pub(crate) fn given(&self, kind: &str, facts: &Value, caption: &str) -> Interpretation {
        let Some(onward) = self.house.onward.iter().find(|onward| onward.takes.contains(kind)) else {
            return self.nothing(&format!("nothing is set up for a message of type {kind}"));
        };
        if facts.to_string().len() > FACTS_MAX_BYTES {
            return self.nothing(&format!("a message of type {kind} is longer than 16 KiB"));
        }
        let ticket = ForwardedMessage { given: Some((kind, facts)), ..self.ticket(caption) };
        self.offer(onward.action(ticket, &Bindings::new(), None), &onward.terms)
    }

    pub(crate) fn ticket<'t>(&'t self, text: &'t str) -> ForwardedMessage<'t> {
        ForwardedMessage { text, from: &self.contact.name, at: self.reply.at, given: None }
    }
}
