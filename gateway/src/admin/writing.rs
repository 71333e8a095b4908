//! What somebody writes to a person on the page or through the API.

use serde_json::Value;

use crate::admin::admin_service::Inner;
use crate::admin::credentials::entry;
use crate::http::{Actor, AdminQuery, ApiError};
use crate::ids::{ConnectionName, ContactId};
use crate::outbox::message::Content;
use crate::outbox::row::{Conversation, MessageUpdate};
use crate::task::wakeups::Written;
use crate::whatsapp::limits::TEXT;

impl Inner {
    /// Free text leaves while the person's 24-hour window is open; else it is held until they write, since no template carries
    /// whatever somebody types.
    pub(crate) async fn write_to(
        &self,
        contact: String,
        text: &str,
        actor: Actor,
    ) -> Result<Value, ApiError> {
        let text = text.trim().to_owned();
        let length = text.encode_utf16().count(); // as the cut before sending counts, and the box of the page
        if text.is_empty() {
            return Err(ApiError::Malformed("There is nothing to send: write something first.".into()));
        }
        if length > TEXT {
            let how = format!(
                "A message has {TEXT} characters at most, and this one has {length}: write it in two."
            );
            return Err(ApiError::Malformed(how));
        }
        let (live, now) = (self.context.live.get(), self.now());
        let Some(person) = live.people.contacts.get(&ContactId(contact.clone())).cloned() else {
            return Err(ApiError::NotFound(format!("There is no contact {contact}.")));
        };
        let Some(first) = live.connections.first().map(|connection| connection.name.clone()) else {
            return Err(ApiError::NotPossible("No number is connected; connect one under Setup.".into()));
        };
        let written = self.store(move |store| {
            let facts = store.contact_facts(&contact, now)?;
            if facts.stopped {
                let how = format!(
                    "{} wrote STOP and gets nothing before they write START: call them.",
                    person.name
                );
                return Ok(Err(ApiError::NotPossible(how)));
            }
            // Over the number that they wrote to.
            let open = facts
                .windows
                .0
                .first()
                .and_then(|window| window["connection"].as_str())
                .map(ConnectionName::from);
            let connection = open.clone().unwrap_or(first);
            let lane = Conversation { connection, contact: person.id.clone() };
            let id = store.compose(&lane, &person.to, &Content::text(text), now)?;
            if open.is_none() {
                let reason =
                    "they have not written within the last 24 hours; it goes out when they write".into();
                store.change(&MessageUpdate::Held { id, at: now, reason }, now)?;
            }
            store
                .record_change(&entry(&actor, "tell", format!("{contact}: message {}", id.0), "done"), now)?;
            Ok(Ok(id))
        });
        let id = written.await??;
        self.context.wakeups.after(Written::Message);
        self.look(AdminQuery::Message(id.0)).await
    }
}
