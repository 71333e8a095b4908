//! A number that a hub has (docs/hub.md): whether the hub answers and knows this site. What it needs at Meta is the hub's matter.

use super::Findings;
use crate::config::{Connection, secret};
use crate::outbox::retry_policy::Class;
use crate::whatsapp::client::Client;
use crate::whatsapp::graph::{GraphApi, NoAnswer};

const NEW_TOKEN: &str = "enrol the site again: `bellwire-hub sites code NAME` at the hub makes a code, which the hub changes for a token; \
     write that into hub_token_file";

pub async fn examine(findings: &mut Findings, connection: &Connection, client: &Client) {
    let token = match secret(&connection.access_token) {
        Ok(token) => token,
        Err(error) => return findings.fail("hub", error.to_string(), NEW_TOKEN),
    };
    let api = GraphApi {
        url: connection.api_url.clone(),
        version: connection.api_version.clone(),
        access_token: token,
    };
    let path = format!("{}?fields=id", connection.phone_number_id);
    let Err(error) = client.ask(&api, &path).await else { return };
    let next = match &error {
        NoAnswer::Refused(refusal) if refusal.class == Class::Auth => NEW_TOKEN,
        NoAnswer::Refused(refusal) if refusal.class == Class::Config => {
            "compare phone_number_id with what `bellwire-hub sites show NAME` says at the hub"
        }
        NoAnswer::Refused(_) => "look into the hub's log: Meta refuses it there",
        NoAnswer::Unreachable(_) | NoAnswer::NotTheApi(_) => {
            "check `hub`, the line, and whether a hub is ready at its address (/readyz)"
        }
    };
    findings.fail("hub", format!("the hub does not serve this number: {error}"), next);
}
