//! Bellwire: MQTT events become WhatsApp messages, replies become MQTT commands, and nothing accepted is lost.
//!
//! # An event becomes a message
//!
//! ```text
//! mqtt ─▶ task::mqtt_intake ─▶ alert::intake ─▶ alert::route ─▶ event::decode ─▶ alert::evaluate ─▶ alert::engine
//!                                                                                                       │
//!         PUBACK to the broker ◀═ store: event, alert, messages in one commit ◀─ alert::notification ◀──┘
//!                                      ║
//!             outbox::scheduler ◀──────╜
//!                 ├─▶ task::media_upload: its files are at Meta first
//!                 └═▶ store: `sending` ─▶ outbox::render ─▶ whatsapp::client ─▶ outbox::retry_policy ═▶ store: the outcome
//! ```
//!
//! # A reply becomes a command
//!
//! ```text
//! http::webhook ═▶ store: the body as it came, then 200 to Meta
//!                     ║
//!                     ╚═▶ task::webhook_reader ─▶ whatsapp::inbound ─▶ reply::interpret ─▶ reply::follow_up
//!                                                                                               │ effects
//!   the device's answer ◀─ mqtt ◀─ command::dispatch ◀─ task::command_publisher ◀═ store::apply ◀─┘
//! ```
//!
//! `═` is a commit: what stands before it is not acknowledged, sent or published until it is on disk.
//!
//! # What always holds
//!
//! * The broker's PUBACK and Meta's 200 are sent after the commit, never before.
//! * A request to Meta leaves after its `sending` is on disk, so a crash leaves a row that says that it may have left.
//! * To one person over one number messages leave one at a time, the most severe first (`outbox/scheduler/gates.rs`).
//! * What a broker or device delivers twice counts once (`event/incoming.rs` `repetition`, `store/intake.rs` `seen`).
//! * `event`, `rule`, `chart`, `alert`, `outbox`, `reply`, `command`, `contact` and `device` are pure: no I/O, no clock, no dice. They
//!   return what is to be done as data; `task` does it. What follows from what people say is decided by `reply` and `command`,
//!   with the words for people, and performed by `store/effects.rs`.
//! * SIGTERM stops the intake first and the store last (`app.rs`).
//! * One thread writes. A disk that fails, or a task that ends early, ends the process with a reason.
//! * Every queue has a bound with a reason beside it.

// The pure core, in the order in which data passes through it.

pub mod event;
pub mod rule;
pub mod chart;
pub mod alert;
pub mod outbox;
pub mod reply;
pub mod command;
/// People: who they are, when and in which language they are told.
pub mod contact;
/// Devices that keep their events until they are acknowledged.
pub mod device;

// The edges: each knows the core, and no other edge.

/// The broker: one connection, subscriptions, commands.
pub mod mqtt;
/// Devices on serial ports.
pub mod serial;
/// Meta's Cloud API: requests, answers, webhook bodies.
pub mod whatsapp;
/// The page, the API and the webhook.
pub mod http;
/// SQLite: what is on disk, and the one thread that writes.
pub mod store;

// What puts them together.

/// The configuration: read, checked, and what to do about each mistake.
pub mod config;
/// The loops that wait, ask the pure core, and perform what it wants.
pub mod task;
/// What the page and the API ask and do.
pub mod admin;
/// The start and the end (what SIGTERM begins, which `cli/run.rs` hears): builds, spawns, drains, in which order.
pub mod app;
/// Everything that makes this gateway this one, in a sealed file, and back.
pub mod backup;
/// The commands of the program.
pub mod cli;
/// Looks for what is wrong before it matters.
pub mod doctor;
/// The first configuration, asked for.
pub mod setup;
/// The demo's shop and broker; its WhatsApp is a package of its own, `simulator/`.
#[cfg(feature = "demo")]
pub mod demo;

// What everything stands on.

pub mod hex;
/// Names and numbers of things, each a type of its own.
pub mod ids;
pub mod log;
/// Clocks, timers, chance and tasks: what the loops run on.
pub mod machine;
/// Numbers for `/metrics`.
pub mod metrics;
pub mod packed;
/// The one source of randomness.
pub mod random;
/// Who starts the daemon here.
pub mod started_by;
pub mod terminal;
/// The one clock.
pub mod time;
/// Enums whose values are words.
mod words;
