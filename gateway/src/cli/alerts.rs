//! Look at alerts, and decide about them. What is decided is written down for the daemon, which acts on it within a second;
//! without one it waits for the next start.

use std::time::Duration;

use anyhow::anyhow;
use jiff::tz::TimeZone;
use serde_json::{Value, json};

use super::run::runtime;
use super::{Failure, Place, say, say_json};
use crate::alert::engine::{AlertCommand, Person, StateKey};
use crate::alert::lifecycle::{Alert, AlertKey, Phase};
use crate::alert::notification::silence::Silence;
use crate::config::Config;
use crate::contact::severity::Severity;
use crate::ids::{AlertId, ContactId, RuleName};
use crate::started_by::StartedBy;
use crate::store::{self, AlertRow, AlertStory, Lock, Store};
use crate::task::orphans::unwatched;
use crate::time::{Clock, SystemClock, Timestamp, duration_for_people, parse_duration};

/// The daemon takes a note within a second; on a card that stalls it takes longer.
const PATIENCE: Duration = Duration::from_secs(5);
const LOOK_EVERY: Duration = Duration::from_millis(50);

#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Alerts, newest first; what is pending, too
    List {
        #[command(flatten)]
        place: Place,
        /// Only those that are firing, acknowledged or resolved; `open` for the first two
        #[arg(long, value_name = "STATE")]
        only: Option<String>,
        #[arg(long, default_value_t = 50)]
        limit: u32,
        #[arg(long)]
        json: bool,
    },
    /// One alert with all that was decided and sent
    Show(super::why::Arguments),
    /// Say that somebody takes care
    Ack(One),
    /// Say that it is over
    Resolve(One),
    /// Hear nothing for a while: of one alert, of a rule, of a value, of everything
    Silence(Quieter),
    /// Silences that hold
    Silences {
        #[command(flatten)]
        place: Place,
    },
    /// End a silence
    Expire {
        #[command(flatten)]
        place: Place,
        silence: u64,
    },
}

#[derive(Debug, clap::Args)]
struct One {
    #[command(flatten)]
    place: Place,
    id: i64,
    /// Who decides: a contact's id, or a name
    #[arg(long, default_value = "the operator")]
    by: String,
}

#[derive(Debug, clap::Args)]
struct Quieter {
    #[command(flatten)]
    place: Place,
    /// How long: 30m, 2h, 1d
    #[arg(long = "for", value_name = "DURATION")]
    time: String,
    /// Only this alert
    id: Option<i64>,
    /// Only this rule
    #[arg(long, conflicts_with = "id")]
    rule: Option<String>,
    /// Only where a level has this value: area=bar
    #[arg(long, value_name = "LEVEL=VALUE")]
    matcher: Vec<String>,
    /// Only for this contact
    #[arg(long)]
    contact: Option<String>,
    #[arg(long, default_value = "the operator")]
    by: String,
    /// Why
    #[arg(long, allow_hyphen_values = true)]
    comment: Option<String>,
}

pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    match &arguments.command {
        Command::List { place, only, limit, json } => list(place, only.as_deref(), *limit, *json),
        Command::Show(arguments) => super::why::run(arguments),
        Command::Ack(one) => act(one, |alert, by| AlertCommand::Acknowledge { alert, by }),
        Command::Resolve(one) => act(one, |alert, by| AlertCommand::Resolve { alert, by }),
        Command::Silence(quieter) => silence(quieter),
        Command::Silences { place } => silences(place),
        Command::Expire { place, silence } => {
            let (_, store) = place.open()?;
            let kept = store.kept().map_err(read)?;
            if !kept.iter().any(|kept| kept.slot == StateKey::Silence(*silence)) {
                let what =
                    format!("there is no silence {silence}; `bellwire alerts silences` shows their numbers");
                return Err(Failure::Usage(what));
            }
            write(&store, &AlertCommand::Expire { silence: *silence })?;
            say(&format!("silence {silence} ends"));
            Ok(())
        }
    }
}

fn read(error: store::Error) -> Failure {
    Failure::Io(error.into())
}

fn write(store: &Store, note: &AlertCommand) -> Result<(), Failure> {
    store.transaction(|store| store.note(note, SystemClock.now())).map_err(read)
}

pub fn no_such_alert(id: i64) -> Failure {
    Failure::Usage(format!("there is no alert {id} with a life; `bellwire alerts list` shows their numbers"))
}

fn story(store: &Store, id: i64) -> Result<AlertStory, Failure> {
    let story = store.alert_story(AlertId(id)).map_err(read)?;
    story.filter(|story| story.once.is_none()).ok_or_else(|| no_such_alert(id))
}

/// Writes it down and waits for what the daemon makes of it: that alone is told.
fn act(one: &One, note: impl Fn(AlertKey, Person) -> AlertCommand) -> Result<(), Failure> {
    let (config, store) = one.place.open()?;
    let row = story(&store, one.id)?.row;
    if row.state == "resolved" {
        let reason = row.reason.unwrap_or_default();
        return Err(Failure::Usage(format!("alert {} is over already: {reason}", one.id)));
    }
    let known = store.newest_record(AlertId(one.id)).map_err(read)?;
    let note = note(row.alert, person(&config, &one.by));
    write(&store, &note)?;
    if Lock::is_taken(&config.site.state_directory) == Some(false) {
        say(&without_daemon(&config, &store, one.id)?);
        return Ok(());
    }
    let (runtime, began) = (runtime()?, SystemClock.both().steady);
    while store.has_note(&note).map_err(read)? {
        if SystemClock.both().steady.saturating_sub(began) > PATIENCE {
            let what = "it is written down, but the daemon has not taken it within 5 s; bellwire doctor says what keeps it";
            return Err(Failure::Io(anyhow!("alert {}: {what}", one.id)));
        }
        runtime.block_on(async { tokio::time::sleep(LOOK_EVERY).await }); // made inside, where there is a timer
    }
    let after = story(&store, one.id)?;
    if (&after.row.state, &after.row.reason) == (&row.state, &row.reason) {
        let reason = after.row.reason.unwrap_or_else(|| "it does not fire".to_owned());
        return Err(Failure::Usage(format!("alert {}: nothing has changed, {reason}", one.id)));
    }
    say(&format!("alert {} is {}: {}", one.id, after.row.state, after.row.reason.unwrap_or_default()));
    for record in store.records_after(AlertId(one.id), known).map_err(read)? {
        say(&format!("  {record}"));
    }
    Ok(())
}

/// What becomes of what was written down while nobody runs.
fn without_daemon(config: &Config, store: &Store, id: i64) -> Result<String, Failure> {
    let running = store.running(SystemClock.now()).map_err(read)?;
    let one = running.alerts.iter().find(|one| one.id == AlertId(id));
    Ok(match one.and_then(|one| unwatched(one, config)) {
        Some(why) => {
            format!("alert {id}: bellwire does not run; at its next start the alert ends by itself: {why}")
        }
        None => format!(
            "alert {id}: it is written down, and nobody hears it before bellwire runs: {}",
            StartedBy::here().start()
        ),
    })
}

fn person(config: &Config, by: &str) -> Person {
    let contact = config.people.contacts.get(&ContactId(by.to_owned()));
    Person {
        name: contact.map_or_else(|| by.to_owned(), |contact| contact.name.clone()),
        contact: contact.map(|contact| contact.id.clone()),
    }
}

fn silence(quieter: &Quieter) -> Result<(), Failure> {
    let (config, store) = quieter.place.open()?;
    let time = parse_duration(&quieter.time).ok_or_else(|| {
        Failure::Usage(format!("`{}` is not a duration; write it as 30m, 2h or 1d", quieter.time))
    })?;
    let alert = quieter.id.map(|id| story(&store, id)).transpose()?.map(|story| story.row.alert);
    if let Some(rule) =
        quieter.rule.iter().find(|rule| !config.rules.iter().any(|known| known.name.0 == **rule))
    {
        return Err(Failure::Usage(format!("there is no rule `{rule}`")));
    }
    let contact = quieter.contact.clone().map(ContactId);
    if let Some(contact) = contact.iter().find(|id| !config.people.contacts.contains_key(id)) {
        return Err(Failure::Usage(format!("there is no contact `{contact}`")));
    }
    let pair = |text: &String| {
        let (name, value) = text.split_once('=')?;
        Some((name.to_owned(), value.to_owned()))
    };
    let wrong = |text: &String| Failure::Usage(format!("`{text}` has no `=`; write it as area=bar"));
    let matchers =
        quieter.matcher.iter().map(|text| pair(text).ok_or_else(|| wrong(text))).collect::<Result<_, _>>()?;
    let until = SystemClock.now() + time;
    let (rule, key) = match alert {
        Some(alert) => (Some(alert.rule), Some(alert.key)),
        None => (quieter.rule.clone().map(RuleName), None),
    };
    let (by, comment) = (person(&config, &quieter.by).name, quieter.comment.clone());
    let all = Silence::over_everything(&by, until);
    write(&store, &AlertCommand::Silence(Silence { rule, key, matchers, contact, comment, ..all }))?;
    say(&format!("silent until {}", until.for_tables(&config.site.time_zone)));
    Ok(())
}

fn silences(place: &Place) -> Result<(), Failure> {
    let (config, store) = place.open()?;
    let mut shown = 0;
    for kept in store.kept().map_err(read)? {
        let StateKey::Silence(id) = kept.slot else { continue };
        let Ok(silence) = serde_json::from_str::<Silence>(&kept.state) else { continue };
        let rule = silence.rule.map_or_else(|| "every rule".to_owned(), |rule| rule.0);
        let key = silence.key.map(|key| format!(" {key}")).unwrap_or_default();
        let levels: String =
            silence.matchers.iter().map(|(name, value)| format!(" {name}={value}")).collect();
        let whom = silence.contact.map_or_else(|| "everybody".to_owned(), |contact| contact.0);
        let until = silence.until.for_tables(&config.site.time_zone);
        let through = silence.break_through.map(Severity::of_rank);
        let through =
            through.map(|through| format!(", {} comes through", through.as_str())).unwrap_or_default();
        let comment = silence.comment.map(|comment| format!(": {comment}")).unwrap_or_default();
        say(&format!(
            "{id:>4}  until {until}  {rule}{key}{levels} for {whom}, by {}{through}{comment}",
            silence.by
        ));
        shown += 1;
    }
    if shown == 0 {
        say("nothing is silenced");
    }
    Ok(())
}

fn list(place: &Place, only: Option<&str>, limit: u32, json: bool) -> Result<(), Failure> {
    let words = ["open", "firing", "acknowledged", "resolved", "pending"];
    if let Some(word) = only.filter(|word| !words.contains(word)) {
        return Err(Failure::Usage(format!("`{word}` is not a state; there are {}", words.join(", "))));
    }
    let (config, store) = place.open()?;
    let (rows, pending) = (store.alerts(only, limit).map_err(read)?, pending(&store)?);
    let pending: Vec<_> = pending.into_iter().filter(|_| only.is_none_or(|only| only == "pending")).collect();
    if json {
        let waiting = |(ident, since, text): &(AlertKey, Timestamp, String)| json!({ "alert": ident.to_string(), "state": "pending", "since": since.rfc3339(), "text": text });
        let rows = rows.iter().map(row_json).chain(pending.iter().map(waiting));
        say_json(&Value::Array(rows.collect()));
        return Ok(());
    }
    let zone = &config.site.time_zone;
    for (ident, since, _) in &pending {
        say(&format!("     -  {}  pending       {ident}", since.for_tables(zone)));
    }
    for row in &rows {
        say(&line(row, zone));
    }
    if rows.is_empty() && pending.is_empty() {
        say("no alerts; those of rules without a life (docs/alerts.md) are in bellwire outbox list");
    }
    Ok(())
}

fn pending(store: &Store) -> Result<Vec<(AlertKey, Timestamp, String)>, Failure> {
    let mut found = Vec::new();
    for kept in store.kept().map_err(read)? {
        let StateKey::Alert(ident) = kept.slot else { continue };
        let Ok(alert) = serde_json::from_str::<Alert>(&kept.state) else { continue };
        if let Phase::Pending { since, .. } = alert.phase {
            found.push((ident, since, alert.wording.text));
        }
    }
    Ok(found)
}

pub fn line(row: &AlertRow, zone: &TimeZone) -> String {
    let reason = row.reason.as_ref().map(|reason| format!("  ({reason})")).unwrap_or_default();
    format!(
        "{:>6}  {}  {:<12}  {:<8}  {}{reason}",
        row.id,
        Timestamp(row.raised_at).for_tables(zone),
        row.state,
        Severity::of_rank(row.severity).as_str(),
        row.alert
    )
}

pub fn row_json(row: &AlertRow) -> Value {
    let lasted = (row.state == "resolved")
        .then(|| duration_for_people(Timestamp(row.raised_at).until(Timestamp(row.changed_at))));
    json!({
        "id": row.id, "rule": row.alert.rule, "key": row.alert.key, "severity": Severity::of_rank(row.severity).as_str(),
        "state": row.state, "text": row.text, "raised_at": Timestamp(row.raised_at).rfc3339(),
        "changed_at": Timestamp(row.changed_at).rfc3339(), "reason": row.reason, "lasted": lasted,
    })
}
