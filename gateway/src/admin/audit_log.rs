//! The audit as the page and the API show it: pseudonyms of people who are in the configuration are names again, and
//! whether the chain holds is said with it.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::admin::admin_service::Inner;
use crate::admin::filters::listing;
use crate::hex::hex;
use crate::http::{ApiError, Filter};
use crate::store::{AuditRow, ChainBreak, ChainPosition, Listing, Result, Store};
use crate::task::context::TaskContext;

/// Entries that are checked each time the list is shown: 1 ms on a desk's machine, and 50 ms on a Pi Zero, whose
/// processor hashes 10 MB a second. All are checked when somebody asks for it.
const CHECKED: u32 = 1_000;

/// `{items, next, chain}`, newest first.
pub async fn shown(inner: &Inner, filter: &Filter) -> std::result::Result<Value, ApiError> {
    let listing = listing(filter)?;
    inner.both(String::new(), move |context, store| list(context, store, &listing).map(Some)).await
}

/// `{items, total}`: people who wrote and are no contacts.
pub async fn strangers(inner: &Inner, filter: &Filter) -> std::result::Result<Value, ApiError> {
    let limit = listing(filter)?.limit;
    inner.store(move |store| store.list_strangers(limit)).await
}

fn list(context: &TaskContext, store: &Store, listing: &Listing) -> Result<Value> {
    let names = context.config.people.contacts.keys().map(|id| (store.seal().pseudonym(id), id.0.clone()));
    let people: BTreeMap<String, String> = names.collect();
    let before = listing.before.as_ref().map_or(i64::MAX, |cursor| cursor.id);
    let mut rows = store.audit_before(before, listing.limit + 1)?;
    let more = rows.len() > listing.limit as usize;
    rows.truncate(listing.limit as usize);
    let next = rows.last().filter(|_| more).map(|row| row.id.to_string());
    let from = store.audit_tail(CHECKED)?;
    let first = from.id;
    let verdict = verdict(first, store.verify_on(from, u32::MAX)?);
    // One at a time becomes JSON, and is gone as a row.
    let items: Vec<Value> = rows.into_iter().map(|row| entry(row, &people)).collect();
    Ok(json!({ "items": items, "next": next, "chain": verdict }))
}

/// All of it, from the first entry; in steps, so that alerts do not wait for it.
pub async fn check(inner: &Inner) -> std::result::Result<Value, ApiError> {
    let mut reached = ChainPosition::default();
    loop {
        let from = reached;
        match inner.store(move |store| store.verify_on(from, CHECKED)).await? {
            Ok(on) if !on.at_end => reached = on,
            end @ (Ok(_) | Err(_)) => return Ok(verdict(0, end)),
        }
    }
}

/// `from` entries were believed, and those behind them looked at.
fn verdict(from: i64, found: std::result::Result<ChainPosition, ChainBreak>) -> Value {
    match found {
        Ok(reached) => {
            json!({ "holds": true, "checked": reached.id - from, "entries": reached.id, "flaw": null })
        }
        Err(flaw) => json!({ "holds": false, "checked": null, "entries": null, "flaw": flaw.to_string() }),
    }
}

fn entry(row: AuditRow, people: &BTreeMap<String, String>) -> Value {
    let AuditRow { id, at, what, who, message, command, detail, hash } = row;
    let contact = people.get(&who);
    json!({ "id": id, "at": at, "what": what, "contact": contact, "who": who, "message": message, "command": command,
            "detail": detail, "hash": hex(&hash) })
}
