//! Bellwire's hub: many sites behind one WhatsApp number, over an engine that keeps what may not be lost.
//!
//! ```text
//! site ─▶ http::messages ─▶ out::send ─▶ pace: its turn ═▶ engine: `begun` ─▶ Meta ═▶ engine: the answer ─▶ site
//!
//! Meta ─▶ http::webhook ═▶ engine: the body as it came, then 200 to Meta
//!                              ║
//!                              ╚═▶ incoming::router ─▶ split ─▶ route ═▶ engine: what is for each site
//!                                                                             ║
//!                                        site ◀─ http::webhook, signed anew ◀═╝   (the site keeps its own place)
//! ```
//!
//! `═` is on disk at a majority of the engine before what follows.
//!
//! # What always holds
//!
//! * A hub keeps nothing: any number of them run beside each other, and any of them may end at any moment.
//! * Meta's 200 is sent after the body is on disk. A request to Meta leaves after its `begun` is on disk.
//! * What did not leave is never answered with a 5xx.
//! * Which site it is follows from the token alone.

/// What keeps everything.
pub mod engine;
/// `hub.toml`.
pub mod settings;
/// Who may send and receive.
pub mod sites;
/// Meta's limit, shared by all hubs: whose turn it is, so that no site holds up another, and how much one may send at all.
pub mod pace;
/// What sites send.
pub mod out;
/// What Meta sends.
pub mod incoming;
/// Who did what, so that a change of it is noticed.
pub mod audit;
/// Where both come in.
pub mod http;
/// How it is doing, for machines that watch it.
pub mod metrics;
/// The start and the end.
pub mod run;
/// Looks whether the engine keeps what it says it keeps.
pub mod doctor;
/// The commands of the program.
pub mod cli;
