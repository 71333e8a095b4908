//! Webhooks of any field, and statuses by the thousand.

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::StatusCode;
use axum::routing::post;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::{Answer, Refused, answer, bad, read};
use crate::graph::Refusal;
use crate::receipts::{contacts, status};
use crate::state::Simulator;
use crate::webhooks::{envelope, messages, written};
use crate::world::World;

/// Meta's own bound of a webhook body, 3 MB, with room for its writing.
const WEBHOOK_MAX: usize = 4 * 1024 * 1024;
/// Meta puts up to 1,000 updates into a POST.
const BATCH_MAX: usize = 1_000;
/// Statuses of messages that nobody sent, in one call: five times what is kept of real ones.
const UNKNOWN_MAX: usize = 100_000;

pub fn routes() -> Router<Simulator> {
    Router::new()
        .route("/_simulator/statuses", post(statuses))
        .route("/_simulator/webhook", post(webhook).layer(DefaultBodyLimit::max(WEBHOOK_MAX)))
}

/// Statuses of what was sent, in posts of `batch`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Statuses {
    status: String,
    batch: usize,
    /// So many more of messages that nobody sent.
    unknown: usize,
    phone_number_id: Option<String>,
    /// Each post is sent this often.
    duplicate: u8,
    /// The newest message first.
    reverse: bool,
    /// Of `failed`.
    code: i64,
}

impl Default for Statuses {
    fn default() -> Self {
        let status = "delivered".to_owned();
        Self {
            status,
            batch: BATCH_MAX,
            unknown: 0,
            phone_number_id: None,
            duplicate: 1,
            reverse: false,
            code: 131_026,
        }
    }
}

async fn statuses(State(simulator): State<Simulator>, body: Bytes) -> Answer {
    let wanted: Statuses = read(&body)?;
    if !(1..=BATCH_MAX).contains(&wanted.batch) || wanted.unknown > UNKNOWN_MAX {
        return Err(bad("`batch` is 1 to 1000, as Meta's; `unknown` is at most 100000"));
    }
    let (count, posts) = posts(&simulator, &*simulator.world.lock().await, &wanted)?;
    let started = Instant::now();
    let (mut sent, mut taken) = (0, 0);
    for (url, body) in posts {
        for _ in 0..wanted.duplicate {
            sent += 1;
            taken += u32::from(deliver(&simulator, &url, &body).await == Some(StatusCode::OK));
        }
    }
    let elapsed_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
    answer(json!({ "statuses": count, "posts": sent, "taken": taken, "elapsed_ms": elapsed_ms }))
}

/// One try whose answer is waited for; what is not taken is tried again in the background.
async fn deliver(simulator: &Simulator, url: &str, body: &str) -> Option<StatusCode> {
    let status = simulator.postman.post(url, body, false).await;
    if status != Some(StatusCode::OK) {
        let (postman, url, body) = (simulator.postman.clone(), url.to_owned(), body.to_owned());
        tokio::spawn(async move { postman.deliver(&url, &body, false).await });
    }
    status
}

type Posts = Vec<(String, String)>;

fn posts(simulator: &Simulator, world: &World, wanted: &Statuses) -> Result<(usize, Posts), Refused> {
    let is_wanted = |number: &String| wanted.phone_number_id.as_ref().is_none_or(|only| only == number);
    let mut chosen: Vec<_> = world.sent.iter().filter(|sent| is_wanted(&sent.phone_number_id)).collect();
    if wanted.reverse {
        chosen.reverse();
    }
    let now = Simulator::now(world);
    let error = (wanted.status == "failed").then(|| Refusal::new(wanted.code, "as the simulator was told"));
    let mut items: Vec<(String, Option<Value>, Value)> = Vec::with_capacity(chosen.len() + wanted.unknown);
    for (sent, person) in
        chosen.into_iter().flat_map(|sent| sent.told().iter().map(move |person| (sent, person)))
    {
        let entry = status(&world.forms, sent, person, &wanted.status, now, error.as_ref());
        let contact = contacts(&world.forms, sent, person, &wanted.status).pop();
        items.push((sent.phone_number_id.clone(), contact, entry));
    }
    let first = simulator.options.phone_number_ids.first();
    let number = wanted.phone_number_id.clone().or_else(|| first.cloned());
    let number = number.or_else(|| world.sent.back().map(|sent| sent.phone_number_id.clone()));
    for at in 0..wanted.unknown {
        let entry = json!({ "id": format!("wamid.NOBODYSENT{at:06}"), "status": wanted.status,
                            "timestamp": (now.0 / 1_000).to_string(), "recipient_id": "15550100123" });
        items.push((number.clone().unwrap_or_default(), None, entry));
    }
    // A value belongs to one number. The sort is stable: the order within a number stays.
    items.sort_by(|one, other| one.0.cmp(&other.0));
    let mut posts = Vec::new();
    for of_number in items.chunk_by(|one, other| one.0 == other.0) {
        for batch in of_number.chunks(wanted.batch) {
            let number = &batch[0].0;
            let Some(url) = simulator.callback(world, number) else {
                return Err(bad("webhooks go nowhere: there is no --webhook, or the app is not subscribed"));
            };
            let mut people: Vec<Value> = Vec::new();
            for contact in batch.iter().filter_map(|item| item.1.as_ref()) {
                if people.last() != Some(contact) {
                    people.push(contact.clone());
                }
            }
            let entries: Vec<Value> = batch.iter().map(|item| item.2.clone()).collect();
            posts.push((url, written(&messages(&world.account, number, people, "statuses", &entries))));
        }
    }
    Ok((items.len(), posts))
}

/// A webhook of any field, or a whole body.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Webhook {
    field: Option<String>,
    value: Value,
    account_id: Option<String>,
    time: Option<i64>,
    phone_number_id: Option<String>,
    body: Option<Value>,
    forge: bool,
}

async fn webhook(State(simulator): State<Simulator>, body: Bytes) -> Answer {
    let wanted: Webhook = read(&body)?;
    let (url, body) = {
        let world = simulator.world.lock().await;
        let number = wanted.phone_number_id.as_deref().unwrap_or_default();
        let Some(url) = simulator.callback(&world, number) else {
            return Err(bad("webhooks go nowhere: there is no --webhook, or the app is not subscribed"));
        };
        let body = match (&wanted.body, &wanted.field) {
            (Some(body), None) => body.clone(),
            (None, Some(field)) => {
                let account = wanted.account_id.as_deref().unwrap_or_else(|| world.account.id());
                let now = Some(Simulator::now(&world).0 / 1_000).filter(|_| field != "messages");
                envelope(account, wanted.time.or(now), field, &wanted.value)
            }
            _ => return Err(bad("say what goes out: `field` and `value`, or a whole `body`")),
        };
        (url, written(&body))
    };
    let status = if wanted.forge {
        simulator.postman.post(&url, &body, true).await
    } else {
        deliver(&simulator, &url, &body).await
    };
    answer(json!({ "status": status.map(|status| status.as_u16()) }))
}
