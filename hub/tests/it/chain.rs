//! Two hubs and three engines, killed under load. Each id is counted.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bellwire_tests::{Broker, Gateway, PHONE_NUMBER_ID, Site, publish_lines, wait_for};
use serde_json::{Value, json};

use crate::parts::{APP_SECRET, Chain, put_behind, send_as};

pub fn chain() -> Chain {
    let chain = Chain::start(|_| {});
    assert!(chain.hubs[0].command(&["doctor"]).status.success());
    chain
}

/// Added at one hub, enrolled at the other, and it sends over the first: each asks another node, at once.
#[test]
fn a_new_site_is_known_at_every_hub_at_once() {
    let chain = chain();
    for at in 0..30 {
        let (name, person) = (format!("s{at}"), format!("+99555500{at:04}"));
        let code =
            chain.hubs[0].says(&["sites", "add", &name, "--number", PHONE_NUMBER_ID, "--person", &person]);
        let token = chain.hubs[1].token(code.trim());
        let (hub, store) = (chain.hubs[0].url(""), format!("{at:08x}"));
        let (status, said, body) =
            send_as("warning", &store, &hub, &token, 1, 1, &person, 0).expect("an answer");
        assert_eq!((status, said.as_str()), (200, "answer"), "{name}: {body}");
    }
}

/// A real site, forty people, five alerts each; a hub is killed every second and a half, and an engine in between.
#[test]
fn killed_hubs_and_engines_lose_and_duplicate_nothing() {
    let mut chain = chain();
    let phones: Vec<String> = (0..40).map(|at| format!("+9955550000{at:02}")).collect();
    let people: Vec<&str> = phones.iter().map(String::as_str).collect();
    let token = chain.hubs[0].enrol("shop", &people);
    let mut rules = String::new();
    for (at, phone) in phones.iter().enumerate() {
        rules.push_str(&format!(
            "[[contact]]\nid = \"p{at}\"\nphone = \"{phone}\"\n[[rule]]\nname = \"r{at}\"\ntopic = \"t/{at}\"\n\
             message = \"{at} {{{{ payload.n }}}}\"\nseverity = \"critical\"\non_unknown = \"hold\"\nnotify = [\"p{at}\"]\n"
        ));
    }
    let broker = Broker::start();
    let site = Site::new(broker.port, &rules);
    put_behind(&site, &chain.proxy.url(""), &token);
    let _gateway = Gateway::start(&site);
    let mut kills = 0;
    for round in 0..5 {
        for at in 0..40 {
            publish_lines(broker.port, &format!("t/{at}"), &[format!("{{\"n\": {round}}}")]);
        }
        let hub = round % 2;
        chain.hubs[hub].kill();
        kills += 1;
        let node = round % 3;
        chain.engine.kill(node);
        std::thread::sleep(Duration::from_millis(750));
        chain.hubs[hub].up();
        chain.engine.up(node);
        std::thread::sleep(Duration::from_millis(750));
    }
    let settled = "SELECT count(*) FROM message WHERE state IN ('accepted', 'sent', 'delivered', 'read', 'held', 'failed')";
    wait_for(
        170,
        &format!("all of them; the hubs say {} {}", chain.hubs[0].log(), chain.hubs[1].log()),
        || (site.count(settled) == 200).then_some(()),
    );
    let mut by_callback = BTreeMap::<String, usize>::new();
    for sent in chain.meta.sent() {
        *by_callback
            .entry(sent["biz_opaque_callback_data"].as_str().unwrap_or_default().to_owned())
            .or_default() += 1;
    }
    let twice: Vec<_> = by_callback.iter().filter(|(_, count)| **count > 1).collect();
    let held = site.count("SELECT count(*) FROM message WHERE state = 'held'");
    let failed = site.count("SELECT count(*) FROM message WHERE state = 'failed'");
    println!(
        "{kills} kills of a hub: {} at Meta, {held} held as unknown, {failed} failed, twice {twice:?}",
        by_callback.len()
    );
    assert!(twice.is_empty() && failed == 0, "{twice:?} {failed}");
    let told = i64::try_from(by_callback.len()).expect("few");
    assert!(told + held >= 200, "what nobody knows of is held for a person: {told} {held}");
    assert!(held <= 16 * kills, "no more than was under way: {held}");
}

/// Three hundred messages of people for two sites; all three engines are killed in the middle.
#[test]
fn all_engines_die_and_what_people_wrote_is_there_once() {
    let mut chain = chain();
    let tokens =
        [("a", "491510000"), ("b", "491510001")].map(|(name, person)| chain.hubs[0].enrol(name, &[person]));
    let (posted, done) = (AtomicUsize::new(0), AtomicBool::new(false));
    let proxy = chain.proxy.url("");
    let fetched = std::thread::scope(|scope| {
        let polls = tokens.clone().map(|token| {
            let (proxy, done) = (&proxy, &done);
            scope.spawn(move || poll(proxy, &token, |_| done.load(Ordering::Relaxed)))
        });
        let (proxy, posted) = (&proxy, &posted);
        let posting = scope.spawn(move || {
            for at in 0..300 {
                post(proxy, at, &format!("49151000{}", at % 2));
                posted.fetch_add(1, Ordering::Relaxed);
            }
        });
        wait_for(60, "some of them", || (posted.load(Ordering::Relaxed) >= 100).then_some(()));
        (0..3).for_each(|at| chain.engine.kill(at));
        std::thread::sleep(Duration::from_secs(1));
        (0..3).for_each(|at| chain.engine.up(at));
        posting.join().expect("all posted");
        std::thread::sleep(Duration::from_secs(8)); // the router, and the last polls
        done.store(true, Ordering::Relaxed);
        polls.map(|poll| poll.join().expect("fetched"))
    });
    for (site, fetched) in fetched.iter().enumerate() {
        let expected: Vec<String> =
            (0..300).filter(|at| at % 2 == site).map(|at| format!("wamid.{at:03}")).collect();
        let lost: Vec<_> = expected.iter().filter(|wamid| !fetched.contains_key(*wamid)).collect();
        let twice: Vec<_> = fetched.iter().filter(|(_, count)| **count > 1).collect();
        println!("site {site}: {} fetched, lost {lost:?}, twice {twice:?}", fetched.len());
        assert!(lost.is_empty() && twice.is_empty(), "{lost:?} {twice:?}");
        assert_eq!(fetched.len(), expected.len(), "nothing of the other's");
    }
}

/// As Meta sends what people wrote.
pub fn webhook(messages: &Value) -> String {
    json!({ "object": "whatsapp_business_account", "entry": [{ "id": "1", "changes": [{ "field": "messages",
        "value": { "messaging_product": "whatsapp", "metadata": { "phone_number_id": PHONE_NUMBER_ID },
            "messages": messages } }] }] })
    .to_string()
}

pub fn hello(id: &str, from: &str) -> Value {
    json!({ "from": from, "id": id, "timestamp": "1900000000", "type": "text", "text": { "body": "hello" } })
}

fn post(proxy: &str, at: usize, from: &str) {
    post_body(proxy, &webhook(&json!([hello(&format!("wamid.{at:03}"), from)])));
}

/// As Meta does: again until it is taken.
pub fn post_body(proxy: &str, body: &str) {
    let signature = bellwire::whatsapp::signature::sign(&APP_SECRET.into(), body.as_bytes());
    wait_for(60, "a hub that takes it", || {
        let agent: ureq::Agent =
            ureq::Agent::config_builder().timeout_global(Some(Duration::from_secs(10))).build().into();
        let sent = agent.post(format!("{proxy}/webhook/whatsapp")).header("X-Hub-Signature-256", &signature);
        sent.send(body).ok()
    });
}

/// As a site does: with its cursor, which it keeps with what it got. How often each message came.
pub fn poll(
    proxy: &str,
    token: &str,
    is_all: impl Fn(&BTreeMap<String, usize>) -> bool,
) -> BTreeMap<String, usize> {
    let (mut cursor, mut fetched) = (String::new(), BTreeMap::new());
    let end = Instant::now() + Duration::from_secs(120);
    while !is_all(&fetched) && Instant::now() < end {
        let agent: ureq::Agent =
            ureq::Agent::config_builder().timeout_global(Some(Duration::from_secs(2))).build().into();
        let after = if cursor.is_empty() { String::new() } else { format!("?after={cursor}") };
        let asked = agent
            .get(format!("{proxy}/hub/v1/webhooks{after}"))
            .header("Authorization", format!("Bearer {token}"));
        let Ok(mut answer) = asked.call() else { continue };
        let Ok(batch) = answer.body_mut().read_json::<Value>() else { continue };
        for webhook in batch["webhooks"].as_array().expect("a list") {
            let body = webhook["body"].as_str().expect("a body");
            let signature = webhook["signature"].as_str();
            assert!(bellwire::whatsapp::signature::verify(&[token.into()], signature, body.as_bytes()));
            let body: Value = serde_json::from_str(body).expect("JSON");
            let message = &body["entry"][0]["changes"][0]["value"]["messages"][0];
            // The others are receipts.
            if let Some(id) = message["id"].as_str() {
                *fetched.entry(id.to_owned()).or_default() += 1;
            }
        }
        cursor = batch["cursor"].as_str().expect("a cursor").to_owned();
    }
    fetched
}
