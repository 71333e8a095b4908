//! What Meta tells of the account, the number and the templates: every webhook field but `messages` (docs/cloud-api.md 3.8).

/// What becomes of the business account: restrictions, bans, their end.
mod account;
/// Who gets what people write to the number.
pub mod routing;

use serde_json::Value;

use crate::contact::severity::Severity;
use crate::reply::inbound::{AccountNotice, TemplateNews};
use crate::time::Timestamp;

/// The fact that says how many people may be written to first in a day.
pub const MESSAGING_LIMIT: &str = "messaging_limit";

/// What a hub of ours has to say itself (docs/hub.md); Meta has no such field.
pub const HUB: &str = "bellwire_hub";

/// `None` for a field that is stored, and nothing else: echoes of what we wrote ourselves are never commands.
#[must_use]
pub fn read(account: Option<&str>, field: &str, value: &Value) -> Option<AccountNotice> {
    let (severity, text, facts, template) = match field {
        "message_template_status_update" | "message_template_quality_update"
            if value["new_quality_score"].is_string() =>
        {
            template_quality(value)
        }
        "message_template_status_update" => template_status(value),
        "message_template_components_update" => (
            Severity::Info,
            format!("{} was edited", template_name(value)),
            vec![],
            news(value, TemplateNews::Changed),
        ),
        "template_category_update" => template_category(value),
        "phone_number_quality_update" => number_quality(value),
        "phone_number_name_update" => {
            let (name, decision) = (words(&value["requested_verified_name"]), words(&value["decision"]));
            let (name, decision) = (name.unwrap_or_default(), decision.unwrap_or_default());
            let refused = decision == "REJECTED";
            let text =
                format!("the display name “{name}” of {} is {}", number(value), decision.to_lowercase());
            (
                if refused { Severity::Warning } else { Severity::Info },
                text,
                vec![("name_status", decision)],
                None,
            )
        }
        // An integer in Meta's example, a word in its table; -1 is no limit.
        "business_capability_update" => {
            let limit = words(&value["max_daily_conversations_per_business"])
                .or_else(|| words(&value["max_daily_conversation_per_phone"]));
            let limit = limit.map(|limit| if limit == "-1" { "unlimited".to_owned() } else { limit });
            let text =
                format!("people who may be written to first in a day: {}", limit.clone().unwrap_or_default());
            (Severity::Info, text, limit.map(|limit| (MESSAGING_LIMIT, limit)).into_iter().collect(), None)
        }
        "account_update" => account::update(value),
        "account_alerts" => account_alert(&value["alert_info"]),
        "account_review_update" => {
            let decision = words(&value["decision"]).unwrap_or_default();
            let severity = if decision == "REJECTED" { Severity::Critical } else { Severity::Info };
            let text = format!("Meta's review of the account: {}", decision.to_lowercase());
            (severity, text, vec![("review", decision)], None)
        }
        // Somebody changes the number's two-step PIN: worth waking the owner if it was not the owner.
        "security" => {
            let event = words(&value["event"]).unwrap_or_default();
            let text = format!(
                "{}: {}; if this was not you, secure the account in WhatsApp Manager",
                number(value),
                spoken(&event)
            );
            (Severity::Critical, text, vec![("security", event)], None)
        }
        HUB => hub(value),
        "standby" => routing::standby(),
        "messaging_handovers" => routing::handover(value)?,
        _ => return None,
    };
    Some(AccountNotice {
        account: routing::concerned(value).or_else(|| account.map(str::to_owned)),
        at: None,
        field: field.to_owned(),
        severity,
        text: or_where_to_look(text, field),
        facts: facts.into_iter().map(|(key, value)| (key.to_owned(), value)).collect(),
        template,
    })
}

/// When it was so: hand-overs have a time of their own, the rest that of its `entry`.
pub(super) fn since(notice: AccountNotice, value: &Value, entry: &Value) -> AccountNotice {
    AccountNotice { at: moment(&value["timestamp"]).or_else(|| moment(&entry["time"])), ..notice }
}

/// Seconds. What is larger than they will be for three thousand years are milliseconds.
pub(super) fn moment(value: &Value) -> Option<Timestamp> {
    let number = value.as_i64().or_else(|| value.as_str()?.parse().ok()).filter(|number| *number > 0)?;
    Some(Timestamp(if number > 100_000_000_000 { number } else { number * 1_000 }))
}

/// An alert without its words is one all the same.
fn or_where_to_look(text: String, field: &str) -> String {
    match text.trim() {
        "" => format!("Meta reports something about the account ({field}); WhatsApp Manager shows what"),
        _ => text,
    }
}

/// A sentence that is told as it is.
fn hub(value: &Value) -> Said {
    let severity = match value["severity"].as_str() {
        Some("info") => Severity::Info,
        Some("critical") => Severity::Critical,
        _ => Severity::Warning,
    };
    (severity, words(&value["text"]).unwrap_or_default(), vec![], None)
}

type Said = (Severity, String, Vec<(&'static str, String)>, Option<(String, String, TemplateNews)>);

fn template_status(value: &Value) -> Said {
    let status = words(&value["event"]).unwrap_or_default();
    // What takes a template out of use; the rest is news.
    let usable = matches!(status.as_str(), "APPROVED" | "REINSTATED");
    let pending = matches!(status.as_str(), "PENDING" | "IN_APPEAL" | "FLAGGED");
    let ends = date(&value["disable_info"]["disable_date"]).filter(|_| !usable && status != "DISABLED");
    let severity = if (usable || pending) && ends.is_none() { Severity::Info } else { Severity::Warning };
    let why = [&value["rejection_info"]["reason"], &value["other_info"]["description"], &value["reason"]];
    let why = why.into_iter().find_map(words).filter(|why| why != "NONE");
    let why = why.map(|why| format!(" ({why})")).unwrap_or_default();
    let then = ends.map(|ends| {
        format!(
            ": Meta disables it on {ends}; improve it in WhatsApp Manager, or make another and name it in the rules before then"
        )
    });
    let text = format!("{} is {}{why}{}", template_name(value), spoken(&status), then.unwrap_or_default());
    let news = match status.as_str() {
        "FLAGGED" => TemplateNews::Changed, // it is sent until it is disabled
        "REINSTATED" => TemplateNews::Status("APPROVED".to_owned()),
        _ => TemplateNews::Status(status),
    };
    (severity, text, vec![], self::news(value, news))
}

fn template_quality(value: &Value) -> Said {
    let quality = words(&value["new_quality_score"]).unwrap_or_default();
    let severity =
        if matches!(quality.as_str(), "RED" | "YELLOW") { Severity::Warning } else { Severity::Info };
    let then = if quality == "RED" { "; Meta pauses it, so fewer or better messages are needed" } else { "" };
    (
        severity,
        format!("the quality of {} is {}{then}", template_name(value), quality.to_lowercase()),
        vec![],
        None,
    )
}

/// Marketing costs more and is limited per person (131049); an alarm should be utility.
fn template_category(value: &Value) -> Said {
    let correct = words(&value["correct_category"]);
    let new = words(&value["new_category"]).unwrap_or_default();
    let category = correct.clone().unwrap_or_else(|| new.clone());
    let when = if correct.is_some() { "becomes" } else { "is now" };
    let severity = if category == "MARKETING" { Severity::Warning } else { Severity::Info };
    let text = format!("{} {when} {}", template_name(value), category.to_lowercase());
    (severity, text, vec![], news(value, TemplateNews::Changed))
}

fn number_quality(value: &Value) -> Said {
    let limit =
        words(&value["max_daily_conversations_per_business"]).or_else(|| words(&value["current_limit"]));
    let text = format!("{}: {}", number(value), spoken(&words(&value["event"]).unwrap_or_default()));
    let lower = matches!(value["event"].as_str(), Some("DOWNGRADE" | "FLAGGED"));
    let severity = if lower { Severity::Warning } else { Severity::Info };
    (severity, text, limit.map(|limit| (MESSAGING_LIMIT, limit)).into_iter().collect(), None)
}

fn account_alert(info: &Value) -> Said {
    let text = words(&info["alert_description"]).or_else(|| words(&info["alert_type"])).unwrap_or_default();
    let severe = matches!(info["alert_severity"].as_str(), Some("CRITICAL" | "WARNING"));
    (if severe { Severity::Warning } else { Severity::Info }, text, vec![], None)
}

fn news(value: &Value, news: TemplateNews) -> Option<(String, String, TemplateNews)> {
    Some((words(&value["message_template_name"])?, words(&value["message_template_language"])?, news))
}

fn template_name(value: &Value) -> String {
    let part = |key: &str| words(&value[key]).unwrap_or_default();
    format!("template {} ({})", part("message_template_name"), part("message_template_language"))
}

fn number(value: &Value) -> String {
    words(&value["display_phone_number"])
        .map_or_else(|| "the number".to_owned(), |number| format!("the number …{}", last(&number)))
}

/// Four digits tell people which number it is, and nobody else whose.
fn last(number: &str) -> &str {
    number.char_indices().rev().nth(3).map_or(number, |(at, _)| &number[at..])
}

/// `PIN_CHANGED` as people say it.
fn spoken(word: &str) -> String {
    word.to_lowercase().replace('_', " ")
}

fn words(value: &Value) -> Option<String> {
    value.as_str().map(str::to_owned).or_else(|| value.as_i64().map(|number| number.to_string()))
}

/// As Meta writes it, `January 31, 2027`; or of the seconds that it writes elsewhere.
fn date(value: &Value) -> Option<String> {
    let seconds = value.as_i64().or_else(|| value.as_str()?.parse().ok());
    seconds.map(|seconds| Timestamp(seconds.saturating_mul(1_000)).day()).or_else(|| words(value))
}

#[cfg(test)]
mod tests;
