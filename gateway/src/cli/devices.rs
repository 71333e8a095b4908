//! The devices that speak to this gateway.

use jiff::tz::TimeZone;
use serde_json::{Value, json};

use super::{Failure, Place, say, say_json};
use crate::store::{self, DeviceCommandRow, DeviceRow, Store};
use crate::time::Timestamp;

#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// All devices that ever said hello
    List {
        #[command(flatten)]
        place: Place,
        #[arg(long)]
        json: bool,
    },
    /// One device with its last commands
    Show {
        #[command(flatten)]
        place: Place,
        id: String,
        #[arg(long, default_value_t = 20)]
        limit: u32,
        #[arg(long)]
        json: bool,
    },
    /// Forget a name: a device that says it again is a new one
    Forget {
        #[command(flatten)]
        place: Place,
        id: String,
    },
    /// Keep a name also when strangers' names fill the list
    Approve {
        #[command(flatten)]
        place: Place,
        id: String,
    },
}

pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    match &arguments.command {
        Command::List { place, json } => list(place, *json),
        Command::Show { place, id, limit, json } => show(place, id, *limit, *json),
        Command::Forget { place, id } => {
            let what = format!(
                "{id} is forgotten within half a minute, or when the daemon starts; what a device of this name keeps is counted \
                 from then on. Its alerts and the record stay."
            );
            mark(place, id, Store::forget_device, &what)
        }
        Command::Approve { place, id } => {
            mark(place, id, Store::approve_device, &format!("{id} keeps its place, whoever else says hello"))
        }
    }
}

fn mark(
    place: &Place,
    id: &str,
    mark: fn(&Store, &str) -> store::Result<bool>,
    what: &str,
) -> Result<(), Failure> {
    let (_, store) = place.open()?;
    if store.transaction(|store| mark(store, id)).map_err(|error| Failure::Io(error.into()))? {
        say(what);
        return Ok(());
    }
    Err(unknown(id))
}

fn unknown(id: &str) -> Failure {
    Failure::Usage(format!("no device `{id}` has said hello; see `bellwire devices list`"))
}

fn list(place: &Place, json: bool) -> Result<(), Failure> {
    let (config, store) = place.open()?;
    let devices = store.devices().map_err(|error| Failure::Io(error.into()))?;
    if json {
        say_json(&devices.iter().map(device_json).collect());
        return Ok(());
    }
    if devices.is_empty() {
        say("no device has said hello yet; docs/devices.md tells how to connect one");
    }
    for device in &devices {
        say(&format!(
            "{:<16}  {:<7}  {}  boot {:<5}  {} events, {} waiting there, {} refused there  {}",
            device.id,
            if device.clash_at.is_some() { "clash" } else { state(device) },
            Timestamp(device.seen_at).for_tables(&config.site.time_zone),
            device.boot,
            device.events,
            device.queued,
            device.refused,
            device.link
        ));
    }
    Ok(())
}

fn show(place: &Place, id: &str, limit: u32, json: bool) -> Result<(), Failure> {
    let (config, store) = place.open()?;
    let read = |error: store::Error| Failure::Io(error.into());
    let Some(device) = store.device(id).map_err(read)? else {
        return Err(unknown(id));
    };
    let commands = store.device_commands(id, limit).map_err(read)?;
    if json {
        let mut json = device_json(&device);
        json["commands"] = commands.iter().map(command_json).collect();
        say_json(&json);
    } else {
        say(&story(&device, &commands, &config.site.time_zone));
    }
    Ok(())
}

fn story(device: &DeviceRow, commands: &[DeviceCommandRow], zone: &TimeZone) -> String {
    let at = |millis: i64| Timestamp(millis).for_tables(zone);
    let obeys =
        if device.commands.is_empty() { "no commands".to_owned() } else { device.commands.join(", ") };
    let mut lines = vec![
        format!(
            "device {} over {}, {}, last seen {}",
            device.id,
            device.link,
            state(device),
            at(device.seen_at)
        ),
        format!("firmware {}; obeys {obeys}", device.firmware),
        format!("boot {}; {} events counted, up to {}", device.boot, device.events, position(device)),
        format!(
            "when it last said so, it kept {} events and had refused {} since its start",
            device.queued, device.refused
        ),
    ];
    if let Some(seen) = device.clash_at {
        lines.push(format!(
            "two devices have this name, and both were heard at {}: give one of them another",
            at(seen)
        ));
    }
    for command in commands {
        let reason = command.reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
        lines.push(format!(
            "command {} at {} by {}: {} {} is {}{reason}",
            command.id,
            at(command.requested_at),
            command.contact,
            command.topic,
            command.payload,
            command.state
        ));
    }
    lines.join("\n")
}

fn state(device: &DeviceRow) -> &'static str {
    if device.silent { "silent" } else { "here" }
}

fn position(device: &DeviceRow) -> String {
    format!("{}/{}", device.counted.boot, device.counted.sequence)
}

fn device_json(device: &DeviceRow) -> Value {
    json!({
        "id": device.id, "boot": device.boot, "firmware": device.firmware, "obeys": device.commands, "link": device.link,
        "state": state(device), "last_seen": Timestamp(device.seen_at).rfc3339(), "events": device.events,
        "counted": position(device), "queued": device.queued, "refused": device.refused,
        "clash_at": device.clash_at.map(|at| Timestamp(at).rfc3339()), "approved": device.approved,
    })
}

fn command_json(command: &DeviceCommandRow) -> Value {
    let when = |millis: i64| Timestamp(millis).rfc3339();
    json!({
        "id": command.id, "topic": command.topic, "payload": command.payload, "contact": command.contact,
        "requested_at": when(command.requested_at), "state": command.state, "changed_at": when(command.changed_at),
        "reason": command.reason,
    })
}
