//! Versions of the configuration: what was saved on the page, what was found on disk, and what became of each.

use rusqlite::{OptionalExtension, Result, params};

use super::Store;
use crate::config::edit::{fingerprint, one_line};
use crate::store::views::json::{Rows, row};
use crate::time::Timestamp;
use crate::words::word_enum;

/// Versions that are kept: a change a week for a year.
const VERSIONS_MAX: u32 = 50;
/// Bytes of their texts: 50 of a large configuration with a thousand people.
const BYTES_MAX: u32 = 5_000_000;
/// Who changed it where nobody did on the page: somebody with a shell, or a program that manages files.
const BY_FILE: &str = "file";

word_enum! {
    /// What became of a version.
    VersionOutcome {
        /// It is in the file, and the daemon has not taken it over yet.
        Waiting = "waiting",
        /// The daemon runs with it.
        Taken = "taken",
        /// The daemon runs with the one before: the reason says why.
        Refused = "refused",
    }
}

row! {
    /// A text that was the configuration, or should have become it.
    ShownVersion {
        id: i64,
        at: Timestamp,
        /// `page`, `token NAME`, or `file` for a change on the machine.
        who: String,
        fingerprint: String,
        /// What changed, in one line.
        summary: String,
        outcome: VersionOutcome,
        reason: Option<String>,
    }
}

/// A version with its text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigurationVersion {
    pub id: i64,
    pub text: String,
    pub outcome: Option<VersionOutcome>,
}

impl Store {
    /// Keeps a text as the newest version, unless it is that already; its id. The oldest go.
    pub fn keep_version(&self, text: &str, by: &str, at: Timestamp) -> Result<i64> {
        let before = self.newest_version()?;
        if let Some(same) = before.as_ref().filter(|before| before.text == text) {
            return Ok(same.id);
        }
        let summary = before.map_or_else(String::new, |before| one_line(&before.text, text));
        let id = self
            .sql
            .prepare_cached(
                "INSERT INTO configuration_version (at, who, fingerprint, text, summary, outcome) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            )?
            .insert(params![at.0, by, fingerprint(text), text, summary, VersionOutcome::Waiting.as_str()])?;
        self.sql
            .prepare_cached(
                "DELETE FROM configuration_version WHERE id < ?1 AND id NOT IN (
                     SELECT id FROM (SELECT id, row_number() OVER newest AS number, sum(octet_length(text)) OVER newest AS bytes
                                     FROM configuration_version WINDOW newest AS (ORDER BY id DESC))
                     WHERE number <= ?2 AND bytes <= ?3)",
            )?
            .execute(params![id, VERSIONS_MAX, BYTES_MAX])?;
        Ok(id)
    }

    pub fn version_is(&self, id: i64, outcome: VersionOutcome, reason: Option<&str>) -> Result<()> {
        self.sql
            .prepare_cached("UPDATE configuration_version SET outcome = ?2, reason = ?3 WHERE id = ?1")?
            .execute(params![id, outcome.as_str(), reason])
            .map(drop)
    }

    /// The text with which the daemon runs from now on. What still waited before it is not in the file: the power went before it was
    /// written, or somebody else came first.
    pub fn runs_with(&self, text: &str, at: Timestamp) -> Result<()> {
        let id = self.version_of(text, at)?;
        self.version_is(id, VersionOutcome::Taken, None)?;
        self.sql
            .prepare_cached(
                "UPDATE configuration_version SET outcome = 'refused', reason = ?2 WHERE outcome = 'waiting' AND id < ?1",
            )?
            .execute(params![id, "another text took its place before the gateway read it"])
            .map(drop)
    }

    /// The text on disk is not what the daemon runs with: why.
    pub fn runs_without(&self, text: &str, why: &str, at: Timestamp) -> Result<()> {
        let id = self.version_of(text, at)?;
        self.version_is(id, VersionOutcome::Refused, Some(why))
    }

    /// The one that waits with this text, though another may have been saved since; else it came without the page.
    fn version_of(&self, text: &str, at: Timestamp) -> Result<i64> {
        let waiting: Option<i64> = self
            .sql
            .prepare_cached(
                "SELECT max(id) FROM configuration_version WHERE fingerprint = ?1 AND outcome = 'waiting'",
            )?
            .query_row([fingerprint(text)], |row| row.get(0))?;
        waiting.map_or_else(|| self.keep_version(text, BY_FILE, at), Ok)
    }

    /// The text on disk is to be taken over, whatever became of it before: the version whose outcome tells.
    pub fn is_to_be_taken(&self, text: &str, at: Timestamp) -> Result<i64> {
        let id = self.keep_version(text, BY_FILE, at)?;
        self.version_is(id, VersionOutcome::Waiting, None)?;
        Ok(id)
    }

    /// Its outcome, and the reason.
    pub fn outcome_of(&self, id: i64) -> Result<Option<(VersionOutcome, String)>> {
        let read = |row: &rusqlite::Row| Ok((row.get::<_, String>(0)?, row.get(1)?));
        let found = self
            .sql
            .prepare_cached("SELECT outcome, coalesce(reason, '') FROM configuration_version WHERE id = ?1")?
            .query_row([id], read)
            .optional()?;
        Ok(found.and_then(|(outcome, why)| Some((VersionOutcome::parse(&outcome)?, why))))
    }

    /// Newest first, without their texts.
    pub fn versions(&self) -> Result<Rows<ShownVersion>> {
        self.all("FROM configuration_version ORDER BY id DESC LIMIT ?1", &[&VERSIONS_MAX])
    }

    pub fn version(&self, id: i64) -> Result<Option<ConfigurationVersion>> {
        self.version_where("id = ?1", &[&id])
    }

    pub fn newest_version(&self) -> Result<Option<ConfigurationVersion>> {
        self.version_where("id = (SELECT max(id) FROM configuration_version)", &[])
    }

    fn version_where(
        &self,
        which: &str,
        values: &[&dyn rusqlite::ToSql],
    ) -> Result<Option<ConfigurationVersion>> {
        let read = |row: &rusqlite::Row| {
            let outcome: String = row.get(2)?;
            Ok(ConfigurationVersion {
                id: row.get(0)?,
                text: row.get(1)?,
                outcome: VersionOutcome::parse(&outcome),
            })
        };
        self.sql
            .prepare_cached(&format!("SELECT id, text, outcome FROM configuration_version WHERE {which}"))?
            .query_row(values, read)
            .optional()
    }

    /// Those that name a person who is erased.
    pub(super) fn forget_versions_of(&self, contact: &str) -> Result<()> {
        for written in [format!("\"{contact}\""), format!("'{contact}'")] {
            self.sql.execute("DELETE FROM configuration_version WHERE instr(text, ?1) > 0", [written])?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::tests::NOW;

    #[test]
    fn a_version_is_saved_once_with_its_changes_and_outcome() {
        let (_folder, store) = Store::in_new_folder();
        let first = store.keep_version("a = 1\n", "file", NOW).expect("kept");
        assert_eq!(
            store.keep_version("a = 1\n", "page", NOW).expect("kept"),
            first,
            "it is the newest already"
        );
        let second = store.keep_version("a = 2\n", "page", NOW).expect("kept");
        store.version_is(first, VersionOutcome::Taken, None).expect("written");
        store.version_is(second, VersionOutcome::Refused, Some("no")).expect("written");
        let back = store.keep_version("a = 1\n", "page", NOW).expect("kept");
        let rows = store.versions().expect("read").0;
        let shown: Vec<String> =
            rows.iter().map(|row| format!("{} {} {}", row["id"], row["outcome"], row["summary"])).collect();
        assert_eq!(
            shown,
            [
                format!("{back} \"waiting\" \"+1 -1 lines: a = 1\""),
                format!("{second} \"refused\" \"+1 -1 lines: a = 2\""),
                format!("{first} \"taken\" \"\"")
            ]
        );
        assert_eq!(rows[1]["reason"], "no");
        let found = store.version(second).expect("read").expect("a row");
        assert_eq!((found.text.as_str(), found.outcome), ("a = 2\n", Some(VersionOutcome::Refused)));
        assert_eq!(store.version(99).expect("read"), None);
    }

    #[test]
    fn a_start_settles_which_version_is_in_force() {
        let (_folder, store) = Store::in_new_folder();
        store.runs_with("a = 1\n", NOW).expect("written");
        let lost = store.keep_version("a = 2\n", "page", NOW).expect("kept");
        store.runs_with("a = 1\n", NOW).expect("written");
        let outcome = |id| store.version(id).expect("read").and_then(|version| version.outcome);
        assert_eq!(outcome(lost), Some(VersionOutcome::Refused));
        assert_eq!(store.newest_version().expect("read").expect("a row").text, "a = 1\n");
        assert_eq!(store.versions().expect("read").0.len(), 3, "what was found on disk is the newest again");
        let saved = store.keep_version("a = 3\n", "page", NOW).expect("kept");
        let next = store.keep_version("a = 4\n", "page", NOW).expect("kept");
        store.runs_with("a = 3\n", NOW).expect("written");
        assert_eq!(
            (outcome(saved), outcome(next)),
            (Some(VersionOutcome::Taken), Some(VersionOutcome::Waiting))
        );
        store.runs_without("a = 4\n", "no", NOW).expect("written");
        assert_eq!(outcome(next), Some(VersionOutcome::Refused));
    }

    #[test]
    fn the_oldest_versions_go_by_number_and_by_size() {
        let (_folder, store) = Store::in_new_folder();
        for number in 0..60 {
            store.keep_version(&format!("a = {number}\n"), "file", NOW).expect("kept");
        }
        let ids = || -> Vec<i64> {
            store.versions().expect("read").0.iter().filter_map(|row| row["id"].as_i64()).collect()
        };
        assert_eq!((ids().len(), ids()[0], ids()[49]), (50, 60, 11));
        for number in 0..3 {
            store.keep_version(&format!("# {}{number}", "x".repeat(2_400_000)), "file", NOW).expect("kept");
        }
        assert_eq!(ids(), [63, 62], "5 MB of texts");
        store.keep_version(&format!("# {}", "x".repeat(6_000_000)), "file", NOW).expect("kept");
        assert_eq!(ids(), [64], "the newest stays, however large");
    }

    #[test]
    fn versions_that_name_a_person_go_with_them() {
        let (_folder, store) = Store::in_new_folder();
        for text in ["id = \"nino\"", "id = 'nino'", "id = \"ninos\""] {
            store.keep_version(text, "file", NOW).expect("kept");
        }
        store.erase(&"nino".into(), &[], NOW).expect("erased");
        assert_eq!(store.versions().expect("read").0.len(), 1);
    }
}
