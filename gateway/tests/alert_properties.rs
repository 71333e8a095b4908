//! What holds for any sequence of events, taps, phones that are off, silences and restarts.

#![expect(clippy::expect_used, reason = "a test that cannot go on stops")]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;
use std::time::Duration;

use bellwire::alert::effect::{Effect, NotificationKind, Snapshot, Why};
use bellwire::alert::engine::Engine;
use bellwire::alert::intake::RuleSet;
use bellwire::alert::lifecycle::{AlertKey, Observation};
use bellwire::alert::message_text::MessageText;
use bellwire::alert::replay::{RecordedInput, Replay, ReplayedMessage, Timed};
use bellwire::config::{Config, LoadOptions, read};
use bellwire::event::cloudevents::Name;
use bellwire::ids::RuleName;
use bellwire::time::{Now, Timestamp};
use proptest::prelude::*;

const CONFIG: &str = r#"
[site]
name = "S"
time_zone = "Europe/Berlin"
[mqtt]
url = "mqtt://127.0.0.1"
[[connection]]
name = "main"
phone_number_id = "1"
access_token_file = "t"
app_secret_file = "s"
verify_token_file = "v"
[[contact]]
id = "nino"
phone = "+995 555 12 34 56"
quiet_hours = "22:00-06:00"
[[contact]]
id = "giorgi"
phone = "+995 555 65 43 21"
language = "de"
time_zone = "America/New_York"
[[rule]]
name = "bell"
topic = "bell/{id}"
message = { en = "Bell {{ id }} rings {{ payload }}.", de = "Klingel {{ id }} läutet {{ payload }}." }
notify = ["nino", "giorgi"]
[[rule]]
name = "door"
topic = "door/{id}"
when = "payload > 5"
resolve_when = "payload < 3"
for = "1m"
message = "Door {{ id }} is at {{ payload }}"
notify = ["nino", "giorgi"]
repeat_interval = "1h"
flap_changes = 4
escalate = [
  { after = "5m", unless = "delivered", notify = ["giorgi"] },
  { after = "10m", unless = "acknowledged", notify = ["nino"] },
  { after = "20m", unless = "acknowledged", topic = "siren/{id}", payload = "ON" },
]
[[rule]]
name = "power"
topic = "power/{id}"
when = "payload > 5"
message = "Power {{ id }}"
severity = "critical"
notify = ["nino"]
repeat_interval = "1h"
[[rule]]
name = "grouped"
topic = "room/{id}"
when = "payload > 5"
message = "Room {{ id }}"
notify = ["giorgi"]
group_by = []
group_wait = "30s"
repeat_interval = "1h"
[[rule]]
name = "level"
topic = "level/{id}"
when = "window.mean > 5"
message = "Level {{ id }}"
notify = ["giorgi"]
window = "10m"
for = "10m"
[[rule]]
name = "pump"
topic = "pump/{id}"
when = "payload > 5 and previous < 9"
message = "Pump {{ id }}"
notify = ["nino", "giorgi"]
dedupe_key = "payload"
resolve_after = "2h"
keep_firing_for = "10m"
group_by = ["id"]
[[rule]]
name = "life"
topic = "life/{id}"
expect = { every = "3h" }
message = "Life {{ id }}"
notify = ["giorgi"]
repeat_interval = "1h"
[[inhibit_rule]]
source = "power"
target = ["door", "grouped"]
equal = ["id"]
"#;

const REPEAT: Duration = Duration::from_secs(3_600);

fn config() -> Config {
    let wishes = LoadOptions { without_secrets: true, ..LoadOptions::default() };
    read("p.toml", CONFIG, &wishes).expect("good")
}

/// Read and compiled once: that takes longer than most cases.
static SITE: LazyLock<(Config, RuleSet)> = LazyLock::new(|| {
    let config = config();
    let judge = config.rule_set().expect("compiles");
    (config, judge)
});

/// One step of a sequence: how long after the one before, and what.
#[derive(Debug, Clone)]
enum Step {
    Event { topic: &'static str, id: u8, value: u8 },
    Act { verb: &'static str, who: &'static str, rule: &'static str, id: u8 },
}

fn steps(acts: bool) -> impl Strategy<Value = Vec<(u64, Step)>> {
    let event = (prop::sample::select(vec!["door", "power", "room", "bell"]), 0..3_u8, 0..9_u8)
        .prop_map(|(topic, id, value)| Step::Event { topic, id, value });
    let verbs = vec!["acknowledge", "resolve", "snooze 30m", "silence 20m", "away", "back", "read"];
    let people = vec!["nino", "giorgi"];
    let rules = vec!["door", "power", "grouped", "bell"];
    let act =
        (prop::sample::select(verbs), prop::sample::select(people), prop::sample::select(rules), 0..3_u8)
            .prop_map(|(verb, who, rule, id)| Step::Act { verb, who, rule, id });
    let step = if acts { prop_oneof![4 => event, 1 => act].boxed() } else { event.boxed() };
    prop::collection::vec((prop_oneof![0..90_u64, 60..1_800_u64, 1_800..20_000_u64], step), 1..60)
}

fn timed(config: &Config, steps: &[(u64, Step)]) -> Vec<Timed> {
    let mut at = Timestamp(1_773_136_800_000);
    let mut found = Vec::new();
    for (number, (after, step)) in steps.iter().enumerate() {
        at = at + Duration::from_millis(*after * 1_000 + 1); // no two at once, so that each reason has its ring
        let what = match step {
            Step::Event { topic, id, value } => RecordedInput::Publish {
                topic: format!("{topic}/{id}"),
                // Each ring has a number of its own, so that it is found in what is told.
                payload: if *topic == "bell" { number.to_string() } else { value.to_string() }.into(),
                retained: false,
                id: None,
                content_type: None,
            },
            Step::Act { verb, who, rule, id } => {
                RecordedInput::of_words(verb, who, &format!("{rule} id={id}"), &config.people, at)
                    .expect("an act")
            }
        };
        found.push(Timed { at, what });
    }
    // Whatever waits may come to its end: a night, a group, a silence.
    found.push(Timed { at: at + Duration::from_secs(26 * 3_600), what: RecordedInput::Wait });
    found
}

fn play<'a>(judge: &'a RuleSet, timed: &[Timed]) -> Replay<'a> {
    let mut replay = Replay::new(judge, judge.watch());
    for timed in timed {
        replay.step(timed.clone());
    }
    replay
}

/// Words that a fired alert must have beside it: somebody was told, or why not.
const TOLD: [Why; 7] =
    [Why::Told, Why::Grouped, Why::Inhibited, Why::Silenced, Why::Quiet, Why::Flapping, Why::Repeated];

fn check(replay: &Replay) -> Result<(), TestCaseError> {
    let end = replay.records.last().map_or(Timestamp(0), |last| last.at);
    let mut firing = BTreeSet::new();
    let mut step = BTreeMap::new();
    for (index, record) in replay.records.iter().enumerate() {
        let beside = |words: &[Why], at: Option<Timestamp>| {
            let rest = &replay.records[index..];
            rest.iter().skip(1).any(|other| {
                other.alert == record.alert
                    && at.is_none_or(|at| other.at == at)
                    && words.contains(&other.why)
            })
        };
        if record.why == Why::Fired {
            prop_assert!(firing.insert(&record.alert), "{} fires twice", record.alert);
            step.insert(&record.alert, 0);
            prop_assert!(beside(&TOLD, Some(record.at)), "{record:?} is silent");
        }
        if record.why == Why::Resolved {
            prop_assert!(firing.remove(&record.alert), "{} ends unfired", record.alert);
        }
        if record.why == Why::Step {
            let number: usize =
                record.what.split([' ', ':']).nth(1).and_then(|word| word.parse().ok()).expect("a number");
            let last = step.insert(&record.alert, number).unwrap_or_default();
            prop_assert!(number > last, "{}: step {number} after step {last}", record.alert);
        }
        // What is gathered in the last minutes is told after the end.
        if record.why == Why::Grouped && record.at.until(end) > Duration::from_secs(600) {
            prop_assert!(beside(&TOLD, None) || beside(&[Why::Nobody], None), "{record:?} was lost");
        }
    }
    no_end_without_a_beginning(replay)?;
    let mut last: BTreeMap<(&str, &str), Timestamp> = BTreeMap::new();
    for sent in &replay.sent {
        if let Some(before) =
            last.insert((&sent.to, &sent.text), sent.at).filter(|_| !sent.to.starts_with("mqtt"))
        {
            prop_assert!(before.until(sent.at) >= REPEAT, "twice to {}: {}", sent.to, sent.text);
        }
    }
    Ok(())
}

/// Of a rule without a life each event is told to each person once: at once, or in the summary of their quiet hours; or a
/// silence is the reason why not.
fn each_ring_is_told_once(replay: &Replay, timed: &[Timed]) -> Result<(), TestCaseError> {
    for Timed { at, what } in timed {
        let RecordedInput::Publish { topic, payload, .. } = what else { continue };
        let Some(id) = topic.strip_prefix("bell/") else { continue };
        let number = String::from_utf8_lossy(payload);
        for (who, words) in [("nino", "rings"), ("giorgi", "läutet")] {
            let told = |sent: &&ReplayedMessage| {
                sent.to == who && sent.text.contains(&format!(" {words} {number}."))
            };
            let told: Vec<&ReplayedMessage> = replay.sent.iter().filter(told).collect();
            let why = |why: Why| {
                let of = format!("id={id}");
                replay.records.iter().any(|record| {
                    record.at == *at
                        && record.alert.rule.0 == "bell"
                        && record.alert.key == of
                        && record.why == why
                        && record.what.contains(who)
                })
            };
            let (silenced, held) = (why(Why::Silenced), why(Why::Quiet));
            // A night has 40 lines; what is beyond is counted.
            let counted = replay.sent.iter().any(|sent| sent.to == who && sent.text.contains("\n… "));
            prop_assert!(told.len() == usize::from(!silenced) || counted, "{who} {number}: {told:?}");
            if let Some(told) = told.first() {
                prop_assert_eq!(told.at > *at, held, "{} hears of {} at {}", who, number, told.at);
            }
        }
    }
    Ok(())
}

/// Who is told that something is over was told of it before, in a message of its own, in a group's or in a summary; and an
/// end is told once.
fn no_end_without_a_beginning(replay: &Replay) -> Result<(), TestCaseError> {
    let subjects = ["Door", "Power", "Room"].map(|name| [0, 1, 2].map(|id| format!("{name} {id}"))).concat();
    let mut open: BTreeSet<(&str, &str)> = BTreeSet::new();
    for sent in &replay.sent {
        for line in sent.text.lines().filter(|line| !line.contains('👍')) {
            let Some(subject) = subjects.iter().find(|subject| line.contains(*subject)) else { continue };
            let about = (sent.to.as_str(), subject.as_str());
            if line.contains('✅') {
                prop_assert!(open.remove(&about), "{} hears of an end alone: {line}", sent.to);
            } else {
                open.insert(about);
            }
        }
    }
    Ok(())
}

/// The same with a restart before the step at `index` and without one.
fn restart(steps: &[(u64, Step)], index: usize) -> Result<(), TestCaseError> {
    let (config, judge) = &*SITE;
    let calm = timed(config, steps);
    let mut restarted = calm.clone();
    restarted.insert(index, Timed { at: calm[index].at, what: RecordedInput::Restart });
    let (calm, restarted) = (play(judge, &calm), play(judge, &restarted));
    for (one, other) in calm.sent.iter().zip(&restarted.sent) {
        prop_assert_eq!(one, other);
    }
    prop_assert_eq!(calm.sent.len(), restarted.sent.len());
    Ok(())
}

/// An inhibition ends in a silence, so what it held back is not told; the gateway starts again before the silence is over.
#[test]
fn a_silenced_repetition_is_not_owed_after_a_restart() {
    let event = |topic, value| Step::Event { topic, id: 2, value };
    let silence = Step::Act { verb: "silence 20m", who: "nino", rule: "grouped", id: 2 };
    let steps = [
        (0, event("room", 6)),
        (3_000, event("power", 6)),
        (1_000, silence), // a reminder was due meanwhile, and is owed
        (10, event("power", 0)),
        (60, event("door", 0)), // its group's time came
    ];
    restart(&steps, 4).expect("the same with a restart");
}

/// Also of rules whose alerts a restart changes on purpose: while nobody listened, silence proves nothing.
fn every_topic() -> impl Strategy<Value = Vec<(u64, Step, Option<u8>)>> {
    let topics = vec!["door", "power", "room", "bell", "level", "pump", "life"];
    let event = (prop::sample::select(topics), 0..3_u8, 0..9_u8).prop_map(|(topic, id, value)| Step::Event {
        topic,
        id,
        value,
    });
    let identified =
        (steps(true), prop::collection::vec((prop_oneof![0..60_u64, 60..3_000_u64], event), 1..30));
    let identities = prop::collection::vec(prop::option::of(0..9_u8), 90);
    (identified.prop_map(|(some, more)| [some, more].concat()).prop_shuffle(), identities).prop_map(
        |(steps, identities)| {
            steps.into_iter().zip(identities).map(|((after, step), id)| (after, step, id)).collect()
        },
    )
}

/// As it is restored: signs of life count from the start.
fn without_seen(kept: &Snapshot, now: Timestamp) -> String {
    let mut state: serde_json::Value = serde_json::from_str(&kept.state).expect("JSON");
    if let Some(seen) = state.get_mut("seen_at").filter(|seen| !seen.is_null()) {
        *seen = now.0.into();
    }
    format!("{:?} {state}", kept.slot)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_missing_message_has_a_reason_and_times_increase(steps in steps(true)) {
        let (config, judge) = &*SITE;
        let timed = timed(config, &steps);
        let replay = play(judge, &timed);
        check(&replay)?;
        each_ring_is_told_once(&replay, &timed)?;
    }

    #[test]
    fn a_restart_changes_nothing(steps in steps(true), at in any::<prop::sample::Index>()) {
        restart(&steps, at.index(steps.len() + 1))?;
    }
}

proptest! {
    // Each of their many steps is a case of its own.
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: ProptestConfig::default().cases / 4, ..ProptestConfig::default() })]

    /// Whatever happens, the next process knows all that this one does.
    #[test]
    fn memory_equals_disk_after_each_step(steps in every_topic()) {
        let (config, judge) = &*SITE;
        let (steps, identities): (Vec<_>, Vec<_>) =
            steps.into_iter().map(|(after, step, id)| ((after, step), id)).unzip();
        let mut replay = Replay::new(judge, judge.watch());
        for (index, mut step) in timed(config, &steps).into_iter().enumerate() {
            if let (RecordedInput::Publish { id, .. }, Some(Some(number))) =
                (&mut step.what, identities.get(index))
            {
                *id = Name::new("test", number.to_string());
            }
            let now = step.at;
            replay.step(step.clone());
            let text = |kept: &Snapshot| format!("{:?} {}", kept.slot, kept.state);
            let memory: BTreeSet<String> = replay.watch().snapshots().iter().map(text).collect();
            let disk: BTreeSet<String> = replay.kept().map(text).collect();
            let is_empty = |line: &&String| line.as_str() != "Passed []";
            let only: Vec<&String> = memory.symmetric_difference(&disk).filter(is_empty).collect();
            prop_assert!(only.is_empty(), "after {step:?}: {only:#?}");

            let mut next = judge.watch();
            next.restore(replay.kept().cloned().collect(), Now { wall: now, steady: Duration::ZERO });
            prop_assert_eq!(next.drain(), vec![], "a start does nothing");
            let text = |kept: &Snapshot| without_seen(kept, now);
            let read: BTreeSet<String> = next.snapshots().iter().map(text).collect();
            let kept: BTreeSet<String> = replay.watch().snapshots().iter().map(text).collect();
            prop_assert_eq!(read, kept, "after {:?}", step);
        }
    }
}

/// What a watch told, forgot and kept.
#[derive(Default)]
struct Seen {
    told: usize,
    forgotten: usize,
    rows: BTreeSet<(&'static str, String)>,
}

impl Seen {
    fn take(&mut self, watch: &mut Engine) {
        for effect in watch.drain() {
            match effect {
                Effect::Keep(kept) => drop(self.rows.insert(kept.slot.row())),
                Effect::Forget(slot) => drop(self.rows.remove(&slot.row())),
                Effect::Record { why: Why::Forgotten, .. } => self.forgotten += 1,
                Effect::Send(notice) if notice.kind == NotificationKind::Fired => self.told += 1,
                Effect::Send(_)
                | Effect::Picture(..)
                | Effect::Record { .. }
                | Effect::Fired(_)
                | Effect::Moved { .. }
                | Effect::Replaced { .. }
                | Effect::Publish { .. }
                | Effect::Post { .. } => {}
            }
        }
    }
}

#[test]
fn memory_stays_within_its_limit_under_a_hundred_thousand_keys() {
    const LIMIT: usize = 1_000;
    let config = config();
    // Whether each is over before the next comes: then the oldest makes room, else the newest is told and not kept.
    for (keys, is_over) in [(100_000_usize, true), (10_000, false)] {
        let mut watch =
            Engine::new(&config.rules, config.people.clone(), config.site.time_zone.clone(), LIMIT);
        let mut seen = Seen::default();
        let mut now = Now { wall: Timestamp(1_773_136_800_000), steady: Duration::ZERO };
        for id in 0..keys {
            now = Now {
                wall: now.wall + Duration::from_millis(10),
                steady: now.steady + Duration::from_millis(10),
            };
            let alert = AlertKey { rule: RuleName("power".into()), key: format!("id={id}") };
            let bindings = BTreeMap::from([("id".to_owned(), id.to_string())]);
            let wording = Some(MessageText::of(format!("Power {id}")));
            let fires = Observation { bindings, fires: true, wording, ..Observation::default() };
            watch.advance(now);
            watch.observe(&alert, &fires, now.wall);
            if is_over {
                watch.observe(&alert, &Observation { fires: false, clears: true, ..fires }, now.wall);
            }
            seen.take(&mut watch);
            assert!(watch.alerts().len() <= LIMIT, "{id}");
            assert!(seen.rows.len() <= LIMIT, "{id}: on disk there is no more than in memory");
        }
        assert_eq!(seen.told, keys, "each was told all the same");
        assert_eq!(seen.forgotten, keys - LIMIT, "and each that is forgotten is said");
    }
}

/// Readings are remembered though nothing fires: they make room, and what only waits does not.
#[test]
fn readings_of_100_000_keys_stay_within_the_limit() {
    const LIMIT: usize = 1_000;
    let config = config();
    let mut watch = Engine::new(&config.rules, config.people.clone(), config.site.time_zone.clone(), LIMIT);
    let mut seen = Seen::default();
    let mut now = Now { wall: Timestamp(1_773_136_800_000), steady: Duration::ZERO };
    let mut waits = 0;
    for id in 0..100_000_u32 {
        let step = Duration::from_millis(1);
        now = Now { wall: now.wall + step, steady: now.steady + step };
        let alert = AlertKey { rule: RuleName("level".into()), key: format!("id={id}") };
        let fires = id % 4 == 0;
        waits += usize::from(fires);
        watch.advance(now);
        watch.reading(&alert, f64::from(id % 4), now.wall);
        let wording = Some(MessageText::of(format!("Level {id}")));
        watch.observe(
            &alert,
            &Observation { fires, clears: !fires, wording, ..Observation::default() },
            now.wall,
        );
        seen.take(&mut watch);
        assert!(watch.alerts().len() <= LIMIT, "{id}: {} alerts", watch.alerts().len());
        assert!(seen.rows.len() <= LIMIT, "{id}: {} rows", seen.rows.len());
    }
    assert_eq!(seen.told, waits - LIMIT, "what finds no room to wait is told at once");
}
