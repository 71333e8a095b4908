//! From a message to its end: what it says, when it leaves, and what an answer means for it. Pure: effects as data.

/// What a message says.
pub mod message;
/// The words, the time, the buttons.
pub mod render;
/// What waits for one person, in one message.
pub mod digest;
/// The rows between store and sender.
pub mod row;
/// Where a message stands, and which receipts may move it.
pub mod message_state;
/// Freely written or as a template.
pub mod window;
/// Which message leaves now.
pub mod scheduler;
/// Which goes first, and until when the others wait.
pub mod lanes;
/// Files that are at Meta before their messages leave, and what goes before them meanwhile.
pub mod uploads;
/// How fast messages may leave.
pub mod rate_limit;
/// What an answer, a status or a restart means for a message.
pub mod retry_policy;
/// What Meta refuses, and how it is told.
pub mod api_error;
/// What a button carries, sealed.
pub mod button_token;
/// What a number may cost, and how many people it may reach.
pub mod budget;
