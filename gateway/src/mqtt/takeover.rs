//! Another client with our client id: the broker ends our connection for it, and if it connects again by itself, too, the two
//! take the session from each other again and again, and each hears only part of what is published.

use std::time::Duration;

use crate::mqtt::protocol::Cause;

/// A connection that ends sooner was cut short.
const SHORT: Duration = Duration::from_secs(60);
/// MQTT 3.1.1 has no word for it: so many connections in a row that the broker made and then closed. A broker that is
/// restarted refuses some in between.
const IN_A_ROW: u32 = 3;

/// The connections that the other side closed, one after the other.
#[derive(Debug, Default)]
pub struct Takeovers {
    in_a_row: u32,
}

impl Takeovers {
    /// Why a connection ended, in better words where it is known what it was.
    pub fn ended(
        &mut self,
        (cause, reason): (Cause, String),
        lasted: Duration,
        client_id: &str,
    ) -> (Cause, String) {
        match cause {
            Cause::TakenOver => {
                let reason = format!(
                    "another client has connected with our client id {client_id}: find it in the broker's log, and give \
                     each a client_id of its own in [mqtt]"
                );
                (cause, reason)
            }
            Cause::Line => {
                self.in_a_row = if lasted < SHORT { self.in_a_row + 1 } else { 1 };
                if self.in_a_row < IN_A_ROW {
                    return (cause, reason);
                }
                let reason = format!(
                    "the broker closed {} connections in a row soon after it had made them ({reason}): most likely another \
                     client has our client id {client_id}; find it in the broker's log, and give each a client_id of its \
                     own in [mqtt]. Or this user may not publish below bellwire/{client_id}/, and the broker ends the \
                     connection for it",
                    self.in_a_row
                );
                (Cause::TakenOver, reason)
            }
            Cause::Refused | Cause::Broker | Cause::Silence | Cause::Disk | Cause::Undelivered => {
                self.in_a_row = 0;
                (cause, reason)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ended(takeovers: &mut Takeovers, cause: Cause, seconds: u64) -> Cause {
        takeovers.ended((cause, "closed".into()), Duration::from_secs(seconds), "bar").0
    }

    #[test]
    fn three_short_connections_in_a_row_mean_a_takeover() {
        let mut takeovers = Takeovers::default();
        for (cause, lasted, found) in [
            (Cause::Line, 4_000, Cause::Line),
            (Cause::Line, 1, Cause::Line),
            (Cause::Line, 1, Cause::TakenOver),
            (Cause::Line, 2, Cause::TakenOver),
            (Cause::Line, 61, Cause::Line), // it stood again
            (Cause::Line, 1, Cause::Line),
            (Cause::Refused, 0, Cause::Refused), // the broker itself was away
            (Cause::Line, 1, Cause::Line),
            (Cause::Line, 1, Cause::Line),
            (Cause::Line, 1, Cause::TakenOver),
        ] {
            assert_eq!(ended(&mut takeovers, cause, lasted), found);
        }
    }

    #[test]
    fn a_takeover_reported_by_the_broker_counts_at_once() {
        let reason = Takeovers::default()
            .ended((Cause::TakenOver, "0x8E".into()), Duration::from_secs(4_000), "bar")
            .1;
        assert!(reason.contains("our client id bar"), "{reason}");
    }
}
