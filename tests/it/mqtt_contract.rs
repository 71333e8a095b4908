//! The contract of the MQTT adapter with a real broker (C1 is `commit_first`, C3 and C7 also `nothing_lost`).

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use bellwire_tests::{Broker, Gateway, Simulator, Site, Subscriber, bellwire, post_json, publish, wait_for};
use rcgen::{BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};
use serde_json::{Value, json};

use crate::round_trip::FREEZER;

const VERSIONS: [&str; 2] = ["5", "3.1.1"];

/// A CA, a broker's certificate for 127.0.0.1 and a client's, as PEM files.
fn certificates(folder: &Path) {
    let ca_key = KeyPair::generate().unwrap();
    let mut ca = CertificateParams::new(Vec::new()).unwrap();
    // A name of its own: OpenSSL takes a certificate whose issuer has its own name for self-signed.
    ca.distinguished_name.push(DnType::CommonName, "Test CA");
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca_certificate = ca.self_signed(&ca_key).unwrap();
    let issuer = Issuer::new(ca, ca_key);
    write(folder, "ca.pem", &ca_certificate.pem());
    for (name, usage) in
        [("broker", ExtendedKeyUsagePurpose::ServerAuth), ("client", ExtendedKeyUsagePurpose::ClientAuth)]
    {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.extended_key_usages = vec![usage];
        write(folder, &format!("{name}.pem"), &params.signed_by(&key, &issuer).unwrap().pem());
        write(folder, &format!("{name}-key"), &key.serialize_pem());
    }
}

fn write(folder: &Path, name: &str, text: &str) {
    let path = folder.join(name);
    std::fs::write(&path, text).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
}

fn tap(site: &Site, about: &Value) {
    let tap = json!({ "from": "+995555123456", "message_id": about, "tap": "Stop defrost" });
    assert_eq!(post_json(&site.api("/_simulator/reply"), &tap).0, 200);
}

/// `/readyz` until one of its obstacles holds `words`.
pub fn obstacle(site: &Site, words: &str) {
    let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
    let url = site.url("/readyz");
    wait_for(20, &format!("an obstacle about `{words}`"), || {
        let text = agent.get(&url).call().ok()?.body_mut().read_to_string().ok()?;
        text.contains(words).then_some(())
    });
}

#[test]
fn tls_with_a_ca_and_a_client_certificate() {
    let folder = tempfile::tempdir().unwrap();
    certificates(folder.path());
    let at = folder.path().display();
    let broker = Broker::start_with(&format!(
        "cafile {at}/ca.pem\ncertfile {at}/broker.pem\nkeyfile {at}/broker-key\nrequire_certificate true"
    ));
    for version in VERSIONS {
        let url = format!("url = \"mqtts://127.0.0.1:{}\"\nversion = \"{version}\"", broker.port);
        let client =
            format!("client_certificate_file = \"{at}/client.pem\"\nclient_key_file = \"{at}/client-key\"");
        let site = Site::with_mqtt(&format!("{url}\nca_file = \"{at}/ca.pem\"\n{client}"), FREEZER);
        drop(Gateway::start(&site));

        let without_certificate = Site::with_mqtt(&format!("{url}\nca_file = \"{at}/ca.pem\""), FREEZER);
        let gateway = Gateway::launch(&without_certificate);
        obstacle(&without_certificate, "the broker is not connected: ");
        drop(gateway);

        let mozilla = Site::with_mqtt(&format!("{url}\n{client}"), FREEZER);
        let gateway = Gateway::launch(&mozilla);
        obstacle(&mozilla, "UnknownIssuer");
        drop(gateway);
    }
}

/// What `openssl` makes, in `folder`: a key and a certificate that signed itself.
fn self_signed(folder: &Path, name: &str, more: &[&str]) -> String {
    let (key, certificate) = (folder.join(format!("{name}-key.pem")), folder.join(format!("{name}.pem")));
    let made = std::process::Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
            "-nodes",
            "-days",
            "2",
        ])
        .args(["-subj", "/CN=broker", "-keyout"])
        .arg(&key)
        .arg("-out")
        .arg(&certificate)
        .args(more)
        .output()
        .expect("openssl; tests/run asks for it");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    format!("certfile {}\nkeyfile {}", certificate.display(), key.display())
}

#[test]
fn a_rejected_certificate_is_explained_with_a_next_step() {
    let folder = tempfile::tempdir().unwrap();
    let (at, path) = (folder.path().display(), folder.path());
    let here = ["-addext", "subjectAltName=IP:127.0.0.1"];
    let leaf = [&here[..], &["-addext", "basicConstraints=critical,CA:FALSE"]].concat();
    let elsewhere =
        ["-addext", "subjectAltName=DNS:broker.example", "-addext", "basicConstraints=critical,CA:FALSE"];
    let site = |broker: &Broker, version: &str, more: &str| {
        let url = format!("url = \"mqtts://127.0.0.1:{}\"\nversion = \"{version}\"", broker.port);
        Site::with_mqtt(&format!("{url}\n{more}"), FREEZER)
    };
    let ca = |name: &str| format!("ca_file = \"{at}/{name}.pem\"");
    let good = Broker::start_with(&self_signed(path, "leaf", &leaf));
    let of_ca = Broker::start_with(&self_signed(path, "own-ca", &here));
    let other = Broker::start_with(&self_signed(path, "other", &elsewhere));
    let plain = Broker::start();
    for version in VERSIONS {
        drop(Gateway::start(&site(&good, version, &ca("leaf"))));
        for (broker, more, words) in [
            (&good, String::new(), "write ca_file = "),
            (&good, ca("other"), "take the one that signed its certificate"),
            (&of_ca, ca("own-ca"), "basicConstraints=critical,CA:FALSE"),
            (&other, ca("other"), "with this name as subjectAltName"),
            (&plain, String::new(), "it seems not to speak TLS at this port"),
        ] {
            let site = site(broker, version, &more);
            let gateway = Gateway::launch(&site);
            obstacle(&site, words);
            drop(gateway);
            let doctor = bellwire(&["doctor", "--config", &site.config().to_string_lossy()]);
            let told = String::from_utf8_lossy(&doctor.stdout).into_owned();
            assert!(told.contains(words), "doctor, {words}: {told}");
        }
    }
    // What is no PEM is told before anything starts, however readable it is.
    let der = path.join("leaf.der");
    let made = std::process::Command::new("openssl")
        .args(["x509", "-outform", "der", "-in"])
        .arg(path.join("leaf.pem"))
        .arg("-out")
        .arg(&der)
        .status();
    assert!(made.expect("openssl").success());
    let site = site(&good, "5", &format!("ca_file = \"{}\"", der.display()));
    for command in ["check", "run", "doctor"] {
        let output = bellwire(&[command, "--config", &site.config().to_string_lossy()]);
        let told =
            String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        let next = format!("openssl x509 -inform der -in {0} -out {at}/leaf.pem", der.display());
        assert!(told.contains("is in DER form") && told.contains(&next), "{command}: {told}");
    }
}

#[test]
fn user_and_password() {
    let folder = tempfile::tempdir().unwrap();
    let users = folder.path().join("users");
    let status = std::process::Command::new("mosquitto_passwd")
        .args(["-b", "-c", &users.to_string_lossy(), "bellwire", "right"])
        .status()
        .expect("mosquitto_passwd comes with mosquitto: apt-get install mosquitto");
    assert!(status.success());
    let broker = Broker::start_with(&format!("password_file {}\nallow_anonymous false", users.display()));
    for version in VERSIONS {
        for (password, right) in [("right", true), ("wrong", false)] {
            write(folder.path(), "password", password);
            let mqtt = format!(
                "url = \"mqtt://127.0.0.1:{}\"\nversion = \"{version}\"\nusername = \"bellwire\"\npassword_file = \"{}\"",
                broker.port,
                folder.path().join("password").display()
            );
            let site = Site::with_mqtt(&mqtt, FREEZER);
            if right {
                drop(Gateway::start(&site));
            } else {
                let gateway = Gateway::launch(&site);
                obstacle(&site, "the broker is not connected: ");
                drop(gateway);
            }
        }
    }
}

/// C3, C7: with a session that the broker kept, a command still goes out after a restart, with either version.
#[test]
fn commands_go_out_after_a_restart() {
    for version in VERSIONS {
        let broker = Broker::start();
        let site = Site::with_mqtt(
            &format!("url = \"mqtt://127.0.0.1:{}\"\nversion = \"{version}\"", broker.port),
            FREEZER,
        );
        let _simulator = Simulator::start(&site);
        let watcher = Subscriber::start(broker.port, "site/bar/freezer/+/set");
        for round in 1..=3 {
            let gateway = Gateway::start(&site);
            publish(broker.port, &format!("site/bar/freezer/{round}/temperature"), br#"{"celsius": -1}"#);
            let sent = site.wait_sent(round);
            tap(&site, &sent[round - 1]["id"]);
            wait_for(10, "the command", || (watcher.messages().len() == round).then_some(()));
            assert_eq!(gateway.stop(), Some(0));
        }
    }
}

/// C10: retained `online`, and `offline` at the end, by goodbye or by will.
#[test]
fn the_status_topic_tells_whether_we_are_there() {
    for version in VERSIONS {
        let broker = Broker::start();
        let site = Site::with_mqtt(
            &format!("url = \"mqtt://127.0.0.1:{}\"\nversion = \"{version}\"", broker.port),
            FREEZER,
        );
        let watcher = Subscriber::start(broker.port, "bellwire/+/status");
        let heard = |count: usize| {
            wait_for(10, "the status", || Some(watcher.messages()).filter(|all| all.len() >= count))
        };
        let gateway = Gateway::start(&site);
        assert_eq!(heard(1), ["bellwire/bellwire-test/status online"]);
        assert_eq!(gateway.stop(), Some(0));
        assert_eq!(heard(2)[1], "bellwire/bellwire-test/status offline");
        Gateway::start(&site).kill();
        assert_eq!(heard(4)[3], "bellwire/bellwire-test/status offline");
        let late = Subscriber::start(broker.port, "bellwire/+/status");
        wait_for(10, "the retained status", || {
            (late.messages() == ["bellwire/bellwire-test/status offline"]).then_some(())
        });
    }
}

/// C2, C4, C7: events that come while we are connected to nothing are ours afterwards.
#[test]
fn what_the_broker_kept_comes_after_a_restart_of_either() {
    for version in VERSIONS {
        let mut broker = Broker::start();
        let site = Site::with_mqtt(
            &format!("url = \"mqtt://127.0.0.1:{}\"\nversion = \"{version}\"", broker.port),
            FREEZER,
        );
        let _simulator = Simulator::start(&site);
        assert_eq!(Gateway::start(&site).stop(), Some(0));
        publish(broker.port, "site/bar/freezer/1/temperature", br#"{"celsius": -1}"#);
        broker.restart();
        let _gateway = Gateway::start(&site);
        assert_eq!(site.wait_sent(1).len(), 1, "version {version}");
        broker.restart();
        publish(broker.port, "site/bar/freezer/2/temperature", br#"{"celsius": -2}"#);
        assert_eq!(site.wait_sent(2).len(), 2, "version {version}");
    }
}

/// Another client with our id, and without a session, leaves us an empty one: the gateway hears again all the same.
#[test]
fn a_session_that_another_client_emptied_is_subscribed_again() {
    for version in VERSIONS {
        let broker = Broker::start();
        let mqtt = format!("url = \"mqtt://127.0.0.1:{}\"\nversion = \"{version}\"", broker.port);
        let site = Site::with_mqtt(&mqtt, FREEZER);
        let (_simulator, _gateway) = (Simulator::start(&site), Gateway::start(&site));
        publish(broker.port, "site/bar/freezer/1/temperature", br#"{"celsius": -1}"#);
        assert_eq!(site.wait_sent(1).len(), 1, "version {version}");
        // Its session outlives it, with a subscription that is not ours.
        Subscriber::once(broker.port, "foo/#", &["-i", "bellwire-test", "-V", "5", "-x", "3600"]);
        wait_for(20, "ready", || ureq::get(&site.url("/readyz")).call().ok());
        publish(broker.port, "site/bar/freezer/2/temperature", br#"{"celsius": -2}"#);
        assert_eq!(site.wait_sent(2).len(), 2, "version {version}");
    }
}

/// P6: a retained message is a state; it comes with the subscription and alerts nobody.
#[test]
fn retained_messages_do_not_alert() {
    let broker = Broker::start();
    let site = Site::new(broker.port, FREEZER);
    let retained = ["-r", "-q", "1", "-t", "site/bar/freezer/1/temperature", "-m", r#"{"celsius": -1}"#];
    let status = std::process::Command::new("mosquitto_pub")
        .args(["-p", &broker.port.to_string()])
        .args(retained)
        .status();
    assert!(status.expect("mosquitto_pub runs").success());
    let _gateway = Gateway::start(&site);
    let counted = "SELECT coalesce(sum(count), 0) FROM tally WHERE outcome = 'retained'";
    wait_for(10, "the retained message", || (site.count(counted) == 1).then_some(()));
    assert_eq!(site.count("SELECT count(*) FROM message"), 0);
}
