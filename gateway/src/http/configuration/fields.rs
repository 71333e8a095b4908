//! The forms of a draft: what they show, and what comes back from them.

use std::collections::BTreeMap;

use axum::response::Response;
use percent_encoding::percent_decode_str;
use serde_json::{Value, json};

use crate::config::edit::{Change, EditError, FORMS, FieldKind, apply, fingerprint, form, named, shown};
use crate::http::admin_port::{ApiError, Draft};
use crate::http::state::{AppState, Fields, RequestContext};

/// The form that a button names: `contact/nino`, `action/stop/freezer-too-warm`; an empty name is a new one.
pub fn asked(state: &AppState, request: &RequestContext, draft: &Draft, place: &str) -> Response {
    let part = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
    let mut parts = place.split('/').map(part);
    let mut next = || parts.next().unwrap_or_default();
    let (list, name, of) = (next(), next(), next());
    fill_in(state, request, draft, (&list, &name, &of), None)
}

/// The form again, as somebody filled it in, with what is wrong.
pub fn refused(
    state: &AppState,
    request: &RequestContext,
    draft: &Draft,
    error: &EditError,
    fields: &Fields,
) -> Response {
    let place = (fields.get("list"), fields.get("name"), fields.get("of"));
    fill_in(state, request, draft, place, Some((error, fields)))
}

/// The text with what a form says.
pub fn changed(text: &str, fields: &Fields) -> Result<String, EditError> {
    let form = form(fields.get("list")).ok_or(EditError::OnlyByHand)?;
    let (name, of) = (fields.get("name"), fields.get("of"));
    if fields.get("do") == "remove" {
        return apply(text, &Change::Remove { place: form.path(name, of) });
    }
    let known = named(text, form, of).unwrap_or_default();
    let known =
        known.iter().find(|table| table.get(form.identity()).and_then(|value| value.as_str()) == Some(name));
    // In their order, which is the order of turns; who is new comes last.
    let ticked = |key: &str| {
        let beginning = format!("field.{key}.");
        let mut all: Vec<String> = chosen(FieldKind::People, known.and_then(|table| table.get(key)));
        let is_ticked = |name: &str| fields.0.contains_key(&format!("{beginning}{name}"));
        all.retain(|name| is_ticked(name));
        let boxes = fields.0.keys().filter_map(|field| field.strip_prefix(&beginning));
        let new: Vec<String> =
            boxes.filter(|name| !all.iter().any(|known| known == name)).map(str::to_owned).collect();
        all.extend(new);
        all
    };
    let filled = |key: &str| fields.0.get(&format!("field.{key}")).map(String::as_str);
    let new = filled(form.identity()).unwrap_or_default().trim();
    let is_there = |name: &str| {
        let tables = named(text, form, of).unwrap_or_default();
        tables.iter().any(|table| table.get(form.identity()).and_then(|known| known.as_str()) == Some(name))
    };
    if new != name && is_there(new) {
        return Err(EditError::Taken(form.list, new.to_owned()));
    }
    if !name.is_empty() && !is_there(name) {
        return Err(EditError::Gone(format!("{} `{name}`", form.list)));
    }
    apply(text, &form.change((name, of), filled, ticked)?)
}

/// The form of a table as the draft has it, or as somebody filled it in.
fn fill_in(
    state: &AppState,
    request: &RequestContext,
    draft: &Draft,
    (list, name, of): (&str, &str, &str),
    refused: Option<(&EditError, &Fields)>,
) -> Response {
    let Some(form) = form(list) else {
        return state.sorry(request, &ApiError::NotFound("There is no such form.".into()));
    };
    let tables = named(&draft.text, form, of).unwrap_or_default();
    let known =
        tables.iter().find(|table| table.get(form.identity()).and_then(|value| value.as_str()) == Some(name));
    let typed = |key: &str| refused.as_ref().and_then(|(_, fields)| fields.0.get(&format!("field.{key}")));
    let fields: Vec<Value> = form
        .fields
        .iter()
        .map(|field| {
            let value = known.and_then(|table| table.get(field.key));
            let text = value.map_or(Some(String::new()), |value| shown(field.kind, value));
            let text = text.map(|text| typed(field.key).cloned().unwrap_or(text));
            json!({ "key": field.key, "kind": kind(field.kind), "words": words(field.kind), "value": text,
                    "chosen": chosen(field.kind, value) })
        })
        .collect();
    let (people, teams) = (of_all(&draft.text, "contact"), of_all(&draft.text, "team"));
    let within = FORMS.iter().find(|inner| inner.within == Some(form.list) && known.is_some());
    let inner: Option<Value> = within.map(|inner| {
        let tables = named(&draft.text, inner, name).unwrap_or_default().into_iter();
        let names: Vec<String> =
            tables.filter_map(|table| table.get(inner.identity())?.as_str().map(str::to_owned)).collect();
        json!({ "list": inner.list, "names": names })
    });
    let data = json!({
        "list": list, "name": name, "of": of, "fields": fields, "inner": inner, "is_new": known.is_none(), "people": people,
        "teams": if form.list == "rule" { teams } else { Vec::new() }, "text": draft.text, "base": draft.base,
        "is_unsaved": draft.base.as_ref() != Some(&fingerprint(&draft.text)), "trouble": refused.map(|(error, _)| error.to_string()),
    });
    state.page(request, "configuration_form.html", data)
}

fn of_all(text: &str, list: &str) -> Vec<BTreeMap<&'static str, String>> {
    let Some(form) = form(list) else { return Vec::new() };
    let word =
        |table: &toml::Table, key: &str| table.get(key).and_then(|value| value.as_str()).map(str::to_owned);
    let tables = named(text, form, "").unwrap_or_default().into_iter();
    tables
        .filter_map(|table| {
            let id = word(&table, "id")?;
            Some(BTreeMap::from([("name", word(&table, "name").unwrap_or_else(|| id.clone())), ("id", id)]))
        })
        .collect()
}

fn kind(kind: FieldKind) -> &'static str {
    match kind {
        FieldKind::Text | FieldKind::Words => "text",
        FieldKind::Long => "long",
        FieldKind::People => "people",
        FieldKind::Choice(_) | FieldKind::Bool => "choice",
    }
}

fn words(kind: FieldKind) -> &'static [&'static str] {
    match kind {
        FieldKind::Choice(words) => words,
        FieldKind::Bool => &["true", "false"],
        FieldKind::Text | FieldKind::Words | FieldKind::Long | FieldKind::People => &[],
    }
}

fn chosen(kind: FieldKind, value: Option<&toml::Value>) -> Vec<String> {
    let items = value.filter(|_| kind == FieldKind::People).and_then(|value| value.as_array());
    items.into_iter().flatten().filter_map(|item| item.as_str().map(str::to_owned)).collect()
}
