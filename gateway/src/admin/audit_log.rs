//! The audit as the page and the API show it: pseudonyms of people who are in the configuration are names again, and
//! whether the chain holds is said with it.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use crate::admin::admin_service::{Inner, as_json};
use crate::admin::filters::listing;
use crate::hex::hex;
use crate::http::{ApiError, Filter};
use crate::store::{AuditRow, ChainBreak, ChainPosition, Listing, Result, Store};
use crate::task::context::TaskContext;
use crate::time::Timestamp;

/// Entries that are checked each time the list is shown: 1 ms on a desk's machine, and 50 ms on a Pi Zero, whose
/// processor hashes 10 MB a second. All are checked when somebody asks for it.
const CHECKED: u32 = 1_000;

/// Who asked what of devices, and what became of it.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(inline))]
pub struct Trail {
    pub items: Vec<Entry>,
    /// Give it as `cursor` for the rows behind these; null at the end.
    pub next: Option<String>,
    pub chain: Chain,
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Entry {
    pub id: i64,
    pub at: Timestamp,
    /// commanded, published, answered, refused, …
    pub what: String,
    /// Whose pseudonym it is, if that contact is in the configuration.
    pub contact: Option<String>,
    /// A pseudonym; empty for the clock, the broker and devices.
    pub who: String,
    /// The first 16 digits of SHA-256 of the message's id at Meta; empty if there was none.
    pub message: String,
    pub command: Option<i64>,
    pub detail: String,
    /// SHA-256 over this entry and the hash of the one before.
    #[cfg_attr(test, schemars(regex(pattern = "^[0-9a-f]{64}$")))]
    pub hash: String,
}

/// Whether nothing was changed.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Chain {
    pub holds: bool,
    /// How many of the newest entries were looked at.
    pub checked: Option<i64>,
    pub entries: Option<i64>,
    /// Where it is broken, as a sentence.
    pub flaw: Option<String>,
}

/// Newest first.
pub async fn shown(inner: &Inner, filter: &Filter) -> std::result::Result<Value, ApiError> {
    let listing = listing(filter)?;
    inner
        .both(String::new(), move |context, store| list(context, store, &listing).map(as_json).map(Some))
        .await
}

fn list(context: &TaskContext, store: &Store, listing: &Listing) -> Result<Trail> {
    let names = context.config.people.contacts.keys().map(|id| (store.seal().pseudonym(id), id.0.clone()));
    let people: BTreeMap<String, String> = names.collect();
    let before = listing.before.as_ref().map_or(i64::MAX, |cursor| cursor.id);
    let mut rows = store.audit_before(before, listing.limit + 1)?;
    let more = rows.len() > listing.limit as usize;
    rows.truncate(listing.limit as usize);
    let next = rows.last().filter(|_| more).map(|row| row.id.to_string());
    let from = store.audit_tail(CHECKED)?;
    let first = from.id;
    let chain = verdict(first, store.verify_on(from, u32::MAX)?);
    // One at a time becomes JSON, and is gone as a row.
    let items = rows.into_iter().map(|row| entry(row, &people)).collect();
    Ok(Trail { items, next, chain })
}

/// All of it, from the first entry; in steps, so that alerts do not wait for it.
pub async fn check(inner: &Inner) -> std::result::Result<Value, ApiError> {
    let mut reached = ChainPosition::default();
    loop {
        let from = reached;
        match inner.store(move |store| store.verify_on(from, CHECKED)).await? {
            Ok(on) if !on.at_end => reached = on,
            end @ (Ok(_) | Err(_)) => return Ok(as_json(verdict(0, end))),
        }
    }
}

/// `from` entries were believed, and those behind them looked at.
fn verdict(from: i64, found: std::result::Result<ChainPosition, ChainBreak>) -> Chain {
    match found {
        Ok(reached) => {
            Chain { holds: true, checked: Some(reached.id - from), entries: Some(reached.id), flaw: None }
        }
        Err(flaw) => Chain { holds: false, checked: None, entries: None, flaw: Some(flaw.to_string()) },
    }
}

fn entry(row: AuditRow, people: &BTreeMap<String, String>) -> Entry {
    let AuditRow { id, at, what, who, message, command, detail, hash } = row;
    let contact = people.get(&who).cloned();
    Entry { id, at: Timestamp(at), what, contact, who, message, command, detail, hash: hex(&hash) }
}
