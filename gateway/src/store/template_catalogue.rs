//! The catalogue of message templates, as Meta listed it last (`task/template_sync.rs` fetches it, `whatsapp/catalogue.rs` reads it).

use rusqlite::{OptionalExtension, Result, params};

use super::Store;
use crate::ids::ConnectionName;
use crate::outbox::message::Template;
use crate::outbox::message_state::State;
use crate::outbox::retry_policy::Next;
use crate::outbox::window::{CatalogueEntry, TemplateInfo};
use crate::time::Timestamp;

impl Store {
    /// The catalogue's entry for a template.
    pub fn listed(&self, connection: &ConnectionName, template: &Template) -> Result<CatalogueEntry> {
        let facts = self
            .sql
            .prepare_cached(
                "SELECT status, category, parameters, names, header, quick_replies FROM template
                 WHERE connection = ?1 AND name = ?2 AND language = ?3",
            )?
            .query_row([&connection.0, &template.name, &template.language], |row| {
                Ok(TemplateInfo {
                    status: row.get(0)?,
                    category: row.get(1)?,
                    parameters: row.get(2)?,
                    names: serde_json::from_str(&row.get::<_, String>(3)?).unwrap_or_default(),
                    header: row.get(4)?,
                    quick_replies: row.get(5)?,
                })
            })
            .optional()?;
        // Of one that a webhook named alone nobody knows how many blanks it has.
        if let Some(facts) = facts.filter(|facts| !(facts.is_usable() && facts.category.is_empty())) {
            return Ok(CatalogueEntry::Facts(facts));
        }
        let read = self
            .sql
            .prepare_cached("SELECT 1 FROM catalogue WHERE connection = ?1")?
            .exists([&connection.0])?;
        Ok(if read { CatalogueEntry::Missing } else { CatalogueEntry::Unread })
    }

    /// The whole catalogue of a connection, in place of the one before: as it was when it was asked for. What a webhook tells
    /// meanwhile has it asked for again.
    pub fn keep_catalogue(
        &self,
        connection: &ConnectionName,
        templates: &[(String, String, TemplateInfo)],
        asked_at: Timestamp,
    ) -> Result<()> {
        self.sql.prepare_cached("DELETE FROM template WHERE connection = ?1")?.execute([&connection.0])?;
        for (name, language, facts) in templates {
            let names = serde_json::to_string(&facts.names).unwrap_or_default();
            self.sql
                .prepare_cached(
                    "INSERT OR REPLACE INTO template VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
                )?
                .execute(params![
                    connection.0,
                    name,
                    language,
                    facts.status,
                    facts.category,
                    facts.parameters,
                    names,
                    facts.header,
                    facts.quick_replies,
                    asked_at.0
                ])?;
        }
        self.sql
            .prepare_cached("INSERT OR REPLACE INTO catalogue VALUES (?1, ?2)")?
            .execute(params![connection.0, asked_at.0])?;
        self.try_templates_again(connection, asked_at)
    }

    /// What waits for the window and has templates is judged anew; what still may not leave is held again.
    fn try_templates_again(&self, connection: &ConnectionName, now: Timestamp) -> Result<()> {
        let next = Next::to(State::Queued, "the template catalogue has changed; waiting for its turn");
        let held =
            "state = 'held' AND held_for = 'window' AND connection = ?1 AND content LIKE '%\"templates\":[%'";
        self.advance_all(held, &[&connection.0], &next, now).map(drop)
    }

    /// An error told that a template cannot be used; the next reading of the catalogue may know better.
    pub(super) fn template_refused(
        &self,
        connection: &ConnectionName,
        name: &str,
        language: &str,
        code: i64,
        at: Timestamp,
    ) -> Result<()> {
        self.template_status(connection, name, language, &format!("refused with code {code}"), at).map(drop)
    }

    /// A template's new status, from a webhook or an error: the newest counts, by when it was so. `false`: a newer one is known.
    /// Of two in the same second it is the one that keeps the template out of use.
    pub fn template_status(
        &self,
        connection: &ConnectionName,
        name: &str,
        language: &str,
        status: &str,
        at: Timestamp,
    ) -> Result<bool> {
        let changed = self
            .sql
            .prepare_cached(
                "INSERT INTO template VALUES (?1, ?2, ?3, ?4, '', 0, '[]', NULL, 0, ?5)
                 ON CONFLICT DO UPDATE SET status = excluded.status, changed_at = excluded.changed_at
                 WHERE excluded.changed_at > changed_at OR (excluded.changed_at = changed_at
                     AND excluded.status <> 'APPROVED' AND (status = 'APPROVED' OR excluded.status > status))",
            )?
            .execute(params![connection.0, name, language, status, at.0])?;
        if changed > 0 && status == "APPROVED" {
            self.try_templates_again(connection, at)?;
        }
        Ok(changed > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outbox::row::MessageUpdate;
    use crate::store::tests::{MILLISECOND, NOW, held, lane, state};

    fn template() -> Template {
        Template { name: "door".into(), language: "en".into(), ..Template::default() }
    }

    #[test]
    fn an_approved_template_releases_messages_waiting_for_it() {
        let (_folder, store) = Store::in_new_folder();
        let (main, (name, language)) = (ConnectionName::from("main"), ("door", "en"));
        let listed = || store.listed(&main, &template()).expect("read");
        let status = || match listed() {
            CatalogueEntry::Facts(facts) => facts.status,
            CatalogueEntry::Unread | CatalogueEntry::Missing | CatalogueEntry::Unwanted => String::new(),
        };
        let keep =
            |all: &[(String, String, TemplateInfo)]| store.keep_catalogue(&main, all, NOW).expect("written");
        assert_eq!(listed(), CatalogueEntry::Unread);
        keep(&[]);
        assert_eq!(listed(), CatalogueEntry::Missing);

        let (with, without) =
            (held(&store, &lane("nino"), vec![template()]), held(&store, &lane("nino"), Vec::new()));
        let states = || [with, without].map(|id| state(&store, id));
        let told = |word, at| store.template_status(&main, name, language, word, at).expect("written");
        let then = |count| NOW + MILLISECOND * count;
        assert!(told("PAUSED", then(1)));
        assert_eq!((status().as_str(), states()), ("PAUSED", ["held"; 2]));
        assert!(!told("APPROVED", NOW), "it is older");
        assert_eq!((status().as_str(), states()), ("PAUSED", ["held"; 2]));
        assert!(told("APPROVED", then(2)));
        assert_eq!(
            (listed(), states()),
            (CatalogueEntry::Missing, ["queued", "held"]),
            "its blanks are not known yet"
        );
        store.template_refused(&main, name, language, 132_001, then(3)).expect("written");
        assert_eq!(status(), "refused with code 132001");

        let again = MessageUpdate::Held { id: with, at: NOW, reason: "it waits".into() };
        assert!(store.change(&again, NOW).expect("written"));
        let facts = TemplateInfo {
            status: "APPROVED".into(),
            category: "UTILITY".into(),
            parameters: 1,
            names: vec!["what".into()],
            header: Some("IMAGE".into()),
            quick_replies: 2,
        };
        keep(&[(name.into(), language.into(), facts.clone())]);
        assert_eq!((listed(), states()), (CatalogueEntry::Facts(facts), ["queued", "held"]));
        keep(&[]);
        assert_eq!(listed(), CatalogueEntry::Missing, "the whole catalogue, in place of the one before");
    }
}
