//! A person of several sites is asked which one is meant. Until then the words are kept, and then all of them go there; for a day the
//! answer stands.

use std::future::Future;
use std::sync::Arc;

use bellwire::contact::language::Language;
use bellwire::contact::severity::Severity;
use bellwire::whatsapp::client::Client;
use bytes::Bytes;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::person_key;
use super::split::Item;
use crate::engine::{Engine, Result, Table};
use crate::out::{Outgoing, Request, Told, send};
use crate::pace::{Limits, Paces};
use crate::settings::Settings;
use crate::sites::Quota;

/// Rows of a list (Meta, Interactive list messages), and the length of a row's title.
const ROWS_MAX: usize = 10;
const TITLE_MAX: usize = 24;
/// Ids of ours; a site's begin with `bellwire/`.
const OURS: &str = "bellwire-hub/";
const CHOICE: &str = "bellwire-hub/site/";

/// As whom the hub itself writes to people. No site has this name: it has a full stop.
const HUB: &str = "hub.itself";

/// Asks a person which of several sites is meant.
pub trait Questions<E>: Send + Sync + 'static {
    fn ask(&self, engine: &E, item: &Item, sites: &[String]) -> impl Future<Output = Result<()>> + Send;
}

/// With what a person is asked.
pub struct Asker<E> {
    pub settings: Arc<Settings>,
    pub client: Client,
    pub paces: Paces,
    pub limits: Limits<E>,
}

impl<E: Engine> Questions<E> for Asker<E> {
    /// Once a day, and beside the routing: Meta may take half a minute. What Meta or the pace does not take now is asked with the
    /// person's next words.
    async fn ask(&self, engine: &E, item: &Item, sites: &[String]) -> Result<()> {
        let (Some(person), Some(number)) = (item.from.first(), &item.number) else { return Ok(()) };
        let Some(known) = self.settings.number(number) else { return Ok(()) };
        let (callback, Ok(endpoint)) = (callback(&item.id), known.endpoint()) else { return Ok(()) };
        let Some(body) = question(person, sites, known.language, &callback) else {
            tracing::warn!(
                sites = sites.len(),
                "a person belongs to more sites than a question can list; `bellwire-hub unrouted list` shows what they wrote"
            );
            return Ok(());
        };
        let asked = format!("asked.{}", person_key(person));
        let Some(revision) = engine.create(Table::Wrote, &asked, "1".into()).await? else { return Ok(()) };
        let body = Bytes::from(body.to_string());
        let (digest, to) = (bellwire::hex::hex(&Sha256::digest(&body)), person.clone());
        let (tag, severity, waited) = (String::new(), Severity::Warning, 0);
        let out = Outgoing { key: callback, tag, severity, waited, to, digest };
        let (engine, client) = (engine.clone(), self.client.clone());
        let (paces, limits) = (self.paces.clone(), self.limits.clone());
        tokio::spawn(async move {
            let (client, paces, limits, endpoint) = (&client, &paces, &limits, &endpoint);
            let (site, quota, to, is_template) = (HUB, &Quota::default(), &out.to, false);
            let request = Request { client, paces, limits, endpoint, site, quota, to, is_template, body };
            let told = send(&engine, &request, HUB, &out, &out.digest).await;
            if matches!(&told, Told::Answer(answer) if (200..300).contains(&answer.status)) {
                return;
            }
            tracing::warn!(
                ?told,
                "a person of several sites could not be asked which one is meant; their next message asks again"
            );
            if let Err(error) = engine.remove(Table::Wrote, &asked, revision).await {
                tracing::warn!(%error, "the mark of that question could not be removed: the person is asked again only tomorrow");
            }
        });
        Ok(())
    }
}

/// The site that a person has tapped.
#[must_use]
pub fn chosen(item: &Item) -> Option<&str> {
    item.tapped.as_deref()?.strip_prefix(CHOICE)
}

/// A receipt of a question: no site's matter.
#[must_use]
pub fn is_receipt(item: &Item) -> bool {
    item.callback.as_deref().is_some_and(|callback| callback.starts_with(OURS))
}

/// The question as Meta wants it; `None`: so many sites do not fit into a list.
#[must_use]
pub fn question(person: &str, sites: &[String], language: Language, callback: &str) -> Option<Value> {
    if sites.len() > ROWS_MAX {
        return None;
    }
    let (text, button) = words(language);
    let row = |site: &String| {
        let title: String = site.chars().take(TITLE_MAX).collect();
        json!({ "id": format!("{CHOICE}{site}"), "title": title })
    };
    let rows: Vec<Value> = sites.iter().map(row).collect();
    let mut request = json!({
        "messaging_product": "whatsapp",
        "recipient_type": "individual",
        "type": "interactive",
        "biz_opaque_callback_data": callback,
        "interactive": {
            "type": "list",
            "body": { "text": text },
            "action": { "button": button, "sections": [{ "title": button, "rows": rows }] },
        },
    });
    let is_number = person.bytes().all(|byte| byte.is_ascii_digit());
    request[if is_number { "to" } else { "recipient" }] = json!(person);
    Some(request)
}

#[must_use]
pub fn callback(id: &str) -> String {
    format!("{OURS}question/{id}")
}

/// The question, and what opens the list: at most 20 characters (Meta).
fn words(language: Language) -> (&'static str, &'static str) {
    match language {
        Language::English => ("Which site is this for? What you wrote goes there.", "Choose a site"),
        Language::German => ("Für welchen Standort ist das? Ihre Nachricht geht dorthin.", "Standort wählen"),
        Language::French => ("Pour quel site est-ce ? Votre message y sera transmis.", "Choisir un site"),
        Language::Spanish => ("¿Para qué sede es esto? Su mensaje se enviará allí.", "Elegir una sede"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tap_on_a_question_names_the_site() {
        let sites = ["shop-kassel".to_owned(), "a-name-that-is-longer-than-a-row".to_owned()];
        let asked = question("491511", &sites, Language::German, &callback("x")).expect("it fits");
        assert_eq!(asked["to"], "491511");
        let rows = asked["interactive"]["action"]["sections"][0]["rows"].as_array().expect("rows");
        assert_eq!(rows[1]["title"].as_str().map(str::len), Some(TITLE_MAX));
        for (row, site) in rows.iter().zip(&sites) {
            let item = Item { tapped: row["id"].as_str().map(str::to_owned), ..Item::default() };
            assert_eq!(chosen(&item), Some(site.as_str()));
        }
        let receipt = Item { callback: Some(callback("x")), ..Item::default() };
        assert!(is_receipt(&receipt) && !is_receipt(&Item::default()));
        assert_eq!(question("US.1x", &sites, Language::English, "c").expect("it fits")["recipient"], "US.1x");
        assert_eq!(question("1", &vec!["s".to_owned(); 11], Language::English, "c"), None);
    }

    #[test]
    fn question_texts_fit_whatsapps_limits() {
        for language in [Language::English, Language::German, Language::French, Language::Spanish] {
            let (text, button) = words(language);
            assert!(text.chars().count() <= 1_024 && button.chars().count() <= 20, "{button}");
        }
    }
}
