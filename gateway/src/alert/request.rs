//! A request of an automation in one message: whom to tell what, how urgently, and what may be tapped. It is an event
//! like any other, and an alert of its rule with the rule's number, templates and expiry; what it says itself counts
//! before the rule's.
//!
//! `{"title", "message", "to", "severity", "image", "actions": [{"action", "title"}], "tag", "language", "key"}`: only `message` is
//! required; null and an empty text are as if the name were not there, since a form's empty fields come so. With a `tag` it takes the
//! place of the earlier one; with a tag alone it ends that.

use std::fmt::Display;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::alert::effect::Effect;
use crate::alert::ignored::Ignored;
use crate::contact::People;
use crate::contact::language::{Language, Translated};
use crate::contact::severity::Severity;
use crate::event::decode::{PAYLOAD_LIMIT_BYTES, PayloadFormat, decode};
use crate::event::incoming::Event;
use crate::ids::RuleName;
use crate::outbox::button_token::ACTION_MAX;
use crate::rule::definition::{ButtonAction, RequestPolicy, Rule};
use crate::rule::error::EvaluationError;

/// The binding that a tag becomes: silences may name it.
pub const TAG: &str = "tag";
/// Everybody in the configuration.
const ALL: &str = "all";
/// What Home Assistant's own app calls an end without words.
const CLEAR: &str = "clear_notification";
/// As the actions of a rule: three are buttons, more are the rows of a list (`config/rules.rs`).
const ACTIONS_MAX: usize = 9;
/// Meta, Interactive reply buttons messages.
const TITLE_MAX: usize = 20;
/// A tag and a key are names; a UUID has 36 characters.
const NAME_MAX: usize = 128;
const NAMES: [&str; 9] = ["title", "message", "to", "severity", "image", "actions", "tag", "language", "key"];

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Request {
    title: String,
    message: String,
    image: String,
    /// Contacts and teams; empty: whom the rule tells.
    to: Vec<String>,
    severity: Option<Severity>,
    pub actions: Vec<RequestAction>,
    pub tag: Option<String>,
    pub language: Option<Language>,
    /// By which a repetition is known.
    pub key: Option<String>,
}

/// A button of a request; its id comes back with the tap.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequestAction {
    pub action: String,
    pub title: String,
}

impl Request {
    /// The error is for whoever wrote the automation.
    pub fn read(event: &Event, people: &People) -> Result<Self, EvaluationError> {
        let wrong = |what: String| EvaluationError { what, ..EvaluationError::of("it is no request") };
        if event.payload.len() > PAYLOAD_LIMIT_BYTES {
            return Err(wrong(format!("it has more than {PAYLOAD_LIMIT_BYTES} bytes")));
        }
        match decode(PayloadFormat::Json, None, &event.payload) {
            Ok(Value::Object(names)) => Self::of(names, people).map_err(wrong),
            Ok(_) => {
                Err(wrong("it is no JSON object such as {\"message\": \"The cake is ready\"}".to_owned()))
            }
            Err(error) => Err(wrong(error.to_string())),
        }
    }

    fn of(mut names: Map<String, Value>, people: &People) -> Result<Self, String> {
        names
            .retain(|_, value| !value.is_null() && value.as_str().is_none_or(|text| !text.trim().is_empty()));
        if let Some(unknown) = names.keys().find(|name| !NAMES.contains(&name.as_str())) {
            return Err(format!("`{unknown}` is no name of a request, which has {}", NAMES.join(", ")));
        }
        let mut text = |name: &str| match names.remove(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(other) => Err(format!("`{name}` is {other}, not a text in quotes")),
        };
        let (title, message, image) = (text("title")?, text("message")?, text("image")?);
        let severity = word("severity", text("severity")?, "info, warning, critical", Severity::parse)?;
        let language = word("language", text("language")?, "en, de, fr, es", Language::parse)?;
        let (tag, key) = (text("tag")?, text("key")?);
        for (name, text) in [("tag", &tag), ("key", &key)] {
            if text.as_ref().is_some_and(|text| text.chars().count() > NAME_MAX) {
                return Err(format!("`{name}` is longer than {NAME_MAX} characters"));
            }
        }
        let message = message.filter(|message| message != CLEAR || tag.is_none()).unwrap_or_default();
        let request = Self {
            title: title.unwrap_or_default(),
            message,
            image: image.unwrap_or_default(),
            to: recipients(names.remove("to"), people)?,
            severity,
            actions: actions(names.remove("actions"))?,
            tag,
            language,
            key,
        };
        if request.ends() && request.tag.is_none() {
            return Err(
                "`message` is missing; without one only a `tag` is enough, which ends what was told with it"
                    .to_owned(),
            );
        }
        Ok(request)
    }

    /// Whether it only ends what was told with its tag.
    #[must_use]
    pub fn ends(&self) -> bool {
        self.title.is_empty() && self.message.is_empty() && self.image.is_empty()
    }

    /// The names that the rule's message, template and picture may use, each a text.
    #[must_use]
    pub fn payload(&self) -> Value {
        json!({ "title": self.title, "message": self.message, "image": self.image, "tag": self.tag.as_deref().unwrap_or_default() })
    }

    /// The rule as the request wants it.
    #[must_use]
    pub fn rule(&self, rule: &Rule, people: &People) -> Rule {
        let mut rule = rule.clone();
        if self.to.iter().any(|name| name == ALL) {
            rule.notify = people.contacts.keys().map(|id| id.0.clone()).collect();
        } else if !self.to.is_empty() {
            rule.notify.clone_from(&self.to);
        }
        rule.severity = self.severity.unwrap_or(rule.severity);
        rule.attach = rule.attach.filter(|_| !self.image.is_empty());
        if let Some(policy) = &rule.request {
            rule.actions.extend(self.actions.iter().map(|offered| offered.button(policy)));
        }
        rule
    }
}

impl RequestAction {
    /// As an action of a rule; what it publishes is known when somebody taps.
    #[must_use]
    pub fn button(&self, policy: &RequestPolicy) -> ButtonAction {
        ButtonAction {
            id: self.action.clone(),
            title: Translated { own: self.title.clone(), ..Translated::default() },
            topic: policy.topic.clone(),
            payload: String::new(),
            retain: false,
            words: Vec::new(),
            terms: policy.terms.clone(),
        }
    }
}

/// The answer to its sender: whether it is taken, or what is wrong with it; and what keeps it from somebody, or failed
/// on the way.
#[must_use]
pub fn outcome(ignored: &[(RuleName, Ignored)], effects: &[Effect]) -> Value {
    let error = ignored.iter().find_map(|(_, why)| why.reason().or_else(|| Some(why.as_str().to_owned())));
    let raised = effects
        .iter()
        .find_map(|effect| if let Effect::Fired(raised) = effect { Some(raised) } else { None });
    json!({
        "accepted": error.is_none(),
        "error": error,
        "held": raised.map(|raised| &raised.held),
        "flaw": raised.and_then(|raised| raised.flaw.as_ref()),
    })
}

fn word<T>(
    name: &str,
    text: Option<String>,
    known: &str,
    parse: impl Fn(&str) -> Option<T>,
) -> Result<Option<T>, String> {
    text.map(|text| parse(&text).ok_or_else(|| format!("`{name}` is `{text}`, not one of {known}")))
        .transpose()
}

/// One name, several with commas as a form's text field gives them, or a list.
fn recipients(to: Option<Value>, people: &People) -> Result<Vec<String>, String> {
    let names: Vec<String> = match to {
        None => Vec::new(),
        Some(Value::String(text)) => text.split(',').map(|name| name.trim().to_owned()).collect(),
        Some(Value::Array(list)) => list
            .into_iter()
            .map(|name| name.as_str().map(str::to_owned).ok_or_else(|| not_people(&name)))
            .collect::<Result<_, _>>()?,
        Some(other) => return Err(not_people(&other)),
    };
    match names.iter().find(|name| *name != ALL && !people.knows(name)) {
        Some(unknown) => Err(format!("`to`: there is no contact or team `{unknown}`")),
        None => Ok(names),
    }
}

fn not_people(value: &impl Display) -> String {
    format!("`to` is {value}, not a contact, a team, {ALL}, or a list of them")
}

fn actions(offered: Option<Value>) -> Result<Vec<RequestAction>, String> {
    let form = "`actions` is a list such as [{\"action\": \"open\", \"title\": \"Open the door\"}]";
    let Some(offered) = offered else { return Ok(Vec::new()) };
    let list = offered.as_array().ok_or_else(|| format!("{form}, not {offered}"))?;
    if list.len() > ACTIONS_MAX {
        return Err(format!("WhatsApp shows at most nine actions; `actions` has {}", list.len()));
    }
    let mut found: Vec<RequestAction> = Vec::new();
    for one in list {
        let part = |name: &str| one[name].as_str().map(str::trim).filter(|text| !text.is_empty());
        let (Some(action), Some(title)) = (part("action"), part("title")) else {
            return Err(format!("{form}, and has {one}"));
        };
        if let Some(unknown) = one
            .as_object()
            .and_then(|one| one.keys().find(|name| !["action", "title"].contains(&name.as_str())))
        {
            return Err(format!("{form}; it knows no `{unknown}`"));
        }
        if !action.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
            || action.len() > ACTION_MAX
        {
            return Err(format!(
                "the action `{action}` has more than {ACTION_MAX} letters, digits, - and _, or others"
            ));
        }
        if title.encode_utf16().count() > TITLE_MAX {
            return Err(format!(
                "the title “{title}” has more than the {TITLE_MAX} characters that a WhatsApp button shows"
            ));
        }
        if found
            .iter()
            .any(|other| other.action == action || other.title.to_lowercase() == title.to_lowercase())
        {
            return Err(format!("two actions are called `{action}` or “{title}”"));
        }
        found.push(RequestAction { action: action.to_owned(), title: title.to_owned() });
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alert::tests::{MORNING, event, site};
    use crate::event::incoming::Identity;

    fn read(payload: &str) -> Result<Request, String> {
        let people = site("").0.people;
        Request::read(&event("x", payload.to_owned(), Identity::None), &people).map_err(|error| error.what)
    }

    #[test]
    fn each_mistake_in_a_request_is_explained() {
        for (payload, error) in [
            ("The cake", "it is not JSON: "),
            ("[]", "it is no JSON object such as {\"message\": \"The cake is ready\"}"),
            ("{}", "`message` is missing; without one only a `tag` is enough"),
            (r#"{"message": null, "to": ""}"#, "`message` is missing"),
            (
                r#"{"message": "x", "prio": 1}"#,
                "`prio` is no name of a request, which has title, message, to,",
            ),
            (r#"{"message": 5}"#, "`message` is 5, not a text in quotes"),
            (r#"{"message": "x", "to": "nobody"}"#, "`to`: there is no contact or team `nobody`"),
            (
                r#"{"message": "x", "to": ["nino", 5]}"#,
                "`to` is 5, not a contact, a team, all, or a list of them",
            ),
            (
                r#"{"message": "x", "severity": "high"}"#,
                "`severity` is `high`, not one of info, warning, critical",
            ),
            (r#"{"message": "x", "language": "xx"}"#, "`language` is `xx`, not one of en, de, fr, es"),
            (r#"{"message": "x", "actions": {}}"#, "`actions` is a list such as"),
            (r#"{"message": "x", "actions": [{"action": "a"}]}"#, "`actions` is a list such as"),
            (
                r#"{"message": "x", "actions": [{"action": "a", "title": "A", "uri": "b"}]}"#,
                "`actions` is a list such as [{\"action\": \"open\", \"title\": \"Open the door\"}]; it knows no `uri`",
            ),
            (r#"{"message": "x", "actions": [{"action": "a b", "title": "A"}]}"#, "the action `a b` has"),
            (
                r#"{"message": "x", "actions": [{"action": "a", "title": "123456789012345678901"}]}"#,
                "the title “123456789012345678901” has more than the 20 characters",
            ),
            (
                r#"{"message": "x", "actions": [{"action": "a", "title": "A"}, {"action": "b", "title": "a"}]}"#,
                "two actions are called `b` or “a”",
            ),
        ] {
            let found = read(payload).expect_err(payload);
            assert!(found.starts_with(error), "{payload}: {found}");
        }
        let long = format!(r#"{{"message": "x", "tag": "{}"}}"#, "t".repeat(129));
        assert_eq!(read(&long).expect_err("long"), "`tag` is longer than 128 characters");
        let many: Vec<String> =
            (0..10).map(|n| format!(r#"{{"action": "a{n}", "title": "A{n}"}}"#)).collect();
        let many = format!(r#"{{"message": "x", "actions": [{}]}}"#, many.join(","));
        assert_eq!(read(&many).expect_err("many"), "WhatsApp shows at most nine actions; `actions` has 10");
    }

    #[test]
    fn empty_fields_count_as_missing() {
        let plain = Request { message: "x".into(), ..Request::default() };
        assert_eq!(read(r#"{"message": "x"}"#), Ok(plain.clone()));
        let empty = r#"{"message": "x", "title": "", "to": null, "severity": " ", "image": null, "actions": null, "tag": ""}"#;
        assert_eq!(read(empty), Ok(plain));
        let full = r#"{"message": "x", "to": "nino, giorgi", "severity": "critical", "language": "de", "tag": "leak", "key": "7",
            "actions": [{"action": "close", "title": "Close"}]}"#;
        let full = read(full).expect("good");
        assert_eq!(full.to, ["nino", "giorgi"]);
        assert_eq!((full.severity, full.language), (Some(Severity::Critical), Some(Language::German)));
        assert_eq!((full.tag.as_deref(), full.key.as_deref()), (Some("leak"), Some("7")));
        assert!(!full.ends());
        for end in [r#"{"tag": "leak"}"#, r#"{"tag": "leak", "message": "clear_notification"}"#] {
            assert!(read(end).expect("good").ends(), "{end}");
        }
    }

    #[test]
    fn a_request_chooses_recipients_severity_and_buttons() {
        let home = "[home_assistant]\nnotify = [\"giorgi\"]\n";
        let (config, judge) = site(home);
        let topic = config.home_assistant.as_ref().expect("there").appearance.request_topic();
        let decide = |payload: &str| {
            let event = event(&topic, payload.to_owned(), Identity::None);
            judge.decide(event, &mut judge.watch(), MORNING)
        };
        let told = |payload: &str| {
            let sent = decide(payload).effects.into_iter().filter_map(Effect::notice);
            let sent = sent.map(|sent| {
                let buttons: Vec<String> =
                    sent.content.buttons.iter().map(|button| button.title.clone()).collect();
                let first = sent.content.text.lines().take(2).collect::<Vec<_>>().join("|");
                (sent.to.id.0, first, sent.severity, buttons.join(","))
            });
            sent.collect::<Vec<_>>()
        };
        let found = told(
            r#"{"title": "Water", "message": "In the cellar", "severity": "critical", "to": ["keti", "giorgi"],
            "actions": [{"action": "close", "title": "Close"}, {"action": "wait", "title": "Wait"}]}"#,
        );
        let of = |who: &str| {
            (who.to_owned(), "*Water*|In the cellar".to_owned(), Severity::Critical, "Close,Wait".to_owned())
        };
        assert_eq!(found, [of("keti"), of("giorgi")]);
        let found = told(r#"{"message": "The {{ cake }}"}"#);
        assert_eq!((found.len(), found[0].0.as_str(), found[0].2), (1, "giorgi", Severity::Warning));
        assert!(
            found[0].1.starts_with("The {{ cake }}"),
            "words of a payload are no template: {}",
            found[0].1
        );
        assert_eq!(told(r#"{"message": "x", "to": "all"}"#).len(), config.people.contacts.len());
        let wrong = decide(r#"{"message": "x", "prio": 1}"#);
        assert!(wrong.effects.iter().all(|effect| !effect.is_told()));
        assert_eq!(wrong.unjudged.len(), 1, "the owner hears of it, too");
        let outcome = outcome(&wrong.ignored, &wrong.effects);
        assert_eq!(outcome["accepted"], false);
        assert!(
            outcome["error"].as_str().expect("a sentence").contains("`prio` is no name of a request"),
            "{outcome}"
        );
    }
}
