//! Another configuration while the gateway runs, in the order of `app::generation`: what has something under way ends first, then
//! the intake, then all the rest; and the next generation begins as a start does.

use std::rc::Rc;

use bellwire::config::Config;
use bellwire::mqtt::ConnectionEvent;
use bellwire::random::Rng;

use crate::Violation;
use crate::gateway::{DISPATCH, Gateway, INTAKE, SENDER, SPAWNED, WEBHOOK, found, of_machine};

/// Who is still to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    Draining,
    Last,
}

impl Gateway {
    /// The configuration is to be taken over.
    pub fn reload(&mut self) {
        self.reloading = Some(Phase::Draining);
        self.stop.send_replace(true);
    }

    /// Whether everything has ended, so that the next generation can begin.
    pub fn has_handed_over(&mut self) -> bool {
        match self.reloading {
            Some(Phase::Draining) if !self.has_any(&[SENDER, DISPATCH, WEBHOOK]) => {
                self.reloading = Some(Phase::Last);
                self.end.send_replace(true);
                false
            }
            Some(Phase::Last) => !self.has_any(&[INTAKE, SPAWNED]) && !self.disk_full,
            Some(Phase::Draining) | None => false,
        }
    }

    /// The store's thread does one job after the other: what the others had asked for comes before the next generation's.
    pub fn finish_jobs(&mut self, dice: &mut Rng) -> Result<(), Violation> {
        while !self.queue.is_empty() {
            self.commit(dice)?;
        }
        Ok(())
    }

    /// On that configuration. With what had no place in it any more.
    pub fn take_over(
        &mut self,
        (config, before): (Rc<Config>, Rc<Config>),
        is_connected: bool,
    ) -> Result<Vec<String>, Violation> {
        let (config, before) = (of_machine(&config, &self.directory), of_machine(&before, &self.directory));
        let mut found = found(&self.store, &config, &before, self.wall(), self.sabotage)?;
        let ended = std::mem::take(&mut found.ended);
        self.run_on(config, found)?;
        self.reloading = None;
        if is_connected {
            let connected = ConnectionEvent::Connected { session_present: true };
            self.notices.try_send(connected).expect("room for what a run tells");
        }
        Ok(ended)
    }
}
