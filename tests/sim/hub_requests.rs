//! What arrives at a hub, and the hub's own code that answers it: a message of the site's, its question for webhooks, a webhook of Meta's.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::Bytes;
use axum::http::{HeaderName, HeaderValue, StatusCode};
use bellwire::contact::severity::Severity;
use bellwire::machine::Machine;
use bellwire::time::Timestamp;
use bellwire::whatsapp::client::Exchanged;
use bellwire::whatsapp::signature;
use bellwire_hub::engine::{Engine, Log, Result, Table};
use bellwire_hub::incoming::{Item, Questions, wait};
use bellwire_hub::out::{Answer, Outgoing, Ports, Posted, Told, posted, send};
use bellwire_hub::pace::{Refused, Scope};
use secrecy::SecretString;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::sync::oneshot;

use crate::engine::SimEngine;
use crate::hubs::{Asked, HubOut, Hubs, Kind, SHOP, TOKEN, Wire, lock};
use crate::machine::OfMachine;
use crate::meta::APP_SECRET;
use crate::ports::Exchange;
use crate::sabotage::Sabotage;

impl Hubs {
    /// A webhook of Meta's arrives.
    pub fn keep(&mut self, hub: usize, number: u64, body: Vec<u8>, signature: String) {
        let Some(process) = &self.processes[hub] else { return };
        let (engine, wire) = (self.engine.of(hub), Arc::clone(&process.wire));
        let is_early = self.sabotage == Some(Sabotage::HubAnswersBeforeItKeeps);
        let secrets = [SecretString::from(APP_SECRET)];
        let keep = async move {
            let push = |out| lock(&wire).outs.push_back(out);
            if !signature::verify(&secrets, Some(&signature), &body) {
                return push(HubOut::Kept(number, body, false));
            }
            if is_early {
                push(HubOut::Kept(number, body.clone(), true));
            }
            let id = bellwire::hex::hex(&Sha256::digest(&body));
            let kept = engine.append(Log::Raw, "raw.meta", &id, body.clone().into()).await;
            if let Ok(sequence) = kept {
                push(HubOut::Came(sequence));
            }
            if !is_early {
                push(HubOut::Kept(number, body, kept.is_ok()));
            }
        };
        self.spawn(hub, Kind::Keeping, Box::pin(keep));
    }

    /// A request of the site's arrives.
    pub fn accept(&mut self, hub: usize, exchange: Exchange) {
        let id = exchange.id;
        match exchange.key.clone() {
            Some(key) => self.accept_message(hub, id, key, exchange),
            None => self.accept_poll(hub, id, &exchange.path),
        }
    }

    fn accept_message(&mut self, hub: usize, id: u64, key: String, exchange: Exchange) {
        let (request, nonce, is_refused) =
            (self.next(), format!("{:032x}", self.next()), self.dice.below(40) == 0);
        let Some(process) = &self.processes[hub] else { return };
        let (engine, wire) = (self.engine.of(hub), Arc::clone(&process.wire));
        let to_meta = ToMeta {
            wire: Arc::clone(&wire),
            machine: OfMachine(Arc::clone(&self.machine)),
            request,
            key: key.clone(),
            number: exchange.number,
            body: exchange.body.to_vec(),
            is_refused: is_refused && !self.is_healed,
        };
        let is_hasty = self.sabotage == Some(Sabotage::GiveUpWhatIsUnderWay);
        let job = async move {
            let header = |name: &str| {
                let header = exchange.headers.iter().find(|(known, _)| known.as_str() == name);
                header.map(|(_, value)| value.as_str())
            };
            let told = match Outgoing::read(header, &exchange.body) {
                Ok(mut out) => {
                    out.waited *= if is_hasty { 10_000 } else { 1 };
                    match own_tag(&engine, &out.tag).await {
                        Ok(()) => send(&engine, &to_meta, SHOP, &out, &nonce).await,
                        Err(error) => {
                            Told::Again { why: error.to_string(), retry_after: Duration::from_secs(5) }
                        }
                    }
                }
                Err(error) => {
                    Told::Answer(Answer { status: 400, body: error.to_string(), is_unknown: false })
                }
            };
            let answer = as_http(told).await;
            lock(&wire).outs.push_back(HubOut::Answer(id, answer));
        };
        self.spawn(hub, Kind::Sending(key), Box::pin(job));
    }

    fn accept_poll(&mut self, hub: usize, id: u64, path: &str) {
        let parameter = |name: &str| path.split(['?', '&']).find_map(|pair| pair.strip_prefix(name));
        let (tag, cursor) =
            (parameter("store=").unwrap_or_default().to_owned(), parameter("after=").map(str::to_owned));
        let version = self.dice.below(3);
        let Some(process) = &self.processes[hub] else { return };
        let (engine, wire, wakes) = (self.engine.of(hub), Arc::clone(&process.wire), process.wakes.clone());
        let job = async move {
            let found = async {
                own_tag(&engine, &tag).await?;
                wait(&engine, &wakes, SHOP, cursor.as_deref()).await
            };
            let answer = match found.await {
                Ok(batch) if batch.bodies.is_empty() => answer(StatusCode::NO_CONTENT, "nothing", ""),
                Ok(batch) => {
                    let webhooks: Vec<Value> =
                        batch.bodies.iter().map(|body| webhook(body, version)).collect();
                    let mut fetched = json!({ "cursor": batch.cursor, "webhooks": webhooks });
                    if version == 1 {
                        fetched["waiting"] = json!({ "more": true }); // a newer hub's
                    }
                    answer(StatusCode::OK, "answer", &fetched.to_string())
                }
                Err(error) => answer(StatusCode::SERVICE_UNAVAILABLE, "later", &error.to_string()),
            };
            lock(&wire).outs.push_back(HubOut::Answer(id, answer));
        };
        self.spawn(hub, Kind::Polling(id), Box::pin(job));
    }
}

/// As `http::webhook` signs it for the site.
fn webhook(body: &Bytes, version: u64) -> Value {
    let text = String::from_utf8_lossy(body);
    let signature = signature::sign(&SecretString::from(TOKEN), text.as_bytes());
    let mut webhook = json!({ "body": text, "signature": signature });
    if version == 1 {
        webhook["came_at"] = json!(1_795_240_800);
    }
    webhook
}

/// As `http::Hub::own_tag` does.
async fn own_tag(engine: &SimEngine, tag: &str) -> Result<()> {
    if engine.get(Table::Tags, tag).await?.is_none() {
        engine.create(Table::Tags, tag, SHOP.into()).await?;
    }
    Ok(())
}

/// What the hub answers a site, as the site's client gets it.
async fn as_http(told: Told) -> Exchanged {
    let (parts, body) = bellwire_hub::http::told(told).into_parts();
    let body = axum::body::to_bytes(body, usize::MAX).await.expect("it is in memory");
    Ok((parts.status, parts.headers, body))
}

fn answer(status: StatusCode, hub: &'static str, body: &str) -> Exchanged {
    let headers = [(HeaderName::from_static("bellwire-hub"), HeaderValue::from_static(hub))];
    Ok((status, headers.into_iter().collect(), Bytes::from(body.to_owned())))
}

/// What a message needs beside the engine.
struct ToMeta {
    wire: Arc<Mutex<Wire>>,
    machine: OfMachine,
    request: u64,
    key: String,
    number: &'static str,
    body: Vec<u8>,
    is_refused: bool,
}

impl Ports for ToMeta {
    async fn turn(&self, _: Severity) -> std::result::Result<(), Refused> {
        let (why, retry_after) = ("too much wants to leave", Duration::from_secs(1));
        let refused = Refused { why, retry_after, scope: Scope::Severity };
        if self.is_refused { Err(refused) } else { Ok(()) }
    }

    async fn post(&self) -> Posted {
        let (answer, answered) = oneshot::channel();
        {
            let mut wire = lock(&self.wire);
            let (key, body) = (self.key.clone(), self.body.clone());
            wire.outs.push_back(HubOut::Ask(Asked { request: self.request, key, number: self.number, body }));
            wire.asked.insert(self.request, answer);
        }
        match answered.await {
            Ok(answer) => posted(answer),
            Err(_) => Posted::Unknown("nobody answers".to_owned()),
        }
    }

    async fn pause(&self, how_long: Duration) {
        self.machine.sleep(how_long).await;
    }

    fn now(&self) -> Timestamp {
        self.machine.now()
    }
}

/// One site: nobody is asked which one is meant.
pub(crate) struct Nobody;

impl Questions<SimEngine> for Nobody {
    async fn ask(&self, _: &SimEngine, _: &Item, _: &[String]) -> Result<()> {
        Ok(())
    }
}
