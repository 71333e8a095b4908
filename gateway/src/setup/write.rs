//! The configuration, changed line by line so that its comments stay, and the secret files beside it.

use std::fs::{OpenOptions, Permissions};
use std::io::{Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail};
use secrecy::{ExposeSecret, SecretString};

use super::first_name;
use crate::config::{Config, Connection, LoadOptions, Problems, Secret, api_url, read, secret_file};
use crate::hex::hex;

/// A first configuration; what stands in it is replaced by answers.
const FIRST: &str = include_str!("first.toml");
/// In the commented example that the package installs: with both a configuration is nobody's yet.
const EXAMPLE: [&str; 2] = ["phone_number_id = \"109876543210123\"", "id = \"giorgi\""];
/// The first line of a configuration whose questions are not all answered.
const UNFINISHED: &str = "# Unfinished: `bellwire setup` goes on here.\n";
/// Hexadecimal digits of 16 bytes: nobody guesses it.
const WORD_BYTES: usize = 16;

#[derive(Debug, Clone)]
pub struct Draft {
    path: PathBuf,
    text: String,
    is_new: bool,
    /// The address of the API is another one than before: what was kept for that one is not sent to this one.
    is_moved: bool,
}

impl Draft {
    pub fn open(path: PathBuf) -> Result<Self> {
        let found = match std::fs::read_to_string(&path) {
            Ok(text) => Some(text).filter(|text| !EXAMPLE.iter().all(|line| text.contains(line))),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
            Err(error) => {
                return Err(error)
                    .with_context(|| format!("{} cannot be read; run this with sudo", path.display()));
            }
        };
        let text = found.unwrap_or_else(|| format!("{UNFINISHED}{FIRST}"));
        Ok(Self { path, is_new: text.starts_with(UNFINISHED), is_moved: false, text })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether this configuration was never finished before.
    pub fn is_new(&self) -> bool {
        self.is_new
    }

    /// Sets a text in the first section of that title; a line that is there, commented out or not, is replaced.
    pub fn set(&mut self, title: &str, key: &str, value: &str) -> Result<()> {
        let mut lines: Vec<String> = self.text.lines().map(str::to_owned).collect();
        let begin = lines.iter().position(|line| line.trim() == title);
        let begin =
            begin.ok_or_else(|| anyhow!("{} has no section {title}; add it", self.path.display()))? + 1;
        let end =
            lines[begin..].iter().position(|line| line.starts_with('[')).map_or(lines.len(), |at| begin + at);
        let says = |line: &String| {
            let line = line.trim_start_matches(['#', ' ']);
            line.strip_prefix(key).is_some_and(|rest| rest.trim_start().starts_with('='))
        };
        let line = format!("{key} = {}", toml::Value::String(value.to_owned()));
        match (begin..end).find(|at| says(&lines[*at])) {
            Some(at) => lines[at] = line,
            None => lines.insert(begin, line),
        }
        self.text = lines.join("\n") + "\n";
        Ok(())
    }

    /// Whether the configuration takes this value, or why not.
    pub fn judge(&self, title: &str, key: &str, value: &str) -> std::result::Result<(), String> {
        let mut tried = self.clone();
        tried.set(title, key, value).map_err(|error| error.to_string())?;
        match tried.read() {
            Ok(_) => Ok(()),
            Err(problems) => Err(problems.0.first().map(|problem| problem.what.clone()).unwrap_or_default()),
        }
    }

    /// A configuration of one's own that has mistakes is not gone on with.
    pub fn sound(&self) -> Result<()> {
        if self.is_new {
            return Ok(());
        }
        self.read().map(drop).map_err(anyhow::Error::from)
    }

    /// What was answered so far is known the next time. A configuration that is in use is changed when all is right.
    pub fn note(&self) -> Result<()> {
        if self.is_new { self.save() } else { Ok(()) }
    }

    /// The broker's address as it stands there.
    pub fn mqtt_url(&self) -> Option<String> {
        let root: toml::Table = self.text.parse().ok()?;
        root.get("mqtt")?.get("url")?.as_str().map(str::to_owned)
    }

    /// What a text of the draft is by now.
    pub fn known(&self, of: impl Fn(&Config) -> Option<String>) -> Option<String> {
        self.read().ok().as_ref().and_then(of)
    }

    /// The first connection, as the draft has it.
    pub fn connection(&self) -> Result<Connection> {
        let connections = self.read()?.connections;
        let named = connections.iter().position(|connection| connection.name == first_name()).unwrap_or(0);
        connections.into_iter().nth(named).context("the configuration has no [[connection]]")
    }

    fn read(&self) -> std::result::Result<Config, Problems> {
        let wishes = LoadOptions { without_secrets: true, ..LoadOptions::default() };
        read(&self.path.to_string_lossy(), &self.text, &wishes)
    }

    /// Another address of the API.
    pub fn move_to(&mut self, url: &str) -> Result<()> {
        let url = api_url(url).map_err(|how| anyhow!("{url}: {how}"))?;
        let before = self.connection().ok().map(|connection| connection.api_url);
        self.set("[[connection]]", "api_url", &url)?;
        self.is_moved = before.is_some_and(|before| before != url);
        Ok(())
    }

    /// The configuration names the new address from now on: what was kept for the old one must not be found beside it.
    pub fn forget_moved(&self) -> Result<()> {
        let kept = ["app-secret", "verify-token"].into_iter().filter(|_| self.is_moved);
        for path in kept.map(|name| self.file(name)).collect::<Result<Vec<_>>>()? {
            match std::fs::remove_file(&path) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(error).with_context(|| format!("{} cannot be removed", path.display()));
                }
                Ok(()) | Err(_) => {}
            }
        }
        Ok(())
    }

    /// A secret that was kept before, for this address of the API.
    pub fn secret(&self, name: &str) -> Option<SecretString> {
        if self.is_moved {
            return None;
        }
        secret_file(&self.file(name).ok()?).ok()
    }

    /// Writes a secret into the file that the configuration names for it.
    pub fn keep(&self, name: &str, value: &SecretString) -> Result<()> {
        write_secret(&self.file(name)?, value)
    }

    /// The connection with another token, until it has proved right.
    pub fn on_trial(&self, token: &SecretString) -> Result<Connection> {
        Ok(Connection { access_token: Secret::Known(token.clone()), ..self.connection()? })
    }

    fn file(&self, name: &str) -> Result<PathBuf> {
        let connection = self.connection()?;
        let place = match name {
            "access-token" => connection.access_token,
            "app-secret" => connection.app_secret,
            _ => connection.verify_token,
        };
        match place {
            Secret::File(path) => Ok(path),
            Secret::Known(_) | Secret::Lost(_) => bail!("the configuration names no file for the {name}"),
        }
    }

    /// Every question has its answer.
    pub fn finish(&mut self) -> Result<()> {
        if let Some(rest) = self.text.strip_prefix(UNFINISHED) {
            self.text = rest.to_owned();
        }
        self.save()
    }

    /// Only a configuration that can be read is written. What the package installed as an example is kept beside.
    pub fn save(&self) -> Result<()> {
        self.read()?;
        let before = std::fs::read_to_string(&self.path).unwrap_or_default();
        let folder = self.path.parent().unwrap_or(Path::new("."));
        std::fs::create_dir_all(folder)
            .with_context(|| format!("{} cannot be made; run this with sudo", folder.display()))?;
        if EXAMPLE.iter().all(|line| before.contains(line)) {
            let example = self.path.with_extension("toml.example");
            std::fs::copy(&self.path, &example)
                .with_context(|| format!("the example cannot be kept as {}", example.display()))?;
        }
        replace(&self.path, &self.text, 0o644)
    }
}

fn write_secret(file: &Path, value: &SecretString) -> Result<()> {
    let folder = file.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder)
        .with_context(|| format!("{} cannot be made; run this with sudo", folder.display()))?;
    replace(file, value.expose_secret(), 0o640)
}

/// Through a second file, so that a power cut leaves the old one or the new one. It belongs to the folder's group: that is
/// how the daemon's user may read what root writes.
fn replace(path: &Path, text: &str, mode: u32) -> Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let beside = path.with_extension("new");
    let write = || -> std::io::Result<()> {
        let group = folder.metadata()?.gid();
        let mut file =
            OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
        file.write_all(text.as_bytes())?;
        std::os::unix::fs::chown(&beside, None, Some(group))?;
        file.set_permissions(Permissions::from_mode(mode))?;
        file.sync_all()?;
        std::fs::rename(&beside, path)
    };
    write().with_context(|| format!("{} cannot be written; run this with sudo", path.display()))
}

/// A word that nobody else has, from the kernel.
pub fn random_word() -> Result<SecretString> {
    let mut bytes = [0_u8; WORD_BYTES];
    let read = std::fs::File::open("/dev/urandom").and_then(|mut kernel| kernel.read_exact(&mut bytes));
    read.context("the kernel gives no random numbers")?;
    Ok(SecretString::from(hex(&bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_replaced_where_it_is_and_comments_stay() {
        let text = "# mine\n[a]\n# key = \"x\"   # old\nother = 1\n[b]\nkey = \"b\"\n".to_owned();
        let mut draft = Draft { path: "x".into(), text, is_new: false, is_moved: false };
        draft.set("[a]", "key", "say \"hi\"").expect("set");
        draft.set("[b]", "new", "n").expect("set");
        assert_eq!(draft.text, "# mine\n[a]\nkey = 'say \"hi\"'\nother = 1\n[b]\nnew = \"n\"\nkey = \"b\"\n");
        assert!(draft.set("[c]", "key", "x").is_err());
    }

    #[test]
    fn setup_recognises_the_packaged_example_and_writes_a_valid_file() {
        assert!(EXAMPLE.iter().all(|line| include_str!("../../../config/bellwire.toml").contains(line)));
        let draft = Draft { path: "x.toml".into(), text: FIRST.to_owned(), is_new: true, is_moved: false };
        draft.connection().expect("good");
    }
}
