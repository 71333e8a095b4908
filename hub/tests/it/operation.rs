//! What who runs the chain sees and hears.

use std::time::Duration;

use bellwire_hub::engine::{JetStream, Table, follow};
use bellwire_hub::settings::{Settings, Silent};
use bellwire_hub::sites::{Registry, SeenSites, silence};
use bellwire_tests::{Gateway, publish, wait_for};
use serde_json::json;

use crate::parts::{Engine, Hub};
use crate::site::{NINO, shop};

fn row<'p>(page: &'p str, site: &str) -> &'p str {
    page.lines().find(|line| line.contains(&format!("<td>{site}</td>"))).unwrap_or_default()
}

#[test]
fn page_and_metrics_show_a_sites_backlog() {
    let (mut shop, _) = shop();
    shop.hub.enrol("other", &["+4915112345678"]);
    assert!(row(&shop.hub.admin("/"), "other").contains("never asked"));
    shop.meta.fault(&json!({ "status": 400, "code": 130_429, "count": 1_000 }));
    let _gateway = Gateway::start(&shop.site);
    publish(shop.broker.port, "site/freezer", br#"{"celsius": -12.5}"#);
    wait_for(20, "a refusal", || {
        shop.hub
            .admin("/metrics")
            .contains("bellwire_hub_messages_total{severity=\"critical\",result=")
            .then_some(())
    });
    // What a site says is noted every half minute; a hub that was started again notes it at once.
    assert!(shop.hub.stop());
    shop.hub.up();
    shop.hub.wait_ready();
    let page = wait_for(40, "what waits at the site", || {
        let page = shop.hub.admin("/");
        row(&page, "shop").contains("messages wait").then_some(page)
    });
    assert!(
        row(&page, "shop").contains("<td>1</td>") && row(&page, "shop").contains("bellwire"),
        "{}",
        row(&page, "shop")
    );
    let metrics = shop.hub.admin("/metrics");
    for line in [
        "bellwire_hub_sites{state=\"heard\"} 1",
        "bellwire_hub_sites{state=\"never_asked\"} 1",
        "bellwire_hub_backlog 1",
        "bellwire_hub_polls 1",
        "bellwire_hub_hubs 1",
        "bellwire_hub_unrouted 0",
    ] {
        assert!(metrics.contains(line), "{line}: {metrics}");
    }
    assert!(shop.hub.says(&["sites", "list"]).contains("1 wait there"));
}

/// The shortest silence that the settings allow is two minutes; here the same loop runs with four seconds.
#[test]
fn owners_hear_of_a_silent_site() {
    let (shop, _) = shop();
    let other = shop.hub.enrol("other", &["+4915112345678"]);
    let config = std::fs::read_to_string(shop.site.config()).expect("readable");
    let owned = config.replacen("\"Test\"", "\"Test\"\nowner = [\"nino\"]", 1);
    std::fs::write(shop.site.config(), owned).expect("written");
    let _gateway = Gateway::start(&shop.site);
    let agent: ureq::Agent =
        ureq::Agent::config_builder().timeout_global(Some(Duration::from_secs(1))).build().into();
    let asked =
        agent.get(shop.hub.url("/hub/v1/webhooks")).header("Authorization", format!("Bearer {other}"));
    assert!(asked.call().is_err(), "it would be held, and the line breaks");
    wait_for(10, "that it was here", || {
        shop.hub.says(&["sites", "show", "other"]).contains("asked ").then_some(())
    });

    let settings = Settings::read(&shop.hub.settings()).expect("good settings");
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let engine = JetStream::open(&settings.engine).await.expect("an engine");
            let sites = follow::<Registry>(engine.clone(), Table::Sites).await.expect("sites");
            let seen = follow::<SeenSites>(engine.clone(), Table::Seen).await.expect("seen");
            let silent = Silent { after: Duration::from_secs(4), tell: vec!["shop".to_owned()] };
            silence::watch(engine, sites, seen, silent).await;
        });
    });
    let told = wait_for(40, "the owner's message", || {
        let of_other = |sent: &serde_json::Value| {
            sent["text"]
                .as_str()
                .is_some_and(|text| text.contains("has heard nothing") && text.contains("other"))
        };
        shop.meta.sent().into_iter().find(of_other)
    });
    assert_eq!(told["to"], NINO, "{told}");
}

/// A certificate of one's own authority, as `openssl` makes it.
fn certificates(folder: &std::path::Path) {
    let openssl = |arguments: &[&str]| {
        let made = std::process::Command::new("openssl").args(arguments).current_dir(folder).output();
        let made = made.expect("openssl is needed for this test: apt-get install openssl");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    };
    let key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];
    let authority = ["-x509", "-days", "2", "-subj", "/CN=authority", "-keyout", "ca.key", "-out", "ca.pem"];
    openssl(&[&["req"], &key[..], &authority[..]].concat());
    let request = ["-subj", "/CN=localhost", "-keyout", "node.key", "-out", "node.csr"];
    openssl(&[&["req"], &key[..], &request[..]].concat());
    std::fs::write(folder.join("names"), "subjectAltName=DNS:localhost").expect("written");
    let signed = ["-days", "2", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-extfile", "names"];
    openssl(&[&["x509", "-req", "-in", "node.csr", "-out", "node.pem"], &signed[..]].concat());
}

#[test]
fn the_hub_verifies_the_engines_tls_certificate() {
    let engine = Engine::start_as(1, "always", |folder| {
        certificates(folder);
        let file = |name: &str| folder.join(name).display().to_string();
        format!("tls {{ cert_file: \"{}\", key_file: \"{}\" }}\n", file("node.pem"), file("node.key"))
    });
    let mut hub = Hub::new(&engine, 1);
    hub.replace("nats://127.0.0.1", "tls://localhost");
    let refused = hub.command(&["sites", "list"]);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(
        !refused.status.success() && said.contains("no engine answers"),
        "it is signed by a stranger: {said}"
    );
    let authority = engine.folder().join("ca.pem");
    hub.replace("user = ", &format!("ca_file = \"{}\"\nuser = ", authority.display()));
    hub.up();
    hub.wait_ready();
    assert_eq!(hub.says(&["sites", "list"]), "");
    assert!(hub.command(&["doctor"]).status.success());
}

#[test]
fn the_hub_serves_tls_and_takes_a_renewed_certificate() {
    let engine = Engine::start(1);
    let mut hub = Hub::new(&engine, 1);
    let folder = hub.settings().parent().expect("a folder").to_owned();
    certificates(&folder);
    hub.replace("[engine]\n", "certificate_file = \"node.pem\"\nkey_file = \"node.key\"\n[engine]\n");
    hub.up();
    wait_for(30, "the hub", || hub.command(&["doctor", "--daemon"]).status.success().then_some(()));
    let ready = |authority: &[u8]| {
        let authority = ureq::tls::Certificate::from_pem(authority).expect("PEM");
        let roots = ureq::tls::RootCerts::new_with_certs(&[authority]);
        let tls = ureq::tls::TlsConfig::builder().root_certs(roots).build();
        let agent: ureq::Agent = ureq::Agent::config_builder().tls_config(tls).build().into();
        agent.get(format!("https://localhost:{}/readyz", hub.port)).call().is_ok()
    };
    let first = std::fs::read(folder.join("ca.pem")).expect("readable");
    assert!(ready(&first));
    assert!(ureq::get(hub.url("/readyz")).call().is_err(), "nothing without TLS");
    std::thread::sleep(Duration::from_millis(1_100)); // some file systems know the second alone
    certificates(&folder);
    let next = std::fs::read(folder.join("ca.pem")).expect("readable");
    wait_for(10, "the next certificate", || ready(&next).then_some(()));
    assert!(!ready(&first));
}

#[test]
fn bench_measures_the_engine_and_leaves_no_log() {
    let engine = Engine::start(1);
    let hub = Hub::new(&engine, bellwire_tests::free_port());
    let said = hub.command(&["bench"]);
    let lines = String::from_utf8_lossy(&said.stdout).into_owned();
    assert!(lines.contains("an append alone: ") && lines.contains("64 at a time: "), "{lines}");
    let enough = lines.contains("enough: a number at its busiest takes 1040 a second");
    assert_eq!(said.status.success(), enough, "{lines} {}", String::from_utf8_lossy(&said.stderr));
    let logs = engine.ask("$JS.API.STREAM.NAMES", "");
    assert!(logs.contains("\"total\":0"), "{logs}");
}
