//! What comes from outside, one function for each way in: any bytes are survived, and what the function says about them holds.
//! cargo-fuzz calls these from `fuzz_targets`; the tests of the project (`tests/fuzz`) include this file and replay
//! `corpus`, so that what fuzzing once found is tried by everybody, without it.
//!
//! Inputs are texts where they can be: a first line or two, then the rest, so that a person can write one.

mod condition;
mod config;
mod decode;
mod edit;
mod event;
mod expression;
mod http;
mod parameter;
mod reply;
mod serial;
mod site;
mod topic;
mod webhook;

pub use condition::condition;
pub use config::config;
pub use decode::decode;
pub use edit::edit;
pub use event::event;
pub use expression::expression;
pub use http::http;
pub use parameter::parameter;
pub use reply::reply;
pub use serial::serial;
pub use topic::topic;
pub use webhook::webhook;

/// A target, by the name of its folder in `corpus`.
pub type Target = (&'static str, fn(&[u8]));

pub const TARGETS: [Target; 12] = [
    ("topic", topic),
    ("decode", decode),
    ("condition", condition),
    ("expression", expression),
    ("event", event),
    ("config", config),
    ("edit", edit),
    ("webhook", webhook),
    ("reply", reply),
    ("parameter", parameter),
    ("serial", serial),
    ("http", http),
];

/// The first line, and what follows it.
fn line(data: &[u8]) -> (&[u8], &[u8]) {
    match data.iter().position(|byte| *byte == b'\n') {
        Some(end) => (&data[..end], &data[end + 1..]),
        None => (data, b""),
    }
}

/// The first line as text, and what follows it.
fn text_line(data: &[u8]) -> Option<(&str, &[u8])> {
    let (first, rest) = line(data);
    Some((std::str::from_utf8(first).ok()?, rest))
}
