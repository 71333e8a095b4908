//! What a thousand rules and people take in memory: bytes that are allowed for each, counted, which no busy machine changes. An
//! idle program with them has 14 MB (docs/performance.md), of which 10 are the program's own.

#![expect(clippy::expect_used, reason = "a test that cannot go on stops")]

use std::fmt::Write as _;
use std::sync::Arc;

use bellwire::alert::engine::Engine;
use bellwire::alert::intake::RuleSet;
use bellwire::app::subscriptions;
use bellwire::config::{Config, LoadOptions, read};
use peak_alloc::PeakAlloc;

#[global_allocator]
static HEAP: PeakAlloc = PeakAlloc;

/// What stays of a rule with a condition and a message of its own. 1,463 were measured; 4,600 when each part of the gateway had
/// its own copy of the configuration.
const RULE_MAX: usize = 1_540;
/// What stays of a person. 330 were measured; 1,500 with the copies.
const PERSON_MAX: usize = 350;
/// What reading takes at its highest for a rule and a person beside what stays: the file's tables. It is free afterwards, and stays
/// with the process all the same. 2,171 were measured; 3,957 when the file was not read in pieces.
const READING_MAX: usize = 2_280;

fn file(rules: usize, people: usize) -> String {
    let mut text = "[site]\nname = \"Bench\"\n[mqtt]\nurl = \"mqtt://127.0.0.1\"\n[[connection]]\nname = \"main\"\n\
                    phone_number_id = \"1\"\naccess_token_file = \"t\"\napp_secret_file = \"s\"\nverify_token_file = \"v\"\n"
        .to_owned();
    for person in 0..people {
        write!(text, "[[contact]]\nid = \"p{person}\"\nphone = \"+4915{:09}\"\n", 100_000_000 + person)
            .expect("memory");
    }
    for rule in 0..rules {
        write!(
            text,
            "[[rule]]\nname = \"r{rule}\"\ntopic = \"site/{rule}/{{unit}}/temperature\"\nnotify = [\"p{}\"]\n\
             when = \"payload.celsius > {rule}\"\nmessage = \"{{{{ unit }}}} is at {{{{ payload.celsius }}}} °C {{{{ payload.msg }}}}\"\n",
            rule % people
        )
        .expect("memory");
    }
    text
}

/// Everything that the daemon keeps of its configuration.
struct Kept {
    _of_file: Arc<Config>,
    /// With the people who were invited and the numbers of the page.
    _live: Arc<Config>,
    /// The page's.
    _front: RuleSet,
    _engine: Engine,
    _filters: Vec<String>,
}

/// Bytes that stay, and how many more there were at most.
fn taken(rules: usize, people: usize) -> (usize, usize) {
    let text = file(rules, people);
    let before = HEAP.current_usage();
    HEAP.reset_peak_usage();
    let wishes = LoadOptions { without_secrets: true, ..LoadOptions::default() };
    let config = read("memory.toml", &text, &wishes).expect("good");
    let live = Config { people: config.people.with(&[]), ..config.clone() };
    let front = config.rule_set().expect("compiled");
    let kept = Kept {
        _engine: front.clone().watch(),
        _filters: subscriptions(&config),
        _front: front,
        _of_file: Arc::new(config),
        _live: Arc::new(live),
    };
    let stays = HEAP.current_usage() - before;
    let most = HEAP.peak_usage() - before;
    drop(kept);
    (stays, most - stays)
}

#[test]
fn memory_of_rules_and_people_stays_within_limits() {
    let _engines = taken(1, 1); // what all share is made once
    let (few, many_rules, many_people) = (taken(10, 10), taken(1_010, 10), taken(10, 1_010));
    let rule = (many_rules.0 - few.0) / 1_000;
    let person = (many_people.0 - few.0) / 1_000;
    let reading = (many_rules.1.saturating_sub(few.1) + many_people.1.saturating_sub(few.1)) / 1_000;
    println!(
        "a rule {rule} of {RULE_MAX}, a person {person} of {PERSON_MAX}, reading both {reading} of {READING_MAX} bytes"
    );
    assert!(rule <= RULE_MAX, "a rule keeps {rule} bytes");
    assert!(person <= PERSON_MAX, "a person keeps {person} bytes");
    assert!(reading <= READING_MAX, "reading a rule and a person takes {reading} bytes more");
}
