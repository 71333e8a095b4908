//! Whose turn it is in a team.

use jiff::tz::TimeZone;

use crate::ids::ContactId;
use crate::time::Timestamp;

/// Members take turns in the order of the list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OnCallRota {
    /// One, or seven.
    pub turn_days: i64,
    /// The minute of the day at which the turn passes on.
    pub hand_over: u16,
    /// The first day of the first member's first turn, counted from 1970-01-01; with weeks it gives the weekday.
    pub start: i64,
    pub overrides: Vec<Override>,
}

/// Somebody else for a while. Where two overlap, the later one in the file counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Override {
    pub from: Timestamp,
    pub to: Timestamp,
    pub member: ContactId,
}

impl OnCallRota {
    /// The member on duty; `None` while the clock was never set: then everybody is.
    #[must_use]
    pub fn on_duty<'a>(
        &'a self,
        members: &'a [ContactId],
        now: Timestamp,
        zone: &TimeZone,
    ) -> Option<&'a ContactId> {
        if !now.is_sane() {
            return None;
        }
        let stands_in = |other: &&Override| (other.from..other.to).contains(&now);
        if let Some(other) = self.overrides.iter().rev().find(stands_in) {
            return Some(&other.member);
        }
        let local = now.local(zone);
        let day = if local.minute < self.hand_over { local.day - 1 } else { local.day };
        let turn = (day - self.start).div_euclid(self.turn_days);
        let count = i64::try_from(members.len()).ok().filter(|count| *count > 0)?;
        members.get(usize::try_from(turn.rem_euclid(count)).ok()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::zone;

    #[test]
    fn on_call_turns_change_at_local_time_across_daylight_saving() {
        let berlin = zone("Europe/Berlin").expect("known");
        let at = |text: &str| Timestamp::parse(text, &berlin).expect(text);
        let members: Vec<ContactId> = ["a", "b", "c"].map(ContactId::from).into();
        let day = at("2026-01-05 12:00").local(&berlin).day; // a Monday
        let other = Override { from: at("2026-02-10 00:00"), to: at("2026-02-11 00:00"), member: "c".into() };
        let weekly = OnCallRota { turn_days: 7, hand_over: 8 * 60, start: day, overrides: vec![other] };
        let daily = OnCallRota { turn_days: 1, overrides: Vec::new(), ..weekly.clone() };
        let check = |rota: &OnCallRota, now: &str, expected: Option<&str>| {
            let found = rota.on_duty(&members, at(now), &berlin).map(|id| id.0.as_str());
            assert_eq!(found, expected, "{now}");
        };
        check(&weekly, "2026-01-05 07:59", Some("c"));
        check(&weekly, "2026-01-05 08:00", Some("a"));
        check(&weekly, "2026-01-12 08:00", Some("b"));
        check(&weekly, "2026-02-10 12:00", Some("c"));
        check(&weekly, "2026-03-30 07:59", Some("c")); // the week in which the clocks change
        check(&weekly, "2026-03-30 08:00", Some("a"));
        check(&daily, "2028-02-28 09:00", Some("b"));
        check(&daily, "2028-02-29 09:00", Some("c"));
        check(&daily, "2028-03-01 09:00", Some("a"));
        check(&daily, "1970-01-01 09:00", None);
        assert_eq!(daily.on_duty(&[], at("2026-01-05 12:00"), &berlin), None, "nobody is left in the team");
    }
}
