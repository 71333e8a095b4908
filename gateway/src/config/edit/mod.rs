//! Changes to the text of the configuration. Nothing here reads or writes a file: a text goes in, and a text comes out in which
//! everything else is as it was, comments, order and spaces.

/// What differs between two texts, line by line.
mod difference;
/// What a form asks for a contact, a team, a rule or a button, and what follows.
mod forms;
/// Where tables and keys stand in a text.
mod places;
/// Where secrets and files could go by a new configuration that could not before.
mod reach;

pub use difference::{Line, Side, difference, one_line};
pub use forms::{FORMS, Field, FieldKind, Form, form, named, shown};
pub use reach::new_reach;

use sha2::{Digest, Sha256};
use toml::de::DeTable;
use toml::{Table, Value};

use crate::hex::hex;
use places::{Place, Texts};

/// A change of one table.
#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    /// Sets these keys, and takes away those without a value. A table that is not there is added behind its like.
    Set {
        place: Path,
        keys: Vec<(&'static str, Option<Value>)>,
    },
    Remove {
        place: Path,
    },
}

/// Which table, from the outermost: `[("rule", "freezer"), ("action", "stop")]`.
pub type Path = Vec<(&'static str, String)>;

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EditError {
    #[error("The text has a mistake in its form, so that no form can change it; correct the text first.")]
    Unreadable,
    #[error("There is no {0} in the text any more; begin again with the file as it is now.")]
    Gone(String),
    #[error("There is a {0} `{1}` already; open that one, or give another name.")]
    Taken(&'static str, String),
    #[error("It needs a name of its own (`{0}`), by which the rest of the file knows it.")]
    Nameless(&'static str),
    #[error("This is written in a way that only the text itself can change; change it there.")]
    OnlyByHand,
}

/// By what a list's tables are known.
fn identity(list: &str) -> &'static str {
    if list == "rule" { "name" } else { "id" }
}

/// What makes sure that a draft began with the file that it replaces.
#[must_use]
pub fn fingerprint(text: &str) -> String {
    hex(&Sha256::digest(text))
}

/// The text with the change in it. What the new text means is compared with what it should: a way of writing that this does not
/// know leads to an error, and never to another meaning.
pub fn apply(text: &str, change: &Change) -> Result<String, EditError> {
    let before: Table = text.parse().map_err(|_| EditError::Unreadable)?;
    let parsed = DeTable::parse(text).map_err(|_| EditError::Unreadable)?;
    let texts = Texts { text, root: parsed.get_ref() };
    let (place, edited) = match change {
        Change::Set { place, keys } => match texts.find(place) {
            Some(found) => (place, set(&texts, &found, keys)?),
            None => (place, add(&texts, place, keys)?),
        },
        Change::Remove { place } => {
            let found = texts.find(place).ok_or_else(|| gone(place))?;
            let mut new = text.to_owned();
            new.replace_range(texts.whole(&found), "");
            (place, new)
        }
    };
    let mut expected = before;
    let keys = match change {
        Change::Set { keys, .. } => Some(&keys[..]),
        Change::Remove { .. } => None,
    };
    change_values(&mut expected, place, keys).ok_or(EditError::OnlyByHand)?;
    match edited.parse::<Table>() {
        Ok(after) if after == expected => Ok(edited),
        Ok(_) | Err(_) => Err(EditError::OnlyByHand),
    }
}

fn gone(place: &Path) -> EditError {
    EditError::Gone(place.last().map(|(list, name)| format!("{list} `{name}`")).unwrap_or_default())
}

fn set(texts: &Texts, found: &Place, keys: &[(&'static str, Option<Value>)]) -> Result<String, EditError> {
    let mut new = texts.text.to_owned();
    let mut edits = Vec::new();
    let mut added = String::new();
    for (key, value) in keys {
        match (found.key(key), value) {
            (Some((_, old)), Some(value)) if texts.means(old.clone(), value) => {}
            (Some((_, old)), Some(value)) => edits.push((old, value.to_string())),
            (Some((name, old)), None) => edits.push((texts.lines(name.start..old.end), String::new())),
            (None, Some(value)) => added += &format!("{key} = {value}\n"),
            (None, None) => {}
        }
    }
    if !added.is_empty() {
        let end = texts.end_of_keys(found).ok_or(EditError::OnlyByHand)?;
        if !texts.text[..end].ends_with('\n') {
            added.insert(0, '\n');
        }
        edits.push((end..end, added));
    }
    // From the end, so that the places of the others stay what they are.
    edits.sort_by_key(|(range, _)| std::cmp::Reverse((range.start, range.end)));
    for (range, words) in edits {
        new.replace_range(range, &words);
    }
    Ok(new)
}

fn add(texts: &Texts, place: &Path, keys: &[(&'static str, Option<Value>)]) -> Result<String, EditError> {
    let (list, name) = place.last().ok_or(EditError::OnlyByHand)?;
    let at = texts.end_of_list(place).ok_or_else(|| gone(&place[..place.len() - 1].to_vec()))?;
    let title: Vec<&str> = place.iter().map(|(list, _)| *list).collect();
    let mut table =
        format!("[[{}]]\n{} = {}\n", title.join("."), identity(list), Value::String(name.clone()));
    for (key, value) in keys {
        if let Some(value) = value.as_ref().filter(|_| *key != identity(list)) {
            table += &format!("{key} = {value}\n");
        }
    }
    let (before, after) = texts.text.split_at(at);
    let gap = match () {
        () if before.is_empty() || before.ends_with("\n\n") => "",
        () if before.ends_with('\n') => "\n",
        () => "\n\n",
    };
    let end =
        if after.is_empty() || after.starts_with('\n') || after.starts_with("\r\n") { "" } else { "\n" };
    Ok(format!("{before}{gap}{table}{end}{after}"))
}

/// The same change of what the text means.
fn change_values(
    root: &mut Table,
    place: &Path,
    keys: Option<&[(&'static str, Option<Value>)]>,
) -> Option<()> {
    let ((list, name), outer) = place.split_last()?;
    let mut table = root;
    for (list, name) in outer {
        let items = table.get_mut(*list)?.as_array_mut()?;
        table = items.iter_mut().find(|item| is_named(item, list, name))?.as_table_mut()?;
    }
    let Some(keys) = keys else {
        let items = table.get_mut(*list)?.as_array_mut()?;
        let at = items.iter().position(|item| is_named(item, list, name))?;
        items.remove(at);
        if items.is_empty() {
            table.remove(*list);
        }
        return Some(());
    };
    let items = table.entry(*list).or_insert_with(|| Value::Array(Vec::new())).as_array_mut()?;
    if !items.iter().any(|item| is_named(item, list, name)) {
        let named = Table::from_iter([(identity(list).to_owned(), Value::String(name.clone()))]);
        items.push(Value::Table(named));
    }
    let item = items.iter_mut().find(|item| is_named(item, list, name))?.as_table_mut()?;
    for (key, value) in keys {
        match value {
            Some(value) => drop(item.insert((*key).to_owned(), value.clone())),
            None => drop(item.remove(*key)),
        }
    }
    Some(())
}

fn is_named(item: &Value, list: &str, name: &str) -> bool {
    item.get(identity(list)).and_then(Value::as_str) == Some(name)
}

#[cfg(test)]
mod tests;
