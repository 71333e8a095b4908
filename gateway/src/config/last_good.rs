//! The configuration with which the daemon last started, kept beside the database: a typing error before a restart must not
//! cost the night. Secrets stay in their own files.

use std::fs::File;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use super::read::{LoadOptions, load, read};
use super::{Config, Problems};
use crate::started_by::StartedBy;
use crate::time::Timestamp;

const FILE: &str = "bellwire.toml.last-good";

/// The configuration, and the file's text if it is the file's. Where the file has problems it is the last good one, which
/// says so in `stands_in`; without one it is the problems.
pub fn load_or_last_good(path: &Path, wishes: &LoadOptions) -> Result<(Config, Option<String>), Problems> {
    let text = std::fs::read_to_string(path).ok();
    let name = path.to_string_lossy();
    let problems = match text.as_ref().map(|text| read(&name, text, wishes)) {
        Some(Ok(config)) => return Ok((config, text)),
        Some(Err(problems)) => problems,
        None => match load(path, wishes) {
            Ok(config) => return Ok((config, None)), // it has come meanwhile
            Err(problems) => problems,
        },
    };
    let directory = state_directory(text.as_deref().unwrap_or_default(), wishes);
    let kept = std::fs::read_to_string(directory.join(FILE));
    let Some(config) = kept.ok().and_then(|kept| read(&name, &kept, wishes).ok()) else {
        return Err(problems);
    };
    let stands_in = Some(sentence(path, &problems, &config));
    Ok((Config { stands_in, ..config }, None))
}

/// Where the file says, though it has mistakes.
fn state_directory(text: &str, wishes: &LoadOptions) -> PathBuf {
    let given = text.lines().find_map(|line| {
        let (key, value) = line.split_once('=')?;
        (key.trim() == "state_directory").then(|| PathBuf::from(value.trim().trim_matches(['"', '\''])))
    });
    let from_systemd = std::env::var_os("STATE_DIRECTORY").map(PathBuf::from);
    wishes.state_directory.clone().or(from_systemd).or(given).unwrap_or_else(|| "/var/lib/bellwire".into())
}

/// At a start, for log, page, doctor and owner.
fn sentence(path: &Path, problems: &Problems, config: &Config) -> String {
    let since = changed(path, config).map(|at| format!(", changed {at},")).unwrap_or_default();
    let problems = in_short(problems);
    format!(
        "the configuration file{since} has a mistake, so bellwire runs with the last good one, and NOTHING that was changed \
         since holds, neither rules nor people: {problems} – correct it (bellwire check), then: {}",
        StartedBy::here().reload()
    )
}

/// While it runs: what was to be taken over cannot be. `why`: a problem, or all of them in short.
#[must_use]
pub fn refusal(path: &Path, why: &str, running: &Config) -> String {
    let since = changed(path, running).map(|at| format!(", changed {at},")).unwrap_or_default();
    format!(
        "the configuration file{since} was not taken over, so bellwire goes on with the one before, and NOTHING that was \
         changed since holds, neither rules nor people: {why} – correct it (bellwire check), then: {}",
        StartedBy::here().reload()
    )
}

fn changed(path: &Path, config: &Config) -> Option<String> {
    let changed = path.metadata().and_then(|file| file.modified()).ok()?;
    let changed = changed.duration_since(UNIX_EPOCH).ok()?;
    let at = Timestamp(i64::try_from(changed.as_millis()).unwrap_or_default());
    Some(at.for_tables(&config.site.time_zone))
}

/// The first, and how many more.
#[must_use]
pub fn in_short(problems: &Problems) -> String {
    let first = problems.0.first().map(ToString::to_string).unwrap_or_default();
    match problems.0.len() {
        0 | 1 => first,
        count => format!("{first}, and {} more", count - 1),
    }
}

/// Keeps what the daemon has started with; written only when it is new.
pub fn keep_as_last_good(directory: &Path, text: &str) -> std::io::Result<()> {
    let path = directory.join(FILE);
    if std::fs::read_to_string(&path).is_ok_and(|kept| kept == text) {
        return Ok(());
    }
    let beside = directory.join(format!("{FILE}.new"));
    drop(std::fs::remove_file(&beside)); // of a start that the power ended
    let mut file = File::options().write(true).create_new(true).mode(0o600).open(&beside)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    std::fs::rename(&beside, &path)?;
    File::open(directory)?.sync_all()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    const GOOD: &str = "[site]\nname = \"Bar\"\n[mqtt]\nurl = \"mqtt://127.0.0.1\"\n";

    #[test]
    fn the_last_good_configuration_replaces_one_with_mistakes() {
        let folder = tempfile::tempdir().expect("a folder");
        let (file, state) = (folder.path().join("b.toml"), folder.path().join("state"));
        std::fs::create_dir(&state).expect("made");
        let wishes = LoadOptions {
            state_directory: Some(state.clone()),
            without_secrets: true,
            ..LoadOptions::default()
        };
        let load = || load_or_last_good(&file, &wishes);
        let write = |text: &str| std::fs::write(&file, text).expect("written");
        write("[site\n");
        assert!(load().is_err(), "there is none yet");
        write(GOOD);
        let (config, text) = load().expect("good");
        assert_eq!((config.stands_in, text.as_deref()), (None, Some(GOOD)));
        keep_as_last_good(&state, GOOD).expect("kept");
        let mode = state.join(FILE).metadata().expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        for bad in
            ["[site\n", "", "[site]\nname = \"Café\"\nzone = \"x\"\n[mqtt]\nurl = \"mqtt://127.0.0.1\"\n"]
        {
            write(bad);
            let (config, text) = load().expect("the last good one");
            assert_eq!((config.site.name.as_str(), text), ("Bar", None), "{bad}");
            let why = config.stands_in.expect("it says so");
            assert!(why.contains("has a mistake") && why.contains("b.toml:"), "{why}");
        }
        std::fs::remove_file(&file).expect("removed");
        assert!(
            load().is_ok_and(|(config, _)| config.stands_in.is_some()),
            "the file is gone, or cannot be read"
        );
        std::fs::write(state.join(FILE), "[site\n").expect("written");
        assert!(load().is_err(), "one that this version does not take is none");
        write(GOOD);
        assert!(load().is_ok_and(|(config, _)| config.stands_in.is_none()), "put right, it holds at once");
    }

    #[test]
    fn the_state_is_found_though_the_file_has_mistakes() {
        let find = |text| state_directory(text, &LoadOptions::default());
        assert_eq!(find("[site\n state_directory = \"/srv/state\"\n"), PathBuf::from("/srv/state"));
        assert_eq!(find("# state_directory = \"/srv/state\"\n"), PathBuf::from("/var/lib/bellwire"));
    }
}
