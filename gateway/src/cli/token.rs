//! Tokens of programs that use the API, and browsers that are logged in.

use serde_json::Value;

use super::{Failure, Place, say, say_json};
use crate::app;
use crate::config::Config;
use crate::http::{Actor, ApiToken, Scope, digest, fresh};
use crate::store;
use crate::time::{Clock, SystemClock, Timestamp};

#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// All tokens: what each may, when it was used last, when it ends
    List(Listing),
    /// Make a token; it is shown this once
    New(New),
    /// Take a token back: it is refused from now on
    Revoke {
        #[command(flatten)]
        place: Place,
        id: i64,
    },
}

#[derive(Debug, clap::Args)]
struct Listing {
    #[command(flatten)]
    place: Place,
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
struct New {
    #[command(flatten)]
    place: Place,
    /// The program that gets it
    name: String,
    /// What it may: read, act, events or manage; may be given several times
    #[arg(long, required = true, value_name = "SCOPE")]
    scope: Vec<String>,
    /// Take events on these topics alone, such as site/+/door
    #[arg(long, default_value = "", hide_default_value = true, value_name = "PATTERN")]
    topic: String,
    /// When it ends: 30d, 365d, never
    #[arg(long, default_value = ApiToken::LASTS, value_name = "DURATION")]
    expires: String,
}

#[derive(Debug, clap::Args)]
pub struct Sessions {
    #[command(subcommand)]
    command: SessionCommand,
}

#[derive(Debug, clap::Subcommand)]
enum SessionCommand {
    /// Browsers that are logged in
    List(Listing),
    /// Log a browser out, or all of them
    End {
        #[command(flatten)]
        place: Place,
        /// As the list names it
        #[arg(required_unless_present = "all")]
        id: Option<String>,
        #[arg(long, conflicts_with = "id")]
        all: bool,
    },
}

pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    match &arguments.command {
        Command::List(listing) => list(listing),
        Command::New(new) => make(new),
        Command::Revoke { place, id } => {
            let (_, store) = place.open()?;
            let now = SystemClock.now();
            let revoked = store.transaction(|store| app::revoke_token(store, *id, &operator(), now));
            match revoked.map_err(read)? {
                true => say(&format!("token {id} is revoked")),
                false => {
                    let how =
                        format!("there is no token {id} that could be revoked; see bellwire token list");
                    return Err(Failure::Usage(how));
                }
            }
            Ok(())
        }
    }
}

pub fn run_sessions(arguments: &Sessions) -> Result<(), Failure> {
    match &arguments.command {
        SessionCommand::List(listing) => list_sessions(listing),
        SessionCommand::End { place, id, all } => {
            let (_, store) = place.open()?;
            let now = SystemClock.now();
            if *all {
                let ended =
                    store.transaction(|store| app::end_sessions(store, &operator(), now)).map_err(read)?;
                say(&format!("{} ended", super::counted(ended, "session")));
                return Ok(());
            }
            let id = id.as_deref().unwrap_or_default();
            match store.transaction(|store| app::end_session(store, id, &operator(), now)).map_err(read)? {
                true => say(&format!("session {id} is ended")),
                false => {
                    let how = format!("there is no session {id}; see bellwire session list");
                    return Err(Failure::Usage(how));
                }
            }
            Ok(())
        }
    }
}

fn read(error: store::Error) -> Failure {
    Failure::Io(error.into())
}

/// For the list of changes.
fn operator() -> Actor {
    Actor { name: "the operator".into(), address: "console".into() }
}

fn make(new: &New) -> Result<(), Failure> {
    let scope = |text: &String| {
        let how = format!("there is no scope `{text}`; there are read, act, events and manage");
        Scope::parse(text).ok_or(Failure::Usage(how))
    };
    let scopes = new.scope.iter().map(scope).collect::<Result<Vec<_>, _>>()?;
    let now = SystemClock.now();
    let token = ApiToken::new(&new.name, scopes, &new.topic, &new.expires, now);
    let token = token.map_err(|how| Failure::Usage(how.to_owned()))?;
    let (_, store) = new.place.open()?;
    let Some(secret) = fresh("bw_") else {
        return Err(Failure::Usage("the machine gives no random bytes; restart it".into()));
    };
    let hash = digest(&secret);
    store.transaction(|store| app::add_token(store, token, &hash, &operator(), now)).map_err(read)?;
    say(&secret);
    Ok(())
}

fn list(listing: &Listing) -> Result<(), Failure> {
    let (config, store) = listing.place.open()?;
    let now = SystemClock.now();
    let tokens = store.tokens().map_err(read)?.0;
    if listing.json {
        say_json(&with_times(tokens));
        return Ok(());
    }
    if tokens.is_empty() {
        say("there are no tokens; bellwire token new NAME --scope read makes one");
    }
    for token in &tokens {
        let text = |name: &str| token[name].as_str().unwrap_or_default();
        let at = |name: &str| token[name].as_i64().map(Timestamp);
        let scopes: Vec<&str> =
            token["scopes"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        let on = if text("topic").is_empty() { String::new() } else { format!(" on {}", text("topic")) };
        let end = match (at("revoked_at"), at("expires_at")) {
            (Some(at), _) => format!("revoked {}", shown(&config, at)),
            (None, Some(at)) if at <= now => format!("ended {}", shown(&config, at)),
            (None, Some(at)) => format!("ends {}", shown(&config, at)),
            (None, None) => "never ends".to_owned(),
        };
        let used = at("used_at")
            .map_or_else(|| "never used".to_owned(), |at| format!("used {}", shown(&config, at)));
        say(&format!("{:>4}  {:<20}  {}{on}  {used}  {end}", token["id"], text("name"), scopes.join(",")));
    }
    Ok(())
}

fn list_sessions(listing: &Listing) -> Result<(), Failure> {
    let (config, store) = listing.place.open()?;
    let sessions = store.sessions(SystemClock.now()).map_err(read)?.0;
    if listing.json {
        say_json(&with_times(sessions));
        return Ok(());
    }
    if sessions.is_empty() {
        say("nobody is logged in");
    }
    for session in &sessions {
        let text = |name: &str| session[name].as_str().unwrap_or_default();
        let at =
            |name: &str| session[name].as_i64().map_or_else(String::new, |at| shown(&config, Timestamp(at)));
        say(&format!(
            "{}  {:<15}  logged in {}  seen {}  ends {}  {}",
            text("id"),
            text("address"),
            at("created_at"),
            at("used_at"),
            at("expires_at"),
            text("agent")
        ));
    }
    Ok(())
}

fn shown(config: &Config, at: Timestamp) -> String {
    at.for_tables(&config.site.time_zone)
}

fn with_times(mut rows: Vec<Value>) -> Value {
    for row in rows.iter_mut().filter_map(Value::as_object_mut) {
        for (_, value) in row.iter_mut().filter(|(name, _)| name.ends_with("_at")) {
            if let Some(at) = value.as_i64() {
                *value = Timestamp(at).rfc3339().into();
            }
        }
    }
    rows.into()
}
