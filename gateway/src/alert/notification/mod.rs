//! Notifications: an alert told together with others, later, or to somebody else, and its words.

/// Several alerts in one message.
pub mod grouping;
/// Silences: alerts that people do not want to hear of for a while.
pub mod silence;
/// The summary of what quiet hours held back.
pub mod quiet_hours_summary;
/// Escalation when nobody acts.
pub mod escalation;
/// The texts of messages about an alert.
pub mod text;
/// The last message that each person got.
pub mod reached;
