//! What somebody decides about an alert on the page, for the watch to take.

use std::time::Duration;

use serde_json::{Value, json};

use crate::admin::admin_service::Inner;
use crate::admin::credentials::entry;
use crate::alert::engine::{AlertCommand, Person};
use crate::alert::notification::silence::Silence;
use crate::http::{Actor, AdminQuery, AlertAction, ApiError};
use crate::ids::{AlertId, RuleName};
use crate::store::AdminChange;
use crate::task::wakeups::Written;
use crate::time::{duration_for_people, parse_duration};

/// A silence from the page: long enough to mend something, short enough to forget it.
const QUIET: Duration = Duration::from_secs(3_600);

/// And of a rule: longer is a change of the configuration.
const LONGEST: Duration = Duration::from_secs(30 * 24 * 3_600);

impl Inner {
    pub(crate) async fn silences(&self) -> Result<Value, ApiError> {
        let now = self.now();
        let items = self.store(move |store| store.silence_list(now)).await?;
        let rules: Vec<&String> = self.context.config.rules.iter().map(|rule| &rule.name.0).collect();
        Ok(json!({ "items": items, "rules": rules }))
    }

    pub(crate) async fn silence(
        &self,
        rule: Option<String>,
        lasts: &str,
        comment: String,
        actor: &Actor,
    ) -> Result<Value, ApiError> {
        let lasts = parse_duration(lasts).filter(|time| !time.is_zero() && *time <= LONGEST);
        let lasts = lasts.ok_or(ApiError::Malformed(
            "Write how long it lasts as 30m, 8h or 7d, 30 days at most.".into(),
        ))?;
        if let Some(unknown) =
            rule.iter().find(|rule| !self.context.config.rules.iter().any(|one| one.name.0 == **rule))
        {
            return Err(ApiError::NotFound(format!("There is no rule {unknown} any more.")));
        }
        let subject = rule.as_ref().map_or("every rule".to_owned(), |rule| format!("rule {rule}"));
        let until = self.now() + lasts;
        let silence = Silence {
            rule: rule.map(RuleName),
            comment: Some(comment).filter(|comment| !comment.trim().is_empty()),
            ..Silence::over_everything(&actor.name, until)
        };
        let what = entry(actor, "silence", subject, &format!("for {}", duration_for_people(lasts)));
        self.hand_on(AlertCommand::Silence(silence), what).await
    }

    pub(crate) async fn end_silence(&self, id: u64, actor: &Actor) -> Result<Value, ApiError> {
        let now = self.now();
        let known = self.store(move |store| store.silence_list(now)).await?;
        if !known.iter().any(|silence| silence["id"] == id) {
            return Err(ApiError::NotFound("This silence has ended already.".into()));
        }
        let what = entry(actor, "end silence", format!("silence {id}"), "done");
        self.hand_on(AlertCommand::Expire { silence: id }, what).await
    }

    /// For the watch, which acts within a second.
    async fn hand_on(&self, command: AlertCommand, what: AdminChange) -> Result<Value, ApiError> {
        let now = self.now();
        let written = self.store(move |store| {
            store.note(&command, now)?;
            store.record_change(&what, now)
        });
        written.await?;
        self.context.wakeups.after(Written::AlertCommand);
        Ok(Value::Null)
    }

    /// Written down for the watch, which acts within a second; the same notes come from taps and from the command line.
    pub(crate) async fn decide_alert(
        &self,
        id: i64,
        action: AlertAction,
        actor: &Actor,
    ) -> Result<Value, ApiError> {
        let by = Person { name: actor.name.clone(), contact: None };
        let note = entry(actor, action.as_str(), format!("alert {id}"), "done");
        let now = self.now();
        let written = self.store(move |store| {
            let story = store.alert_story(AlertId(id))?.filter(|story| story.once.is_none());
            let Some(story) = story else {
                return Ok(Err(ApiError::NotFound(format!(
                    "There is no alert {id} that goes on until something ends it."
                ))));
            };
            if story.row.state == "resolved" {
                let reason = story.row.reason.unwrap_or_default();
                return Ok(Err(ApiError::NotPossible(format!("Alert {id} is over already: {reason}."))));
            }
            let alert = story.row.alert;
            let decided = match action {
                AlertAction::Acknowledge => AlertCommand::Acknowledge { alert, by },
                AlertAction::Resolve => AlertCommand::Resolve { alert, by },
                AlertAction::Silence => AlertCommand::Silence(Silence {
                    rule: Some(alert.rule),
                    key: Some(alert.key),
                    ..Silence::over_everything(&by.name, now + QUIET)
                }),
            };
            store.note(&decided, now)?;
            store.record_change(&note, now)?;
            Ok(Ok(()))
        });
        written.await??;
        self.context.wakeups.after(Written::AlertCommand);
        self.look(AdminQuery::Alert(id)).await
    }
}
