//! `bellwire restore`: a backup in its place; and which of two copies sends.

use std::path::PathBuf;

use secrecy::ExposeSecret;
use serde_json::json;

use super::{Failure, Place, counted, passphrase, say, say_json};
use crate::backup::BackupError;
use crate::backup::archive::Kind;
use crate::backup::restore::{Checked, Place as Target, Restored};
use crate::random::Rng;
use crate::started_by::StartedBy;
use crate::store::{Lock, RELEASE, Stopped, Store};
use crate::time::{Clock, SystemClock, Timestamp};

#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    place: Place,
    /// The backup
    #[arg(required_unless_present_any = ["release", "take_back"])]
    file: Option<PathBuf>,
    /// Show what is in it, and from when; checks all of it and writes nothing
    #[arg(long)]
    list: bool,
    /// With --list: as JSON
    #[arg(long, requires = "list")]
    json: bool,
    /// Replace a configuration and secrets that say something else; each is kept as NAME.before-restore
    #[arg(long)]
    force: bool,
    /// Read the passphrase from this file instead of asking for it
    #[arg(long, value_name = "FILE")]
    passphrase_file: Option<PathBuf>,
    /// Send what is held because the machine that the backup was taken from may have sent it
    #[arg(long, conflicts_with_all = ["file", "take_back"])]
    release: bool,
    /// Let this machine send again after `backup --move`, or after a newer copy has taken its place
    #[arg(long, conflicts_with = "file")]
    take_back: bool,
}

pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    if arguments.release {
        return release(&arguments.place);
    }
    if arguments.take_back {
        return take_back(&arguments.place);
    }
    let file = arguments.file.clone().unwrap_or_default(); // clap asks for it
    if file.as_os_str() == "-" {
        return Err(Failure::Usage(
            "a backup is read twice, first to check all of it: save it to a file, then restore that".into(),
        ));
    }
    let passphrase = passphrase::known(arguments.passphrase_file.as_deref())?;
    let checked = Checked::read(&file, passphrase.expose_secret()).map_err(refused)?;
    if arguments.list {
        list(&checked, arguments.json);
        return Ok(());
    }
    let state = arguments.place.state.clone();
    let target = Target {
        configuration: arguments.place.config.clone(),
        state: state.unwrap_or_else(|| checked.manifest.state_directory.clone()),
        may_replace: arguments.force,
    };
    let now = SystemClock.now();
    checked.check_place(&target, now).map_err(refused)?;
    let _lock = Lock::take(&target.state)?;
    let restored = checked.write(&target, passphrase.expose_secret(), now, &mut Rng::from_machine());
    tell(&checked, &restored.map_err(refused)?);
    Ok(())
}

fn refused(error: anyhow::Error) -> Failure {
    match error.downcast_ref::<BackupError>() {
        Some(BackupError::Io(_)) | None => Failure::Io(error),
        Some(why) => Failure::Refused(why.to_string()),
    }
}

fn tell(checked: &Checked, restored: &Restored) {
    let manifest = &checked.manifest;
    say(&format!("restored: {}, from a backup of {}", manifest.site, Timestamp(manifest.taken_at)));
    for path in &restored.written {
        say(&format!("  {}", path.display()));
    }
    for what in &manifest.left_out {
        say(&format!("not in the backup: {what}"));
    }
    if manifest.is_move {
        say(
            "the machine that it was taken from sends nothing any more: restore this backup once, on one machine",
        );
    } else {
        say(&format!(
            "what the other machine did since then is not known here; held, since it may have sent them: {}. Stop it for good \
             before this one starts: {}",
            counted(restored.held, "message"),
            StartedBy::here().disable(),
        ));
    }
    say(&format!("next: {}", StartedBy::here().start_of_restored()));
    if !manifest.is_move && restored.held > 0 {
        say(&format!("then, for what is held, {RELEASE}"));
    }
}

fn list(checked: &Checked, as_json: bool) {
    let manifest = &checked.manifest;
    let bytes = |kind: Kind| -> u64 {
        checked.entries.iter().filter(|entry| entry.kind == kind).map(|entry| entry.bytes).sum()
    };
    if as_json {
        say_json(&json!({ "backup": manifest, "files": checked.entries }));
        return;
    }
    say(&format!(
        "{}, taken {} by bellwire {}{}",
        manifest.site,
        Timestamp(manifest.taken_at),
        manifest.version,
        if manifest.is_move { ", to move" } else { "" }
    ));
    for entry in checked.entries.iter().filter(|entry| entry.kind != Kind::Received) {
        say(&format!("{:>10} KB  {}", entry.bytes.div_ceil(1_024), entry.name.display()));
    }
    let received = checked.entries.iter().filter(|entry| entry.kind == Kind::Received).count();
    say(&format!(
        "{:>10} KB  {} of contacts",
        bytes(Kind::Received).div_ceil(1_024),
        counted(received, "file")
    ));
    for what in &manifest.left_out {
        say(&format!("not in it: {what}"));
    }
    say("all of it was checked: it is whole");
}

fn open(place: &Place) -> Result<Store, Failure> {
    let (config, _) = place.load_to_run(true)?;
    Ok(Store::open_existing(&config.site.state_directory)?)
}

fn release(place: &Place) -> Result<(), Failure> {
    let released = open(place)?.transaction(|store| store.release(SystemClock.now()));
    let released = released.map_err(|error| Failure::Io(error.into()))?;
    say(&format!("{} may leave now", counted(released, "message")));
    Ok(())
}

/// This copy becomes the newest one: another that runs and has the same broker stops.
fn take_back(place: &Place) -> Result<(), Failure> {
    let io = |error: crate::store::Error| Failure::Io(error.into());
    let (config, _) = place.load_to_run(true)?;
    let _lock = Lock::take(&config.site.state_directory)?;
    let store = Store::open_existing(&config.site.state_directory)?;
    let Some(why) = store.copy_stopped().map_err(io)? else {
        say("nothing was stopped here: it may run");
        return Ok(());
    };
    let (Stopped::Moved(since) | Stopped::Newer(since)) = why;
    let held = store.begin_copy(since, false, SystemClock.now(), &mut Rng::from_machine()).map_err(io)?;
    say(&format!(
        "this gateway sends again. Held, since the other one may have sent them: {}; {RELEASE}\nnext: {}",
        counted(held, "message"),
        StartedBy::here().start(),
    ));
    Ok(())
}
