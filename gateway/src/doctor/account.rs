//! The token, the number, the business account, its subscription (docs/cloud-api.md 6).

use std::time::Duration;

use hyper::Method;
use secrecy::ExposeSecret;
use serde_json::Value;

use super::Findings;
use crate::config::versions::{self, VersionSupport};
use crate::config::{Connection, secret};
use crate::outbox::retry_policy::{Class, Refusal};
use crate::time::{Clock, SystemClock, Timestamp, duration_for_people};
use crate::whatsapp::client::Client;
use crate::whatsapp::graph::{GraphApi, NoAnswer, escape};

/// What the token must be allowed, and what for.
const SCOPES: [(&str, &str); 2] = [
    ("whatsapp_business_messaging", "sending and the webhook field `messages` need"),
    (
        "whatsapp_business_management",
        "templates and every other webhook field (`standby`, `account_update`, …) need",
    ),
];
/// A person needs some days to make a new token.
const SOON: Duration = Duration::from_secs(7 * 86_400);
/// Meta's certificates and our expiry times bear minutes, not hours.
const SKEW_MAX: Duration = Duration::from_secs(120);

pub const TOKEN_PLACE: &str = "business.facebook.com > Settings > Users > System users > your user > Generate token, with \
     whatsapp_business_messaging and whatsapp_business_management, expiry never";
pub const NEW_TOKEN: &str = "generate a new one: business.facebook.com > Settings > Users > System users > your user, with \
     whatsapp_business_messaging and whatsapp_business_management, expiry never; write it into the file, it is used at once";

/// What the other checks need to know.
#[derive(Debug)]
pub struct Account {
    pub api: GraphApi,
    pub callbacks: Callbacks,
}

/// Where Meta sends webhooks: messages go to the narrowest address there is, notices of the account and its templates always to the
/// app's own (Meta, webhook overrides).
#[derive(Debug, Default)]
pub struct Callbacks {
    pub app: Option<String>,
    /// An address of the account or the number that counts instead, and whose it is.
    pub instead: Option<(&'static str, String)>,
}

pub async fn examine(findings: &mut Findings, connection: &Connection, client: &Client) -> Option<Account> {
    let token = match secret(&connection.access_token) {
        Ok(token) => token,
        Err(error) => {
            findings.fail("token", error.to_string(), NEW_TOKEN);
            return None;
        }
    };
    let api = GraphApi {
        url: connection.api_url.clone(),
        version: connection.api_version.clone(),
        access_token: token,
    };
    let app = examine_token(findings, connection, client, &api).await?;
    let callbacks = examine_number(findings, connection, client, &api).await;
    match &connection.business_account_id {
        Some(business) => {
            examine_business(findings, connection, business, client, &api).await;
            examine_subscription(findings, business, app.as_deref(), client, &api).await;
        }
        None => findings.warn(
            "business",
            "the configuration names no business account: neither its subscription nor its templates can be checked",
            "add business_account_id to the connection; it stands above the number under WhatsApp > API Setup",
        ),
    }
    Some(Account { api, callbacks })
}

/// Meta does not refuse a version that has ended, so that nobody would notice.
pub fn judge_version(findings: &mut Findings, connection: &Connection, today: Timestamp) {
    match versions::standing(&connection.api_version, today) {
        VersionSupport::Ended(what) => findings.fail("version", what, versions::next_step()),
        VersionSupport::Ends(what) => findings.warn("version", what, versions::next_step()),
        VersionSupport::Lives => {}
    }
}

/// `None` when nothing else can be asked with it; otherwise the app that it belongs to.
async fn examine_token(
    findings: &mut Findings,
    connection: &Connection,
    client: &Client,
    api: &GraphApi,
) -> Option<Option<String>> {
    let token = escape(api.access_token.expose_secret());
    let url = format!("{}/{}/debug_token?input_token={token}", api.url, api.version);
    let answered = client.request(Method::GET, &url, Some(&api.access_token), None).await;
    if let Some(date) = answered.as_ref().ok().and_then(|answered| answered.date) {
        judge_skew(findings, date, SystemClock.now());
    }
    let answer = match answered.and_then(|answered| answered.json()) {
        Ok(answer) => answer["data"].clone(),
        Err(error) => {
            report(findings, "token", "the token cannot be checked", &error);
            return None;
        }
    };
    if answer["is_valid"] == false {
        let why = answer["error"]["message"].as_str().unwrap_or("Meta gave no reason");
        findings.fail("token", format!("the access token is not valid: {why}"), NEW_TOKEN);
        return None;
    }
    judge_token(findings, connection, &answer, SystemClock.now());
    let app = answer["app_id"].as_str().map(str::to_owned);
    Some(app.or_else(|| answer["app_id"].as_i64().map(|id| id.to_string())))
}

fn judge_token(findings: &mut Findings, connection: &Connection, answer: &Value, now: Timestamp) {
    let before = findings.found.len();
    let granted: Vec<&str> =
        answer["scopes"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    for (scope, purpose) in SCOPES.into_iter().filter(|(scope, _)| !granted.contains(scope)) {
        findings.fail("token", format!("the token lacks the permission {scope}, which {purpose}"), NEW_TOKEN);
    }
    let expires =
        answer["expires_at"].as_i64().filter(|at| *at > 0).map(|at| Timestamp(at.saturating_mul(1_000)));
    if let Some(at) = expires {
        let left = now.until(at);
        if left.is_zero() {
            findings.fail("token", format!("the token expired on {at}"), NEW_TOKEN);
        } else if left < SOON {
            let left = duration_for_people(left);
            findings.warn("token", format!("the token expires in {left}, on {at}"), NEW_TOKEN);
        }
    }
    if answer["type"].as_str().is_some_and(|kind| kind != "SYSTEM_USER") {
        findings.warn("token", "the token is a person's, and ends with the person's session", NEW_TOKEN);
    }
    if let Some(business) = &connection.business_account_id {
        let targets = answer["granular_scopes"].as_array().into_iter().flatten();
        let elsewhere = targets
            .filter_map(|scope| scope["target_ids"].as_array())
            .any(|ids| !ids.is_empty() && !ids.iter().any(|id| id == business.as_str()));
        if elsewhere {
            findings.fail(
                "token",
                format!("the token is for other business accounts than {business}"),
                "assign the account to the system user (Settings > System users > Assign assets), then generate a new token",
            );
        }
    }
    if findings.found.len() == before {
        let until = expires.map_or("never expires".to_owned(), |at| format!("is valid until {at}"));
        findings.good("token", format!("it has both permissions and {until}"));
    }
}

/// Answers where Meta sends webhooks.
async fn examine_number(
    findings: &mut Findings,
    connection: &Connection,
    client: &Client,
    api: &GraphApi,
) -> Callbacks {
    let id = &connection.phone_number_id;
    let fields =
        "id,display_phone_number,verified_name,status,quality_rating,platform_type,code_verification_status";
    let answer = match client.ask(api, &format!("{id}?fields={fields}")).await {
        Ok(answer) => answer,
        Err(error) => {
            report(findings, "number", &format!("the number {id} cannot be read"), &error);
            return Callbacks::default();
        }
    };
    judge_number(findings, &answer);
    // Fields that not every account knows are asked apart: an unknown one refuses the whole request (code 100).
    if let Ok(answer) = client.ask(api, &format!("{id}?fields=health_status")).await {
        judge_health(findings, &answer["health_status"]);
    }
    let answer = client.ask(api, &format!("{id}?fields=webhook_configuration")).await;
    let configured = answer.map(|mut answer| answer["webhook_configuration"].take()).unwrap_or_default();
    let address = |place: &str| configured[place].as_str().filter(|url| !url.is_empty()).map(str::to_owned);
    let of_number = address("phone_number").map(|url| ("number", url));
    let instead = of_number.or_else(|| Some(("account", address("whatsapp_business_account")?)));
    let app = address("application");
    Callbacks { instead: instead.filter(|(_, url)| Some(url) != app.as_ref()), app }
}

fn judge_number(findings: &mut Findings, answer: &Value) {
    let before = findings.found.len();
    let text = |key: &str| answer[key].as_str().unwrap_or_default();
    if !matches!(text("status"), "CONNECTED" | "") {
        findings.fail(
            "number",
            format!("the number is {}", text("status").to_lowercase()),
            "WhatsApp Manager > Phone numbers shows why; a number that was never registered needs POST /{phone_number_id}/register with a PIN",
        );
    }
    if !matches!(text("platform_type"), "CLOUD_API" | "") {
        findings.fail(
            "number",
            "the number does not run on the Cloud API",
            "move it: WhatsApp Manager > Phone numbers, or delete it from the phone's app first",
        );
    }
    match text("quality_rating") {
        "RED" => findings.fail(
            "number",
            "people block or report this number: its quality is red, and Meta may limit it",
            "send less, and only what people asked for",
        ),
        "YELLOW" => findings.warn(
            "number",
            "the number's quality is yellow",
            "send less, and only what people asked for",
        ),
        _ => {}
    }
    if findings.found.len() == before {
        findings.good(
            "number",
            format!("{} ({}) is connected", text("display_phone_number"), text("verified_name")),
        );
    }
}

/// Meta's own diagnosis, for the number, its account and its business.
fn judge_health(findings: &mut Findings, health: &Value) {
    for entity in health["entities"].as_array().into_iter().flatten() {
        let kind = entity["entity_type"].as_str().unwrap_or("ENTITY").to_lowercase().replace('_', " ");
        let state = entity["can_send_message"].as_str().unwrap_or("AVAILABLE");
        for error in entity["errors"].as_array().into_iter().flatten() {
            let code = error["error_code"].as_i64().unwrap_or_default();
            let what = error["error_description"].as_str().unwrap_or("Meta gave no description");
            let next = error["possible_solution"].as_str().unwrap_or("look into WhatsApp Manager");
            let what = format!("the {kind} is {}: {what} ({code})", state.to_lowercase());
            if state == "BLOCKED" {
                findings.fail("health", what, next)
            } else {
                findings.warn("health", what, next)
            }
        }
        for more in entity["additional_info"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            findings.warn(
                "health",
                format!("the {kind} is limited: {more}"),
                "verify the business in Meta's Security Centre",
            );
        }
    }
    if health["can_send_message"] == "AVAILABLE" {
        findings.good("health", "Meta says that messages can be sent");
    }
}

async fn examine_business(
    findings: &mut Findings,
    connection: &Connection,
    business: &str,
    client: &Client,
    api: &GraphApi,
) {
    match client.ask(api, &format!("{business}/phone_numbers?fields=id&limit=100")).await {
        Err(error) => {
            report(findings, "business", &format!("the business account {business} cannot be read"), &error)
        }
        Ok(answer) => {
            let mut numbers = answer["data"].as_array().into_iter().flatten();
            if numbers.any(|number| number["id"] == connection.phone_number_id.as_str()) {
                findings.good("business", format!("the number belongs to the account {business}"));
            } else {
                findings.fail(
                    "business",
                    format!(
                        "the number {} does not belong to the account {business}",
                        connection.phone_number_id
                    ),
                    "copy both ids from the same page: WhatsApp > API Setup",
                );
            }
        }
    }
}

async fn examine_subscription(
    findings: &mut Findings,
    business: &str,
    app: Option<&str>,
    client: &Client,
    api: &GraphApi,
) {
    let answer = match client.ask(api, &format!("{business}/subscribed_apps")).await {
        Ok(answer) => answer,
        Err(error) => {
            report(findings, "subscription", "the subscription cannot be read", &error);
            return;
        }
    };
    let ids = answer["data"].as_array().into_iter().flatten();
    let ids: Vec<&str> = ids.filter_map(|one| one["whatsapp_business_api_data"]["id"].as_str()).collect();
    let next =
        format!("subscribe it: bellwire setup, or POST /{business}/subscribed_apps with an empty body");
    if ids.is_empty() {
        findings.fail(
            "subscription",
            "no app is subscribed to the account: no reply and no receipt arrives",
            next,
        );
    } else if let Some(app) = app.filter(|app| !ids.contains(app)) {
        findings.fail(
            "subscription",
            format!("the token's app {app} is not subscribed, but {} is", ids.join(", ")),
            next,
        );
    } else {
        findings.good("subscription", "the app is subscribed to the account's webhooks");
    }
}

/// What a question that was not answered means.
pub fn report(findings: &mut Findings, check: &'static str, what: &str, error: &NoAnswer) {
    let next = match error {
        NoAnswer::Unreachable(_) => {
            "does the machine reach the internet, resolve names, and have its clock set? (ping graph.facebook.com; timedatectl)".to_owned()
        }
        NoAnswer::NotTheApi(_) => "check api_url, and whether the line asks for a login first".to_owned(),
        NoAnswer::Refused(refusal) => next_after(refusal),
    };
    findings.fail(check, format!("{what}: {error}"), next);
}

fn next_after(refusal: &Refusal) -> String {
    match refusal.class {
        Class::Auth | Class::Permission => NEW_TOKEN.to_owned(),
        Class::Throttle | Class::PairThrottle | Class::HubThrottle => {
            "Meta asks for a pause: try again in an hour".to_owned()
        }
        Class::Config if refusal.code == 100 => format!(
            "check phone_number_id and business_account_id against WhatsApp > API Setup, and that the token may see them ({})",
            refusal.advice
        ),
        Class::Account
        | Class::Registration
        | Class::Config
        | Class::Request
        | Class::Recipient
        | Class::Window
        | Class::Limit
        | Class::Quality
        | Class::ServerAmbiguous
        | Class::Maintenance
        | Class::Media
        | Class::Template
        | Class::Unknown => refusal.advice.clone(),
    }
}

/// Compares the two clocks, ours and Meta's.
fn judge_skew(findings: &mut Findings, theirs: Timestamp, ours: Timestamp) {
    let apart = ours.until(theirs).max(theirs.until(ours));
    if apart > SKEW_MAX {
        findings.fail(
            "clock",
            format!("this machine's clock and Meta's are {} apart", duration_for_people(apart)),
            "let it reach a time server: timedatectl set-ntp true",
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::{Severity, worst};

    #[test]
    fn clocks_may_be_two_minutes_apart() {
        let now = Timestamp(1_795_000_000_000);
        for (apart, severity) in
            [(0, Severity::Good), (119, Severity::Good), (121, Severity::Error), (90_000, Severity::Error)]
        {
            for theirs in [now + Duration::from_secs(apart), Timestamp(now.0 - apart.cast_signed() * 1_000)] {
                let mut findings = Findings::default();
                judge_skew(&mut findings, theirs, now);
                assert_eq!(worst(&findings.found), severity, "{apart} s: {:?}", findings.found);
            }
        }
    }
}
