use bytes::Bytes;

use bellwire::command::asking::{Asked, ask, key};
use bellwire::command::question::ReplyTo;
use bellwire::event::incoming::{Event, EventSource, Identity};

use super::*;

fn event(identity: Identity) -> Event {
    Event {
        source: EventSource::Mqtt,
        topic: "pos/1/refund".into(),
        payload: Bytes::from_static(b"{}"),
        content_type: None,
        identity,
        retained: false,
        expires_in_s: None,
        received_at: NOW,
        happened_at: None,
    }
}

#[test]
fn a_question_shows_its_choices_and_the_default() {
    let site = Site::new(ReplyFacts::default());
    let context = site.config.context(&site.seal, NOW);
    let question = &site.config.questions[0];
    let (key, correlation) = ("refund 1".to_owned(), None);
    let asked = Asked { id: 8, key, response_topic: "pos/1/decision".into(), correlation };
    let bindings = [("till".to_owned(), "1".to_owned())].into();
    let found = ask(question, &bindings, &event(Identity::None), asked, &context);
    let found: Vec<String> = found.iter().map(line).collect();
    let words = "[Approve, Deny]: Refund? | Without an answer in 5 min: Deny.";
    assert_eq!(found[0], format!("question 8 to pos/1/decision; nino {words}; dato {words}"));
    assert_eq!(found[1], "audit question by : question 8 (refund) on pos/1/refund");
}

#[test]
fn a_repeated_question_is_recognised_by_its_identity() {
    let site = Site::new(ReplyFacts::default());
    let question = &site.config.questions[0];
    let to = |data: &[u8]| ReplyTo { topic: "pos/1/decision".into(), correlation: Some(data.to_vec()) };
    let packet = |id, redelivered| event(Identity::Packet { id, redelivered });
    let of = |event: &Event, to: Option<&ReplyTo>| key(question, event, to);
    let (first, again) = (packet(7, false), packet(7, true));
    assert_eq!(of(&first, None).0, of(&again, None).0);
    assert_eq!(
        (of(&first, None).1, of(&again, None).1),
        (false, true),
        "surely only when the broker says so"
    );
    assert_ne!(of(&first, None).0, of(&packet(8, false), None).0);
    let (a, b) = (to(b"a"), to(b"b"));
    assert_eq!(of(&first, Some(&a)).0, of(&packet(9, false), Some(&a)).0, "the same correlation data");
    assert_ne!(of(&first, Some(&a)).0, of(&first, Some(&b)).0);
    let later = Event { received_at: minutes(1), ..event(Identity::None) };
    assert_ne!(of(&event(Identity::None), None).0, of(&later, None).0, "each is its own");
}
