//! What is no mistake, but may not be what somebody meant: told by `bellwire check` beside its verdict.

use std::collections::{BTreeMap, BTreeSet};

use super::versions::{self, VersionSupport};
use super::{Config, Connection};
use crate::command::action::ActionPolicy;
use crate::contact::language::Language;
use crate::contact::{Contact, Recipient};
use crate::event::topic::is_level;
use crate::outbox::message::Template;
use crate::rule::definition::Rule;
use crate::rule::lifecycle_settings::Target;
use crate::rule::template::fields_in_message;
use crate::time::Timestamp;

/// Sentences, one a rule and language, or a connection.
#[must_use]
pub fn remarks(config: &Config, today: Timestamp) -> Vec<String> {
    let untranslated = config.rules.iter().flat_map(|rule| untranslated(config, rule));
    let crowded = config.rules.iter().filter_map(|rule| crowded(rule));
    let slashed = config.rules.iter().filter_map(|rule| slashed(rule));
    let pictured = config.rules.iter().filter_map(|rule| pictured(rule));
    let (doubled, ending) = (one_telephone(config), ending(config, today));
    let open = exposed(config).into_iter().map(|(what, next)| format!("{what}; {next}"));
    untranslated
        .chain(forbidden(config))
        .chain(doubled)
        .chain(ending)
        .chain(crowded)
        .chain(slashed)
        .chain(pictured)
        .chain(open)
        .collect()
}

/// What others on the way can read or send, and what to do about it.
#[must_use]
pub fn exposed(config: &Config) -> Vec<(String, &'static str)> {
    let mut found = Vec::new();
    let http = &config.http;
    if !http.listen.ip().is_loopback() && http.tls.is_none() {
        found.push((
            format!("the page listens on {} without TLS: its password and all it shows go over the network in the open", http.listen),
            "give certificate_file and key_file, or let it listen on 127.0.0.1 behind a proxy that speaks TLS",
        ));
    }
    let broker = &config.mqtt.host;
    let is_here = broker == "localhost"
        || broker
            .trim_matches(['[', ']'])
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.is_loopback());
    if config.mqtt.tls.is_none() && !is_here {
        found.push((
            format!("mqtt:// to {broker}: whoever is on the way reads the broker's password and sends what they like, commands included"),
            "use mqtts://, with ca_file for a certificate of your own",
        ));
    }
    found
}

/// Several alerts in one message, and their end, carry no picture of `chart`, so no template with one either.
fn pictured(rule: &Rule) -> Option<String> {
    let has_chart = rule.life.as_ref().is_some_and(|life| life.chart.is_some());
    let all = !rule.templates.is_empty() && rule.templates.iter().all(Template::needs_file);
    (has_chart && all).then(|| {
        format!(
            "rule `{}`: each of its templates has `header_file`, so what carries no picture, as the end of an alert, is held outside the \
             24 h window; list one without behind them",
            rule.name
        )
    })
}

/// Versions of Meta's API that end soon; what has ended is a mistake.
fn ending(config: &Config, today: Timestamp) -> Vec<String> {
    let remark = |connection: &Connection| match versions::standing(&connection.api_version, today) {
        VersionSupport::Ends(why) => {
            Some(format!("connection `{}`: {why}; {}", connection.name, versions::next_step()))
        }
        VersionSupport::Ended(_) | VersionSupport::Lives => None,
    };
    config.connections.iter().filter_map(remark).collect()
}

/// What devices call themselves in payloads: rtl_433, OpenMQTTGateway, ChirpStack, zigbee2mqtt, Victron and their like.
const NAMES_OF_DEVICES: [&str; 14] = [
    "payload.id",
    "payload.device",
    "payload.device_id",
    "payload.deviceId",
    "payload.device_name",
    "payload.deviceName",
    "payload.dev_eui",
    "payload.devEUI",
    "payload.deviceInfo",
    "payload.end_device_ids",
    "payload.mac",
    "payload.serial",
    "payload.sensor",
    "payload.machine",
];

/// Several devices in one alert: one that is well ends what another began, and `for` never completes.
fn crowded(rule: &Rule) -> Option<String> {
    let key = &rule.life.as_ref()?.key;
    if key.iter().any(|part| !is_level(part)) {
        return None; // somebody has thought about it
    }
    let wildcards = rule.topic.wildcards();
    let mut left = rule.topic.names().chain(wildcards.iter().map(String::as_str));
    if let Some(level) = left.find(|level| !key.iter().any(|part| part == level)) {
        return Some(format!(
            "rule `{}`: its `key` leaves out `{level}` of {}, so that all devices there are one alert, and one that is well ends what another began; without `key` each has its own",
            rule.name,
            rule.topic.as_str()
        ));
    }
    let fields: BTreeSet<String> = rule.message.all().flat_map(|text| fields_in_message(text)).collect();
    let names = |field: &&String| {
        let part_of = |name: &&str| {
            field.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        };
        NAMES_OF_DEVICES.iter().any(part_of)
    };
    let field = fields.iter().find(names)?;
    let parts: Vec<String> = key.iter().chain([field]).map(|part| format!("\"{part}\"")).collect();
    Some(format!(
        "rule `{}`: its message names {field}; if several devices publish to {}, they are one alert, and one that is well ends what another began; key = [{}] tells them apart",
        rule.name,
        rule.topic.as_str(),
        parts.join(", ")
    ))
}

/// zigbee2mqtt's friendly names may have a / in them, and such a device publishes on more levels than one (zigbee2mqtt,
/// Groups and devices, `friendly_name`).
fn slashed(rule: &Rule) -> Option<String> {
    let topic = rule.topic.as_str();
    let name = topic.strip_prefix("zigbee2mqtt/{")?.strip_suffix('}')?;
    (!name.contains(['/', '#'])).then(|| {
        format!(
            "rule `{}`: {topic} leaves out devices of zigbee2mqtt that have a / in their names; topic = \"zigbee2mqtt/{{{name}#}}\" takes them, too",
            rule.name
        )
    })
}

/// Two contacts whose numbers are two spellings of one telephone. A site may have both because webhooks name one and people
/// write the other: it still starts, and alerts go out.
fn one_telephone(config: &Config) -> Vec<String> {
    let mut by_spelling: BTreeMap<String, Vec<&Contact>> = BTreeMap::new();
    for contact in config.people.contacts.values() {
        match &contact.to {
            Recipient::Phone(phone) => by_spelling.entry(phone.in_one_spelling()).or_default().push(contact),
            Recipient::UserId(_) | Recipient::Group(_) => {}
        }
    }
    let same = by_spelling.values().flat_map(|all| all.windows(2));
    same.map(|two| {
        format!(
            "contacts `{}` and `{}` have the same telephone in two spellings: nothing acts for either of them; keep one",
            two[0].id, two[1].id
        )
    })
    .collect()
}

/// Orders that nobody may give, or too few. Who is invited gets no role that no contact has.
fn forbidden(config: &Config) -> Vec<String> {
    let actions = config.rules.iter().flat_map(|rule| {
        rule.actions
            .iter()
            .map(move |action| (format!("rule `{}`, action `{}`", rule.name, action.id), &action.terms))
    });
    let commands = config.commands.iter().map(|spoken| (format!("command `{}`", spoken.name), &spoken.terms));
    let remark = |(whose, terms): (String, &ActionPolicy)| {
        let may = |contact: &&Contact| {
            terms.roles.is_empty() || contact.roles.iter().any(|role| terms.roles.contains(role))
        };
        let number = config.people.contacts.values().filter(may).count();
        let roles = terms.roles.iter().cloned().collect::<Vec<_>>().join(", ");
        let wanted = usize::try_from(terms.approvals).unwrap_or(usize::MAX);
        if number == 0 {
            return Some(format!("{whose}: no contact has the role {roles}, so nobody may do this"));
        }
        (number < wanted).then(|| {
            format!("{whose}: {wanted} people have to want it, and of the contacts only {number} may")
        })
    };
    actions.chain(commands).filter_map(remark).collect()
}

/// Outside the 24 h window only a template may go out, and nobody but Meta translates one.
fn untranslated(config: &Config, rule: &Rule) -> Vec<String> {
    let Some(first) = rule.templates.first() else { return Vec::new() };
    let people = told(config, rule);
    let read = |contact: &&Contact| contact.locale.language;
    let languages: BTreeSet<Language> = people.iter().map(read).collect();
    let missing =
        |language: &Language| !rule.templates.iter().any(|template| language.is(&template.language));
    let remark = |language: Language| {
        let people: Vec<&str> = people
            .iter()
            .filter(|contact| contact.locale.language == language)
            .map(|contact| contact.id.0.as_str())
            .collect();
        format!(
            "rule `{}`: {} read{} {}, and it has no template in that language; outside the 24 h window they get {} ({})",
            rule.name,
            people.join(", "),
            if people.len() == 1 { "s" } else { "" },
            language.code(),
            first.name,
            first.language
        )
    };
    languages.into_iter().filter(missing).map(remark).collect()
}

/// Everybody whom the rule may tell.
fn told<'a>(config: &'a Config, rule: &Rule) -> Vec<&'a Contact> {
    let steps = rule.life.iter().flat_map(|life| &life.escalate).map(|step| &step.target);
    let asked = steps.filter_map(|target| match target {
        Target::People(names) => Some(names),
        Target::Topic { .. } | Target::Post { .. } => None,
    });
    let names: Vec<String> = rule.notify.iter().chain(asked.flatten()).cloned().collect();
    config.people.resolve(&names)
}
