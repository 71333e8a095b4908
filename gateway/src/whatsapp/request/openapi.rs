//! The kinds of request that Meta's own OpenAPI file can judge, judged by it. The file says `additionalProperties: false`
//! inside `allOf`, which would refuse everything; it is read as its authors meant it. Where it is wrong (measured against
//! what the Cloud API takes), the list below says so, and a kind that begins to pass is a mistake in this list.

use std::collections::BTreeMap;

use serde_json::{Value, json};

/// Requests that the file refuses although the Cloud API takes them, and the words by which it does.
const WRONGLY_REFUSED: [(&str, &str); 8] = [
    ("interactive_cta_url", "cta_url"),
    ("interactive_location_request", "location_request_message"),
    ("interactive_request_contact_info", "request_contact_info"),
    ("mark_read", "recipient_type"),
    ("mark_read_typing", "recipient_type"),
    ("text_biz_opaque", "biz_opaque_callback_data"),
    ("text_identity_hash", "recipient_identity_key_hash"),
    ("text_to_bsuid", "recipient"),
];

fn schema() -> Value {
    let path =
        format!("{}/../tests/fixtures/cloud-api/openapi/message.schema.json", env!("CARGO_MANIFEST_DIR"));
    let mut schema: Value = serde_json::from_slice(&std::fs::read(path).expect("the schema")).expect("JSON");
    let schemas = schema["components"]["schemas"].as_object_mut().expect("schemas");
    for part in schemas.values_mut() {
        let Some(members) = part.get_mut("allOf").and_then(Value::as_array_mut) else { continue };
        let closed = members.iter_mut().filter_map(Value::as_object_mut);
        let closed = closed.filter_map(|member| member.remove("additionalProperties")).count();
        if closed > 0 {
            part["unevaluatedProperties"] = json!(false);
        }
    }
    // Obsolete for years, and still demanded; a pattern that forbids the first button.
    let language = schemas["LanguageObject"]["required"].as_array_mut().expect("a list");
    language.retain(|key| key != "policy");
    without_pattern(schema)
}

/// `index` as the file has it is `^[2-6, 11-14]$`; buttons count from 0.
fn without_pattern(mut value: Value) -> Value {
    match &mut value {
        Value::Object(object) => {
            object.remove("pattern");
            object.values_mut().for_each(|inner| *inner = without_pattern(inner.take()));
        }
        Value::Array(list) => list.iter_mut().for_each(|inner| *inner = without_pattern(inner.take())),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
    value
}

fn of_kind(kind: &str) -> &'static str {
    match kind {
        "image" => "ImageMessage",
        "audio" => "AudioMessage",
        "video" => "VideoMessage",
        "document" => "DocumentMessage",
        "sticker" => "StickerMessage",
        "location" => "LocationMessage",
        "contacts" => "ContactsMessage",
        "reaction" => "ReactionMessage",
        "interactive" => "InteractiveMessage",
        "template" => "TemplateMessage",
        _ => "TextMessage",
    }
}

#[test]
fn requests_are_what_metas_own_schema_describes() {
    let schema = schema();
    let folder = format!("{}/../tests/fixtures/cloud-api/requests", env!("CARGO_MANIFEST_DIR"));
    let wrongly: BTreeMap<&str, &str> = WRONGLY_REFUSED.into();
    let mut judged = 0;
    for file in std::fs::read_dir(folder).expect("a folder") {
        let path = file.expect("a file").path();
        let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
        // `tests` shows that we build exactly these.
        let request: Value = serde_json::from_slice(&std::fs::read(&path).expect("readable")).expect("JSON");
        let mut of_this = schema.clone();
        of_this["$ref"] =
            json!(format!("#/components/schemas/{}", of_kind(request["type"].as_str().unwrap_or(""))));
        let validator = jsonschema::validator_for(&of_this).expect("a schema");
        let faults: Vec<String> = validator
            .iter_errors(&request)
            .map(|fault| format!("{}: {fault}", fault.instance_path()))
            .collect();
        match wrongly.get(name.as_str()) {
            None => assert!(faults.is_empty(), "{name}: {faults:#?}"),
            Some(word) => assert!(faults.iter().any(|fault| fault.contains(word)), "{name}: {faults:#?}"),
        }
        judged += usize::from(faults.is_empty());
    }
    assert!(judged >= 20, "{judged} kinds were judged");

    let too_many = json!({
        "messaging_product": "whatsapp", "recipient_type": "individual", "to": "+15550100123", "type": "interactive",
        "interactive": { "type": "button", "body": { "text": "x" }, "action": { "buttons": (0..4).map(|n| {
            json!({ "type": "reply", "reply": { "id": n.to_string(), "title": "x" } })
        }).collect::<Vec<_>>() } },
    });
    let mut of_this = schema;
    of_this["$ref"] = json!("#/components/schemas/InteractiveMessage");
    assert!(!jsonschema::validator_for(&of_this).expect("a schema").is_valid(&too_many), "it does judge");
}
