//! `[home_assistant]`: the gateway as a device of Home Assistant. What its button and its texts lead to are rules, written
//! as an installer would write them, and replaced by a rule of the same name in the configuration.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use super::commands::EXPIRES;
use super::rules::{read_connection, read_people};
use super::section::{Section, duration};
use super::{HomeAssistant, Http, Mqtt};
use crate::command::action::ActionPolicy;
use crate::command::home_assistant::{Appearance, PRESS};
use crate::config::self_monitor_rules;
use crate::contact::People;
use crate::contact::severity::Severity;
use crate::event::topic::TopicTemplate;
use crate::ids::ConnectionName;
use crate::rule::definition::{RequestPolicy, Rule};

/// Home Assistant's own default (homeassistant/components/mqtt/const.py, `DEFAULT_PREFIX`).
const PREFIX: &str = "homeassistant";
/// A shift: a switch that somebody forgot is off again the next day.
const MUTE: Duration = Duration::from_secs(8 * 3_600);
/// Contacts and teams with a notify entity of their own: more make a list that nobody reads, and the device is one message
/// of at most 64 KiB.
const SHOWN_MAX: usize = 100;
/// Longer than a week nobody remembers why it is quiet.
const MUTE_MAX: Duration = Duration::from_secs(7 * 24 * 3_600);

/// What has been read so far.
pub struct Context<'a> {
    pub site: &'a str,
    pub http: Option<&'a Http>,
    pub mqtt: Option<&'a Mqtt>,
    pub people: &'a People,
    pub connections: &'a [ConnectionName],
    pub rules: &'a [Rule],
}

/// The section and its rules; `None` without it.
pub fn read(root: &Section, context: &Context) -> Option<(HomeAssistant, Vec<Rule>)> {
    let section = root.section("home_assistant", "[home_assistant]")?;
    let prefix = section.parsed("discovery", |text| match text {
        "" => Err("it is empty; leave it out, or write the discovery prefix of Home Assistant"),
        text if text.contains(['+', '#', '\0']) || text.starts_with('$') => {
            Err("it is the beginning of a topic, without wildcards, such as homeassistant")
        }
        text => Ok(text.trim_end_matches('/').to_owned()),
    });
    let notify = read_people(&section, "notify", context.people);
    let connection = read_connection(&section, context.connections);
    let break_through = section.enum_value("break_through", &["warning", "critical"], |word| {
        Severity::parse(word).filter(|severity| *severity > Severity::Info)
    });
    let mute_for = section.parsed("mute_for", |text| {
        duration(text).and_then(|time| match time {
            time if time.is_zero() || time > MUTE_MAX => Err("it must be from 1s to 7d".to_owned()),
            time => Ok(time),
        })
    });
    let client_id = context.mqtt.map(|mqtt| mqtt.client_id.clone());
    if client_id.as_ref().is_some_and(|id| id.contains(['+', '#', '{', '}', '"', '\\'])) {
        section.report(section.offset(), "`client_id` of [mqtt] stands in topics: without + # { } \" and \\");
    }
    let hosts = section.strings("image_hosts").unwrap_or_default();
    let hosts: Vec<String> = hosts.into_iter().map(|host| format!("{:?}", host.value)).collect();
    section.finish();
    let appearance = Appearance {
        prefix: prefix.unwrap_or_else(|| PREFIX.to_owned()),
        client_id: client_id?,
        site: context.site.to_owned(),
        page: context.http.and_then(page),
        people: people(context.people),
    };
    let rules = rules(&appearance, &notify?, &connection?, &hosts.join(", "), context);
    let break_through = break_through.unwrap_or(Severity::Critical);
    let home = HomeAssistant { appearance, break_through, mute_for: mute_for.unwrap_or(MUTE) };
    Some((home, rules))
}

/// Contacts by their names, teams by their ids.
fn people(all: &People) -> Vec<(String, String)> {
    let contacts = all.contacts.values().map(|contact| (contact.id.0.clone(), contact.name.clone()));
    let teams = all.teams.keys().map(|team| (team.clone(), team.clone()));
    contacts.chain(teams).filter(|(id, _)| !id.contains(['\'', '\\'])).take(SHOWN_MAX).collect()
}

/// By the first of its names: an address of this machine alone leads nobody here.
fn page(http: &Http) -> Option<String> {
    let scheme = if http.tls.is_some() { "https" } else { "http" };
    http.names.first().map(|name| format!("{scheme}://{name}:{}/", http.listen.port()))
}

/// Whichever rule listens there takes requests: ours, or the installer's.
pub fn take_requests(home: &HomeAssistant, rules: &mut [Rule]) {
    let (topic, taps) = (home.appearance.request_topic(), home.appearance.action_topic());
    for rule in rules.iter_mut().filter(|rule| rule.topic.as_str() == topic) {
        let terms = ActionPolicy {
            roles: BTreeSet::new(),
            expires: EXPIRES,
            confirm: false,
            approvals: 1,
            answer: None,
        };
        let taps = TopicTemplate::parse(&taps, &rule.topic).ok();
        rule.request = taps.map(|topic| Arc::new(RequestPolicy { topic, terms }));
    }
}

fn rules(
    of: &Appearance,
    notify: &[String],
    over: &ConnectionName,
    hosts: &str,
    context: &Context,
) -> Vec<Rule> {
    let notify: Vec<String> = notify.iter().map(|name| format!("{name:?}")).collect();
    let notify = notify.join(", ");
    let rule = |name: &str, topic: &str, when: &str, message: &str, severity: Severity| {
        format!(
            "[[rule]]\nname = \"{name}\"\ntopic = \"{topic}\"\npayload = \"text\"\nwhen = \"{when}\"\n\
             message = \"{message}\"\nnotify = [{notify}]\nconnection = \"{over}\"\nseverity = \"{}\"\n",
            severity.as_str()
        )
    };
    let pressed = format!("payload == '{PRESS}'");
    let words = "✅ A test from Home Assistant: {{ site.name }} reaches you";
    let request = format!(
        "[[rule]]\nname = \"home-assistant-request\"\ntopic = \"{}\"\npayload = \"json\"\n\
         message = \"{{% if payload.title %}}*{{{{ payload.title }}}}*\\n{{% endif %}}{{{{ payload.message }}}}\"\n\
         notify = [{notify}]\nconnection = \"{over}\"\n\
         attach = {{ kind = \"image\", url = \"{{{{ payload.image }}}}\", hosts = [{hosts}] }}\n",
        of.request_topic()
    );
    let text = [
        request,
        rule("home-assistant-test", &of.test_topic(), &pressed, words, Severity::Info),
        rule(
            "home-assistant-notify",
            &of.notify_topic(),
            "payload | trim != ''",
            "{{ payload }}",
            Severity::Warning,
        ),
    ];
    self_monitor_rules::read(&text.concat(), context.people, context.connections, context.rules)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{LoadOptions, Problems, read};

    const FILE: &str = r#"
[site]
name = "Corner Bakery"
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
[home_assistant]
notify = ["nino"]
"#;

    fn file(keys: &str) -> Result<crate::config::Config, Problems> {
        let wishes = LoadOptions { without_secrets: true, ..LoadOptions::default() };
        read("b.toml", &format!("{FILE}{keys}"), &wishes)
    }

    #[test]
    fn a_section_makes_a_device_with_its_two_rules() {
        let config = file("").expect("good");
        let home = config.home_assistant.expect("there");
        assert_eq!(
            home.appearance.discovery_topic(&home.appearance.id()),
            "homeassistant/device/bellwire-corner-bakery/config"
        );
        assert_eq!((home.mute_for, home.break_through), (MUTE, Severity::Critical));
        let rules: Vec<&str> = config.rules.iter().map(|rule| rule.name.0.as_str()).collect();
        assert_eq!(rules, ["home-assistant-request", "home-assistant-test", "home-assistant-notify"]);
        assert_eq!(
            config.rules[2].topic.filter(),
            "bellwire/bellwire-corner-bakery/home-assistant/notify/set"
        );
        let own = "[[rule]]\nname = \"home-assistant-test\"\ntopic = \"x\"\nmessage = \"Hi\"\nnotify = [\"nino\"]\n";
        assert_eq!(file(own).expect("good").rules.len(), 3, "one of them is the installer's");
    }

    #[test]
    fn mistakes_say_what_to_do() {
        let check = |keys: &str, expected: &str| {
            let problems = file(keys).expect_err("wrong").to_string();
            assert!(problems.contains(expected), "{keys}: {problems}");
        };
        check("discovery = \"home/#\"", "without wildcards");
        check("mute_for = \"9d\"", "from 1s to 7d");
        check("break_through = \"info\"", "is not one of warning, critical");
        check("connection = \"other\"", "there is no connection `other`");
        check("notifies = [\"nino\"]", "did you mean `notify`?");
    }
}
