//! Bellwire: MQTT events become WhatsApp messages, replies become MQTT commands, and nothing accepted is lost.
pub mod alert;
pub mod chance;
pub mod command;
pub mod contact;
pub mod config;
pub mod ids;
pub mod time;
