//! What the broker announces when it lets us in (MQTT 5, 3.2.2.3), so that nothing beyond it is sent. 3.1.1 announces
//! nothing.

use std::time::Duration;

use crate::time::duration_for_people;

/// The broker asks after us this often; half-open lines are found within 1.5 of it (contract, docs/reliability.md F22).
pub const KEEP_ALIVE: Duration = Duration::from_secs(30);
/// The broker keeps our session, and with it every event, while we are away: a week.
pub const SESSION_EXPIRY: Duration = Duration::from_secs(7 * 24 * 3_600);

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// It keeps retained messages.
    pub retains: bool,
    /// It takes QoS 1 from us.
    pub qos1: bool,
    /// The largest packet that it takes.
    pub packet_bytes: Option<u32>,
    /// It takes filters with `+` and `#`.
    pub wildcards: bool,
    /// It says with each copy to which subscription it belongs.
    pub identifiers: bool,
    /// How long it keeps our session while we are away, where that is not as asked.
    pub session: Option<Duration>,
    /// How often it wants to hear from us; nothing is asked where it is zero.
    pub keep_alive: Duration,
}

impl Default for Limits {
    /// What holds where nothing is announced.
    fn default() -> Self {
        Self {
            retains: true,
            qos1: true,
            packet_bytes: None,
            wildcards: true,
            identifiers: false,
            session: None,
            keep_alive: KEEP_ALIVE,
        }
    }
}

impl Limits {
    /// What it means for whoever runs this, a sentence each.
    #[must_use]
    pub fn in_words(&self) -> Vec<String> {
        let session = self.session.filter(|kept| *kept < SESSION_EXPIRY).map(|kept| {
            let time = duration_for_people(kept);
            format!("it keeps what we miss for {time} only: what comes while we are away for longer is lost")
        });
        let packet = self.packet_bytes.map(|bytes| {
            format!("it takes packets of at most {bytes} bytes: a longer command is refused here, by name")
        });
        let said = |is_said: bool, words: &str| is_said.then(|| words.to_owned());
        [
            said(
                !self.retains,
                "it keeps no retained messages: our status and retained commands reach only who listens at the time",
            ),
            said(!self.qos1, "it takes QoS 0 only: a command counts as published when it has left, and may be lost"),
            said(!self.wildcards, "it takes no wildcards: rules whose topic has `{name}`, `+` or `#` hear nothing"),
            packet,
            session,
        ]
        .into_iter()
        .flatten()
        .collect()
    }

    /// Silence for so long means that the line is dead: one and a half times what was agreed on (MQTT 5, 3.1.2.10). Without
    /// an agreement the system's own keep-alive has to find it.
    #[must_use]
    pub fn idle(&self) -> Duration {
        if self.keep_alive.is_zero() {
            Duration::from_secs(24 * 3_600)
        } else {
            self.keep_alive + self.keep_alive / 2
        }
    }
}
