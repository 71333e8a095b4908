//! `bellwire backup`: everything that makes this gateway this one, in a sealed file.

use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use secrecy::ExposeSecret;

use super::{Failure, Place, counted, passphrase};
use crate::backup::take::{Plan, Taken, Target};
use crate::started_by::StartedBy;
use crate::store::{Lock, LockError, Stopped, Store};
use crate::terminal;
use crate::time::{Clock, SystemClock};

/// A daemon sees within 3 s that it was stopped, and lets what is under way end for 10 s at most: 30 s are waited.
const LOOK_EVERY: Duration = Duration::from_millis(100);
const LOOKS: u32 = 300;

#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    place: Place,
    /// The file that it is written to; `-` is standard output
    file: PathBuf,
    /// Stop this gateway for good: its backup goes on on another machine
    #[arg(long = "move")]
    is_move: bool,
    /// Read the passphrase from this file instead of asking for it
    #[arg(long, value_name = "FILE")]
    passphrase_file: Option<PathBuf>,
    /// Replace the file if it is there
    #[arg(long)]
    force: bool,
}

pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    let is_stdout = arguments.file.as_os_str() == "-";
    let target = if is_stdout { Target::Stdout } else { Target::File(arguments.file.clone()) };
    if arguments.file.is_dir() {
        return Err(Failure::Usage(format!("{} is a folder; give a file's name", arguments.file.display())));
    }
    if !arguments.force && !is_stdout && arguments.file.exists() {
        return Err(Failure::Usage(format!(
            "{} is there already; give another name, or --force to replace it",
            arguments.file.display()
        )));
    }
    let (config, _) = arguments.place.load_to_run(true)?;
    let store = Store::open_existing(&config.site.state_directory)?;
    let now = SystemClock.now();
    let plan = Plan::new(&config, &arguments.place.config, arguments.is_move, now).map_err(Failure::Io)?;
    plan.check_room(&store, &target).map_err(Failure::Io)?;
    let passphrase = passphrase::new(arguments.passphrase_file.as_deref())?;
    let take =
        || plan.take(&store, passphrase.expose_secret(), &target, arguments.force).map_err(Failure::Io);
    let taken = if arguments.is_move { moving(&store, &config.site.state_directory, take)? } else { take()? };
    tell(arguments, &taken);
    Ok(())
}

/// Stops this gateway, waits until nothing is sent any more, and only then takes the backup: what is in it is what is so. If that
/// fails, the gateway is as it was.
fn moving(
    store: &Store,
    state: &std::path::Path,
    take: impl FnOnce() -> Result<Taken, Failure>,
) -> Result<Taken, Failure> {
    let io = |error: crate::store::Error| Failure::Io(error.into());
    let was_stopped = store.copy_stopped().map_err(io)?;
    if was_stopped.is_none() {
        store.stop_copy(Stopped::Moved(SystemClock.now())).map_err(io)?;
    }
    let taken = end_of_daemon(state).and_then(|lock| take().map(|taken| (lock, taken)));
    match taken {
        Ok((_lock, taken)) => Ok(taken),
        Err(failure) => {
            if was_stopped.is_none() {
                store.resume_copy().map_err(io)?;
                drop(writeln!(
                    std::io::stderr(),
                    "it was not moved, and this gateway may go on: {}",
                    StartedBy::here().start()
                ));
            }
            Err(failure)
        }
    }
}

fn end_of_daemon(state: &std::path::Path) -> Result<Lock, Failure> {
    let ended = super::run::runtime()?.block_on(async {
        for _ in 0..LOOKS {
            match Lock::take(state) {
                Err(LockError::Taken(_)) => tokio::time::sleep(LOOK_EVERY).await,
                taken_or_not => return taken_or_not,
            }
        }
        Lock::take(state)
    });
    Ok(ended?)
}

/// On standard error, beside a backup that goes to standard output.
fn tell(arguments: &Arguments, taken: &Taken) {
    let mut lines = vec![format!(
        "written: {}, {} KB: the database, the configuration, {}, {} of contacts",
        arguments.file.display(),
        taken.bytes.div_ceil(1_024),
        counted(taken.secrets, "secret file"),
        counted(taken.received, "file"),
    )];
    lines.extend(taken.left_out.iter().map(|what| format!("not in it: {what}")));
    lines.push(if arguments.is_move {
        format!(
            "this gateway sends nothing any more.\nnext, on the other machine: bellwire restore FILE, as root; and here: {}",
            StartedBy::here().disable()
        )
    } else {
        "next: try it, bellwire restore --list FILE, and keep it on another machine; without the passphrase nobody can read it"
            .to_owned()
    });
    drop(writeln!(std::io::stderr(), "{}", terminal::plain(&lines.join("\n"))));
}
