//! The template catalogue of the business account (docs/cloud-api.md 1.3, 6).

/// What is refused at creation.
mod creation;
/// What is refused at sending.
mod sending;

use serde::de::Error;
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value, json};

use crate::graph::Refusal;

pub use sending::{index, judge};

/// docs/cloud-api.md 1.3: 250 templates in an account whose portfolio is not verified. It also bounds what the simulator keeps.
pub const TEMPLATES_MAX: usize = 250;
/// A deleted name is blocked for 30 days (docs/cloud-api.md 1.3).
const BLOCKED_MS: i64 = 30 * 86_400_000;
/// When a quality was given, in Unix seconds: any past time does.
const QUALITY_DATE: i64 = 1_790_000_000;
/// Ids of templates are numbers with this head, so that no other object's id is taken for one.
const FIRST_ID: u64 = 777_000_000_000_000;

/// The body of a creation; Meta's own keys.
#[derive(Debug, Clone, Deserialize)]
pub struct Draft {
    pub name: String,
    pub language: String,
    pub category: String,
    #[serde(default)]
    pub parameter_format: Option<String>,
    #[serde(default)]
    pub components: Vec<Value>,
    #[serde(default, deserialize_with = "whole")]
    pub message_send_ttl_seconds: Option<i64>,
}

#[derive(Debug, Clone)]
pub struct Template {
    pub id: u64,
    pub name: String,
    pub language: String,
    pub category: String,
    pub status: String,
    pub named: bool,
    pub components: Vec<Value>,
    pub quality: String,
    pub reason: String,
    pub ttl_s: Option<i64>,
    /// Messages are taken and wait for a quality assessment.
    pub held: bool,
}

#[derive(Debug)]
pub struct Catalogue {
    pub templates: Vec<Template>,
    /// Names that were deleted, with the time (ms).
    deleted: Vec<(String, i64)>,
    numbered: u64,
}

impl Default for Catalogue {
    /// Every test account of Meta's has `hello_world`.
    fn default() -> Self {
        let mut catalogue = Self { templates: Vec::new(), deleted: Vec::new(), numbered: 0 };
        catalogue.put(
            Draft {
                name: "hello_world".to_owned(),
                language: "en_US".to_owned(),
                category: "UTILITY".to_owned(),
                parameter_format: None,
                components: vec![
                    json!({ "type": "HEADER", "format": "TEXT", "text": "Hello World" }),
                    json!({ "type": "BODY", "text": "Welcome and congratulations!!" }),
                    json!({ "type": "FOOTER", "text": "WhatsApp Business Platform sample message" }),
                ],
                message_send_ttl_seconds: None,
            },
            "APPROVED",
        );
        catalogue
    }
}

impl Catalogue {
    /// `POST /{waba}/message_templates`: pending until the control interface decides.
    pub fn create(&mut self, draft: Draft, now_ms: i64) -> Result<&Template, Refusal> {
        creation::check(&draft)?;
        self.deleted.retain(|(_, at)| now_ms - at < BLOCKED_MS);
        if self.deleted.iter().any(|(name, _)| *name == draft.name) {
            let details = format!("The name {} was deleted within the last 30 days.", draft.name);
            return Err(Refusal { code: 100, subcode: Some(2_388_023), details });
        }
        if self.find(&draft.name, &draft.language).is_some() {
            let details =
                format!("There is already content in {} for the template {}.", draft.language, draft.name);
            return Err(Refusal { code: 100, subcode: Some(2_388_024), details });
        }
        if self.templates.len() >= TEMPLATES_MAX {
            let details = format!("The account has {TEMPLATES_MAX} templates, the most that it can have.");
            return Err(Refusal { code: 100, subcode: Some(2_388_019), details });
        }
        Ok(self.put(draft, "PENDING"))
    }

    /// Creates it, or replaces what has its name and language; judges nothing.
    pub fn put(&mut self, draft: Draft, status: &str) -> &Template {
        let at = self
            .templates
            .iter()
            .position(|template| template.name == draft.name && template.language == draft.language);
        self.numbered += 1;
        let id = at.map_or(FIRST_ID + self.numbered, |at| self.templates[at].id);
        let template = Template {
            id,
            name: draft.name,
            language: draft.language,
            category: draft.category.to_uppercase(),
            status: status.to_owned(),
            named: draft.parameter_format.is_some_and(|format| format.eq_ignore_ascii_case("named")),
            components: draft.components,
            quality: "UNKNOWN".to_owned(),
            reason: "NONE".to_owned(),
            ttl_s: draft.message_send_ttl_seconds,
            held: false,
        };
        let at = at.unwrap_or_else(|| {
            // The newest stay: 250 are what Meta keeps.
            let surplus = (self.templates.len() + 1).saturating_sub(TEMPLATES_MAX);
            self.templates.drain(..surplus);
            self.templates.push(template.clone());
            self.templates.len() - 1
        });
        self.templates[at] = template;
        &self.templates[at]
    }

    pub fn find(&self, name: &str, language: &str) -> Option<&Template> {
        self.templates.iter().find(|template| template.name == name && template.language == language)
    }

    pub fn find_mut(&mut self, name: &str, language: Option<&str>) -> Option<&mut Template> {
        self.templates.iter_mut().find(|template| {
            template.name == name && language.is_none_or(|language| template.language == language)
        })
    }

    /// The template with this id; the flag says whether the id is a template's at all.
    pub fn by_id(&self, id: &str) -> (Option<&Template>, bool) {
        let number: Option<u64> = id.parse().ok();
        let ours = number.is_some_and(|number| (FIRST_ID..FIRST_ID + 1_000_000_000).contains(&number));
        (self.templates.iter().find(|template| Some(template.id) == number), ours)
    }

    /// `POST /{template}`: another wording or category, judged as a new one is. One that is approved or paused stays so unless a
    /// review fails it, which the control interface decides; one that was rejected waits again.
    pub fn edit(&mut self, id: u64, change: &Map<String, Value>) -> Result<&Template, Refusal> {
        let Some(at) = self.templates.iter().position(|template| template.id == id) else {
            return Err(Refusal::no_object(&id.to_string()));
        };
        let old = &self.templates[at];
        let mut draft = json!({ "name": old.name, "language": old.language, "category": old.category,
            "parameter_format": old.format(), "components": old.components, "message_send_ttl_seconds": old.ttl_s });
        for (key, value) in change {
            if !["category", "parameter_format", "components", "message_send_ttl_seconds"]
                .contains(&key.as_str())
            {
                return Err(Refusal::new(100, format!("Unexpected key \"{key}\" on param \"root\".")));
            }
            draft[key] = value.clone();
        }
        let draft: Draft = serde_json::from_value(draft)
            .map_err(|error| Refusal::new(100, format!("The change is not understood: {error}")))?;
        creation::check(&draft)?;
        let status = match old.status.as_str() {
            "APPROVED" | "PAUSED" => old.status.clone(),
            "REJECTED" => "PENDING".to_owned(),
            other => {
                let details = format!("A template whose status is {other} cannot be edited.");
                return Err(Refusal { code: 100, subcode: Some(2_388_039), details });
            }
        };
        let (quality, held) = (old.quality.clone(), old.held);
        self.put(draft, &status);
        (self.templates[at].quality, self.templates[at].held) = (quality, held);
        Ok(&self.templates[at])
    }

    /// All languages of a name, or the one with the id.
    pub fn delete(&mut self, name: &str, id: Option<u64>, now_ms: i64) -> bool {
        let before = self.templates.len();
        self.templates.retain(|template| template.name != name || id.is_some_and(|id| template.id != id));
        let gone = self.templates.len() < before;
        if gone && id.is_none() {
            self.deleted.push((name.to_owned(), now_ms));
            let surplus = self.deleted.len().saturating_sub(TEMPLATES_MAX);
            self.deleted.drain(..surplus);
        }
        gone
    }
}

impl Template {
    /// What a list and `GET /{template}` show; `fields` limits it.
    pub fn shown(&self, fields: Option<&str>) -> Result<Value, Refusal> {
        let mut all = Map::new();
        all.insert("id".to_owned(), json!(self.id.to_string()));
        all.insert("name".to_owned(), json!(self.name));
        all.insert("language".to_owned(), json!(self.language));
        all.insert("status".to_owned(), json!(self.status));
        all.insert("category".to_owned(), json!(self.category));
        all.insert("components".to_owned(), json!(self.components));
        all.insert("parameter_format".to_owned(), json!(self.format()));
        all.insert("quality_score".to_owned(), json!({ "score": self.quality, "date": QUALITY_DATE }));
        all.insert("rejected_reason".to_owned(), json!(self.reason));
        all.insert("health_status".to_owned(), self.health());
        if let Some(seconds) = self.ttl_s {
            all.insert("message_send_ttl_seconds".to_owned(), json!(seconds));
        }
        crate::fields::TEMPLATE.select(&all, fields)
    }

    fn format(&self) -> &'static str {
        if self.named { "NAMED" } else { "POSITIONAL" }
    }

    fn health(&self) -> Value {
        let available = self.status == "APPROVED";
        let word = if available { "AVAILABLE" } else { "BLOCKED" };
        let mut entity =
            json!({ "entity_type": "MESSAGE_TEMPLATE", "id": self.id.to_string(), "can_send_message": word });
        if !available {
            entity["errors"] = json!([{ "error_code": 141_002, "error_description": "The template is not approved.",
                                        "possible_solution": "Wait until it is approved, or use another template." }]);
        }
        json!({ "can_send_message": word, "entities": [entity] })
    }

    /// The component of a kind: `HEADER`, `BODY`, `FOOTER`, `BUTTONS`.
    pub fn component(&self, kind: &str) -> Option<&Value> {
        self.components.iter().find(|component| {
            component["type"].as_str().is_some_and(|found| found.eq_ignore_ascii_case(kind))
        })
    }

    pub fn buttons(&self) -> &[Value] {
        self.component("BUTTONS")
            .and_then(|component| component["buttons"].as_array())
            .map_or(&[][..], Vec::as_slice)
    }
}

/// A whole number, or one in a string, as a query and a form have it.
pub fn whole<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<i64>, D::Error> {
    let number = match Option::<Value>::deserialize(deserializer)? {
        None => return Ok(None),
        Some(Value::String(text)) => text.parse().ok(),
        Some(other) => other.as_i64(),
    };
    number.map(Some).ok_or_else(|| D::Error::custom("a whole number is expected"))
}

/// What stands in `{{…}}` of a text, each once, in order.
pub fn variables(text: &str) -> Vec<&str> {
    let mut found: Vec<&str> = Vec::new();
    for part in text.split("{{").skip(1) {
        if let Some((name, _)) = part.split_once("}}")
            && !found.contains(&name.trim())
        {
            found.push(name.trim());
        }
    }
    found
}
