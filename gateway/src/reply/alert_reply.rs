//! Replies under an alert, in words or by a tap: one of its actions, or what happens to the alert itself.

use std::borrow::Cow;

use serde_json::json;

use crate::alert::alert_key::AlertKey;
use crate::alert::engine::{AlertCommand, Person};
use crate::alert::request::TAG;
use crate::command::action::{BY_ID, BY_NAME, ResolvedAction};
use crate::command::phrase::{near, same};
use crate::contact::language::{Language, Locale};
use crate::reply::interpret::{AlertRef, Interpretation, Reading};
use crate::reply::keywords;
use crate::rule::definition::{ButtonAction, Rule};
use crate::rule::lifecycle_settings::BuiltInButton;

impl Reading<'_> {
    /// A button's own id: of an action, or of an offer of ours.
    pub(crate) fn tapped(&self, known: &AlertRef, id: &str) -> Interpretation {
        match BuiltInButton::of_button(id) {
            Some(offer) => self.offered(known, offer),
            None => self.action(known, id),
        }
    }

    /// Words under it; `None`: nothing that is particular to it.
    pub(crate) fn said_of(&self, known: &AlertRef, words: &str) -> Option<Interpretation> {
        let (rule, locale) = (self.rule(known)?, &self.contact.locale);
        let actions = actions(rule, known);
        if let Some(action) = actions.iter().find(|action| is_wanted(action, words)) {
            return Some(self.action(known, &action.id));
        }
        let offers = || rule.life.iter().flat_map(|life| life.offers.iter().copied());
        if let Some(offer) =
            offers().find(|offer| has_title(*offer, words)).or_else(|| keywords::offer(words))
        {
            return Some(self.offered(known, offer));
        }
        let is_near = |action: &&ButtonAction| {
            action.title.all().any(|title| near(title, words)) || near(&action.id, words)
        };
        let close = actions.iter().find(is_near);
        let close = close.map(|action| action.title.to(locale.language).to_owned());
        let close =
            close.or_else(|| offers().map(|offer| offer.title(locale)).find(|title| near(title, words)));
        if let Some(title) = close {
            return Some(self.suggest(&title));
        }
        self.sent_on(known, words)
    }

    /// Somebody takes care of it, ends it, or wants to hear nothing of it for a while.
    pub(crate) fn offered(&self, known: &AlertRef, offer: BuiltInButton) -> Interpretation {
        let Some(rule) = self.rule(known) else {
            return self.stale("the rule of this alert is no longer in the configuration");
        };
        let contact = self.contact.id.clone();
        let Some(life) = &rule.life else {
            return match offer {
                BuiltInButton::Acknowledge => Interpretation::Acknowledge { contact, alert: known.alert },
                BuiltInButton::Resolve | BuiltInButton::Snooze(_) => self
                    .nothing("alerts of this rule are told each time; there is nothing to end or to snooze"),
            };
        };
        if known.is_over {
            return self.say(|s| s.alert_is_over, "the alert has ended, or has begun anew since");
        }
        // To end an alert while its condition holds is dangerous: only where the rule offers it.
        if offer == BuiltInButton::Resolve && !life.offers.contains(&offer) {
            return self.stale("the rule does not offer to end the alert");
        }
        let alert = AlertKey::of(&rule.name, &life.key, &known.bindings);
        let by = Person { name: self.contact.name.clone(), contact: Some(contact.clone()) };
        let note = match offer {
            BuiltInButton::Acknowledge => AlertCommand::Acknowledge { alert, by },
            BuiltInButton::Resolve => AlertCommand::Resolve { alert, by },
            BuiltInButton::Snooze(time) => AlertCommand::Snooze { alert, by, seconds: time.as_secs() },
        };
        Interpretation::Note { contact, note }
    }

    /// Free text under an alert, where a display or a printer takes it; commands and questions to us come before.
    fn sent_on(&self, known: &AlertRef, words: &str) -> Option<Interpretation> {
        let onward = self.house.onward.iter().find(|onward| onward.rule.as_ref() == Some(&known.rule))?;
        let ours = self.house.words.read(words).is_some() || keywords::asked(words).is_some();
        if ours || self.house.commands.iter().any(|command| command.read(words).is_some()) {
            return None;
        }
        Some(self.offer(onward.action(self.ticket(words), &known.bindings, Some(known.alert)), &onward.terms))
    }

    fn rule(&self, known: &AlertRef) -> Option<&Rule> {
        self.house.rules.iter().map(AsRef::as_ref).find(|rule: &&Rule| rule.name == known.rule)
    }

    fn action(&self, known: &AlertRef, action: &str) -> Interpretation {
        let Some(rule) = self.rule(known) else {
            return self.stale("the rule of this alert is no longer in the configuration");
        };
        let of_request = known.actions.iter().any(|known| known.action == action);
        if of_request && known.is_over {
            return self.say(|s| s.alert_is_over, "a later request took the alert's place, or ended it");
        }
        let actions = actions(rule, known);
        let Some(action) = actions.iter().find(|known| known.id == action) else {
            return self.stale("the alert has no action of this name any more");
        };
        let title = action.title.to(self.contact.locale.language);
        let payload = match of_request {
            true => self.tapped_payload(known, &action.id, title),
            false => self.named(&action.payload),
        };
        let what = (&action.topic, payload.as_str(), action.retain);
        let name = (action.id.as_str(), title);
        let resolved = ResolvedAction::new(name, what, &action.terms, &known.bindings, Some(known.alert));
        self.offer(resolved, &action.terms)
    }

    /// What whoever asked hears of a tap.
    fn tapped_payload(&self, known: &AlertRef, action: &str, title: &str) -> String {
        let (by, tag) = (self.contact, known.bindings.get(TAG));
        json!({
            "action": action, "title": title, "tag": tag, "alert": known.alert.0, "contact": by.id, "name": by.name,
            "roles": by.roles, "at": self.reply.at.rfc3339(),
        })
        .to_string()
    }

    /// `{{ contact }}` and `{{ contact.name }}` of a payload, as a JSON text may have them between its quotes.
    pub(crate) fn named(&self, payload: &str) -> String {
        if !payload.contains("{{ contact") {
            return payload.to_owned();
        }
        let name = serde_json::Value::from(self.contact.name.as_str()).to_string();
        let name = name.get(1..name.len() - 1).unwrap_or_default();
        payload.replace(BY_ID, &self.contact.id.0).replace(BY_NAME, name)
    }
}

/// A request offers what it names itself.
fn actions<'a>(rule: &'a Rule, known: &AlertRef) -> Cow<'a, [ButtonAction]> {
    match &rule.request {
        Some(policy) => {
            rule.actions.iter().cloned().chain(known.actions.iter().map(|one| one.button(policy))).collect()
        }
        None => Cow::Borrowed(&rule.actions),
    }
}

/// In any language: a button may be older than a change of the configuration.
fn has_title(offer: BuiltInButton, words: &str) -> bool {
    let voices = Language::ALL.map(|language| Locale { language, ..Locale::default() });
    voices.iter().any(|locale| same(&offer.title(locale), words))
}

/// By id, by title, or by one of its words.
fn is_wanted(action: &ButtonAction, wanted: &str) -> bool {
    std::iter::once(&action.id)
        .chain(action.title.all())
        .chain(&action.words)
        .any(|words| same(words, wanted))
}
