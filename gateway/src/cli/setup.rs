//! From an account to a configuration that works.

use std::path::PathBuf;

use super::Failure;
use super::run::runtime;
use crate::config::{Problems, secret_file};
use crate::setup::{Dialogue, Given, Wrong, run as set_up};
use crate::whatsapp::client::{Client, Deadlines};

/// Secrets come from files alone: arguments can be read by everybody on the machine.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The configuration to write
    #[arg(long, default_value = "/etc/bellwire/bellwire.toml")]
    config: PathBuf,
    /// WhatsApp > API Setup: the number's id
    #[arg(long)]
    phone_number_id: Option<String>,
    /// WhatsApp > API Setup: the account's id
    #[arg(long)]
    business_account_id: Option<String>,
    /// A file with the system user's token
    #[arg(long, value_name = "FILE")]
    access_token_file: Option<PathBuf>,
    /// A file with the app secret
    #[arg(long, value_name = "FILE")]
    app_secret_file: Option<PathBuf>,
    /// A file with the verify token; without it one is made up
    #[arg(long, value_name = "FILE")]
    verify_token_file: Option<PathBuf>,
    /// Stands in messages
    #[arg(long)]
    site_name: Option<String>,
    /// An IANA name, for example Asia/Tbilisi
    #[arg(long)]
    time_zone: Option<String>,
    /// mqtt://HOST or mqtts://HOST
    #[arg(long)]
    mqtt_url: Option<String>,
    /// Who gets the first message and the test rule's alerts
    #[arg(long)]
    phone: Option<String>,
    /// The webhook's public address, for the text that tells what to enter
    #[arg(long)]
    webhook: Option<String>,
    /// Create the template alarm_v1 without asking
    #[arg(long)]
    template: bool,
    /// Ask nothing: what is missing is an error
    #[arg(long)]
    no_input: bool,
    /// Without a network: keep what is given, and check it with Meta when setup is started again
    #[arg(long)]
    unchecked: bool,
    /// Another address than Meta's: `bellwire simulator`, for a rehearsal
    #[arg(long, value_name = "URL")]
    api_url: Option<String>,
}

pub fn run(arguments: Arguments) -> Result<(), Failure> {
    let from_file = |file: &Option<PathBuf>| {
        let read = file.as_deref().map(secret_file).transpose();
        read.map_err(|error| Failure::Usage(error.to_string()))
    };
    let given = Given {
        access_token: from_file(&arguments.access_token_file)?,
        app_secret: from_file(&arguments.app_secret_file)?,
        verify_token: from_file(&arguments.verify_token_file)?,
        phone_number_id: arguments.phone_number_id,
        business_account_id: arguments.business_account_id,
        site_name: arguments.site_name,
        time_zone: arguments.time_zone,
        mqtt_url: arguments.mqtt_url,
        phone: arguments.phone,
        webhook: arguments.webhook,
        template: arguments.template,
        unchecked: arguments.unchecked,
        api_url: arguments.api_url,
    };
    let client = Client::new(Deadlines::default()).map_err(Failure::Io)?;
    let mut dialogue = Dialogue::new(!arguments.no_input);
    let work = set_up(arguments.config, given, &mut dialogue, &client);
    runtime()?.block_on(work).map_err(|error| match error.downcast::<Wrong>() {
        Ok(wrong) => Failure::Usage(wrong.to_string()),
        Err(error) => error.downcast::<Problems>().map_or_else(Failure::Io, Failure::Config),
    })
}
