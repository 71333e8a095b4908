//! `bellwire-hub`: run, look after it, and say who may come.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, bail};
use bellwire::time::{Clock, SystemClock, Timestamp};
use clap::{CommandFactory, Parser, Subcommand};

use crate::audit::{self, Entry, Head, Note, verify, who};
use crate::engine::{self, Appended, Engine, JetStream, Log, Table, rows};
use crate::incoming::{give_to, split};
use crate::settings::Settings;
use crate::sites::{self, People, Quota, Seen, Site, site_name};
use crate::{doctor, run};

/// The log is read from any node; one that is behind has all of it by then.
const REPLICAS: Duration = Duration::from_secs(2);

#[derive(Debug, Parser)]
#[command(name = "bellwire-hub", version, about = "One WhatsApp number for many Bellwire sites")]
pub struct Arguments {
    /// The settings
    #[arg(long, global = true, default_value = "/etc/bellwire-hub/hub.toml")]
    config: PathBuf,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve until SIGTERM
    Run,
    /// Look whether the engine keeps what it acknowledges
    Doctor {
        /// Look only whether the hub on this machine takes requests
        #[arg(long)]
        daemon: bool,
    },
    /// Measure what the engine's acknowledgement costs; for some seconds its disks have more to do
    Bench,
    /// Who may send and receive
    #[command(subcommand)]
    Sites(SitesCommand),
    /// What is for no site, or for more than one
    #[command(subcommand)]
    Unrouted(UnroutedCommand),
    /// Who did what: sites, tokens and limits, and each message with Meta's answer
    Audit {
        /// Only of this site
        #[arg(long)]
        site: Option<String>,
        /// Whether an entry was changed or removed; lists none
        #[arg(long)]
        verify: bool,
    },
    /// The manual page
    Man {
        /// Write the pages of all commands into this directory, as packages need them
        #[arg(long)]
        directory: Option<PathBuf>,
    },
}

#[derive(Debug, Subcommand)]
enum SitesCommand {
    /// All sites, and when each asked last
    List,
    /// One site
    Show { name: String },
    /// A new site, and the code with which it gets its token
    Add {
        name: String,
        /// Over which number, by phone_number_id; may be repeated
        #[arg(long = "number", required = true)]
        numbers: Vec<String>,
        /// To whom it may write: a phone number, a user id, a group; may be repeated. Without it: everybody
        #[arg(long = "person")]
        people: Vec<String>,
    },
    /// Another code for a site: its first token stays valid until there is a third, or `revoke --older`
    Code { name: String },
    /// To whom it may write from now on; `all` for everybody
    Claim {
        name: String,
        #[arg(required = true)]
        people: Vec<String>,
    },
    /// How many messages it may send from now on, over all hubs; without a number: as many as leave
    Limit {
        name: String,
        #[arg(long)]
        minute: Option<u32>,
        /// From midnight to midnight, UTC
        #[arg(long)]
        day: Option<u32>,
    },
    /// Its tokens are worth nothing within a second
    Revoke {
        name: String,
        /// All but the newest
        #[arg(long)]
        older: bool,
    },
}

#[derive(Debug, Subcommand)]
enum UnroutedCommand {
    /// What waits, with its number
    List,
    /// Give one to a site
    Give { number: u64, site: String },
}

pub async fn main(arguments: Arguments) -> anyhow::Result<()> {
    let settings = || Settings::read(&arguments.config);
    match arguments.command {
        Command::Run => run::run(settings()?).await,
        Command::Doctor { daemon: true } => doctor::examine_daemon(&settings()?).await,
        Command::Doctor { daemon: false } => {
            let wrong = doctor::examine(&settings()?).await;
            if wrong.is_empty() {
                return say("the engine keeps what it acknowledges");
            }
            bail!("{}", wrong.join("\n"));
        }
        Command::Bench => bench(&settings()?).await,
        Command::Sites(command) => of_sites(&settings()?, command).await,
        Command::Unrouted(command) => of_unrouted(&settings()?, command).await,
        Command::Audit { site, verify } => of_audit(&settings()?, site.as_deref(), verify).await,
        Command::Man { directory } => man(directory),
    }
}

/// 80 messages a second, which is what a number may send, take five appends each; they bring up to four webhooks each, of two.
const NEEDED: f64 = 80.0 * (5.0 + 4.0 * 2.0);

async fn bench(settings: &Settings) -> anyhow::Result<()> {
    let measured = engine::bench(&settings.engine, &sites::random_hex::<4>()?).await?;
    let ms = |time: Duration| time.as_secs_f64() * 1_000.0;
    say(&format!(
        "an append alone: {:.1} ms in the middle, 99 of 100 within {:.1} ms",
        ms(measured.middle),
        ms(measured.slow)
    ))?;
    say(&format!("{} at a time: {:.0} a second", engine::IN_FLIGHT, measured.per_second))?;
    let busiest = format!("a number at its busiest takes {NEEDED:.0} a second");
    if measured.per_second < NEEDED {
        bail!(
            "{busiest}, and this engine keeps less: look at the disks of its nodes, and at the lines between them"
        );
    }
    say(&format!("enough: {busiest}"))
}

fn man(directory: Option<PathBuf>) -> anyhow::Result<()> {
    let command = Arguments::command();
    match directory {
        None => Ok(clap_mangen::Man::new(command).render(&mut std::io::stdout())?),
        Some(directory) => clap_mangen::generate_to(command, &directory)
            .with_context(|| format!("the pages cannot be written into {}; create it", directory.display())),
    }
}

async fn of_sites(settings: &Settings, command: SitesCommand) -> anyhow::Result<()> {
    let engine = JetStream::open(&settings.engine).await?;
    match command {
        SitesCommand::List => list(&engine, None).await,
        SitesCommand::Show { name } => list(&engine, Some(&name)).await,
        SitesCommand::Add { name, numbers, people } => {
            let name = site_name(&name).map_err(|why| anyhow::anyhow!("`{name}`: {why}"))?;
            if let Some(unknown) = numbers.iter().find(|number| settings.number(number).is_none()) {
                bail!("the settings have no [[number]] {unknown}; write it there first");
            }
            let detail = format!("number {}, {}", numbers.join(", "), how_many(people.len()));
            let people = match people.as_slice() {
                [] => People::All,
                people => People::Only(people.iter().map(|id| sites::person(id)).collect()),
            };
            let site = Site { numbers: numbers.into_iter().collect(), people, ..Site::default() };
            sites::add(&engine, &name, &site).await?;
            say(&sites::code(&engine, &name).await?)?;
            done(&engine, "site added", &name, detail).await
        }
        SitesCommand::Code { name } => {
            say(&sites::code(&engine, &name).await?)?;
            done(&engine, "code made", &name, String::new()).await
        }
        SitesCommand::Claim { name, people } => {
            sites::claim(&engine, &name, &people).await?;
            let all = people.len() == 1 && people[0] == "all";
            done(&engine, "people changed", &name, how_many(if all { 0 } else { people.len() })).await
        }
        SitesCommand::Limit { name, minute, day } => {
            sites::limit(&engine, &name, Quota { minute, day }).await?;
            let bound =
                |limit: Option<u32>| limit.map_or("as many as leave".to_owned(), |limit| limit.to_string());
            let detail = format!("a minute {}, a day {}", bound(minute), bound(day));
            done(&engine, "limit changed", &name, detail).await
        }
        SitesCommand::Revoke { name, older } => {
            sites::revoke(&engine, &name, usize::from(older)).await?;
            let detail = if older { "all tokens but the newest" } else { "all tokens" };
            done(&engine, "tokens revoked", &name, detail.to_owned()).await
        }
    }
}

fn how_many(people: usize) -> String {
    if people == 0 { "everybody".to_owned() } else { format!("{people} people") }
}

/// It is done, and stays so if it cannot be written down.
async fn done(engine: &JetStream, what: &str, site: &str, detail: String) -> anyhow::Result<()> {
    let note = Note { who: who(), detail, ..Note::new(what, site, SystemClock.now()) };
    audit::command(engine, note).await.context("it was done, and the audit has no entry of it")
}

async fn of_audit(settings: &Settings, site: Option<&str>, is_check: bool) -> anyhow::Result<()> {
    let engine = JetStream::open(&settings.engine).await?;
    if is_check {
        let mut verified = verified(&engine).await?;
        if !verified.flaws.is_empty() {
            tokio::time::sleep(REPLICAS).await;
            verified = self::verified(&engine).await?;
        }
        let what =
            format!("{} notes in {} entries of {} chains", verified.notes, verified.entries, verified.chains);
        if verified.flaws.is_empty() {
            return say(&format!("{what}: none was changed or removed"));
        }
        bail!("{what}:\n{}", verified.flaws.join("\n"));
    }
    let mut after = 0;
    while let Some(found) = engine.next(Log::Audit, "audit.>", after).await? {
        after = found.sequence;
        let entry: Entry = serde_json::from_slice(&found.body)
            .with_context(|| format!("what is at {after} of the log is no entry; see `audit --verify`"))?;
        for note in entry.notes.iter().filter(|note| site.is_none_or(|site| site == note.site)) {
            let answer = note.answer.map(|answer| answer.to_string()).unwrap_or_default();
            let (at, person) = (Timestamp(note.at).rfc3339(), &note.person);
            say(&format!(
                "{at}\t{}\t{}\t{}\t{}\t{person}\t{answer}",
                note.what, note.site, note.who, note.detail
            ))?;
        }
    }
    Ok(())
}

/// The heads first: the log may go on meanwhile, and has all that they name.
async fn verified(engine: &JetStream) -> anyhow::Result<audit::Verified> {
    let mut heads = BTreeMap::new();
    for (chain, row) in rows(engine, Table::Heads).await? {
        let head: Head = serde_json::from_slice(&row)
            .with_context(|| format!("what is kept of {chain} beside the log cannot be read"))?;
        heads.insert(chain, head);
    }
    let (mut entries, mut after): (Vec<Appended>, u64) = (Vec::new(), 0);
    while let Some(found) = engine.next(Log::Audit, "audit.>", after).await? {
        after = found.sequence;
        entries.push(found);
    }
    Ok(verify(&entries, &heads, SystemClock.now()))
}

async fn list(engine: &JetStream, only: Option<&str>) -> anyhow::Result<()> {
    let (all, seen) = (rows(engine, Table::Sites).await?, rows(engine, Table::Seen).await?);
    let mut shown = 0;
    for (name, row) in all.iter().filter(|(name, _)| only.is_none_or(|only| only == name.as_str())) {
        let site: Site = serde_json::from_slice(row)?;
        let people = match &site.people {
            People::All => "everybody".to_owned(),
            People::Only(people) => format!("{} people", people.len()),
        };
        let seen: Option<Seen> = seen.get(name).and_then(|row| serde_json::from_slice(row).ok());
        let asked = seen.as_ref().map_or("never asked".to_owned(), |seen| {
            let ago = seen.ago(SystemClock.now()).as_secs();
            format!("asked {ago} s ago\t{} wait there, the oldest for {} s", seen.waiting, seen.oldest)
        });
        let program = seen.and_then(|seen| seen.program).unwrap_or_else(|| "-".to_owned());
        let numbers: Vec<&str> = site.numbers.iter().map(String::as_str).collect();
        say(&format!(
            "{name}\t{} tokens\t{}\t{people}\t{asked}\t{program}",
            site.tokens.len(),
            numbers.join(",")
        ))?;
        if let (Some(_), People::Only(people)) = (only, &site.people) {
            people.iter().try_for_each(|person| say(&format!("\t{person}")))?;
        }
        shown += 1;
    }
    match only {
        Some(name) if shown == 0 => bail!("there is no site `{name}`; `bellwire-hub sites list` shows them"),
        _ => Ok(()),
    }
}

async fn of_unrouted(settings: &Settings, command: UnroutedCommand) -> anyhow::Result<()> {
    let engine = JetStream::open(&settings.engine).await?;
    match command {
        UnroutedCommand::List => {
            let mut after = 0;
            while let Some(found) = engine.next(Log::Unrouted, "unrouted.>", after).await? {
                after = found.sequence;
                say(&format!("{}\t{}", found.sequence, String::from_utf8_lossy(&found.body)))?;
            }
            Ok(())
        }
        UnroutedCommand::Give { number, site } => {
            if engine.get(Table::Sites, &site).await?.is_none() {
                bail!("there is no site `{site}`; `bellwire-hub sites list` shows them");
            }
            let found = engine.next(Log::Unrouted, "unrouted.>", number.saturating_sub(1)).await?;
            match found.filter(|found| found.sequence == number) {
                Some(found) => {
                    for item in
                        split(&found.body).map_err(|why| anyhow::anyhow!("no site could read it: {why}"))?
                    {
                        give_to(&engine, &site, &format!("unrouted-{number}"), &item).await?;
                    }
                    done(&engine, "unrouted given", &site, format!("number {number}")).await
                }
                None => bail!("nothing waits under {number}; `bellwire-hub unrouted list` shows what does"),
            }
        }
    }
}

fn say(line: &str) -> anyhow::Result<()> {
    writeln!(std::io::stdout(), "{line}")?;
    Ok(())
}
