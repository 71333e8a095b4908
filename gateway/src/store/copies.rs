//! Copies of one gateway, made by backup and restore: which of them may send, and what is held because another one may have
//! sent it (`docs/decisions/0035-one-copy-sends.md`).

use std::fmt;
use std::path::Path;

use rusqlite::{Connection, OpenFlags, OptionalExtension, Result, params};

use super::Store;
use super::outbox::NewMessage;
use crate::ids::{EarlierTag, MessageId, NewestIds, StoreTag};
use crate::outbox::message_state::State;
use crate::outbox::retry_policy::{HeldFor, Next};
use crate::random::Rng;
use crate::time::Timestamp;

/// Tags of earlier copies that are still known: one for each restore, and messages older than 90 days are removed.
const EARLIER_MAX: u32 = 16;

/// The reason why this copy sends nothing any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stopped {
    /// A backup with `--move` was taken then.
    Moved(Timestamp),
    /// Another copy, restored then, is at the broker.
    Newer(Timestamp),
}

impl fmt::Display for Stopped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Moved(at) => {
                write!(f, "this gateway was moved to another machine by a backup with --move at {at}")?;
            }
            Self::Newer(at) => write!(f, "a newer copy of this gateway, restored at {at}, is at the broker")?,
        }
        f.write_str(
            ", so nothing is sent from here. To go on here after all, stop the other one for good, then: bellwire restore \
             --take-back",
        )
    }
}

impl Stopped {
    fn to_text(self) -> String {
        match self {
            Self::Moved(at) => format!("moved {}", at.0),
            Self::Newer(at) => format!("newer {}", at.0),
        }
    }

    fn parse(text: &str) -> Self {
        let (word, at) = text.split_once(' ').unwrap_or((text, ""));
        let at = Timestamp(at.parse().unwrap_or_default());
        if word == "newer" { Self::Newer(at) } else { Self::Moved(at) }
    }
}

/// The backup that a restored copy was made from, while what waited then is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Unreleased {
    pub taken_at: Timestamp,
    pub restored_at: Timestamp,
    pub held: i64,
}

impl fmt::Display for Unreleased {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "restored at {} from a backup of {}: what happened between the two is not known here. Held, since the other machine \
             may have sent them: {} message{}",
            self.restored_at,
            self.taken_at,
            self.held,
            if self.held == 1 { "" } else { "s" },
        )
    }
}

/// The next step for them.
pub const RELEASE: &str = "look at them: bellwire outbox list --state held; then send them: bellwire restore --release, or give \
                           one up: bellwire outbox cancel ID";

fn held(taken_at: Timestamp) -> Next {
    let reason = format!(
        "it is about what went on when the backup was taken ({taken_at}), and the other machine may have sent it since; `bellwire \
         restore --release` sends it, `bellwire outbox cancel` gives it up"
    );
    Next { held_for: Some(HeldFor::Restore), ..Next::to(State::Held, reason) }
}

impl Store {
    /// The reason why nothing is sent from here, if so.
    pub fn copy_stopped(&self) -> Result<Option<Stopped>> {
        self.sql
            .query_row("SELECT value FROM meta WHERE key = 'stopped'", [], |row| row.get::<_, String>(0))
            .optional()
            .map(|text| text.map(|text| Stopped::parse(&text)))
    }

    /// From the next look of a running daemon on nothing is sent, and none starts.
    pub fn stop_copy(&self, why: Stopped) -> Result<()> {
        let sql = "INSERT OR REPLACE INTO meta VALUES ('stopped', ?1)";
        self.sql.execute(sql, [why.to_text()]).map(drop)
    }

    /// Takes back `stop_copy` where no other copy can have begun.
    pub fn resume_copy(&self) -> Result<()> {
        self.sql.execute("DELETE FROM meta WHERE key = 'stopped'", []).map(drop)
    }

    /// Zero where it was never restored; of two copies the higher may send.
    pub fn copy_number(&self) -> Result<i64> {
        self.sql.query_row("SELECT coalesce(max(number), 0) FROM copy", [], |row| row.get(0))
    }

    /// Begins a new copy. `is_alone`: the one before it has sent nothing since `taken_at`. Answers how many messages are held.
    pub fn begin_copy(
        &self,
        taken_at: Timestamp,
        is_alone: bool,
        now: Timestamp,
        dice: &mut Rng,
    ) -> Result<usize> {
        self.transaction(|store| {
            let number = now.0.max(store.copy_number()? + 1);
            let released = is_alone.then_some(number);
            store.sql.execute(
                "INSERT INTO copy SELECT ?1, ?2, ?3, value,
                     (SELECT coalesce(max(id), 0) FROM message), (SELECT coalesce(max(id), 0) FROM alert),
                     (SELECT coalesce(max(id), 0) FROM request), (SELECT coalesce(max(id), 0) FROM question),
                     (SELECT coalesce(max(id), 0) FROM command)
                 FROM meta WHERE key = 'tag'",
                params![number, taken_at.0, released],
            )?;
            let meta = "INSERT OR IGNORE INTO meta SELECT 'client_tag', value FROM meta WHERE key = 'tag'";
            store.sql.execute(meta, [])?;
            store.sql.execute("UPDATE meta SET value = ?1 WHERE key = 'tag'", [dice.tag()])?;
            store.resume_copy()?;
            if is_alone { Ok(0) } else { store.leave_to_the_other(taken_at, now) }
        })
    }

    /// What the other copy may have done since: messages are held, and what else would be done a second time ends.
    fn leave_to_the_other(&self, taken_at: Timestamp, now: Timestamp) -> Result<usize> {
        self.recover(now)?;
        let waits: Vec<MessageId> = self
            .sql
            .prepare(
                "SELECT id FROM message INDEXED BY message_waiting
                 WHERE (state = 'queued' OR state = 'sending' OR state = 'unknown' OR state = 'held') AND digest IS NULL
                     AND (state != 'held' OR held_for IN ('window', 'budget', 'restore'))",
            )?
            .query_map([], |row| row.get(0).map(MessageId))?
            .collect::<Result<_>>()?;
        for id in &waits {
            self.set(*id, "possible_duplicate = 1", &[])?;
            self.move_to(*id, &held(taken_at), now)?;
        }
        let reason = format!(
            "it waited when the backup was taken ({taken_at}), and the other machine may have done it since: ask again"
        );
        self.sql.execute(
            "UPDATE command SET state = 'expired', changed_at = ?1, reason = ?2
             WHERE state = 'queued' AND id NOT IN (SELECT under_way FROM device WHERE under_way IS NOT NULL)",
            params![now.0, reason],
        )?;
        self.sql.execute(
            "UPDATE command SET answer = NULL, changed_at = ?1, reason = ?2 WHERE state = 'published' AND answer IS NOT NULL",
            params![now.0, "the other machine waited for the device's answer"],
        )?;
        self.sql.execute("UPDATE request SET state = 'expired' WHERE state = 'open'", [])?;
        self.sql.execute("UPDATE question SET state = 'decided' WHERE state = 'open'", [])?;
        let read =
            "UPDATE inbox SET state = 'done', note = 'the other machine has read it' WHERE state = 'new'";
        self.sql.execute(read, [])?;
        Ok(waits.len())
    }

    /// The messages held since the restore, if somebody has still to decide about them.
    pub fn unreleased(&self) -> Result<Option<Unreleased>> {
        let Some((restored_at, taken_at)) = self.newest_unreleased()? else { return Ok(None) };
        let held = self.sql.query_row(
            "SELECT count(*) FROM message WHERE state = 'held' AND held_for = 'restore' AND digest IS NULL",
            [],
            |row| row.get(0),
        )?;
        Ok(Some(Unreleased { taken_at, restored_at, held }))
    }

    fn newest_unreleased(&self) -> Result<Option<(Timestamp, Timestamp)>> {
        self.sql
            .prepare_cached(
                "SELECT number, taken_at FROM copy WHERE released_at IS NULL ORDER BY number DESC LIMIT 1",
            )?
            .query_row([], |row| Ok((Timestamp(row.get(0)?), Timestamp(row.get(1)?))))
            .optional()
    }

    /// Releases the messages held since the restore, and counts them. For a job of the store's thread, which is one
    /// commit.
    pub fn release(&self, now: Timestamp) -> Result<usize> {
        let held: Vec<MessageId> = self
            .sql
            .prepare(
                "SELECT id FROM message WHERE state = 'held' AND held_for = 'restore' AND digest IS NULL",
            )?
            .query_map([], |row| row.get(0).map(MessageId))?
            .collect::<Result<_>>()?;
        let next = Next::to(State::Queued, "an operator released it after the restore");
        for id in &held {
            self.advance(*id, &next, now)?;
        }
        self.sql.execute("UPDATE copy SET released_at = ?1 WHERE released_at IS NULL", [now.0])?;
        Ok(held.len())
    }

    /// An alert that was known before the backup is told by the clock, as the other machine may have told it.
    pub(super) fn hold_if_told_before(&self, id: MessageId, message: &NewMessage) -> Result<MessageId> {
        if !self.is_unreleased {
            return Ok(id);
        }
        let Some((_, taken_at)) = self.newest_unreleased()? else { return Ok(id) };
        let is_of_before = match message.alert {
            Some(alert) => self
                .sql
                .prepare_cached("SELECT 1 FROM alert WHERE id = ?1 AND raised_at <= ?2")?
                .exists(params![alert.0, taken_at.0])?,
            None => !message.exempt,
        };
        if is_of_before && self.state(id)? == Some(State::Queued) {
            self.move_to(id, &held(taken_at), message.created_at)?;
        }
        Ok(id)
    }

    /// Whether nothing was ever accepted, sent or decided here: what a package's first start leaves behind.
    pub fn is_unused(&self) -> Result<bool> {
        self.sql.query_row(
            "SELECT NOT EXISTS (SELECT 1 FROM event) AND NOT EXISTS (SELECT 1 FROM message) AND NOT EXISTS (SELECT 1 FROM inbox)
                 AND NOT EXISTS (SELECT 1 FROM reply) AND NOT EXISTS (SELECT 1 FROM change) AND NOT EXISTS (SELECT 1 FROM connection)
                 AND NOT EXISTS (SELECT 1 FROM meta WHERE key = 'password')",
            [],
            |row| row.get(0),
        )
    }

    /// A copy of the whole database as it is at this moment, into an empty file. Writers go on meanwhile; the log grows.
    pub fn snapshot(&self, to: &Path) -> Result<()> {
        self.sql.execute("VACUUM INTO ?1", [to.to_string_lossy()]).map(drop)
    }

    /// The most bytes that a snapshot takes.
    pub fn bytes(&self) -> Result<u64> {
        let pages = self.sql.query_row(
            "SELECT page_count * page_size FROM pragma_page_count, pragma_page_size",
            [],
            |row| row.get::<_, i64>(0),
        )?;
        Ok(u64::try_from(pages).unwrap_or_default())
    }
}

/// Whether every page of a snapshot can be read, and every row is where an index says.
pub fn is_sound(snapshot: &Path) -> Result<bool> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let sql = Connection::open_with_flags(snapshot, flags)?;
    let verdict: String = sql.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))?;
    Ok(verdict == "ok")
}

/// This copy's tag, and those of the copies before it.
pub(super) fn tag(sql: &Connection) -> Result<StoreTag> {
    let own = sql.query_row("SELECT value FROM meta WHERE key = 'tag'", [], |row| row.get(0))?;
    let earlier = sql
        .prepare(
            "SELECT tag, message, alert, request, question, command FROM copy ORDER BY number DESC LIMIT ?1",
        )?
        .query_map([EARLIER_MAX], |row| {
            let up_to = NewestIds {
                message: row.get(1)?,
                alert: row.get(2)?,
                request: row.get(3)?,
                question: row.get(4)?,
                command: row.get(5)?,
            };
            Ok(EarlierTag { tag: row.get(0)?, up_to })
        })?
        .collect::<Result<_>>()?;
    Ok(StoreTag { own, earlier })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contact::Recipient;
    use crate::contact::severity::Severity;
    use crate::ids::AlertId;
    use crate::outbox::message::Content;
    use crate::outbox::message_state::OnUnknown;
    use crate::store::tests::{NOW, held as held_for_window, lane, state};
    use std::time::Duration;

    const TAKEN: Timestamp = NOW;
    const RESTORED: Timestamp = Timestamp(NOW.0 + 3_600_000);

    fn again(folder: &tempfile::TempDir, store: Store) -> Store {
        drop(store);
        Store::open(folder.path(), &mut Rng::seeded(3)).expect("opens")
    }

    fn composed(store: &Store) -> MessageId {
        let to = Recipient::parse("+15550100123").expect("a number");
        store.compose(&lane("nino"), &to, &Content::text("The door is open"), NOW).expect("composed")
    }

    fn about_alert(store: &Store, raised_at: Timestamp) -> MessageId {
        let sql = "INSERT INTO alert (rule, severity, bindings, raised_at) VALUES ('door', 1, '{}', ?1)";
        store.sql.execute(sql, [raised_at.0]).expect("raised");
        let message = NewMessage {
            connection: &lane("nino").connection,
            contact: &lane("nino").contact,
            to: &Recipient::parse("+15550100123").expect("a number"),
            alert: Some(AlertId(store.sql.last_insert_rowid())),
            severity: Severity::Warning,
            content: &Content::text("The door is open"),
            on_unknown: OnUnknown::Retry,
            exempt: false,
            created_at: RESTORED,
            expires_at: RESTORED + Duration::from_secs(60),
        };
        store.insert_message(&message).expect("written")
    }

    #[test]
    fn messages_waiting_at_the_backup_are_held_until_release() {
        let (folder, store) = Store::in_new_folder();
        let queued = composed(&store);
        let by_window = held_for_window(&store, &lane("giorgi"), Vec::new());
        let by_hand = composed(&store);
        store.hold(by_hand, NOW).expect("held");
        let sending = composed(&store);
        store.sql.execute("UPDATE message SET state = 'sending' WHERE id = ?1", [sending.0]).expect("sent");
        let before = store.tag().clone();
        let held = store.begin_copy(TAKEN, false, RESTORED, &mut Rng::seeded(9)).expect("begun");
        assert_eq!(held, 3);
        let store = again(&folder, store);
        for id in [queued, by_window, sending, by_hand] {
            assert_eq!(state(&store, id), "held");
        }
        let found = store.unreleased().expect("read").expect("somebody has to decide");
        assert_eq!((found.taken_at, found.restored_at, found.held), (TAKEN, RESTORED, 3));
        assert!(store.findings().iter().any(|told| told.contains("3 messages")), "{:?}", store.findings());

        // What was sent before the backup is ours still; what the other machine sends from now on is not.
        assert_ne!(store.tag().own, before.own);
        assert_eq!(store.tag().read_callback(&before.callback(sending)), Some(sending));
        assert_eq!(store.tag().read_callback(&before.callback(MessageId(sending.0 + 1))), None);

        assert_eq!(store.release(RESTORED).expect("released"), 3);
        let marked = "SELECT count(*) FROM message WHERE state = 'queued' AND possible_duplicate = 1";
        let marked: i64 = store.sql.query_row(marked, [], |row| row.get(0)).expect("counted");
        assert_eq!((marked, state(&store, by_hand)), (3, "held"));
        assert_eq!(store.unreleased().expect("read"), None);
    }

    #[test]
    fn after_a_move_everything_goes_on() {
        let (folder, store) = Store::in_new_folder();
        let queued = composed(&store);
        store.stop_copy(Stopped::Moved(TAKEN)).expect("stopped");
        assert_eq!(store.copy_stopped().expect("read"), Some(Stopped::Moved(TAKEN)));
        let client = store.client_tag().expect("read");
        assert_eq!(store.begin_copy(TAKEN, true, RESTORED, &mut Rng::seeded(9)).expect("begun"), 0);
        let store = again(&folder, store);
        assert_eq!(state(&store, queued), "queued");
        assert_eq!((store.copy_stopped().expect("read"), store.unreleased().expect("read")), (None, None));
        assert_eq!(store.copy_number().expect("read"), RESTORED.0);
        let name = |tag: Option<StoreTag>| tag.map(|tag| tag.own);
        assert_eq!(name(store.client_tag().expect("read")), name(client), "the broker keeps its session");
    }

    #[test]
    fn only_alerts_from_before_the_backup_wait_for_release() {
        let (folder, store) = Store::in_new_folder();
        store.begin_copy(TAKEN, false, RESTORED, &mut Rng::seeded(9)).expect("begun");
        let store = again(&folder, store);
        let old = about_alert(&store, TAKEN);
        let new = about_alert(&store, Timestamp(TAKEN.0 + 1));
        assert_eq!((state(&store, old), state(&store, new)), ("held", "queued"));
        assert_eq!(store.release(RESTORED).expect("released"), 1);
        assert_eq!(state(&store, about_alert(&store, TAKEN)), "queued");
    }

    #[test]
    fn a_copy_of_a_copy_has_a_higher_number() {
        let (folder, store) = Store::in_new_folder();
        let mut numbers = vec![store.copy_number().expect("read")];
        let mut store = store;
        for _ in 0..2 {
            store.begin_copy(TAKEN, true, RESTORED, &mut Rng::seeded(9)).expect("begun");
            store = again(&folder, store);
            numbers.push(store.copy_number().expect("read"));
        }
        assert_eq!(numbers, [0, RESTORED.0, RESTORED.0 + 1]);
    }

    #[test]
    fn a_database_that_nothing_was_ever_in_is_known() {
        let (_folder, store) = Store::in_new_folder();
        assert!(store.is_unused().expect("read"));
        composed(&store);
        assert!(!store.is_unused().expect("read"));
    }

    #[test]
    fn a_damaged_snapshot_is_detected() {
        let (folder, store) = Store::in_new_folder();
        for _ in 0..200 {
            composed(&store);
        }
        let path = folder.path().join("snapshot");
        store.snapshot(&path).expect("taken");
        assert!(
            is_sound(&path).expect("read")
                && store.bytes().expect("read") >= path.metadata().expect("there").len()
        );
        let mut bytes = std::fs::read(&path).expect("read");
        let middle = bytes.len() / 2;
        bytes[middle..middle + 4_096].fill(0xff);
        std::fs::write(&path, bytes).expect("written");
        assert!(!is_sound(&path).unwrap_or(false));
    }
}
