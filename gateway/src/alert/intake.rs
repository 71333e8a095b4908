//! The first half of the way: events in, decisions to the store, and only then the acknowledgement.
//!
//! The order *commit, then acknowledge* (promise P1) is [`Intake::handle`] for every event. What is no event is acknowledged by
//! `task/mqtt_intake.rs` itself: Home Assistant's orders after they are written down, devices' letters at once, since the device keeps
//! what it sent; surplus copies of overlapping subscriptions by `mqtt/overlapping.rs`.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::tz::TimeZone;

use crate::alert::effect;
use crate::alert::engine::{ALERTS_MAX, AlertCommand, Engine};
use crate::alert::evaluate::{RuleEvaluation, unheard};
use crate::alert::ignored::Ignored;
use crate::alert::payload::Payload;
use crate::alert::request::{Request, TAG};
use crate::alert::route::{Routes, route};
use crate::alert::unjudged::Unjudged;
use crate::contact::People;
use crate::event::decode::PayloadFormat;
use crate::event::incoming::{Event, Identity};
use crate::event::sparkplug::{BirthCertificates, Rebirth};
use crate::ids::RuleName;
use crate::rule::definition::Rule;
use crate::rule::error::TemplateError;
use crate::rule::template::Expressions;
use crate::time::{Now, Timestamp};

/// The decision about one event, committed as a whole or not at all.
#[derive(Debug, Clone, PartialEq)]
pub struct Decision {
    pub event: Event,
    /// Under which key a repetition of this event is found; `None` when none can be recognised.
    pub key: Option<String>,
    /// The packet identifier is new to this event, so the one that had it before was acknowledged (MQTT 5, 2.2.1): what
    /// it had is no repetition any more.
    pub frees: Option<u16>,
    /// Look for an earlier event with this key first, and count this one as a duplicate if there is one.
    pub may_repeat: bool,
    /// Rules that tell nobody at once, and why.
    pub ignored: Vec<(RuleName, Ignored)>,
    /// Rules that could not judge the event, each reason once; the rest counted.
    pub unjudged: Vec<Unjudged>,
    /// The alerts that it raises, with their messages, and what it does to those that there are.
    pub effects: Vec<effect::Effect>,
    /// Asks the Sparkplug node that sent it for its births.
    pub rebirth: Option<Rebirth>,
}

impl Decision {
    /// Whether any rule has looked at the event.
    #[must_use]
    pub fn has_rule(&self) -> bool {
        !self.ignored.is_empty() || self.effects.iter().any(effect::Effect::is_once)
    }
}

/// An input of the intake. `T` is what the source of an event needs for its acknowledgement.
#[derive(Debug)]
pub enum IntakeInput<T> {
    Arrived(Vec<(Event, Option<T>)>),
    /// Events that no rule may look at: the process died on them.
    SetAside(Vec<(Event, Option<T>)>),
    /// What others wrote down for the watch, each with its row.
    Noted(Vec<(NoteId, AlertCommand)>),
    /// Time has passed.
    Woke,
    Committed(BatchId),
}

/// An effect that the intake wants done.
#[derive(Debug)]
pub enum IntakeEffect<T> {
    /// All decisions in one transaction; answered with `Committed`.
    Commit(BatchId, Vec<Decision>),
    /// What time and people did to alerts, and which notes that settles; in one transaction too.
    Watched { effects: Vec<effect::Effect>, taken: Vec<NoteId> },
    /// Tell the door that the event is ours.
    Acknowledge(T),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct BatchId(u64);

/// A note's row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct NoteId(pub i64);

/// The intake's memory: whom to acknowledge after which commit, and what decisions are made from.
#[derive(Debug)]
pub struct Intake<T> {
    judge: RuleSet,
    watch: Engine,
    waiting: BTreeMap<BatchId, Vec<T>>,
    next: u64,
}

/// Everything that decides what an event means. Shared by the daemon and by `bellwire try`.
#[derive(Debug, Clone)]
pub struct RuleSet {
    rules: Arc<[Arc<Rule>]>,
    routes: Arc<Routes>,
    people: Arc<People>,
    expressions: Arc<Expressions>,
    site: String,
    zone: TimeZone,
}

impl<T> Intake<T> {
    #[must_use]
    pub fn new(judge: RuleSet, watch: Engine) -> Self {
        Self { judge, watch, waiting: BTreeMap::new(), next: 0 }
    }

    /// Restores what an earlier process remembered.
    pub fn restore(&mut self, kept: Vec<effect::Snapshot>, now: Now) {
        self.watch.restore(kept, now);
        self.judge.begin(&mut self.watch, now.wall);
    }

    /// Begins again with what is on disk: something that was decided could not be written.
    pub fn reload(&mut self, kept: Vec<effect::Snapshot>, now: Now) {
        self.watch = self.judge.watch();
        self.restore(kept, now);
    }

    /// Somebody came or went.
    pub fn meet(&mut self, people: Arc<People>) {
        self.watch.meet(Arc::clone(&people));
        self.judge.people = people;
    }

    /// When to say `Woke`.
    #[must_use]
    pub fn wake_at(&self) -> Option<Timestamp> {
        self.watch.wake_at()
    }

    /// The broker has begun a new session. It is written down with what happens next.
    pub fn free_packets(&mut self) {
        self.watch.free_packets();
    }

    pub fn handle(&mut self, input: IntakeInput<T>, now: Now) -> Vec<IntakeEffect<T>> {
        if !matches!(input, IntakeInput::Committed(_)) {
            self.watch.advance(now);
        }
        match input {
            IntakeInput::Woke => self.watched(Vec::new()),
            IntakeInput::Noted(notes) => {
                let mut taken = Vec::new();
                for (id, note) in notes {
                    if let Err(reason) = self.watch.note(&note, now.wall) {
                        tracing::info!(reason, "a note changes nothing");
                    }
                    taken.push(id);
                }
                self.watched(taken)
            }
            IntakeInput::Arrived(events) => {
                self.arrived(events, |judge, watch, event| judge.decide(event, watch, now.wall))
            }
            IntakeInput::SetAside(events) => self.arrived(events, |judge, _, event| judge.set_aside(event)),
            IntakeInput::Committed(batch) => self
                .waiting
                .remove(&batch)
                .unwrap_or_default()
                .into_iter()
                .map(IntakeEffect::Acknowledge)
                .collect(),
        }
    }

    fn arrived(
        &mut self,
        events: Vec<(Event, Option<T>)>,
        decide: impl Fn(&RuleSet, &mut Engine, Event) -> Decision,
    ) -> Vec<IntakeEffect<T>> {
        let mut effects = self.watched(Vec::new()); // what the time until now brought is no event's doing
        let batch = BatchId(self.next);
        self.next += 1;
        let (events, tokens): (Vec<Event>, Vec<Option<T>>) = events.into_iter().unzip();
        self.waiting.insert(batch, tokens.into_iter().flatten().collect());
        let decide = |event| decide(&self.judge, &mut self.watch, event);
        let mut decisions: Vec<Decision> = events.into_iter().map(decide).collect();
        if let Some(last) = decisions.iter_mut().rev().find(|decision| decision.has_rule()) {
            last.effects.extend(self.watch.keep_passed());
        }
        effects.push(IntakeEffect::Commit(batch, decisions));
        effects
    }

    fn watched(&mut self, taken: Vec<NoteId>) -> Vec<IntakeEffect<T>> {
        let mut effects = self.watch.drain();
        effects.extend(self.watch.keep_passed());
        if effects.is_empty() && taken.is_empty() {
            Vec::new()
        } else {
            vec![IntakeEffect::Watched { effects, taken }]
        }
    }
}

impl RuleSet {
    pub fn new(
        rules: Vec<Arc<Rule>>,
        people: Arc<People>,
        site: String,
        zone: TimeZone,
    ) -> Result<Self, TemplateError> {
        let expressions = Arc::new(Expressions::compile(rules.iter().map(AsRef::as_ref))?);
        let routes = Arc::new(Routes::new(rules.iter().map(|rule| &rule.topic)));
        Ok(Self { rules: rules.into(), routes, people, expressions, site, zone })
    }

    /// The memory that goes with these rules.
    #[must_use]
    pub fn watch(&self) -> Engine {
        Engine::new(&self.rules, Arc::clone(&self.people), self.zone.clone(), ALERTS_MAX)
    }

    /// From now on signs of life are missed.
    pub fn begin(&self, watch: &mut Engine, now: Timestamp) {
        watch.begin(now, |rule| unheard(rule, &self.site));
    }

    /// Evaluates the event by every rule.
    #[must_use]
    pub fn decide(&self, mut event: Event, watch: &mut Engine, now: Timestamp) -> Decision {
        let (mut ignored, mut unjudged) = (Vec::new(), Vec::new());
        let matching: Vec<_> = route(&self.rules, &self.routes, &event.topic).collect();
        let takes_requests = matching.iter().any(|(rule, _)| rule.request.is_some());
        let request = takes_requests.then(|| Request::read(&event, &self.people));
        if let Some(Ok(Request { key: Some(key), .. })) = &request {
            event.identity = Identity::Named(key.clone());
        }
        let (key, may_repeat) = event.repetition();
        let mut payload = Payload::new(&event, self.sparkplug(&event, watch));
        let rebirth = watch.births.ask(now);
        let (site, expressions, repetition) = (&self.site, &self.expressions, key.as_deref());
        for (rule, mut bindings) in matching {
            let (event, flaws) = (&event, Vec::new());
            let asked = request.as_ref().filter(|_| rule.request.is_some());
            let request = asked.and_then(|asked| asked.as_ref().ok());
            let of_request = request.map(|request| request.rule(rule, &self.people));
            let mut of_event =
                request.map(|request| Payload::known(event, PayloadFormat::Json, request.payload()));
            bindings.extend(request.and_then(|request| request.tag.clone()).map(|tag| (TAG.to_owned(), tag)));
            let rule = of_request.as_ref().unwrap_or(rule);
            let mut evaluation = RuleEvaluation {
                rule,
                bindings,
                event,
                repetition,
                may_repeat,
                site,
                expressions,
                flaws,
                request,
            };
            let why = match asked {
                Some(Err(why)) if !event.retained => Some(Ignored::Undecodable(why.clone())),
                Some(_) | None => evaluation.run(of_event.as_mut().unwrap_or(&mut payload), watch, now),
            };
            unjudged.extend(watch.whole.judge(rule, &event.topic, &evaluation.flaws, why.as_ref()));
            ignored.extend(why.map(|why| (rule.name.clone(), why)));
        }
        let frees =
            if let Identity::Packet { id, redelivered: false } = event.identity { Some(id) } else { None };
        Decision { event, key, frees, may_repeat, ignored, unjudged, effects: watch.drain(), rebirth }
    }

    /// Each rule that it concerns has not looked at it.
    fn set_aside(&self, event: Event) -> Decision {
        let (key, may_repeat) = event.repetition();
        let concerned = route(&self.rules, &self.routes, &event.topic);
        let ignored = concerned.map(|(rule, _)| (rule.name.clone(), Ignored::SetAside)).collect();
        let (unjudged, effects) = (Vec::new(), Vec::new());
        Decision { event, key, frees: None, may_repeat, ignored, unjudged, effects, rebirth: None }
    }

    /// Births matter also where no rule is about them.
    fn sparkplug(&self, event: &Event, watch: &mut Engine) -> Option<Result<serde_json::Value, String>> {
        let asks = |rule: &Arc<Rule>| rule.payload == PayloadFormat::Sparkplug;
        let concerns = BirthCertificates::concerns(&event.topic) && self.rules.iter().any(asks);
        concerns.then(|| watch.births.read(&event.topic, &event.payload))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::time::Duration;

    use super::*;
    use crate::alert::effect::told_once;
    use crate::alert::engine::{Person, StateKey};
    use crate::alert::lifecycle::AlertKey;
    use crate::alert::tests::{MORNING, event, site};
    use crate::outbox::message::{Header, Media, Part};

    const RULES: &str = r#"
[[rule]]
name = "bell"
topic = "bell/{id}"
message = { en = "Bell {{ id }}", de = "Klingel {{ id }}" }
notify = ["nino", "giorgi", "keti"]
expires = "10m"
[[rule]]
name = "door"
topic = "door/{id}"
when = "payload > 5"
resolve_when = "payload < 3"
for = "1m"
message = "Door {{ id }}"
notify = ["giorgi"]
"#;

    fn intake() -> Intake<u16> {
        let judge = site(RULES).1;
        let watch = judge.watch();
        Intake::new(judge, watch)
    }

    fn at(seconds: u64) -> Now {
        let steady = Duration::from_secs(seconds);
        Now { wall: MORNING + steady, steady }
    }

    fn packet(id: u16, redelivered: bool) -> Identity {
        Identity::Packet { id, redelivered }
    }

    /// What is to be committed for these events, and nothing else is to be done.
    fn arrive(
        intake: &mut Intake<u16>,
        events: Vec<(Event, Option<u16>)>,
        now: Now,
    ) -> (BatchId, Vec<Decision>) {
        let mut effects = intake.handle(IntakeInput::Arrived(events), now);
        assert_eq!(effects.len(), 1, "{effects:?}");
        let Some(IntakeEffect::Commit(batch, decisions)) = effects.pop() else { panic!("no commit") };
        (batch, decisions)
    }

    #[test]
    fn each_event_is_acknowledged_after_its_own_commit() {
        let mut intake = intake();
        let ring = |id| (event("bell/1", "x", packet(id, false)), Some(id));
        let (first, _) = arrive(&mut intake, vec![ring(1), ring(2)], at(0));
        let (second, _) =
            arrive(&mut intake, vec![ring(3), (event("bell/1", "x", Identity::None), None)], at(1));
        for (batch, tokens) in [(second, vec![3]), (first, vec![1, 2]), (first, vec![])] {
            let effects = intake.handle(IntakeInput::Committed(batch), at(2));
            let acknowledged = effects.into_iter().map(|effect| {
                let IntakeEffect::Acknowledge(token) = effect else { panic!("{effect:?}") };
                token
            });
            assert_eq!(acknowledged.collect::<Vec<_>>(), tokens);
        }
    }

    #[test]
    fn event_identities_are_saved_with_the_last_judged_event() {
        for topic in ["bell/1", "door/1"] {
            let events = [topic, "attic/1"].map(|topic| (event(topic, "1", packet(7, false)), None)).to_vec();
            let (_, decisions) = arrive(&mut intake(), events, at(0));
            let kept = decisions.iter().map(|decision| {
                let passed = |effect: &effect::Effect| matches!(effect, effect::Effect::Keep(kept) if matches!(kept.slot, StateKey::Passed(_)));
                decision.effects.iter().any(passed)
            });
            assert_eq!(kept.collect::<Vec<_>>(), [true, false], "{topic}");
        }
    }

    #[test]
    fn timers_and_notes_continue_in_a_new_process() {
        let mut intake = intake();
        let (_, mut decisions) =
            arrive(&mut intake, vec![(event("door/1", "9", Identity::None), None)], at(0));
        let effects = decisions.pop().expect("one").effects;
        let kept = effects
            .into_iter()
            .filter_map(|effect| if let effect::Effect::Keep(kept) = effect { Some(kept) } else { None });
        let kept: Vec<effect::Snapshot> = kept.collect();
        assert_eq!(intake.wake_at(), Some(at(60).wall));
        assert!(intake.handle(IntakeInput::Woke, at(59)).is_empty());
        let woke = intake.handle(IntakeInput::Woke, at(60));
        let [IntakeEffect::Watched { effects, taken }] = &woke[..] else { panic!("{woke:?}") };
        assert!(taken.is_empty() && effects.iter().any(|effect| matches!(effect, effect::Effect::Send(_))));

        let mut next = self::intake();
        assert_eq!(next.wake_at(), None);
        next.restore(kept, at(30));
        assert_eq!(next.wake_at(), Some(at(60).wall));

        // A note that changes nothing is taken all the same, or it would come again for ever.
        let (alert, by) = (
            AlertKey { rule: "door".into(), key: "id=2".into() },
            Person { name: "Nino".into(), contact: None },
        );
        let noted =
            next.handle(IntakeInput::Noted(vec![(NoteId(7), AlertCommand::Resolve { alert, by })]), at(31));
        let [IntakeEffect::Watched { effects, taken }] = &noted[..] else { panic!("{noted:?}") };
        assert_eq!((effects.len(), &taken[..]), (0, &[NoteId(7)][..]));
    }

    #[test]
    fn a_removed_contact_gets_no_alerts() {
        let mut intake = intake();
        let mut people = site(RULES).0.people;
        Arc::make_mut(&mut people).contacts.remove(&"giorgi".into());
        intake.meet(people);
        let (_, decisions) = arrive(&mut intake, vec![(event("bell/1", "x", Identity::None), None)], at(0));
        let told = told_once(&decisions[0].effects).remove(0).1;
        let told = told.iter().flat_map(|(_, people)| people).map(|contact| contact.id.0.as_str());
        assert_eq!(told.collect::<Vec<_>>(), ["nino", "keti"]);
    }

    #[test]
    fn packet_identifiers_end_with_the_session_and_names_persist() {
        let mut intake = intake();
        let named = || Identity::Named("a".into());
        for (identity, is_new_session, word) in [
            (packet(7, false), false, "pending"),
            (packet(7, true), false, "duplicate"),
            (packet(7, false), false, "still-firing"),
            (named(), false, "still-firing"),
            (packet(7, true), true, "still-firing"),
            (named(), true, "duplicate"),
        ] {
            if is_new_session {
                intake.free_packets();
                assert_eq!(intake.handle(IntakeInput::Woke, at(1)).len(), 1, "it is written down");
            }
            let (_, decisions) =
                arrive(&mut intake, vec![(event("door/1", "9", identity.clone()), None)], at(1));
            assert_eq!(decisions[0].ignored[0].1.as_str(), word, "{identity:?}");
        }
    }

    #[test]
    fn people_get_their_language_and_expiry_counts_from_arrival() {
        let judge = site(RULES).1;
        for (device_limit, expires_s) in [(None, 600), (Some(60), 60), (Some(6_000), 600)] {
            let ring = Event { expires_in_s: device_limit, ..event("bell/1", "x", Identity::None) };
            let decision = judge.decide(ring, &mut judge.watch(), MORNING);
            let expires_at = decision.effects.iter().cloned().filter_map(effect::Effect::notice);
            assert!(expires_at.clone().count() == 3);
            let expires_at: BTreeSet<Timestamp> = expires_at.map(|notice| notice.expires_at).collect();
            assert_eq!(expires_at, BTreeSet::from([MORNING + Duration::from_secs(expires_s)]));
            let messages = told_once(&decision.effects).remove(0).1.into_iter().map(|(content, people)| {
                let ids: Vec<String> = people.iter().map(|contact| contact.id.0.clone()).collect();
                (content.text.lines().next().unwrap_or_default().to_owned(), ids.join(" "))
            });
            let expected = [("Bell 1", "nino keti"), ("Klingel 1", "giorgi")];
            assert_eq!(
                messages.collect::<Vec<_>>(),
                expected.map(|(text, ids)| (text.to_owned(), ids.to_owned()))
            );
        }
    }

    #[test]
    fn a_file_is_the_header_above_buttons_or_the_message() {
        let judge = site(r#"
[[rule]]
name = "bare"
topic = "cam/{id}"
message = "Cam {{ id }}"
notify = ["nino"]
attach = { kind = "image", url = "http://cam/{{ id }}.jpg" }
template = { name = "alarm", language = "en", parameters = ["{{ id }}", "{{ payload.who }}"], header_file = true }
[[rule]]
name = "buttons"
topic = "cam/{id}"
message = "Cam {{ id }}"
notify = ["nino"]
attach = { kind = "image", url = "http://door/{{ id }}.jpg" }
[[rule.action]]
id = "open"
title = "Open"
topic = "cam/{id}/set"
payload = "1"
"#).1;
        let seen = event("cam/3", r#"{"who": "cat"}"#, Identity::None);
        let effects = judge.decide(seen, &mut judge.watch(), MORNING).effects;
        let alerts = told_once(&effects);
        let [(bare, to_bare), (buttons, to_buttons)] = &alerts[..] else { panic!("{alerts:?}") };
        let ([(bare_content, _)], [(buttons_content, _)]) = (&to_bare[..], &to_buttons[..]) else {
            panic!("{alerts:?}")
        };
        let fetch = |host: &str| Media::Fetch { url: format!("http://{host}/3.jpg") };
        assert_eq!((&bare.flaw, &buttons.flaw), (&None, &None));
        assert_eq!((&bare_content.part, &bare_content.header), (&Some(Part::Image(fetch("cam"))), &None));
        assert_eq!(
            (&buttons_content.part, &buttons_content.header),
            (&None, &Some(Header::Image(fetch("door"))))
        );
        let [template] = &bare_content.templates[..] else { panic!("{bare_content:?}") };
        assert_eq!((template.name.as_str(), &template.header), ("alarm", &Some(Header::Image(fetch("cam")))));
        let blanks: Vec<&str> = template.parameters.iter().map(|blank| blank.text.as_str()).collect();
        assert_eq!(blanks, ["3", "cat"]);
    }
}
