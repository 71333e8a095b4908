//! Lists for the page and the API: newest first, a page at a time, none of them slower with 100,000 rows.

use rusqlite::{Result, ToSql};
use serde_json::Value;

use crate::store::Store;
use crate::store::views::json::{Page, Rows};
use crate::store::views::listed::{Alert, Command, Incoming, Message, Outgoing};
use crate::store::views::rows_for_people::{ENDED, WAITING};
use crate::words::word_enum;

/// Rows that one request looks through for what no index finds, such as words: 40 ms on the machine of
/// `tests/it/web/speed.rs`. The cursor goes on behind them.
pub(in crate::store) const SCAN_MAX: i64 = 20_000;

/// The selection of messages, alerts or commands to list.
#[derive(Debug, Clone, Default)]
pub struct Listing {
    pub contact: Option<String>,
    /// A word of `outbox::message_state::State`, or `waiting`, or `ended`.
    pub state: Option<String>,
    pub direction: Option<Direction>,
    pub rule: Option<String>,
    pub alert: Option<i64>,
    /// Only alerts that go on.
    pub open: bool,
    pub since: Option<i64>,
    pub until: Option<i64>,
    pub text: Option<String>,
    pub before: Option<Cursor>,
    pub limit: u32,
}

word_enum! {
    /// To people, or from them.
    Direction {
        In = "in",
        Out = "out",
    }
}

/// The end of a page: outgoing messages by number, what people wrote by time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cursor {
    pub id: i64,
    pub at: i64,
    pub wamid: String,
}

impl Cursor {
    /// `ID.TIME.WAMID`, as it stands in an address.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.splitn(3, '.');
        let id = parts.next()?.parse().ok()?;
        let at = parts.next().map_or(Some(i64::MAX), |at| at.parse().ok())?;
        Some(Self { id, at, wamid: parts.next().unwrap_or_default().to_owned() })
    }

    fn text(&self) -> String {
        format!("{}.{}.{}", self.id, self.at, self.wamid)
    }
}

/// Conditions and their values, numbered as they come.
#[derive(Default)]
struct SqlFilter(Vec<String>, Vec<Box<dyn ToSql>>);

impl SqlFilter {
    fn and(&mut self, condition: &str, value: impl ToSql + 'static) {
        self.1.push(Box::new(value));
        self.0.push(condition.replace("?n", &format!("?{}", self.1.len())));
    }

    fn sql(&self) -> String {
        if self.0.is_empty() { "1".to_owned() } else { self.0.join(" AND ") }
    }

    fn values(&self) -> Vec<&dyn ToSql> {
        self.1.iter().map(AsRef::as_ref).collect()
    }
}

impl Store {
    /// Messages in both directions.
    pub fn list_messages(&self, listing: &Listing) -> Result<Page<Message>> {
        let start = Cursor { id: i64::MAX, at: i64::MAX, wamid: String::new() };
        let start = listing.before.clone().unwrap_or(start);
        let (mut outs, rest) = match listing.direction {
            Some(Direction::In) => (Vec::new(), None),
            Some(Direction::Out) | None => self.outgoing(listing, start.id)?,
        };
        let only_out =
            listing.direction == Some(Direction::Out) || listing.state.is_some() || listing.rule.is_some();
        let mut ins = if only_out { Vec::new() } else { self.incoming(listing, &start)? };
        let limit = listing.limit as usize;
        let mut items = Vec::with_capacity(limit);
        let (mut out, mut back) = (outs.drain(..).peekable(), ins.drain(..).peekable());
        let mut end = start;
        while items.len() < limit {
            let later =
                |row: Option<&Value>| row.map_or(i64::MIN, |row| row["at"].as_i64().unwrap_or_default());
            let next = if later(out.peek()) >= later(back.peek()) { out.next() } else { back.next() };
            let Some(row) = next else { break };
            match row["id"].as_i64() {
                Some(id) => end.id = id,
                None => {
                    end.at = row["at"].as_i64().unwrap_or_default();
                    end.wamid = row["wamid"].as_str().unwrap_or_default().to_owned();
                }
            }
            items.push(row);
        }
        let more = out.peek().is_some() || back.peek().is_some();
        let next = match rest {
            _ if more => Some(end.text()),
            Some(id) => Some(Cursor { id, ..end }.text()),
            None => None,
        };
        Ok(Page { items: Rows::of(items), next })
    }

    /// One more than asked for, and from where to look on if there may be more behind what was looked through.
    fn outgoing(&self, listing: &Listing, before: i64) -> Result<(Vec<Value>, Option<i64>)> {
        let mut wanted = SqlFilter::default();
        let mut indexed = listing.alert.is_some();
        let mut high = before.min(self.number("SELECT max(id) + 1 FROM message", &[])?);
        if let Some(until) = listing.until {
            high = high.min(self.first_since("message", "created_at", until + 1)?);
        }
        let mut low = match listing.since {
            Some(since) => self.first_since("message", "created_at", since)?,
            None => 0,
        };
        if let Some(contact) = &listing.contact {
            indexed = true;
            wanted.and("m.contact = ?n", contact.clone());
        }
        match listing.state.as_deref() {
            Some("waiting") => indexed |= wanted.waiting(None),
            Some("ended") => indexed |= wanted.ended(None),
            Some(state @ ("queued" | "sending" | "unknown" | "held")) => {
                indexed |= wanted.waiting(Some(state))
            }
            Some(state @ ("failed" | "expired" | "cancelled")) => indexed |= wanted.ended(Some(state)),
            Some(state) => wanted.and("m.state = ?n", state.to_owned()),
            None => {}
        }
        if let Some(rule) = &listing.rule {
            wanted.and("a.rule = ?n", rule.clone());
        }
        if let Some(alert) = listing.alert {
            wanted.and("m.alert = ?n", alert);
        }
        if let Some(text) = &listing.text {
            wanted.and("instr(lower(json_extract(m.content, '$.text')), lower(?n)) > 0", text.clone());
        }
        let picky = listing.text.is_some() || listing.rule.is_some();
        let end = match &listing.contact {
            // Of one person so many, and all when there are fewer: the index alone counts them.
            Some(contact) if picky && listing.alert.is_none() => self.number(
                "SELECT coalesce((SELECT id FROM message WHERE contact = ?1 AND id < ?2 ORDER BY id DESC LIMIT 1 OFFSET ?3), 0)",
                &[contact, &high, &SCAN_MAX],
            )?,
            Some(_) | None if indexed => low,
            Some(_) | None => high.saturating_sub(SCAN_MAX),
        };
        let bounded = end > low;
        low = low.max(end);
        wanted.and("m.id < ?n", high);
        wanted.and("m.id >= ?n", low);
        let sql = format!(
            "FROM message m LEFT JOIN alert a ON a.id = m.alert WHERE {} ORDER BY m.id DESC LIMIT {}",
            wanted.sql(),
            listing.limit + 1
        );
        let rows = self.all::<Outgoing>(&sql, &wanted.values())?.0;
        let all = rows.len() <= listing.limit as usize;
        Ok((rows, (bounded && all).then_some(low)))
    }

    fn incoming(&self, listing: &Listing, before: &Cursor) -> Result<Vec<Value>> {
        let mut wanted = SqlFilter::default();
        wanted.and("r.at <= ?n", before.at);
        wanted.and(&format!("(r.at < {} OR r.wamid < ?n)", before.at), before.wamid.clone());
        if let Some(contact) = &listing.contact {
            wanted.and("r.contact = ?n", contact.clone());
        }
        if let Some(since) = listing.since {
            wanted.and("r.at >= ?n", since);
        }
        if let Some(until) = listing.until {
            wanted.and("r.at <= ?n", until);
        }
        if let Some(text) = &listing.text {
            wanted.and("instr(lower(r.text), lower(?n)) > 0", text.clone());
        }
        if let Some(alert) = listing.alert {
            wanted.and("c.alert = ?n", alert);
        }
        let sql = format!(
            "FROM reply r LEFT JOIN command c ON c.reply = r.wamid WHERE {} ORDER BY r.at DESC, r.wamid DESC LIMIT {}",
            wanted.sql(),
            listing.limit + 1
        );
        Ok(self.all::<Incoming>(&sql, &wanted.values())?.0)
    }

    /// Newest first.
    pub fn list_alerts(&self, listing: &Listing) -> Result<Page<Alert>> {
        let mut wanted = SqlFilter::default();
        let high = listing.before.as_ref().map_or(i64::MAX, |cursor| cursor.id);
        wanted.and("a.id < ?n", high);
        if let Some(rule) = &listing.rule {
            let newest = high.min(self.number("SELECT max(id) + 1 FROM alert", &[])?);
            wanted.and("a.id >= ?n", newest - SCAN_MAX);
            wanted.and("a.rule = ?n", rule.clone());
        }
        if let Some(since) = listing.since {
            wanted.and("a.id >= ?n", self.first_since("alert", "raised_at", since)?);
        }
        if listing.open {
            wanted.0.push("a.state IN ('firing', 'acknowledged')".to_owned());
        }
        let sql = format!(
            "FROM alert a LEFT JOIN event e ON e.id = a.event WHERE {} ORDER BY a.id DESC LIMIT {}",
            wanted.sql(),
            listing.limit + 1
        );
        Ok(Page::of(self.all(&sql, &wanted.values())?, listing.limit))
    }

    /// Newest first.
    pub fn list_commands(&self, listing: &Listing) -> Result<Page<Command>> {
        let mut wanted = SqlFilter::default();
        wanted.and("c.id < ?n", listing.before.as_ref().map_or(i64::MAX, |cursor| cursor.id));
        if let Some(contact) = &listing.contact {
            wanted.and("c.contact = ?n", contact.clone());
        }
        if let Some(state) = &listing.state {
            wanted.and("c.state = ?n", state.clone());
        }
        let sql = format!(
            "FROM command c LEFT JOIN reply r ON r.wamid = c.reply
             LEFT JOIN alert a ON a.id = c.alert WHERE {} ORDER BY c.id DESC LIMIT {}",
            wanted.sql(),
            listing.limit + 1
        );
        Ok(Page::of(self.all(&sql, &wanted.values())?, listing.limit))
    }

    /// The smallest id whose row is not older than `at`, found by halving: ids are given in the order of time, and an
    /// index on the time would cost every message a page on disk.
    pub(in crate::store) fn first_since(&self, table: &str, time: &str, at: i64) -> Result<i64> {
        let mut low = self.number(&format!("SELECT min(id) FROM {table}"), &[])?;
        let mut high = self.number(&format!("SELECT max(id) + 1 FROM {table}"), &[])?;
        let probe = format!("SELECT {time} FROM {table} WHERE id >= ?1 ORDER BY id LIMIT 1");
        while low < high {
            let middle = low + (high - low) / 2;
            if self.number(&probe, &[&middle])? < at { low = middle + 1 } else { high = middle }
        }
        Ok(low)
    }
}

impl SqlFilter {
    /// What still waits, as the partial index has it.
    fn waiting(&mut self, state: Option<&str>) -> bool {
        self.0.push(WAITING.replace("state", "m.state"));
        self.only(state)
    }

    /// What came to nothing, as the partial index has it.
    fn ended(&mut self, state: Option<&str>) -> bool {
        self.0.push(ENDED.replace("state", "m.state"));
        self.only(state)
    }

    fn only(&mut self, state: Option<&str>) -> bool {
        if let Some(state) = state {
            self.and("m.state = ?n", state.to_owned());
        }
        true
    }
}
