//! What Meta says by itself: somebody has moved, an account or a template has changed. The owner hears of it.

use super::super::owner::{self, Over, Told};
use super::Desk;
use crate::alert::rule::Severity;
use crate::command::inbound::{Move, Moved, Notice, TemplateNews};
use crate::config::Connection;
use crate::contact::{Contact, Phone};
use crate::ids::ConnectionName;

impl Desk<'_> {
    /// Nothing changes by itself: whoever has the old number next might be anybody (FACTS 3.6). The owner is told.
    pub(super) fn follow(&mut self, moved: &Moved) -> rusqlite::Result<()> {
        let Some(contact) = self.person(moved.from.as_deref(), moved.user_id.as_deref())? else {
            self.read.nothing.push("somebody who is no contact has moved".to_owned());
            return Ok(());
        };
        let Contact { id, name, .. } = contact;
        let (severity, text) = match &moved.what {
            Move::Number(new) => {
                let new = Phone::from_wa_id(new).map_or_else(|_| "another number".into(), |new| new.masked());
                let text = format!(
                    "{name} has a new WhatsApp number ({new}), and messages to the old one fail; ask {name}, then write the new \
                     one into [[contact]] {id} and run: bellwire contact accept {id}"
                );
                (Severity::Warning, text)
            }
            Move::UserId => {
                let text = format!(
                    "WhatsApp gave {name} a new user id, perhaps with a new number: nothing acts for {name} until you have \
                     asked and run: bellwire contact accept {id}"
                );
                (Severity::Warning, text)
            }
            Move::Phone => {
                (Severity::Info, format!("{name} uses WhatsApp on another phone, or installed it anew"))
            }
        };
        let over =
            self.config.connections.iter().find(|known| known.phone_number_id == moved.phone_number_id);
        let Some(over) = over.or(self.config.connections.first()) else { return Ok(()) };
        let field = format!("moved {id}");
        let notice = Notice { account: None, field, severity, text, facts: Vec::new(), template: None };
        self.tell_owner(&over.name, &notice)
    }

    pub(super) fn heed(&mut self, notice: &Notice) -> rusqlite::Result<()> {
        let is_number = |id: &str| self.config.connections.iter().any(|known| known.phone_number_id == id);
        let concerns = |connection: &&Connection| match (&connection.business_account_id, &notice.account) {
            (_, Some(number)) if is_number(number) => connection.phone_number_id == *number,
            (Some(ours), Some(theirs)) => ours == theirs,
            (_, _) => true, // who does not say which account it has hears of all
        };
        if !self.config.connections.iter().any(|connection| concerns(&connection)) {
            let whose = notice.account.as_deref().unwrap_or("none");
            self.read
                .nothing
                .push(format!("{} of {whose}, which is no connection's number or account", notice.field));
        }
        for connection in self.config.connections.iter().filter(concerns) {
            match &notice.template {
                Some((name, language, TemplateNews::Status(status))) => {
                    self.store.template_status(&connection.name, name, language, status, self.now)?;
                    (self.read.catalogue, self.read.messages) = (true, true);
                }
                Some((_, _, TemplateNews::Changed)) => self.read.catalogue = true,
                None => {}
            }
            self.tell_owner(&connection.name, notice)?;
        }
        Ok(())
    }

    pub(in super::super) fn tell_owner(
        &mut self,
        about: &ConnectionName,
        notice: &Notice,
    ) -> rusqlite::Result<()> {
        let told = owner::write(self.store, self.config, about, notice, Over::AnotherFirst, self.now)?;
        if told != Told::Before {
            self.read.notices.push((about.clone(), notice.severity, notice.text.clone()));
        }
        self.read.messages |= told == Told::Written;
        Ok(())
    }
}
