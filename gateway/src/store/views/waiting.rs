//! Requests and questions that wait for people, and strangers, as the page and the API list them. Reads only.

use rusqlite::Result;
use serde::Serialize;

use crate::command::approval::RequestState;
use crate::command::question::QuestionState;
use crate::store::Store;
use crate::store::views::json::{Columns, Page, Rows, row};
use crate::store::views::lists::Listing;
use crate::time::Timestamp;

row! {
    /// The requests that need a Yes or a second person.
    Request {
        id: i64 = "q.id",
        contact: String = "q.contact",
        connection: String = "q.connection",
        asked_at: Timestamp = "q.asked_at",
        expires_at: Timestamp = "q.expires_at",
        state: RequestState = "q.state",
        /// Whoever asks is asked back.
        confirm: bool = "q.confirm" "?",
        /// How many must want it.
        approvals: i64 = "q.approvals",
        /// Contacts who do.
        agreed: Vec<String> = "q.agreed" ":json",
        title: Option<String> = "q.deed ->> '$.title'",
        topic: Option<String> = "q.deed ->> '$.topic'",
        payload: Option<String> = "q.deed ->> '$.payload'",
        alert: Option<i64> = "q.deed ->> '$.alert'",
        /// What they wrote.
        words: Option<String> = "r.text",
    }
}

row! {
    /// What a machine asked people.
    Question {
        id: i64 = "q.id",
        name: String = "q.name",
        text: String = "q.text",
        choices: Vec<String> = "q.choices" ":json",
        /// Contacts who are asked.
        voters: Vec<String> = "q.voters" ":json",
        /// How many must choose the same.
        needed: i64 = "q.needed",
        response_topic: String = "q.response_topic",
        /// What is answered when too few chose in time.
        default_choice: String = "q.default_choice",
        connection: String = "q.connection",
        asked_at: Timestamp = "q.asked_at",
        expires_at: Timestamp = "q.expires_at",
        state: QuestionState = "q.state",
        decision: Option<String> = "q.decision",
        votes: Vec<Vote> = "(SELECT json_group_array(json_object('contact', contact, 'choice', choice, 'at', at))
            FROM vote WHERE question = q.id)" ":json",
    }
}

#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Vote {
    pub contact: String,
    pub choice: String,
    pub at: Timestamp,
}

row! {
    /// Wrote, and is no contact.
    Stranger {
        /// The number, or WhatsApp's user id.
        address: String,
        first_at: Timestamp,
        last_at: Timestamp,
        messages: i64,
        answered_at: Option<Timestamp> = "nullif(answered_at, 0)",
    }
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(inline))]
pub struct Strangers {
    pub items: Rows<Stranger>,
    /// How many there are.
    pub total: i64,
}

impl Store {
    /// Newest first.
    pub fn list_requests(&self, listing: &Listing) -> Result<Page<Request>> {
        self.list_asked("FROM request q LEFT JOIN reply r ON r.wamid = q.reply", listing)
    }

    /// Newest first, each with the votes.
    pub fn list_questions(&self, listing: &Listing) -> Result<Page<Question>> {
        self.list_asked("FROM question q", listing)
    }

    fn list_asked<T: Columns>(&self, from: &str, listing: &Listing) -> Result<Page<T>> {
        let before = listing.before.as_ref().map_or(i64::MAX, |cursor| cursor.id);
        let wanted = match listing.state.as_deref() {
            // As the partial index has it.
            Some("open") => "q.state = 'open' AND q.state = ?2",
            Some(_) => "q.state = ?2",
            None => "?2 IS NULL",
        };
        let sql = format!("{from} WHERE q.id < ?1 AND {wanted} ORDER BY q.id DESC LIMIT ?3");
        Ok(Page::of(self.all(&sql, &[&before, &listing.state, &(listing.limit + 1)])?, listing.limit))
    }

    /// The number of requests and questions that wait for people.
    pub fn count_open(&self) -> Result<i64> {
        self.number(
            "SELECT (SELECT count(*) FROM request WHERE state = 'open') + (SELECT count(*) FROM question WHERE state = 'open')",
            &[],
        )
    }

    /// The latest of them.
    pub fn list_strangers(&self, limit: u32) -> Result<Strangers> {
        let items = self.all("FROM stranger ORDER BY last_at DESC LIMIT ?1", &[&limit])?;
        Ok(Strangers { items, total: self.number("SELECT count(*) FROM stranger", &[])? })
    }
}
