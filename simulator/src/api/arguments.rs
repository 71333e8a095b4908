//! What a request says. Graph takes parameters from the query and from the body, and a body as JSON or as a form.

use axum::Form;
use axum::body::Bytes;
use axum::extract::{FromRequest, Multipart, Query, Request};
use axum::http::{Uri, header};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::Refused;
use crate::graph::Refusal;
use crate::state::Simulator;

/// What any call of Graph's takes and no object knows.
const OF_GRAPH: [&str; 5] = ["access_token", "appsecret_proof", "debug", "format", "pretty"];

/// Parameters that are objects or lists.
const OBJECTS: [&str; 20] = [
    "text",
    "template",
    "interactive",
    "image",
    "document",
    "audio",
    "video",
    "sticker",
    "location",
    "contacts",
    "reaction",
    "context",
    "typing_indicator",
    "components",
    "webhook_configuration",
    "block_users",
    "websites",
    "prompts",
    "commands",
    "example",
];

/// The parameters of a request, or why they are not understood.
pub struct Arguments(Result<Map<String, Value>, String>);

impl FromRequest<Simulator> for Arguments {
    type Rejection = Refused;

    async fn from_request(request: Request, simulator: &Simulator) -> Result<Self, Refused> {
        let uri = request.uri().clone();
        Ok(Self(body(request, simulator).await.map(|body| with_query(&uri, body))))
    }
}

impl Arguments {
    /// All of them. The caller has judged the token before, so that what a stranger says is not looked at.
    pub async fn object(self, simulator: &Simulator) -> Result<Map<String, Value>, Refused> {
        match self.0 {
            Ok(object) => Ok(object),
            Err(details) => Err(simulator.refuse(&Refusal::new(100, details)).await),
        }
    }

    /// As what the call takes.
    pub async fn read<T: DeserializeOwned>(self, simulator: &Simulator) -> Result<T, Refused> {
        let object = self.object(simulator).await?;
        match serde_json::from_value(Value::Object(object)) {
            Ok(read) => Ok(read),
            Err(error) => {
                let details = format!("The body is not understood: {error}");
                Err(simulator.refuse(&Refusal::new(100, details)).await)
            }
        }
    }
}

async fn body(request: Request, simulator: &Simulator) -> Result<Map<String, Value>, String> {
    let kind = request.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    let kind = kind.unwrap_or_default().to_ascii_lowercase();
    if kind.starts_with("multipart/form-data") {
        let form = Multipart::from_request(request, simulator).await;
        return fields(form.map_err(|error| error.body_text())?).await;
    }
    if kind.starts_with("application/x-www-form-urlencoded") {
        let form = Form::<Vec<(String, String)>>::from_request(request, simulator).await;
        let Form(pairs) = form.map_err(|error| error.body_text())?;
        return Ok(pairs.into_iter().map(|(key, text)| (key, words(text))).collect());
    }
    let bytes = Bytes::from_request(request, simulator).await.map_err(|error| error.body_text())?;
    if bytes.is_empty() {
        return Ok(Map::new());
    }
    match serde_json::from_slice(&bytes) {
        Ok(Value::Object(object)) => Ok(object),
        Ok(_) => Err("The body must be a JSON object.".to_owned()),
        Err(_) => Err("The body is not valid JSON.".to_owned()),
    }
}

async fn fields(mut form: Multipart) -> Result<Map<String, Value>, String> {
    let mut object = Map::new();
    while let Some(field) = form.next_field().await.map_err(|error| error.body_text())? {
        let name = field.name().unwrap_or_default().to_owned();
        object.insert(name, words(field.text().await.map_err(|error| error.body_text())?));
    }
    Ok(object)
}

/// The body wins over the query.
fn with_query(uri: &Uri, body: Map<String, Value>) -> Map<String, Value> {
    let query: Vec<(String, String)> = Query::try_from_uri(uri).map(|Query(pairs)| pairs).unwrap_or_default();
    let mut all: Map<String, Value> = query.into_iter().map(|(key, text)| (key, words(text))).collect();
    all.extend(body);
    all.into_iter()
        .filter(|(key, _)| !OF_GRAPH.contains(&key.as_str()))
        .map(|(key, value)| {
            let value = decoded(&key, value);
            (key, value)
        })
        .collect()
}

/// Objects and lists may be written as JSON in a string, in a query and in a form as well as in a body; the words of other
/// parameters stay what they are, also when they look like JSON.
fn decoded(key: &str, value: Value) -> Value {
    match &value {
        Value::String(text) if OBJECTS.contains(&key) => match serde_json::from_str(text) {
            Ok(read @ (Value::Object(_) | Value::Array(_))) => read,
            Ok(_) | Err(_) => value,
        },
        Value::Null
        | Value::Bool(_)
        | Value::Number(_)
        | Value::String(_)
        | Value::Array(_)
        | Value::Object(_) => value,
    }
}

/// In a query and in a form everything is text, digits too: a PIN and a phone number are no numbers.
fn words(text: String) -> Value {
    match text.as_str() {
        "true" => Value::Bool(true),
        "false" => Value::Bool(false),
        _ => Value::String(text),
    }
}
