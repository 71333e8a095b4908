//! What is said or tapped under an alert: one of its actions, or what happens to the alert itself.

use crate::alert::alert_key::Ident;
use crate::alert::engine::{Note, Person};
use crate::command::action::Deed;
use crate::command::phrase::{near, same};
use crate::contact::language::{Language, Voice};
use crate::reply::interpret::{Known, Outcome, Reading};
use crate::reply::keywords;
use crate::rule::definition::{Action, Rule};
use crate::rule::lifecycle_settings::Offer;

impl Reading<'_> {
    /// A button's own id: of an action, or of an offer of ours.
    pub(crate) fn tapped(&self, known: &Known, id: &str) -> Outcome {
        match Offer::of_button(id) {
            Some(offer) => self.offered(known, offer),
            None => self.action(known, id),
        }
    }

    /// Words under it; `None`: nothing that is particular to it.
    pub(crate) fn said_of(&self, known: &Known, words: &str) -> Option<Outcome> {
        let (rule, voice) = (self.rule(known)?, &self.contact.voice);
        if let Some(action) = rule.actions.iter().find(|action| is_wanted(action, words)) {
            return Some(self.action(known, &action.id));
        }
        let offers = || rule.life.iter().flat_map(|life| life.offers.iter().copied());
        if let Some(offer) =
            offers().find(|offer| has_title(*offer, words)).or_else(|| keywords::offer(words))
        {
            return Some(self.offered(known, offer));
        }
        let is_near =
            |action: &&Action| action.title.all().any(|title| near(title, words)) || near(&action.id, words);
        let close = rule.actions.iter().find(is_near);
        let close = close.map(|action| action.title.to(voice.language).to_owned());
        let close =
            close.or_else(|| offers().map(|offer| offer.title(voice)).find(|title| near(title, words)));
        if let Some(title) = close {
            return Some(self.suggest(&title));
        }
        self.sent_on(known, words)
    }

    /// Somebody takes care of it, ends it, or wants to hear nothing of it for a while.
    pub(crate) fn offered(&self, known: &Known, offer: Offer) -> Outcome {
        let Some(rule) = self.rule(known) else {
            return self.stale("the rule of this alert is no longer in the configuration");
        };
        let contact = self.contact.id.clone();
        let Some(life) = &rule.life else {
            return match offer {
                Offer::Acknowledge => Outcome::Acknowledge { contact, alert: known.alert },
                Offer::Resolve | Offer::Snooze(_) => self
                    .nothing("alerts of this rule are told each time; there is nothing to end or to snooze"),
            };
        };
        if known.is_over {
            return self.say(|s| s.alert_is_over, "the alert has ended, or has begun anew since");
        }
        // To end an alert while its condition holds is dangerous: only where the rule offers it.
        if offer == Offer::Resolve && !life.offers.contains(&offer) {
            return self.stale("the rule does not offer to end the alert");
        }
        let alert = Ident::of(&rule.name, &life.key, &known.bindings);
        let by = Person { name: self.contact.name.clone(), contact: Some(contact.clone()) };
        let note = match offer {
            Offer::Acknowledge => Note::Acknowledge { alert, by },
            Offer::Resolve => Note::Resolve { alert, by },
            Offer::Snooze(time) => Note::Snooze { alert, by, seconds: time.as_secs() },
        };
        Outcome::Note { contact, note }
    }

    /// Free text under an alert, where a display or a printer takes it; commands and questions to us come before.
    fn sent_on(&self, known: &Known, words: &str) -> Option<Outcome> {
        let onward = self.house.onward.iter().find(|onward| onward.rule.as_ref() == Some(&known.rule))?;
        let ours = self.house.words.read(words).is_some() || keywords::asked(words).is_some();
        if ours || self.house.commands.iter().any(|command| command.read(words).is_some()) {
            return None;
        }
        Some(self.offer(onward.deed(self.ticket(words), &known.bindings, Some(known.alert)), &onward.terms))
    }

    fn rule(&self, known: &Known) -> Option<&Rule> {
        self.house.rules.iter().find(|rule| rule.name == known.rule)
    }

    fn action(&self, known: &Known, action: &str) -> Outcome {
        let Some(rule) = self.rule(known) else {
            return self.stale("the rule of this alert is no longer in the configuration");
        };
        let Some(action) = rule.actions.iter().find(|known| known.id == action) else {
            return self.stale("the alert has no action of this name any more");
        };
        let what = (&action.topic, action.payload.as_str(), action.retain);
        let name = (action.id.as_str(), action.title.to(self.contact.voice.language));
        let deed = Deed::new(name, what, &action.terms, &known.bindings, Some(known.alert));
        self.offer(deed, &action.terms)
    }
}

/// In any language: a button may be older than a change of the configuration.
fn has_title(offer: Offer, words: &str) -> bool {
    let voices = Language::ALL.map(|language| Voice { language, ..Voice::default() });
    voices.iter().any(|voice| same(&offer.title(voice), words))
}

/// By id, by title, or by one of its words.
fn is_wanted(action: &Action, wanted: &str) -> bool {
    std::iter::once(&action.id)
        .chain(action.title.all())
        .chain(&action.words)
        .any(|words| same(words, wanted))
}
