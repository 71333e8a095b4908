//! Which rules an event's topic concerns.

use std::collections::{BTreeMap, BTreeSet};

use crate::event::decode::PayloadFormat;
use crate::event::topic::{Bindings, LevelMatch, TopicPattern};
use crate::rule::definition::Rule;

/// The patterns of all rules as a tree over topic levels: what an event costs grows with its levels, not with the rules.
#[derive(Debug, Default)]
pub struct Routes {
    root: Node,
}

#[derive(Debug, Default)]
struct Node {
    literal: BTreeMap<String, Node>,
    /// Below a level that may be anything.
    any: Option<Box<Node>>,
    /// Rules whose pattern ends here.
    ends: Vec<usize>,
    /// Rules that take whatever follows, nothing included.
    rests: Vec<usize>,
}

impl Routes {
    #[must_use]
    pub fn new<'a>(patterns: impl IntoIterator<Item = &'a TopicPattern>) -> Self {
        let mut routes = Self::default();
        for (index, pattern) in patterns.into_iter().enumerate() {
            let mut node = &mut routes.root;
            let mut takes_rest = false;
            for step in pattern.steps() {
                node = match step {
                    LevelMatch::Literal(text) => node.literal.entry(text.to_owned()).or_default(),
                    LevelMatch::Any => node.any.get_or_insert_default(),
                    LevelMatch::Rest => {
                        takes_rest = true;
                        break;
                    }
                };
            }
            if takes_rest { &mut node.rests } else { &mut node.ends }.push(index);
        }
        routes
    }

    /// The places of the matching patterns, in their order.
    #[must_use]
    pub fn find(&self, topic: &str) -> Vec<usize> {
        let mut found = Vec::new();
        // A wildcard does not stand for a first level that begins with `$` (MQTT 5, 4.7.2).
        self.root.find(Some(topic), !topic.starts_with('$'), &mut found);
        found.sort_unstable();
        found
    }
}

impl Node {
    fn find(&self, rest: Option<&str>, wild: bool, found: &mut Vec<usize>) {
        if wild {
            found.extend(&self.rests); // `a/#` matches `a` too (MQTT 5, 4.7.1.2)
        }
        let Some(rest) = rest else {
            found.extend(&self.ends);
            return;
        };
        let (level, rest) = rest.split_once('/').map_or((rest, None), |(level, rest)| (level, Some(rest)));
        if let Some(next) = self.literal.get(level) {
            next.find(rest, true, found);
        }
        if let Some(next) = self.any.as_ref().filter(|_| wild) {
            next.find(rest, true, found);
        }
    }
}

/// Below it the gateway tells of itself: nothing that a broker has.
pub const OWN_TOPICS: &str = "$bellwire/";

/// The rules whose pattern matches, in the order of the file, each with its named levels.
pub fn route<'a>(
    rules: &'a [Rule],
    routes: &Routes,
    topic: &str,
) -> impl Iterator<Item = (&'a Rule, Bindings)> {
    let matching = routes.find(topic).into_iter().filter_map(|index| rules.get(index));
    matching.filter_map(move |rule| rule.topic.matches(topic).map(|bindings| (rule, bindings)))
}

/// What to subscribe to: each filter once. A filter that a wider one covers stays, since brokers differ in whether
/// overlapping subscriptions deliver twice (MQTT 5, 3.3.4), and a repetition is recognised anyway.
#[must_use]
pub fn filters(rules: &[Rule]) -> Vec<String> {
    let own = |filter: &String| filter.starts_with(OWN_TOPICS);
    let filters = rules.iter().map(subscription);
    filters.filter(|filter| !own(filter)).collect::<BTreeSet<_>>().into_iter().collect()
}

/// What one rule needs to hear. Of a Sparkplug node that is all that it sends, whatever the rule is about: its births name the
/// metrics, and its messages are counted together.
#[must_use]
pub fn subscription(rule: &Rule) -> String {
    let filter = rule.topic.filter();
    let levels: Vec<&str> = filter.split('/').collect();
    match (rule.payload, levels.as_slice()) {
        (PayloadFormat::Sparkplug, [space, group, _, node, ..]) if *group != "#" && *node != "#" => {
            format!("{space}/{group}/+/{node}/#")
        }
        _ => filter,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// The tree finds what asking each pattern finds, `$`, empty levels and wildcards included.
        #[test]
        fn the_tree_finds_what_each_pattern_says(
            patterns in prop::collection::vec("(\\$s|a|b|\\+|\\{x\\}|)(/(a|b|\\+|\\{y\\}|)){0,3}(/#)?|#", 1..20),
            topics in prop::collection::vec("(\\$s|a|b|c|)(/(a|b|c|)){0,4}", 1..20),
        ) {
            let patterns: Vec<TopicPattern> =
                patterns.iter().filter_map(|text| TopicPattern::parse(text).ok()).filter(|pattern| {
                    let names: Vec<&str> = pattern.names().collect();
                    names.len() == names.iter().collect::<BTreeSet<_>>().len()
                }).collect();
            let routes = Routes::new(&patterns);
            for topic in &topics {
                let one_by_one: Vec<usize> =
                    (0..patterns.len()).filter(|index| patterns[*index].matches(topic).is_some()).collect();
                prop_assert_eq!(routes.find(topic), one_by_one, "{} in {:?}", topic, patterns);
            }
        }
    }

    #[test]
    fn each_filter_is_subscribed_to_once_and_what_the_gateway_tells_of_itself_never() {
        let mut rules = Vec::new();
        for topic in ["door/{id}", "bell/#", "door/+", "$bellwire/broker", "$SYS/#"] {
            let rule = "[[rule]]\nname = \"r\"\ntopic = \"x\"\nmessage = \"x\"\nnotify = [\"nino\"]\n";
            let rule = crate::alert::tests::site(rule).0.rules.remove(0);
            rules.push(Rule { topic: TopicPattern::parse(topic).expect("a pattern"), ..rule });
        }
        assert_eq!(filters(&rules), ["$SYS/#", "bell/#", "door/+"]);
        for (topic, filter) in [
            ("spBv1.0/plant/DDATA/edge/{device}", "spBv1.0/plant/+/edge/#"),
            ("spBv1.0/{group}/{type}/{node}", "spBv1.0/+/+/+/#"),
            ("spBv1.0/{group}/{type}/#", "spBv1.0/+/+/#"),
            ("spBv1.0/#", "spBv1.0/#"),
        ] {
            rules.truncate(1);
            rules[0].payload = PayloadFormat::Sparkplug;
            rules[0].topic = TopicPattern::parse(topic).expect("a pattern");
            assert_eq!(filters(&rules), [filter]);
        }
    }
}
