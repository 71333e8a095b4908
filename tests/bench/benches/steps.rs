//! The steps of an event's way, each alone. Times: `cargo bench -p bellwire-bench`. Instructions, which do not depend on what
//! else the machine does: `tests/bench/count-instructions`.

#![expect(clippy::expect_used, reason = "a bench that cannot set up stops")]

use std::hint::black_box;

use bellwire::alert::decode::decode;
use bellwire::alert::route::Routes;
use bellwire::alert::rule::PayloadFormat;
use bellwire::alert::topic::TopicPattern;
use bellwire::chance::Dice;
use bellwire::store::Store;
use bellwire::time::Timestamp;
use bellwire::whatsapp::signature;
use criterion::Criterion;
use minijinja::{Environment, context};
use secrecy::SecretString;

const PAYLOAD: &[u8] = br#"{"celsius":-12.5,"humidity":40,"door":"closed","unit":"fridge7","battery":3.61}"#;
const SIGNATURE: &str = "sha256=0000000000000000000000000000000000000000000000000000000000000000";

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
    let store = Store::open(folder.path(), &mut Dice::seeded(1)).expect("a store");
    vec![
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
