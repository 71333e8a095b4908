//! The past numbers of alerts, for pages and for the picture that an alert carries.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use sha2::{Digest, Sha256};

use super::{Engine, StateKey};
use crate::alert::effect::Effect;
use crate::alert::lifecycle::AlertKey;
use crate::chart::curve::Curve;
use crate::chart::picture;
use crate::chart::plot::Mark;
use crate::event::incoming::{Event, Identity};
use crate::hex::hex;
use crate::outbox::message::Media;
use crate::rule::attachment::{Attachment, StoredFile};
use crate::time::Timestamp;

/// Curves that are kept: 3 MB, and a hundred sites with ten sensors each.
const CURVES_MAX: usize = 1_000;
/// While there is no room it is looked for no more often.
const LOOK_EVERY: Duration = Duration::from_secs(60);
/// Pictures in [`LOOK_EVERY`]: each is 10 KB on disk. Where more is told at once, people get digests, which show none.
const PICTURES: usize = 30;

#[derive(Debug, Default)]
pub(super) struct Curves {
    of: BTreeMap<AlertKey, Curve>,
    no_room_at: Timestamp,
    /// When the last pictures were drawn.
    drawn: VecDeque<Timestamp>,
    /// The newest picture: several people get the same.
    newest: Option<(AlertKey, Timestamp, String)>,
}

impl Engine {
    /// A value of the number that the rule watches. Of what only came because we subscribed nobody knows when it was.
    pub fn plot(&mut self, ident: &AlertKey, value: f64, event: &Event, now: Timestamp) {
        let Some(rule) = self.rules.get(&ident.rule) else { return };
        let Some(life) = rule.life.clone() else { return };
        let Some(number) = &life.value else { return };
        if event.retained && !rule.on_retained || !now.is_sane() {
            return;
        }
        let at = Some(event.at()).filter(|at| at.is_sane()).map_or(now, |at| at.min(now));
        if !self.curves.of.contains_key(ident) {
            if !self.has_room(now) {
                return;
            }
            self.curves.of.insert(ident.clone(), Curve::new(number));
        }
        let Some(curve) = self.curves.of.get_mut(ident) else { return };
        if let Identity::Counted { device, .. } = &event.identity
            && curve.device.as_ref() != Some(device)
        {
            curve.device = Some(device.clone());
        }
        let was_due = curve.due();
        if curve.take(value, life.curve_span(), at) {
            self.touch(StateKey::Curve(ident.clone()), now);
        } else if curve.due() != was_due {
            self.arm(&StateKey::Curve(ident.clone()), now);
        }
    }

    fn has_room(&mut self, now: Timestamp) -> bool {
        if self.curves.of.len() < CURVES_MAX {
            return true;
        }
        if self.curves.no_room_at.until(now) < LOOK_EVERY {
            return false;
        }
        let span = |ident: &AlertKey| self.life(&ident.rule).map_or(Duration::ZERO, |life| life.curve_span());
        let stale = |(ident, curve): &(&AlertKey, &Curve)| curve.is_stale(span(ident), now);
        let gone: Vec<AlertKey> =
            self.curves.of.iter().filter(stale).map(|(ident, _)| ident.clone()).collect();
        for ident in gone {
            self.curves.of.remove(&ident);
            self.touch(StateKey::Curve(ident), now);
        }
        self.curves.no_room_at = now;
        self.curves.of.len() < CURVES_MAX
    }

    /// What came within the last minute is written down now.
    pub(super) fn settle_curve(&mut self, ident: &AlertKey, now: Timestamp) {
        let Some(life) = self.life(&ident.rule) else { return };
        if self.curves.of.get_mut(ident).is_some_and(|curve| curve.settle(life.curve_span())) {
            self.touch(StateKey::Curve(ident.clone()), now);
        }
    }

    pub(super) fn curve_due(&self, ident: &AlertKey) -> Option<Timestamp> {
        self.curves.of.get(ident).and_then(Curve::due)
    }

    pub(super) fn curve_state(&self, ident: &AlertKey) -> Option<String> {
        let curve = self.curves.of.get(ident).filter(|curve| curve.is_kept())?;
        serde_json::to_string(curve).ok()
    }

    pub(super) fn curve_keys(&self) -> impl Iterator<Item = StateKey> {
        self.curves.of.keys().cloned().map(StateKey::Curve)
    }

    pub(super) fn shift_curves(&mut self, by: i64) {
        self.curves.of.values_mut().for_each(|curve| curve.shift(by));
    }

    /// Whether an earlier process's curve goes on: its rule still watches the same number, and it was heard lately.
    pub(super) fn restore_curve(&mut self, ident: &AlertKey, state: &str, now: Timestamp) -> bool {
        let Some(life) = self.life(&ident.rule) else { return false };
        let Ok(curve) = serde_json::from_str::<Curve>(state) else { return false };
        if life.value.as_ref() != Some(&curve.of) || curve.is_stale(life.curve_span(), now) {
            return false;
        }
        self.curves.of.insert(ident.clone(), curve);
        true
    }

    /// Puts the picture of this alert into the message that was told last, if its rule wants one and it asks somebody to act.
    pub(super) fn illustrate(&mut self, ident: &AlertKey, now: Timestamp) {
        let asks = |effect: &mut Effect| matches!(effect, Effect::Send(notice) if notice.kind.asks());
        let Some(Effect::Send(mut notice)) = self.effects.pop_if(asks) else { return };
        if let (Some(media), Some(alert)) = (self.picture(ident, now), self.alerts.get(ident)) {
            notice.content.templates.clone_from(&alert.templates);
            Attachment::chart().place(&mut notice.content, &media);
            notice.content = notice.content.in_language(notice.to.locale.language);
        }
        self.effects.push(Effect::Send(notice));
    }

    fn picture(&mut self, ident: &AlertKey, now: Timestamp) -> Option<Media> {
        let life = self.life(&ident.rule)?;
        let (span, fired) = (life.chart?, self.alerts.get(ident)?.firing()?.fired_at);
        let media = |sha256: &str| Media::Kept { sha256: sha256.to_owned(), is_drawn: true };
        if let Some((of, at, sha256)) = &self.curves.newest
            && (of, *at) == (ident, now)
        {
            return Some(media(sha256));
        }
        while self.curves.drawn.pop_front_if(|at| at.until(now) >= LOOK_EVERY || *at > now).is_some() {}
        if self.curves.drawn.len() >= PICTURES {
            return None;
        }
        let plot = self.curves.of.get(ident)?.plot(span, now, &life.thresholds, vec![Mark { at: fired }])?;
        let bytes = picture::draw(&plot, &self.zone);
        let sha256 = hex(&Sha256::digest(&bytes));
        self.curves.drawn.push_back(now);
        self.curves.newest = Some((ident.clone(), now, sha256.clone()));
        let shown = media(&sha256);
        let file = StoredFile { sha256, mime: "image/png".to_owned(), bytes: bytes.into() };
        self.effects.push(Effect::Picture(Box::new(file), now));
        Some(shown)
    }
}
