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
    assert!(paths.len() >= 5, "the corpus of {name} is nearly empty");
    for path in paths {
        let input = std::fs::read(&path).expect("readable");
        println!("{}", path.display()); // the last line before a panic names the input
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
    any_event_is_decided_by_every_rule "event"
    any_configuration_is_read_or_has_problems "config"
    any_webhook_is_read "webhook"
    only_who_may_acts_whatever_is_replied "reply"
    any_parameter_is_one_that_meta_takes "parameter"
    any_noise_on_a_line_is_survived "serial"
    any_request_without_a_key_stays_outside "http"
}

/// `BELLWIRE_WRITE_SEEDS=1` writes them.
#[test]
fn the_corpus_begins_with_all_fixtures() {
    let write = std::env::var_os("BELLWIRE_WRITE_SEEDS").is_some();
    for (target, name, input) in seeds::all() {
        let path = corpus(target).join(format!("seed-{name}"));
        if write {
            std::fs::create_dir_all(corpus(target)).expect("a folder");
            std::fs::write(&path, &input).expect("written");
        }
        let kept = std::fs::read(&path).unwrap_or_default();
        assert!(kept == input, "{} is not its fixture; run this with BELLWIRE_WRITE_SEEDS=1", path.display());
    }
}
