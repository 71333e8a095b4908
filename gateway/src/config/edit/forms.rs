//! What a form asks for a contact, a team, a rule or a button: data, from which the page makes its fields, and from which what
//! somebody filled in becomes a change.

use toml::{Table, Value};

use super::{Change, EditError, Path, identity};

/// One kind of table.
#[derive(Debug, Clone, Copy)]
pub struct Form {
    /// How the file calls it.
    pub list: &'static str,
    /// The list that it belongs to.
    pub within: Option<&'static str>,
    pub fields: &'static [Field],
}

#[derive(Debug, Clone, Copy)]
pub struct Field {
    pub key: &'static str,
    pub kind: FieldKind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FieldKind {
    /// One line.
    Text,
    /// Several lines.
    Long,
    /// Words with commas between them; one of them may stand there as a text of its own.
    Words,
    /// Contacts and, for a rule, teams, each with a box of its own.
    People,
    /// One of these words.
    Choice(&'static [&'static str]),
    Bool,
}

use FieldKind::{Bool, Choice, Long, People, Text, Words};

const SEVERITIES: FieldKind = Choice(&["info", "warning", "critical"]);

const fn field(key: &'static str, kind: FieldKind) -> Field {
    Field { key, kind }
}

/// The keys that change in daily life; the others stay as they are, and the text has them all.
pub const FORMS: [Form; 4] = [
    Form {
        list: "contact",
        within: None,
        fields: &[
            field("id", Text),
            field("name", Text),
            field("phone", Text),
            field("roles", Words),
            field("language", Choice(&["en", "de", "fr", "es"])),
            field("quiet_hours", Words),
            field("break_through", SEVERITIES),
            field("may_stop", Bool),
        ],
    },
    Form {
        list: "team",
        within: None,
        fields: &[
            field("id", Text),
            field("members", People),
            field("rotation", Choice(&["daily", "weekly"])),
            field("hand_over", Text),
            field("start", Text),
        ],
    },
    Form {
        list: "rule",
        within: None,
        fields: &[
            field("name", Text),
            field("notify", People),
            field("severity", SEVERITIES),
            field("topic", Text),
            field("when", Long),
            field("resolve_when", Long),
            field("for", Text),
            field("value", Text),
            field("chart", Text),
            field("message", Long),
            field("quiet_hours", Words),
            field("break_through", SEVERITIES),
        ],
    },
    Form {
        list: "action",
        within: Some("rule"),
        fields: &[
            field("id", Text),
            field("title", Text),
            field("topic", Text),
            field("payload", Long),
            field("roles", Words),
            field("confirm", Bool),
        ],
    },
];

#[must_use]
pub fn form(list: &str) -> Option<&'static Form> {
    FORMS.iter().find(|form| form.list == list)
}

impl Form {
    /// Where the table of that name stands; `of` names the one that it belongs to.
    #[must_use]
    pub fn path(&self, name: &str, of: &str) -> Path {
        let outer = self.within.map(|list| (list, of.to_owned()));
        outer.into_iter().chain([(self.list, name.to_owned())]).collect()
    }

    /// The key by which it is known.
    #[must_use]
    pub fn identity(&self) -> &'static str {
        identity(self.list)
    }

    /// What somebody filled in. A field that was not shown, such as a text in several languages, is not asked for and stays.
    pub fn change<'f>(
        &self,
        (name, of): (&str, &str),
        filled: impl Fn(&str) -> Option<&'f str>,
        ticked: impl Fn(&str) -> Vec<String>,
    ) -> Result<Change, EditError> {
        let text = |words: &str| Value::String(words.trim().to_owned());
        let mut keys = Vec::new();
        for field in self.fields {
            let Some(words) = filled(field.key) else { continue };
            let words = words.replace("\r\n", "\n");
            let value = match field.kind {
                People => {
                    let people: Vec<Value> = ticked(field.key).into_iter().map(Value::String).collect();
                    Some(people).filter(|people| !people.is_empty()).map(Value::Array)
                }
                _ if words.trim().is_empty() => None,
                Text | Long | Choice(_) => Some(text(&words)),
                Words => {
                    let items: Vec<Value> =
                        words.split(',').filter(|word| !word.trim().is_empty()).map(text).collect();
                    match (&items[..], field.key) {
                        ([one], "quiet_hours") => Some(one.clone()),
                        ([], _) => None,
                        ([..], _) => Some(Value::Array(items)),
                    }
                }
                Bool => Some(Value::Boolean(words == "true")),
            };
            keys.push((field.key, value));
        }
        let named = keys.iter().find(|(key, _)| *key == self.identity()).and_then(|(_, value)| value.clone());
        let named = named.as_ref().and_then(Value::as_str).map(str::to_owned);
        match (name.is_empty(), named) {
            (true, Some(new)) => Ok(Change::Set { place: self.path(&new, of), keys }),
            (false, Some(_)) => Ok(Change::Set { place: self.path(name, of), keys }),
            (_, None) => Err(EditError::Nameless(self.identity())),
        }
    }
}

/// The tables of a form in a text, each as its keys. `None`: the text cannot be read.
#[must_use]
pub fn named(text: &str, form: &Form, of: &str) -> Option<Vec<Table>> {
    let root: Table = text.parse().ok()?;
    let tables = |root: &Table, list: &str| -> Vec<Table> {
        let items = root.get(list).and_then(Value::as_array).cloned().unwrap_or_default();
        items.into_iter().filter_map(|item| item.as_table().cloned()).collect()
    };
    let Some(list) = form.within else { return Some(tables(&root, form.list)) };
    let is_it = |table: &Table| table.get(identity(list)).and_then(Value::as_str) == Some(of);
    Some(
        tables(&root, list)
            .iter()
            .find(|table| is_it(table))
            .map(|outer| tables(outer, form.list))
            .unwrap_or_default(),
    )
}

/// What a field shows of a value. `None`: the value has another form, which only the text can change.
#[must_use]
pub fn shown(kind: FieldKind, value: &Value) -> Option<String> {
    match (kind, value) {
        (Text | Long, Value::String(text)) => Some(text.clone()),
        (Choice(words), Value::String(text)) => {
            Some(text.clone()).filter(|text| words.contains(&text.as_str()))
        }
        (Words, Value::String(text)) => Some(text.clone()),
        (Words | People, Value::Array(items)) => {
            let texts: Option<Vec<&str>> = items.iter().map(Value::as_str).collect();
            texts.map(|texts| texts.join(", "))
        }
        (Bool, Value::Boolean(is)) => Some(is.to_string()),
        _ => None,
    }
}
