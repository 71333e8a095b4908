//! From a message to its end: what it says, when it leaves, and what an answer means for it. Pure: effects as data.

/// The content of a message.
pub mod message;
/// The words, the time, the buttons.
pub mod render;
/// Digests: the messages that wait for one person, in one.
pub mod digest;
/// The rows between store and sender.
pub mod row;
/// The states of a message, and the receipts that may move it.
pub mod message_state;
/// Freely written or as a template.
pub mod window;
/// The choice of the message that leaves now.
pub mod scheduler;
/// The order in which messages leave.
pub mod lanes;
/// Files that are at Meta before their messages leave, and what goes before them meanwhile.
pub mod uploads;
/// The rate at which messages may leave.
pub mod rate_limit;
/// The meaning of an answer, a status or a restart for a message.
pub mod retry_policy;
/// Refusals by Meta, and their words.
pub mod api_error;
/// The sealed tokens of buttons.
pub mod button_token;
/// Budgets: the cost of a number, and the people it may reach.
pub mod budget;
