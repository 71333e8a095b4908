//! Finds the rules that an event's topic concerns.

use std::collections::BTreeSet;
use std::num::NonZeroU32;
use std::ops::Range;
use std::sync::Arc;

use crate::event::decode::PayloadFormat;
use crate::event::topic::{Bindings, LevelMatch, TopicPattern};
use crate::rule::definition::Rule;

/// The patterns of all rules as a tree over topic levels: what an event costs grows with its levels, not with the rules. It is
/// kept in three lists, 80 bytes a rule, since a thousand rules have two thousand nodes.
#[derive(Debug)]
pub struct Routes {
    /// The first is the root; those that one level of another's pattern tells apart follow each other, in the order of that level.
    nodes: Vec<Node>,
    /// The levels that lead to nodes.
    levels: Vec<u8>,
    /// Places of patterns; a node's follow each other.
    places: Vec<u32>,
}

#[derive(Debug, Default)]
struct Node {
    /// What leads here, in `levels`.
    level: Range<u32>,
    literal: Range<u32>,
    /// Below a level that may be anything. The root is below nothing.
    any: Option<NonZeroU32>,
    /// Rules whose pattern ends here.
    ends: Range<u32>,
    /// Rules that take whatever follows, nothing included.
    rests: Range<u32>,
}

type Steps<'a> = (Vec<LevelMatch<'a>>, u32);

impl Routes {
    #[must_use]
    pub fn new<'a>(patterns: impl IntoIterator<Item = &'a TopicPattern>) -> Self {
        Self::of((0..).zip(patterns).map(|(place, pattern)| (pattern.steps().collect(), place)).collect())
    }

    /// Of filters as brokers have them, in which braces are letters.
    #[must_use]
    pub fn of_filters<'a>(filters: impl IntoIterator<Item = &'a String>) -> Self {
        let steps = |filter: &'a String| filter.split('/').map(step).collect();
        Self::of((0..).zip(filters).map(|(place, filter)| (steps(filter), place)).collect())
    }

    fn of(mut patterns: Vec<Steps<'_>>) -> Self {
        patterns.sort_unstable();
        let mut routes = Self { nodes: vec![Node::default()], levels: Vec::new(), places: Vec::new() };
        routes.grow(0, &patterns, 0);
        routes.nodes.shrink_to_fit();
        routes.levels.shrink_to_fit();
        routes
    }

    /// Below a node whose patterns have that many steps in common.
    fn grow(&mut self, node: usize, patterns: &[Steps<'_>], depth: usize) {
        let groups: Vec<&[Steps<'_>]> =
            patterns.chunk_by(|one, other| one.0.get(depth) == other.0.get(depth)).collect();
        let mut below = Vec::new();
        let first = self.nodes.len();
        for group in groups {
            let end = |routes: &mut Self| {
                let start = length(&routes.places);
                routes.places.extend(group.iter().map(|(_, place)| *place));
                start..length(&routes.places)
            };
            match group.first().and_then(|(steps, _)| steps.get(depth)) {
                None => self.nodes[node].ends = end(self),
                Some(LevelMatch::Rest) => self.nodes[node].rests = end(self),
                Some(LevelMatch::Literal(text)) => {
                    let start = length(&self.levels);
                    self.levels.extend_from_slice(text.as_bytes());
                    let level = start..length(&self.levels);
                    below.push((self.nodes.len(), group));
                    self.nodes.push(Node { level, ..Node::default() });
                    self.nodes[node].literal = number(first)..length(&self.nodes);
                }
                Some(LevelMatch::Any) => {
                    below.push((self.nodes.len(), group));
                    self.nodes[node].any = NonZeroU32::new(length(&self.nodes));
                    self.nodes.push(Node::default());
                }
            }
        }
        for (node, group) in below {
            self.grow(node, group, depth + 1);
        }
    }

    /// The places of the matching patterns, in their order.
    #[must_use]
    pub fn find(&self, topic: &str) -> Vec<usize> {
        let mut found = Vec::new();
        // A wildcard does not stand for a first level that begins with `$` (MQTT 5, 4.7.2).
        self.below(&self.nodes[0], Some(topic), !topic.starts_with('$'), &mut found);
        found.sort_unstable();
        found
    }

    fn below(&self, node: &Node, rest: Option<&str>, wild: bool, found: &mut Vec<usize>) {
        if wild {
            found.extend(self.places(&node.rests)); // `a/#` matches `a` too (MQTT 5, 4.7.1.2)
        }
        let Some((level, rest)) = rest.map(first_level) else {
            found.extend(self.places(&node.ends));
            return;
        };
        if let Some(next) = self.literal(node, level) {
            self.below(next, rest, true, found);
        }
        if let Some(next) = node.any.filter(|_| wild) {
            self.below(&self.nodes[next.get() as usize], rest, true, found);
        }
    }
}

/// Filters beside each other.
impl Routes {
    /// The places of the filters that match every topic that this one matches.
    #[must_use]
    pub fn covering(&self, filter: &str) -> Vec<usize> {
        let mut found = Vec::new();
        self.covering_below(&self.nodes[0], Some(filter), !filter.starts_with('$'), &mut found);
        found.sort_unstable();
        found
    }

    fn covering_below(&self, node: &Node, rest: Option<&str>, wild: bool, found: &mut Vec<usize>) {
        if wild {
            found.extend(self.places(&node.rests));
        }
        let Some((level, rest)) = rest.map(first_level) else {
            found.extend(self.places(&node.ends));
            return;
        };
        if let LevelMatch::Literal(level) = step(level)
            && let Some(next) = self.literal(node, level)
        {
            self.covering_below(next, rest, true, found);
        }
        if let Some(next) = node.any.filter(|_| wild && level != "#") {
            self.covering_below(&self.nodes[next.get() as usize], rest, true, found);
        }
    }

    /// The places of the filters that match a topic that this one matches.
    #[must_use]
    pub fn overlapping(&self, filter: &str) -> Vec<usize> {
        let mut found = Vec::new();
        self.overlapping_below(&self.nodes[0], Some(filter), (true, !filter.starts_with('$')), &mut found);
        found.sort_unstable();
        found
    }

    /// At the first level a wildcard, ours or theirs, does not stand for what begins with `$`.
    fn overlapping_below(
        &self,
        node: &Node,
        rest: Option<&str>,
        (is_first, wild): (bool, bool),
        found: &mut Vec<usize>,
    ) {
        if wild {
            found.extend(self.places(&node.rests));
        }
        let level = rest.map(first_level);
        let goes_on = level.is_some_and(|(level, _)| level == "#");
        if level.is_none() || goes_on {
            found.extend(self.places(&node.ends));
        }
        let Some((level, left)) = level else { return };
        let left = if goes_on { rest } else { left };
        let below = |next: &Node, found: &mut Vec<usize>| {
            self.overlapping_below(next, left, (false, true), found);
        };
        match step(level) {
            LevelMatch::Literal(level) => {
                self.literal(node, level).into_iter().for_each(|next| below(next, found));
            }
            LevelMatch::Any | LevelMatch::Rest => {
                for next in &self.nodes[within(&node.literal)] {
                    if !is_first || self.levels[within(&next.level)].first() != Some(&b'$') {
                        below(next, found);
                    }
                }
            }
        }
        if let Some(next) = node.any.filter(|_| wild) {
            below(&self.nodes[next.get() as usize], found);
        }
    }

    fn literal(&self, node: &Node, level: &str) -> Option<&Node> {
        let all = &self.nodes[within(&node.literal)];
        let at = all.binary_search_by(|next| self.levels[within(&next.level)].cmp(level.as_bytes())).ok()?;
        all.get(at)
    }

    fn places(&self, range: &Range<u32>) -> impl Iterator<Item = usize> {
        self.places[within(range)].iter().map(|place| *place as usize)
    }
}

fn step(level: &str) -> LevelMatch<'_> {
    match level {
        "+" => LevelMatch::Any,
        "#" => LevelMatch::Rest,
        literal => LevelMatch::Literal(literal),
    }
}

/// What follows is `None` at the end.
fn first_level(rest: &str) -> (&str, Option<&str>) {
    rest.split_once('/').map_or((rest, None), |(level, rest)| (level, Some(rest)))
}

impl Default for Routes {
    fn default() -> Self {
        Self::new([])
    }
}

fn within(range: &Range<u32>) -> Range<usize> {
    range.start as usize..range.end as usize
}

fn length<T>(list: &[T]) -> u32 {
    number(list.len())
}

/// A configuration of 4 GB fits into no memory.
fn number(of: usize) -> u32 {
    u32::try_from(of).unwrap_or(u32::MAX)
}

/// Below it the gateway tells of itself: nothing that a broker has.
pub const OWN_TOPICS: &str = "$bellwire/";

/// The rules whose pattern matches, in the order of the file, each with its named levels.
pub fn route<'a>(
    rules: &'a [Arc<Rule>],
    routes: &Routes,
    topic: &str,
) -> impl Iterator<Item = (&'a Rule, Bindings)> {
    let matching = routes.find(topic).into_iter().filter_map(|index| rules.get(index));
    matching.filter_map(move |rule| rule.topic.matches(topic).map(|bindings| (rule.as_ref(), bindings)))
}

/// The filters to subscribe to, each once. A filter that a wider one covers stays, since brokers differ in whether
/// overlapping subscriptions deliver twice (MQTT 5, 3.3.4), and a repetition is recognised anyway.
#[must_use]
pub fn filters(rules: &[Arc<Rule>]) -> Vec<String> {
    let own = |filter: &String| filter.starts_with(OWN_TOPICS);
    let filters = rules.iter().map(|rule| subscription(rule));
    filters.filter(|filter| !own(filter)).collect::<BTreeSet<_>>().into_iter().collect()
}

/// The filter that one rule needs. Of a Sparkplug node that is all that it sends, whatever the rule is about: its
/// births name the metrics, and its messages are counted together.
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
    fn each_filter_is_subscribed_once_and_internal_topics_never() {
        let mut rules = Vec::new();
        for topic in ["door/{id}", "bell/#", "door/+", "$bellwire/broker", "$SYS/#"] {
            let rule = "[[rule]]\nname = \"r\"\ntopic = \"x\"\nmessage = \"x\"\nnotify = [\"nino\"]\n";
            let rule = crate::alert::tests::site(rule).0.rules.remove(0);
            let topic = TopicPattern::parse(topic).expect("a pattern");
            rules.push(Arc::new(Rule { topic, ..Arc::unwrap_or_clone(rule) }));
        }
        assert_eq!(filters(&rules), ["$SYS/#", "bell/#", "door/+"]);
        for (topic, filter) in [
            ("spBv1.0/plant/DDATA/edge/{device}", "spBv1.0/plant/+/edge/#"),
            ("spBv1.0/{group}/{type}/{node}", "spBv1.0/+/+/+/#"),
            ("spBv1.0/{group}/{type}/#", "spBv1.0/+/+/#"),
            ("spBv1.0/#", "spBv1.0/#"),
        ] {
            rules.truncate(1);
            let rule = Arc::make_mut(&mut rules[0]);
            rule.payload = PayloadFormat::Sparkplug;
            rule.topic = TopicPattern::parse(topic).expect("a pattern");
            assert_eq!(filters(&rules), [filter]);
        }
    }
}
