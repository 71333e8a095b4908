//! What becomes of a message.

use crate::faults::Statuses;
use crate::graph::Refusal;
use crate::world::{Plan, Sent};

/// Its statuses, in order.
pub fn plan(sent: &Sent, held: bool, later: Option<Refusal>, wishes: Statuses) -> Plan {
    let told = wishes.fail_code.map(|code| Refusal::new(code, "as the simulator was told"));
    let words = match (&later, &told, sent.kind.as_str()) {
        _ if held => vec!["held"],
        (Some(_), _, _) => vec!["failed"],
        (None, Some(_), _) => vec!["sent", "failed"],
        // Of a reaction only `sent` comes back; a voice message is played too (docs/cloud-api.md 1.2, 3.7).
        (None, None, "reaction") => vec!["sent"],
        (None, None, "audio") if sent.body["audio"]["voice"] == true => {
            vec!["sent", "delivered", "read", "played"]
        }
        (None, None, _) => vec!["sent", "delivered", "read"],
    };
    Plan { words, error: later.or(told), wishes }
}
