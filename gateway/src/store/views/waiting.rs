//! What waits for people, and who wrote without being known, as the page and the API list it. Reads only.

use rusqlite::Result;
use serde_json::{Value, json};

use crate::store::Store;
use crate::store::views::lists::{Listing, page};

impl Store {
    /// What was asked for and needs a Yes or a second person: `{items, next}`, newest first.
    pub fn list_requests(&self, listing: &Listing) -> Result<Value> {
        self.list_asked(
            "SELECT q.id, q.contact, q.connection, q.asked_at, q.expires_at, q.state, q.confirm AS \"confirm?\", q.approvals,
                 q.agreed AS \"agreed:json\", q.deed ->> '$.title' AS title, q.deed ->> '$.topic' AS topic,
                 q.deed ->> '$.payload' AS payload, q.deed ->> '$.alert' AS alert, r.text AS words
             FROM request q LEFT JOIN reply r ON r.wamid = q.reply",
            listing,
        )
    }

    /// What machines asked people: `{items, next}`, newest first, each with the votes.
    pub fn list_questions(&self, listing: &Listing) -> Result<Value> {
        self.list_asked(
            "SELECT q.id, q.name, q.text, q.choices AS \"choices:json\", q.voters AS \"voters:json\", q.needed,
                 q.response_topic, q.default_choice, q.connection, q.asked_at, q.expires_at, q.state, q.decision,
                 (SELECT json_group_array(json_object('contact', contact, 'choice', choice, 'at', at))
                     FROM vote WHERE question = q.id) AS \"votes:json\"
             FROM question q",
            listing,
        )
    }

    fn list_asked(&self, select: &str, listing: &Listing) -> Result<Value> {
        let before = listing.before.as_ref().map_or(i64::MAX, |cursor| cursor.id);
        let wanted = match listing.state.as_deref() {
            // As the partial index has it.
            Some("open") => "q.state = 'open' AND q.state = ?2",
            Some(_) => "q.state = ?2",
            None => "?2 IS NULL",
        };
        let sql = format!("{select} WHERE q.id < ?1 AND {wanted} ORDER BY q.id DESC LIMIT ?3");
        Ok(page(self.rows(&sql, &[&before, &listing.state, &(listing.limit + 1)])?, listing.limit))
    }

    /// How much waits for people.
    pub fn count_open(&self) -> Result<i64> {
        self.number(
            "SELECT (SELECT count(*) FROM request WHERE state = 'open') + (SELECT count(*) FROM question WHERE state = 'open')",
            &[],
        )
    }

    /// The latest people who wrote and are no contacts: `{items, total}`.
    pub fn list_strangers(&self, limit: u32) -> Result<Value> {
        let items = self.rows(
            "SELECT address, first_at, last_at, messages, nullif(answered_at, 0) AS answered_at FROM stranger
             ORDER BY last_at DESC LIMIT ?1",
            &[&limit],
        )?;
        Ok(json!({ "items": items, "total": self.number("SELECT count(*) FROM stranger", &[])? }))
    }
}
