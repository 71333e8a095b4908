//! How bad something is, and so who is woken.

use crate::words::word_enum;

word_enum! {
    /// The order of the outbox: the most severe first, then the oldest.
    Severity {
        Info = "info",
        Warning = "warning",
        Critical = "critical",
    }
}

impl Severity {
    /// From the store; what no version wrote counts as the least.
    #[must_use]
    pub fn of_rank(rank: i64) -> Self {
        match rank {
            2 => Self::Critical,
            1 => Self::Warning,
            _ => Self::Info,
        }
    }

    /// As the store orders it.
    #[must_use]
    pub fn rank(self) -> i64 {
        match self {
            Self::Info => 0,
            Self::Warning => 1,
            Self::Critical => 2,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_read_back() {
        for severity in [Severity::Info, Severity::Warning, Severity::Critical] {
            assert_eq!(Severity::of_rank(severity.rank()), severity);
        }
        assert_eq!(Severity::of_rank(3), Severity::Info);
    }
}
