//! The configuration as the page and the API see and change it. A draft lives in the browser alone: it comes with each request,
//! is checked and tried here, and becomes the file when somebody saves it.

/// The file: read, and replaced in one step.
mod file;
/// The events of the last day under a draft.
mod last_day;
/// A draft becomes the file, and a version.
mod save;

use serde_json::{Value, json};

use crate::admin::admin_service::Inner;
use crate::admin::backend::check_event;
use crate::admin::dry_run;
use crate::config::edit::{Side, difference, fingerprint, new_reach};
use crate::config::{Config, Problems, read, remarks};
use crate::event::incoming::{Event, EventSource};
use crate::http::{ApiError, ConfigurationQuery, Draft, Trial};
use crate::store::Store;

/// Of a draft: a form's 512 KiB, in which a byte may take three. A thousand rules have 190 KB; whoever has more has a shell.
const TEXT_MAX_BYTES: usize = 160 * 1024;

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
        Ok(json!({
            "file": self.context.reload.file.path, "edit": self.context.config.http.edit, "fingerprint": fingerprint(&text), "text": text,
            "problems": problems, "versions": versions,
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
        let lines: Vec<Value> = difference(&on_disk, &draft.text)
            .iter()
            .map(|line| json!({ "side": line.side.as_str(), "number": line.number, "text": line.text }))
            .collect();
        let of = |side: Side| lines.iter().filter(|line| line["side"] == side.as_str()).count();
        let (added, removed) = (of(Side::New), of(Side::Old));
        let mut answer = json!({
            "fingerprint": fingerprint(&draft.text), "difference": lines, "added": added, "removed": removed,
            "is_stale": draft.base.as_ref().is_some_and(|base| *base != fingerprint(&on_disk)),
            "remarks": [], "refused": null, "tried": null, "replayed": null,
        });
        let config = self.interpret(&draft.text);
        if let Ok(config) = &config {
            answer["remarks"] = remarks(config, self.now()).into();
            answer["refused"] = self.new_reach(config, &on_disk).into();
            match draft.trial {
                Some(Trial::Event { topic, payload }) => {
                    answer["tried"] = self.try_draft(config, topic, payload)?
                }
                Some(Trial::LastDay) => answer["replayed"] = self.replay_last_day(config).await?,
                None => {}
            }
        }
        answer["problems"] = problems(config.err());
        Ok(answer)
    }

    fn try_draft(&self, config: &Config, topic: String, payload: String) -> Result<Value, ApiError> {
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

fn problems(found: Option<Problems>) -> Value {
    let found = found.map(|problems| problems.0).unwrap_or_default();
    found.iter().map(|one| json!({ "line": one.line, "column": one.column, "what": one.what })).collect()
}
