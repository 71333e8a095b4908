//! The commands: one file each. Exit codes are those of sysexits.h.

/// An access list for the broker.
mod acl;
/// Look at alerts, and decide about them.
mod alerts;
/// Who asked for what.
mod audit;
/// Everything in one sealed file.
mod backup;
/// All problems of a configuration.
mod check;
/// What is known of people, and how it goes.
mod contact;
/// Everything in one process, to see it work.
#[cfg(feature = "demo")]
mod demo;
/// The devices that speak to this gateway.
mod devices;
/// What keeps it from working.
mod doctor;
/// What came in and was kept or counted.
mod events;
/// Files that people sent.
mod files;
/// The manual pages.
mod man;
/// What is in memory stays there.
mod memory;
/// Look at the outbox, and decide about what is in it.
mod outbox;
/// The passphrase of a backup.
mod passphrase;
/// What the broker carries, for a replay.
mod record;
/// The configuration file, taken over by a daemon that runs.
mod reload;
/// Timed events with virtual time.
mod replay;
/// A backup in its place; and which copy sends.
mod restore;
/// The daemon.
mod run;
/// A message by hand.
mod send;
/// From an account to a configuration that works.
mod setup;
/// The simulated Cloud API.
#[cfg(feature = "demo")]
mod simulator;
/// How things stand.
mod status;
/// Tokens of programs, sessions of browsers.
mod token;
/// What an event would lead to.
mod r#try;
/// Whether a package is what was released.
mod verify;
/// The whole story of an alert, a message or an event.
mod why;

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

use crate::config::{Config, LoadOptions, Problems, load, load_or_last_good, own_client_id};
use crate::store::{LockError, OpenError, Store};
use crate::terminal;

/// MQTT events become WhatsApp messages, replies become MQTT commands, and nothing accepted is lost.
#[derive(Debug, Parser)]
#[command(name = "bellwire", version, arg_required_else_help = true)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the daemon
    Run(Place),
    /// Have the running daemon take over the configuration file, and say what became of it
    Reload(Place),
    /// Report every problem of the configuration
    Check(check::Arguments),
    /// Ask for the account's values, check each with Meta, and write the configuration
    Setup(setup::Arguments),
    /// Look for what keeps it from working, and say what to do about it
    Doctor(doctor::Arguments),
    /// Print an access list for mosquitto: what each user needs for this configuration, and no more
    Acl(acl::Arguments),
    /// Show what an event would lead to, without sending anything
    Try(r#try::Arguments),
    /// Write down what the broker carries, for `try --replay`
    Record(record::Arguments),
    /// Send a message to a contact through the outbox
    Send(send::Arguments),
    /// Pictures, sounds and documents that contacts sent
    Files(files::Arguments),
    /// Look at the outbox, and decide about what is in it
    Outbox(outbox::Arguments),
    /// Look at alerts, and decide about them
    Alerts(alerts::Arguments),
    /// Tell the whole story of an alert, a message or an event
    Why(why::Arguments),
    /// Show the events that were kept, and how many were only counted
    Events(events::Arguments),
    /// Who asked for what, and what became of it: a chain that shows changes
    Audit(audit::Arguments),
    /// Numbers, what waits, what Meta says, what it costs
    Status(status::Arguments),
    /// People: list, export, erase, accept
    Contact(contact::Arguments),
    /// Show the devices that speak to this gateway, and what they were told
    Devices(devices::Arguments),
    /// Write everything into one sealed file, while the daemon runs
    Backup(backup::Arguments),
    /// Put a backup in its place on another machine, or decide which copy sends
    Restore(restore::Arguments),
    /// Tokens of programs that use the API: list, make, revoke
    Token(token::Arguments),
    /// Browsers that are logged in: list, log out
    Session(token::Sessions),
    /// Check the signature of a package, without installing it
    Verify(verify::Arguments),
    /// See it all work: a shop, a broker and a simulated WhatsApp in one process
    #[cfg(feature = "demo")]
    Demo(demo::Arguments),
    /// The simulated Cloud API alone, for tests of this and other programs
    #[cfg(feature = "demo")]
    Simulator(simulator::Arguments),
    /// Print the completions for a shell
    Completions { shell: clap_complete::Shell },
    /// Print the manual page
    Man(man::Arguments),
}

/// Where the configuration and the state are.
#[derive(Debug, clap::Args)]
pub struct Place {
    /// The configuration file
    #[arg(long, default_value = "/etc/bellwire/bellwire.toml")]
    config: PathBuf,
    /// The state directory, instead of the configuration's
    #[arg(long)]
    state: Option<PathBuf>,
}

/// EX_USAGE of sysexits.h.
pub const USAGE: u8 = 64;

/// How a command ends, when not well.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("{0}")]
    Config(#[from] Problems),
    #[error("{0}")]
    Usage(String),
    #[error("{0}")]
    AlreadyRunning(LockError),
    /// It does not go away by itself: a person must install something.
    #[error("{0}")]
    Newer(OpenError),
    /// Another copy of this gateway sends.
    #[error("{0}")]
    Stopped(crate::store::Stopped),
    #[error("{0:#}")]
    Io(anyhow::Error),
    #[error("{0}")]
    Listen(crate::app::ListenError),
    /// What was looked at is not what it should be.
    #[error("{0}")]
    Refused(String),
    /// What a diagnosis found.
    #[error("{1}")]
    Diagnosed(crate::doctor::Severity, String),
}

/// Runs the command.
#[must_use]
pub fn run(arguments: Arguments) -> ExitCode {
    memory::close();
    let outcome = match arguments.command {
        Command::Run(place) => run::run(&place),
        Command::Reload(place) => reload::run(&place),
        Command::Check(arguments) => check::run(&arguments),
        Command::Setup(arguments) => setup::run(arguments),
        Command::Doctor(arguments) => doctor::run(&arguments),
        Command::Acl(arguments) => acl::run(&arguments),
        Command::Try(arguments) => r#try::run(&arguments),
        Command::Record(arguments) => record::run(&arguments),
        Command::Send(arguments) => send::run(arguments),
        Command::Files(arguments) => files::run(&arguments),
        Command::Outbox(arguments) => outbox::run(&arguments),
        Command::Alerts(arguments) => alerts::run(&arguments),
        Command::Why(arguments) => why::run(&arguments),
        Command::Events(arguments) => events::run(&arguments),
        Command::Audit(arguments) => audit::run(&arguments),
        Command::Status(arguments) => status::run(&arguments),
        Command::Contact(arguments) => contact::run(&arguments),
        Command::Devices(arguments) => devices::run(&arguments),
        Command::Backup(arguments) => backup::run(&arguments),
        Command::Restore(arguments) => restore::run(&arguments),
        Command::Token(arguments) => token::run(&arguments),
        Command::Session(arguments) => token::run_sessions(&arguments),
        Command::Verify(arguments) => verify::run(&arguments),
        #[cfg(feature = "demo")]
        Command::Demo(arguments) => demo::run(&arguments),
        #[cfg(feature = "demo")]
        Command::Simulator(arguments) => simulator::run(arguments),
        Command::Completions { shell } => {
            clap_complete::generate(
                shell,
                &mut self::Arguments::command(),
                "bellwire",
                &mut std::io::stdout(),
            );
            Ok(())
        }
        Command::Man(arguments) => man::run(&arguments),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            drop(writeln!(std::io::stderr(), "{}", terminal::plain(&failure.to_string()))); // nowhere left to complain
            ExitCode::from(failure.code())
        }
    }
}

impl Failure {
    fn code(&self) -> u8 {
        match self {
            Self::Usage(_) => USAGE,
            Self::Refused(_) => 65, // EX_DATAERR
            Self::Io(_) => 74,      // EX_IOERR
            Self::Listen(error) if error.is_mistake() => 78,
            Self::AlreadyRunning(_) | Self::Listen(_) => 75, // EX_TEMPFAIL
            Self::Config(_) | Self::Newer(_) | Self::Stopped(_) => 78, // EX_CONFIG
            Self::Diagnosed(severity, _) => severity.exit_code(),
        }
    }
}

impl From<LockError> for Failure {
    fn from(error: LockError) -> Self {
        match error {
            taken @ LockError::Taken(_) => Self::AlreadyRunning(taken),
            file @ LockError::File(..) => Self::Io(file.into()),
        }
    }
}

impl From<OpenError> for Failure {
    fn from(error: OpenError) -> Self {
        match error {
            newer @ OpenError::Newer(_) => Self::Newer(newer),
            OpenError::Directory(..)
            | OpenError::NotDurable(..)
            | OpenError::Backup(_)
            | OpenError::Sql(..)
            | OpenError::NoRandomness
            | OpenError::Missing(_) => Self::Io(error.into()),
        }
    }
}

impl Place {
    fn load(&self, without_secrets: bool) -> Result<Config, Problems> {
        load(&self.config, &self.wishes(without_secrets))
    }

    fn wishes(&self, without_secrets: bool) -> LoadOptions {
        LoadOptions { state_directory: self.state.clone(), without_secrets, ..LoadOptions::default() }
    }

    /// What the daemon runs on, and the file's text, if it is the file's.
    fn load_to_run(&self, without_secrets: bool) -> Result<(Config, Option<String>), Problems> {
        load_or_last_good(&self.config, &self.wishes(without_secrets))
    }

    /// The same with a client id of this installation's own where the file names none. Home Assistant's topics have it in them,
    /// so that they are read again.
    fn owned_by(&self, store: &Store, mut config: Config, without_secrets: bool) -> Result<Config, Failure> {
        let client_tag = store.client_tag().map_err(|error| Failure::Io(error.into()))?;
        let Some(tag) = client_tag.filter(|_| !config.mqtt.is_client_id_given) else { return Ok(config) };
        if config.home_assistant.is_some() {
            let wishes = LoadOptions { client_tag: Some(tag), ..self.wishes(without_secrets) };
            return Ok(load_or_last_good(&self.config, &wishes)?.0);
        }
        config.mqtt.client_id = own_client_id(&config.mqtt.client_id, &tag);
        Ok(config)
    }

    /// The configuration and its store, for commands that work beside the daemon.
    fn open(&self) -> Result<(Config, Store), Failure> {
        let (config, _) = self.load_to_run(true)?;
        let store = Store::open_existing(&config.site.state_directory)?;
        let mut config = self.owned_by(&store, config, true)?;
        if let Some(why) = &config.stands_in {
            drop(writeln!(std::io::stderr(), "note: {}", terminal::plain(why)));
        }
        if let Ok(Some(why)) = store.copy_stopped() {
            drop(writeln!(std::io::stderr(), "note: {why}"));
        }
        // With the numbers that were connected on the page.
        let all = crate::app::connections(&config.connections, &store, &config.site.state_directory);
        config.connections = all.map_err(|error| Failure::Io(error.into()))?;
        let guests = store.guests().map_err(|error| Failure::Io(error.into()))?;
        config.people = config.people.with(&guests);
        Ok((config, store))
    }
}

/// Writes to standard output, and nothing that a terminal would obey; a reader that has gone (`| head`) is no failure.
fn say(text: &str) {
    drop(writeln!(std::io::stdout(), "{}", terminal::plain(text)));
}

/// `1 rule`, `2 rules`.
fn counted(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

fn say_json(value: &serde_json::Value) {
    drop(writeln!(std::io::stdout(), "{}", terminal::json(&format!("{value:#}"))));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_arguments_fit_together() {
        Arguments::command().debug_assert();
    }

    /// The file is read once; its own client id is as if it had been known then.
    #[test]
    fn the_installations_client_id_is_the_default_everywhere() {
        let (folder, store) = Store::in_new_folder();
        let place = Place { config: folder.path().join("bellwire.toml"), state: None };
        let client_tag = store.client_tag().expect("read");
        for (mqtt, home, id) in [
            ("", "", "bellwire-bar-"),
            ("", "[home_assistant]\nnotify = [\"nino\"]\n", "bellwire-bar-"),
            ("client_id = \"mine\"\n", "", "mine"),
        ] {
            let text = format!(
                "[site]\nname = \"Bar\"\n[mqtt]\nurl = \"mqtt://127.0.0.1\"\n{mqtt}[[connection]]\nname = \"main\"\n\
                 phone_number_id = \"1\"\naccess_token_file = \"t\"\napp_secret_file = \"s\"\nverify_token_file = \"v\"\n\
                 [[contact]]\nid = \"nino\"\nphone = \"+995 555 12 34 56\"\n{home}"
            );
            std::fs::write(&place.config, text).expect("written");
            let (config, _) = place.load_to_run(true).expect("good");
            let owned = place.owned_by(&store, config, true).expect("good");
            let wishes = LoadOptions { client_tag: client_tag.clone(), ..place.wishes(true) };
            let read_with_it = load(&place.config, &wishes).expect("good");
            assert_eq!(format!("{owned:?}"), format!("{read_with_it:?}"), "{home}");
            assert!(owned.mqtt.client_id.starts_with(id) && owned.mqtt.client_id.len() > 3);
        }
    }
}
