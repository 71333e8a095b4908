//! The topics that the gateway subscribes to.

use crate::alert::route;
use crate::command::action::Expected;
use crate::config::{Config, HomeAssistant};
use crate::device;

/// The filters to subscribe to: the rules' topics and the devices', each once.
#[must_use]
pub fn all(config: &Config) -> Vec<String> {
    let mut filters = route::filters(&config.rules);
    filters.extend(of_replies(config));
    filters.extend(of_home_assistant(config.home_assistant.as_ref()));
    filters.sort();
    filters.dedup();
    let ours: Vec<String> = device::topic::filters().filter(|ours| !filters.contains(ours)).collect();
    filters.extend(ours);
    filters
}

/// Every way in which a device may answer.
fn expected(config: &Config) -> impl Iterator<Item = &Expected> {
    let of_actions = config.rules.iter().flat_map(|rule| &rule.actions).map(|action| &action.terms);
    of_actions
        .chain(config.commands.iter().map(|command| &command.terms))
        .filter_map(|terms| terms.answer.as_ref())
}

/// For the answers of devices and the questions of machines.
pub fn of_replies(config: &Config) -> Vec<String> {
    let mut filters: Vec<String> = expected(config)
        .map(|answer| match &answer.topic {
            Some(topic) => topic.filter(),
            None => format!("{}+", answer_prefix(config)),
        })
        .chain(config.questions.iter().map(|question| question.topic.filter()))
        .collect();
    filters.sort();
    filters.dedup();
    filters
}

/// The topic below which devices answer. The command's id follows, so that a device that speaks MQTT 3.1.1, which has
/// no correlation data, can answer too.
pub fn answer_prefix(config: &Config) -> String {
    format!("bellwire/{}/answer/", config.mqtt.client_id)
}

/// For Home Assistant, besides the topics of its rules.
pub fn of_home_assistant(home: Option<&HomeAssistant>) -> Vec<String> {
    home.iter().flat_map(|home| [home.appearance.birth_topic(), home.appearance.mute_topic()]).collect()
}
