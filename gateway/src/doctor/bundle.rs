//! What goes to a supporter: findings, the shape of the configuration, the outbox without its texts. No secret is read for
//! it; a phone number is written as `+995…456`.

use serde_json::{Value, json};

use super::Finding;
use crate::config::{Config, Connection, MqttVersion};
use crate::store::{MessageFilter, Store};
use crate::time::{Clock, SystemClock, Timestamp};

/// The newest messages; a supporter wants the last days, not the year.
const MESSAGES: u32 = 200;

#[must_use]
pub fn bundle(config: &Config, findings: &[Finding]) -> Value {
    let store = Store::open_existing(&config.site.state_directory);
    let outbox = match &store {
        Ok(store) => outbox(store),
        Err(error) => json!(error.to_string()),
    };
    json!({
        "bellwire": env!("CARGO_PKG_VERSION"),
        "made_at": SystemClock.now().rfc3339(),
        "machine": machine(),
        "configuration": shape(config),
        "findings": findings,
        "outbox": outbox,
    })
}

fn machine() -> Value {
    let file = |path: &str| std::fs::read_to_string(path).unwrap_or_default().trim().to_owned();
    json!({
        "architecture": std::env::consts::ARCH,
        "kernel": file("/proc/sys/kernel/osrelease"),
        "model": file("/proc/device-tree/model").trim_end_matches('\0'),
        "uptime_and_idle_s": file("/proc/uptime"),
        "load": file("/proc/loadavg"),
    })
}

fn shape(config: &Config) -> Value {
    let connection = |connection: &Connection| {
        json!({
            "name": connection.name.0, "phone_number_id": connection.phone_number_id,
            "business_account_id": connection.business_account_id, "api_url": connection.api_url,
            "api_version": connection.api_version, "messages_per_second": connection.messages_per_second,
        })
    };
    let contacts = config.people.contacts.values();
    let contacts = contacts
        .map(|contact| json!({ "id": contact.id.0, "to": contact.to.masked(), "roles": contact.roles }));
    let rules = config.rules.iter().map(|rule| {
        let templates: Vec<&str> = rule.templates.iter().map(|template| template.name.as_str()).collect();
        json!({ "name": rule.name.0, "severity": rule.severity.as_str(), "notify": rule.notify,
                "actions": rule.actions.len(), "templates": templates })
    });
    json!({
        "time_zone": config.site.time_zone.iana_name(),
        "state_directory": config.site.state_directory,
        "listen": config.http.listen, "webhook_listen": config.http.webhook_listen,
        "mqtt": { "host": config.mqtt.host, "port": config.mqtt.port, "tls": config.mqtt.tls.is_some(),
                  "version": match config.mqtt.version { MqttVersion::V5 => "5", MqttVersion::V311 => "3.1.1" } },
        "connections": config.connections.iter().map(connection).collect::<Vec<_>>(),
        "contacts": contacts.collect::<Vec<_>>(),
        "rules": rules.collect::<Vec<_>>(),
    })
}

fn outbox(store: &Store) -> Value {
    let counts = store.counts().unwrap_or_default();
    let filter = MessageFilter { state: None, contact: None, limit: MESSAGES };
    let rows = store.messages(&filter).unwrap_or_default();
    let messages = rows.into_iter().map(|row| {
        json!({
            "id": row.id, "contact": row.contact, "connection": row.connection, "rule": row.rule, "state": row.state,
            "reason": row.reason, "code": row.code, "fbtrace_id": row.fbtrace_id, "attempts": row.attempts,
            "created_at": Timestamp(row.created_at).rfc3339(), "changed_at": Timestamp(row.changed_at).rfc3339(),
        })
    });
    json!({ "counts": counts.into_iter().collect::<std::collections::BTreeMap<_, _>>(),
            "newest": messages.collect::<Vec<_>>() })
}
