//! Which filters to subscribe to, so that the broker has one reason to send a publish, and not several (MQTT 5, 3.3.4: it may
//! send a copy for each subscription that matches).

use std::collections::BTreeSet;

use crate::alert::route::Routes;

/// What an overlap that no filter of the set covers alone becomes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Partial {
    /// It stays: the broker says with each copy whose it is.
    Kept,
    /// Both filters become one that is wider than they are.
    Merged,
}

/// A small set of filters that matches all that `wanted` matches. A filter in `refused` stands in no set: what it would have
/// covered is asked for by its own name.
///
/// It never grows, so it ends: at most one merge for each filter.
#[must_use]
pub fn cover(wanted: &BTreeSet<String>, refused: &BTreeSet<String>, partial: Partial) -> Vec<String> {
    let asked: Vec<&String> = wanted.difference(refused).collect();
    // By a tree: a thousand filters are a million pairs, a tenth of a second at each connection.
    let routes = Routes::of_filters(asked.iter().copied());
    let is_covered = |at: usize, filter: &str| routes.covering(filter).into_iter().any(|other| other != at);
    let left = asked.iter().enumerate().filter(|(at, filter)| !is_covered(*at, filter));
    let mut found: BTreeSet<String> = left.map(|(_, filter)| (*filter).clone()).collect();
    if partial == Partial::Merged {
        while let Some(merged) = first_merge(&found, refused) {
            add(&mut found, merged);
        }
    }
    found.into_iter().collect()
}

/// Adds what is not covered yet, and drops what it covers.
fn add(found: &mut BTreeSet<String>, filter: String) {
    if found.iter().any(|other| covers(other, &filter)) {
        return;
    }
    found.retain(|other| !covers(&filter, other));
    found.insert(filter);
}

fn first_merge(found: &BTreeSet<String>, refused: &BTreeSet<String>) -> Option<String> {
    let filters: Vec<&String> = found.iter().collect();
    overlapping(&filters).find_map(|(one, two)| merge(one, two).filter(|merged| !refused.contains(merged)))
}

/// The narrowest filter that covers both; `None` where it would reach beyond the first level that both name. A filter such
/// as `+/+` or `#` brings all that a broker carries, thousands of messages a second at a busy one, to a machine that wanted
/// two topics; and a broker's access list that allows a branch refuses it.
fn merge(one: &str, two: &str) -> Option<String> {
    let (mut ones, mut twos) = (one.split('/'), two.split('/'));
    let mut levels = Vec::new();
    loop {
        match (ones.next(), twos.next()) {
            (None, None) => break,
            (Some(a), Some(b)) if a == b => levels.push(a),
            (Some(a), Some(b)) if a != "#" && b != "#" => levels.push("+"),
            (Some(_) | None, Some(_) | None) => {
                levels.push("#");
                break;
            }
        }
    }
    let is_named = levels.first().is_some_and(|level| !is_wild(level));
    is_named.then(|| levels.join("/"))
}

/// The pairs that overlap, in the order of the list.
pub fn overlapping<'a>(filters: &[&'a String]) -> impl Iterator<Item = (&'a String, &'a String)> {
    let routes = Routes::of_filters(filters.iter().copied());
    let after = move |(at, one): (usize, &&'a String)| {
        let others = routes.overlapping(one).into_iter().filter(move |other| *other > at);
        let one = *one;
        others.map(move |other| (one, filters[other])).collect::<Vec<_>>()
    };
    filters.iter().enumerate().flat_map(after)
}

/// Whether `wide` matches every topic that `narrow` matches.
#[must_use]
pub fn covers(wide: &str, narrow: &str) -> bool {
    if hides(wide, narrow) {
        return false;
    }
    let mut narrow = narrow.split('/');
    for level in wide.split('/') {
        match (level, narrow.next()) {
            ("#", _) => return true, // `a/#` matches `a` too (MQTT 5, 4.7.1.2)
            (_, None | Some("#")) => return false,
            ("+", Some(_)) => {}
            (named, Some(other)) if named == other => {}
            (_, Some(_)) => return false,
        }
    }
    narrow.next().is_none()
}

/// Whether there is a topic that both match.
#[must_use]
pub fn overlap(one: &str, two: &str) -> bool {
    if hides(one, two) || hides(two, one) {
        return false;
    }
    let (mut ones, mut twos) = (one.split('/'), two.split('/'));
    loop {
        match (ones.next(), twos.next()) {
            (Some("#"), _) | (_, Some("#")) | (None, None) => return true,
            (Some(a), Some(b)) if a == b || a == "+" || b == "+" => {}
            (Some(_) | None, Some(_) | None) => return false,
        }
    }
}

/// A wildcard does not stand for a first level that begins with `$` (MQTT 5, 4.7.2).
fn hides(wide: &str, narrow: &str) -> bool {
    wide.split('/').next().is_some_and(is_wild) && narrow.starts_with('$')
}

/// Whether a broker that takes no wildcards refuses it.
#[must_use]
pub fn has_wildcard(filter: &str) -> bool {
    filter.split('/').any(is_wild)
}

fn is_wild(level: &str) -> bool {
    level == "+" || level == "#"
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::topic::TopicPattern;
    use proptest::prelude::*;

    fn set(filters: &[&str]) -> BTreeSet<String> {
        filters.iter().map(|filter| (*filter).to_owned()).collect()
    }

    fn matches(filter: &str, topic: &str) -> bool {
        TopicPattern::parse(filter).is_ok_and(|filter| filter.matches(topic).is_some())
    }

    const FILTER: &str = "(\\$s|a|b|\\+|)(/(a|b|\\+|)){0,3}(/#)?|#";
    const TOPIC: &str = "(\\$s|a|b|c|)(/(a|b|c|)){0,4}";

    proptest! {
        /// What each of the wanted filters matches is heard, whatever the broker refuses but the filter itself.
        #[test]
        fn a_cover_matches_all_that_is_wanted(
            wanted in prop::collection::btree_set(FILTER, 1..12),
            refused in prop::collection::btree_set(FILTER, 0..3),
            topics in prop::collection::vec(TOPIC, 1..30),
            merged: bool,
        ) {
            let partial = if merged { Partial::Merged } else { Partial::Kept };
            let found = cover(&wanted, &refused, partial);
            prop_assert!(found.iter().all(|filter| !refused.contains(filter)));
            for topic in &topics {
                let is_wanted = wanted.difference(&refused).any(|filter| matches(filter, topic));
                let heard = found.iter().filter(|filter| matches(filter, topic)).count();
                prop_assert!(!is_wanted || heard > 0, "{topic} of {wanted:?} is not in {found:?}");
                if !merged {
                    prop_assert!(is_wanted || heard == 0, "{topic} is more than {wanted:?} in {found:?}");
                }
            }
        }

        /// Below a common first level no topic is matched twice.
        #[test]
        fn a_merged_cover_is_disjoint(
            wanted in prop::collection::btree_set("s(/(a|b|\\+|)){0,3}(/#)?", 1..12),
            topics in prop::collection::vec("s(/(a|b|c|)){0,4}", 1..30),
        ) {
            let found = cover(&wanted, &BTreeSet::new(), Partial::Merged);
            for topic in &topics {
                let heard = found.iter().filter(|filter| matches(filter, topic)).count();
                prop_assert!(heard <= 1, "{topic} is {heard} times in {found:?}");
            }
        }

        /// The tree of all filters finds what comparing them one by one finds.
        #[test]
        fn the_filter_tree_matches_pairwise_comparison(
            filters in prop::collection::vec(FILTER, 0..20),
            asked in FILTER,
        ) {
            let routes = Routes::of_filters(&filters);
            let those = |fits: fn(&str, &str) -> bool| -> Vec<usize> {
                (0..filters.len()).filter(|at| fits(&filters[*at], &asked)).collect()
            };
            prop_assert_eq!(routes.covering(&asked), those(covers), "{} is covered by some of {:?}", asked, filters);
            prop_assert_eq!(routes.overlapping(&asked), those(overlap), "{} overlaps some of {:?}", asked, filters);
        }

        #[test]
        fn covers_and_overlap_agree_with_matching_topics(one in FILTER, two in FILTER, topics in prop::collection::vec(TOPIC, 1..30)) {
            for topic in &topics {
                let both = (matches(&one, topic), matches(&two, topic));
                prop_assert!(!covers(&one, &two) || both.0 || !both.1, "{one} covers {two}, but not {topic}");
                prop_assert!(overlap(&one, &two) || both != (true, true), "{one} and {two} share {topic}");
            }
            prop_assert!(!covers(&one, &two) || overlap(&one, &two));
            prop_assert_eq!(overlap(&one, &two), overlap(&two, &one));
        }
    }

    #[test]
    fn a_filter_that_another_one_covers_is_left_out() {
        let wanted = set(&["site/#", "site/+/door", "site", "bell/1", "$SYS/#", "bell/+"]);
        assert_eq!(cover(&wanted, &set(&[]), Partial::Kept), ["$SYS/#", "bell/+", "site/#"]);
        assert_eq!(cover(&set(&["#", "$SYS/a"]), &set(&[]), Partial::Kept), ["#", "$SYS/a"]);
    }

    #[test]
    fn partly_overlapping_filters_merge_below_their_common_level() {
        let merged = |filters: &[&str]| cover(&set(filters), &set(&[]), Partial::Merged);
        assert_eq!(merged(&["tele/+/SENSOR", "tele/plug/+"]), ["tele/+/+"]);
        assert_eq!(merged(&["z/+", "z/bridge/#"]), ["z/+/#"]);
        assert_eq!(merged(&["z/a/+", "z/b/+"]), ["z/a/+", "z/b/+"], "nothing in common");
        // What they have in common begins with a wildcard: all that the broker carries would come.
        assert_eq!(merged(&["+/alarm", "site/#"]), ["+/alarm", "site/#"]);
        assert_eq!(merged(&["+/a/+", "+/+/b"]), ["+/+/b", "+/a/+"]);
    }

    #[test]
    fn filters_under_a_refused_one_are_requested_themselves() {
        let wanted = set(&["site/#", "site/+/door", "site/a/door"]);
        assert_eq!(cover(&wanted, &set(&["site/#"]), Partial::Kept), ["site/+/door"]);
        assert_eq!(cover(&wanted, &set(&["site/#", "site/+/door"]), Partial::Kept), ["site/a/door"]);
        let wanted = set(&["tele/+/SENSOR", "tele/plug/+"]);
        let refused = set(&["tele/+/+"]);
        assert_eq!(cover(&wanted, &refused, Partial::Merged), ["tele/+/SENSOR", "tele/plug/+"]);
    }
}
