//! What else goes wrong: engines, clocks, Meta, and what comes from it. Each message is counted by its id.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bellwire::time::{Clock, SystemClock};
use bellwire_hub::engine::{Engine as _, JetStream, Log};
use bellwire_hub::settings::Settings;
use bellwire_hub::sites::{self, People, Site};
use bellwire_tests::{PHONE_NUMBER_ID, wait_for};
use serde_json::json;

use crate::chain::{hello, poll, post_body, webhook};
use crate::parts::{Hub, META_TOKEN, send};
use crate::points::{NINO, two};

fn with_engine<T>(hub: &Hub, does: impl AsyncFnOnce(JetStream) -> T) -> T {
    let settings = Settings::read(&hub.settings()).expect("good settings");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async { does(JetStream::open(&settings.engine).await.expect("an engine")).await })
}

/// What the site gets, by id, until there are so many; and then what one more question brings.
fn fetched(url: &str, token: &str, expected: usize) -> std::collections::BTreeMap<String, usize> {
    let asked_again = AtomicBool::new(false);
    poll(url, token, |fetched| fetched.len() >= expected && asked_again.swap(true, Ordering::Relaxed))
}

#[test]
fn a_paused_engine_only_delays_messages() {
    let two = two();
    two.engine.signal("STOP");
    let settled = std::thread::scope(|scope| {
        let asks: Vec<_> = (0..10)
            .map(|row| {
                let two = &two;
                scope.spawn(move || two.until_settled(row))
            })
            .collect();
        std::thread::sleep(Duration::from_secs(2));
        two.engine.signal("CONT");
        asks.into_iter().map(|ask| ask.join().expect("settled")).collect::<Vec<_>>()
    });
    assert!(settled.iter().all(|(status, _)| *status == 200), "{settled:?}");
    assert!((0..10).all(|row| two.at_meta(row) == 1));
}

#[test]
fn a_webhook_sent_to_both_hubs_is_stored_once() {
    let two = two();
    let from = NINO.trim_start_matches('+');
    for at in 0..40 {
        let body = webhook(&json!([hello(&format!("wamid.{at:03}"), from)]));
        std::thread::scope(|scope| {
            for hub in &two.hubs {
                scope.spawn(|| post_body(&hub.url(""), &body));
            }
        });
    }
    let fetched = fetched(&two.proxy.url(""), &two.token, 40);
    assert_eq!(fetched.len(), 40, "{fetched:?}");
    assert!(fetched.values().all(|count| *count == 1), "{fetched:?}");
}

/// The most that Meta puts into a body.
#[test]
fn a_body_with_a_thousand_messages_reaches_three_hundred_sites() {
    let two = two();
    let tokens = with_engine(&two.hubs[0], async |engine| {
        let mut tokens = Vec::new();
        for at in 0..300 {
            let people = People::Only([format!("49151000{at:03}")].into());
            let numbers = [PHONE_NUMBER_ID.to_owned()].into();
            let (name, site) = (format!("s{at}"), Site { numbers, people, ..Site::default() });
            sites::add(&engine, &name, &site).await.expect("added");
            let code = sites::code(&engine, &name).await.expect("a code");
            tokens.push(sites::enrol(&engine, &code).await.expect("a token").1);
        }
        tokens
    });
    let messages: Vec<_> =
        (0..1_000).map(|at| hello(&format!("wamid.{at:04}"), &format!("49151000{:03}", at % 300))).collect();
    let began = Instant::now();
    post_body(&two.proxy.url(""), &webhook(&json!(messages)));
    let taken = began.elapsed();
    wait_for(60, "all of it to be routed", || {
        let count = with_engine(&two.hubs[0], async |engine| engine.count(Log::Inbound).await.unwrap_or(0));
        (count == 1_000).then_some(())
    });
    println!("taken in {taken:?}, routed in {:?}", began.elapsed());
    for at in [0, 99, 100, 299] {
        let expected = (0..1_000).filter(|message| message % 300 == at).count();
        let fetched = fetched(&two.proxy.url(""), &tokens[at], expected);
        assert_eq!((fetched.len(), fetched.values().sum::<usize>()), (expected, expected), "s{at}");
    }
    std::thread::sleep(Duration::from_secs(10)); // each hub has looked
    assert!(two.hubs.iter().all(|hub| !hub.log().contains("did not hear")), "a thousand were heard of");
}

#[test]
fn a_long_offline_site_fetches_ten_thousand_messages_once() {
    let two = two();
    with_engine(&two.hubs[0], async |engine| {
        for from in 0..100 {
            let bodies = (0..100).map(|at| format!("wamid.{:05}", from * 100 + at));
            let appends = bodies.map(|id| {
                let body = webhook(&json!([hello(&id, "995555123456")]));
                let engine = engine.clone();
                async move { engine.append(Log::Inbound, "in.shop", &id, body.into()).await.expect("kept") }
            });
            futures_util::future::join_all(appends).await;
        }
    });
    let began = Instant::now();
    let fetched = fetched(&two.proxy.url(""), &two.token, 10_000);
    println!("{} messages within {:?}", fetched.len(), began.elapsed());
    assert_eq!(fetched.len(), 10_000);
    assert!(fetched.values().all(|count| *count == 1), "once each");
}

#[test]
fn clocks_that_differ_by_five_minutes_lose_nothing() {
    let mut two = two();
    two.hubs[1].kill();
    two.hubs[1].up_ahead();
    two.hubs[1].wait_ready();
    let ahead = (SystemClock.now() + Duration::from_secs(240)).rfc3339();
    assert!(
        two.hubs[1].log().lines().any(|line| line.starts_with('2') && line > ahead.as_str()),
        "its clock is ahead"
    );
    let from = NINO.trim_start_matches('+');
    for at in 0..30 {
        post_body(&two.proxy.url(""), &webhook(&json!([hello(&format!("wamid.{at:03}"), from)])));
        assert_eq!(two.until_settled(at), (200, "answer".to_owned()));
        assert_eq!(two.at_meta(at), 1);
    }
    let fetched = fetched(&two.proxy.url(""), &two.token, 30);
    assert_eq!((fetched.len(), fetched.values().sum::<usize>()), (30, 30), "{fetched:?}");
}

#[test]
fn what_meta_answers_too_late_is_unknown_for_ever() {
    let two = two();
    two.meta.fault(&json!({ "delay_ms": 40_000, "hang_after_accept": true, "count": 1 }));
    let (status, said, _) =
        send(&two.hubs[0].url(""), &two.token, 1, 1, NINO, 0).expect("within half a minute");
    assert_eq!((status, said.as_str()), (504, "unknown"));
    let (status, said, _) = send(&two.hubs[1].url(""), &two.token, 1, 1, NINO, 30).expect("an answer");
    assert_eq!((status, said.as_str()), (504, "unknown"), "and it is not sent again");
    assert_eq!(two.at_meta(1), 1);
}

#[test]
fn a_token_of_metas_is_changed_while_hubs_run() {
    let two = two();
    let write = |token: &str| {
        for hub in &two.hubs {
            std::fs::write(hub.settings().with_file_name("access-token"), token).expect("written");
        }
    };
    write("expired");
    let (status, said, body) = send(&two.proxy.url(""), &two.token, 1, 1, NINO, 0).expect("an answer");
    assert!(said == "answer" && body.contains("190"), "{status} {body}");
    write(META_TOKEN);
    let (status, ..) = send(&two.proxy.url(""), &two.token, 1, 2, NINO, 0).expect("an answer");
    assert_eq!((status, two.at_meta(1)), (200, 1), "another try, at once and without a restart");
}

#[test]
fn an_unreadable_app_secret_is_named_in_the_log() {
    let two = two();
    let file = two.hubs[0].settings().with_file_name("app-secret");
    std::fs::remove_file(&file).expect("it was there");
    let signed = ureq::post(two.hubs[0].url("/webhook/whatsapp")).header("X-Hub-Signature-256", "sha256=00");
    assert!(matches!(signed.send("{}"), Err(ureq::Error::StatusCode(401))));
    let log = two.hubs[0].log();
    assert!(log.contains(&file.display().to_string()) && log.contains("is refused until that file"), "{log}");
}

#[test]
fn a_tap_for_a_removed_site_goes_to_another() {
    let two = two();
    let heir = two.hubs[0].enrol("heir", &[NINO]);
    assert_eq!(send(&two.proxy.url(""), &two.token, 1, 1, NINO, 0).map(|(status, ..)| status), Some(200));
    two.hubs[0].says(&["sites", "revoke", "shop"]);
    let tap = json!({ "from": NINO.trim_start_matches('+'), "id": "wamid.tap", "timestamp": "1900000000",
        "type": "interactive", "interactive": { "type": "button_reply",
            "button_reply": { "id": "bellwire/0badcafe/a1/1f/ack/00", "title": "I take care" } } });
    post_body(&two.proxy.url(""), &webhook(&json!([tap])));
    let fetched = fetched(&two.proxy.url(""), &heir, 1);
    assert_eq!(fetched.get("wamid.tap"), Some(&1), "{fetched:?}");
}

#[test]
fn a_body_that_cannot_be_read_holds_up_nothing() {
    let two = two();
    for poison in ["[]", "{\"entry\":[{}]}", "{\"entry\":7}", "not JSON"] {
        post_body(&two.proxy.url(""), poison);
    }
    post_body(&two.proxy.url(""), &webhook(&json!([hello("wamid.after", NINO.trim_start_matches('+'))])));
    let fetched = fetched(&two.proxy.url(""), &two.token, 1);
    assert_eq!(fetched.get("wamid.after"), Some(&1));
    let unrouted = two.hubs[0].says(&["unrouted", "list"]);
    assert!(unrouted.contains("not JSON") && unrouted.lines().count() == 4, "{unrouted}");
}

#[test]
fn without_a_quorum_nothing_leaves() {
    let mut chain = crate::chain::chain();
    let token = chain.hubs[0].enrol("shop", &[NINO]);
    chain.engine.kill(1);
    chain.engine.kill(2);
    let (status, said, body) = send(&chain.proxy.url(""), &token, 1, 1, NINO, 0).expect("an answer");
    assert_eq!((status, said.as_str()), (429, "again"), "{body}");
    assert!(chain.meta.sent().is_empty());
    chain.engine.up(1);
    wait_for(60, "a quorum", || {
        send(&chain.proxy.url(""), &token, 1, 2, NINO, 0).filter(|(status, ..)| *status == 200)
    });
    assert_eq!(chain.meta.sent().len(), 1);
}

/// The disks of all engines are lost. Hubs end, are started again by whoever started them, and make what they need.
#[test]
fn an_engine_that_lost_everything_is_begun_anew() {
    let mut two = two();
    assert_eq!(two.until_settled(1), (200, "answer".to_owned()));
    two.engine.lose(0);
    two.engine.up(0);
    for hub in &mut two.hubs {
        wait_for(30, "the hub's end", || hub.has_ended().then_some(()));
        assert!(hub.log().contains("the engine has lost"), "{}", hub.log());
        hub.kill();
        hub.up();
    }
    two.hubs.iter().for_each(Hub::wait_ready);
    let (status, _, body) = send(&two.proxy.url(""), &two.token, 2, 1, NINO, 0).expect("an answer");
    assert_eq!(status, 401, "its sites are unknown: {body}");
    two.token = two.hubs[0].enrol("shop", &[NINO]);
    assert_eq!(two.until_settled(2), (200, "answer".to_owned()));
}

/// The engine has room for a few bodies and then for nothing.
#[test]
fn an_engine_that_is_full_takes_nothing_and_nothing_leaves() {
    let engine = crate::parts::Engine::start_with(1, "always, max_file: 1MB");
    let folder = tempfile::tempdir().expect("a folder");
    let meta = crate::parts::Meta::start(folder.path(), "http://127.0.0.1:9/webhook/whatsapp");
    let mut hub = Hub::new(&engine, meta.port);
    hub.up();
    hub.wait_ready();
    let token = hub.enrol("shop", &[NINO]);
    let text = "x".repeat(60_000);
    let refused = (0..60).find_map(|at| {
        let mut hello = hello(&format!("wamid.{at}"), NINO.trim_start_matches('+'));
        hello["text"]["body"] = json!(text);
        let body = webhook(&json!([hello]));
        let signature =
            bellwire::whatsapp::signature::sign(&crate::parts::APP_SECRET.into(), body.as_bytes());
        let sent =
            ureq::post(hub.url("/webhook/whatsapp")).header("X-Hub-Signature-256", signature).send(&body);
        sent.err()
    });
    assert!(matches!(refused, Some(ureq::Error::StatusCode(503))), "Meta sends it again: {refused:?}");
    let (status, said, body) = send(&hub.url(""), &token, 1, 1, NINO, 0).expect("an answer");
    assert_eq!((status, said.as_str()), (429, "again"), "{body}");
    assert!(meta.sent().is_empty());
}
