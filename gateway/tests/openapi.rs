//! The API's description says of states, scopes and decisions what the code's enums say.

#![expect(clippy::expect_used, reason = "a description that cannot be read stops the test")]

use bellwire::command::approval::RequestState;
use bellwire::command::command_state::CommandState;
use bellwire::command::question::QuestionState;
use bellwire::http::{AlertAction, Scope};
use bellwire::outbox::message_state::State;
use bellwire::store::VersionOutcome;
use serde_json::Value;

/// An empty word, as a form of the page sends it, is no filter.
fn words(description: &Value, place: &str) -> Vec<String> {
    let found = description.pointer(place).and_then(Value::as_array).expect(place).iter();
    found.map(|word| word.as_str().expect("a word").to_owned()).filter(|word| !word.is_empty()).collect()
}

#[test]
fn each_word_of_the_description_is_one_of_its_type() {
    let text = include_str!("../src/http/assets/openapi.json");
    let description: Value = serde_json::from_str(text).expect("JSON");
    let schema = |name: &str| format!("/components/schemas/{name}/properties/state/enum");
    let parameter = |path: &str, at: u8| format!("/paths/{path}/parameters/{at}/schema/enum");
    for (place, expected) in [
        (schema("Message"), State::WORDS),
        (schema("Story"), State::WORDS),
        (schema("Command"), CommandState::WORDS),
        (schema("Request"), RequestState::WORDS),
        (schema("Question"), QuestionState::WORDS),
        (
            "/components/schemas/Configuration/properties/versions/items/properties/outcome/enum".to_owned(),
            VersionOutcome::WORDS,
        ),
        ("/components/schemas/Token/properties/scopes/items/enum".to_owned(), Scope::WORDS),
        (parameter("~1api~1commands/get", 1), CommandState::WORDS),
        (parameter("~1api~1requests/get", 0), RequestState::WORDS),
        (parameter("~1api~1questions/get", 0), QuestionState::WORDS),
        (parameter("~1api~1alerts~1{id}~1{action}/post", 1), AlertAction::WORDS),
    ] {
        assert_eq!(words(&description, &place), expected, "{place}");
    }
    let filter = words(&description, &parameter("~1api~1messages/get", 2));
    assert_eq!(filter, [State::WORDS, &["waiting", "ended"]].concat());
}
