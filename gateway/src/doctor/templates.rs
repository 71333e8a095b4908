//! The templates that rules name: they exist, are approved, and have the blanks that the rules fill.

use std::collections::BTreeMap;

use super::Findings;
use super::account::{Account, report};
use crate::config::{Config, Connection};
use crate::outbox::message::Template;
use crate::outbox::window::{CatalogueEntry, TemplateInfo, obstacle};
use crate::rule::definition::Rule;
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
    let (with, without) = rules(config, connection);
    if let Some(rule) = without.first() {
        findings.warn(
            "templates",
            format!("{} of the rules have no template, for example `{}`", without.len(), rule.name),
            "their alerts wait when a person has not written for 24 h; add to each rule: template = { name = \"alarm_v1\", language = \"en\", \
             parameters = [\"{{ text }}\"] }, the one that `bellwire setup --template` creates",
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

/// Those with a template and those without. Rules that the gateway added, of which nobody wrote a line, are not among them.
fn rules<'a>(config: &'a Config, connection: &Connection) -> (Vec<&'a Rule>, Vec<&'a Rule>) {
    let rules = config.rules.iter().map(AsRef::<Rule>::as_ref).take(config.written_rules);
    rules.filter(|rule| rule.connection == connection.name).partition(|rule| !rule.templates.is_empty())
}

type Known = BTreeMap<(String, String), TemplateInfo>;

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
    let listed = facts.map_or(CatalogueEntry::Missing, |facts| CatalogueEntry::Facts(facts.clone()));
    let title = format!("the template {} ({})", template.name, template.language);
    if let Some(obstacle) = obstacle(template, &listed) {
        findings.fail(
            "templates",
            format!("{title} {obstacle}"),
            "WhatsApp Manager > Message templates: create or correct it there, or change the rule; approval takes minutes to a day",
        );
    }
    if facts.is_some_and(TemplateInfo::is_marketing) {
        findings.warn(
            "templates",
            format!(
                "{title} is of the category marketing: it costs more, and Meta drops some of them (131049)"
            ),
            "word it as the report of something that happened, and submit it as utility",
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{LoadOptions, read};

    #[test]
    fn rules_that_nobody_wrote_are_not_counted() {
        let text = r#"
[site]
name = "S"
owner = ["nino"]
[mqtt]
url = "mqtt://127.0.0.1"
[[connection]]
name = "main"
phone_number_id = "1"
access_token_file = "t"
app_secret_file = "s"
verify_token_file = "v"
[[contact]]
id = "nino"
phone = "+995 555 12 34 56"
[[rule]]
name = "bare"
topic = "a"
message = "x"
notify = ["nino"]
[[rule]]
name = "bellwire-disk"
topic = "$bellwire/disk"
when = "payload != 'ok'"
message = "The disk: {{ payload }}"
notify = ["nino"]
[home_assistant]
notify = ["nino"]
[[rule]]
name = "ready"
topic = "b"
message = "x"
notify = ["nino"]
template = { name = "alarm_v1", language = "en" }
"#;
        let wishes = LoadOptions { without_secrets: true, ..LoadOptions::default() };
        let config = read("b.toml", text, &wishes).expect("good");
        assert_eq!(config.rules.len(), 12, "with the owner's and Home Assistant's");
        let names = |rules: Vec<&Rule>| rules.iter().map(|rule| rule.name.0.clone()).collect::<Vec<_>>();
        let (with, without) = rules(&config, &config.connections[0]);
        assert_eq!(
            (names(with), names(without)),
            (vec!["ready".to_owned()], vec!["bare".to_owned(), "bellwire-disk".to_owned()])
        );
    }
}
