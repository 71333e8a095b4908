//! Real parts: mosquitto, processes, sockets. Each file is one promise.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::disallowed_methods,
    reason = "a test that cannot go on stops; it waits by the machine's clock"
)]

/// Who may do what at the broker.
mod access_list;
/// An alert's life.
mod alerts;
/// What each of Meta's answers leads to.
mod answers;
/// Machines that ask people.
mod asking;
/// A table of attacks by reply.
mod attacks;
/// A backup on another machine.
mod backup;
/// Bad input is counted and visible, and stops nothing.
mod bad_input;
/// What it may cost, and how many people it may reach.
mod budget;
/// A burst of one device's events over MQTT.
mod burst;
/// Killed, restarted and emptied at random, nothing is deaf unseen.
mod chaos;
/// Three clients of the device protocol, ours and two in other languages, in the same situations.
mod clients;
/// The commands of an operator.
mod commands;
/// Commit, then acknowledge.
mod commit_first;
/// Events that cost more than they are worth.
mod costly;
/// What is published comes to us, or we say that it does not.
mod deliveries;
/// What the program for devices may weigh and take.
mod device;
/// Each ailment is found.
mod doctor;
/// A publish that several rules want is one event.
mod each_once;
/// What devices make of commands.
mod endings;
/// Forty faults.
mod faults;
/// Devices on wires and over the broker: each event once, each command answered.
mod fleet;
/// A person is forgotten when they ask.
mod forget;
/// The gateway in Home Assistant.
mod home_assistant;
/// The owner invites somebody.
mod inviting;
/// Two people, two languages, two clocks.
mod languages;
/// What a person gets wrong at a restart.
mod last_good;
/// Where an alert goes when WhatsApp fails.
mod last_resort;
/// What Meta limits, and what a person has to put right.
mod limits;
/// The examples of docs/messages.md.
mod messages;
/// The MQTT adapter with a real broker.
mod mqtt_contract;
/// Kills, restarts and a Cloud API that is down: nothing accepted is lost.
mod nothing_lost;
/// Locations, forms and pictures for displays.
mod onward;
/// A configuration that changes while something goes on.
mod orphans;
/// Relative paths.
mod paths;
/// Who wrote, as WhatsApp really spells people.
mod people;
/// Files that go with alerts.
mod pictures;
/// Pictures of what numbers were.
mod charts;
/// The example firmware on an emulated Cortex-M.
mod qemu;
/// What people send.
mod received;
/// What the broker carries, written down and played again.
mod record;
/// Another configuration while the daemon runs.
mod reload;
/// What the database refuses.
mod refused_rows;
/// The same webhook five times, and out of order.
mod repeated;
/// Replies that act, and those that must not.
mod replies;
/// An event becomes a message, a tap becomes a command.
mod round_trip;
/// The MQTT adapter with a broker that misbehaves.
mod scripted_broker;
/// Planted secrets are found nowhere.
mod secrets;
/// Each threat has its test.
mod security;
/// From an account to a configuration.
mod setup;
/// The simulated Cloud API, judged by Meta's facts.
mod simulator;
/// Sparkplug nodes are asked for their births.
mod sparkplug;
/// What systemd hears, and what the unit allows.
mod systemd;
/// Words from outside on a terminal, and links in the way.
mod terminal;
/// Alerts that reach nobody.
mod undelivered;
/// What rules could not judge.
mod unjudged;
/// The page and the API: attacks, tokens, events, speed.
mod web;
/// The webhook's door.
mod webhook;
/// Templates outside the 24 h window, digests, STOP.
mod window;
/// The device's end of a wire.
mod wire;
