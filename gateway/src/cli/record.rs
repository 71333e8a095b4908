//! What the broker carries, written down as `bellwire try --replay` reads it. Beside a running daemon, which notices nothing.

use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use jiff::tz::TimeZone;
use serde_json::{Map, Value, json};
use tokio::sync::{mpsc, watch};

use super::run::{on_signal, runtime};
use super::{Failure, Place, counted};
use crate::alert::route;
use crate::config::Config;
use crate::event::cloudevents::Name;
use crate::event::topic::TopicPattern;
use crate::hex::hex;
use crate::mqtt::{ObservedMessage, Settings, record};
use crate::terminal;
use crate::time::{Clock, SystemClock, Timestamp, duration_for_people, parse_duration};

/// Events between the broker and the file.
const QUEUE: usize = 256;
/// Replayed in seconds, and about 20 MB: more is rarely looked at, and a forgotten recording must not fill the disk.
const COUNT_MAX: u64 = 100_000;

#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    place: Place,
    /// Record this topic, with wildcards; may be given several times; without it the topics of all rules
    #[arg(long, value_name = "FILTER", value_parser = filter, allow_hyphen_values = true)]
    topic: Vec<String>,
    /// Where to write; without it, standard output
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    /// End after this time, such as 10m
    #[arg(long = "for", value_name = "TIME", value_parser = duration)]
    time: Option<Duration>,
    /// End after so many events
    #[arg(long, default_value_t = COUNT_MAX)]
    count: u64,
}

fn duration(text: &str) -> Result<Duration, String> {
    parse_duration(text).ok_or_else(|| "write a number and a unit, such as 90s, 10m, 2h".to_owned())
}

fn filter(text: &str) -> Result<String, String> {
    TopicPattern::parse(text).map(|pattern| pattern.filter()).map_err(|error| error.to_string())
}

/// What is written, and how much was.
struct Tape<'a> {
    to: Box<dyn Write>,
    zone: &'a TimeZone,
    last: Timestamp,
    events: u64,
}

pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    let config = arguments.place.load(true)?;
    let filters = match arguments.topic.as_slice() {
        [] => route::filters(&config.rules),
        topics => topics.to_vec(),
    };
    if filters.is_empty() {
        let what = "no rule listens to the broker; say which topics with --topic";
        return Err(Failure::Usage(what.into()));
    }
    let count = filters.len();
    let settings = Settings::from_config(&config.mqtt, filters).map_err(Failure::Io)?;
    let to: Box<dyn Write> = match &arguments.output {
        Some(file) => Box::new(create(file)?),
        None => Box::new(std::io::stdout()),
    };
    let mut tape = Tape { to, zone: &config.site.time_zone, last: Timestamp(0), events: 0 };
    let began = SystemClock.both().steady;
    runtime()?.block_on(async {
        let stop = on_signal()?;
        let (sender, heard) = mpsc::channel(QUEUE);
        let listener = tokio::spawn(record(settings, sender));
        let end = tokio::time::timeout(
            arguments.time.unwrap_or(Duration::MAX),
            listen(&config, heard, &mut tape, arguments.count, count, stop),
        );
        let outcome = end.await.unwrap_or(Ok(()));
        listener.abort();
        outcome
    })?;
    let took = duration_for_people(SystemClock.both().steady.saturating_sub(began));
    let place = arguments.output.as_ref().map(|file| {
        format!(" in {}; play them with: bellwire try --replay {}", file.display(), file.display())
    });
    note(&format!(
        "{} within {took}{}",
        counted(usize::try_from(tape.events).unwrap_or(usize::MAX), "event"),
        place.unwrap_or_default()
    ));
    Ok(())
}

/// Events may tell who is where: for the owner's eyes. What was recorded before is not lost to a second recording.
fn create(file: &Path) -> Result<std::fs::File, Failure> {
    let opened = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(file);
    opened.map_err(|error| {
        Failure::Usage(if error.kind() == std::io::ErrorKind::AlreadyExists {
            format!("{} exists; choose another name, or remove it", file.display())
        } else {
            format!("{} cannot be written: {error}", file.display())
        })
    })
}

/// Until enough was heard, or a signal.
async fn listen(
    config: &Config,
    mut heard: mpsc::Receiver<ObservedMessage>,
    tape: &mut Tape<'_>,
    limit: u64,
    filters: usize,
    mut stop: watch::Receiver<bool>,
) -> Result<(), Failure> {
    let (mut was_connected, mut refused) = (false, 0);
    let place = format!("{}:{}", config.mqtt.host, config.mqtt.port);
    while tape.events < limit {
        let heard = tokio::select! {
            heard = heard.recv() => heard,
            _ = stop.wait_for(|stop| *stop) => return Ok(()),
        };
        match heard {
            None => return Ok(()),
            Some(ObservedMessage::Listening) => {
                (was_connected, refused) = (true, 0);
                note(&format!("listening at {place}; ctrl-C ends it"));
            }
            Some(ObservedMessage::Refused { filter, reason }) => {
                refused += 1;
                note(&format!("the broker does not let us listen to {filter}: {reason}"));
                if refused == filters {
                    return Err(Failure::Io(anyhow::anyhow!(
                        "nothing can be heard; allow these topics to the user of [mqtt] in the broker's access list"
                    )));
                }
            }
            Some(ObservedMessage::Lost(reason)) if was_connected => {
                note(&format!("the connection has ended ({reason}); what is published meanwhile is missing"));
            }
            Some(ObservedMessage::Lost(reason)) => {
                return Err(Failure::Io(anyhow::anyhow!(
                    "{place}: {reason}; `bellwire doctor` looks for what is wrong"
                )));
            }
            Some(ObservedMessage::Event { topic, payload, retained, id, content_type }) => {
                tape.write(&topic, &payload, retained, id, content_type)?;
            }
        }
    }
    Ok(())
}

impl Tape<'_> {
    /// One event, one line, at once: whatever ends the recording, what was heard before is there.
    fn write(
        &mut self,
        topic: &str,
        payload: &Bytes,
        retained: bool,
        id: Option<Name>,
        content_type: Option<String>,
    ) -> Result<(), Failure> {
        self.last = SystemClock.now().max(self.last); // a replay wants them in order, even if the clock was set back
        let mut line = Map::new();
        line.insert("at".into(), json!(self.last.for_records(self.zone)));
        line.insert("topic".into(), json!(topic));
        match std::str::from_utf8(payload) {
            Ok(text) => drop(line.insert("payload".into(), readable(text))),
            Err(_) => drop(line.insert("payload_hex".into(), json!(hex(payload)))),
        }
        line.extend(retained.then(|| ("retained".to_owned(), json!(true))));
        if let Some(Name { source, id }) = id {
            line.insert("source".into(), json!(source));
            line.insert("id".into(), json!(id));
        }
        line.extend(content_type.map(|kind| ("content_type".to_owned(), json!(kind))));
        let line = Value::Object(line).to_string();
        let written = writeln!(self.to, "{}", terminal::json(&line)).and_then(|()| self.to.flush());
        written.map_err(|error| Failure::Io(anyhow::anyhow!("the recording cannot be written: {error}")))?;
        self.events += 1;
        Ok(())
    }
}

/// An object is easier to read and to change as it is; anything else stays the text that it was, `8.20` too.
fn readable(text: &str) -> Value {
    match serde_json::from_str::<Value>(text) {
        Ok(value) if value.is_object() && value.to_string().len() <= text.len() => value,
        Ok(_) | Err(_) => json!(text),
    }
}

/// To whoever looks on: standard output may be the recording.
fn note(text: &str) {
    drop(writeln!(std::io::stderr(), "{}", terminal::plain(text)));
}
