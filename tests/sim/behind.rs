//! The world around a site that is behind a hub: what goes between the two, what a hub asks Meta, and what goes wrong there.

use std::time::Duration;

use axum::body::Bytes;
use axum::http::{HeaderMap, StatusCode};
use bellwire::outbox::retry_policy::ApiAnswer;
use bellwire::time::Timestamp;
use bellwire::whatsapp::client::Exchanged;
use bellwire_hub::engine::Log;
use bellwire_hub::out::{Posted, posted};
use rusqlite::params;
use serde_json::{Value, json};

use crate::Violation;
use crate::gateway::Gateway;
use crate::hub_check::row_of;
use crate::hubs::{Asked, HUBS, HubAction, HubOut, Hubs, Open};
use crate::meta::Fate;
use crate::ports::Exchange;
use crate::sabotage::Sabotage;
use crate::world::World;

/// The site's client waits this long.
const ANSWER_DEADLINE: Duration = Duration::from_secs(30);
/// And a hub for Meta (`hub/src/run.rs`).
pub const META_DEADLINE: Duration = Duration::from_secs(25);
/// Bounded: a hub that never rests is stopped by `drain`.
const SETTLES_WITHIN: usize = 2_000;
/// Slices of a wait, while something is being sent.
const SLICES: usize = 400;

/// What becomes of a request on its way to a hub.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Good,
    Offline,
    LostThere,
    HangsThere,
    AnswerLost,
    Proxy,
    Portal,
}

impl World {
    /// What a hub does next.
    pub(crate) fn hub_acts(&mut self, action: HubAction) -> Result<(), Violation> {
        if let HubAction::Start(hub) = action {
            self.note(&format!("hub {hub} starts"));
        }
        let Some(hubs) = &mut self.hubs else { return Ok(()) };
        match hubs.act(action) {
            None => Ok(()),
            Some((hub, HubOut::Ask(asked))) => self.hub_asks(hub, asked),
            Some((hub, HubOut::Answer(exchange, answer))) => self.hub_answers(hub, exchange, answer),
            Some((hub, HubOut::Kept(number, body, kept))) => {
                self.note(&format!("hub {hub} answers webhook {number}, kept: {kept}"));
                if let Some(hubs) = self.hubs.as_ref().filter(|_| kept) {
                    hubs.keeps(&body)?;
                }
                self.meta.posted(number, kept, self.now);
                Ok(())
            }
            Some((_, HubOut::Came(sequence))) => {
                self.hubs.iter_mut().for_each(|hubs| hubs.came(sequence));
                Ok(())
            }
        }
    }

    fn hub_asks(&mut self, hub: usize, asked: Asked) -> Result<(), Violation> {
        let Some(hubs) = &mut self.hubs else { return Ok(()) };
        let (row, key) = (row_of(&asked.key), asked.key);
        if hubs.keys.asks(&key)? {
            *self.meta.requests.entry(row).or_default() += 1;
        }
        let about = (bellwire::ids::MessageId(row), asked.number);
        let (fate, wait, answer) = self.meta.judge(&asked.body, about, self.now, &mut self.dice);
        // Now and then Meta takes its time.
        let slow = if hubs.is_healed || hubs.dice.below(3) > 0 { 0 } else { hubs.dice.below(24) };
        let (wait, answer) = ((wait + Duration::from_secs(slow)).min(META_DEADLINE), as_http(answer));
        let outcome = posted(answer.clone());
        let is_taken = matches!(
            fate,
            Fate::Taken | Fate::TakenThenReset | Fate::TakenThenHang | Fate::TakenThenServerError
        );
        let may_be_taken = !matches!(outcome, Posted::NotSent { .. });
        let is_told = !matches!(outcome, Posted::Unknown(_));
        hubs.keys.asked(&key, may_be_taken, is_taken, is_told);
        self.meta.to_hubs.push((self.now + wait, asked.request, answer));
        self.note(&format!("hub {hub} asks Meta under {key} over {}: {fate:?}", asked.number));
        self.check.taken(&self.meta, row)
    }

    /// The answer to an exchange is on its way to the site.
    fn hub_answers(&mut self, hub: usize, exchange: u64, answer: Exchanged) -> Result<(), Violation> {
        let Some(hubs) = &mut self.hubs else { return Ok(()) };
        let Some(open) = hubs.open.remove(&exchange) else { return Ok(()) };
        let word =
            answer.as_ref().map(|(status, headers, _)| format!("{status} {:?}", headers.get("bellwire-hub")));
        let what = format!("hub {hub} answers {}: {word:?}", open.key.as_deref().unwrap_or("a poll"));
        if let Some(key) = &open.key {
            hubs.tells(key, &answer)?;
        }
        if open.is_lost {
            self.note(&format!("{what}, which is lost"));
            self.answer_site(exchange, &open, broken());
            return Ok(());
        }
        self.note(&what);
        if let (None, Ok((_, _, body))) = (&open.key, &answer) {
            self.hands_over(body);
        }
        self.answer_site(exchange, &open, answer);
        Ok(())
    }

    /// Webhooks reach the site.
    fn hands_over(&mut self, body: &Bytes) {
        let Ok(fetched) = serde_json::from_slice::<Value>(body) else { return };
        for webhook in fetched["webhooks"].as_array().into_iter().flatten() {
            self.check.hears(webhook["body"].as_str().unwrap_or_default().as_bytes(), self.now);
        }
        if self.sabotage == Some(Sabotage::PlaceBeforeWebhooks) && !self.disk_full {
            let sql =
                rusqlite::Connection::open(self.directory.path().join("bellwire.db")).expect("the database");
            let cursor = fetched["cursor"].as_str().unwrap_or_default();
            sql.execute("INSERT OR REPLACE INTO hub VALUES ('main', ?1)", params![cursor]).expect("damaged");
        }
    }

    fn answer_site(&mut self, exchange: u64, open: &Open, answer: Exchanged) {
        if let (Some(hubs), Some(key), Err(_)) = (&mut self.hubs, &open.key, &answer) {
            hubs.keys.cut(key);
        }
        if let Some(gateway) = &self.gateway {
            gateway.outside.exchanged(exchange, answer);
        }
    }

    /// The site asks a hub.
    pub(crate) fn exchange(&mut self, exchange: Exchange) -> Result<(), Violation> {
        let way = self.way();
        if let Some(key) = exchange.key.clone() {
            let Some(hubs) = &mut self.hubs else { return Ok(()) };
            if hubs.keys.leaves(&key) {
                let id = bellwire::ids::MessageId(row_of(&key));
                self.check.post(id, &exchange.body, &self.meta, self.now)?;
                self.check.leaves_over(id, exchange.number, &exchange.body)?;
                self.check.is_meant(id, &exchange.body)?;
            }
        }
        let Some(hubs) = &mut self.hubs else { return Ok(()) };
        let until = hubs.time() + ANSWER_DEADLINE;
        let hub = hubs.any().filter(|_| matches!(way, Way::Good | Way::AnswerLost));
        let mut open = Open { until, hub, is_lost: way == Way::AnswerLost, key: exchange.key.clone() };
        let id = exchange.id;
        if exchange.key.is_some() || way != Way::Good {
            let what = exchange.key.as_deref().unwrap_or("for webhooks").to_owned();
            self.note(&format!("the site asks {what}: {way:?}, hub {hub:?}"));
        }
        let Some(hubs) = &mut self.hubs else { return Ok(()) };
        match way {
            Way::HangsThere => drop(hubs.open.insert(id, open)),
            Way::Good | Way::AnswerLost if let Some(hub) = hub => {
                hubs.open.insert(id, open);
                hubs.accept(hub, exchange);
            }
            Way::Good | Way::AnswerLost | Way::Offline => {
                self.answer_site(id, &open, Err(ApiAnswer::Offline("connection refused".into())));
            }
            Way::LostThere => self.answer_site(id, &open, broken()),
            Way::Proxy | Way::Portal => {
                let status = if way == Way::Proxy { StatusCode::BAD_GATEWAY } else { StatusCode::FOUND };
                if let (Some(hubs), Some(key)) = (&mut self.hubs, open.key.take()) {
                    hubs.keys.cut(&key);
                }
                self.answer_site(id, &open, Ok((status, HeaderMap::new(), Bytes::from("<html>"))));
            }
        }
        Ok(())
    }

    fn way(&mut self) -> Way {
        let Some(hubs) = &mut self.hubs else { return Way::Offline };
        if !self.now.is_sane() {
            return Way::Offline; // no certificate is valid yet
        }
        if hubs.is_healed {
            return Way::Good;
        }
        let most = if hubs.is_line_bad { 9 } else { 20 };
        match hubs.dice.below(most) {
            0 => Way::Offline,
            1 => Way::LostThere,
            2 => Way::HangsThere,
            3 | 4 => Way::AnswerLost,
            5 => Way::Proxy,
            6 => Way::Portal,
            _ => Way::Good,
        }
    }

    /// Exchanges end that the site waits no longer for.
    pub(crate) fn exchanges_end(&mut self) {
        let Some(hubs) = &mut self.hubs else { return };
        let keys: Vec<(u64, Open)> = hubs.open.iter().map(|(id, open)| (*id, open.clone())).collect();
        let overdue = hubs.overdue();
        for (id, open) in keys.into_iter().filter(|(id, _)| overdue.contains(id)) {
            let what = "no answer came within 30 s".to_owned();
            self.answer_site(
                id,
                &open,
                Err(ApiAnswer::Ambiguous { detail: what, http_status: None, fbtrace_id: None }),
            );
        }
    }

    pub(crate) fn hub_crashes(&mut self, hub: usize) {
        let Some(hubs) = self.hubs.as_mut().filter(|hubs| hubs.is_up(hub)) else { return };
        let open = hubs.open.clone();
        let broken_off = hubs.crash(hub);
        self.note(&format!("HUB {hub} CRASHES"));
        for (id, open) in open.into_iter().filter(|(id, _)| broken_off.contains(id)) {
            self.answer_site(id, &open, broken());
        }
    }

    /// Beside what goes wrong at the site.
    pub(crate) fn hub_faults(&mut self) {
        let Some(hubs) = &mut self.hubs else { return };
        match hubs.dice.below(120) {
            0..4 => {
                let hub = usize::try_from(hubs.dice.below(HUBS as u64)).unwrap_or(0);
                self.hub_crashes(hub);
            }
            4 => (0..HUBS).for_each(|hub| self.hub_crashes(hub)),
            5 | 6 => {
                hubs.is_line_bad = !hubs.is_line_bad;
                let what = format!("the line to the hubs is bad: {}", hubs.is_line_bad);
                self.note(&what);
            }
            7 | 8 => {
                let is_down = hubs.dice.below(2) == 0;
                hubs.engine.is_down(is_down);
                self.note(&format!("the engine is away: {is_down}"));
            }
            9 => self.lose_logs(),
            10..14 => self.exchange_breaks_off(),
            _ => {}
        }
    }

    /// While something is being sent, and a moment passes.
    fn hub_fault_in_the_middle(&mut self) {
        let Some(hubs) = self.hubs.as_mut().filter(|hubs| !hubs.is_healed) else { return };
        match hubs.dice.below(24) {
            0 => {
                let hub = usize::try_from(hubs.dice.below(HUBS as u64)).unwrap_or(0);
                self.hub_crashes(hub);
            }
            1..6 => self.exchange_breaks_off(),
            _ => {}
        }
    }

    fn exchange_breaks_off(&mut self) {
        let Some((exchange, open)) = self.hubs.as_mut().and_then(Hubs::break_off) else { return };
        self.note(&format!("the connection breaks: {open:?}"));
        self.answer_site(exchange, &open, broken());
    }

    /// The engine's logs are made anew, when nothing is lost by it: then everything comes once more.
    fn lose_logs(&mut self) {
        let Some(hubs) = self.hubs.as_mut().filter(|hubs| hubs.is_drained(&self.check)) else { return };
        if hubs.engine.end(Log::Raw).sequence == 0 {
            return;
        }
        hubs.engine.lose_logs();
        hubs.keys.reached.insert("another life of the log");
        self.note("the engine's logs are made anew");
        (0..HUBS).for_each(|hub| self.hub_crashes(hub));
    }

    /// Hubs are fast: what they can do is done before time passes.
    pub(crate) fn hubs_settle(&mut self) -> Result<(), Violation> {
        for _ in 0..SETTLES_WITHIN {
            let Some(hubs) = &mut self.hubs else { return Ok(()) };
            let due = self.meta.to_hubs.iter().position(|(at, _, _)| *at <= self.now);
            if let Some(index) = due {
                self.meta_answers_a_hub(index);
                continue;
            }
            let runnable: Vec<HubAction> =
                hubs.runnable().into_iter().filter(|action| !matches!(action, HubAction::Start(_))).collect();
            let index = usize::try_from(hubs.dice.below(runnable.len() as u64)).unwrap_or(0);
            let Some(action) = runnable.get(index) else { return Ok(()) };
            self.hub_acts(*action)?;
        }
        Ok(())
    }

    pub(crate) fn meta_answers_a_hub(&mut self, index: usize) {
        let (_, request, answer) = self.meta.to_hubs.remove(index);
        if let Some(hubs) = &mut self.hubs {
            hubs.answered(request, answer);
        }
    }

    /// Time passes, as long as something is being sent in slices, so that whoever waits for a moment does not wait for an hour.
    pub(crate) fn pass_with_hubs(&mut self, wait: Duration) -> Result<(), Violation> {
        let end = self.true_time() + wait;
        for _ in 0..SLICES {
            self.hubs_settle()?;
            let left = self.true_time().until(end);
            let is_sending = self.hubs.as_ref().is_some_and(Hubs::is_sending) || self.is_site_sending();
            if left.is_zero() || !is_sending {
                break;
            }
            let gateway = self.gateway.as_ref().map(|gateway| self.now.until(gateway.next_at()));
            let hubs = self.hubs.as_ref().and_then(Hubs::next_in);
            let next = gateway.into_iter().chain(hubs).chain([self.until_others()]).min().unwrap_or(left);
            self.pass_alone(next.clamp(Duration::from_millis(10), left.max(Duration::from_millis(10))))?;
            self.exchanges_end();
            self.hub_fault_in_the_middle();
            self.hubs_settle()?;
            if wait > Duration::from_secs(3) {
                self.come_to_rest()?;
            }
        }
        let left = self.true_time().until(end);
        if !left.is_zero() {
            self.pass_alone(left)?;
        }
        self.exchanges_end();
        self.hubs_settle()
    }

    fn is_site_sending(&self) -> bool {
        self.gateway.as_ref().is_some_and(|gateway| !gateway.outside.sending().is_empty())
    }

    pub(crate) fn true_time(&self) -> Timestamp {
        Timestamp(self.now.0 + self.ahead)
    }

    /// Meta posts to a hub.
    pub(crate) fn post_to_hub(&mut self, number: u64, body: Vec<u8>, signature: String) {
        let Some(hubs) = &mut self.hubs else { return };
        match hubs.any() {
            Some(hub) => hubs.keep(hub, number, body, signature),
            None => self.meta.posted(number, false, self.now),
        }
    }

    /// The send loop has its answer.
    pub(crate) fn settled(&mut self, key: &str, answer: &ApiAnswer) -> Result<(), Violation> {
        let id = bellwire::ids::MessageId(row_of(key));
        self.note(&format!("message {id} has come to {answer:?}").chars().take(160).collect::<String>());
        self.check.answered(id, answer, self.now);
        self.hubs.as_ref().map_or(Ok(()), |hubs| hubs.settled(key, answer))
    }
}

impl Gateway {
    /// What it waits for of the hub, by row.
    pub fn waits_for(&self) -> Vec<i64> {
        self.outside.sending().iter().map(|key| row_of(key)).collect()
    }
}

fn broken() -> Exchanged {
    let detail = "the connection broke before the answer".to_owned();
    Err(ApiAnswer::Ambiguous { detail, http_status: None, fbtrace_id: None })
}

/// Meta's answer as it writes it.
fn as_http(answer: ApiAnswer) -> Exchanged {
    let mut headers = HeaderMap::new();
    let (status, body) = match answer {
        ApiAnswer::Accepted(accepted) => {
            (StatusCode::OK, json!({ "messages": [{ "id": accepted.wamid.0 }] }).to_string())
        }
        ApiAnswer::Refused(refusal) => {
            if let Some(after) = refusal.retry_after {
                headers.insert("retry-after", after.as_secs().into());
            }
            let details = json!({ "details": refusal.details });
            let error = json!({ "code": refusal.code, "message": "(#)", "error_data": details });
            (StatusCode::BAD_REQUEST, json!({ "error": error }).to_string())
        }
        ApiAnswer::Ambiguous { http_status: Some(_), .. } => (StatusCode::BAD_GATEWAY, "<html>".to_owned()),
        ApiAnswer::Ambiguous { .. } | ApiAnswer::Offline(_) | ApiAnswer::NotAsked(_) => return Err(answer),
    };
    Ok((status, headers, Bytes::from(body)))
}
