//! `rotation` of a `[[team]]`.

use jiff::tz::TimeZone;

use super::section::{At, Section};
use crate::contact::on_call::{OnCallRota, Override};
use crate::contact::quiet_hours::minute;
use crate::ids::ContactId;
use crate::time::Timestamp;

/// Shifts change in the morning, when both are awake.
const HAND_OVER: u16 = 8 * 60;
/// 5 January 1970, a Monday.
const START: i64 = 4;

/// `None` for a team of which everybody is told.
pub fn read(section: &Section, members: &[At<String>], zone: &TimeZone) -> Option<OnCallRota> {
    let turn_days = section.enum_value("rotation", &["daily", "weekly"], |word| match word {
        "daily" => Some(1),
        "weekly" => Some(7),
        _ => None,
    });
    let hand_over = section.parsed("hand_over", |text| minute(text).ok_or("write it as 08:00"));
    let start = section.parsed("start", |text| {
        let at = Timestamp::parse(&format!("{text} 12:00"), &TimeZone::UTC);
        at.map(|at| at.local(&TimeZone::UTC).day).ok_or("write the day as 2026-01-05")
    });
    let overrides: Vec<Override> = section
        .sections("override", "[[team.override]]")
        .into_iter()
        .filter_map(|section| read_override(section, members, zone))
        .collect();
    if turn_days.is_none() && (hand_over.is_some() || start.is_some() || !overrides.is_empty()) {
        section.report(
            section.offset(),
            "`hand_over`, `start` and `override` need `rotation`, which is daily or weekly",
        );
    }
    Some(OnCallRota {
        turn_days: turn_days?,
        hand_over: hand_over.unwrap_or(HAND_OVER),
        start: start.unwrap_or(START),
        overrides,
    })
}

fn read_override(section: Section, members: &[At<String>], zone: &TimeZone) -> Option<Override> {
    let time = |key| {
        section.required_parsed(key, |text| {
            Timestamp::parse(text, zone).ok_or("write it as 2026-12-24 18:00, in the site's time")
        })
    };
    let (from, to) = (time("from"), time("to"));
    let member = section.required("member");
    if let Some(member) =
        member.as_ref().filter(|member| !members.iter().any(|known| known.value == member.value))
    {
        section.report(member.offset, format!("`{}` is not in the team's `members`", member.value));
    }
    if from.zip(to).is_some_and(|(from, to)| from >= to) {
        section.report(section.offset(), "it ends before it begins");
    }
    section.finish();
    Some(Override { from: from?, to: to?, member: ContactId(member?.value) })
}
