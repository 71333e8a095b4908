//! Rows as JSON, for readers who want all of a list and decide nothing from it. The column's name is the field's name;
//! `name?` is a truth value, `name:json` is JSON that the column holds.

use rusqlite::types::ValueRef;
use rusqlite::{Result, ToSql};
use serde_json::{Map, Value};

use crate::store::Store;

impl Store {
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
