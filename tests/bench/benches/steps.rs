//! The steps of an event's way, each alone. Times: `cargo bench -p bellwire-bench`. Instructions, which do not depend on what
//! else the machine does: `tests/bench/count-instructions`.

#![expect(clippy::expect_used, reason = "a bench that cannot set up stops")]

use std::hint::black_box;

use bellwire::alert::route::Routes;
use bellwire::config::{LoadOptions, read};
use bellwire::event::decode::PayloadFormat;
use bellwire::event::decode::decode;
use bellwire::event::incoming::{Event, EventSource, Identity};
use bellwire::event::topic::TopicPattern;
use bellwire::random::Rng;
use bellwire::store::Store;
use bellwire::time::Timestamp;
use bellwire::whatsapp::signature;
use criterion::Criterion;
use minijinja::{Environment, context};
use secrecy::SecretString;

const PAYLOAD: &[u8] = br#"{"celsius":-12.5,"humidity":40,"door":"closed","unit":"fridge7","battery":3.61}"#;
const SIGNATURE: &str = "sha256=0000000000000000000000000000000000000000000000000000000000000000";

/// A rule on each event, and one on none of them.
const SITE: &str = r#"
[site]
name = "Corner Bakery"
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
[[rule]]
name = "warm"
topic = "warm/{unit}"
message = "Freezer {{ unit }} is at {{ payload.celsius }} °C"
notify = ["nino"]
[[rule]]
name = "cold"
topic = "cold/{unit}"
when = "payload.celsius > 20"
message = "Freezer {{ unit }} is at {{ payload.celsius }} °C"
notify = ["nino"]
"#;
/// Noon of 2026-03-10.
const NOON: Timestamp = Timestamp(1_773_144_000_000);

type Step = (&'static str, Box<dyn FnMut()>);

fn steps() -> Vec<Step> {
    let pattern =
        |rule: u32| TopicPattern::parse(&format!("site/{{area}}/{rule}/{{unit}}")).expect("a pattern");
    let patterns: Vec<TopicPattern> = (0..1_000).map(pattern).collect();
    let routes = Routes::new(&patterns);
    let mut engine = Environment::new();
    let words = "Freezer {{ unit }} in {{ area }} is at {{ payload.celsius | round(1) }} °C";
    engine.add_template("message", words).expect("a template");
    let names = context! { unit => "7", area => "bar", payload => context! { celsius => -12.5 } };
    let secrets = [SecretString::from("secret")];
    let body = vec![b'x'; 10_000];
    let folder = tempfile::tempdir().expect("a folder");
    let store = Store::open(folder.path(), &mut Rng::seeded(1)).expect("a store");
    vec![
        ("judge and commit, an alert with its message", accepting("warm/7")),
        ("judge and commit, an event that is counted", accepting("cold/7")),
        ("match, 1,000 rules", Box::new(move || drop(black_box(routes.find("site/bar/731/7"))))),
        ("decode, JSON", Box::new(|| drop(black_box(decode(PayloadFormat::Auto, None, PAYLOAD))))),
        (
            "render",
            Box::new(move || {
                let message = engine.get_template("message").expect("there");
                drop(black_box(message.render(&names)));
            }),
        ),
        (
            "signature, 10 kB",
            Box::new(move || {
                black_box(signature::verify(&secrets, Some(SIGNATURE), &body));
            }),
        ),
        (
            "commit, one webhook body",
            Box::new(move || {
                let _until_the_end = &folder;
                let kept = store.transaction(|store| store.keep_webhook(PAYLOAD, Timestamp(1)));
                drop(black_box(kept));
            }),
        ),
    ]
}

/// An event over MQTT with a packet identifier that was never used before, from its bytes to its rows.
fn accepting(topic: &'static str) -> Box<dyn FnMut()> {
    let folder = tempfile::tempdir().expect("a folder");
    let store = Store::open(folder.path(), &mut Rng::seeded(1)).expect("a store");
    let config = read("steps.toml", SITE, &LoadOptions { without_secrets: true, ..LoadOptions::default() })
        .expect("good");
    let judge = config.rule_set().expect("compiled");
    let (mut watch, mut id) = (judge.watch(), 0);
    Box::new(move || {
        let _until_the_end = &folder;
        id = id % u16::MAX + 1;
        let event = Event {
            source: EventSource::Mqtt,
            topic: topic.to_owned(),
            payload: PAYLOAD.into(),
            content_type: None,
            identity: Identity::Packet { id, redelivered: false },
            retained: false,
            expires_in_s: None,
            received_at: NOON,
            happened_at: None,
        };
        let decisions = [judge.decide(event, &mut watch, NOON)];
        drop(black_box(store.transaction(|store| store.accept(&decisions)).expect("on disk")));
    })
}

/// With `BELLWIRE_STEP=NUMBER` and `BELLWIRE_TIMES=COUNT` one step runs so often, for whoever counts instructions.
fn main() {
    let asked = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<usize>().ok());
    let mut steps = steps();
    if let (Some(number), Some(times)) = (asked("BELLWIRE_STEP"), asked("BELLWIRE_TIMES")) {
        let (_, step) = steps.get_mut(number).expect("such a step");
        (0..times).for_each(|_| step());
        return;
    }
    let mut criterion = Criterion::default().configure_from_args();
    for (name, mut step) in steps {
        criterion.bench_function(name, |bencher| bencher.iter(&mut step));
    }
    criterion.final_summary();
}
