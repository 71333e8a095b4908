//! A webhook's body: each thing that it says is understood, and what is not written by a person of the house does nothing.

use bellwire::reply::inbound::Inbound;
use bellwire::reply::interpret::Interpretation;
use bellwire::whatsapp::inbound::read;

use super::reply::{Fixture, judge};

pub fn webhook(data: &[u8]) {
    let found = read(data);
    assert!(!found.is_empty(), "a body says something, or that it says nothing");
    let house = Fixture::new();
    for inbound in &found {
        match inbound {
            Inbound::Reply(reply) => {
                let outcome = judge(&house, reply);
                if reply.forwarded {
                    let harmless = matches!(
                        outcome,
                        Interpretation::Nothing { .. }
                            | Interpretation::Say { .. }
                            | Interpretation::Stranger
                            | Interpretation::ReadOn { .. }
                    );
                    assert!(harmless, "{outcome:?}");
                }
            }
            Inbound::Status(status) => {
                assert!(!status.at.rfc3339().is_empty());
                if let Some(refusal) = &status.refusal {
                    assert!(!bellwire::outbox::retry_policy::sentence(refusal).is_empty());
                }
            }
            Inbound::Notice(notice) => assert!(!notice.text.is_empty(), "{notice:?}"),
            Inbound::Moved(_) | Inbound::Preference(_) => {}
            Inbound::File(file) => assert!(
                !file.media_id.is_empty() && !file.media_id.contains(['/', '?', '.', '#']),
                "{file:?}"
            ),
            Inbound::Ignored(why) => assert!(!why.is_empty()),
        }
    }
    assert_eq!(found, read(data), "the same twice");
}
