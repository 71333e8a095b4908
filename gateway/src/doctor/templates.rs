//! The templates that rules name: they exist, are approved, and have the blanks that the rules fill.

use std::collections::BTreeMap;

use super::Findings;
use super::account::{Account, report};
use crate::alert::form::{Facts, Listed, obstacle};
use crate::alert::message::Template;
use crate::config::{Config, Connection};
use crate::whatsapp::catalogue;
use crate::whatsapp::client::Client;
use crate::whatsapp::graph::NoAnswer;

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
    let known = match read_all(business, account, client).await {
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

async fn read_all(business: &str, account: &Account, client: &Client) -> Result<Known, NoAnswer> {
    let mut known = Known::new();
    let mut after = None;
    for _ in 0..PAGES_MAX {
        let page =
            catalogue::read(&client.ask(&account.api, &catalogue::path(business, after.as_deref())).await?);
        known.extend(page.templates.into_iter().map(|(name, language, facts)| ((name, language), facts)));
        after = page.after;
        if after.is_none() {
            break;
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
    if facts.is_some_and(Facts::is_marketing) {
        findings.warn(
            "templates",
            format!(
                "{title} is of the category marketing: it costs more, and Meta drops some of them (131049)"
            ),
            "word it as the report of something that happened, and submit it as utility",
        );
    }
}
