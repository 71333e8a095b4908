//! Topic patterns with named levels: `site/{area}/freezer/{unit}/temperature`.
//!
//! A `{name}` stands for exactly one level and gives it a name; `+` and, at the end, `#` mean what they mean in MQTT
//! (MQTT 5, 4.7.1). Topics that begin with `$` are matched only by a pattern that says so (4.7.2).

use std::collections::BTreeMap;

/// MQTT 5, 1.5.4.
const LONGEST_BYTES: usize = 65_535;

/// What the named levels of a pattern stand for in one topic.
pub type Bindings = BTreeMap<String, String>;

/// A checked pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicPattern {
    text: String,
    levels: Vec<Level>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Level {
    Literal(String),
    Named(String),
    Any,
    Rest,
}

/// What one level of a pattern takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step<'a> {
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
    #[error("a topic to publish to cannot contain `+` or `#` (MQTT 5, 3.3.2.1)")]
    Wildcard,
}

impl TopicPattern {
    pub fn parse(text: &str) -> Result<Self, TopicError> {
        let levels = parse_levels(text)?;
        let mut names = Vec::new();
        for level in &levels {
            if let Level::Named(name) = level {
                if names.contains(&name) {
                    return Err(TopicError::Twice(name.clone()));
                }
                names.push(name);
            }
        }
        Ok(Self { text: text.to_owned(), levels })
    }

    /// As it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// What to subscribe to: named levels become `+`.
    #[must_use]
    pub fn filter(&self) -> String {
        let level = |level: &Level| match level {
            Level::Literal(text) => text.clone(),
            Level::Named(_) | Level::Any => "+".to_owned(),
            Level::Rest => "#".to_owned(),
        };
        self.levels.iter().map(level).collect::<Vec<_>>().join("/")
    }

    /// Level by level, for the tree of all patterns.
    pub fn steps(&self) -> impl Iterator<Item = Step<'_>> {
        self.levels.iter().map(|level| match level {
            Level::Literal(text) => Step::Literal(text),
            Level::Named(_) | Level::Any => Step::Any,
            Level::Rest => Step::Rest,
        })
    }

    /// The names of the named levels, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.levels.iter().filter_map(|level| match level {
            Level::Named(name) => Some(name.as_str()),
            Level::Literal(_) | Level::Any | Level::Rest => None,
        })
    }

    /// The named levels' values if `topic` matches.
    #[must_use]
    pub fn matches(&self, topic: &str) -> Option<Bindings> {
        if topic.starts_with('$') && !self.text.starts_with('$') {
            return None;
        }
        let mut bindings = Bindings::new();
        let mut found = topic.split('/');
        for level in &self.levels {
            match level {
                Level::Rest => return Some(bindings), // `a/#` matches `a` too (MQTT 5, 4.7.1.2)
                Level::Literal(text) => (found.next()? == text).then_some(())?,
                Level::Any => drop(found.next()?),
                Level::Named(name) => drop(bindings.insert(name.clone(), found.next()?.to_owned())),
            }
        }
        found.next().is_none().then_some(bindings)
    }
}

/// A topic to publish to, whose named levels are filled from the event's topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicTemplate {
    levels: Vec<Level>,
}

impl TopicTemplate {
    /// `known` are the names that the rule's topic gives.
    pub fn parse(text: &str, known: &TopicPattern) -> Result<Self, TopicError> {
        let levels = parse_levels(text)?;
        for level in &levels {
            match level {
                Level::Any | Level::Rest => return Err(TopicError::Wildcard),
                Level::Named(name) if !known.names().any(|known| known == name) => {
                    let names: Vec<String> = known.names().map(|name| format!("{{{name}}}")).collect();
                    let names = if names.is_empty() {
                        "none, it has no named level".into()
                    } else {
                        names.join(", ")
                    };
                    return Err(TopicError::Unbound(name.clone(), names));
                }
                Level::Named(_) | Level::Literal(_) => {}
            }
        }
        Ok(Self { levels })
    }

    /// The topic; `None` where the levels make none that a broker takes: empty, or longer than 65,535 bytes. A broker ends
    /// the connection over such a publish, again and again. A level that has no binding stays empty; `parse` has made
    /// sure that there is none.
    #[must_use]
    pub fn fill(&self, bindings: &Bindings) -> Option<String> {
        let level = |level: &Level| match level {
            Level::Literal(text) => text.clone(),
            Level::Named(name) => bindings.get(name).cloned().unwrap_or_default(),
            Level::Any | Level::Rest => String::new(),
        };
        let topic = self.levels.iter().map(level).collect::<Vec<_>>().join("/");
        (1..=LONGEST_BYTES).contains(&topic.len()).then_some(topic)
    }

    /// What to subscribe to, to hear it with any binding.
    #[must_use]
    pub fn filter(&self) -> String {
        let level = |level: &Level| match level {
            Level::Literal(text) => text.clone(),
            Level::Named(_) | Level::Any | Level::Rest => "+".to_owned(),
        };
        self.levels.iter().map(level).collect::<Vec<_>>().join("/")
    }

    /// Whether a publish to this topic could match `pattern`: a command that raises its own alert again is a loop.
    #[must_use]
    pub fn may_match(&self, pattern: &TopicPattern) -> bool {
        let mut ours = self.levels.iter();
        for theirs in &pattern.levels {
            match (theirs, ours.next()) {
                (Level::Rest, _) => return true,
                (_, None) => return false,
                (Level::Literal(a), Some(Level::Literal(b))) if a != b => return false,
                (Level::Literal(_) | Level::Named(_) | Level::Any, Some(_)) => {}
            }
        }
        ours.next().is_none()
    }
}

fn parse_levels(text: &str) -> Result<Vec<Level>, TopicError> {
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
            _ => parse_level(level),
        })
        .collect()
}

fn parse_level(level: &str) -> Result<Level, TopicError> {
    let named = level.strip_prefix('{').and_then(|rest| rest.strip_suffix('}'));
    let is_name = |name: &str| {
        !name.is_empty()
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
            && !name.starts_with(|c: char| c.is_ascii_digit())
    };
    match named {
        Some(name) if is_name(name) => Ok(Level::Named(name.to_owned())),
        None if !level.contains(['{', '}', '+', '#']) => Ok(Level::Literal(level.to_owned())),
        _ => Err(TopicError::Level(level.to_owned())),
    }
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
        check("a\0", TopicError::Nul);
        check(&"x".repeat(65_536), TopicError::TooLong);
        assert!(TopicPattern::parse(&"x".repeat(65_535)).is_ok());
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
