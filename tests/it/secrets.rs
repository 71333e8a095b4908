//! Planted secrets: they are found in no log, no output, no process list, no core dump, no database, and a bundle has none.

use std::path::Path;
use std::process::{Command, Output};

use bellwire_tests::{Broker, Gateway, Simulator, Site, bellwire, gateway_command, publish, wait_for};

/// Each in a file of its own, as long and as shapeless as Meta's.
const TOKEN: &str = "EAAplantedTOKEN0123456789";
const APP_SECRET: &str = "plantedAPPSECRET0123456789";
const VERIFY_TOKEN: &str = "plantedVERIFYTOKEN0123456789";
const PASSWORD: &str = "plantedMQTTPASSWORD0123456789";
const SECRETS: [&str; 4] = [TOKEN, APP_SECRET, VERIFY_TOKEN, PASSWORD];
/// Whom the rule tells; whoever reads logs and bundles needs no whole number.
const NUMBER: &str = "995555123456";

struct Planted {
    site: Site,
    broker: Broker,
    _simulator: Simulator,
}

impl Planted {
    fn new() -> Self {
        let broker = Broker::start();
        let mqtt = format!(
            "url = \"mqtt://127.0.0.1:{}\"\nusername = \"bellwire\"\npassword_file = \"mqtt-password\"",
            broker.port
        );
        let site = Site::with_mqtt(&mqtt, crate::round_trip::FREEZER);
        for (file, secret) in
            [("access-token", TOKEN), ("app-secret", APP_SECRET), ("verify-token", VERIFY_TOKEN)]
        {
            std::fs::write(site.path().join(file), secret).expect("written");
        }
        // A copy of a file keeps its mode: only its owner reads it.
        std::fs::copy(site.path().join("access-token"), site.path().join("mqtt-password")).expect("copied");
        std::fs::write(site.path().join("mqtt-password"), PASSWORD).expect("written");
        let simulator = Simulator::start(&site);
        Self { site, broker, _simulator: simulator }
    }

    fn config(&self) -> String {
        self.site.config().to_string_lossy().into_owned()
    }
}

fn no_secret_in(where_: &str, found: &[u8]) {
    for secret in SECRETS {
        let there = found.windows(secret.len()).any(|window| window == secret.as_bytes());
        assert!(!there, "{secret} stands in {where_}:\n{}", String::from_utf8_lossy(found));
    }
}

fn said(output: &Output) -> Vec<u8> {
    [output.stdout.clone(), output.stderr.clone()].concat()
}

/// What anybody on the machine sees of a process, and what its own user sees.
fn no_secret_in_process(id: u32) {
    for file in ["cmdline", "environ"] {
        let found = std::fs::read(format!("/proc/{id}/{file}")).expect("a process");
        assert!(!found.is_empty());
        no_secret_in(file, &found);
    }
}

#[test]
fn no_output_contains_a_secret() {
    let planted = Planted::new();
    let site = &planted.site;
    // Everything that can be logged, by every library: a token in an address or a header would be seen.
    let gateway = Gateway::launch_with(site, &[("BELLWIRE_LOG", "trace")]);
    wait_for(20, "readiness", || ureq::get(&site.url("/readyz")).call().ok());
    no_secret_in_process(gateway.id());
    publish(planted.broker.port, "site/bar/freezer/2/temperature", br#"{"celsius": -12.5}"#);
    let sent = site.wait_sent(1);
    assert_eq!(sent[0]["to"], format!("+{NUMBER}"), "{}", sent[0]);
    wait_for(20, "a receipt", || {
        (site.count("SELECT count(*) FROM message WHERE state = 'read'") == 1).then_some(())
    });

    // A token that Meta refuses is what people look into logs for.
    std::fs::write(site.path().join("access-token"), format!("{TOKEN}wrong")).expect("written");
    publish(planted.broker.port, "site/bar/freezer/3/temperature", br#"{"celsius": -12.5}"#);
    wait_for(20, "a refusal", || site.log().contains("190").then_some(()));

    let config = planted.config();
    let bundle = site.path().join("bundle.json").to_string_lossy().into_owned();
    let commands: [&[&str]; 8] = [
        &["check", "--json"],
        &["doctor", "--json"],
        &["doctor", "--bundle", &bundle],
        &["outbox", "list", "--json"],
        &["outbox", "show", "1", "--json"],
        &["outbox", "show", "2"],
        &["events", "--json"],
        &["try", "--topic", "site/bar/freezer/2/temperature", "--payload", r#"{"celsius": 0}"#, "--json"],
    ];
    for arguments in commands {
        let output = bellwire(&[arguments, &["--config", &config]].concat());
        assert!(!output.stdout.is_empty(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        no_secret_in(&format!("the answer to {arguments:?}"), &said(&output));
    }
    assert_eq!(gateway.stop(), Some(0));

    let log = site.log();
    assert!(log.contains("TRACE"), "the log is not as talkative as it could be: {log}");
    no_secret_in("the log", log.as_bytes());
    let bundle = std::fs::read(&bundle).expect("a bundle");
    no_secret_in("the bundle", &bundle);
    let bundle = String::from_utf8(bundle).expect("text");
    assert!(!bundle.contains(NUMBER) && bundle.contains("+995…456"), "{bundle}");
    for file in std::fs::read_dir(site.path().join("state")).expect("a state") {
        let path = file.expect("a file").path();
        no_secret_in(&path.to_string_lossy(), &std::fs::read(&path).unwrap_or_default());
    }
}

#[test]
fn setup_is_given_secrets_in_files_and_passes_none_on() {
    let planted = Planted::new();
    let config = planted.site.path().join("new/bellwire.toml").to_string_lossy().into_owned();
    let file = |name: &str| planted.site.path().join(name).to_string_lossy().into_owned();
    std::fs::create_dir(planted.site.path().join("new")).expect("made");
    let mut command = gateway_command();
    command.args(["setup", "--no-input", "--config", &config, "--api-url", &planted.site.api("")]);
    command.args(["--phone-number-id", "109876543210123", "--business-account-id", "900000000000001"]);
    command.args(["--access-token-file", &file("access-token"), "--app-secret-file", &file("app-secret")]);
    command.args(["--phone", "+995 555 12 34 56", "--template"]).env("BELLWIRE_LOG", "trace");
    let output = command.output().expect("it runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&said(&output)));
    // The verify token that it made up is told: a person enters it in Meta's pages. These are not.
    no_secret_in("what setup says", &said(&output));
    no_secret_in("what it wrote", &std::fs::read(&config).expect("written"));
    // There is no argument that could take one.
    let help = bellwire(&["setup", "--help"]);
    for line in String::from_utf8_lossy(&help.stdout).lines().filter(|line| line.trim().starts_with("--")) {
        let names_secret = ["token", "secret", "password"].iter().any(|word| line.contains(word));
        assert!(!names_secret || line.contains("-file"), "{line}");
    }
}

/// The core files in a folder, whatever the kernel calls them.
fn cores(folder: &Path) -> Vec<String> {
    let names =
        std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").file_name());
    names.map(|name| name.to_string_lossy().into_owned()).filter(|name| name.starts_with("core")).collect()
}

/// With a shell's limit lifted, as a developer's machine has it, and the signal that a watchdog ends it with.
#[test]
fn a_crash_leaves_no_core_dump() {
    let planted = Planted::new();
    let folder = tempfile::tempdir().expect("a folder");
    let lifted = |program: &mut Command| {
        let mut words = vec![program.get_program().to_owned()];
        words.extend(program.get_args().map(ToOwned::to_owned));
        let mut shell = Command::new("sh");
        shell
            .args(["-c", "ulimit -c unlimited 2>/dev/null || ulimit -c hard; exec \"$@\"", "sh"])
            .args(words);
        shell.current_dir(folder.path());
        shell
    };
    let mut gateway =
        lifted(gateway_command().args(["run", "--config", &planted.config()])).spawn().expect("it starts");
    wait_for(20, "readiness", || ureq::get(&planted.site.url("/readyz")).call().ok());
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", gateway.id())).expect("a process");
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).expect("a limit");
    assert_eq!(core.split_whitespace().nth(4), Some("0"), "{core}");
    abort(gateway.id());
    let status = gateway.wait().expect("it ends");
    assert!(!status.success());
    assert_eq!(cores(folder.path()), [""; 0], "a core dump of the gateway");

    // Where the kernel writes dumps into the folder, a program without that care leaves one: the test would have seen it.
    let pattern = std::fs::read_to_string("/proc/sys/kernel/core_pattern").expect("a pattern");
    if pattern.trim() == "core" {
        let mut other = lifted(Command::new("sleep").arg("60")).spawn().expect("it starts");
        wait_for(5, "sleep", || {
            let name = std::fs::read_to_string(format!("/proc/{}/comm", other.id())).ok()?;
            (name.trim() == "sleep").then_some(())
        });
        abort(other.id());
        other.wait().expect("it ends");
        assert_ne!(cores(folder.path()), [""; 0], "the machine writes no core dumps at all");
    }
}

fn abort(process: u32) {
    let done = Command::new("kill").args(["-ABRT", &process.to_string()]).status().expect("kill runs");
    assert!(done.success());
}

/// A camera's password and key, and a hook that whoever knows it may post to.
const ADDRESSES: [&str; 3] = ["plantedCAMERAPASSWORD", "plantedCAMERAKEY", "plantedHOOK"];

const WITH_ADDRESSES: &str = r#"
[[contact]]
id = "nino"
phone = "+995 555 12 34 56"
[[rule]]
name = "snap"
topic = "snap/{camera}"
message = "Motion {{ camera }}"
notify = ["nino"]
attach = { kind = "image", url = "http://admin:plantedCAMERAPASSWORD@127.0.0.1:9/snap.jpg?key=plantedCAMERAKEY" }
[[rule]]
name = "hooked"
topic = "hooked/{door}"
when = "payload.on"
message = "Door {{ door }}"
notify = ["nino"]
for = "0s"
escalate = [{ after = "1s", unless = "acknowledged", url = "http://127.0.0.1:9/hook/plantedHOOK" }]
"#;

#[test]
fn url_secrets_are_never_shown_anywhere() {
    use crate::web::{get, log_in, start, token};
    let (broker, site, _gateway) = start(WITH_ADDRESSES);
    let _simulator = Simulator::start(&site);
    publish(broker.port, "snap/1", b"x");
    publish(broker.port, "hooked/1", br#"{"on": true}"#);
    wait_for(20, "the escalation's post", || site.log().contains("an escalation was posted").then_some(()));
    assert_eq!(site.wait_sent(2).len(), 2);
    let (read, cookie) = (token(&site, &["read"]), log_in(&site));
    let no_address_in = |place: &str, text: &str| {
        for secret in ADDRESSES {
            assert!(!text.contains(secret), "{secret} stands in {place}:\n{text}");
        }
    };
    let mut shown = String::new();
    for path in [
        "rules",
        "messages",
        "messages/1",
        "messages/2",
        "alerts",
        "alerts/1",
        "alerts/2",
        "overview",
        "audit",
    ] {
        let answer = get(&site, &format!("/api/{path}"), &[&read]);
        assert_eq!(answer.status, 200, "{path}");
        no_address_in(path, &answer.body);
        shown.push_str(&answer.body);
    }
    assert!(shown.contains("http://127.0.0.1:9/…"), "whoever looks for it finds the host: {shown}");
    for path in ["/", "/rules", "/messages/1", "/messages/2", "/alerts/1", "/alerts/2", "/setup"] {
        no_address_in(path, &get(&site, path, &[&cookie]).body);
    }
    let config = site.config();
    let config = config.to_string_lossy();
    for words in [
        "check",
        "status",
        "outbox list --json",
        "outbox show 1 --json",
        "alerts show 2 --json",
        "why 1",
        "why 2",
    ] {
        let arguments: Vec<&str> = words.split(' ').chain(["--config", &*config]).collect();
        let output = bellwire(&arguments);
        no_address_in(words, &String::from_utf8_lossy(&said(&output)));
    }
    no_address_in("the log", &site.log());
}
