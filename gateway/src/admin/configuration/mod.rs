//! The configuration as the page and the API see and change it. A draft lives in the browser alone: it comes with each request,
//! is checked and tried here, and becomes the file when somebody saves it.

/// The file: read, and replaced in one step.
mod file;
/// The events of the last day under a draft.
mod last_day;
/// A draft becomes the file, and a version.
mod save;

#[cfg(test)]
pub use save::Saved;

use std::path::PathBuf;

use serde::Serialize;
use serde_json::{Value, json};

use crate::admin::admin_service::{Inner, as_json};
use crate::admin::backend::check_event;
use crate::admin::dry_run::{self, Tried};
use crate::config::edit::{Line, Side, difference, fingerprint, new_reach};
use crate::config::{Config, Problem, Problems, read, remarks};
use crate::event::incoming::{Event, EventSource};
use crate::http::{ApiError, ConfigurationQuery, Draft, Trial};
use crate::store::{Rows, ShownVersion, Store};

/// Of a draft: a form's 512 KiB, in which a byte may take three. A thousand rules have 190 KB; whoever has more has a shell.
const TEXT_MAX_BYTES: usize = 160 * 1024;

/// The configuration file.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Configuration {
    /// Its path on the machine.
    #[cfg_attr(test, schemars(with = "String"))]
    pub file: PathBuf,
    /// Whether it may be changed here: `edit` of [http].
    pub edit: bool,
    pub text: String,
    /// SHA-256 of the text.
    pub fingerprint: String,
    pub problems: Vec<ConfigurationProblem>,
    pub versions: Rows<ShownVersion>,
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ConfigurationProblem {
    /// From 1; 0 where it has no place in the file.
    pub line: usize,
    pub column: usize,
    /// What is wrong, and what to do.
    pub what: String,
}

/// A text that may become it.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct CheckedConfiguration {
    pub problems: Vec<ConfigurationProblem>,
    /// What is right and may surprise.
    pub remarks: Vec<String>,
    /// Why it cannot be saved here though it has no problems.
    pub refused: Option<String>,
    /// Against the file as it is now.
    pub difference: Vec<DifferentLine>,
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct DifferentLine {
    pub side: Side,
    pub number: usize,
    pub text: String,
}

/// The same for the page.
#[derive(Serialize)]
struct CheckedDraft {
    #[serde(flatten)]
    checked: CheckedConfiguration,
    fingerprint: String,
    added: usize,
    removed: usize,
    /// The file was changed since the draft began.
    is_stale: bool,
    tried: Option<Tried>,
    replayed: Option<Value>,
}

impl Inner {
    pub(crate) async fn look_at_configuration(&self, query: ConfigurationQuery) -> Result<Value, ApiError> {
        match query {
            ConfigurationQuery::File => self.configuration().await,
            ConfigurationQuery::Version(id) => self.configuration_version(id).await,
            ConfigurationQuery::Draft(draft) => self.check_draft(*draft).await,
        }
    }

    /// The file as it is now, and what became of its versions.
    async fn configuration(&self) -> Result<Value, ApiError> {
        let text = file::text(&self.context.reload.file.path).map_err(ApiError::NotPossible)?;
        let versions = self.store(Store::versions).await?;
        let problems = problems(self.interpret(&text).err());
        Ok(as_json(Configuration {
            file: self.context.reload.file.path.clone(),
            edit: self.context.config.http.edit,
            fingerprint: fingerprint(&text),
            text,
            problems,
            versions,
        }))
    }

    async fn configuration_version(&self, id: i64) -> Result<Value, ApiError> {
        let found = self.store(move |store| store.version(id)).await?;
        let found = found
            .ok_or(ApiError::NotFound(format!("There is no version {id} of the configuration any more.")))?;
        Ok(json!({ "id": found.id, "text": found.text }))
    }

    /// What is wrong with a draft, what it changes, and what it would have done.
    async fn check_draft(&self, draft: Draft) -> Result<Value, ApiError> {
        check_length(&draft.text)?;
        let on_disk = file::text(&self.context.reload.file.path).map_err(ApiError::NotPossible)?;
        let line =
            |line: Line| DifferentLine { side: line.side, number: line.number, text: line.text.to_owned() };
        let lines: Vec<DifferentLine> = difference(&on_disk, &draft.text).into_iter().map(line).collect();
        let of = |side: Side| lines.iter().filter(|line| line.side == side).count();
        let (added, removed) = (of(Side::New), of(Side::Old));
        let mut answer = CheckedDraft {
            checked: CheckedConfiguration {
                problems: Vec::new(),
                remarks: Vec::new(),
                refused: None,
                difference: lines,
            },
            fingerprint: fingerprint(&draft.text),
            added,
            removed,
            is_stale: draft.base.as_ref().is_some_and(|base| *base != fingerprint(&on_disk)),
            tried: None,
            replayed: None,
        };
        match self.interpret(&draft.text) {
            Ok(config) => {
                answer.checked.remarks = remarks(&config, self.now());
                answer.checked.refused = self.new_reach(&config, &on_disk);
                match draft.trial {
                    Some(Trial::Event { topic, payload }) => {
                        answer.tried = Some(self.try_draft(&config, topic, payload)?);
                    }
                    Some(Trial::LastDay) => answer.replayed = Some(self.replay_last_day(&config).await?),
                    None => {}
                }
            }
            Err(found) => answer.checked.problems = problems(Some(found)),
        }
        Ok(as_json(answer))
    }

    fn try_draft(&self, config: &Config, topic: String, payload: String) -> Result<Tried, ApiError> {
        check_event(&topic, &payload)?;
        let rules = config.rule_set().map_err(|error| ApiError::Malformed(error.to_string()))?;
        Ok(dry_run::tried(config, &rules, Event::new(EventSource::Cli, topic, payload, self.now())))
    }

    /// As a start would read it, with the secrets' files where they are.
    fn interpret(&self, text: &str) -> Result<Config, Problems> {
        let file = &self.context.reload.file;
        read(&file.path.to_string_lossy(), text, &file.options)
    }

    /// What the draft would read or send that neither what runs nor the file on disk does.
    fn new_reach(&self, draft: &Config, on_disk: &str) -> Option<String> {
        let on_disk = self.interpret(on_disk).ok();
        let known: Vec<&Config> = on_disk.iter().chain([&*self.context.config]).collect();
        new_reach(&known, draft)
    }
}

fn check_length(text: &str) -> Result<(), ApiError> {
    if text.len() <= TEXT_MAX_BYTES {
        return Ok(());
    }
    let how = format!(
        "The text is longer than {} KiB; change the file on the machine itself.",
        TEXT_MAX_BYTES / 1024
    );
    Err(ApiError::Malformed(how))
}

fn problems(found: Option<Problems>) -> Vec<ConfigurationProblem> {
    let found = found.map(|problems| problems.0).unwrap_or_default();
    let shown = |Problem { line, column, what, .. }| ConfigurationProblem { line, column, what };
    found.into_iter().map(shown).collect()
}
