use bytes::Bytes;

use super::*;
use crate::alert::engine::Engine;
use crate::alert::intake::RuleSet;
use crate::config::{LoadOptions, read};
use crate::event::incoming::{Event, EventSource, Identity};

const NOW: Timestamp = Timestamp(1_900_000_000_000);
const SECOND: Duration = Duration::from_secs(1);

struct Site {
    store: Store,
    config: Config,
    judge: RuleSet,
    watch: Engine,
    _folder: tempfile::TempDir,
}

impl Site {
    fn new(rules: &[(&str, &str)]) -> Self {
        let rule = |(name, keys): &(&str, &str)| {
            format!(
                "[[rule]]\nname = \"{name}\"\ntopic = \"{name}/{{id}}\"\nnotify = [\"boss\"]\nmessage = \"x\"\n{keys}\n"
            )
        };
        let text = format!(
            "[site]\nname = \"Bar\"\nowner = [\"boss\"]\n[mqtt]\nurl = \"mqtt://127.0.0.1\"\n\
             [[connection]]\nname = \"main\"\nphone_number_id = \"1\"\naccess_token_file = \"t\"\napp_secret_file = \"s\"\n\
             verify_token_file = \"v\"\n[[contact]]\nid = \"boss\"\nphone = \"+15550100003\"\n{}",
            rules.iter().map(rule).collect::<String>()
        );
        let wishes = LoadOptions { without_secrets: true, ..LoadOptions::default() };
        let config = read("t.toml", &text, &wishes).expect("good");
        let judge = config.rule_set().expect("compiles");
        let (watch, (folder, store)) = (judge.watch(), Store::in_new_folder());
        Self { store, config, judge, watch, _folder: folder }
    }

    fn hear(&mut self, topic: &str, payload: &str, at: Timestamp) {
        let event = Event {
            source: EventSource::Mqtt,
            topic: topic.into(),
            payload: Bytes::copy_from_slice(payload.as_bytes()),
            content_type: None,
            identity: Identity::None,
            retained: false,
            expires_in_s: None,
            received_at: at,
            happened_at: None,
        };
        let decision = self.judge.decide(event, &mut self.watch, at);
        self.store.transaction(|store| store.accept(std::slice::from_ref(&decision))).expect("on disk");
    }

    /// What the owner gets at that time.
    fn told(&self, at: Timestamp) -> Vec<String> {
        self.store.transaction(|store| tell(store, &self.config, at)).expect("on disk");
        let texts = self.store.dump("SELECT json_extract(content, '$.text') FROM message ORDER BY id");
        let texts = texts.expect("read").iter().map(|text| text.trim_end().to_owned()).collect();
        self.store.dump("DELETE FROM message").expect("written");
        texts
    }
}

const HOT: &str = "when = \"payload.c > 8\"\nresolve_when = \"payload.c < 5\"";

#[test]
fn each_reason_is_told_once_with_example_and_count() {
    let mut site = Site::new(&[("cellar", HOT)]);
    for _ in 0..2_000 {
        site.hear("cellar/1", r#"{"c": "9.5"}"#, NOW);
    }
    assert!(site.told(NOW + SECOND * 9).is_empty(), "it counts first");
    let both = site.told(NOW + SECOND * 10);
    assert_eq!(
        both,
        [
            "⚙ Bar, the gateway itself: rule cellar could not judge 2000 events: `resolve_when` could not be judged: \
             it compares the text \"9.5\" with the number 5 in `payload.c < 5`\n\
             For example, cellar/1 sent: {\"c\": \"9.5\"}\nCorrect the rule or the device; this is told once.",
            "⚙ Bar, the gateway itself: rule cellar could not judge 2000 events: `when` could not be judged: \
             it compares the text \"9.5\" with the number 8 in `payload.c > 8`\n\
             For example, cellar/1 sent: {\"c\": \"9.5\"}\nCorrect the rule or the device; this is told once.",
        ]
    );
    site.hear("cellar/2", r#"{"c": "10"}"#, NOW + SECOND * 3_600);
    assert!(site.told(NOW + SECOND * 3_700).is_empty(), "the same reason");
    site.hear("cellar/2", r#"{"c": nan}"#, NOW + SECOND * 3_800);
    let other = site.told(NOW + SECOND * 3_900);
    assert!(other.len() == 1 && other[0].contains("it is not JSON"), "{other:?}");
}

#[test]
fn fields_missing_between_whole_reports_are_not_reported() {
    let mut site = Site::new(&[("leak", "when = \"payload.wet\"")]);
    site.hear("leak/1", r#"{"wet": false, "battery": 90}"#, NOW);
    site.hear("leak/1", r#"{"battery": 89}"#, NOW + SECOND);
    assert!(site.told(NOW + SECOND * 60).is_empty());
    assert_eq!(site.store.all_unjudged().expect("read")[0].count, 1, "it is counted");
    // Another device has never said whether it is wet: silence of that one means nothing.
    site.hear("leak/2", r#"{"water": true}"#, NOW + SECOND * 2);
    let told = site.told(NOW + SECOND * 60);
    assert!(told.len() == 1 && told[0].contains("`payload.wet` is undefined"), "{told:?}");
}

#[test]
fn many_rules_at_once_are_one_message_and_no_flood() {
    let names: Vec<String> = (0..40).map(|number| format!("rule{number:02}")).collect();
    let rules: Vec<(&str, &str)> =
        names.iter().map(|name| (name.as_str(), "when = \"payload.c > 8\"")).collect();
    let mut site = Site::new(&rules);
    for name in &names[..30] {
        site.hear(&format!("{name}/1"), "{}", NOW);
    }
    let told = site.told(NOW + SECOND * 10);
    assert_eq!(told.len(), 1);
    assert!(told[0].contains("So it is with rule01, rule02,") && told[0].contains("rule29;"), "{told:?}");
    let mut messages = 0;
    for (second, name) in (0..).zip(&names[30..]) {
        site.hear(&format!("{name}/1"), "{}", NOW + SECOND * (20 + second * 15));
        messages += site.told(NOW + SECOND * (31 + second * 15)).len();
    }
    assert_eq!(messages, 4, "five in ten minutes");
    let rest = site.told(NOW + SECOND * 700);
    assert!(rest.len() == 1 && rest[0].contains("rule39"), "{rest:?}");
}

#[test]
fn a_rule_that_was_corrected_begins_anew() {
    let mut site = Site::new(&[("cellar", HOT), ("attic", "when = \"payload.c > 8\"")]);
    site.hear("cellar/1", "{}", NOW);
    site.hear("attic/1", "{}", NOW);
    let mut versions: Vec<(RuleName, i64)> =
        site.config.rules.iter().map(|rule| (rule.name.clone(), rule.version())).collect();
    let left = |site: &Site, versions: &[(RuleName, i64)]| {
        site.store.forget_unjudged_of_others(versions).expect("written");
        site.store.all_unjudged().expect("read").len()
    };
    assert_eq!(left(&site, &versions), 3);
    versions[0].1 += 1;
    assert_eq!(left(&site, &versions), 1, "the other rule's");
    assert_eq!(left(&site, &[]), 0);
}

#[test]
fn the_log_has_a_line_a_minute_for_each_rule() {
    let one = |rule: &str| Unjudged {
        rule: rule.into(),
        version: 1,
        kind: "k".into(),
        reason: "r".into(),
        is_partial: false,
    };
    let mut lines = Lines::default();
    let mut written = |rule: &str, at: u32| lines.add(&one(rule), "t", NOW + SECOND * at);
    assert!(written("a", 0) && written("b", 0));
    assert!((1..60).all(|second| !written("a", second)));
    assert!(written("a", 60) && !written("a", 119) && written("a", 120));
    lines.catch_up(NOW + SECOND * 60);
    assert!(lines.of.values().all(|line| line.more == 0));
}
