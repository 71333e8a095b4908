//! Where tables and keys stand in a text, by the places that the parser gives them.

use std::ops::Range;

use toml::de::{DeTable, DeValue};
use toml::{Spanned, Value};

use super::{Path, identity};

/// A text and its tables.
pub struct Texts<'a> {
    pub text: &'a str,
    pub root: &'a DeTable<'a>,
}

/// A table of a list.
pub struct Place<'a> {
    table: &'a DeTable<'a>,
    /// Its line `[[contact]]`; an inline table begins with a brace.
    header: Range<usize>,
    /// Its list and its number in it, from the outermost.
    path: Numbers<'a>,
}

type Numbers<'a> = Vec<(&'a str, usize)>;

impl Place<'_> {
    /// Where a key and its value stand.
    pub fn key(&self, key: &str) -> Option<(Range<usize>, Range<usize>)> {
        self.table.get_key_value(key).map(|(name, value)| (name.span(), value.span()))
    }

    fn is_first(&self) -> bool {
        self.path.last().is_some_and(|(_, number)| *number == 0)
    }
}

impl<'a> Texts<'a> {
    pub fn find(&self, path: &Path) -> Option<Place<'a>> {
        let mut place = Place { table: self.root, header: 0..0, path: Vec::new() };
        for (list, name) in path {
            let items = place.table.get(*list)?.get_ref().as_array()?;
            let is_it = |item: &Spanned<DeValue>| {
                let table = item.get_ref().as_table();
                let value = table.and_then(|table| table.get(identity(list)));
                value.and_then(|value| value.get_ref().as_str()) == Some(name)
            };
            let number = items.iter().position(is_it)?;
            let item = items.get(number)?;
            place.path.push((list, number));
            place = Place { table: item.get_ref().as_table()?, header: item.span(), path: place.path };
        }
        Some(place)
    }

    /// Whether that part of the text says this already.
    pub fn means(&self, part: Range<usize>, value: &Value) -> bool {
        let said = self.text.get(part).and_then(|words| format!("x = {words}").parse::<toml::Table>().ok());
        said.as_ref().and_then(|said| said.get("x")) == Some(value)
    }

    /// Whole lines around a part.
    pub fn lines(&self, part: Range<usize>) -> Range<usize> {
        self.line_start(part.start)..self.line_end(part.end)
    }

    /// Behind the last of the table's own keys. `None`: it has no line of its own.
    pub fn end_of_keys(&self, place: &Place) -> Option<usize> {
        if !self.is_header(place.header.start) {
            return None;
        }
        let own = place.table.values().filter(|value| !self.is_section(value));
        let last = own.map(|value| value.span().end).max().unwrap_or(place.header.end);
        Some(self.line_end(last.max(place.header.end)))
    }

    /// Where another table of this list begins: behind the last one, else behind what it belongs to, else at the end.
    pub fn end_of_list(&self, path: &Path) -> Option<usize> {
        let ((list, _), outer) = path.split_last()?;
        let outer = outer.to_vec();
        let around = if outer.is_empty() { None } else { Some(self.find(&outer)?) };
        let items = around.as_ref().map_or(self.root, |place| place.table).get(*list);
        let last = items.and_then(|items| items.get_ref().as_array()).and_then(|items| items.last());
        match (last, around) {
            (Some(last), _) => Some(self.end(last)),
            (None, Some(around)) => Some(self.end_of(around.table, around.header.end)),
            (None, None) => Some(self.text.len()),
        }
    }

    /// All of a table: the comment above it, its keys, its sections, and the empty lines behind it. The comment above the first of
    /// several is about them all, and stays.
    pub fn whole(&self, place: &Place<'a>) -> Range<usize> {
        let mut start = self.line_start(place.header.start);
        if !(place.is_first() && self.has_another(place)) {
            start = self.above(start);
        }
        let mut end = self.end_of(place.table, place.header.end);
        while end < self.text.len() {
            let next = self.line_end(end);
            if !self.text[end..next].trim().is_empty() {
                break;
            }
            end = next;
        }
        start..end
    }

    fn has_another(&self, place: &Place<'a>) -> bool {
        let mut table = self.root;
        let mut count = 0;
        for (list, number) in &place.path {
            let items = table.get(*list).and_then(|items| items.get_ref().as_array());
            let Some(items) = items else { return false };
            count = items.len();
            let Some(next) = items.get(*number).and_then(|item| item.get_ref().as_table()) else {
                return false;
            };
            table = next;
        }
        count > 1
    }

    fn end(&self, item: &Spanned<DeValue>) -> usize {
        let header = item.span().end;
        item.get_ref().as_table().map_or(header, |table| self.end_of(table, header))
    }

    /// Behind all that is in a table, with the comment that follows it directly, unless that is the next table's.
    fn end_of(&self, table: &DeTable, header: usize) -> usize {
        let end = self.line_end(last(table).max(header));
        let mut behind = end;
        while self.is_comment(behind) {
            behind = self.line_end(behind);
        }
        if self.is_header(behind) { end } else { behind }
    }

    fn above(&self, mut line: usize) -> usize {
        while line > 0 && self.is_comment(self.line_start(line - 1)) {
            line = self.line_start(line - 1);
        }
        line
    }

    fn is_comment(&self, line: usize) -> bool {
        self.text[line..].trim_start_matches([' ', '\t']).starts_with('#')
    }

    /// A section with a line of its own.
    fn is_section(&self, value: &Spanned<DeValue>) -> bool {
        let first = match value.get_ref() {
            DeValue::Array(items) => items.iter().next().filter(|item| item.get_ref().is_table()),
            DeValue::Table(_) => Some(value),
            DeValue::String(_)
            | DeValue::Integer(_)
            | DeValue::Float(_)
            | DeValue::Boolean(_)
            | DeValue::Datetime(_) => None,
        };
        first.is_some_and(|first| self.is_header(first.span().start))
    }

    fn is_header(&self, at: usize) -> bool {
        let line = self.line_start(at);
        self.text[line..].trim_start_matches([' ', '\t']).starts_with('[')
    }

    fn line_start(&self, at: usize) -> usize {
        self.text[..at].rfind('\n').map_or(0, |newline| newline + 1)
    }

    fn line_end(&self, at: usize) -> usize {
        self.text[at..].find('\n').map_or(self.text.len(), |newline| at + newline + 1)
    }
}

/// Where the last of a table's values ends, those of its sections too.
fn last(table: &DeTable) -> usize {
    fn end(value: &Spanned<DeValue>) -> usize {
        let within = match value.get_ref() {
            DeValue::Table(table) => last(table),
            DeValue::Array(items) => items.iter().map(end).max().unwrap_or_default(),
            DeValue::String(_)
            | DeValue::Integer(_)
            | DeValue::Float(_)
            | DeValue::Boolean(_)
            | DeValue::Datetime(_) => 0,
        };
        within.max(value.span().end)
    }
    table.values().map(end).max().unwrap_or_default()
}
