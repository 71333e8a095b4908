//! Rows as JSON, for readers who want all of a list and decide nothing from it. What a row has is declared once, by [`row!`]: its
//! columns and what the API's description says of them. The column's name is the field's name; `name?` is a truth value,
//! `name:json` is JSON that the column holds.

use std::marker::PhantomData;

use rusqlite::types::ValueRef;
use rusqlite::{OptionalExtension, Result, ToSql};
use serde::Serialize;
use serde_json::{Map, Value};

use crate::store::Store;
use crate::time::Timestamp;

/// What is read of a row.
pub trait Columns {
    const COLUMNS: &'static str;
}

/// A row's fields, each a column of that name or `= "SQL"`, which may end in `"?"` or `":json"`; behind `plus` those that
/// the code adds.
macro_rules! row {
    ($(#[$meta:meta])* $name:ident { $($(#[$of:meta])* $field:ident: $kind:ty $(= $sql:literal $($suffix:literal)?)?,)+ }
     $(plus { $($(#[$of_more:meta])* $more:ident: $kind_more:ty,)+ })?) => {
        $(#[$meta])*
        #[cfg_attr(test, derive(schemars::JsonSchema))]
        pub struct $name {
            $($(#[$of])* pub $field: $kind,)+
            $($($(#[$of_more])* pub $more: $kind_more,)+)?
        }

        impl $crate::store::views::json::Columns for $name {
            const COLUMNS: &'static str =
                concat!($(", ", $crate::store::views::json::column!($field $($sql $($suffix)?)?)),+).split_at(2).1;
        }
    };
}

macro_rules! column {
    ($field:ident) => {
        stringify!($field)
    };
    ($field:ident $sql:literal) => {
        concat!($sql, " AS ", stringify!($field))
    };
    ($field:ident $sql:literal $suffix:literal) => {
        concat!($sql, " AS \"", stringify!($field), $suffix, "\"")
    };
}

pub(in crate::store) use {column, row};

/// Rows of that kind, as JSON.
#[derive(Debug, Clone, Serialize)]
#[serde(transparent, bound = "")]
pub struct Rows<T>(pub Vec<Value>, #[serde(skip)] PhantomData<T>);

/// One of them.
#[derive(Debug, Clone, Serialize)]
#[serde(transparent, bound = "")]
pub struct OneRow<T>(pub Value, #[serde(skip)] PhantomData<T>);

impl<T> Rows<T> {
    pub(in crate::store) fn of(rows: Vec<Value>) -> Self {
        Self(rows, PhantomData)
    }

    pub(in crate::store) fn into_first(self) -> Option<OneRow<T>> {
        self.0.into_iter().next().map(|row| OneRow(row, PhantomData))
    }
}

#[cfg(test)]
impl<T: schemars::JsonSchema> schemars::JsonSchema for Rows<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        Vec::<T>::schema_name()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        Vec::<T>::json_schema(generator)
    }
}

#[cfg(test)]
impl<T: schemars::JsonSchema> schemars::JsonSchema for OneRow<T> {
    fn inline_schema() -> bool {
        T::inline_schema()
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        T::schema_name()
    }

    fn schema_id() -> std::borrow::Cow<'static, str> {
        T::schema_id()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        T::json_schema(generator)
    }
}

/// A part of a list, the newest first.
#[derive(Debug, Clone, Serialize)]
#[serde(bound = "")]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(inline, bound = "T: schemars::JsonSchema"))]
pub struct Page<T> {
    pub items: Rows<T>,
    /// Give it as `cursor` for the rows behind these; null at the end.
    pub next: Option<String>,
}

impl<T> Page<T> {
    /// Of rows of which there is one more than asked for if more follow.
    pub(in crate::store) fn of(mut rows: Rows<T>, limit: u32) -> Self {
        let more = rows.0.len() > limit as usize;
        rows.0.truncate(limit as usize);
        let next = rows.0.last().filter(|_| more).and_then(|row| row["id"].as_i64()).map(|id| id.to_string());
        Self { items: rows, next }
    }
}

impl Store {
    /// Of rows as `T` declares them: what follows their columns.
    pub(in crate::store) fn all<T: Columns>(&self, from: &str, values: &[&dyn ToSql]) -> Result<Rows<T>> {
        self.rows(&format!("SELECT {} {from}", T::COLUMNS), values).map(Rows::of)
    }

    pub(in crate::store) fn rows(&self, sql: &str, values: &[&dyn ToSql]) -> Result<Vec<Value>> {
        let mut statement = self.sql.prepare_cached(sql)?;
        let names: Vec<String> = statement.column_names().map(str::to_owned).collect();
        statement
            .query_map(values, |row| {
                let mut fields = Map::new();
                for (index, name) in names.iter().enumerate() {
                    let (name, value) = field(name, row.get_ref(index)?);
                    fields.insert(name.to_owned(), value);
                }
                Ok(Value::Object(fields))
            })?
            .collect()
    }

    pub(in crate::store) fn row(&self, sql: &str, values: &[&dyn ToSql]) -> Result<Option<Value>> {
        self.rows(sql, values).map(|rows| rows.into_iter().next())
    }

    /// When something was, of one row and column.
    pub(in crate::store) fn moment(&self, sql: &str, values: &[&dyn ToSql]) -> Result<Option<Timestamp>> {
        let read = |row: &rusqlite::Row| row.get::<_, Option<i64>>(0);
        Ok(self.sql.prepare_cached(sql)?.query_row(values, read).optional()?.flatten().map(Timestamp))
    }

    pub(in crate::store) fn number(&self, sql: &str, values: &[&dyn ToSql]) -> Result<i64> {
        self.sql
            .prepare_cached(sql)?
            .query_row(values, |row| row.get::<_, Option<i64>>(0))
            .map(Option::unwrap_or_default)
    }
}

fn field<'a>(name: &'a str, value: ValueRef<'_>) -> (&'a str, Value) {
    let plain = match value {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(number) => number.into(),
        ValueRef::Real(number) => number.into(),
        ValueRef::Text(text) | ValueRef::Blob(text) => String::from_utf8_lossy(text).into(),
    };
    if let Some(name) = name.strip_suffix('?') {
        return (name, plain.as_i64().is_some_and(|number| number != 0).into());
    }
    match name.strip_suffix(":json") {
        Some(name) => {
            (name, plain.as_str().and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default())
        }
        None => (name, plain),
    }
}
