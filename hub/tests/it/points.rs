//! A hub is killed, or an answer is lost, at each point of a message's way. Whatever the site then asks again under its key, Meta
//! has the message once or nobody claims that it has.

use std::time::Duration;

use bellwire_tests::wait_for;
use serde_json::json;

use crate::parts::{Engine, Hub, Meta, Proxy, send, two_hubs};

pub const NINO: &str = "+995555123456";

pub struct Two {
    pub engine: Engine,
    pub meta: Meta,
    pub hubs: [Hub; 2],
    pub proxy: Proxy,
    pub token: String,
}

pub fn two() -> Two {
    let (engine, meta, hubs, proxy) = two_hubs();
    let token = hubs[0].enrol("shop", &[NINO]);
    Two { engine, meta, hubs, proxy, token }
}

impl Two {
    /// As a site does: again under the same key until it is settled; what settles it.
    pub fn until_settled(&self, row: u32) -> (u16, String) {
        let began = std::time::Instant::now();
        wait_for(60, "an answer that settles it", || {
            let (status, said, _) =
                send(&self.proxy.url(""), &self.token, row, 1, NINO, began.elapsed().as_secs())?;
            matches!(said.as_str(), "answer" | "unknown").then_some((status, said))
        })
    }

    pub fn at_meta(&self, row: u32) -> usize {
        let callback = format!("bellwire/0badcafe/{row}");
        self.meta.sent().iter().filter(|sent| sent["biz_opaque_callback_data"] == callback.as_str()).count()
    }
}

/// Point 1: before `begun` is on disk. The engine stands still, so that the hub waits for it when it is killed; the engine may
/// have taken the row all the same.
#[test]
fn a_hub_killed_before_claiming_loses_nothing() {
    let mut two = two();
    two.hubs[1].kill();
    two.engine.signal("STOP");
    std::thread::scope(|scope| {
        let url = two.hubs[0].url("");
        let token = two.token.clone();
        scope.spawn(move || send(&url, &token, 1, 1, NINO, 0));
        std::thread::sleep(Duration::from_millis(300));
    });
    two.hubs[0].kill();
    two.engine.signal("CONT");
    two.hubs.iter_mut().for_each(Hub::up);
    two.hubs.iter().for_each(Hub::wait_ready);
    let (status, said) = two.until_settled(1);
    match said.as_str() {
        "answer" => assert_eq!((status, two.at_meta(1)), (200, 1)),
        _ => assert_eq!((status, two.at_meta(1)), (504, 0), "begun was stored, and its hub is gone"),
    }
}

/// Points 2 and 3: `begun` is on disk, and Meta has been asked. Before it takes the message, and after.
#[test]
fn a_hub_killed_during_a_post_duplicates_nothing() {
    let mut two = two();
    for (row, fault, at_meta) in [
        (1, json!({ "delay_ms": 3_000, "count": 1 }), 1),
        (2, json!({ "hang_after_accept": true, "count": 1 }), 1),
        (3, json!({ "reset_before_accept": true, "delay_ms": 3_000, "count": 1 }), 0),
    ] {
        two.meta.fault(&fault);
        two.hubs[1].kill();
        std::thread::scope(|scope| {
            let (url, token) = (two.hubs[0].url(""), two.token.clone());
            let asked = scope.spawn(move || send(&url, &token, row, 1, NINO, 0));
            std::thread::sleep(Duration::from_millis(1_000));
            two.hubs[0].kill();
            assert_eq!(asked.join().expect("ended"), None, "its answer is lost");
        });
        two.hubs.iter_mut().for_each(Hub::up);
        two.hubs.iter().for_each(Hub::wait_ready);
        let (status, said, _) = send(&two.proxy.url(""), &two.token, row, 1, NINO, 1).expect("an answer");
        assert_eq!((status, said.as_str()), (409, "wait"), "somebody may still be at it");
        let (status, said, _) = send(&two.proxy.url(""), &two.token, row, 1, NINO, 36).expect("an answer");
        assert_eq!((status, said.as_str()), (504, "unknown"));
        let again = send(&two.proxy.url(""), &two.token, row, 1, NINO, 0).map(|(status, ..)| status);
        assert_eq!(again, Some(504), "and so for ever");
        assert_eq!(two.at_meta(row), at_meta, "{fault}");
        assert!(ureq::delete(two.meta.url("/_simulator/faults")).call().is_ok());
    }
}

/// Point 4: the answer is on disk, and does not reach the site. It asks again, at another hub.
#[test]
fn a_lost_answer_is_repeated_on_retry() {
    let two = two();
    for row in 0..20 {
        two.proxy.cuts.store(2, std::sync::atomic::Ordering::Relaxed);
        assert_eq!(send(&two.proxy.url(""), &two.token, row, 1, NINO, 0), None);
        assert_eq!(two.until_settled(row), (200, "answer".to_owned()));
        assert_eq!(two.at_meta(row), 1);
    }
    assert_eq!(two.meta.sent().len(), 20);
}

/// Without a quorum nothing leaves, and the site hears that nothing did.
#[test]
fn without_the_engine_nothing_leaves() {
    let mut two = two();
    two.engine.kill(0);
    let (status, said, body) = send(&two.proxy.url(""), &two.token, 1, 1, NINO, 0).expect("an answer");
    assert_eq!((status, said.as_str()), (429, "again"), "{body}");
    let refused = ureq::post(two.proxy.url("/webhook/whatsapp"));
    let signed = "sha256=0000000000000000000000000000000000000000000000000000000000000000";
    assert!(refused.header("X-Hub-Signature-256", signed).send("{}").is_err());
    assert_eq!(two.at_meta(1), 0);
    two.engine.up(0);
    let answer = wait_for(40, "the engine", || {
        send(&two.proxy.url(""), &two.token, 1, 2, NINO, 0).filter(|(status, ..)| *status == 200)
    });
    assert_eq!((answer.0, two.at_meta(1)), (200, 1));
    // What changes is brought again, too: a revocation.
    two.hubs[0].says(&["sites", "revoke", "shop"]);
    wait_for(10, "the revocation at both hubs", || {
        let refused = |hub: &Hub| {
            send(&hub.url(""), &two.token, 2, 1, NINO, 0).is_some_and(|(status, ..)| status == 401)
        };
        two.hubs.iter().all(refused).then_some(())
    });
}

/// A hub that is told to end finishes what it has begun.
#[test]
fn sigterm_loses_no_answer() {
    let mut two = two();
    two.meta.fault(&json!({ "delay_ms": 2_000, "count": 1 }));
    two.hubs[1].kill();
    let (url, token) = (two.hubs[0].url(""), two.token.clone());
    let asked = std::thread::spawn(move || send(&url, &token, 1, 1, NINO, 0));
    std::thread::sleep(Duration::from_millis(500));
    assert!(two.hubs[0].stop());
    let (status, said, _) = asked.join().expect("ended").expect("an answer");
    assert_eq!((status, said.as_str(), two.at_meta(1)), (200, "answer", 1));
}
