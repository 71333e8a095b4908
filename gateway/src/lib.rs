//! Bellwire: MQTT events become WhatsApp messages, replies become MQTT commands, and nothing accepted is lost.
pub mod alert;
pub mod app;
pub mod chance;
pub mod cli;
pub mod command;
pub mod config;
pub mod contact;
#[cfg(feature = "demo")]
pub mod demo;
pub mod doctor;
pub mod http;
pub mod ids;
pub mod mqtt;
pub mod setup;
pub mod store;
pub mod time;
pub mod whatsapp;
