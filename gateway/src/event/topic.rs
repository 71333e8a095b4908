//! Topic patterns with named levels: `site/{area}/freezer/{unit}/temperature`.
//!
//! A `{name}` stands for exactly one level and gives it a name; `+` and, at the end, `#` mean what they mean in MQTT
//! (MQTT 5, 4.7.1), and `{name#}` is a `#` with a name: zigbee2mqtt's devices may have `/` in theirs. Topics that begin
//! with `$` are matched only by a pattern that says so (4.7.2).

use std::collections::BTreeMap;

/// MQTT 5, 1.5.4.
const LONGEST_BYTES: usize = 65_535;

/// What the named levels of a pattern stand for in one topic.
pub type Bindings = BTreeMap<String, String>;

/// A checked pattern. Its levels are read where they are needed: kept, they took five times the memory of the text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicPattern {
    text: Box<str>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Level<'a> {
    Literal(&'a str),
    Named(&'a str),
    Any,
    Rest,
    NamedRest(&'a str),
}

/// What one level of a pattern takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum LevelMatch<'a> {
    Literal(&'a str),
    Any,
    Rest,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TopicError {
    #[error("the topic is empty")]
    Empty,
    #[error("the topic is longer than 65,535 bytes (MQTT 5, 1.5.4)")]
    TooLong,
    #[error("a topic cannot contain a NUL character (MQTT 5, 4.7.3)")]
    Nul,
    #[error("`#` stands for the rest of the topic and must be its last level (MQTT 5, 4.7.1.2)")]
    RestNotLast,
    #[error(
        "level `{0}`: a named level is a whole level, such as `site/{{area}}/door`; letters, digits and `_`"
    )]
    Level(String),
    #[error("`{{{0}}}` stands in the pattern twice: give each level its own name")]
    Twice(String),
    #[error("`{{{0}}}` is not a level of the rule's topic: use one of {1}")]
    Unbound(String, String),
    #[error(
        "`{{{0}#}}` stands for several levels where one listens; in a topic to publish to write `{{{0}}}`"
    )]
    NamedRest(String),
    #[error(
        "`$share/…` is a shared subscription (MQTT 5, 4.8.2), of which this gateway would get a part alone: leave `$share/` and the group's name away"
    )]
    Shared,
    #[error("a topic to publish to cannot contain `+` or `#` (MQTT 5, 3.3.2.1)")]
    Wildcard,
}

impl TopicPattern {
    pub fn parse(text: &str) -> Result<Self, TopicError> {
        if text.starts_with("$share/") {
            return Err(TopicError::Shared);
        }
        let levels = parse_levels(text)?;
        let mut names = Vec::new();
        for level in levels {
            if let Level::Named(name) | Level::NamedRest(name) = level {
                if names.contains(&name) {
                    return Err(TopicError::Twice(name.to_owned()));
                }
                names.push(name);
            }
        }
        Ok(Self { text: text.into() })
    }

    fn levels(&self) -> impl Iterator<Item = Level<'_>> {
        self.text.split('/').map(level_of)
    }

    /// As it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// What to subscribe to: named levels become `+`.
    #[must_use]
    pub fn filter(&self) -> String {
        self.levels().map(Level::filter).collect::<Vec<_>>().join("/")
    }

    /// Level by level, for the tree of all patterns.
    pub fn steps(&self) -> impl Iterator<Item = LevelMatch<'_>> {
        self.levels().map(|level| match level {
            Level::Literal(text) => LevelMatch::Literal(text),
            Level::Named(_) | Level::Any => LevelMatch::Any,
            Level::Rest | Level::NamedRest(_) => LevelMatch::Rest,
        })
    }

    /// The names of the named levels, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.levels().filter_map(|level| match level {
            Level::Named(name) | Level::NamedRest(name) => Some(name),
            Level::Literal(_) | Level::Any | Level::Rest => None,
        })
    }

    /// What the wildcards without a name are called in a key, in order: `+1`, `+2` and `#`.
    #[must_use]
    pub fn wildcards(&self) -> Vec<String> {
        let plus = self.levels().filter(|level| *level == Level::Any).count();
        let rest = self.levels().last() == Some(Level::Rest);
        (1..=plus).map(|index| format!("+{index}")).chain(rest.then(|| "#".to_owned())).collect()
    }

    /// The named levels' values if `topic` matches.
    #[must_use]
    pub fn matches(&self, topic: &str) -> Option<Bindings> {
        self.bind(topic, |level, _| match level {
            Level::Named(name) | Level::NamedRest(name) => Some(name.to_owned()),
            Level::Literal(_) | Level::Any | Level::Rest => None,
        })
    }

    /// What the wildcards without a name stand for, under the names that keys have for them.
    #[must_use]
    pub fn unnamed(&self, topic: &str) -> Bindings {
        let bindings = self.bind(topic, |level, plus| match level {
            Level::Any => Some(format!("+{plus}")),
            Level::Rest => Some("#".to_owned()),
            Level::Literal(_) | Level::Named(_) | Level::NamedRest(_) => None,
        });
        bindings.unwrap_or_default()
    }

    /// `name` is asked with the level, and how many `+` there were up to it.
    fn bind(&self, topic: &str, name: impl Fn(Level<'_>, usize) -> Option<String>) -> Option<Bindings> {
        if topic.starts_with('$') && !self.text.starts_with('$') {
            return None;
        }
        let (mut bindings, mut plus) = (Bindings::new(), 0);
        let mut left = Some(topic);
        for level in self.levels() {
            let value = match level {
                // `a/#` matches `a` too (MQTT 5, 4.7.1.2)
                Level::Rest | Level::NamedRest(_) => left.take().unwrap_or_default(),
                Level::Literal(_) | Level::Any | Level::Named(_) => {
                    let (value, rest) = left.map(|left| match left.split_once('/') {
                        Some((value, rest)) => (value, Some(rest)),
                        None => (left, None),
                    })?;
                    left = rest;
                    value
                }
            };
            plus += usize::from(level == Level::Any);
            if matches!(level, Level::Literal(text) if text != value) {
                return None;
            }
            bindings.extend(name(level, plus).map(|name| (name, value.to_owned())));
        }
        left.is_none().then_some(bindings)
    }
}

/// A topic to publish to, whose named levels are filled from the event's topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicTemplate {
    text: Box<str>,
    /// The name that brings several levels along.
    several: Option<Box<str>>,
}

impl TopicTemplate {
    /// `known` are the names that the rule's topic gives.
    pub fn parse(text: &str, known: &TopicPattern) -> Result<Self, TopicError> {
        for level in parse_levels(text)? {
            match level {
                Level::Any | Level::Rest => return Err(TopicError::Wildcard),
                Level::NamedRest(name) => return Err(TopicError::NamedRest(name.to_owned())),
                Level::Named(name) if !known.names().any(|known| known == name) => {
                    let names: Vec<String> = known.names().map(|name| format!("{{{name}}}")).collect();
                    let names = if names.is_empty() {
                        "none, it has no named level".into()
                    } else {
                        names.join(", ")
                    };
                    return Err(TopicError::Unbound(name.to_owned(), names));
                }
                Level::Named(_) | Level::Literal(_) => {}
            }
        }
        let several = known.levels().find_map(|level| match level {
            Level::NamedRest(name) => Some(name.into()),
            Level::Literal(_) | Level::Named(_) | Level::Any | Level::Rest => None,
        });
        Ok(Self { text: text.into(), several })
    }

    fn levels(&self) -> impl Iterator<Item = Level<'_>> {
        self.text.split('/').map(level_of).map(|level| match level {
            Level::Named(name) if self.several.as_deref() == Some(name) => Level::NamedRest(name),
            other
            @ (Level::Literal(_) | Level::Named(_) | Level::Any | Level::Rest | Level::NamedRest(_)) => other,
        })
    }

    /// The topic; `None` where the levels make none that a broker takes: empty, or longer than 65,535 bytes. A broker ends
    /// the connection over such a publish, again and again. A level that has no binding stays empty; `parse` has made
    /// sure that there is none.
    #[must_use]
    pub fn fill(&self, bindings: &Bindings) -> Option<String> {
        let level = |level| match level {
            Level::Literal(text) => text,
            Level::Named(name) | Level::NamedRest(name) => bindings.get(name).map_or("", String::as_str),
            Level::Any | Level::Rest => "",
        };
        let topic = self.levels().map(level).collect::<Vec<_>>().join("/");
        (1..=LONGEST_BYTES).contains(&topic.len()).then_some(topic)
    }

    /// What to subscribe to, to hear it with any binding.
    #[must_use]
    pub fn filter(&self) -> String {
        let mut levels = Vec::new();
        for level in self.levels() {
            levels.push(level.filter());
            if matches!(level, Level::NamedRest(_)) {
                break;
            }
        }
        levels.join("/")
    }

    /// Whether a publish to this topic could match `pattern`: a command that raises its own alert again is a loop.
    #[must_use]
    pub fn may_match(&self, pattern: &TopicPattern) -> bool {
        let mut ours = self.levels();
        for theirs in pattern.levels() {
            match (theirs, ours.next()) {
                (Level::Rest | Level::NamedRest(_), _) | (_, Some(Level::NamedRest(_))) => return true,
                (_, None) => return false,
                (Level::Literal(a), Some(Level::Literal(b))) if a != b => return false,
                (Level::Literal(_) | Level::Named(_) | Level::Any, Some(_)) => {}
            }
        }
        ours.next().is_none()
    }
}

impl<'a> Level<'a> {
    /// What to subscribe to.
    fn filter(self) -> &'a str {
        match self {
            Self::Literal(text) => text,
            Self::Named(_) | Self::Any => "+",
            Self::Rest | Self::NamedRest(_) => "#",
        }
    }
}

/// A level of a text that was parsed.
fn level_of(text: &str) -> Level<'_> {
    match (text, text.strip_prefix('{').and_then(|rest| rest.strip_suffix('}'))) {
        ("+", _) => Level::Any,
        ("#", _) => Level::Rest,
        (_, Some(name)) => name.strip_suffix('#').map_or(Level::Named(name), Level::NamedRest),
        (_, None) => Level::Literal(text),
    }
}

fn parse_levels(text: &str) -> Result<Vec<Level<'_>>, TopicError> {
    if text.is_empty() {
        return Err(TopicError::Empty);
    }
    if text.len() > LONGEST_BYTES {
        return Err(TopicError::TooLong);
    }
    if text.contains('\0') {
        return Err(TopicError::Nul);
    }
    let count = text.split('/').count();
    text.split('/')
        .enumerate()
        .map(|(index, level)| match level {
            "+" => Ok(Level::Any),
            "#" if index + 1 == count => Ok(Level::Rest),
            "#" => Err(TopicError::RestNotLast),
            _ => {
                let level = parse_level(level)?;
                let is_rest = matches!(level, Level::NamedRest(_));
                if is_rest && index + 1 < count { Err(TopicError::RestNotLast) } else { Ok(level) }
            }
        })
        .collect()
}

fn parse_level(level: &str) -> Result<Level<'_>, TopicError> {
    let named = level.strip_prefix('{').and_then(|rest| rest.strip_suffix('}'));
    let is_name = |name: &str| {
        !name.is_empty()
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
            && !name.starts_with(|c: char| c.is_ascii_digit())
    };
    let rest = named.and_then(|name| name.strip_suffix('#')).filter(|name| is_name(name));
    match named {
        Some(_) if rest.is_some() => Ok(Level::NamedRest(rest.unwrap_or_default())),
        Some(name) if is_name(name) => Ok(Level::Named(name)),
        None if !level.contains(['{', '}', '+', '#']) => Ok(Level::Literal(level)),
        _ => Err(TopicError::Level(level.to_owned())),
    }
}

/// Whether a part of a key is a level of the topic, named or not; else it is an expression.
#[must_use]
pub fn is_level(name: &str) -> bool {
    let is_name = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    name.starts_with(['+', '#']) || is_name && !matches!(name, "payload" | "topic")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_as_mqtt_does_and_name_their_levels() {
        let check = |pattern: &str, topic: &str, expected: Option<&[(&str, &str)]>| {
            let bindings = expected.map(|pairs| {
                pairs
                    .iter()
                    .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                    .collect::<Bindings>()
            });
            let pattern = TopicPattern::parse(pattern).expect(pattern);
            assert_eq!(pattern.matches(topic), bindings, "{} on {topic}", pattern.as_str());
        };
        check("site/{area}/temp", "site/bar/temp", Some(&[("area", "bar")]));
        check("site/{area}/temp", "site/bar/humidity", None);
        check("site/{area}/temp", "site/bar/temp/raw", None);
        check("site/{area}/temp", "site//temp", Some(&[("area", "")]));
        check("site/+/temp", "site/bar/temp", Some(&[]));
        check("site/#", "site", Some(&[]));
        check("site/#", "site/a/b", Some(&[]));
        check("#", "$SYS/broker/uptime", None);
        check("$SYS/#", "$SYS/broker/uptime", Some(&[]));
        check("a/{b}/{c}", "a/1/2", Some(&[("b", "1"), ("c", "2")]));
        check("z/{device#}", "z/kitchen/leak", Some(&[("device", "kitchen/leak")]));
        check("z/{device#}", "z/leak", Some(&[("device", "leak")]));
        check("z/{device#}", "z", Some(&[("device", "")]));
        check("z/{device#}", "y/leak", None);
        check("{all#}", "$SYS/broker/uptime", None);
    }

    #[test]
    fn a_wrong_pattern_says_why() {
        let check = |pattern: &str, error: TopicError| assert_eq!(TopicPattern::parse(pattern), Err(error));
        check("", TopicError::Empty);
        check("a/#/b", TopicError::RestNotLast);
        check("a/b{c}", TopicError::Level("b{c}".into()));
        check("a/b+", TopicError::Level("b+".into()));
        check("a/{}/b", TopicError::Level("{}".into()));
        check("a/{b-c}", TopicError::Level("{b-c}".into()));
        check("a/{1b}", TopicError::Level("{1b}".into()));
        check("{x}/{x}", TopicError::Twice("x".into()));
        assert!(TopicPattern::parse("a/{b_1}").is_ok());
        check("a/{b#}/c", TopicError::RestNotLast);
        check("a/{b}/{b#}", TopicError::Twice("b".into()));
        check("a/{#}", TopicError::Level("{#}".into()));
        check("$share/group/site/{area}/door", TopicError::Shared);
        check("a\0", TopicError::Nul);
        check(&"x".repeat(65_536), TopicError::TooLong);
        assert!(TopicPattern::parse(&"x".repeat(65_535)).is_ok());
    }

    #[test]
    fn wildcards_without_a_name_have_one_in_keys() {
        let check = |pattern: &str, topic: &str, expected: &[(&str, &str)]| {
            let pattern = TopicPattern::parse(pattern).expect(pattern);
            let pairs = expected.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
            assert_eq!(pattern.unnamed(topic), pairs.collect::<Bindings>(), "{}", pattern.as_str());
            let names: Vec<String> = expected.iter().map(|(name, _)| (*name).to_owned()).collect();
            let mut wildcards = pattern.wildcards();
            wildcards.sort();
            assert_eq!(wildcards, names, "{}", pattern.as_str());
        };
        check("site/{area}/door", "site/bar/door", &[]);
        check("sensors/+/leak", "sensors/a/leak", &[("+1", "a")]);
        check("+/{b}/+/#", "a/b/c/d/e", &[("#", "d/e"), ("+1", "a"), ("+2", "c")]);
        check("a/#", "a", &[("#", "")]);
        check("a/{b#}", "a/b", &[]);
    }

    #[test]
    fn a_name_of_several_levels_brings_them_all_along() {
        let pattern = TopicPattern::parse("z/{device#}").expect("valid");
        let template = TopicTemplate::parse("z/{device}/set", &pattern).expect("valid");
        let bindings = pattern.matches("z/kitchen/leak").expect("matches");
        assert_eq!(template.fill(&bindings).as_deref(), Some("z/kitchen/leak/set"));
        assert_eq!(template.filter(), "z/#", "an answer may come below any number of levels");
        let other = TopicPattern::parse("z/{room}/{lamp}/set").expect("valid");
        assert!(template.may_match(&pattern) && template.may_match(&other));
        assert_eq!(
            TopicTemplate::parse("z/{device#}/set", &pattern),
            Err(TopicError::RestNotLast),
            "where it is published the name alone stands"
        );
        assert_eq!(
            TopicTemplate::parse("z/{device#}", &pattern),
            Err(TopicError::NamedRest("device".into()))
        );
    }

    #[test]
    fn a_template_is_filled_from_the_bindings() {
        let pattern = TopicPattern::parse("site/{area}/freezer/{unit}/temperature").expect("valid");
        let template = TopicTemplate::parse("site/{area}/freezer/{unit}/set", &pattern).expect("valid");
        let bindings = pattern.matches("site/bar/freezer/2/temperature").expect("matches");
        assert_eq!(template.fill(&bindings).as_deref(), Some("site/bar/freezer/2/set"));
        assert!(matches!(TopicTemplate::parse("x/{door}", &pattern), Err(TopicError::Unbound(..))));
        assert_eq!(TopicTemplate::parse("x/+", &pattern), Err(TopicError::Wildcard));
    }

    #[test]
    fn a_topic_that_no_broker_takes_is_none() {
        let pattern = TopicPattern::parse("call/{who}").expect("valid");
        let filled = |template: &str, topic: &str| {
            let template = TopicTemplate::parse(template, &pattern).expect("valid");
            template.fill(&pattern.matches(topic).expect("matches")).map(|topic| topic.len())
        };
        assert_eq!(filled("{who}", "call/"), None);
        assert_eq!(filled("{who}/", "call/"), Some(1));
        let long = format!("call/{}", "x".repeat(32_767));
        assert_eq!(filled("{who}/{who}", &long), Some(65_535));
        assert_eq!(filled("{who}/{who}/", &long), None);
    }

    #[test]
    fn a_command_that_would_raise_the_alert_again_is_seen() {
        let check = |pattern: &str, topic: &str, loops: bool| {
            let pattern = TopicPattern::parse(pattern).expect("valid");
            assert_eq!(TopicTemplate::parse(topic, &pattern).expect("valid").may_match(&pattern), loops);
        };
        check("site/{a}/set", "site/{a}/set", true);
        check("site/#", "site/door/set", true);
        check("site/{a}/state", "site/{a}/set", false);
        check("site/{a}", "site/{a}/set", false);
    }

    #[test]
    fn a_topic_is_heard_with_any_binding() {
        let pattern = TopicPattern::parse("site/{area}/freezer").expect("a pattern");
        assert_eq!(pattern.as_str(), "site/{area}/freezer");
        let template = TopicTemplate::parse("site/{area}/state", &pattern).expect("a topic");
        assert_eq!(template.filter(), "site/+/state");
    }
}
