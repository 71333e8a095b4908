//! Where a command stands.

use crate::words::word_enum;

word_enum! {
    /// From `queued` to its end; a device may tell another end later than we gave up.
    CommandState {
        /// It waits for the broker or its device.
        Queued = "queued",
        /// The broker, or the device's line, has it.
        Published = "published",
        Done = "done",
        /// The device would not do it.
        Failed = "failed",
        /// It was never published: the broker, or a changed configuration, would not have it.
        Refused = "refused",
        /// It was too late.
        Expired = "expired",
        /// A device by its own link did not answer.
        NoAnswer = "no-answer",
        /// What was to answer over the broker did not, in time.
        Silent = "silent",
    }
}
