//! The subscriptions, and their beginnings.

use std::collections::BTreeMap;

use rusqlite::{Result, params};

use super::Store;
use crate::time::Timestamp;

impl Store {
    /// Each filter, and since when it is subscribed to.
    pub fn subscriptions(&self) -> Result<BTreeMap<String, Timestamp>> {
        self.sql
            .prepare_cached("SELECT filter, since FROM subscription")?
            .query_map([], |row| Ok((row.get(0)?, Timestamp(row.get(1)?))))?
            .collect()
    }

    /// These, and no others; what was there before keeps its time.
    pub fn keep_subscriptions(&self, filters: &[String], now: Timestamp) -> Result<()> {
        let mut insert = self.sql.prepare_cached("INSERT OR IGNORE INTO subscription VALUES (?1, ?2)")?;
        for filter in filters {
            insert.execute(params![filter, now.0])?;
        }
        let mut delete = self.sql.prepare_cached("DELETE FROM subscription WHERE filter = ?1")?;
        for gone in self.subscriptions()?.into_keys().filter(|filter| !filters.contains(filter)) {
            delete.execute([gone])?;
        }
        Ok(())
    }

    /// Whether anything was heard for a rule, as far as is recorded.
    pub fn has_heard(&self, rule: &str) -> Result<bool> {
        let sql = "SELECT 1 FROM tally WHERE rule = ?1 UNION ALL SELECT 1 FROM alert WHERE rule = ?1";
        self.sql.prepare_cached(sql)?.exists([rule])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unwanted_subscriptions_go_and_others_keep_their_time() {
        let (_folder, store) = Store::in_new_folder();
        let all = |filters: &[&str]| filters.iter().map(|filter| (*filter).to_owned()).collect::<Vec<_>>();
        store.keep_subscriptions(&all(&["a/#", "b"]), Timestamp(1)).expect("written");
        store.keep_subscriptions(&all(&["b", "c"]), Timestamp(2)).expect("written");
        let kept = store.subscriptions().expect("read");
        assert_eq!(
            kept.into_iter().collect::<Vec<_>>(),
            [("b".into(), Timestamp(1)), ("c".into(), Timestamp(2))]
        );
        assert!(!store.has_heard("door").expect("read"));
    }
}
