//! A table of the file, read key by key. Every key that is asked for is a known one; what is left over is a mistake.

use std::time::Duration;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt::Display;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::problem::Document;
use crate::command::action::{BY_ID, BY_NAME};
use crate::contact::language::Language;
use crate::contact::language::Translated;
use crate::time::parse_duration;

/// How alike a word must be to be suggested (Jaro-Winkler, 0 to 1): `tpoic` is 0.87 like `topic`.
const ALIKE: f64 = 0.8;

/// Keys whose texts take Jinja. Expressions are among them: what stands in {{ }} there has a hint of its own.
const TAKE_JINJA: [&str; 12] = [
    "message",
    "text",
    "parameters",
    "url",
    "file",
    "payload",
    "when",
    "resolve_when",
    "refused_when",
    "value",
    "dedupe_key",
    "key",
];

pub struct Section<'a> {
    document: &'a Document<'a>,
    /// How messages call it: `[mqtt]`, `[[rule]]`.
    title: &'static str,
    table: &'a DeTable<'a>,
    offset: usize,
    asked: RefCell<Vec<&'static str>>,
}

/// A value and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct At<T> {
    pub value: T,
    pub offset: usize,
}

/// What was probably meant.
pub fn nearest<'k>(name: &str, known: impl Iterator<Item = &'k str>) -> Option<&'k str> {
    let likeness = |known: &&str| strsim::jaro_winkler(known, name);
    known.max_by(|a, b| likeness(a).total_cmp(&likeness(b))).filter(|known| likeness(known) >= ALIKE)
}

impl<'a> Section<'a> {
    pub fn new(
        document: &'a Document<'a>,
        title: &'static str,
        table: &'a DeTable<'a>,
        offset: usize,
    ) -> Self {
        Self { document, title, table, offset, asked: RefCell::default() }
    }

    pub fn report(&self, offset: usize, what: impl Into<String>) {
        self.document.report(offset, what);
    }

    /// Where the section begins.
    pub fn offset(&self) -> usize {
        self.offset
    }

    /// Whether the key stands there, whatever it says; to ask is not to know it.
    pub fn has(&self, key: &str) -> bool {
        self.table.contains_key(key)
    }

    pub fn text(&self, key: &'static str) -> Option<At<String>> {
        let value = self.get(key)?;
        match value.get_ref().as_str() {
            Some(text) => Some(At { value: text.to_owned(), offset: value.span().start }),
            None => self.wrong_type(key, value, "text in quotes"),
        }
    }

    /// The text of a key that takes Jinja in other sections, and none here.
    pub fn plain_text(&self, key: &'static str) -> Option<At<String>> {
        self.text(key).inspect(|text| self.no_jinja(key, &text.value, text.offset))
    }

    /// What an action or a command publishes, which may name whoever asks.
    pub fn payload(&self) -> Option<At<String>> {
        self.text("payload").inspect(|text| {
            let rest = text.value.replace(BY_ID, "").replace(BY_NAME, "");
            if rest.contains("{{") || rest.contains("{%") {
                let what = format!("`payload` takes no Jinja but {BY_ID} and {BY_NAME}");
                self.report(text.offset, what);
            }
        })
    }

    /// It would stand there, or go out, as it is written.
    fn no_jinja(&self, key: &str, text: &str, offset: usize) {
        if text.contains("{{") || text.contains("{%") {
            let what = format!(
                "`{key}` takes no Jinja, and would have {{{{ … }}}} as it is written; `message`, the parameters of a template, \
                 `url` and `file` of `attach`, `text` of [[ask]] and `payload` of [[onward]] take it"
            );
            self.report(offset, what);
        }
    }

    /// Every text of this section's own keys that takes no Jinja.
    fn check_plain(&self) {
        for (key, value) in self.table {
            let key = key.get_ref().as_ref();
            let texts: Vec<&Spanned<DeValue<'_>>> = match value.get_ref() {
                DeValue::String(_) => vec![value],
                DeValue::Array(items) => items.iter().collect(),
                DeValue::Table(table) if key == "title" => table.values().collect(),
                DeValue::Table(_)
                | DeValue::Integer(_)
                | DeValue::Float(_)
                | DeValue::Boolean(_)
                | DeValue::Datetime(_) => Vec::new(),
            };
            for text in texts.into_iter().filter(|_| !TAKE_JINJA.contains(&key)) {
                if let Some(words) = text.get_ref().as_str() {
                    self.no_jinja(key, words, text.span().start);
                }
            }
        }
    }

    /// A key without which the section means nothing.
    pub fn required(&self, key: &'static str) -> Option<At<String>> {
        if self.get(key).is_none() {
            self.report(self.offset, format!("{} has no `{key}`; add it", self.title));
        }
        self.text(key).filter(|text| {
            let empty = text.value.trim().is_empty();
            if empty {
                self.report(text.offset, format!("`{key}` is empty; fill it in"));
            }
            !empty
        })
    }

    /// A text that means something: `read` says what, or what is wrong.
    pub fn parsed<T, E: Display>(&self, key: &'static str, read: impl Fn(&str) -> Result<T, E>) -> Option<T> {
        self.text(key).and_then(|text| self.read(key, &text, read))
    }

    pub fn required_parsed<T, E: Display>(
        &self,
        key: &'static str,
        read: impl Fn(&str) -> Result<T, E>,
    ) -> Option<T> {
        self.required(key).and_then(|text| self.read(key, &text, read))
    }

    /// One of a few words.
    pub fn enum_value<T>(
        &self,
        key: &'static str,
        words: &[&str],
        read: impl Fn(&str) -> Option<T>,
    ) -> Option<T> {
        self.parsed(key, |text| {
            read(text).ok_or_else(|| format!("`{text}` is not one of {}", words.join(", ")))
        })
    }

    pub fn bool(&self, key: &'static str) -> Option<bool> {
        let value = self.get(key)?;
        value.get_ref().as_bool().or_else(|| self.wrong_type(key, value, "true or false"))
    }

    pub fn integer(&self, key: &'static str, range: std::ops::RangeInclusive<u32>) -> Option<u32> {
        let value = self.get(key)?;
        let Some(number) = value.get_ref().as_integer() else {
            return self.wrong_type(key, value, "a whole number");
        };
        let parsed = number.as_str().parse().ok().filter(|number| range.contains(number));
        if parsed.is_none() {
            self.report(
                value.span().start,
                format!(
                    "`{key}` is {}; it must be from {} to {}",
                    number.as_str(),
                    range.start(),
                    range.end()
                ),
            );
        }
        parsed
    }

    pub fn strings(&self, key: &'static str) -> Option<Vec<At<String>>> {
        let value = self.get(key)?;
        let Some(items) = value.get_ref().as_array() else {
            return self.wrong_type(key, value, "a list such as [\"one\", \"two\"]");
        };
        let read = |item: &Spanned<DeValue<'_>>| match item.get_ref().as_str() {
            Some(text) => Some(At { value: text.to_owned(), offset: item.span().start }),
            None => self.wrong_type(key, item, "text in quotes"),
        };
        Some(items.iter().filter_map(read).collect())
    }

    /// One text, or a list of them.
    pub fn one_or_more_texts(&self, key: &'static str) -> Vec<At<String>> {
        match self.get(key).map(|value| value.get_ref().is_str()) {
            Some(true) => self.text(key).into_iter().collect(),
            Some(false) | None => self.strings(key).unwrap_or_default(),
        }
    }

    /// A table whose keys are names of the user's own, each with a list of texts.
    pub fn lists(&self, key: &'static str, title: &'static str) -> Vec<(String, Vec<At<String>>)> {
        let Some(value) = self.get(key) else { return Vec::new() };
        let Some(table) = value.get_ref().as_table() else {
            return self.wrong_type(key, value, title).unwrap_or_default();
        };
        let read = |(name, list): (&Spanned<_>, &Spanned<DeValue<'_>>)| {
            let name: &std::borrow::Cow<'_, str> = name.get_ref();
            let Some(items) = list.get_ref().as_array() else {
                return self.wrong_type(name, list, "a list such as [\"one\", \"two\"]");
            };
            let texts = items.iter().filter_map(|item| match item.get_ref().as_str() {
                Some(text) => Some(At { value: text.to_owned(), offset: item.span().start }),
                None => self.wrong_type(name, item, "text in quotes"),
            });
            Some((name.to_string(), texts.collect()))
        };
        table.iter().filter_map(read).collect()
    }

    pub fn section(&self, key: &'static str, title: &'static str) -> Option<Section<'a>> {
        let value = self.get(key)?;
        match value.get_ref().as_table() {
            Some(table) => Some(Section::new(self.document, title, table, value.span().start)),
            None => self.wrong_type(key, value, &format!("a section {title}")),
        }
    }

    /// One table, or several of them.
    pub fn one_or_more(&self, key: &'static str, title: &'static str) -> Vec<Section<'a>> {
        match self.get(key).map(|value| value.get_ref().is_table()) {
            Some(true) => self.section(key, title).into_iter().collect(),
            Some(false) | None => self.sections(key, title),
        }
    }

    /// A list of texts, or a table of named ones, in its order.
    pub fn named_texts(&self, key: &'static str) -> Vec<(Option<String>, At<String>)> {
        let Some(value) = self.get(key) else { return Vec::new() };
        let Some(table) = value.get_ref().as_table() else {
            return self.strings(key).unwrap_or_default().into_iter().map(|text| (None, text)).collect();
        };
        let read = |(name, item): (&Spanned<_>, &Spanned<DeValue<'_>>)| match item.get_ref().as_str() {
            Some(text) => {
                let name: &std::borrow::Cow<'_, str> = name.get_ref();
                Some((Some(name.to_string()), At { value: text.to_owned(), offset: item.span().start }))
            }
            None => self.wrong_type(key, item, "text in quotes"),
        };
        table.iter().filter_map(read).collect()
    }

    /// One text for all, or one a language: `message = { en = "…", de = "…" }`. The site's own is for everybody whose language
    /// is not among them, so it has to be. `read` takes one of them, or says what is wrong with it.
    pub fn translated(
        &self,
        key: &'static str,
        site: Language,
        read: impl Fn(At<String>) -> Option<String>,
    ) -> Option<Translated> {
        let Some(texts) = self.texts_by_name(key) else {
            return Some(Translated { own: read(self.required(key)?)?, others: BTreeMap::new() });
        };
        let mut others = BTreeMap::new();
        for (code, text) in texts {
            match language(&code.value) {
                Ok(language) => others.extend(read(text).map(|text| (language, text))),
                Err(error) => self.report(code.offset, format!("`{key}`: {error}")),
            }
        }
        let own = others.remove(&site);
        if own.is_none() {
            let code = site.code();
            self.report(
                self.offset,
                format!("`{key}` has no `{code}`, the language of [site]: it is for everybody who reads none of the others"),
            );
        }
        Some(Translated { own: own?, others })
    }

    /// The texts of a table, each with its name; `None` when it is no table.
    fn texts_by_name(&self, key: &'static str) -> Option<Vec<(At<String>, At<String>)>> {
        let table = self.get(key)?.get_ref().as_table()?;
        let read = |(name, item): (&Spanned<_>, &Spanned<DeValue<'_>>)| {
            let Some(text) = item.get_ref().as_str() else {
                return self.wrong_type(key, item, "text in quotes");
            };
            let known: &std::borrow::Cow<'_, str> = name.get_ref();
            let name = At { value: known.to_string(), offset: name.span().start };
            Some((name, At { value: text.to_owned(), offset: item.span().start }))
        };
        Some(table.iter().filter_map(read).collect())
    }

    pub fn sections(&self, key: &'static str, title: &'static str) -> Vec<Section<'a>> {
        let Some(value) = self.get(key) else { return Vec::new() };
        let Some(items) = value.get_ref().as_array() else {
            return self
                .wrong_type(key, value, &format!("sections {title}, with double brackets"))
                .unwrap_or_default();
        };
        let read = |item: &'a Spanned<DeValue<'a>>| match item.get_ref().as_table() {
            Some(table) => Some(Section::new(self.document, title, table, item.span().start)),
            None => self.wrong_type(key, item, &format!("a section {title}")),
        };
        items.iter().filter_map(read).collect()
    }

    /// Reports every key that nobody asked for.
    pub fn finish(self) {
        self.check_plain();
        let asked = self.asked.borrow();
        for (key, _) in self.table {
            let name = key.get_ref().as_ref();
            if asked.contains(&name) {
                continue;
            }
            let advice = match nearest(name, asked.iter().copied()) {
                Some(known) => format!("did you mean `{known}`?"),
                None => format!("{} knows {}", self.title, asked.join(", ")),
            };
            self.report(key.span().start, format!("unknown key `{name}`; {advice}"));
        }
    }

    fn get(&self, key: &'static str) -> Option<&'a Spanned<DeValue<'a>>> {
        let mut asked = self.asked.borrow_mut();
        if !asked.contains(&key) {
            asked.push(key);
        }
        self.table.get(key)
    }

    fn read<T, E: Display>(
        &self,
        key: &str,
        text: &At<String>,
        read: impl Fn(&str) -> Result<T, E>,
    ) -> Option<T> {
        read(&text.value).map_err(|error| self.report(text.offset, format!("`{key}`: {error}"))).ok()
    }

    fn wrong_type<T>(&self, key: &str, value: &Spanned<DeValue<'_>>, expected: &str) -> Option<T> {
        let found = value.get_ref().type_str();
        self.report(value.span().start, format!("`{key}` must be {expected}, not {found}"));
        None
    }
}

/// By its code, or a sentence with those that there are.
pub fn language(code: &str) -> Result<Language, String> {
    Language::parse(code).ok_or_else(|| {
        let known = Language::ALL.map(Language::code).join(", ");
        format!("there is no language `{code}`; Bellwire speaks {known}")
    })
}

pub fn duration(text: &str) -> Result<Duration, String> {
    parse_duration(text).ok_or_else(|| format!("`{text}` is not a duration; write it as 90s, 5m, 2h or 7d"))
}
