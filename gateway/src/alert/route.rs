//! Which rules an event's topic concerns.

use std::collections::BTreeSet;

use crate::alert::rule::Rule;
use crate::alert::topic::Bindings;

/// Below it the gateway tells of itself: nothing that a broker has.
pub const OWN_TOPICS: &str = "$bellwire/";

/// The rules whose pattern matches, in the order of the file, each with its named levels.
pub fn route<'a>(rules: &'a [Rule], topic: &str) -> impl Iterator<Item = (&'a Rule, Bindings)> {
    rules.iter().filter_map(move |rule| rule.topic.matches(topic).map(|bindings| (rule, bindings)))
}

/// What to subscribe to: each filter once. A filter that a wider one covers stays, since brokers differ in whether
/// overlapping subscriptions deliver twice (MQTT 5, 3.3.4), and a repetition is recognised anyway.
#[must_use]
pub fn filters(rules: &[Rule]) -> Vec<String> {
    let own = |filter: &String| filter.starts_with(OWN_TOPICS);
    let filters = rules.iter().map(|rule| rule.topic.filter());
    filters.filter(|filter| !own(filter)).collect::<BTreeSet<_>>().into_iter().collect()
}
