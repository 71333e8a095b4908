//! What went otherwise than it should, by cause. Nothing is dropped, repeated or refused without a count.

/// What is counted. Each has its place in [`Counters`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Count {
    /// Events that the client took.
    Accepted,
    /// Events that the gateway has on disk.
    Acknowledged,
    /// Events sent again for want of an acknowledgement.
    Repeated,
    /// Events refused: the queue is full.
    RefusedFull,
    /// Events refused: larger than the client's buffer, or with too many fields.
    RefusedTooLarge,
    /// The storage failed, at a write (the event was refused) or at a read (it is tried again).
    StorageFailed,
    /// Frames and messages that are damaged, or too long, or no message to a device.
    Damaged,
    /// Messages of a version that this side does not read, and the gateway's word that it does not read ours.
    Version,
    /// Welcomes to an earlier hello, acknowledgements of what was never sent.
    Stale,
    /// Times that the gateway knew a higher boot number: a new board under an old name, or two under one.
    Renumbered,
    /// Commands that came again; acted on once.
    CommandRepeated,
    /// Commands that came too late; not acted on.
    CommandExpired,
    /// Commands for an earlier start of this device, or before it knew the time; not acted on.
    CommandForeign,
    /// Events refused: a field that cannot be.
    RefusedMalformed,
}

impl Count {
    /// In the order in which they are declared.
    pub const ALL: [Self; 14] = [
        Self::Accepted,
        Self::Acknowledged,
        Self::Repeated,
        Self::RefusedFull,
        Self::RefusedTooLarge,
        Self::StorageFailed,
        Self::Damaged,
        Self::Version,
        Self::Stale,
        Self::Renumbered,
        Self::CommandRepeated,
        Self::CommandExpired,
        Self::CommandForeign,
        Self::RefusedMalformed,
    ];

    /// For a log or a display: `refused-full`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Acknowledged => "acknowledged",
            Self::Repeated => "repeated",
            Self::RefusedFull => "refused-full",
            Self::RefusedTooLarge => "refused-too-large",
            Self::StorageFailed => "storage-failed",
            Self::Damaged => "damaged",
            Self::Version => "version",
            Self::Stale => "stale",
            Self::Renumbered => "renumbered",
            Self::CommandRepeated => "command-repeated",
            Self::CommandExpired => "command-expired",
            Self::CommandForeign => "command-foreign",
            Self::RefusedMalformed => "refused-malformed",
        }
    }
}

/// One number a cause since the start. They stay at their highest value instead of starting over.
#[derive(Debug, Clone, Default)]
pub struct Counters {
    counts: [u32; Count::ALL.len()],
}

impl Counters {
    #[must_use]
    pub fn get(&self, count: Count) -> u32 {
        self.counts.get(count as usize).copied().unwrap_or(0)
    }

    /// All of them with their names, for a log without `core::fmt`.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, u32)> {
        Count::ALL.into_iter().map(|count| (count.name(), self.get(count)))
    }

    /// Events that were refused, for any reason.
    #[must_use]
    pub fn refused(&self) -> u32 {
        [Count::RefusedFull, Count::RefusedTooLarge, Count::RefusedMalformed, Count::StorageFailed]
            .into_iter()
            .fold(0, |sum, count| sum.saturating_add(self.get(count)))
    }

    pub(crate) fn add(&mut self, count: Count, more: u32) {
        if let Some(number) = self.counts.get_mut(count as usize) {
            *number = number.saturating_add(more);
        }
    }
}

/// `accepted 12, repeated 3`: those that are not 0, by their names.
impl core::fmt::Display for Counters {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let mut between = "";
        for (name, number) in self.iter().filter(|(_, number)| *number > 0) {
            write!(f, "{between}{name} {number}")?;
            between = ", ";
        }
        Ok(())
    }
}
