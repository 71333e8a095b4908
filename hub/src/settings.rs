//! `hub.toml`: where the engine is, which numbers the hub speaks for, and where it listens.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};
use bellwire::config::{Secret, api_url, digits, secret, versions};
use bellwire::contact::language::Language;
use bellwire::http::Certificate;
use bellwire::whatsapp::client::Endpoint;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

/// Longer than a restart and a short outage of a line.
pub const SILENT_AFTER: Duration = Duration::from_secs(300);
/// Three questions of a site, and what is noted late of them: a shorter silence says nothing.
const POLLS: Duration = Duration::from_secs(120);

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// For sites and Meta. Plain HTTP, behind a proxy that has the certificate, so it is this machine or a private network; with these
    /// two, the hub's own.
    #[serde(default = "listen")]
    pub listen: String,
    /// The chain, and its key, both PEM. They are read again when they have changed.
    pub certificate_file: Option<PathBuf>,
    pub key_file: Option<PathBuf>,
    /// A page of all sites and `/metrics`, for this machine or a private network: it asks for no password. Without it there is none.
    pub admin: Option<String>,
    /// Who hears of sites that do not ask any more.
    pub silent: Option<Silent>,
    pub engine: EngineSettings,
    #[serde(rename = "number")]
    pub numbers: Vec<Number>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Silent {
    /// [`SILENT_AFTER`] unless it is said.
    #[serde(default = "five_minutes", deserialize_with = "duration")]
    pub after: Duration,
    /// Sites whose owners are told: the head office's.
    pub tell: Vec<String>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EngineSettings {
    /// `nats://host:4222`, each node; `tls://host:4222` where the way between is not one's own.
    pub servers: Vec<String>,
    /// `http://host:8222`, each node: where `doctor` reads its settings.
    #[serde(default)]
    pub monitors: Vec<String>,
    /// 1 on one machine, 3 on three.
    pub replicas: usize,
    /// Whoever signed the nodes' certificates, if it is nobody whom the system trusts: a PEM file.
    pub ca_file: Option<PathBuf>,
    pub user: Option<String>,
    pub password_file: Option<PathBuf>,
}

/// A WhatsApp number, and what Meta wants to see for it. Its secrets stay here: no site has them.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Number {
    pub phone_number_id: String,
    pub business_account_id: Option<String>,
    access_token_file: PathBuf,
    app_secret_file: PathBuf,
    verify_token_file: PathBuf,
    #[serde(default = "meta")]
    pub api_url: String,
    #[serde(default = "rate")]
    pub messages_per_second: u32,
    /// In which a person of several sites is asked which one is meant: `en`, `de`, `fr`, `es`.
    #[serde(default)]
    pub language: Language,
}

fn listen() -> String {
    "127.0.0.1:8460".to_owned()
}

fn five_minutes() -> Duration {
    SILENT_AFTER
}

fn duration<'de, D: serde::Deserializer<'de>>(value: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(value)?;
    bellwire::config::duration(&text).map_err(serde::de::Error::custom)
}

fn meta() -> String {
    "https://graph.facebook.com".to_owned()
}

fn rate() -> u32 {
    bellwire::outbox::scheduler::RATE
}

impl Settings {
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("{} cannot be read; give the right --config", path.display()))?;
        let mut settings: Self =
            toml::from_str(&text).with_context(|| format!("{} has a mistake", path.display()))?;
        let folder = path.parent().unwrap_or(Path::new("."));
        settings.certificate_file = settings.certificate_file.map(|file| folder.join(file));
        settings.key_file = settings.key_file.map(|file| folder.join(file));
        settings.engine.password_file = settings.engine.password_file.map(|file| folder.join(file));
        settings.engine.ca_file = settings.engine.ca_file.map(|file| folder.join(file));
        for number in &mut settings.numbers {
            for file in
                [&mut number.access_token_file, &mut number.app_secret_file, &mut number.verify_token_file]
            {
                *file = folder.join(&*file);
            }
            number.check()?;
        }
        if !matches!(settings.engine.replicas, 1 | 3) {
            bail!("replicas is {}; write 1 for one machine, or 3 for three", settings.engine.replicas);
        }
        if settings.engine.servers.is_empty() || settings.numbers.is_empty() {
            bail!("there is no server of the engine or no [[number]]; write at least one of each");
        }
        if let Some(silent) = &settings.silent
            && (silent.tell.is_empty() || silent.after < POLLS)
        {
            bail!(
                "[silent] needs a site in `tell`, and `after` of 2m or more: sites ask every 25 s, and it is noted every 30"
            );
        }
        Ok(settings)
    }

    /// `None`: a proxy has it.
    pub fn certificate(&self) -> anyhow::Result<Option<Certificate>> {
        match (&self.certificate_file, &self.key_file) {
            (None, None) => Ok(None),
            (Some(chain), Some(key)) => Certificate::read(chain.clone(), key.clone()).map(Some),
            _ => bail!("there is `certificate_file` or `key_file` alone; give both or none"),
        }
    }

    #[must_use]
    pub fn number(&self, phone_number_id: &str) -> Option<&Number> {
        self.numbers.iter().find(|number| number.phone_number_id == phone_number_id)
    }
}

impl EngineSettings {
    /// User and password.
    pub fn login(&self) -> anyhow::Result<Option<(String, String)>> {
        match (&self.user, &self.password_file) {
            (None, None) => Ok(None),
            (Some(user), Some(file)) => {
                let password = secret(&Secret::File(file.clone()))?;
                Ok(Some((user.clone(), password.expose_secret().to_owned())))
            }
            _ => bail!("[engine] has `user` or `password_file` alone; give both or none"),
        }
    }
}

impl Number {
    fn check(&mut self) -> anyhow::Result<()> {
        let told = |why: &str| anyhow::anyhow!("[[number]] {}: {why}", self.phone_number_id);
        let id = digits(&self.phone_number_id).map_err(told)?;
        let url = api_url(&self.api_url).map_err(told)?;
        self.access_token()?;
        self.app_secret()?;
        self.verify_token()?;
        (self.phone_number_id, self.api_url) = (id, url);
        Ok(())
    }

    /// For what the hub itself asks Meta.
    pub fn endpoint(&self) -> anyhow::Result<Endpoint> {
        Ok(Endpoint {
            api_url: self.api_url.clone(),
            api_version: versions::DEFAULT.to_owned(),
            phone_number_id: self.phone_number_id.clone(),
            access_token: self.access_token()?,
            via_hub: false,
        })
    }

    /// Read anew each time: one that was rotated works at once, and none stays in memory.
    pub fn access_token(&self) -> anyhow::Result<SecretString> {
        Ok(secret(&Secret::File(self.access_token_file.clone()))?)
    }

    pub fn app_secret(&self) -> anyhow::Result<SecretString> {
        Ok(secret(&Secret::File(self.app_secret_file.clone()))?)
    }

    pub fn verify_token(&self) -> anyhow::Result<SecretString> {
        Ok(secret(&Secret::File(self.verify_token_file.clone()))?)
    }
}
