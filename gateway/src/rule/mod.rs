//! What the configuration says about events: the rule itself, and the expressions and templates in it, read once and bounded.

/// What the configuration says about events.
pub mod definition;
/// What the configuration says about the life of an alert.
pub mod lifecycle_settings;
/// Pictures and files that an alert carries.
pub mod attachment;
/// Limits that conditions name.
pub mod threshold;
/// Yes, no, or cannot be judged.
pub mod condition;
/// What is wrong with one.
pub mod error;
/// Jinja, strict and bounded.
pub mod template;
/// A Jinja expression, read once.
pub(crate) mod expression;
/// Two values side by side, or why they cannot be.
pub(crate) mod comparison;
/// What an expression gives on one event.
pub(crate) mod evaluation;
/// A message's template as it runs.
pub(crate) mod program;
/// Jinja's filters, each with what it may cost.
pub(crate) mod filters;
/// What one evaluation may make and look at.
pub(crate) mod bound;
