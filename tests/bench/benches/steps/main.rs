//! The steps of an event's way, each alone, and the whole ways: from an event to the outcome of its message, from a webhook's body to
//! what it changes. Times: `cargo bench -p bellwire-bench`. Instructions, which do not depend on what else the machine does, against
//! their bounds: `tests/bench/count-instructions`.

#![expect(
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a bench that cannot set up stops; it prints its steps"
)]

/// A gateway without a network: rules, store, scheduler, and Meta's answers made here.
mod site;

use std::hint::black_box;
use std::time::Duration;

use bellwire::alert::route::Routes;
use bellwire::chart::curve::Curve;
use bellwire::chart::picture::draw;
use bellwire::chart::plot::Mark;
use bellwire::config::read;
use bellwire::event::decode::PayloadFormat;
use bellwire::event::decode::decode;
use bellwire::event::topic::TopicPattern;
use bellwire::rule::template::text;
use bellwire::rule::threshold::thresholds;
use bellwire::time::{Timestamp, zone};
use bellwire::whatsapp::signature;
use criterion::Criterion;
use minijinja::context;
use secrecy::SecretString;

use site::{PAYLOAD, Site, file, load_options};

const SIGNATURE: &str = "sha256=0000000000000000000000000000000000000000000000000000000000000000";
/// Runs before those that count: caches fill, tables get their first pages.
const WARM_UP: usize = 20;

/// Its name, how often it runs to be counted, and what makes it.
type Step = (&'static str, usize, fn() -> Box<dyn FnMut()>);

const STEPS: [Step; 12] = [
    ("event to outcome, one message", 100, || {
        let mut site = Site::new(1);
        Box::new(move || site.sends(0))
    }),
    ("answer to outcome and the next request, a burst to 1,000 people", 20, || {
        let mut site = Site::with_burst(1_000);
        Box::new(move || site.next_of_burst())
    }),
    ("webhook to receipt, one status", 100, || {
        let mut site = Site::new(1);
        (0..WARM_UP + 100).for_each(|_| site.sends(0));
        let mut message = 0;
        Box::new(move || {
            message += 1;
            site.hears_of(message);
        })
    }),
    ("judge and commit, an alert with its message", 100, || accepting("warm/0/7")),
    ("judge and commit, an event that is counted", 100, || accepting("cold/7")),
    ("judge and commit, a value that is kept", 100, || accepting("watched/7")),
    ("match, 1,000 rules", 100, || {
        let pattern =
            |rule: u32| TopicPattern::parse(&format!("site/{{area}}/{rule}/{{unit}}")).expect("a pattern");
        let patterns: Vec<TopicPattern> = (0..1_000).map(pattern).collect();
        let routes = Routes::new(&patterns);
        Box::new(move || drop(black_box(routes.find("site/bar/731/7"))))
    }),
    ("decode, JSON", 100, || Box::new(|| drop(black_box(decode(PayloadFormat::Auto, None, PAYLOAD))))),
    ("render", 100, || {
        let message = "Freezer {{ unit }} in {{ area }} is at {{ payload.celsius | round(1) }} °C";
        let names = context! { unit => "7", area => "bar", payload => context! { celsius => -12.5 } };
        Box::new(move || drop(black_box(text(message, &names).expect("it says"))))
    }),
    ("draw, a picture of a restless number", 5, || {
        let (span, zone) = (Duration::from_secs(6 * 3_600), zone("Asia/Tbilisi").expect("a zone"));
        let (mut curve, began) = (Curve::new("value"), Timestamp(1_795_240_800_000));
        for minute in 0..360_u32 {
            let value = -18.0 + f64::from(minute * 37 % 100) / 50.0;
            curve.take(value, span, began + Duration::from_secs(u64::from(minute) * 60));
        }
        let limits = thresholds("value", Some("value > -15"), Some("value < -17"));
        let mark = Mark { at: began + span };
        let plot = curve.plot(span, began + span, &limits, vec![mark]).expect("values");
        Box::new(move || drop(black_box(draw(&plot, &zone))))
    }),
    ("signature, 10 kB", 20, || {
        let (secrets, body) = ([SecretString::from("secret")], vec![b'x'; 10_000]);
        Box::new(move || {
            black_box(signature::verify(&secrets, Some(SIGNATURE), &body));
        })
    }),
    ("read, 1,000 rules and people", 1, || {
        let text = file(1_000);
        Box::new(move || drop(black_box(read("steps.toml", &text, &load_options()).expect("good"))))
    }),
];

/// An event over MQTT with a packet identifier that was never used before, from its bytes to its rows.
fn accepting(topic: &'static str) -> Box<dyn FnMut()> {
    let mut site = Site::new(1);
    Box::new(move || site.accepts(topic))
}

/// callgrind counts what runs in here.
#[inline(never)]
fn measured(step: &mut dyn FnMut()) {
    step();
}

/// With `BELLWIRE_STEP=list` the steps and how often each counts; with `BELLWIRE_STEP=NAME` that one runs so often.
fn main() {
    let asked = std::env::var("BELLWIRE_STEP").ok();
    if asked.as_deref() == Some("list") {
        STEPS.iter().for_each(|(name, times, _)| println!("{times}\t{name}"));
        return;
    }
    if let Some(asked) = asked {
        let (_, times, make) = STEPS.iter().find(|(name, ..)| *name == asked).expect("such a step");
        let mut step = make();
        (0..WARM_UP.min(*times)).for_each(|_| step());
        (0..*times).for_each(|_| measured(&mut step));
        return;
    }
    let mut criterion = Criterion::default().configure_from_args();
    for (name, _, make) in STEPS {
        // A burst and its receipts end; a clock that runs needs what goes on.
        if !name.contains("burst") && !name.contains("receipt") {
            let mut step = make();
            criterion.bench_function(name, |bencher| bencher.iter(&mut step));
        }
    }
    criterion.final_summary();
}
