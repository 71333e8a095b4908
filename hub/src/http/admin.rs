//! For who runs the chain: a page of all sites, and `/metrics`. It changes nothing and asks for no password, so that it listens at
//! an address of its own, on this machine or in a private network.

use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use bellwire::time::{Clock, SystemClock, Timestamp, duration_for_people};
use minijinja::Environment;
use minijinja::value::Serde;
use serde::Serialize;

use super::Hub;
use crate::engine::Log;
use crate::metrics::{Fleet, SEVERITIES};
use crate::settings::SILENT_AFTER;
use crate::sites::{People, Seen, Site};

/// Silent sites first, and no more than a person reads.
const SITES_MAX: usize = 2_000;

pub fn admin_routes(hub: Hub) -> Router {
    Router::new().route("/", get(page)).route("/metrics", get(metrics)).with_state(hub)
}

/// How a site is, the worst first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Condition {
    Silent,
    Waits,
    Heard,
    NeverAsked,
    Revoked,
}

#[derive(Serialize)]
struct Page {
    sites: Vec<Line>,
    numbers: String,
    version: &'static str,
    at: String,
    /// At this hub, for their turn.
    waiting: usize,
    #[serde(flatten)]
    fleet: Fleet,
}

/// A line of the page.
#[derive(Serialize)]
struct Line {
    name: String,
    state: &'static str,
    class: &'static str,
    asked: String,
    waiting: u64,
    oldest: String,
    people: String,
    program: String,
}

async fn metrics(State(hub): State<Hub>) -> Response {
    let fleet = fleet(&hub).await;
    let kind = [(header::CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8")];
    (kind, hub.metrics.text(&fleet, |severity| hub.paces.waiting(severity))).into_response()
}

async fn page(State(hub): State<Hub>) -> Response {
    let fleet = fleet(&hub).await;
    let now = SystemClock.now();
    let mut lines: Vec<(Condition, Line)> = {
        let (sites, seen) = (hub.sites.borrow(), hub.seen.borrow());
        sites.iter().map(|(name, site)| line(&hub, name, site, seen.of(name), now)).collect()
    };
    lines.sort_by(|(a, one), (b, other)| (a, &one.name).cmp(&(b, &other.name)));
    lines.truncate(SITES_MAX);
    let numbers: Vec<&str> =
        hub.settings.numbers.iter().map(|number| number.phone_number_id.as_str()).collect();
    let waiting: usize = SEVERITIES.into_iter().map(|severity| hub.paces.waiting(severity)).sum();
    let page = Page {
        sites: lines.into_iter().map(|(_, line)| line).collect(),
        numbers: numbers.join(", "),
        version: concat!("bellwire-hub ", env!("CARGO_PKG_VERSION")),
        at: now.rfc3339().get(11..16).unwrap_or_default().to_owned(),
        waiting,
        fleet,
    };
    let mut templates = Environment::new();
    let rendered = templates
        .add_template("fleet.html", include_str!("fleet.html"))
        .and_then(|()| templates.get_template("fleet.html")?.render(Serde(page)));
    match rendered {
        Ok(page) => Html(page).into_response(),
        Err(error) => {
            tracing::error!(%error, "the page could not be written");
            (StatusCode::INTERNAL_SERVER_ERROR, "the page could not be written; the log says why\n")
                .into_response()
        }
    }
}

fn state(hub: &Hub, site: &Site, seen: Option<&Seen>, now: Timestamp) -> Condition {
    let after = hub.settings.silent.as_ref().map_or(SILENT_AFTER, |silent| silent.after);
    match seen {
        _ if site.tokens.is_empty() => Condition::Revoked,
        None => Condition::NeverAsked,
        Some(seen) if seen.ago(now) >= after => Condition::Silent,
        Some(seen) if seen.waiting > 0 => Condition::Waits,
        Some(_) => Condition::Heard,
    }
}

async fn fleet(hub: &Hub) -> Fleet {
    let unrouted = hub.engine.count(Log::Unrouted).await.ok();
    let now = SystemClock.now();
    let mut fleet = Fleet { hubs: hub.paces.hubs(), unrouted, ..Fleet::default() };
    let (sites, seen) = (hub.sites.borrow(), hub.seen.borrow());
    for (name, site) in sites.iter() {
        let seen = seen.of(name);
        match state(hub, site, seen, now) {
            Condition::Revoked => continue,
            Condition::NeverAsked => fleet.never_asked += 1,
            Condition::Silent => fleet.silent += 1,
            Condition::Waits | Condition::Heard => fleet.heard += 1,
        }
        let (waiting, oldest) = seen.map_or((0, 0), |seen| (seen.waiting, seen.oldest));
        fleet.backlog = fleet.backlog.saturating_add(waiting);
        fleet.oldest = fleet.oldest.max(oldest);
    }
    fleet
}

fn line(hub: &Hub, name: &str, site: &Site, seen: Option<&Seen>, now: Timestamp) -> (Condition, Line) {
    let state = state(hub, site, seen, now);
    let (word, class) = match state {
        Condition::Silent => ("silent", "silent"),
        Condition::Waits => ("messages wait", "waits"),
        Condition::Heard => ("heard", "heard"),
        Condition::NeverAsked => ("never asked", "never"),
        Condition::Revoked if seen.is_none() => ("not enrolled", "never"),
        Condition::Revoked => ("revoked", "never"),
    };
    let line = Line {
        name: name.to_owned(),
        state: word,
        class,
        asked: seen.map_or("–".to_owned(), |seen| format!("{} ago", duration_for_people(seen.ago(now)))),
        waiting: seen.map_or(0, |seen| seen.waiting),
        oldest: seen
            .filter(|seen| seen.waiting > 0)
            .map_or("–".to_owned(), |seen| duration_for_people(Duration::from_secs(seen.oldest))),
        people: match &site.people {
            People::All => "everybody".to_owned(),
            People::Only(people) if people.len() == 1 => "1 person".to_owned(),
            People::Only(people) => format!("{} people", people.len()),
        },
        program: seen.and_then(|seen| seen.program.clone()).unwrap_or_else(|| "–".to_owned()),
    };
    (state, line)
}
