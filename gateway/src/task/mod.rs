//! The daemon's tasks. Each waits for an input, hands it to its pure machine and performs the effects.

/// The handles that tasks share.
pub mod context;
/// Whom the loops speak to.
pub mod ports;
/// What tasks tell each other in memory.
pub mod handles;
/// Who wakes whom.
pub(crate) mod wakeups;
/// Writing that waits until it is on disk.
pub mod durable_store;
/// The configuration with what the page and invitations added.
pub(crate) mod live_config;
/// What keeps the daemon from accepting or sending.
pub(crate) mod readiness;
/// Topics that the gateway listens to.
pub(crate) mod subscriptions;
/// Broker notices: events to the intake, answers to the dispatch.
pub mod mqtt_intake;
/// The outbox's sender.
pub mod outbox_sender;
/// What the sender decides, in the transaction of whoever writes.
pub mod outbox_transaction;
/// Files on their way out.
pub(crate) mod media_upload;
/// Webhook bodies, one after the other.
pub mod webhook_inbox;
/// What a hub has for this site.
pub mod hub_poll;
/// What follows from one body, in one transaction.
pub mod webhook_reader;
/// Replies that are faster than Meta's answer.
pub(crate) mod early_reply;
/// What the owner should know.
pub(crate) mod owner_notice;
/// The end of what people asked for.
pub mod deadlines;
/// Machines that ask people.
pub(crate) mod question_flow;
/// Commands to the broker.
pub mod command_publisher;
/// Answers of devices and questions of machines.
pub(crate) mod device_message;
/// Devices, over serial ports and the broker.
pub mod device_fleet;
/// What the link says of the broker.
pub(crate) mod broker_state;
/// Which copy of this gateway sends.
pub(crate) mod copies;
/// Home Assistant: what it is shown, and what it asks.
pub(crate) mod home_assistant;
/// The catalogue of message templates.
pub(crate) mod template_sync;
/// What people wrote is shown as read, and their files are fetched.
pub(crate) mod received_media;
/// Last resorts over HTTP.
pub(crate) mod escalation_post;
/// Budgets and Meta's daily limit: the owner hears of them.
pub(crate) mod budget_monitor;
/// Budgets and Meta's daily limit: what may not leave.
pub(crate) mod sending_limits;
/// Alerts that have reached nobody.
pub(crate) mod undelivered;
/// A rule that could not judge its events is told to the owner.
pub(crate) mod unjudged;
/// Broker, connections, disk and clock, as events.
pub(crate) mod self_monitor;
/// What stays in sight for a while after it has gone.
pub(crate) mod recent_faults;
/// What systemd hears.
pub(crate) mod systemd;
/// Removes old rows.
pub(crate) mod retention;
/// All tasks that run as long as the daemon does.
pub(crate) mod supervisor;
/// What a changed configuration left without an owner.
pub mod orphans;
