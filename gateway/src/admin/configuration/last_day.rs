//! The events of the last day, as if the draft had held: who would have been told how often, beside what the present one says.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};

use crate::admin::admin_service::Inner;
use crate::alert::intake::RuleSet;
use crate::alert::replay::{RecordedInput, Replay, Timed};
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
/// Events between two breaths: everything else of the daemon goes on meanwhile.
const BREATH: usize = 20;

/// How often each was told, and the last few messages.
#[derive(Default)]
struct Told {
    count: BTreeMap<String, usize>,
    latest: Vec<Value>,
}

impl Inner {
    pub(super) async fn replay_last_day(&self, draft: &Config) -> Result<Value, ApiError> {
        let now = self.now();
        let events = self.store(move |store| store.events_since(now - DAY, EVENTS_MAX)).await?;
        let rules = draft.rule_set().map_err(|error| ApiError::Malformed(error.to_string()))?;
        let after = replay(&rules, &events, now).await;
        let before = replay(&self.rules, &events, now).await;
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
            "cut": events.iter().filter(|event| !event.is_whole).count(), "is_full": events.len() >= EVENTS_MAX as usize,
            "told": told, "latest": after.latest,
        }))
    }
}

/// As each was when it came; what was kept of long payloads is their beginning, and such an event is left out.
async fn replay(rules: &RuleSet, events: &[KeptEvent], now: Timestamp) -> Told {
    let mut told = Told::default();
    let mut replay = Replay::new(rules, rules.watch());
    let whole = events.iter().filter(|event| event.is_whole).map(|event| Timed {
        at: event.at,
        what: RecordedInput::Publish {
            topic: event.topic.clone(),
            payload: Bytes::from(event.payload.clone()),
            retained: false,
            id: None,
            content_type: None,
        },
    });
    let end = Timed { at: now, what: RecordedInput::Wait };
    let mut last = Timestamp(0);
    for (number, mut timed) in whole.chain([end]).enumerate() {
        timed.at = timed.at.max(last); // a clock that was set back
        last = timed.at;
        replay.step(timed);
        replay.records.clear();
        for message in replay.sent.drain(..) {
            told.latest.push(json!({ "at": message.at.0, "to": message.to, "text": message.text, "buttons": message.buttons }));
            *told.count.entry(message.to).or_default() += 1;
        }
        let surplus = told.latest.len().saturating_sub(SHOWN);
        told.latest.drain(..surplus);
        if number % BREATH == BREATH - 1 {
            tokio::task::yield_now().await;
        }
    }
    told
}
