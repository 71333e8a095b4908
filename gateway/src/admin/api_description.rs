//! What each endpoint takes and answers. `http/assets/openapi.json` is made of this and of the types that are named here:
//! `BELLWIRE_WRITE_API=1 cargo nextest run -p bellwire -E 'test(openapi)'` writes it.

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, SchemaGenerator};
use serde_json::{Map, Value, json};

use crate::admin::audit_log::{Chain, Trail};
use crate::admin::backend::{Accepted, Ended, Released};
use crate::admin::configuration::{CheckedConfiguration, Configuration, ConfigurationProblem, Saved};
use crate::admin::connections::{Checked, Connected, Gone};
use crate::admin::curves::{AlertStory, DeviceStory};
use crate::admin::dry_run::Tried;
use crate::admin::numbers::{Connections, Setup, ShownConnection};
use crate::admin::views::{All, FirstPage, Rules, ShownContact, Usage};
use crate::command::approval::RequestState;
use crate::command::command_state::CommandState;
use crate::command::question::QuestionState;
use crate::doctor::Finding;
use crate::http::{
    AlertAction, Endpoint, Event, Filter, LIMIT_MAX, MessageAction, Named, NewConnection, Scope, Text, Words,
};
use crate::outbox::message_state::State;
use crate::store::{
    Alert, Change, Command, Device, Direction, Message, Page, Question, Request, Rows, Session, Story,
    Strangers, Token,
};

/// Problem details (RFC 9457).
#[derive(JsonSchema)]
#[expect(dead_code, reason = "only described: `http/problem.rs` writes it")]
struct Problem {
    title: String,
    status: u16,
    detail: String,
    /// Of a number that was not connected, or of a configuration that was not saved
    #[schemars(skip_serializing_if = "Option::is_none")]
    checks: Option<Vec<Check>>,
}

#[derive(JsonSchema)]
#[schemars(untagged, inline)]
#[expect(dead_code, reason = "only described")]
enum Check {
    Number(Finding),
    Configuration(ConfigurationProblem),
}

/// One operation while it is described.
struct Operation<'g> {
    generators: &'g mut Generators,
    described: Value,
    errors: Vec<u16>,
}

/// What is answered has all its fields, and what is taken may lack some.
struct Generators {
    answers: SchemaGenerator,
    bodies: SchemaGenerator,
}

impl<'g> Operation<'g> {
    /// With the parameters of its address and the errors that every endpoint may have.
    fn new(endpoint: Endpoint, generators: &'g mut Generators) -> Self {
        let (path, name) = (endpoint.path(), snake_case(&format!("{endpoint:?}")));
        let described = json!({ "operationId": name, "summary": endpoint.said().1, "parameters": [] });
        let mut operation = Self { generators, described, errors: vec![401, 503] };
        if let Some(scope) = endpoint.scope() {
            operation.described["security"] = json!([{ "token": [scope.as_str()] }]);
            operation.errors.push(403);
        }
        let text = json!({ "type": "string", "minLength": 1 });
        for name in path.split('{').skip(1).filter_map(|rest| rest.split('}').next()) {
            let schema = match (name, path.split('/').nth(2)) {
                ("id", Some("contacts" | "devices" | "sessions")) | ("name", _) => text.clone(),
                ("action", Some("outbox")) => json!({ "type": "string", "enum": MessageAction::WORDS }),
                ("action", _) => json!({ "type": "string", "enum": AlertAction::WORDS }),
                (_, _) => json!({ "type": "integer" }),
            };
            operation = operation.parameter("path", name, schema).errors(&[404]);
        }
        operation
    }

    fn parameter(mut self, place: &str, name: &str, mut schema: Value) -> Self {
        let mut parameter = json!({ "in": place, "name": name });
        if let Some(description) = schema.as_object_mut().and_then(|schema| schema.remove("description")) {
            parameter["description"] = description;
        }
        if place != "query" {
            parameter["required"] = true.into();
        }
        parameter["schema"] = schema;
        self.described["parameters"].as_array_mut().expect("a list").push(parameter);
        self
    }

    fn header(self, name: &str, schema: Value) -> Self {
        self.parameter("header", name, schema)
    }

    fn idempotent(self) -> Self {
        let how = "New for each event, the same when you repeat it; remembered for a day.";
        let schema = json!({ "type": "string", "minLength": 1, "maxLength": 200, "description": how });
        self.header("Idempotency-Key", schema)
    }

    /// All of it, but for what a number that is connected already has.
    fn new_number(self) -> Self {
        let how =
            "The other fields may be left out only for a number that is connected already: then they stay.";
        let mut of = self.body::<NewConnection>().errors(&[409]);
        let schema = &mut of.described["requestBody"]["content"]["application/json"]["schema"];
        schema["required"] = json!(["name"]);
        schema["description"] = how.into();
        of
    }

    /// Those fields of [`Filter`]; an empty word, as a form of the page sends it, is no filter.
    fn filter(mut self, names: &[&str], states: &[&str]) -> Self {
        let known = SchemaGenerator::default().into_root_schema_for::<Filter>();
        self.errors.push(422);
        names.iter().fold(self, |operation, name| {
            let words = |words: &[&str]| {
                let words = [words, &[""]].concat();
                json!({ "type": "string", "enum": words })
            };
            let mut schema = match *name {
                "direction" => words(Direction::WORDS),
                "state" => words(states),
                "since" | "until" => {
                    json!({ "anyOf": [{ "type": "string", "format": "date-time" }, { "const": "" }] })
                }
                "cursor" => {
                    let pattern = r"^([0-9]{1,18}(\.[0-9]{1,18}(\.[A-Za-z0-9._=+/\-]{0,200})?)?)?$";
                    json!({ "type": "string", "pattern": pattern })
                }
                "limit" => json!({ "type": "integer", "minimum": 1, "maximum": LIMIT_MAX }),
                _ => json!({ "type": "string" }),
            };
            schema["description"] = match states.contains(&"waiting") && *name == "state" {
                true => "Of messages to people; waiting and ended are groups.".into(),
                false => known.as_value()["properties"][name]["description"].clone(),
            };
            operation.parameter("query", name, schema)
        })
    }

    fn body<T: JsonSchema>(mut self) -> Self {
        let schema = self.generators.bodies.subschema_for::<T>().to_value();
        self.described["requestBody"] =
            json!({ "required": true, "content": { "application/json": { "schema": schema } } });
        self.errors(&[400, 413, 415, 422])
    }

    fn errors(mut self, errors: &[u16]) -> Self {
        self.errors.extend(errors);
        self
    }

    fn found<T: JsonSchema>(self) -> Value {
        self.answers::<T>(200, "Found")
    }

    fn done<T: JsonSchema>(self) -> Value {
        self.answers::<T>(200, "Done")
    }

    fn answers<T: JsonSchema>(self, status: u16, description: &str) -> Value {
        let schema = self.generators.answers.subschema_for::<T>().to_value();
        self.answers_with(
            status,
            json!({ "description": description, "content": { "application/json": { "schema": schema } } }),
        )
    }

    fn answers_with(mut self, status: u16, answer: Value) -> Value {
        let mut responses = Map::new();
        responses.insert(status.to_string(), answer);
        for error in self.errors.drain(..) {
            let problem = json!({ "$ref": "#/components/responses/Problem" });
            responses.insert(error.to_string(), problem);
        }
        self.described["responses"] = responses.into();
        self.described
    }
}

/// The ETag of an answer with a configuration.
fn tagged(mut described: Value) -> Value {
    described["responses"]["200"]["headers"] =
        json!({ "ETag": { "description": "The fingerprint, in quotes.", "schema": { "type": "string" } } });
    described
}

fn described(endpoint: Endpoint, generators: &mut Generators) -> Value {
    let of = Operation::new(endpoint, generators);
    match endpoint {
        Endpoint::Openapi => of.answers_with(200, openapi()),
        Endpoint::Overview => of.found::<FirstPage>(),
        Endpoint::Messages => {
            let states = [State::WORDS, &["waiting", "ended"]].concat(); // two groups
            let people =
                &["contact", "direction", "state", "rule", "since", "until", "text", "cursor", "limit"];
            of.filter(people, &states).found::<Page<Message>>()
        }
        Endpoint::Message => of.found::<Story>(),
        Endpoint::Decide => of.errors(&[409]).answers::<Story>(200, "Done; the message as it is now"),
        Endpoint::Release => of.answers::<Released>(200, "So many messages may leave now"),
        Endpoint::Alerts => of.filter(&["rule", "since", "cursor", "limit"], &[]).found::<Page<Alert>>(),
        Endpoint::Alert => of.found::<AlertStory>(),
        Endpoint::DecideAlert => {
            of.errors(&[409]).answers::<AlertStory>(200, "Written down; the watch acts within a second")
        }
        Endpoint::Commands => {
            of.filter(&["contact", "state", "cursor", "limit"], CommandState::WORDS).found::<Page<Command>>()
        }
        Endpoint::Audit => of.filter(&["cursor", "limit"], &[]).found::<Page<Change>>(),
        Endpoint::Trail => of.filter(&["cursor", "limit"], &[]).found::<Trail>(),
        Endpoint::TrailCheck => of.found::<Chain>(),
        Endpoint::Requests => {
            of.filter(&["state", "cursor", "limit"], RequestState::WORDS).found::<Page<Request>>()
        }
        Endpoint::Questions => {
            of.filter(&["state", "cursor", "limit"], QuestionState::WORDS).found::<Page<Question>>()
        }
        Endpoint::Strangers => of.filter(&["limit"], &[]).found::<Strangers>(),
        Endpoint::Contacts => of.found::<All<Vec<ShownContact>>>(),
        Endpoint::Contact => of.found::<ShownContact>(),
        Endpoint::Write => {
            of.body::<Words>().errors(&[409]).answers::<Story>(200, "In the outbox; the message as it is now")
        }
        Endpoint::Rules => of.found::<Rules>(),
        Endpoint::Try => of.body::<Event>().found::<Tried>(),
        Endpoint::Devices => of.found::<All<Rows<Device>>>(),
        Endpoint::Device => of.found::<DeviceStory>(),
        Endpoint::Usage => of.found::<Usage>(),
        Endpoint::Setup => of.found::<Setup>(),
        Endpoint::Event => {
            of.idempotent().body::<Event>().errors(&[409]).answers::<Accepted>(202, "It is on disk")
        }
        Endpoint::Connections | Endpoint::Status => of.found::<Connections>(),
        Endpoint::Connection => of.found::<ShownConnection>(),
        Endpoint::ConnectNew => of.new_number().answers::<Connected>(201, "Done"),
        Endpoint::WhatsappConnect => of.new_number().done::<Connected>(),
        Endpoint::ChangeConnection => of.body::<NewConnection>().errors(&[409]).done::<Connected>(),
        Endpoint::DeleteConnection => of.errors(&[409]).done::<Gone>(),
        Endpoint::CheckConnection => of.done::<Checked>(),
        Endpoint::WhatsappDisconnect => of.body::<Named>().errors(&[404, 409]).done::<Gone>(),
        Endpoint::Tokens => of.found::<All<Rows<Token>>>(),
        Endpoint::RevokeToken => of.done::<Ended<i64>>(),
        Endpoint::Sessions => of.found::<All<Rows<Session>>>(),
        Endpoint::EndSession => of.done::<Ended<String>>(),
        Endpoint::Configuration => tagged(of.errors(&[409]).found::<Configuration>()),
        Endpoint::ReplaceConfiguration => {
            let of = of.header("If-Match", json!({ "type": "string", "pattern": "^\"[0-9a-f]{64}\"$",
                "description": "The ETag of the configuration with which this one began; without it the answer is 428." }));
            tagged(of.body::<Text>().errors(&[409, 412, 428]).answers::<Saved>(200, "Saved"))
        }
        Endpoint::CheckConfiguration => {
            of.body::<Text>().errors(&[409]).answers::<CheckedConfiguration>(200, "Checked")
        }
    }
}

fn openapi() -> Value {
    json!({ "description": "OpenAPI 3.1",
            "content": { "application/vnd.oai.openapi+json;version=3.1": { "schema": { "type": "object" } } } })
}

fn snake_case(name: &str) -> String {
    let word = |letter: char| match letter.is_uppercase() {
        true => format!("_{}", letter.to_ascii_lowercase()),
        false => letter.to_string(),
    };
    name.chars().map(word).collect::<String>().trim_start_matches('_').to_owned()
}

fn document() -> Value {
    let settings = |settings: SchemaSettings| {
        settings.with(|settings| {
            settings.definitions_path = "/components/schemas".into();
            settings.meta_schema = None;
        })
    };
    let mut generators = Generators {
        answers: settings(SchemaSettings::draft2020_12().for_serialize()).into_generator(),
        bodies: settings(SchemaSettings::draft2020_12()).into_generator(),
    };
    let mut paths = json!({});
    for endpoint in Endpoint::ALL {
        let method = endpoint.said().0.to_ascii_lowercase();
        paths[endpoint.path()][method] = described(*endpoint, &mut generators);
    }
    let problem = generators.answers.subschema_for::<Problem>().to_value();
    let mut schemas = generators.bodies.take_definitions(true);
    schemas.extend(generators.answers.take_definitions(true));
    schemas["Token"]["properties"]["scopes"]["items"]["enum"] = json!(Scope::WORDS); // words, where they are kept
    let mut document = json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Bellwire", "version": "1", "summary": "The local API of a Bellwire gateway.",
            "description": "Times are RFC 3339 in UTC. Lists come newest first; `next` leads on. Errors are problem details whose `detail` says what to do.",
        },
        "servers": [{ "url": "/" }],
        "security": [{ "token": [] }],
        "paths": paths,
        "components": {
            "securitySchemes": { "token": { "type": "http", "scheme": "bearer",
                "description": "Made on the page under Setup, or with `bellwire token new`; scopes read, act, events, manage, configure." } },
            "responses": { "Problem": { "description": "Problem details (RFC 9457)",
                "content": { "application/problem+json": { "schema": problem } } } },
            "schemas": schemas,
        },
    });
    without_widths(&mut document);
    document
}

/// How many bits a number has in Rust is nobody's business, nor what stands for a field that was left out.
fn without_widths(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.retain(|name, value| match name.as_str() {
                "format" => !value.as_str().is_some_and(|word| word.contains("int") || word == "double"),
                "default" => !value.is_null() && value != "",
                _ => true,
            });
            fields.values_mut().for_each(without_widths);
        }
        Value::Array(items) => items.iter_mut().for_each(without_widths),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/http/assets/openapi.json");

    #[test]
    fn openapi_json_is_made_of_the_types() {
        let document = format!("{:#}\n", document());
        if std::env::var_os("BELLWIRE_WRITE_API").is_some() {
            std::fs::write(FILE, &document).expect("written");
        }
        let written = std::fs::read_to_string(FILE).expect("the file");
        assert!(
            document == written,
            "openapi.json is older than the types: run this test with BELLWIRE_WRITE_API=1"
        );
    }

    #[test]
    fn what_is_a_time_is_named_so() {
        fn look(value: &Value, found: &mut Vec<String>) {
            for (name, schema) in value["properties"].as_object().into_iter().flatten() {
                let is_time = schema["format"] == "date-time";
                if is_time != (name == "at" || name.ends_with("_at")) {
                    found.push(name.clone());
                }
            }
            match value {
                Value::Object(fields) => fields.values().for_each(|value| look(value, found)),
                Value::Array(items) => items.iter().for_each(|value| look(value, found)),
                Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
            }
        }
        let mut wrong = Vec::new();
        look(&document(), &mut wrong);
        assert!(
            wrong.is_empty(),
            "`http/api.rs` writes a time where a field is called `at` or `…_at`: {wrong:?}"
        );
    }

    #[test]
    fn the_api_description_refuses_a_blank_text() {
        let schema = jsonschema::validator_for(&schemars::schema_for!(Words).to_value()).expect("a schema");
        let blank: String = ('\0'..=char::MAX).filter(|letter| letter.is_whitespace()).collect();
        assert!(!schema.is_valid(&json!({ "text": blank })), "as `trim` sees it: {blank:?}");
        for text in ["x", " x ", "\u{1c}", "\u{feff}", "👍"] {
            assert!(schema.is_valid(&json!({ "text": text })), "{text:?}");
        }
    }
}
