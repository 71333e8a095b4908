//! One site behind one hub, with an engine of one node: everything on one machine.

use std::time::{Duration, Instant};

use bellwire_tests::{Broker, Gateway, PHONE_NUMBER_ID, Site, bellwire, publish, wait_for};
use serde_json::json;

use crate::parts::{Engine, Hub, META_TOKEN, Meta, put_behind};

pub const NINO: &str = "+995555123456";

const RULES: &str = r#"
[[contact]]
id = "nino"
phone = "+995 555 12 34 56"
roles = ["manager"]
[[rule]]
name = "freezer"
topic = "site/freezer"
message = "Freezer at {{ payload.celsius }}"
severity = "critical"
notify = ["nino"]
[[command]]
name = "oven"
words = "oven off"
topic = "site/oven/set"
payload = "OFF"
"#;

pub struct Shop {
    pub broker: Broker,
    pub site: Site,
    pub hub: Hub,
    pub meta: Meta,
    _engine: Engine,
}

pub fn shop() -> (Shop, String) {
    let engine = Engine::start(1);
    // The simulator must know the hub's address, and the hub Meta's.
    let meta_folder = tempfile::tempdir().expect("a folder");
    let port = bellwire_tests::free_port();
    let webhook = format!("http://127.0.0.1:{port}/webhook/whatsapp");
    let meta = Meta::start(meta_folder.path(), &webhook);
    let mut hub = Hub::new(&engine, meta.port);
    hub.listen_at(port);
    hub.up();
    hub.wait_ready();
    let token = hub.enrol("shop", &[NINO]);
    let broker = Broker::start();
    let site = Site::new(broker.port, RULES);
    put_behind(&site, &hub.url(""), &token);
    (Shop { broker, site, hub, meta, _engine: engine }, token)
}

#[test]
fn a_site_sends_and_receives_without_metas_token() {
    let (shop, token) = shop();
    let check = bellwire(&["check", "--config", &shop.site.config().to_string_lossy()]);
    assert!(check.status.success(), "{}", String::from_utf8_lossy(&check.stderr));
    let _gateway = Gateway::start(&shop.site);
    publish(shop.broker.port, "site/freezer", br#"{"celsius": -12.5}"#);
    let sent = wait_for(20, "the alert", || shop.meta.sent().pop());
    assert!(sent["text"].as_str().is_some_and(|text| text.contains("-12.5")), "{sent}");
    wait_for(10, "the receipts", || {
        (shop.site.count("SELECT count(*) FROM message WHERE state = 'read'") == 1).then_some(())
    });

    let said = shop.meta.does(&json!({ "from": NINO, "text": "oven off" }));
    let outcome = wait_for(10, "the answer", || {
        let read = "SELECT outcome FROM reply WHERE wamid = ?1";
        shop.site.database().query_row(read, [&said], |row| row.get::<_, String>(0)).ok()
    });
    assert_eq!(outcome, "command");
    let picture = json!({ "from": NINO, "image": "aGVsbG8=", "mime_type": "image/jpeg", "caption": "look" });
    shop.meta.does(&picture);
    wait_for(20, "the picture, through the hub", || {
        (shop.site.count("SELECT count(*) FROM file WHERE state = 'kept'") == 1).then_some(())
    });

    assert_ne!(token, META_TOKEN);
    let listed = shop.hub.says(&["sites", "list"]);
    assert!(
        listed.contains("shop\t1 tokens") && listed.contains("asked ") && listed.contains("bellwire/"),
        "{listed}"
    );
}

#[test]
fn pictures_go_through_the_hub_and_doctor_checks_it() {
    let (shop, token) = shop();
    let config = std::fs::read_to_string(shop.site.config()).expect("readable");
    let camera = "[[rule]]\nname = \"door\"\ntopic = \"camera\"\nmessage = \"Somebody is at the door\"\nnotify = [\"nino\"]\n\
                  attach = { kind = \"image\", from = \"payload\" }\n";
    std::fs::write(shop.site.config(), format!("{config}\n{camera}")).expect("written");
    let _gateway = Gateway::start(&shop.site);
    publish(shop.broker.port, "camera", b"\xff\xd8\xff\xe0\x00\x10JFIF-not-really-a-picture\xff\xd9");
    let sent = wait_for(20, "the picture", || shop.meta.sent().pop());
    assert_eq!(sent["type"], "image", "{sent:#?}");
    let doctor = || {
        let output = bellwire(&["doctor", "--config", &shop.site.config().to_string_lossy()]);
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let said = doctor();
    assert!(!said.contains("the hub does not serve"), "{said}");
    shop.hub.says(&["sites", "revoke", "shop"]);
    let url = shop.hub.url("");
    wait_for(5, "the revocation", || {
        crate::parts::send(&url, &token, 9, 1, NINO, 0).filter(|(status, ..)| *status == 401)
    });
    let said = doctor();
    assert!(
        said.contains("the hub does not serve this number") && said.contains("enrol the site again"),
        "{said}"
    );
}

#[test]
fn webhooks_missed_while_offline_are_fetched_once() {
    let (shop, _) = shop();
    let gateway = Gateway::start(&shop.site);
    let first = shop.meta.does(&json!({ "from": NINO, "text": "one" }));
    let known = |wamid: &str| {
        let read = "SELECT count(*) FROM reply WHERE wamid = ?1";
        shop.site.database().query_row(read, [wamid], |row| row.get::<_, i64>(0)).expect("read")
    };
    wait_for(10, "the first", || (known(&first) == 1).then_some(()));
    gateway.kill();
    let more: Vec<String> =
        (0..100).map(|at| shop.meta.does(&json!({ "from": NINO, "text": format!("more {at}") }))).collect();
    let fetched = shop.site.count("SELECT count(*) FROM inbox");
    let _gateway = Gateway::start(&shop.site);
    wait_for(20, "the rest", || more.iter().all(|wamid| known(wamid) == 1).then_some(()));
    assert_eq!(known(&first), 1);
    let bodies = shop.site.count("SELECT count(*) FROM inbox") - fetched;
    assert!(bodies < 300, "from its cursor on, not from the beginning: {bodies}");
}

#[test]
fn a_revoked_token_ends_open_polls_within_a_second() {
    let (shop, token) = shop();
    let poll = |token: &str| {
        let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
        let asked =
            agent.get(shop.hub.url("/hub/v1/webhooks")).header("Authorization", format!("Bearer {token}"));
        asked.call().expect("an answer").status().as_u16()
    };
    // A second token, and the first goes: as in a rotation.
    let next = shop.hub.token(shop.hub.says(&["sites", "code", "shop"]).trim());
    let revoked = std::thread::scope(|scope| {
        let open = scope.spawn(|| {
            let status = poll(&token);
            (status, Instant::now())
        });
        std::thread::sleep(Duration::from_millis(500)); // it is open
        shop.hub.says(&["sites", "revoke", "shop", "--older"]);
        let at = Instant::now();
        let (status, ended) = open.join().expect("it ended");
        assert_eq!(status, 401);
        ended.saturating_duration_since(at)
    });
    assert!(revoked < Duration::from_secs(1), "{revoked:?}");
    assert_eq!(poll(&token), 401);
    assert!(
        crate::parts::send(&shop.hub.url(""), &next, 1, 1, NINO, 0).is_some_and(|(status, ..)| status == 200)
    );
    let (status, _, body) = crate::parts::send(&shop.hub.url(""), &token, 2, 1, NINO, 0).expect("an answer");
    assert!(status == 401 && body.contains("190"), "{body}");
    assert_eq!(shop.meta.sent().len(), 1);
}

#[test]
fn a_stolen_token_reaches_only_its_own_site() {
    let (shop, token) = shop();
    let other = shop.hub.enrol("other", &["+4915112345678"]);
    let url = shop.hub.url("");
    let (status, said, body) =
        crate::parts::send(&url, &token, 1, 1, "+4915112345678", 0).expect("an answer");
    assert!(status == 400 && said == "refused" && body.contains("131030"), "{body}");
    let (status, ..) = crate::parts::send(&url, &token, 2, 1, NINO, 0).expect("an answer");
    assert_eq!(status, 200);
    // The same store's tag from another site: a card that was copied and enrolled again.
    let (status, _, body) = crate::parts::send(&url, &other, 3, 1, "+4915112345678", 0).expect("an answer");
    assert!(status == 403 && body.contains("copy of this store"), "{body}");
    // A key that another message had.
    let (status, _, body) = crate::parts::send(&url, &token, 2, 1, "995555123456", 0).expect("an answer");
    assert!(status == 400 && body.contains("under this key"), "{body}");
    assert_eq!(shop.meta.sent().len(), 1);
    let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
    for path in ["/v25.0/1234/messages", "/v25.0/me", "/v25.0/1/message_templates"] {
        let asked = agent.get(shop.hub.url(path)).header("Authorization", format!("Bearer {token}"));
        assert_ne!(asked.call().expect("an answer").status().as_u16(), 200, "{path}");
    }
    let forged =
        ureq::post(shop.hub.url("/webhook/whatsapp")).header("X-Hub-Signature-256", "sha256=00").send("{}");
    assert!(matches!(forged, Err(ureq::Error::StatusCode(401))));
}

#[test]
fn a_sites_daily_limit_is_enforced() {
    let (shop, _) = shop();
    let (url, add) = (shop.hub.url(""), ["sites", "add", "kiosk", "--number", PHONE_NUMBER_ID]);
    let code = shop.hub.says(&add);
    shop.hub.says(&["sites", "limit", "kiosk", "--day", "2"]);
    let token = shop.hub.token(code.trim()); // the hub that knows it knows the limit, which was written before
    let send = |row| crate::parts::send(&url, &token, row, 1, NINO, 0);
    for row in 1..=2 {
        let sent = send(row);
        assert!(matches!(sent, Some((200, ..))), "{sent:?}");
    }
    let (status, said, body) = send(3).expect("an answer");
    assert!(status == 429 && said == "again" && body.contains("messages of today"), "{body}");
    let sent = send(2);
    assert!(matches!(sent, Some((200, ..))), "what was sent is told again, and counts once");
    shop.hub.says(&["sites", "limit", "kiosk"]);
    wait_for(5, "that it may again", || send(3).filter(|(status, ..)| *status == 200));
    assert_eq!(shop.meta.sent().len(), 3);
}

#[test]
fn doctor_refuses_an_engine_that_acknowledges_too_early() {
    let (good, bad) = (Engine::start(1), Engine::start_with(1, "\"2m\""));
    assert!(wait_for(20, "the doctor", || {
        let output = Hub::new(&good, 1).command(&["doctor"]);
        output.status.success().then_some(true)
    }));
    let output = Hub::new(&bad, 1).command(&["doctor"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && said.contains("sync_interval: always"), "{said}");
}

/// A site that had no hub moves behind one and back, killed in between, with messages under way.
#[test]
fn a_site_moves_behind_a_hub_and_back() {
    let (shop, token) = shop();
    let config = || std::fs::read_to_string(shop.site.config()).expect("readable");
    let behind =
        config().replace("severity = \"critical\"", "severity = \"critical\"\non_unknown = \"hold\"");
    std::fs::write(shop.site.config(), &behind).expect("written");
    std::fs::write(shop.site.path().join("access-token"), META_TOKEN).expect("written");
    let of_hub: Vec<String> = ["hub = ", "hub_token_file"]
        .iter()
        .flat_map(|key| {
            behind.lines().filter(|line| line.starts_with(key)).map(str::to_owned).collect::<Vec<_>>()
        })
        .collect();
    let of_meta = format!(
        "access_token_file = \"access-token\"\napp_secret_file = \"app-secret\"\nverify_token_file = \"verify-token\"\n\
         api_url = \"{}\"",
        shop.meta.url("")
    );
    let straight = behind.replace(&of_hub.join("\n"), &of_meta);
    assert_ne!((token.as_str(), &straight), (META_TOKEN, &behind));
    shop.meta.fault(&json!({ "delay_ms": 100 }));
    for (phase, text) in [&straight, &behind, &straight, &behind].into_iter().enumerate() {
        std::fs::write(shop.site.config(), text).expect("written");
        let gateway = Gateway::start(&shop.site);
        for at in 0..5 {
            publish(shop.broker.port, "site/freezer", format!("{{\"celsius\": {phase}.{at}}}").as_bytes());
        }
        std::thread::sleep(Duration::from_millis(350));
        gateway.kill();
    }
    let _gateway = Gateway::start(&shop.site);
    let waiting = "SELECT count(*) FROM message WHERE state IN ('queued', 'sending', 'unknown')";
    let written = "SELECT count(*) FROM message WHERE digest IS NULL";
    wait_for(90, "all of them", || {
        (shop.site.count(written) >= 1 && shop.site.count(waiting) == 0).then_some(())
    });
    let mut callbacks: Vec<String> =
        shop.meta.sent().iter().map(|sent| sent["biz_opaque_callback_data"].to_string()).collect();
    let sent = callbacks.len();
    callbacks.sort();
    callbacks.dedup();
    let held = shop.site.count("SELECT count(*) FROM message WHERE state = 'held'");
    println!("{sent} at Meta, {held} held");
    assert_eq!(sent, callbacks.len(), "nobody is told twice");
    let alerts = shop.site.count("SELECT count(*) FROM alert");
    assert_eq!(alerts, 20, "each event is an alert");
    let told = shop.site.count(
        "SELECT count(DISTINCT alert) FROM message WHERE state IN ('accepted', 'sent', 'delivered', 'read')",
    );
    assert!(told + held >= alerts, "{told} {held} {alerts}");
}

/// A person of two sites writes without quoting anything.
#[test]
fn a_person_of_two_sites_chooses_the_recipient() {
    let (shop, token) = shop();
    let other = shop.hub.enrol("other", &[NINO]);
    let fetched = |token: &str, after: &str| {
        let agent: ureq::Agent =
            ureq::Agent::config_builder().timeout_global(Some(Duration::from_secs(3))).build().into();
        let url = shop.hub.url(&format!("/hub/v1/webhooks{after}"));
        let mut answer = agent.get(url).header("Authorization", format!("Bearer {token}")).call().ok()?;
        answer.body_mut().read_to_string().ok()
    };
    let first = shop.meta.does(&json!({ "from": NINO, "text": "is it you" }));
    let second = shop.meta.does(&json!({ "from": NINO, "text": "or you" }));
    let asked = wait_for(10, "the question", || shop.meta.sent().pop());
    assert!(
        asked["body"]["interactive"]["action"]["sections"][0]["rows"].to_string().contains("other"),
        "{asked}"
    );
    shop.meta.does(&json!({ "from": NINO, "tap": "other" }));
    let third = wait_for(10, "what was written before", || {
        fetched(&other, "").filter(|text| text.contains(&first) && text.contains(&second))
    });
    assert!(!third.contains("bellwire-hub/site"), "the tap was the hub's own");
    let last = shop.meta.does(&json!({ "from": NINO, "text": "and this" }));
    wait_for(10, "what is written after", || fetched(&other, "").filter(|text| text.contains(&last)));
    assert_eq!(fetched(&token, ""), None, "nothing is for the first");
    assert_eq!(shop.meta.sent().len(), 1, "asked once");
}

#[test]
fn the_hub_forgets_whom_the_site_erased() {
    let (mut shop, _) = shop();
    shop.hub.enrol("other", &[NINO]);
    let gateway = Gateway::start(&shop.site);
    publish(shop.broker.port, "site/freezer", br#"{"celsius": -12.5}"#);
    wait_for(20, "the receipts", || {
        (shop.site.count("SELECT count(*) FROM message WHERE state = 'read'") == 1).then_some(())
    });
    gateway.stop();
    shop.hub.kill();
    let config = shop.site.config();
    let erased = bellwire(&["contact", "erase", "nino", "--yes", "--config", &config.to_string_lossy()]);
    let said = String::from_utf8_lossy(&erased.stdout).into_owned();
    assert!(erased.status.success() && said.contains("The hub is told"), "{said}");
    assert_eq!(shop.site.count("SELECT count(*) FROM hub_erasure"), 1, "owed while the hub is away");

    shop.hub.up();
    shop.hub.wait_ready();
    assert!(shop.hub.says(&["sites", "show", "shop"]).contains("995555123456"));
    let _gateway = Gateway::start(&shop.site);
    wait_for(40, "the hub's word", || {
        (shop.site.count("SELECT count(*) FROM hub_erasure") == 0).then_some(())
    });
    assert!(!shop.hub.says(&["sites", "show", "shop"]).contains("995555123456"));
    assert!(shop.hub.says(&["sites", "show", "other"]).contains("995555123456"), "it is another's, too");
    wait_for(10, "the note", || {
        shop.hub.says(&["audit", "--site", "shop"]).contains("\terased\t").then_some(())
    });
}
