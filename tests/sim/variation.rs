//! The shop's configuration as its owner may have changed it by a restart: in each place nothing, or one of these changes.

use bellwire::config::Config;
use bellwire::random::Rng;

use crate::site::{RULES, read};

/// Pieces of the text, and what stands in their place.
type Change = &'static [(&'static str, &'static str)];

const GIORGI: &str =
    "[[contact]]\nid = \"giorgi\"\nphone = \"+15550100002\"\nquiet_hours = \"06:30-07:30\"\n";
const LALI: &str = "[[contact]]\nid = \"lali\"\nphone = \"+15550100003\"\n";
const KITCHEN: &str = "[[team]]\nid = \"kitchen\"\nmembers = [\"nino\", \"giorgi\"]\n";
const TURNS: &str = "[[team]]\nid = \"kitchen\"\nmembers = [\"nino\", \"giorgi\"]\nrotation = \"daily\"\nhand_over = \"08:00\"\nstart = \"2026-01-05\"\n";
const OTHER: &str = "[[connection]]\nname = \"other\"\nphone_number_id = \"209876543210123\"\naccess_token_file = \"t\"\n\
    app_secret_file = \"s\"\nverify_token_file = \"v\"\n";
const BOILER_LIFE: &str = "resolve_when = \"payload.celsius < 70\"\nvalue = \"payload.celsius\"\nchart = \"1h\"\nseverity = \"critical\"\n\
    message = \"Boiler of {{ area }} is at {{ value }}\"\nnotify = [\"nino\"]\nrepeat_interval = \"0s\"\nbuttons = [\"acknowledge\"]\n";
const BOILER_ONCE: &str = "severity = \"critical\"\nmessage = \"Boiler of {{ area }} is at {{ payload.celsius }}, event {{ payload.n }}\"\nnotify = [\"nino\"]\n";
const STEPS: &str = "escalate = [\n  { after = \"5m\", unless = \"acknowledged\", notify = [\"lali\"] },\n  \
    { after = \"10m\", unless = \"acknowledged\", topic = \"site/{area}/siren/set\", payload = \"ON\" },\n]\n";
const SIREN: &str = "  { after = \"10m\", unless = \"acknowledged\", topic = \"site/{area}/siren/set\", payload = \"ON\" },\n";
const POST: &str = "  { after = \"6m\", unless = \"acknowledged\", url = \"https://pager.example/x\" },\n";
const BOILER_KEYLESS: &str = "resolve_when = \"payload.celsius < 70\"\nvalue = \"payload.celsius\"\nchart = \"1h\"\nkey = []\nseverity = \"critical\"\n\
    message = \"Boiler of {{ area }} is at {{ value }}\"\nnotify = [\"nino\"]\nrepeat_interval = \"0s\"\nbuttons = [\"acknowledge\"]\n";
const PUMP_ONCE: &str =
    "message = \"Pump of {{ area }} is stuck, event {{ payload.n }}\"\nnotify = [\"nino\", \"giorgi\"]\n";
const PUMP_LIFE: &str = "for = \"1m\"\nmessage = \"Pump of {{ area }} is stuck\"\nnotify = [\"nino\", \"giorgi\"]\n\
    repeat_interval = \"0s\"\ngroup_by = []\n";
const LOCK: &str = "[[rule.action]]\nid = \"lock\"\ntitle = \"Lock it\"\ntopic = \"site/{area}/door/set\"\npayload = \"lock\"\n\
    expires = \"30s\"\nanswer = { within = \"1m\" }\n";

/// Each place of the file with the changes that it may have; a later one changes what an earlier one has left.
const PLACES: [&[Change]; 15] = [
    // Rules: another name, gone, another key, no states.
    &[
        &[("name = \"boiler\"", "name = \"kettle\"")],
        &[("name = \"boiler\"", "name = \"former\""), ("site/{area}/boiler", "former/{area}/boiler")],
    ],
    &[&[(BOILER_LIFE, BOILER_ONCE), (STEPS, "")], &[(BOILER_LIFE, BOILER_KEYLESS)]],
    &[&[(SIREN, "")], &[("site/{area}/siren/set", "site/{area}/lamp/set")], &[(SIREN, POST)]],
    &[
        &[("name = \"pump\"", "name = \"well\"")],
        &[("name = \"pump\"", "name = \"former-pump\""), ("site/{area}/pump", "former/{area}/pump")],
    ],
    &[
        &[(PUMP_LIFE, PUMP_ONCE)],
        &[("for = \"1m\"\n", "")],
        &[("for = \"1m\"\n", "for = \"1m\"\nkey = []\n")],
    ],
    &[&[("notify = [\"nino\", \"giorgi\"]", "notify = [\"lali\"]")]],
    // Actions, commands, questions.
    &[&[(LOCK, "")], &[("site/{area}/door/set", "site/{area}/lock/set")]],
    &[&[("payload = \"stop\"\nroles = [\"manager\"]", "payload = \"stop\"\nroles = [\"chef\"]")]],
    &[
        &[
            ("name = \"gate\"", "name = \"barrier\""),
            ("words = [\"open gate\"]", "words = [\"open barrier\"]"),
        ],
        &[("topic = \"site/gate/set\"", "topic = \"site/barrier/set\"")],
    ],
    &[&[("topic = \"site/horn/set\"", "topic = \"site/siren/set\"")]],
    &[
        &[("name = \"refund\"", "name = \"return\"")],
        &[("name = \"refund\"", "name = \"return\""), ("pos/{till}/refund", "pos/{till}/return")],
    ],
    &[&[("who = [\"kitchen\"]", "who = [\"nino\", \"lali\"]")]],
    // People and numbers, wherever they are named.
    &[
        &[(KITCHEN, "[[team]]\nid = \"kitchen\"\nmembers = [\"nino\", \"lali\"]\n")],
        &[(KITCHEN, ""), ("[\"kitchen\"]", "[\"lali\", \"nino\"]")],
        &[(KITCHEN, TURNS)],
    ],
    &[
        &[(GIORGI, ""), (", \"giorgi\"", "")],
        &[("\"giorgi\"", "\"giga\"")],
        &[("+15550100002", "+15550100012")],
        &[(LALI, ""), ("\"lali\", ", ""), (", \"lali\"", ""), ("[\"lali\"]", "[\"nino\"]")],
    ],
    &[&[(OTHER, ""), ("connection = \"other\"", "connection = \"main\"")]],
];

/// In each place one file of so many has the change.
const ONE_IN: u64 = 5;

/// The configuration, and the numbers of what is changed in it: place, change.
pub fn config(dice: &mut Rng) -> (Config, String) {
    let (mut text, mut changes) = (RULES.to_owned(), Vec::new());
    for (number, place) in PLACES.iter().enumerate() {
        let wanted = usize::try_from(dice.below(place.len() as u64 * ONE_IN)).unwrap_or(usize::MAX);
        let Some(change) = place.get(wanted) else { continue };
        changes.push(format!("{number}.{wanted}"));
        text = change.iter().fold(text, |text, (from, to)| text.replace(from, to));
    }
    (read(&text), changes.join(" "))
}

/// A change that changes nothing would be no test.
#[test]
fn each_variation_changes_the_file_and_stays_valid() {
    for change in PLACES.into_iter().flatten() {
        let text = change.iter().fold(RULES.to_owned(), |text, (from, to)| text.replace(from, to));
        assert!(text.contains(change[0].1) && text != RULES, "{change:?}");
        read(&text);
    }
}
