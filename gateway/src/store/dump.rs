//! Rows as lines of text, for tests of other modules, which know no SQL library.

use rusqlite::Result;
use rusqlite::types::ValueRef;

use super::Store;

impl Store {
    /// Each row's columns with a space between.
    pub fn dump(&self, sql: &str) -> Result<Vec<String>> {
        let mut statement = self.sql.prepare(sql)?;
        let columns = statement.column_count();
        let mut rows = statement.query([])?;
        let mut lines = Vec::new();
        while let Some(row) = rows.next()? {
            let word = |index| {
                Ok(match row.get_ref(index)? {
                    ValueRef::Null => "-".to_owned(),
                    ValueRef::Integer(number) => number.to_string(),
                    ValueRef::Real(number) => number.to_string(),
                    ValueRef::Text(text) | ValueRef::Blob(text) => String::from_utf8_lossy(text).into_owned(),
                })
            };
            lines.push((0..columns).map(word).collect::<Result<Vec<_>>>()?.join(" "));
        }
        Ok(lines)
    }
}
