//! A draft becomes the file, and a version in the history.

use serde::Serialize;
use serde_json::Value;

use super::file::{self, SaveError};
use super::{check_length, problems};
use crate::admin::admin_service::{Inner, as_json};
use crate::admin::credentials::entry;
use crate::config::edit::{fingerprint, one_line};
use crate::http::{Actor, ApiError, Draft};
use crate::store::VersionOutcome;

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(inline))]
pub struct Saved {
    /// What became of it stands beside this number in `versions`.
    pub version: i64,
    pub fingerprint: String,
}

impl Inner {
    /// Written down before it is written: a power cut between leaves a version that the next start finds untrue, and never a file
    /// of which nobody knows who wrote it.
    pub(crate) async fn save_configuration(&self, draft: Draft, actor: Actor) -> Result<Value, ApiError> {
        let Some(base) = draft.base.clone() else {
            return Err(ApiError::Malformed(
                "Say with which file the draft began, by its fingerprint.".into(),
            ));
        };
        let _alone = self.saving.lock().await;
        let on_disk = self.may_become_the_file(&draft, &base).await?;
        let (text, by, now) = (draft.text.clone(), actor.name.clone(), self.now());
        let id = self.store(move |store| store.keep_version(&text, &by, now)).await?;
        let (path, text) = (self.context.reload.file.path.clone(), draft.text.clone());
        let written = tokio::task::spawn_blocking(move || file::replace(&path, &base, &text)).await;
        let written = written.unwrap_or_else(|error| Err(SaveError::NotWritten(error.to_string())));
        let subject = format!("configuration, version {id}");
        if let Err(why) = written {
            let (words, note) = (why.to_string(), entry(&actor, "configure", subject, &why.to_string()));
            self.store(move |store| {
                store.version_is(id, VersionOutcome::Refused, Some(&words))?;
                store.record_change(&note, now)
            })
            .await?;
            return Err(match why {
                SaveError::Changed => ApiError::Stale(why.to_string()),
                SaveError::NotWritten(words) => ApiError::NotPossible(words),
            });
        }
        let note = entry(&actor, "configure", subject, &one_line(&on_disk, &draft.text));
        self.store(move |store| store.record_change(&note, now)).await?;
        self.context.reload.request(&actor.name); // which writes into the history what becomes of it
        Ok(as_json(Saved { version: id, fingerprint: fingerprint(&draft.text) }))
    }

    /// The text on disk, if this draft may follow it.
    async fn may_become_the_file(&self, draft: &Draft, base: &str) -> Result<String, ApiError> {
        if !self.context.config.http.edit {
            let how = "This configuration is changed in its file alone: [http] has edit = false, perhaps because another program writes it.";
            return Err(ApiError::Forbidden(how.into()));
        }
        check_length(&draft.text)?;
        let on_disk = file::text(&self.context.reload.file.path).map_err(ApiError::NotPossible)?;
        if fingerprint(&on_disk) != base {
            return Err(ApiError::Stale(SaveError::Changed.to_string()));
        }
        if on_disk == draft.text {
            return Err(ApiError::NotPossible(
                "The draft says what the file says; there is nothing to save.".into(),
            ));
        }
        let config = self.interpret(&draft.text).map_err(|found| {
            let how = "The draft has problems, and was not saved; correct them first.";
            ApiError::Checked(how.into(), as_json(problems(Some(found))))
        })?;
        match self.new_reach(&config, &on_disk) {
            Some(how) => Err(ApiError::Forbidden(how)),
            None => Ok(on_disk),
        }
    }
}
