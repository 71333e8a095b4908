//! What is refused when a template is sent (docs/cloud-api.md 1.3, 4.2): it must be approved, and what fills it must fit.

use serde_json::Value;

use super::{Template, variables};
use crate::graph::Refusal;

type Verdict = Result<(), Refusal>;

/// Judges `template.components` of a send; the words that the body is filled to.
pub fn judge(template: &Template, components: &Value) -> Result<String, Refusal> {
    match template.status.as_str() {
        "APPROVED" => {}
        "PAUSED" => return refuse(132_015, "Template is paused due to low quality."),
        "DISABLED" => return refuse(132_016, "Template is disabled because of low quality."),
        _ => {
            let details =
                format!("template name ({}) is not approved in {}", template.name, template.language);
            return refuse(132_001, &details);
        }
    }
    let sent = components.as_array().map_or(&[][..], Vec::as_slice);
    for component in sent {
        let kind = component["type"].as_str().unwrap_or_default().to_lowercase();
        if !["header", "body", "button"].contains(&kind.as_str()) {
            return refuse(100, &format!("Param template['components'] has the invalid type \"{kind}\"."));
        }
    }
    let given = |kind: &str| {
        let found = sent.iter().find(|component| {
            component["type"].as_str().is_some_and(|found| found.eq_ignore_ascii_case(kind))
        });
        found.and_then(|component| component["parameters"].as_array()).map_or(&[][..], Vec::as_slice)
    };
    header(template, given("header"))?;
    let body = template.component("BODY").and_then(|body| body["text"].as_str()).unwrap_or_default();
    let filled = fill(template, "body", body, given("body"))?;
    if filled.encode_utf16().count() > 1_024 {
        return refuse(132_005, "body: the text with its parameters has more than 1024 characters");
    }
    let buttons = sent.iter().filter(|component| component["type"] == "button");
    for button in buttons.clone() {
        pressed(template, button)?;
    }
    for (at, button) in template.buttons().iter().enumerate() {
        let open = button["url"].as_str().is_some_and(|url| url.contains("{{"));
        if open && !buttons.clone().any(|sent| index(sent) == Some(at)) {
            return refuse(
                131_008,
                &format!("buttons: Button at index {at} of type Url requires a parameter"),
            );
        }
    }
    Ok(filled)
}

fn refuse<T>(code: i64, details: &str) -> Result<T, Refusal> {
    Err(Refusal::new(code, details))
}

fn header(template: &Template, given: &[Value]) -> Verdict {
    let header = template.component("HEADER");
    let format = header.and_then(|header| header["format"].as_str()).unwrap_or("TEXT").to_lowercase();
    if format == "text" {
        let text = header.and_then(|header| header["text"].as_str()).unwrap_or_default();
        return fill(template, "header", text, given).map(|_| ());
    }
    let received = given.first().and_then(|parameter| parameter["type"].as_str()).unwrap_or("unknown");
    if received != format {
        let details = format!(
            "header: Format mismatch, expected {}, received {}",
            format.to_uppercase(),
            received.to_uppercase()
        );
        return refuse(132_012, &details);
    }
    match given {
        [parameter] if parameter[&format].is_object() => Ok(()),
        [_] => refuse(131_008, &format!("header: the parameter's {format} is missing")),
        _ => refuse(132_000, &format!("header: {} parameters, expected 1", given.len())),
    }
}

/// The text with its parameters in place.
fn fill(template: &Template, part: &str, text: &str, given: &[Value]) -> Result<String, Refusal> {
    let expected = variables(text);
    if given.len() != expected.len() {
        let details = format!(
            "{part}: number of localizable_params ({}) does not match the expected number of params ({})",
            given.len(),
            expected.len()
        );
        return refuse(132_000, &details);
    }
    let mut filled = text.to_owned();
    for (parameter, position) in given.iter().zip(&expected) {
        let named = parameter["parameter_name"].as_str();
        let variable = match (template.named, named) {
            (true, Some(name)) if expected.contains(&name) => name,
            (false, None) => position,
            (true, Some(name)) => {
                return refuse(132_012, &format!("{part}: the template has no parameter {name}"));
            }
            (true, None) => return refuse(132_012, &format!("{part}: the template's parameters are named")),
            (false, Some(_)) => {
                return refuse(132_012, &format!("{part}: the template's parameters are positional"));
            }
        };
        let value = value(part, parameter)?;
        filled = filled.replace(&format!("{{{{{variable}}}}}"), value);
    }
    Ok(filled)
}

/// The words of one parameter: text, or the fallback of a currency or a time.
fn value<'a>(part: &str, parameter: &'a Value) -> Result<&'a str, Refusal> {
    let kind = parameter["type"].as_str().unwrap_or_default();
    let text = match kind {
        "text" => parameter["text"].as_str(),
        "currency" | "date_time" => parameter[kind]["fallback_value"].as_str(),
        _ => return refuse(132_012, &format!("{part}: Format mismatch, expected TEXT, received {kind}")),
    };
    let Some(text) = text.filter(|text| !text.is_empty()) else {
        return refuse(131_008, &format!("{part}: Parameter of type {kind} is missing its text value"));
    };
    if text.contains(['\n', '\r', '\t']) || text.contains("     ") {
        return refuse(
            132_007,
            "Param text cannot have new-line/tab characters or more than 4 consecutive spaces",
        );
    }
    Ok(text)
}

/// `index` is a string (docs/cloud-api.md 1.3); a number is taken too.
pub fn index(button: &Value) -> Option<usize> {
    let index = &button["index"];
    index.as_str().and_then(|text| text.parse().ok()).or_else(|| usize::try_from(index.as_u64()?).ok())
}

fn pressed(template: &Template, sent: &Value) -> Verdict {
    let kind = sent["sub_type"].as_str().unwrap_or_default().to_lowercase();
    let Some(at) = index(sent) else {
        return refuse(131_008, "buttons: Parameter index is mandatory");
    };
    let button = template.buttons().get(at);
    if !button
        .is_some_and(|button| button["type"].as_str().is_some_and(|found| found.eq_ignore_ascii_case(&kind)))
    {
        return refuse(132_018, &format!("buttons: the template has no {kind} button at index {at}"));
    }
    let parameter = &sent["parameters"][0];
    let (expected, most) = if kind == "quick_reply" { ("payload", 256) } else { ("text", 2_000) };
    if parameter["type"] != expected {
        return refuse(
            132_018,
            &format!("buttons: Button at index {at} takes a parameter of type {expected}"),
        );
    }
    match parameter[expected].as_str().map(|text| text.chars().count()) {
        Some(length) if (1..=most).contains(&length) => Ok(()),
        _ => refuse(132_018, &format!("buttons: {expected} of button {at} has 1 to {most} characters")),
    }
}
