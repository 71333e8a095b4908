//! The message to each person: the words, when it happened, and the buttons.

use std::time::Duration;

use crate::contact::language::Locale;
use crate::ids::{AlertId, ContactId};
use crate::outbox::button_token::{ButtonSigner, ButtonSubject, ButtonToken};
use crate::outbox::message::{Button, Content, Template};
use crate::time::Timestamp;

/// The time for which a button acts after it was sent: a day, as long as the alert is news and the 24 h window is open.
pub const BUTTONS_ACT: Duration = Duration::from_secs(24 * 3_600);

/// A message says when it happened, never only "now" (promise P9): it may leave hours later.
#[must_use]
pub fn with_time(text: &str, at: Timestamp, locale: &Locale) -> String {
    if at.is_sane() { format!("{text}\n🕑 {}", locale.time(at)) } else { text.to_owned() }
}

/// The content as it goes out: each button's id carries the alert and the action, since a tap brings back nothing else.
/// In the outbox a button's id is the action's alone, because the alert has no number before it is committed.
#[must_use]
pub fn outgoing(
    content: &Content,
    seal: &ButtonSigner,
    alert: Option<AlertId>,
    to: &ContactId,
    now: Timestamp,
) -> Content {
    let Some(alert) = alert else { return content.clone() };
    let sealed = |action: &str| {
        let (subject, expires_at) = (ButtonSubject::Alert(alert.0), now + BUTTONS_ACT);
        seal.close(&ButtonToken { subject, action: action.to_owned(), expires_at }, to)
    };
    let button = |button: &Button| Button { id: sealed(&button.id), ..button.clone() };
    Content { buttons: content.buttons.iter().map(button).collect(), ..content.clone() }
}

/// A template of the message, with as many of its buttons as the template has quick replies. Digests and alerts with
/// fewer actions fill what they have: Meta sends the label of the others back.
#[must_use]
pub fn as_quick_replies(content: &Content, index: usize, quick_replies: u32) -> Template {
    let template = content.templates.get(index).cloned().unwrap_or_default();
    let ids = content.buttons.iter().take(quick_replies as usize).map(|button| button.id.clone());
    Template { quick_replies: ids.collect(), ..template }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::StoreTag;

    #[test]
    fn buttons_are_signed_and_templates_take_only_their_number() {
        let now = Timestamp(1_790_000_000_000);
        let seal = ButtonSigner::new(StoreTag::new("tag"), [7; 32]);
        let nino = "nino".into();
        let buttons = ["stop", "ack", "snooze"].map(|id| Button::new(id, id)).to_vec();
        let templates = vec![Template { name: "alarm".into(), ..Template::default() }];
        let content = Content { buttons, templates, ..Content::text("x") };
        let out = outgoing(&content, &seal, Some(AlertId(5)), &nino, now);
        assert_eq!(
            (&out.text, &out.buttons[0].title, out.buttons.len()),
            (&"x".to_owned(), &"stop".to_owned(), 3)
        );
        let token = seal.open(&out.buttons[0].id, &nino, now).expect("ours").expect("good");
        assert_eq!((token.subject, token.action.as_str()), (ButtonSubject::Alert(5), "stop"));
        assert_eq!(token.expires_at, now + BUTTONS_ACT);
        assert_eq!(outgoing(&content, &seal, None, &nino, now), content);
        let filled = as_quick_replies(&content, 0, 2);
        assert_eq!(
            (filled.name.as_str(), filled.quick_replies),
            ("alarm", vec!["stop".to_owned(), "ack".to_owned()])
        );
    }
}
