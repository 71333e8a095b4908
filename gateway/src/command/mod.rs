//! From what somebody asked for to the device that did it. Nothing here performs I/O, asks the time or throws dice.
//!
//! ```text
//! (reply::interpret) ─▶ action ─▶ authorise ─▶ approval: a Yes or two ═▶ dispatch ─▶ PUBACK ─▶ device_answer ─▶ outcome
//! ```

/// What may be done, and under which conditions.
pub mod action;
/// Words as their speakers mean them.
pub mod phrase;
/// What a device's answer means.
pub mod device_answer;
/// Where a command stands.
pub mod command_state;
/// A Yes or No to something that waits.
pub mod approval;
/// Whether this person may.
pub mod authorise;
/// Which command is published now, and when it counts as published.
pub mod dispatch;
/// How the gateway appears in Home Assistant, and what may be asked from there.
pub mod home_assistant;
/// What a machine asks people.
pub mod question;
/// Who is asked, and how.
pub mod asking;
/// What they decided.
pub mod decision;
/// How it ended, and who is told.
pub mod outcome;
