//! Rules about the gateway itself, for `[site] owner`: written as an installer would write them, and replaced by a rule of
//! the same name in the configuration.

use toml::de::DeTable;

use super::problem::Document;
use super::rules;
use super::section::Section;
use crate::alert::route::OWN_TOPICS;
use crate::contact::People;
use crate::contact::language::{Language, Locale, Sentences};
use crate::ids::ConnectionName;
use crate::rule::definition::Rule;

/// The rules for `owner`, without those whose name is taken.
pub fn rules(owner: &[String], people: &People, connections: &[ConnectionName], taken: &[Rule]) -> Vec<Rule> {
    let Some(first) = connections.first().filter(|_| !owner.is_empty()) else { return Vec::new() };
    let owner: Vec<String> = owner.iter().map(|name| format!("{name:?}")).collect();
    let owner = owner.join(", ");
    let mut text = String::new();
    let about = [
        ("broker", "2m", said(|s| s.own_broker, &[])),
        ("subscriptions", "2m", said(|s| s.own_subscriptions, &[])),
        ("deliveries", "0s", said(|s| s.own_deliveries, &[])),
        ("client-id", "0s", said(|s| s.own_client_id, &[])),
        ("disk", "0s", said(|s| s.own_disk, &[])),
        ("clock", "5m", said(|s| s.own_clock, &[])),
    ];
    for (part, time, words) in about {
        text += &rule(&format!("bellwire-{part}"), part, time, &words, (&owner, first));
        if matches!(part, "deliveries" | "client-id") {
            text += "keep_firing_for = \"10m\"\n"; // two clients take turns: that is one trouble, and not fifty
        }
    }
    for connection in connections {
        // What one number cannot tell, another one may.
        let over = connections.iter().find(|other| *other != connection).unwrap_or(connection);
        let name = format!("bellwire-connection-{connection}");
        let words = said(|s| s.own_connection, &[("name", &connection.0)]);
        let part = format!("connection/{connection}");
        text += &rule(&name, &part, "2m", &words, (&owner, over));
        // Each minute one message is tried: the pause between two tries is no end.
        text += "keep_firing_for = \"10m\"\n";
        text += &format!(
            "escalate = [{{ after = \"1m\", unless = \"delivered\", topic = \"bellwire/alarm/{part}\", payload = \"refused\" }}]\n"
        );
    }
    read(&text, people, connections, taken)
}

/// Rules of ours, without those whose name is taken.
pub fn read(text: &str, people: &People, connections: &[ConnectionName], taken: &[Rule]) -> Vec<Rule> {
    let document = Document::new("bellwire's own rules", text);
    let (table, _) = DeTable::parse_recoverable(text);
    let root = Section::new(&document, "the file", table.get_ref(), 0);
    let mut found = rules::read(&root, people, connections);
    found.retain(|rule| taken.iter().all(|other| other.name != rule.name));
    found
}

/// The sentence in every language, as a rule's `message` has it; what is wrong follows as the part of us said it that knows.
fn said(choose: fn(&Sentences) -> &'static str, blanks: &[(&str, &str)]) -> String {
    let said = Language::ALL.map(|language| {
        let words = Locale { language, ..Locale::default() }.say(choose, blanks);
        format!("{} = \"{words}\\n{{{{ payload }}}}\"", language.code())
    });
    said.join(", ")
}

fn rule(name: &str, part: &str, time: &str, words: &str, (owner, over): (&str, &ConnectionName)) -> String {
    format!(
        "[[rule]]\nname = \"{name}\"\ntopic = \"{OWN_TOPICS}{part}\"\npayload = \"text\"\nwhen = \"payload != 'ok'\"\n\
         message = {{ {words} }}\nnotify = [{owner}]\nconnection = \"{over}\"\nfor = \"{time}\"\nkey = []\n"
    )
}

#[cfg(test)]
mod tests {
    use crate::config::{LoadOptions, read};

    const FILE: &str = r#"
[site]
name = "Corner Bakery"
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
"#;

    fn names(text: &str) -> Vec<String> {
        let wishes = LoadOptions { without_secrets: true, ..LoadOptions::default() };
        read("b.toml", text, &wishes).expect("good").rules.iter().map(|rule| rule.name.0.clone()).collect()
    }

    #[test]
    fn an_owner_gets_self_monitoring_alerts_and_may_replace_them() {
        let own = [
            "bellwire-broker",
            "bellwire-subscriptions",
            "bellwire-deliveries",
            "bellwire-client-id",
            "bellwire-disk",
            "bellwire-clock",
            "bellwire-connection-main",
        ];
        assert_eq!(names(FILE), own);
        assert_eq!(names(&FILE.replace("owner = [\"nino\"]\n", "")), Vec::<String>::new());
        let mine = "[[rule]]\nname = \"bellwire-disk\"\ntopic = \"$bellwire/disk\"\nmessage = \"Full!\"\nnotify = [\"nino\"]\n";
        let found = names(&format!("{FILE}{mine}"));
        assert_eq!(found.iter().filter(|name| *name == "bellwire-disk").count(), 1);
        assert_eq!(found.len(), own.len());
    }
}
