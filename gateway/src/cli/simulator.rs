//! The simulated Cloud API alone, for tests of this and other programs.

use std::net::SocketAddr;

use cloud_api_simulator::{Options, Settings, serve_with};
use secrecy::SecretString;
use tokio::net::TcpListener;

use super::run::{on_signal, runtime};
use super::{Failure, say};

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Where it listens; port 0 takes a free one
    #[arg(long, default_value = "127.0.0.1:8090")]
    listen: SocketAddr,
    /// Where its webhooks go, for example http://127.0.0.1:8080/webhook/whatsapp
    #[arg(long)]
    webhook: Option<String>,
    /// What webhooks are signed with
    #[arg(long)]
    app_secret: String,
    /// What the webhook's owner expects in the handshake
    #[arg(long)]
    verify_token: String,
    /// The only bearer token that is taken; without it any is
    #[arg(long)]
    access_token: Option<String>,
    /// The numbers that exist; without it any does
    #[arg(long)]
    phone_number_id: Vec<String>,
    /// The business account that exists; without it any id names the same one
    #[arg(long)]
    business_account_id: Option<String>,
    /// Refuse free-form messages outside the 24 h window (131047) from the start
    #[arg(long)]
    enforce_window: bool,
    /// Refuse more than 1 message in 6 s to a person, after a burst of 45 (131056), from the start
    #[arg(long)]
    enforce_pair_limit: bool,
}

pub fn run(arguments: Arguments) -> Result<(), Failure> {
    let _flushing = crate::log::start();
    let options = Options {
        webhook: arguments.webhook,
        app_secret: arguments.app_secret.into(),
        verify_token: arguments.verify_token.into(),
        access_token: arguments.access_token.map(SecretString::from),
        phone_number_ids: arguments.phone_number_id,
    };
    let settings = Settings {
        enforce_window: arguments.enforce_window,
        enforce_pair_limit: arguments.enforce_pair_limit,
        business_account_id: arguments.business_account_id,
    };
    runtime()?.block_on(async {
        let listener =
            TcpListener::bind(arguments.listen).await.map_err(|error| Failure::Io(error.into()))?;
        let address = listener.local_addr().map_err(|error| Failure::Io(error.into()))?;
        say(&format!(
            "the simulated Cloud API listens on http://{address}; its phone: http://{address}/_simulator/"
        ));
        let mut stop = on_signal()?;
        let stopped = async move { drop(stop.wait_for(|stop| *stop).await) };
        serve_with(options, settings, listener, stopped).await.map_err(|error| Failure::Io(error.into()))
    })
}
