//! The daemon's tasks. Each waits for an input, hands it to its pure machine and performs the effects.

/// The handles that tasks share.
pub mod context;
/// Whom the loops speak to.
pub mod ports;
/// Handles by which tasks tell each other things in memory.
pub mod handles;
/// Wake-ups between tasks.
pub(crate) mod wakeups;
/// Writing that waits until it is on disk.
pub mod durable_store;
/// The configuration with what the page and invitations added.
pub(crate) mod live_config;
/// Obstacles to accepting or sending.
pub(crate) mod readiness;
/// Topics that the gateway listens to.
pub(crate) mod subscriptions;
/// Broker notices: events to the intake, answers to the dispatch.
pub mod mqtt_intake;
/// The outbox's sender.
pub mod outbox_sender;
/// The sender's turn in the transaction of whoever writes.
pub mod outbox_transaction;
/// Files on their way out.
pub(crate) mod media_upload;
/// Webhook bodies, one after the other.
pub mod webhook_inbox;
/// Fetches what a hub has for this site.
pub mod hub_poll;
/// Reads one webhook body in one transaction.
pub mod webhook_reader;
/// Replies that are faster than Meta's answer.
pub(crate) mod early_reply;
/// Notices to the owner.
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
/// Events of the broker's connection.
pub(crate) mod broker_state;
/// The right of this copy to send.
pub(crate) mod copies;
/// Home Assistant: what it is shown, and what it asks.
pub(crate) mod home_assistant;
/// The catalogue of message templates.
pub(crate) mod template_sync;
/// Read receipts for what people wrote, and their files.
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
/// Faults that stay visible for a while after they have gone.
pub(crate) mod recent_faults;
/// Notifications to systemd.
pub(crate) mod systemd;
/// Removes old rows.
pub(crate) mod retention;
/// All tasks that run as long as the daemon does.
pub(crate) mod supervisor;
/// Rows that a changed configuration left without an owner.
pub mod orphans;
