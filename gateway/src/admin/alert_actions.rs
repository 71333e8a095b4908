//! What somebody decides about an alert on the page, for the watch to take.

use std::time::Duration;

use serde_json::Value;

use crate::admin::admin_service::Inner;
use crate::admin::credentials::entry;
use crate::alert::engine::{AlertCommand, Person};
use crate::alert::notification::silence::Silence;
use crate::http::{Actor, AdminQuery, AlertAction, ApiError};
use crate::ids::AlertId;
use crate::task::wakeups::Written;

/// A silence from the page: long enough to mend something, short enough to forget it.
const QUIET: Duration = Duration::from_secs(3_600);

impl Inner {
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
