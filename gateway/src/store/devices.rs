//! Devices: their position, their commands, what they said.

use std::collections::BTreeMap;

use firmware_bridge::Position;
use firmware_bridge::gateway::{Line, Saved, UnderWay};
use rusqlite::{OptionalExtension, Result, Row, params};

use super::Store;
use crate::command::command_state::CommandState;
use crate::device::fleet::NameDecisions;
use crate::device::order::{DeviceCommand, QueuedDeviceCommand};
use crate::device::record::{DeviceInfo, DeviceRecord, DeviceWrite, MISNAMED, Route};
use crate::device::topic;
use crate::ids::CommandId;
use crate::store::db::checksum;
use crate::time::Timestamp;

/// A device, for people.
#[derive(Debug, Clone)]
pub struct DeviceRow {
    pub id: String,
    pub boot: u32,
    pub counted: Position,
    pub events: i64,
    pub link: String,
    pub firmware: String,
    pub commands: Vec<String>,
    pub queued: u32,
    pub refused: u32,
    pub silent: bool,
    pub seen_at: i64,
    /// Two of this name were heard by turns.
    pub clash_at: Option<i64>,
    pub approved: bool,
}

/// A command to a device, for people.
#[derive(Debug, Clone)]
pub struct DeviceCommandRow {
    pub id: i64,
    pub topic: String,
    pub payload: String,
    pub contact: String,
    pub requested_at: i64,
    pub state: String,
    pub changed_at: i64,
    pub reason: Option<String>,
}

const DEVICE: &str =
    "SELECT id, boot, counted_boot, counted_sequence, events, link, firmware, commands, queued, refused,
        silent, seen_at, clash_at, approved FROM device";

impl Store {
    /// Moves the device's position to this event; `false`: it was counted before. Call it in the event's transaction.
    pub(super) fn count_event(&self, device: &str, at: Position, now: Timestamp) -> Result<bool> {
        let counted = self
            .sql
            .prepare_cached(
                "UPDATE device_line SET counted_boot = ?2, counted_sequence = ?3
                 WHERE device = ?1 AND NOT retired AND ?2 BETWEEN low AND boot
                 AND (counted_boot, counted_sequence) < (?2, ?3)",
            )?
            .execute(params![device, at.boot, at.sequence])?;
        if counted == 0 {
            return Ok(false);
        }
        self.sql
            .prepare_cached(
                "UPDATE device SET counted_boot = ?2, counted_sequence = ?3, events = events + 1,
                     queued = max(queued - 1, 0), seen_at = ?4 WHERE id = ?1",
            )?
            .execute(params![device, at.boot, at.sequence, now.0])
            .map(|changed| changed > 0)
    }

    /// `false`: it stood so before. Call it in the status event's transaction.
    pub(super) fn set_silent(&self, device: &str, silent: bool) -> Result<bool> {
        self.sql
            .prepare_cached("UPDATE device SET silent = ?2 WHERE id = ?1 AND silent <> ?2")?
            .execute(params![device, silent])
            .map(|changed| changed > 0)
    }

    /// All devices as they stand, for the start.
    pub fn known_devices(&self) -> Result<Vec<DeviceRecord>> {
        let mut lines = self.device_lines()?;
        let mut known = self.known_without_lines()?;
        for one in &mut known {
            one.saved.lines = lines.remove(&one.device).unwrap_or_default().into_iter().collect();
        }
        Ok(known)
    }

    fn device_lines(&self) -> Result<BTreeMap<String, Vec<Line>>> {
        let mut lines: BTreeMap<String, Vec<Line>> = BTreeMap::new();
        let mut rows = self.sql.prepare_cached(
            "SELECT device, token, low, boot, counted_boot, counted_sequence, retired, kept FROM device_line
             WHERE place < 8 ORDER BY device, place",
        )?;
        let read = |row: &Row| {
            let counted = Position { boot: row.get(4)?, sequence: row.get(5)? };
            let (token, low, boot) = (row.get(1)?, row.get(2)?, row.get(3)?);
            let (retired, kept) = (row.get(6)?, row.get(7)?);
            Ok((row.get(0)?, Line { token, low, boot, counted, retired, kept, ..Line::default() }))
        };
        for row in rows.query_map([], read)? {
            let (device, line): (String, Line) = row?;
            lines.entry(device).or_default().push(line);
        }
        Ok(lines)
    }

    fn known_without_lines(&self) -> Result<Vec<DeviceRecord>> {
        self.sql
            .prepare_cached(
                "SELECT d.id, d.boot, d.counted_boot, d.counted_sequence, d.link, d.firmware, d.commands, d.queued,
                        d.refused, d.silent, d.seen_at, d.last_number, d.under_way, d.under_way_boot, c.topic, c.payload,
                        c.expires_at, d.apart, d.clash_at
                 FROM device d LEFT JOIN command c ON c.id = d.under_way WHERE NOT d.forget ORDER BY d.id",
            )?
            .query_map([], read_known)?
            .collect()
    }

    /// The newest note about messages over topics that name another device.
    pub fn misnamed_since(&self, since: Timestamp) -> Result<Option<String>> {
        self.sql
            .prepare_cached("SELECT text FROM notice WHERE field = ?1 AND at > ?2 ORDER BY id DESC LIMIT 1")?
            .query_row(params![MISNAMED, since.0], |row| row.get(0))
            .optional()
    }

    /// Writes what the fleet asked for; call it inside a transaction.
    pub fn write_device(&self, write: &DeviceWrite) -> Result<()> {
        match write {
            DeviceWrite::Greeted { device, saved, said, route, at, token: _, answer: _ } => {
                self.say(device, said, route, *at)?;
                self.write_lines(device, saved)?;
            }
            DeviceWrite::Said { device, said, route, at } => self.say(device, said, route, *at)?,
            DeviceWrite::UnderWay { device, under_way, order, at } => {
                self.sql
                    .prepare_cached(
                        "UPDATE device SET under_way = ?2, under_way_boot = ?3, last_number = ?4 WHERE id = ?1",
                    )?
                    .execute(params![device, order.command.0, under_way.boot, signed(under_way.id)])?;
                self.move_device_command(order.command, CommandState::Published, *at, None)?;
            }
            DeviceWrite::Ended { device, number: _, command, ending, at } => {
                self.sql
                    .prepare_cached("UPDATE device SET under_way = NULL WHERE id = ?1 AND under_way = ?2")?
                    .execute(params![device, command.0])?;
                self.move_device_command(*command, ending.state.into(), *at, Some(&ending.reason))?;
            }
            DeviceWrite::Clash { device, at } => {
                self.sql
                    .prepare_cached("UPDATE device SET clash_at = ?2 WHERE id = ?1")?
                    .execute(params![device, at.map(|at| at.0)])?;
            }
            DeviceWrite::Forgotten { device, at } => self.forget_now(device, *at)?,
        }
        Ok(())
    }

    fn write_lines(&self, device: &str, saved: &Saved) -> Result<()> {
        let counted = saved.counted();
        self.sql
            .prepare_cached(
                "UPDATE device SET boot = ?2, counted_boot = ?3, counted_sequence = ?4, apart = ?5 WHERE id = ?1",
            )?
            .execute(params![device, saved.boot, counted.boot, counted.sequence, saved.apart])?;
        self.sql.prepare_cached("DELETE FROM device_line WHERE device = ?1")?.execute([device])?;
        for (place, line) in saved.lines.iter().enumerate() {
            self.sql
                .prepare_cached("INSERT INTO device_line VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)")?
                .execute(params![
                device,
                i64::try_from(place).unwrap_or_default(),
                line.token,
                line.low,
                line.boot,
                line.counted.boot,
                line.counted.sequence,
                line.retired,
                line.kept
            ])?;
        }
        Ok(())
    }

    /// The decisions of people about device names.
    pub fn device_wishes(&self) -> Result<NameDecisions> {
        let names = |sql: &str| -> Result<Vec<String>> {
            self.sql.prepare_cached(sql)?.query_map([], |row| row.get(0))?.collect()
        };
        let approved = names("SELECT id FROM device WHERE approved")?.into_iter().collect();
        Ok(NameDecisions { forget: names("SELECT id FROM device WHERE forget")?, approved })
    }

    /// The daemon does the rest, within half a minute or at its start. `false`: there is none of this name.
    pub fn forget_device(&self, id: &str) -> Result<bool> {
        let changed = self.sql.prepare_cached("UPDATE device SET forget = 1 WHERE id = ?1")?.execute([id])?;
        Ok(changed > 0)
    }

    /// `false`: there is none of this name.
    pub fn approve_device(&self, id: &str) -> Result<bool> {
        let changed = self
            .sql
            .prepare_cached("UPDATE device SET approved = 1 WHERE id = ?1 AND NOT forget")?
            .execute([id])?;
        Ok(changed > 0)
    }

    /// Whatever it was told last, nobody will hear of it.
    fn forget_now(&self, device: &str, at: Timestamp) -> Result<()> {
        let sql = "SELECT under_way FROM device WHERE id = ?1";
        let under_way: Option<Option<i64>> =
            self.sql.prepare_cached(sql)?.query_row([device], |row| row.get(0)).optional()?;
        self.sql.prepare_cached("DELETE FROM device_line WHERE device = ?1")?.execute([device])?;
        self.sql.prepare_cached("DELETE FROM device WHERE id = ?1")?.execute([device])?;
        if let Some(command) = under_way.flatten() {
            let reason = "it was sent, and then the device was forgotten: it may have been acted on";
            self.move_device_command(CommandId(command), CommandState::NoAnswer, at, Some(reason))?;
        }
        Ok(())
    }

    fn say(&self, device: &str, said: &DeviceInfo, route: &Route, at: Timestamp) -> Result<()> {
        let commands = serde_json::to_string(&said.commands).unwrap_or_default();
        self.sql
            .prepare_cached(
                "INSERT INTO device (id, link, firmware, commands, queued, refused, seen_at)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT DO UPDATE
                 SET link = ?2, firmware = ?3, commands = ?4, queued = ?5, refused = ?6, seen_at = ?7",
            )?
            .execute(params![
                device,
                route.to_string(),
                said.firmware,
                commands,
                said.queued,
                said.refused,
                at.0
            ])
            .map(drop)
    }

    /// A command that has its end keeps it.
    fn move_device_command(
        &self,
        id: CommandId,
        state: CommandState,
        at: Timestamp,
        reason: Option<&str>,
    ) -> Result<()> {
        self.sql
            .prepare_cached(
                "UPDATE command SET state = ?2, changed_at = ?3, reason = ?4
                 WHERE id = ?1 AND state IN ('queued', 'published')",
            )?
            .execute(params![id.0, state.as_str(), at.0, reason])
            .map(drop)
    }

    /// The oldest command of each device that waits. A damaged one is refused, never sent.
    pub fn queued_device_commands(&self, now: Timestamp) -> Result<Vec<QueuedDeviceCommand>> {
        let rows: Vec<(Option<QueuedDeviceCommand>, CommandId)> = self
            .sql
            .prepare_cached(
                "SELECT min(id), topic, payload, expires_at, checksum FROM command
                 WHERE state = 'queued' AND device IS NOT NULL GROUP BY device",
            )?
            .query_map([], read_queued)?
            .collect::<Result<_>>()?;
        let mut queued = Vec::with_capacity(rows.len());
        for (intact, command) in rows {
            match intact {
                Some(row) => queued.push(row),
                None => {
                    let reason = "the row is damaged on disk: its checksum does not match";
                    self.move_device_command(command, CommandState::Refused, now, Some(reason))?;
                }
            }
        }
        Ok(queued)
    }

    pub fn devices(&self) -> Result<Vec<DeviceRow>> {
        self.sql
            .prepare_cached(&format!("{DEVICE} WHERE NOT forget ORDER BY id"))?
            .query_map([], read_device)?
            .collect()
    }

    pub fn device(&self, id: &str) -> Result<Option<DeviceRow>> {
        self.sql
            .prepare_cached(&format!("{DEVICE} WHERE id = ?1 AND NOT forget"))?
            .query_row([id], read_device)
            .optional()
    }

    /// Newest first.
    pub fn device_commands(&self, device: &str, limit: u32) -> Result<Vec<DeviceCommandRow>> {
        self.sql
            .prepare_cached(
                "SELECT id, topic, payload, contact, requested_at, state, changed_at, reason FROM command
                 WHERE device = ?1 ORDER BY id DESC LIMIT ?2",
            )?
            .query_map(params![device, limit], |row| {
                Ok(DeviceCommandRow {
                    id: row.get(0)?,
                    topic: row.get(1)?,
                    payload: row.get(2)?,
                    contact: row.get(3)?,
                    requested_at: row.get(4)?,
                    state: row.get(5)?,
                    changed_at: row.get(6)?,
                    reason: row.get(7)?,
                })
            })?
            .collect()
    }
}

/// Numbers on the line grow from milliseconds since 1970, far below what SQLite holds.
fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn read_known(row: &Row) -> Result<DeviceRecord> {
    let saved = Saved { boot: row.get(1)?, apart: row.get(17)?, ..Saved::default() };
    let last_number = u64::try_from(row.get::<_, i64>(11)?).unwrap_or(0);
    let under_way = match (row.get::<_, Option<i64>>(12)?, row.get::<_, Option<String>>(14)?) {
        (Some(command), Some(topic)) => {
            let name = topic::read_command(&topic).map(|(_, name)| name.to_owned()).unwrap_or_default();
            let expires_at_ms = u64::try_from(row.get::<_, i64>(16)?).unwrap_or(0);
            let order = DeviceCommand { command: CommandId(command), name, payload: row.get(15)? };
            Some((UnderWay { id: last_number, boot: row.get(13)?, expires_at_ms }, order))
        }
        (Some(_) | None, _) => None,
    };
    Ok(DeviceRecord {
        device: row.get(0)?,
        saved,
        said: DeviceInfo {
            firmware: row.get(5)?,
            commands: serde_json::from_str(&row.get::<_, String>(6)?).unwrap_or_default(),
            queued: row.get(7)?,
            refused: row.get(8)?,
        },
        route: Route::parse(&row.get::<_, String>(4)?),
        seen_at: Timestamp(row.get(10)?),
        silent: row.get(9)?,
        clash_at: row.get::<_, Option<i64>>(18)?.map(Timestamp),
        last_number,
        under_way,
    })
}

fn read_queued(row: &Row) -> Result<(Option<QueuedDeviceCommand>, CommandId)> {
    let command = CommandId(row.get(0)?);
    let (topic, payload): (String, String) = (row.get(1)?, row.get(2)?);
    let intact = row.get::<_, Vec<u8>>(4)? == checksum::of(&[topic.as_bytes(), payload.as_bytes()]);
    let expires_at = Timestamp(row.get(3)?);
    let queued = topic::read_command(&topic).filter(|_| intact).map(|(device, name)| QueuedDeviceCommand {
        device: device.to_owned(),
        order: DeviceCommand { command, name: name.to_owned(), payload: payload.clone() },
        expires_at,
    });
    Ok((queued, command))
}

fn read_device(row: &Row) -> Result<DeviceRow> {
    Ok(DeviceRow {
        id: row.get(0)?,
        boot: row.get(1)?,
        counted: Position { boot: row.get(2)?, sequence: row.get(3)? },
        events: row.get(4)?,
        link: row.get(5)?,
        firmware: row.get(6)?,
        commands: serde_json::from_str(&row.get::<_, String>(7)?).unwrap_or_default(),
        queued: row.get(8)?,
        refused: row.get(9)?,
        silent: row.get(10)?,
        seen_at: row.get(11)?,
        clash_at: row.get(12)?,
        approved: row.get(13)?,
    })
}
