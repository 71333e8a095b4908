//! What devices and people do by themselves.

use std::time::Duration;

use crate::Violation;
use crate::broker::Publication;
use crate::world::World;
use crate::{person, site};

impl World {
    /// A webhook that is not Meta's.
    pub(crate) fn forge(&mut self) -> Result<(), Violation> {
        let (body, signature) = self.meta.forge(self.now, &mut self.dice);
        if self.hubs.is_some() {
            self.note("a forged webhook");
            self.post_to_hub(0, body, signature);
            return Ok(());
        }
        let Some(gateway) = self.gateway.as_mut().filter(|gateway| gateway.is_listening()) else {
            return Ok(());
        };
        let outs = gateway.keep(0, body, &signature);
        self.note("a forged webhook");
        outs.into_iter().try_for_each(|out| self.perform(out))
    }

    pub(crate) fn publish(&mut self) {
        self.serial += 1;
        let publication = site::event(self.serial, &mut self.dice);
        self.note(&format!("a device publishes event {} on {}", self.serial, publication.topic));
        self.offer(publication);
    }

    /// A device goes mad: one event after the other, for a minute or two.
    pub(crate) fn flood(&mut self) -> Result<(), Violation> {
        let (events, pause) = (20 + self.dice.below(20), 500 + self.dice.below(4_000));
        self.note(&format!("{events} events, one each {pause} ms"));
        for _ in 0..events {
            self.serial += 1;
            let publication = site::mad(self.serial, &mut self.dice);
            self.offer(publication);
            self.come_to_rest()?;
            self.pass(Duration::from_millis(pause))?;
        }
        Ok(())
    }

    /// A device that got no answer says the same again, under the same id.
    pub(crate) fn publish_again(&mut self) {
        let named = self.published.values().rfind(|publication| publication.id.is_some()).cloned();
        if let Some(publication) = named {
            self.note(&format!("a device repeats event {}", publication.serial));
            self.offer(publication);
        }
    }

    fn offer(&mut self, publication: Publication) {
        if self.broker.publish(publication.clone()) && publication.qos1 {
            self.published.insert(publication.serial, publication);
        }
    }

    /// A device tells what it made of a command.
    pub(crate) fn say(&mut self) {
        let Some(answer) = self.device.say(self.now) else { return };
        self.serial += 1;
        let publication = answer.publication(self.serial, &mut self.dice);
        let text = String::from_utf8_lossy(&publication.payload).into_owned();
        self.note(&format!("a device answers on {}: {text}", publication.topic));
        self.check.commanded.says(&publication.topic, answer.verdict());
        self.offer(publication);
    }

    pub(crate) fn reply(&mut self) {
        let reply = match self.dice.below(10) {
            0 => Some(person::wish(&mut self.meta, self.now, &mut self.dice)),
            1..6 => person::reply(&mut self.meta, self.now, &mut self.dice),
            _ => Some(person::answer(&mut self.meta, self.now, &mut self.dice)),
        };
        if let Some(reply) = reply {
            if let Some((about, word)) = &reply.says {
                self.check.asked.say(reply.by, about, word);
            }
            self.check.written.insert(reply.wamid.clone(), reply.over);
            self.note(&format!("a person answers: {reply:?}"));
            self.replies.push(reply);
        }
    }
}
