//! A message of the outbox as the request that carries it: the form is chosen, the buttons are signed, the words are cut. Its
//! files are ids of Meta's already, and nothing is sent here.

use crate::contact::People;
use crate::contact::severity::Severity;
use crate::ids::{ConnectionName, MessageId, StoreTag};
use crate::outbox::button_token::ButtonSigner;
use crate::outbox::render::{as_quick_replies, outgoing};
use crate::outbox::row::DueMessage;
use crate::outbox::window::Choice;
use crate::time::Timestamp;
use crate::whatsapp::request::{self, RequestContent};

/// By what this store knows its own again: its callbacks and its buttons.
#[derive(Debug, Clone, Copy)]
pub struct Signature<'a> {
    pub tag: &'a StoreTag,
    pub signer: &'a ButtonSigner,
}

/// Ready to be posted, as often as anybody likes: it says the same each time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PreparedRequest {
    pub message: MessageId,
    /// Over which number.
    pub connection: ConnectionName,
    pub severity: Severity,
    /// Names this try: a hub sends what has one key once.
    pub key: String,
    pub body: Vec<u8>,
}

#[must_use]
pub fn prepare(
    due: &DueMessage,
    choice: &Choice,
    ours: Signature,
    people: &People,
    now: Timestamp,
) -> PreparedRequest {
    let content = outgoing(&due.content, ours.signer, due.alert, &due.lane.contact, now);
    let (more, template);
    let form = match choice {
        Choice::Template { index, quick_replies } if *index < content.templates.len() => {
            template = as_quick_replies(&content, *index, *quick_replies);
            RequestContent::Template { template: &template, words: &content.text }
        }
        Choice::Free | Choice::Template { .. } | Choice::Hold(_) => {
            more = ours.tag.more(due.id);
            let language = content.language.unwrap_or(people.locale(&due.lane.contact).language);
            RequestContent::Free { content: &content, more: &more, sentences: language.sentences() }
        }
    };
    let callback = ours.tag.callback(due.id);
    let body = request::body(form, &due.to, &callback);
    let key = format!("{callback}/{}", due.attempts + 1);
    PreparedRequest {
        message: due.id,
        connection: due.lane.connection.clone(),
        severity: due.severity,
        key,
        body,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::contact::Recipient;
    use crate::ids::AlertId;
    use crate::outbox::message::{Button, Content, Template};
    use crate::outbox::message_state::OnUnknown;
    use crate::outbox::row::Conversation;
    use crate::outbox::window::Window;

    const NOW: Timestamp = Timestamp(1_900_000_000_000);

    fn due() -> DueMessage {
        let template = Template { name: "alarm".into(), language: "en".into(), ..Template::default() };
        let buttons = ["stop", "ack"].map(|id| Button::new(id, id)).to_vec();
        let content = Content { buttons, templates: vec![template], ..Content::text("It is hot") };
        DueMessage {
            id: MessageId(7),
            lane: Conversation { connection: "main".into(), contact: "nino".into() },
            to: Recipient::parse("+15550100001").expect("a number"),
            content,
            alert: Some(AlertId(5)),
            severity: Severity::Critical,
            attempts: 0,
            tries: 0,
            on_unknown: OnUnknown::Retry,
            expires_at: NOW,
            window: Window::Unknown,
            listed: Vec::new(),
        }
    }

    fn sent(choice: &Choice) -> Value {
        let tag = StoreTag::new("tag");
        let signer = ButtonSigner::new(tag.clone(), [7; 32]);
        let ours = Signature { tag: &tag, signer: &signer };
        let prepared = prepare(&due(), choice, ours, &People::default(), NOW);
        assert_eq!(prepared, prepare(&due(), choice, ours, &People::default(), NOW), "it says the same");
        assert_eq!((prepared.message, prepared.connection), (MessageId(7), "main".into()));
        assert_eq!((prepared.severity, prepared.key.as_str()), (Severity::Critical, "bellwire/tag/7/1"));
        serde_json::from_slice(&prepared.body).expect("JSON")
    }

    #[test]
    fn a_free_message_has_its_callback_and_signed_buttons() {
        let sent = sent(&Choice::Free);
        assert_eq!(sent["biz_opaque_callback_data"], "bellwire/tag/7");
        assert_eq!(sent["type"], "interactive");
        let buttons = &sent["interactive"]["action"]["buttons"];
        let id = buttons[0]["reply"]["id"].as_str().expect("an id");
        let signer = ButtonSigner::new(StoreTag::new("tag"), [7; 32]);
        let token = signer.open(id, &"nino".into(), NOW).expect("ours").expect("good");
        assert_eq!((token.action.as_str(), buttons[1]["reply"]["title"].as_str()), ("stop", Some("ack")));
    }

    #[test]
    fn templates_limit_their_buttons_and_missing_ones_go_free() {
        let sent_as = |index| sent(&Choice::Template { index, quick_replies: 1 });
        assert_eq!(
            (&sent_as(0)["type"], &sent_as(0)["template"]["name"]),
            (&"template".into(), &"alarm".into())
        );
        let parts = sent_as(0)["template"]["components"].as_array().map(Vec::len);
        assert_eq!(parts, Some(1), "one of two buttons");
        assert_eq!(sent_as(1)["type"], "interactive");
    }
}
