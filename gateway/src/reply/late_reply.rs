//! Replies that come too late: Meta delivers for seven days, and a door must not open two hours after somebody asked.

use std::time::Duration;

use crate::command::action::NewCommand;
use crate::contact::language::Locale;
use crate::reply::interpret::{Interpretation, Reading};

impl Reading<'_> {
    /// Stops a reply that was under way for longer than its action may take; the person hears why.
    pub(crate) fn in_time(&self, outcome: Interpretation) -> Interpretation {
        let (Interpretation::Command(NewCommand { action, .. }) | Interpretation::Confirm { action, .. }) =
            &outcome
        else {
            return outcome;
        };
        let age = self.reply.at.until(self.house.now);
        let may_take = Duration::from_millis(action.expires_ms);
        if age < may_take {
            return outcome;
        }
        let locale = &self.contact.locale;
        let blanks = [("title", action.title.as_str()), ("age", &locale.duration(age))];
        let english = Locale::default();
        Interpretation::Say {
            contact: self.contact.id.clone(),
            text: locale.say(|s| s.came_late, &blanks),
            reason: format!(
                "{} came too late: it was written {} ago, and has to be done within {}",
                action.name,
                english.duration(age),
                english.duration(may_take)
            ),
        }
    }
}
