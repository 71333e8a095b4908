use bellwire_tests::{Broker, Gateway, Site, wait_for};
use hmac::{Hmac, KeyInit, Mac};
use serde_json::Value;
use sha2::Sha256;

fn fixtures() -> String {
    format!("{}/fixtures/cloud-api", env!("CARGO_MANIFEST_DIR"))
}

fn agent() -> ureq::Agent {
    ureq::Agent::config_builder().http_status_as_error(false).build().into()
}

pub fn post(site: &Site, body: &[u8], signature: Option<&str>) -> u16 {
    let mut request = agent().post(site.url("/webhook/whatsapp"));
    if let Some(signature) = signature {
        request = request.header("X-Hub-Signature-256", signature);
    }
    request.send(body).expect("an answer").status().as_u16()
}

pub fn sign(secret: &str, body: &[u8]) -> String {
    let mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("any key").chain_update(body);
    let hex: String = mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256={hex}")
}

#[test]
fn forged_bodies_are_refused_and_store_nothing() {
    let broker = Broker::start();
    let site = Site::new(broker.port, crate::round_trip::FREEZER);
    let _gateway = Gateway::start(&site);
    let body = br#"{"object":"whatsapp_business_account","entry":[]}"#;
    assert_eq!(post(&site, body, None), 401);
    assert_eq!(post(&site, body, Some(&sign("another secret", body))), 401);
    assert_eq!(post(&site, body, Some("sha256=00")), 401);
    assert_eq!(post(&site, body, Some(&sign("my-verify-token", body))), 401);
    assert_eq!(site.count("SELECT count(*) FROM inbox"), 0);
    assert_eq!(post(&site, body, Some(&sign("secret", body))), 200);
    assert_eq!(site.count("SELECT count(*) FROM inbox"), 1, "it is on disk when 200 is answered");
}

#[test]
fn every_handshake_is_answered() {
    let broker = Broker::start();
    let site = Site::new(broker.port, crate::round_trip::FREEZER);
    let _gateway = Gateway::start(&site);
    let cases: Value =
        serde_json::from_slice(&std::fs::read(fixtures() + "/handshake.json").unwrap()).unwrap();
    for case in cases["cases"].as_array().unwrap() {
        let url = site.url(&format!("/webhook/whatsapp?{}", case["query"].as_str().unwrap()));
        let mut response = agent().get(&url).call().expect("an answer");
        assert_eq!(u64::from(response.status().as_u16()), case["status"].as_u64().unwrap(), "{case}");
        if let Some(body) = case["body"].as_str() {
            assert_eq!(response.headers()["content-type"], "text/plain; charset=utf-8");
            assert_eq!(response.body_mut().read_to_string().unwrap(), body, "{case}");
        }
    }
}

/// A file holds one body as it came, or a list of bodies that came one after the other.
pub fn bodies(file: &[u8]) -> Vec<Vec<u8>> {
    match serde_json::from_slice::<Vec<Value>>(file) {
        Ok(list) => list.iter().map(|body| serde_json::to_vec(body).unwrap()).collect(),
        Err(_) => vec![file.to_vec()],
    }
}

#[test]
fn every_body_of_metas_is_taken_once_and_again() {
    let broker = Broker::start();
    let site = Site::new(broker.port, crate::round_trip::FREEZER);
    let mut gateway = Gateway::start(&site);
    let mut posted = 0;
    for folder in ["messages", "statuses", "fields", "batches"] {
        for file in std::fs::read_dir(format!("{}/webhooks/{folder}", fixtures())).unwrap() {
            let text = std::fs::read(file.unwrap().path()).unwrap();
            for body in bodies(&text) {
                for _ in 0..2 {
                    assert_eq!(post(&site, &body, Some(&sign("secret", &body))), 200);
                    posted += 1;
                }
            }
        }
    }
    let done = "SELECT count(*) FROM inbox WHERE state = 'done'";
    wait_for(20, "all bodies to be read", || (site.count(done) == posted).then_some(()));
    assert!(gateway.is_running());
    assert_eq!(site.count("SELECT count(*) FROM command"), 0, "nobody in them is a contact of ours");
    assert!(site.count("SELECT count(*) FROM reply") > 20);
}
