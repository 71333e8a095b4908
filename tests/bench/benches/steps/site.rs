use std::collections::VecDeque;
use std::fmt::Write as _;
use std::hint::black_box;
use std::time::Duration;

use bellwire::alert::engine::Engine;
use bellwire::alert::intake::{Decision, RuleSet};
use bellwire::config::{Config, LoadOptions, read};
use bellwire::event::incoming::{Event, EventSource, Identity};
use bellwire::ids::{MessageId, Wamid};
use bellwire::outbox::retry_policy::ApiAnswer;
use bellwire::outbox::scheduler::{Scheduler, SchedulerEffect, SchedulerInput};
use bellwire::random::Rng;
use bellwire::store::Store;
use bellwire::task::outbox_transaction::{SchedulerHandle, SendStep, StepStart};
use bellwire::task::webhook_reader::read_next;
use bellwire::time::Timestamp;
use bellwire::whatsapp::prepare::{Signature, prepare};
use bellwire::whatsapp::signature;
use secrecy::SecretString;
use serde_json::json;
use tempfile::TempDir;

pub const PAYLOAD: &[u8] =
    br#"{"celsius":-12.5,"humidity":40,"door":"closed","unit":"fridge7","battery":3.61}"#;
/// Noon of 2026-03-10.
const NOON: Timestamp = Timestamp(1_773_144_000_000);
/// Slower than the rest that one person is given after ten messages, so that each event's message leaves at once.
const APART: Duration = Duration::from_secs(10);
/// In a burst: slower than the pace of the connection below.
const PACE: Duration = Duration::from_millis(2);

pub fn load_options() -> LoadOptions {
    LoadOptions { without_secrets: true, ..LoadOptions::default() }
}

/// So many people, each with a rule on each event, and two rules that no event of theirs concerns.
pub fn file(people: usize) -> String {
    let mut text = "[site]\nname = \"Corner Bakery\"\n[mqtt]\nurl = \"mqtt://127.0.0.1\"\n[[connection]]\nname = \"main\"\n\
        phone_number_id = \"1\"\naccess_token_file = \"t\"\napp_secret_file = \"s\"\nverify_token_file = \"v\"\n\
        messages_per_second = 1000\n\
        [[rule]]\nname = \"cold\"\ntopic = \"cold/{unit}\"\nwhen = \"payload.celsius > 20\"\n\
        message = \"Freezer {{ unit }} is at {{ payload.celsius }} °C\"\nnotify = [\"p0\"]\n\
        [[rule]]\nname = \"watched\"\ntopic = \"watched/{unit}\"\nwhen = \"value > 20\"\nvalue = \"payload.celsius\"\n\
        message = \"Freezer {{ unit }} is at {{ value }} °C\"\nnotify = [\"p0\"]\n"
        .to_owned();
    for person in 0..people {
        let phone = 100_000_000 + person;
        write!(
            text,
            "[[contact]]\nid = \"p{person}\"\nphone = \"+4915{phone:09}\"\n[[rule]]\nname = \"warm{person}\"\n\
             topic = \"warm/{person}/{{unit}}\"\nmessage = \"Freezer {{{{ unit }}}} is at {{{{ payload.celsius }}}} °C\"\n\
             notify = [\"p{person}\"]\n"
        )
        .expect("memory");
    }
    text
}

pub struct Site {
    store: Store,
    config: Config,
    judge: RuleSet,
    engine: Engine,
    scheduler: SchedulerHandle,
    rng: Rng,
    now: Timestamp,
    packet: u16,
    under_way: VecDeque<MessageId>,
    _folder: TempDir,
}

impl Site {
    pub fn new(people: usize) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let store = Store::open(folder.path(), &mut Rng::seeded(1)).expect("a store");
        let config = read("steps.toml", &file(people), &load_options()).expect("good");
        let judge = config.rule_set().expect("compiled");
        let rates = config.connections.iter().map(|known| (known.name.clone(), known.messages_per_second));
        let scheduler = Scheduler::new(rates.collect());
        let (scheduler, _) = SchedulerHandle::new(scheduler, Rng::seeded(2), SendStep::default());
        Self {
            engine: judge.watch(),
            store,
            config,
            judge,
            scheduler,
            rng: Rng::seeded(3),
            now: NOON,
            packet: 0,
            under_way: VecDeque::new(),
            _folder: folder,
        }
    }

    /// An event for each of them is on disk, and the first requests are under way.
    pub fn with_burst(people: usize) -> Self {
        let mut site = Self::new(people);
        for person in 0..people {
            site.accepts(&format!("warm/{person}/7"));
        }
        let first = site.takes(SchedulerInput::Wake);
        site.posts(&first);
        site
    }

    fn decides(&mut self, topic: &str) -> [Decision; 1] {
        self.packet = self.packet % u16::MAX + 1;
        let identity = Identity::Packet { id: self.packet, redelivered: false };
        let event = Event { identity, ..Event::new(EventSource::Mqtt, topic, PAYLOAD, self.now) };
        [self.judge.decide(event, &mut self.engine, self.now)]
    }

    /// From its bytes to its rows.
    pub fn accepts(&mut self, topic: &str) {
        let decisions = self.decides(topic);
        drop(black_box(self.store.transaction(|store| store.accept(&decisions)).expect("on disk")));
    }

    fn takes(&mut self, input: SchedulerInput) -> SendStep {
        let begin = || StepStart::With(input.clone());
        let take = |store: &Store| self.scheduler.take(store, begin(), &self.config, self.now);
        self.store.transaction(take).expect("on disk")
    }

    /// The requests that leave now.
    fn posts(&mut self, step: &SendStep) {
        for effect in &step.done {
            if let SchedulerEffect::Post(under_way) = effect {
                let (due, choice) = &**under_way;
                let ours = Signature { tag: self.store.tag(), signer: self.store.seal() };
                black_box(prepare(due, choice, ours, &self.config.people, self.now));
                self.under_way.push_back(due.id);
            }
        }
    }

    /// Meta's answer to the oldest request, and what leaves then.
    fn hears_an_answer(&mut self) {
        let id = self.under_way.pop_front().expect("a request was under way");
        let answer = ApiAnswer::Accepted(Wamid(format!("wamid.{id}")).into());
        let next = self.takes(SchedulerInput::Answered(id, answer));
        self.posts(&next);
    }

    /// An event's whole way: with its `sending` in one commit, its request, Meta's answer and its outcome.
    pub fn sends(&mut self, person: usize) {
        self.now = self.now + APART;
        let decisions = self.decides(&format!("warm/{person}/7"));
        let begin = || StepStart::With(SchedulerInput::Wake);
        let take = |store: &Store| {
            store.accept(&decisions)?;
            self.scheduler.take(store, begin(), &self.config, self.now)
        };
        let step = self.store.transaction(take).expect("on disk");
        self.posts(&step);
        self.hears_an_answer();
        assert!(self.under_way.is_empty(), "one event has one message");
    }

    pub fn next_of_burst(&mut self) {
        self.now = self.now + PACE;
        let before = self.under_way.len();
        self.hears_an_answer();
        assert_eq!(self.under_way.len(), before, "another one leaves");
    }

    /// A webhook's whole way: its signature, its commit, the message that it is about.
    pub fn hears_of(&mut self, message: i64) {
        let secret = SecretString::from("secret");
        let status = json!({
            "id": format!("wamid.{message}"), "status": "delivered", "timestamp": "1773144000", "recipient_id": "4915100000000",
            "biz_opaque_callback_data": self.store.tag().callback(MessageId(message)),
        });
        let body = json!({ "object": "whatsapp_business_account", "entry": [{ "id": "1", "changes": [{ "field": "messages", "value": {
            "messaging_product": "whatsapp", "metadata": { "display_phone_number": "15550100", "phone_number_id": "1" },
            "statuses": [status],
        }}]}]});
        let body = body.to_string();
        let header = signature::sign(&secret, body.as_bytes());
        assert!(signature::verify(&[secret], Some(&header), body.as_bytes()), "it is signed");
        let kept = self.store.transaction(|store| store.keep_webhook(body.as_bytes(), self.now));
        black_box(kept.expect("on disk"));
        let (scheduler, config, now) = (&self.scheduler, &self.config, self.now);
        let dice = std::cell::RefCell::new(&mut self.rng);
        let read = |store: &Store| {
            let heed = |begin| scheduler.take(store, begin, config, now);
            read_next(store, config, now, &mut dice.borrow_mut(), |_| {}, heed)
        };
        let read = self.store.transaction(read).expect("on disk").expect("a body");
        assert_eq!(read.statuses, 1);
    }
}
