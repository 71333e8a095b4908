//! Look at the outbox, and decide about what is in it.

use jiff::tz::TimeZone;
use serde_json::{Value, json};

use super::{Failure, Place, say, say_json};
use crate::config::Config;
use crate::ids::MessageId;
use crate::outbox::message::Content;
use crate::outbox::message_state::State;
use crate::store::{self, ActError, Lock, LockError, MessageFilter, MessageRow, MessageStory, Store};
use crate::task::orphans;
use crate::time::{Clock, SystemClock, Timestamp};

#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Messages, newest first
    List {
        #[command(flatten)]
        place: Place,
        /// Only those in this state, for example held
        #[arg(long, value_name = "STATE")]
        only: Option<String>,
        /// Only those to this contact
        #[arg(long)]
        contact: Option<String>,
        #[arg(long, default_value_t = 50)]
        limit: u32,
        #[arg(long)]
        json: bool,
    },
    /// One message with all that happened to it
    Show {
        #[command(flatten)]
        place: Place,
        id: i64,
        #[arg(long)]
        json: bool,
    },
    /// Send it again
    Retry(One),
    /// Keep it back
    Hold(One),
    /// Give it up
    Cancel(One),
}

#[derive(Debug, clap::Args)]
struct One {
    #[command(flatten)]
    place: Place,
    id: i64,
}

type Act = fn(&Store, &Config, MessageId, Timestamp) -> Result<(), ActError>;

pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    match &arguments.command {
        Command::List { place, only, contact, limit, json } => {
            list(place, only.as_deref(), contact.clone(), *limit, *json)
        }
        Command::Show { place, id, json } => show(place, MessageId(*id), *json),
        Command::Retry(one) => retry(one),
        Command::Hold(one) => act(one, |store, _, id, now| store.hold(id, now), "is held").map(drop),
        Command::Cancel(one) => act(one, |store, _, id, now| store.cancel(id, now), "is given up").map(drop),
    }
}

/// With the number over which it leaves, which may be another one by now, and whether anybody sends it.
fn retry(one: &One) -> Result<(), Failure> {
    let (config, store) = act(one, orphans::retry, "will be sent again")?;
    let over = store.conversation_of(MessageId(one.id)).map_err(|error| Failure::Io(error.into()))?;
    let over = over.map(|to| format!("it leaves over {}; ", to.connection)).unwrap_or_default();
    let when = match Lock::take(&config.site.state_directory) {
        Err(LockError::Taken(_)) => "the daemon sends it now",
        Ok(_) | Err(LockError::File(..)) => "no daemon is running here: it goes out when one starts",
    };
    say(&format!("{over}{when}"));
    Ok(())
}

fn act(one: &One, act: Act, done: &str) -> Result<(Config, Store), Failure> {
    let (mut config, store) = one.place.open()?;
    let guests = store.guests().map_err(|error| Failure::Io(error.into()))?;
    config.people = config.people.with(&guests);
    // The read and the write of one decision belong together: the daemon may be writing too.
    let mut refused = None;
    store
        .transaction(|store| match act(store, &config, MessageId(one.id), SystemClock.now()) {
            Ok(()) => Ok(()),
            Err(ActError::Sql(error)) => Err(error),
            Err(
                other @ (ActError::NoSuchMessage(_)
                | ActError::NotPossible(..)
                | ActError::PartOfDigest(..)
                | ActError::PersonGone(..)),
            ) => {
                refused = Some(other);
                Ok(())
            }
        })
        .map_err(|error| Failure::Io(error.into()))?;
    match refused {
        Some(error) => Err(Failure::Usage(error.to_string())),
        None => {
            say(&format!("message {} {done}", one.id));
            Ok((config, store))
        }
    }
}

fn list(
    place: &Place,
    state: Option<&str>,
    contact: Option<String>,
    limit: u32,
    json: bool,
) -> Result<(), Failure> {
    let unknown = |word: &str| {
        Failure::Usage(format!("`{word}` is not a state; there are {}", State::WORDS.join(", ")))
    };
    let state = state.map(|word| State::parse(word).ok_or_else(|| unknown(word))).transpose()?;
    let (config, store) = place.open()?;
    let read = |error: store::Error| Failure::Io(error.into());
    let rows = store.messages(&MessageFilter { state, contact, limit }).map_err(read)?;
    if json {
        say_json(&Value::Array(rows.iter().map(row_json).collect()));
        return Ok(());
    }
    for row in &rows {
        let doubtful = if row.possible_duplicate { " (may have come twice)" } else { "" };
        say(&format!(
            "{:>6}  {}  {:<9}  {:<12}  {}{doubtful}",
            row.id,
            Timestamp(row.created_at).for_tables(&config.site.time_zone),
            row.state,
            row.contact,
            text(row).lines().next().unwrap_or_default()
        ));
    }
    let counts = store.counts().map_err(read)?;
    let counts: Vec<String> = counts.iter().map(|(state, count)| format!("{count} {state}")).collect();
    say(&if counts.is_empty() { "the outbox is empty".to_owned() } else { counts.join(", ") });
    Ok(())
}

pub fn show(place: &Place, id: MessageId, json: bool) -> Result<(), Failure> {
    let (config, store) = place.open()?;
    let story = store.story(id).map_err(|error| Failure::Io(error.into()))?;
    let Some(story) = story else { return Err(Failure::Usage(ActError::NoSuchMessage(id).to_string())) };
    if json {
        say_json(&story_json(&story));
    } else {
        say(&story_text(&story, &config.site.time_zone));
    }
    Ok(())
}

fn story_text(story: &MessageStory, zone: &TimeZone) -> String {
    let row = &story.message;
    let at = |millis: i64| Timestamp(millis).for_tables(zone);
    let mut lines = vec![
        format!("message {} to {} over {}", row.id, row.contact, row.connection),
        format!("{}: {}", row.state, row.reason),
    ];
    if row.possible_duplicate {
        lines.push("it may have come twice: a request was under way when its answer was lost".to_owned());
    }
    lines.extend(row.flaw.iter().map(|flaw| format!("but {flaw}")));
    if let (Some(rule), Some(topic)) = (&row.rule, &row.topic) {
        lines.push(format!("because rule {rule} saw an event on {topic} at {}", at(row.created_at)));
    }
    lines.extend(text(row).lines().map(|line| format!("  | {line}")));
    for attempt in &story.attempts {
        let outcome = match &attempt.outcome {
            Some(outcome) => outcome.clone(),
            None => "the answer never came".to_owned(),
        };
        lines.push(format!("attempt {} at {}: {outcome}", attempt.number, at(attempt.started_at)));
    }
    for receipt in &story.receipts {
        let reason = receipt.reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
        lines.push(format!("{} at {}{reason}", receipt.status, at(receipt.at)));
    }
    lines.extend(story.wamids.iter().map(|wamid| format!("WhatsApp's id: {wamid}")));
    lines.join("\n")
}

fn story_json(story: &MessageStory) -> Value {
    let mut json = row_json(&story.message);
    json["wamids"] = json!(story.wamids);
    let when = |millis: i64| Timestamp(millis).rfc3339();
    json["attempts"] = story
        .attempts
        .iter()
        .map(|attempt| {
            json!({ "number": attempt.number, "started_at": when(attempt.started_at),
                    "ended_at": attempt.ended_at.map(when), "outcome": attempt.outcome,
                    "http_status": attempt.http_status, "code": attempt.code, "fbtrace_id": attempt.fbtrace_id })
        })
        .collect();
    let receipt = |receipt: &crate::store::ReceiptRow| json!({ "status": receipt.status, "at": when(receipt.at), "reason": receipt.reason });
    json["receipts"] = story.receipts.iter().map(receipt).collect();
    json
}

fn row_json(row: &MessageRow) -> Value {
    let when = |millis: i64| Timestamp(millis).rfc3339();
    json!({
        "id": row.id, "contact": row.contact, "connection": row.connection, "rule": row.rule, "topic": row.topic,
        "text": text(row), "state": row.state, "reason": row.reason, "attempts": row.attempts,
        "possible_duplicate": row.possible_duplicate, "code": row.code, "fbtrace_id": row.fbtrace_id, "flaw": row.flaw,
        "created_at": when(row.created_at), "changed_at": when(row.changed_at), "expires_at": when(row.expires_at),
    })
}

fn text(row: &MessageRow) -> String {
    let content: Option<Content> = serde_json::from_str(&row.content).ok();
    content.map_or_else(|| row.content.clone(), |content| content.text)
}
