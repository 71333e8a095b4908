//! What fuzzing tries, tried by everybody: each target of `fuzz/` on every input of its corpus. A crash that fuzzing found
//! stays there as `found-…`. `fuzz/README.md` tells how to look for more.
#![expect(clippy::expect_used, clippy::print_stdout, reason = "a test that cannot go on stops")]

/// What the corpus begins with: all fixtures.
mod seeds;
#[path = "../../fuzz/src/lib.rs"]
mod targets;

use std::path::{Path, PathBuf};

use targets::{TARGETS, Target};

fn corpus(target: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus").join(target)
}

fn replay((name, target): Target) {
    let folder = std::fs::read_dir(corpus(name)).expect("a corpus");
    let mut paths: Vec<PathBuf> = folder.map(|entry| entry.expect("an entry").path()).collect();
    paths.sort();
    for path in paths {
        println!("{}", path.display()); // the last line before a panic names the input
        target(&std::fs::read(&path).expect("readable"));
    }
    for (_, seed, input) in seeds::all().into_iter().filter(|(of, _, _)| *of == name) {
        println!("the fixture {seed}");
        target(&input);
    }
}

macro_rules! replays {
    ($($test:ident $name:literal)*) => {
        $(#[test]
        fn $test() {
            replay(*TARGETS.iter().find(|(name, _)| *name == $name).expect("a target"));
        })*

        #[test]
        fn every_target_is_replayed() {
            let replayed = [$($name),*];
            assert_eq!(TARGETS.map(|(name, _)| name), replayed);
            let manifest = include_str!("../../fuzz/Cargo.toml");
            for name in replayed {
                assert!(manifest.contains(&format!("path = \"fuzz_targets/{name}.rs\"")), "{name}");
            }
        }
    };
}

replays! {
    any_topic_is_survived "topic"
    any_payload_is_decoded_or_refused "decode"
    any_condition_on_any_payload_ends "condition"
    any_expression_stays_within_memory_and_time "expression"
    any_event_is_decided_by_every_rule "event"
    any_configuration_is_read_or_has_problems "config"
    any_change_is_made_as_asked_or_refused "edit"
    any_webhook_is_read "webhook"
    only_who_may_acts_whatever_is_replied "reply"
    any_parameter_is_one_that_meta_takes "parameter"
    any_noise_on_a_line_is_survived "serial"
    any_request_without_a_key_stays_outside "http"
}

/// The fixtures as they are now are replayed above; in the corpus they are for the fuzzer to begin with.
#[test]
fn the_corpus_begins_with_the_fixtures() {
    if std::env::var_os("BELLWIRE_WRITE_SEEDS").is_some() {
        for (target, name, input) in seeds::all() {
            std::fs::create_dir_all(corpus(target)).expect("a folder");
            std::fs::write(corpus(target).join(format!("seed-{name}")), &input).expect("written");
        }
    }
    for (target, _) in TARGETS {
        let folder = std::fs::read_dir(corpus(target)).expect("a corpus");
        let names = folder.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned());
        assert!(names.filter(|name| name.starts_with("seed-")).count() >= 5, "{target}");
    }
}
