//! `[[contact]]` and `[[team]]`: who is told, and how each is spoken to.

use std::collections::{BTreeMap, BTreeSet};

use jiff::tz::TimeZone;

use super::section::{At, Section, language, nearest};
use crate::config::{alert_lifecycle, on_call};
use crate::contact::language::{Language, Locale};
use crate::contact::{Contact, People, Phone, Recipient};
use crate::event::topic::TopicPattern;
use crate::ids::ContactId;
use crate::time::{zone, zone_or_why};

/// Every contact and team. The site speaks for whoever says nothing else, and its own section names people: so its
/// language and its zone are looked up first.
pub fn read(root: &Section) -> People {
    let site = root.section("site", "[site]");
    let known = |key| site.as_ref().and_then(|site| site.text(key)).map(|text| text.value);
    let mut people = People::default();
    people.locale = Locale {
        language: known("language").and_then(|code| Language::parse(&code)).unwrap_or_default(),
        zone: known("time_zone").and_then(|name| zone(&name)).unwrap_or(TimeZone::UTC),
    };
    read_contacts(root, &mut people);
    read_teams(root, &mut people);
    people
}

fn read_contacts(root: &Section, people: &mut People) {
    // To look for a number among all contacts, of each contact, took a third of the time of a start with a thousand.
    let mut reached: BTreeSet<(Recipient, ContactId)> = BTreeSet::new();
    for section in root.sections("contact", "[[contact]]") {
        let id = section.required("id");
        let name = section.text("name").map(|text| text.value);
        let to = read_recipient(&section);
        let quiet = alert_lifecycle::read_quiet(&section);
        let may_stop = section.bool("may_stop").unwrap_or(true);
        let roles = section.strings("roles").unwrap_or_default().into_iter().map(|role| role.value).collect();
        let topics = read_places(&section);
        let locale = read_voice(&section, &people.locale);
        if let Some(id) = id {
            // A number that cannot be read has been reported; that nobody has this id would be wrong, and reported of each rule.
            let to = to.unwrap_or_else(|| Recipient::UserId(format!("of {}", id.value)));
            let contact_id = ContactId(id.value.clone());
            people.quiet.extend(quiet.map(|quiet| (contact_id.clone(), quiet)));
            let mut from = reached.range((to.clone(), ContactId(String::new()))..);
            if let Some((_, other)) = from.next().filter(|(reached, _)| *reached == to) {
                section.report(
                    id.offset,
                    format!("`{other}` and `{}` have the same phone number; keep one", id.value),
                );
            }
            if let Some(former) = people.contacts.get(&contact_id) {
                reached.remove(&(former.to.clone(), contact_id.clone()));
            }
            reached.insert((to.clone(), contact_id.clone()));
            let contact = Contact {
                id: contact_id.clone(),
                name: name.unwrap_or_else(|| id.value.clone()),
                to,
                roles,
                topics,
                may_stop,
                locale,
            };
            if people.contacts.insert(contact_id, contact).is_some() {
                section.report(
                    id.offset,
                    format!("there are two contacts `{}`; give each its own id", id.value),
                );
            }
        }
        section.finish();
    }
}

fn read_teams(root: &Section, people: &mut People) {
    let mut members_of = BTreeMap::new();
    for section in root.sections("team", "[[team]]") {
        let id = section.required("id");
        let listed = section.strings("members");
        let is_no_list = listed.is_none() && section.has("members"); // which has been said
        let members = listed.unwrap_or_default();
        if members.is_empty() && !is_no_list {
            section.report(section.offset(), "the team has no members; list contact ids in `members`");
        }
        for member in &members {
            if !people.contacts.contains_key(&ContactId(member.value.clone())) {
                let advice = match nearest(&member.value, people.contacts.keys().map(|id| id.0.as_str())) {
                    Some(known) => format!("did you mean `{known}`?"),
                    None => "add a [[contact]] with this id".to_owned(),
                };
                section.report(member.offset, format!("there is no contact `{}`; {advice}", member.value));
            }
        }
        let rota = on_call::read(&section, &members, &people.locale.zone);
        if let Some(id) = id {
            people.rotas.extend(rota.map(|rota| (id.value.clone(), rota)));
            if people.contacts.contains_key(&ContactId(id.value.clone())) {
                section.report(
                    id.offset,
                    format!("`{}` is a contact already; name the team otherwise", id.value),
                );
            }
            let members = members.into_iter().map(|member| ContactId(member.value)).collect();
            if members_of.insert(id.value.clone(), members).is_some() {
                section
                    .report(id.offset, format!("there are two teams `{}`; give each its own id", id.value));
            }
        }
        section.finish();
    }
    people.teams = members_of;
}

/// Where a person may act.
fn read_places(section: &Section) -> Vec<TopicPattern> {
    let read = |text: At<String>| {
        let parsed = TopicPattern::parse(&text.value);
        parsed.map_err(|error| section.report(text.offset, format!("`topics`: {error}"))).ok()
    };
    section.strings("topics").unwrap_or_default().into_iter().filter_map(read).collect()
}

/// A number, or WhatsApp's user id for somebody who hides theirs.
fn read_recipient(section: &Section) -> Option<Recipient> {
    match section.text("user_id") {
        None => section.required_parsed("phone", Phone::parse).map(Recipient::Phone),
        Some(id) => {
            if section.text("phone").is_some() {
                section.report(
                    id.offset,
                    "a contact has `phone` or `user_id`, not both; keep the phone where it is known",
                );
            }
            let is_id = id
                .value
                .split_once('.')
                .is_some_and(|(country, rest)| country.len() == 2 && !rest.is_empty());
            if !is_id {
                section.report(id.offset, "`user_id` is two letters, a point and more, as in US.13491208655302741918; `bellwire events` shows it");
            }
            is_id.then_some(Recipient::UserId(id.value))
        }
    }
}

/// What the person says, else what the site says.
fn read_voice(section: &Section, site: &Locale) -> Locale {
    Locale {
        language: read_language(section).unwrap_or(site.language),
        zone: read_zone(section).unwrap_or_else(|| site.zone.clone()),
    }
}

pub fn read_language(section: &Section) -> Option<Language> {
    section.parsed("language", language)
}

pub fn read_zone(section: &Section) -> Option<TimeZone> {
    section.parsed("time_zone", zone_or_why)
}

/// Ids of contacts and teams.
pub fn read_people_names(section: &Section, names: Vec<At<String>>, people: &People) -> Vec<String> {
    for name in &names {
        let known = people.knows(&name.value);
        if !known {
            let ids =
                people.contacts.keys().map(|id| id.0.as_str()).chain(people.teams.keys().map(String::as_str));
            let advice = match nearest(&name.value, ids) {
                Some(known) => format!("did you mean `{known}`?"),
                None => "add one with this id".to_owned(),
            };
            section.report(name.offset, format!("there is no contact or team `{}`; {advice}", name.value));
        }
    }
    names.into_iter().map(|name| name.value).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, LoadOptions, read, remarks};

    const FILE: &str = r#"
[site]
name = "Corner Bakery"
time_zone = "Asia/Tbilisi"
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
[[contact]]
id = "heike"
phone = "+49 30 901820"
language = "de"
time_zone = "Europe/Berlin"
[[rule]]
name = "smoke"
topic = "site/{room}/smoke"
message = { en = "Smoke in {{ room }}", de = "Rauch in {{ room }}" }
notify = ["nino", "heike"]
template = { name = "alarm_v1", language = "en_US", parameters = ["{{ text }}"] }
"#;

    fn load(text: &str) -> Result<Config, String> {
        let wishes = LoadOptions { without_secrets: true, ..LoadOptions::default() };
        read("b.toml", text, &wishes).map_err(|problems| problems.to_string())
    }

    #[test]
    fn a_contacts_language_and_zone_default_to_the_sites() {
        let speaks = |config: &Config, id: &str| {
            let locale = config.people.locale(&id.into());
            (locale.language, locale.zone.iana_name().unwrap_or_default().to_owned())
        };
        let config = load(FILE).expect("good");
        assert_eq!(speaks(&config, "nino"), (Language::English, "Asia/Tbilisi".to_owned()));
        assert_eq!(speaks(&config, "heike"), (Language::German, "Europe/Berlin".to_owned()));
        assert_eq!(speaks(&config, "a stranger"), (Language::English, "Asia/Tbilisi".to_owned()));
        let german = FILE.replace("name = \"Corner Bakery\"", "name = \"Corner Bakery\"\nlanguage = \"de\"");
        let config = load(&german).expect("good");
        assert_eq!(speaks(&config, "nino").0, Language::German);
        let rule = &config.rules[0];
        assert_eq!(rule.message.own, "Rauch in {{ room }}", "the site's language comes first");
        assert_eq!(rule.message.others[&Language::English], "Smoke in {{ room }}");
    }

    #[test]
    fn a_language_that_there_is_not_is_a_mistake() {
        let check = |from: &str, to: &str, expected: &str| {
            let found = load(&FILE.replace(from, to)).err().unwrap_or_default();
            assert!(found.contains(expected), "{to}: {found}");
        };
        let known = "there is no language `tlh`; Bellwire speaks en, de, fr, es";
        check("language = \"de\"", "language = \"tlh\"", &format!("b.toml:19:12: `language`: {known}"));
        check("time_zone = \"Europe/Berlin\"", "time_zone = \"Berlin\"", "`Berlin` is not a time zone");
        check("[mqtt]", "language = \"tlh\"\n[mqtt]", known);
        check(", de = \"Rauch", ", tlh = \"Rauch", &format!("`message`: {known}"));
        check("{ en = \"Smoke", "{ de = \"Smoke", "this stands in the file already");
        check("{ en = \"Smoke in {{ room }}\", ", "{ ", "`message` has no `en`, the language of [site]");
        check("Rauch in {{ room", "Rauch in {{ room |", "`message` does not compile");
        check("de = \"Rauch in {{ room }}\"", "de = 7", "`message` must be text in quotes");
    }

    #[test]
    fn action_titles_fit_and_are_unique_in_every_language() {
        let check = |titles: [&str; 2], expected: &str| {
            let action = |id: &str, title: &str| {
                format!("[[rule.action]]\nid = \"{id}\"\ntitle = {title}\ntopic = \"site/{{room}}/set\"\n")
            };
            let found = load(&format!("{FILE}{}{}", action("a", titles[0]), action("b", titles[1])));
            let found = found.err().unwrap_or_default();
            assert!(
                found.contains(expected) && found.is_empty() == expected.is_empty(),
                "{titles:?}: {found}"
            );
        };
        check(["{ en = \"Stop\", de = \"Stop\" }", "{ en = \"Go\", de = \"Los\" }"], "");
        check(
            ["\"Stop\"", "{ en = \"Go\", de = \"Stop\" }"],
            "two actions of this rule have the title `Stop`",
        );
        check(["\"Stop\"", "{ de = \"Los\" }"], "`title` has no `en`, the language of [site]");
        let long = "{ en = \"Go\", de = \"Jetzt aber wirklich los\" }";
        check(["\"Stop\"", long], "`title`: it has 23 characters; a WhatsApp button shows 20");
    }

    #[test]
    fn a_template_that_nobody_translated_is_remarked() {
        let remark = "rule `smoke`: heike reads de, and it has no template in that language; outside the 24 h window they get alarm_v1 (en_US)";
        assert_eq!(remarks(&load(FILE).expect("good"), crate::time::Timestamp::EARLIEST_SANE), [remark]);
        let both = FILE.replace(
            "template = { name = \"alarm_v1\"",
            "[[rule.template]]\nname = \"alarm_v1\"\nlanguage = \"de\"\n[[rule.template]]\nname = \"alarm_v1\"",
        );
        let both = both
            .replace("\", language = \"en_US\", parameters = [\"{{ text }}\"] }", "\"\nlanguage = \"en\"");
        assert_eq!(
            remarks(&load(&both).expect("good"), crate::time::Timestamp::EARLIEST_SANE),
            Vec::<String>::new()
        );
    }
}
