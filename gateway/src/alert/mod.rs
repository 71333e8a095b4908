//! From an event to a message's end. Nothing here performs I/O, asks the time or throws its own dice.
//!
//! ```text
//! event ─▶ decode ─▶ route ─▶ policy ─▶ render ═▶ outbox ═▶ sender ─▶ delivery
//!          └───────── intake: commit, then acknowledge ─┘    └─ commit, then send ─┘
//! ```

/// Bytes to a value: JSON, text, number, CBOR, postcard.
pub mod decode;
/// What an answer, a status or a restart means for a message.
pub mod delivery;
/// What waits for one person, in one message.
pub mod digest;
/// What came in.
pub mod event;
/// Freely written or as a template.
pub mod form;
/// Events in, decisions to the store, then the acknowledgement.
pub mod intake;
/// Pictures and files that an alert carries.
pub mod media;
/// What a message says.
pub mod message;
/// The rows between store and sender.
pub mod outbox;
/// How fast messages may leave.
pub mod pace;
/// What one rule makes of one event.
pub mod policy;
/// The words, the time, the buttons.
pub mod render;
/// Which rules a topic concerns.
pub mod route;
/// What the configuration says about events.
pub mod rule;
/// Which message leaves now.
pub mod sender;
/// Where a message stands, and which receipts may move it.
pub mod state;
/// Jinja, strict and bounded.
pub mod template;
/// What a button carries, sealed.
pub mod token;
/// Patterns with named levels, and topics to publish to.
pub mod topic;
