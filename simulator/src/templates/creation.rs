//! What is refused when a template is created (docs/cloud-api.md 1.3). Meta gives code 100 with the reason as a subcode.

use serde_json::Value;

use super::{Draft, variables};
use crate::graph::Refusal;

type Verdict = Result<(), Refusal>;

pub fn check(draft: &Draft) -> Verdict {
    let usual = |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '_';
    if draft.name.is_empty() || draft.name.len() > 512 || !draft.name.chars().all(usual) {
        return refuse(None, "A template's name is at most 512 lower-case letters, digits and underscores.");
    }
    let language = draft.language.len() >= 2 && draft.language.len() <= 10;
    if !language {
        return refuse(None, "Param language must be a language code, for example en_US.");
    }
    let category = draft.category.to_uppercase();
    ttl(&category, draft.message_send_ttl_seconds)?;
    let mut bodies = 0;
    for component in &draft.components {
        match component["type"].as_str().unwrap_or_default().to_uppercase().as_str() {
            "HEADER" => header(component)?,
            "BODY" => {
                bodies += 1;
                text(component, "body", 1_024, Some(2_388_072))?;
            }
            "FOOTER" => footer(component)?,
            "BUTTONS" => buttons(component["buttons"].as_array().map_or(&[][..], Vec::as_slice))?,
            other => return refuse(None, &format!("Component type {other} is not valid.")),
        }
    }
    if bodies == 1 { Ok(()) } else { refuse(None, "A template needs exactly one BODY component.") }
}

fn refuse(subcode: Option<i64>, details: &str) -> Verdict {
    Err(Refusal { code: 100, subcode, details: details.to_owned() })
}

/// How long Meta tries to deliver: what each category may ask for, in seconds.
fn ttl(category: &str, seconds: Option<i64>) -> Verdict {
    let range = match category {
        "UTILITY" => 30..=43_200,
        "AUTHENTICATION" => 30..=900,
        "MARKETING" => 43_200..=2_592_000,
        _ => return refuse(None, "Param category must be one of {AUTHENTICATION, MARKETING, UTILITY}."),
    };
    if seconds.is_none_or(|seconds| range.contains(&seconds)) {
        return Ok(());
    }
    refuse(None, &format!("message_send_ttl_seconds of {category} is {} to {}.", range.start(), range.end()))
}

fn header(component: &Value) -> Verdict {
    match component["format"].as_str().unwrap_or_default().to_uppercase().as_str() {
        "TEXT" => {
            text(component, "header", 60, Some(2_388_047))?;
            let many = variables(component["text"].as_str().unwrap_or_default()).len() > 1;
            if many { refuse(Some(2_388_047), "A header has at most one parameter.") } else { Ok(()) }
        }
        "IMAGE" | "VIDEO" | "DOCUMENT" | "LOCATION" => Ok(()),
        other => refuse(Some(2_388_047), &format!("Header format {other} is not valid.")),
    }
}

fn footer(component: &Value) -> Verdict {
    text(component, "footer", 60, Some(2_388_073))?;
    if variables(component["text"].as_str().unwrap_or_default()).is_empty() {
        return Ok(());
    }
    refuse(Some(2_388_073), "A footer has no parameters.")
}

fn text(component: &Value, name: &str, most: usize, format: Option<i64>) -> Verdict {
    let Some(text) = component["text"].as_str().filter(|text| !text.trim().is_empty()) else {
        return refuse(format, &format!("The {name} needs a text."));
    };
    if text.encode_utf16().count() > most {
        return refuse(Some(2_388_040), &format!("The {name} has at most {most} characters."));
    }
    if name == "body" { placed(text.trim()) } else { Ok(()) }
}

/// Parameters may not begin or end the body, nor touch each other, nor be too many for it.
fn placed(body: &str) -> Verdict {
    if body.starts_with("{{") || body.ends_with("}}") {
        return refuse(Some(2_388_299), "Parameters cannot be at the start or the end of the template.");
    }
    let touching = body.split("}}").skip(1).any(|rest| rest.trim_start().starts_with("{{"));
    let count = variables(body).len();
    let words = body.split_whitespace().filter(|word| !word.contains("{{")).count();
    // Meta gives no number; two words a parameter and one more is what its reviewers are reported to ask for.
    if touching || (count > 0 && words < 2 * count + 1) {
        return refuse(Some(2_388_293), "The template has too many parameters for its length.");
    }
    Ok(())
}

fn buttons(buttons: &[Value]) -> Verdict {
    let count = |kind: &str| buttons.iter().filter(|button| button["type"] == kind).count();
    if !(1..=10).contains(&buttons.len()) || count("URL") > 2 || count("PHONE_NUMBER") > 1 {
        return refuse(None, "At most 10 buttons, of which 2 are URLs and 1 is a phone number.");
    }
    for button in buttons {
        let label = button["text"].as_str().unwrap_or_default();
        if !(1..=25).contains(&label.encode_utf16().count()) {
            return refuse(None, "A button's label has 1 to 25 characters.");
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_meta_would_refuse_is_refused_with_its_subcode() {
        let subcode = |name: &str, body: &str| {
            let draft = json!({ "name": name, "language": "en", "category": "UTILITY",
                                "components": [{ "type": "BODY", "text": body }] });
            let draft: Draft = serde_json::from_value(draft).expect("a draft");
            check(&draft).map_err(|refusal| refusal.subcode.unwrap_or(0))
        };
        assert_eq!(subcode("alarm_v1", "At {{1}} this happened: {{2}}. Please look."), Ok(()));
        assert_eq!(subcode("Alarm", "a text"), Err(0));
        assert_eq!(subcode("a", "{{1}} is too warm and will be lost"), Err(2_388_299));
        assert_eq!(subcode("a", "it says {{1}} {{2}} and no more than this"), Err(2_388_293));
        assert_eq!(subcode("a", "at {{1}} now"), Err(2_388_293));
        assert_eq!(subcode("a", &"x".repeat(1_025)), Err(2_388_040));
    }
}
