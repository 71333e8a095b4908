//! Where a device's events stand: one pair of numbers, compared in one way on both sides.

use serde::{Deserialize, Serialize};

use crate::event::length_of;

/// The highest boot number. The one above it is no number: a name that reached it could never count a start again.
pub const BOOT_MAX: u32 = u32::MAX - 1;

/// An event's place among all events of its device. Ordered by boot, then by sequence; the default, 0 and 0, comes
/// before every event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
pub struct Position {
    pub boot: u32,
    /// The first event of a boot has 1.
    pub sequence: u32,
}

impl Position {
    /// Whether it may stand in a message: before all events, or in a boot that can be.
    pub(crate) fn is_possible(self) -> bool {
        self == Self::default() || (1..=BOOT_MAX).contains(&self.boot)
    }

    pub(crate) fn length(self) -> usize {
        length_of(self.boot.into()) + length_of(self.sequence.into())
    }

    /// Whether `next` may be counted when everything up to here is. A device sends no event of a boot before the gateway
    /// has counted all those of earlier boots, so the first one of a later boot follows whatever was before.
    #[must_use]
    pub fn precedes(self, next: Self) -> bool {
        (next.boot > self.boot && next.sequence == 1)
            || (next.boot == self.boot && self.sequence.checked_add(1) == Some(next.sequence))
    }

    /// The place just before this one.
    #[must_use]
    pub fn before(self) -> Self {
        Self { sequence: self.sequence.saturating_sub(1), ..self }
    }
}
