//! How an alert is told: together with others, later, to somebody else, in which words.

/// Several alerts in one message.
pub mod grouping;
/// What people do not want to hear for a while.
pub mod silence;
/// What quiet hours held back.
pub mod quiet_hours_summary;
/// What follows when nobody acts.
pub mod escalation;
/// What messages about an alert say.
pub mod text;
/// How far the news came with each person.
pub mod reached;
