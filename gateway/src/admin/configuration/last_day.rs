//! The events of the last day, as if the draft had held: who would have been told how often, beside what the present one says.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};

use crate::admin::admin_service::Inner;
use crate::alert::intake::RuleSet;
use crate::alert::replay::{RecordedInput, Replay, ReplayedMessage, Timed};
use crate::config::Config;
use crate::http::ApiError;
use crate::ids::ContactId;
use crate::store::KeptEvent;
use crate::time::Timestamp;

const DAY: Duration = Duration::from_secs(24 * 3_600);
/// Of the day, the newest: each is judged twice, and takes up to 4 KiB.
const EVENTS_MAX: u32 = 1_000;
/// Messages that are shown as examples.
const SHOWN: usize = 5;
/// A rule that repeats itself each minute for a thousand freezers tells a million a day: that many say enough.
const MESSAGES_MAX: usize = 10_000;
/// So much time passes at once: what is sent in it is in memory together.
const STEP: Duration = Duration::from_secs(60);

/// How often each was told, and the last few messages.
#[derive(Default)]
struct Told {
    count: BTreeMap<String, usize>,
    latest: Vec<Value>,
    all: usize,
}

impl Inner {
    pub(super) async fn replay_last_day(&self, draft: &Config) -> Result<Value, ApiError> {
        let now = self.now();
        let events = self.store(move |store| store.events_since(now - DAY, EVENTS_MAX)).await?;
        let rules = draft.rule_set().map_err(|error| ApiError::Malformed(error.to_string()))?;
        let running = self.rules.clone();
        let alone = Arc::clone(&self.replaying).lock_owned().await;
        // Beside everything else that the daemon does.
        let replayed = tokio::task::spawn_blocking(move || {
            let _alone = alone; // also where whoever asked has gone
            let (before, after) = (replay(&running, &events, now), replay(&rules, &events, now));
            (before, after, events)
        });
        let (before, after, events) = replayed
            .await
            .map_err(|error| ApiError::Unavailable(format!("The replay ended early: {error}")))?;
        let mut told: Vec<Value> = Vec::new();
        let everybody: std::collections::BTreeSet<&String> =
            before.count.keys().chain(after.count.keys()).collect();
        for to in everybody {
            let contact = ContactId(to.clone());
            let known = [draft, &self.context.config];
            let name = known
                .iter()
                .find_map(|config| config.people.contacts.get(&contact))
                .map(|contact| &contact.name);
            let count = |told: &Told| told.count.get(to).copied().unwrap_or_default();
            told.push(json!({ "to": to, "name": name.unwrap_or(to), "before": count(&before), "after": count(&after) }));
        }
        Ok(json!({
            "events": events.len(), "since_at": events.first().map(|event| event.at.0),
            "cut": events.iter().filter(|event| !event.is_whole).count(), "is_full": events.len() >= EVENTS_MAX as usize, "is_stopped": after.all.max(before.all) >= MESSAGES_MAX,
            "told": told, "latest": after.latest,
        }))
    }
}

/// As each was when it came; what was kept of long payloads is their beginning, and such an event is left out.
fn replay(rules: &RuleSet, events: &[KeptEvent], now: Timestamp) -> Told {
    let mut told = Told::default();
    let mut replay = Replay::new(rules, rules.watch());
    let whole = events.iter().filter(|event| event.is_whole).map(|event| {
        let what = RecordedInput::Publish {
            topic: event.topic.clone(),
            payload: Bytes::from(event.payload.clone()),
            retained: false,
            id: None,
            content_type: None,
        };
        (event.at, what)
    });
    let mut last = events.first().map_or(now, |event| event.at);
    for (at, what) in whole.chain([(now, RecordedInput::Wait)]) {
        while last + STEP < at && told.all < MESSAGES_MAX {
            last = last + STEP;
            replay.step(Timed { at: last, what: RecordedInput::Wait });
            told.take(&mut replay);
        }
        if told.all >= MESSAGES_MAX {
            break;
        }
        last = at.max(last); // a clock may have been set back
        replay.step(Timed { at: last, what });
        told.take(&mut replay);
    }
    told
}

impl Told {
    fn take(&mut self, replay: &mut Replay) {
        replay.records.clear();
        for message in replay.sent.drain(..) {
            self.all += 1;
            let ReplayedMessage { at, to, text, buttons } = message;
            self.latest.push(json!({ "at": at.0, "to": to, "text": text, "buttons": buttons }));
            *self.count.entry(to).or_default() += 1;
            let surplus = self.latest.len().saturating_sub(SHOWN);
            self.latest.drain(..surplus);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{LoadOptions, read};

    /// A rule that repeats itself each minute, for as many doors.
    fn told(doors: i64, hours: u64) -> Told {
        let text = "[site]\nname = \"Bar\"\n[mqtt]\nurl = \"mqtt://127.0.0.1\"\n[[contact]]\nid = \"nino\"\nphone = \"+995 555 12 34 56\"\n\
                    [[rule]]\nname = \"door\"\ntopic = \"site/{door}/door\"\nwhen = \"payload == 'open'\"\nresolve_when = \"payload == 'shut'\"\n\
                    repeat_interval = \"1m\"\nmessage = \"Door {{ door }}\"\nnotify = [\"nino\"]\n";
        let options = LoadOptions { without_secrets: true, ..LoadOptions::default() };
        let rules = read("b.toml", text, &options).expect("good").rule_set().expect("rules");
        let began = Timestamp(1_795_240_800_000);
        let event = |door| KeptEvent {
            at: began,
            topic: format!("site/{door}/door"),
            payload: b"open".to_vec(),
            is_whole: door != 0,
        };
        let events: Vec<KeptEvent> = (0..=doors).map(event).collect();
        replay(&rules, &events, began + Duration::from_secs(hours * 3_600))
    }

    #[test]
    fn time_passes_between_the_events_and_after_the_last() {
        let told = told(1, 1);
        assert_eq!(
            (told.count["nino"], told.all, told.latest.len()),
            (61, 61, SHOWN),
            "each minute for an hour"
        );
        assert!(
            told.latest
                .iter()
                .all(|message| message["text"].as_str().is_some_and(|text| text.contains("Door 1")))
        );
    }

    #[test]
    fn an_endless_replay_is_stopped() {
        let told = told(500, 24);
        assert!((MESSAGES_MAX..MESSAGES_MAX + 1_000).contains(&told.all), "{}", told.all);
    }
}
