//! What the page and the API ask and do.

/// The handles of page and API, and their way to the store.
pub(crate) mod admin_service;
/// What pages and API ask.
pub(crate) mod backend;
/// Configuration and store, as pages show them.
pub(crate) mod views;
/// WhatsApp numbers, as pages show them.
pub(crate) mod numbers;
/// What numbers were.
pub(crate) mod curves;
/// Filters of addresses, checked.
pub(crate) mod filters;
/// The API's description, of which `http/assets/openapi.json` is made.
#[cfg(test)]
mod api_description;
/// The audit as it is shown.
pub(crate) mod audit_log;
/// The configuration: drafts, saving, history.
mod configuration;
/// What an event would lead to.
pub(crate) mod dry_run;
/// What somebody decides about an alert.
pub(crate) mod alert_actions;
/// What somebody writes to a person.
pub(crate) mod writing;
/// Numbers of the file and of the page.
pub mod connections;
/// Passwords, sessions, tokens.
pub(crate) mod credentials;
/// What the HTTP doors ask.
pub(crate) mod http_ports;
/// Who needs which right at the broker.
pub(crate) mod access_list;
