//! What becomes of the business account: restrictions, bans, their end.

use serde_json::Value;

use super::{Said, date, spoken, words};
use crate::contact::severity::Severity;
use crate::time::Timestamp;

/// What is known of the account changes only with an event that speaks of it: a partner that was added says nothing of a
/// restriction that goes on.
pub(super) fn update(value: &Value) -> Said {
    let event = words(&value["event"]).unwrap_or_default();
    match event.as_str() {
        "DISABLED_UPDATE" => ban(&value["ban_info"]),
        "REINSTATE" | "REINSTATED" => reinstated(),
        "ACCOUNT_RESTRICTION" => restricted(&value["restriction_info"]),
        "ACCOUNT_VIOLATION" => {
            let kind = words(&value["violation_info"]["violation_type"]).unwrap_or_default();
            let text = format!("the account: account violation, {}", spoken(&kind));
            (Severity::Critical, text, vec![("violation", kind)], None)
        }
        "ACCOUNT_RECONNECTED" => (
            Severity::Info,
            "the account: account reconnected".to_owned(),
            vec![("account", String::new())],
            None,
        ),
        "ACCOUNT_DELETED" | "ACCOUNT_OFFBOARDED" => {
            (Severity::Critical, format!("the account: {}", spoken(&event)), vec![("account", event)], None)
        }
        "PARTNER_APP_UNINSTALLED" | "PARTNER_REMOVED" => news(
            Severity::Warning,
            &event,
            "; if it is the app of this gateway, nothing is received and soon nothing sent: run bellwire doctor",
        ),
        "VOLUME_BASED_PRICING_TIER_UPDATE"
        | "VERIFIED_ACCOUNT"
        | "AD_ACCOUNT_LINKED"
        | "AUTH_INTL_PRICE_ELIGIBILITY_UPDATE"
        | "BUSINESS_PRIMARY_LOCATION_COUNTRY_UPDATE"
        | "MM_LITE_TERMS_SIGNED" => news(Severity::Info, &event, ""),
        _ if event.starts_with("PARTNER_") => news(Severity::Info, &event, ""),
        // A word that nobody has written down may mean anything: a person should look, and nothing is known to hold.
        _ => news(Severity::Warning, &event, "; WhatsApp Manager shows what it means"),
    }
}

fn news(severity: Severity, event: &str, then: &str) -> Said {
    (severity, format!("the account: {}{then}", spoken(event)), vec![], None)
}

fn reinstated() -> Said {
    let lifted = ["account", "restriction", "violation"].map(|name| (name, String::new()));
    (
        Severity::Info,
        "the account is reinstated: Meta has lifted what it had imposed".to_owned(),
        lifted.into(),
        None,
    )
}

fn ban(info: &Value) -> Said {
    let state = words(&info["waba_ban_state"]).unwrap_or_default();
    let on = date(&info["waba_ban_date"]);
    let text = match (state.as_str(), on) {
        ("REINSTATE" | "REINSTATED", _) => return reinstated(),
        ("SCHEDULE_FOR_DISABLE", Some(on)) => format!("Meta disables the account on {on}"),
        ("SCHEDULE_FOR_DISABLE", None) => "Meta is going to disable the account".to_owned(),
        (_, Some(on)) => format!("the account is disabled, since {on}"),
        (_, None) => "the account is disabled".to_owned(),
    };
    let text = format!("{text}; ask for a review in Meta's Business Support Home");
    let state = if state.is_empty() { "DISABLED_UPDATE".to_owned() } else { state };
    (Severity::Critical, text, vec![("account", state)], None)
}

/// One fact each, that holds until Meta lifts it, or until its time is over.
fn restricted(list: &Value) -> Said {
    let (mut said, mut facts) = (Vec::new(), Vec::new());
    for one in list.as_array().into_iter().flatten() {
        let Some(kind) = words(&one["restriction_type"]) else { continue };
        let seconds = one["expiration"].as_i64().or_else(|| one["expiration"].as_str()?.parse().ok());
        let until = seconds.map(|at| format!(" until {}", Timestamp(at.saturating_mul(1_000)).rfc3339()));
        let until = until.unwrap_or_default();
        said.push(format!("{}{until}", spoken(&kind)));
        facts.push((name(&kind), format!("{kind}{until}")));
    }
    if facts.is_empty() {
        said.push("Meta does not say how".to_owned());
        facts.push(("restriction", "ACCOUNT_RESTRICTION".to_owned()));
    }
    (Severity::Critical, format!("the account: account restriction, {}", said.join("; ")), facts, None)
}

/// Meta's page on `account_update` knows these; they are imposed and end one by one.
fn name(kind: &str) -> &'static str {
    match kind {
        "RESTRICTED_BIZ_INITIATED_MESSAGING" => "restriction on messages that we begin",
        "RESTRICTED_CUSTOMER_INITIATED_MESSAGING" => "restriction on answers",
        "RESTRICTED_ADD_PHONE_NUMBER_ACTION" => "restriction on new numbers",
        "RESTRICTED_BUSINESS_INITIATED_CALLING" => "restriction on calls that we begin",
        "RESTRICTED_USER_INITIATED_CALLING" => "restriction on calls to us",
        _ => "restriction",
    }
}
