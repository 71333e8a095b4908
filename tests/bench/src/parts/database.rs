//! Outboxes of any size, made by copying rows that the gateway itself wrote: whatever the schema is, they are right.

use std::path::Path;

use anyhow::Result;
use rusqlite::Connection;

/// One number out of the database, read beside the gateway.
pub fn number(path: &Path, sql: &str) -> Result<f64> {
    let database = Connection::open_with_flags(path, rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    database.busy_timeout(std::time::Duration::from_secs(5))?;
    Ok(database.query_row(sql, [], |row| row.get::<_, Option<f64>>(0))?.unwrap_or_default())
}

/// Copies the newest event with its alert and its message until there are `rows` of each, in turn for `people`. The
/// messages are kept apart from digests, so that each leaves by itself.
pub fn fill(path: &Path, rows: u64, people: u32) -> Result<()> {
    let database = Connection::open(path)?;
    database.execute_batch(
        "PRAGMA synchronous = OFF; PRAGMA foreign_keys = OFF; PRAGMA cache_size = -65536; BEGIN",
    )?;
    let turn = format!("'p' || (n % {people})");
    let later = "(strftime('%s', 'now') + 864000) * 1000";
    let fresh: [(&str, &[(&str, &str)]); 3] = [
        ("event", &[("key", "NULL")]),
        ("alert", &[("event", "n")]),
        (
            "message",
            &[
                ("alert", "n"),
                ("contact", &turn),
                ("mergeable", "0"),
                ("expires_at", later),
                ("state", "'queued'"),
            ],
        ),
    ];
    for (table, changes) in fresh {
        let newest: i64 =
            database.query_row(&format!("SELECT max(id) FROM {table}"), [], |row| row.get(0))?;
        let columns = columns(&database, table)?;
        let given: Vec<&str> = columns
            .iter()
            .map(|column| match changes.iter().find(|(name, _)| name == column) {
                _ if column == "id" => "n",
                Some((_, value)) => value,
                None => column.as_str(),
            })
            .collect();
        database.execute_batch(&format!(
            "WITH RECURSIVE numbers(n) AS (SELECT {newest} + 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < {rows})
             INSERT INTO {table} ({}) SELECT {} FROM numbers, (SELECT * FROM {table} WHERE id = {newest}) WHERE n <= {rows}",
            columns.join(", "),
            given.join(", ")
        ))?;
    }
    database.execute_batch("COMMIT; PRAGMA wal_checkpoint(TRUNCATE)")?;
    drop(database);
    std::fs::File::open(path)?.sync_all()?; // or the gateway's first checkpoint waits for all of it
    Ok(())
}

/// Ids of Meta's for the first `rows` messages, as if they had been sent.
pub fn fill_sent(path: &Path, rows: u64) -> Result<()> {
    let database = Connection::open(path)?;
    database.execute_batch(&format!(
        "UPDATE message SET state = 'accepted' WHERE id <= {rows};
         INSERT OR IGNORE INTO sent (wamid, message) SELECT 'wamid.S' || id, id FROM message WHERE id <= {rows}"
    ))?;
    Ok(())
}

fn columns(database: &Connection, table: &str) -> Result<Vec<String>> {
    let mut query = database.prepare("SELECT name FROM pragma_table_info(?1)")?;
    let names = query.query_map([table], |row| row.get(0))?;
    Ok(names.collect::<rusqlite::Result<_>>()?)
}
