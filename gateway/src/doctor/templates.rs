//! The templates that rules name: they exist, are approved, and have the blanks that the rules fill.

use std::collections::BTreeMap;

use serde_json::Value;

use super::Findings;
use super::account::{Account, report};
use crate::alert::form::{Facts, Listed, obstacle};
use crate::alert::message::Template;
use crate::config::{Config, Connection};
use crate::whatsapp::client::Client;

/// Meta allows 250 templates before verification and 6,000 after; a page has 100.
const PAGES_MAX: usize = 60;

pub async fn examine(
    findings: &mut Findings,
    config: &Config,
    connection: &Connection,
    account: &Account,
    client: &Client,
) {
    let rules = config.rules.iter().filter(|rule| rule.connection == connection.name);
    let (with, without): (Vec<_>, Vec<_>) = rules.partition(|rule| !rule.templates.is_empty());
    if let Some(rule) = without.first() {
        findings.warn(
            "templates",
            format!("{} of the rules have no template, for example `{}`", without.len(), rule.name),
            "their alerts wait when a person has not written for 24 h; give each a template",
        );
    }
    let Some(business) = connection.business_account_id.as_ref().filter(|_| !with.is_empty()) else { return };
    let known = match catalogue(business, account, client).await {
        Ok(known) => known,
        Err(error) => {
            report(findings, "templates", "the templates cannot be read", &error);
            return;
        }
    };
    let before = findings.found.len();
    for rule in &with {
        for template in &rule.templates {
            judge(findings, template, &known);
        }
    }
    if findings.found.len() == before {
        findings
            .good("templates", "every template of the rules is approved and has the blanks that they fill");
    }
}

type Known = BTreeMap<(String, String), Facts>;

async fn catalogue(
    business: &str,
    account: &Account,
    client: &Client,
) -> Result<Known, crate::whatsapp::graph::NoAnswer> {
    let mut known = Known::new();
    let mut after = String::new();
    for _ in 0..PAGES_MAX {
        let path = format!(
            "{business}/message_templates?fields=name,language,status,category,components,parameter_format&limit=100{after}"
        );
        let page = client.ask(&account.api, &path).await?;
        let items = page["data"].as_array().into_iter().flatten();
        known.extend(items.filter_map(|item| {
            let name = (item["name"].as_str()?.to_owned(), item["language"].as_str()?.to_owned());
            Some((name, facts(item)))
        }));
        match (page["paging"]["next"].as_str(), page["paging"]["cursors"]["after"].as_str()) {
            (Some(_), Some(cursor)) => after = format!("&after={}", crate::whatsapp::graph::escape(cursor)),
            (_, _) => break,
        }
    }
    Ok(known)
}

fn judge(findings: &mut Findings, template: &Template, known: &Known) {
    let facts = known.get(&(template.name.clone(), template.language.clone()));
    let listed = facts.map_or(Listed::Missing, |facts| Listed::Facts(facts.clone()));
    let title = format!("the template {} ({})", template.name, template.language);
    if let Some(obstacle) = obstacle(template, &listed) {
        findings.fail(
            "templates",
            format!("{title} {obstacle}"),
            "WhatsApp Manager > Message templates: create or correct it there, or change the rule; approval takes minutes to a day",
        );
    }
    if facts.is_some_and(|facts| facts.category == "MARKETING") {
        findings.warn(
            "templates",
            format!(
                "{title} is of the category marketing: it costs more, and Meta drops some of them (131049)"
            ),
            "word it as the report of something that happened, and submit it as utility",
        );
    }
}

/// What of a template matters to us.
fn facts(item: &Value) -> Facts {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let components: Vec<&Value> = item["components"].as_array().into_iter().flatten().collect();
    let component = |kind: &str| components.iter().copied().find(|one| one["type"] == kind);
    let blanks =
        component("BODY").map(|body| blanks(body["text"].as_str().unwrap_or_default())).unwrap_or_default();
    let named = item["parameter_format"] == "NAMED";
    let header = component("HEADER").filter(|header| {
        header["format"] != "TEXT" || header["text"].as_str().is_some_and(|text| text.contains("{{"))
    });
    let buttons = component("BUTTONS").and_then(|buttons| buttons["buttons"].as_array());
    let quick = buttons.into_iter().flatten().filter(|button| button["type"] == "QUICK_REPLY").count();
    Facts {
        status: text(&item["status"]),
        category: text(&item["category"]),
        parameters: u32::try_from(blanks.len()).unwrap_or(u32::MAX),
        names: if named { blanks } else { Vec::new() },
        header: header.map(|header| text(&header["format"])),
        quick_replies: u32::try_from(quick).unwrap_or(u32::MAX),
    }
}

/// What stands between `{{` and `}}`, each once.
fn blanks(text: &str) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    for rest in text.split("{{").skip(1) {
        let Some((name, _)) = rest.split_once("}}") else { continue };
        if !found.iter().any(|known| known == name.trim()) {
            found.push(name.trim().to_owned());
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blanks_are_counted_once() {
        assert_eq!(blanks("{{1}}: {{2}} since {{1}}"), ["1", "2"]);
        assert_eq!(blanks("no {{ site }} here {{"), ["site"]);
    }
}
