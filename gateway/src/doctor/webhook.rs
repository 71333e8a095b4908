//! The way of Meta's webhooks to us: our own listener, then the public address, as far as it can be tried from here.

use hyper::Method;
use secrecy::ExposeSecret;

use super::Findings;
use super::account::Account;
use crate::config::{Config, Connection, secret};
use crate::started_by::StartedBy;
use crate::time::{Clock, SystemClock};
use crate::whatsapp::client::Client;
use crate::whatsapp::graph::escape;

const PATH: &str = "/webhook/whatsapp";

/// What came back from a handshake.
enum HandshakeResult {
    Opens,
    Silent(String),
    Answers(u16),
    /// It answered 200 without our challenge: somebody else's page.
    Stranger,
}

pub async fn examine(
    findings: &mut Findings,
    config: &Config,
    connection: &Connection,
    account: &Account,
    client: &Client,
) {
    for (what, file) in [("app secret", &connection.app_secret), ("verify token", &connection.verify_token)] {
        if let Err(error) = secret(file) {
            findings.fail(
                "webhook",
                format!("{what}: {error}"),
                "App settings > Basic shows the app secret; the verify token is a word of your own",
            );
            return;
        }
    }
    examine_own(findings, config, connection, client).await;
    let callbacks = &account.callbacks;
    if let (Some((whose, _)), Some(app)) = (&callbacks.instead, &callbacks.app) {
        examine_app(findings, connection, client, whose, app).await;
    }
    let instead = callbacks.instead.as_ref();
    let Some(public) = instead.map(|(_, url)| url).or(callbacks.app.as_ref()) else {
        findings.fail(
            "webhook",
            "Meta has no webhook address for this number: no reply and no receipt arrives",
            "App dashboard > WhatsApp > Configuration: enter https://YOUR-NAME/webhook/whatsapp and the verify token, subscribe to `messages`",
        );
        return;
    };
    // The app's own address may be right, and is not the one that counts.
    let public = &match instead {
        Some((whose, url)) => format!("{url}, which counts for this {whose} instead of the app's address,"),
        None => public.clone(),
    };
    match knock(client, instead.map_or(public, |(_, url)| url), connection).await {
        HandshakeResult::Opens => findings.good("webhook", format!("{public} leads to this bellwire")),
        HandshakeResult::Silent(error) => findings.fail(
            "webhook",
            format!("{public} does not answer: {error}"),
            "is the tunnel or proxy running, its certificate valid, the name right? Some routers do not let you reach your own public address: then try it from a phone's mobile line",
        ),
        HandshakeResult::Answers(status) => findings.fail(
            "webhook",
            format!("{public} fails verification: it answers HTTP {status}"),
            "404: the path is not /webhook/whatsapp; 403: the verify token is another; 502: the tunnel does not reach bellwire's port",
        ),
        HandshakeResult::Stranger => findings.fail(
            "webhook",
            format!("{public} answers, but it is not bellwire"),
            "correct the address under WhatsApp > Configuration, or where the tunnel leads",
        ),
    }
}

/// What answers on our own port, on this machine.
async fn examine_own(findings: &mut Findings, config: &Config, connection: &Connection, client: &Client) {
    let mut local = config.http.webhook_listen.unwrap_or(config.http.listen);
    if local.ip().is_unspecified() {
        local.set_ip(std::net::Ipv4Addr::LOCALHOST.into());
    }
    match knock(client, &format!("http://{local}{PATH}"), connection).await {
        HandshakeResult::Opens => {
            findings.good("webhook", format!("bellwire's own listener on port {} verifies", local.port()))
        }
        HandshakeResult::Silent(error) => findings.warn(
            "webhook",
            format!("nothing answers on port {} of this machine: {error}", local.port()),
            format!("start the daemon ({}), then look again", StartedBy::here().start()),
        ),
        HandshakeResult::Answers(status) => findings.fail(
            "webhook",
            format!("the door on port {} refuses our own verify token (HTTP {status})", local.port()),
            "is it another program's port, or was the daemon started with another configuration?",
        ),
        HandshakeResult::Stranger => findings.fail(
            "webhook",
            format!("what answers on port {} is not bellwire", local.port()),
            "give bellwire a port of its own: webhook_listen in [http]",
        ),
    }
}

/// With an override, notices of the account and its templates still go to the app's own address.
async fn examine_app(
    findings: &mut Findings,
    connection: &Connection,
    client: &Client,
    whose: &str,
    app: &str,
) {
    let why = match knock(client, app, connection).await {
        HandshakeResult::Opens => {
            return findings.good("webhook", format!("the app's own address {app} leads here too"));
        }
        HandshakeResult::Silent(error) => error,
        HandshakeResult::Answers(status) => format!("HTTP {status}"),
        HandshakeResult::Stranger => "it is not bellwire".to_owned(),
    };
    findings.warn(
        "webhook",
        format!(
            "an override of this {whose} counts for messages, and notices of the account and its templates go to the app's own \
             address {app}, which does not lead here ({why})"
        ),
        "enter this bellwire's address under WhatsApp > Configuration, or remove the override; until then templates are read every \
         six hours, and of a restriction nothing is heard",
    );
}

/// The handshake that Meta makes (docs/cloud-api.md 3.1).
async fn knock(client: &Client, url: &str, connection: &Connection) -> HandshakeResult {
    let Ok(token) = secret(&connection.verify_token) else {
        return HandshakeResult::Silent("the verify token cannot be read".into());
    };
    let challenge = format!("doctor{}", SystemClock.now().0);
    let mark = if url.contains('?') { '&' } else { '?' };
    let query = format!(
        "hub.mode=subscribe&hub.challenge={challenge}&hub.verify_token={}",
        escape(token.expose_secret())
    );
    match client.request(Method::GET, &format!("{url}{mark}{query}"), None, None).await {
        Err(error) => HandshakeResult::Silent(error.to_string()),
        Ok(answered) if !answered.status.is_success() => HandshakeResult::Answers(answered.status.as_u16()),
        Ok(answered) if answered.body.as_ref() == challenge.as_bytes() => HandshakeResult::Opens,
        Ok(_) => HandshakeResult::Stranger,
    }
}
