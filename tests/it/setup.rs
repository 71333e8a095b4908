//! `bellwire setup`: from an account to a configuration that works, asked or from arguments, and again where it was.

use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};

use bellwire_tests::{Broker, Gateway, PHONE_NUMBER_ID, Simulator, Site, bellwire, gateway_command, publish};

const BUSINESS: &str = "102290129340398";

/// A simulator with one account, and a folder where nothing is configured yet.
struct Fixture {
    site: Site,
    broker: Broker,
    _simulator: Simulator,
}

impl Fixture {
    fn new() -> Self {
        let broker = Broker::start();
        let site = Site::new(broker.port, crate::round_trip::FREEZER);
        std::fs::remove_file(site.config()).expect("removed");
        let simulator = Simulator::start_with(&site, &["--business-account-id", BUSINESS]);
        Self { site, broker, _simulator: simulator }
    }

    fn file(&self, name: &str) -> String {
        self.site.path().join(name).to_string_lossy().into_owned()
    }

    /// Runs it with these answers on its standard input.
    fn set_up(&self, arguments: &[&str], answers: &str) -> Output {
        self.set_up_for(&self.site.api(""), arguments, answers)
    }

    fn set_up_for(&self, api: &str, arguments: &[&str], answers: &str) -> Output {
        let mut command = gateway_command();
        command.args(["setup", "--config", &self.file("bellwire.toml"), "--api-url", api]);
        command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut process = command.spawn().expect("it starts");
        let mut input = process.stdin.take().expect("an input");
        drop(input.write_all(answers.as_bytes())); // it may have ended without reading them
        drop(input);
        process.wait_with_output().expect("it ends")
    }

    fn create_template(&self, draft: &serde_json::Value) -> (u16, String) {
        let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
        let url = self.site.api(&format!("/v25.0/{BUSINESS}/message_templates"));
        let request = agent.post(url).header("Authorization", "Bearer token");
        let mut answer = request.send_json(draft).expect("an answer");
        (answer.status().as_u16(), answer.body_mut().read_to_string().expect("a body"))
    }

    fn by_arguments(&self, more: &[&str]) -> Output {
        self.by_arguments_with(&[], more)
    }

    /// With one of them wrong.
    fn by_arguments_but(&self, wrong: &[&str; 2]) -> Output {
        self.by_arguments_with(wrong, &[])
    }

    fn by_arguments_with(&self, wrong: &[&str], more: &[&str]) -> Output {
        let (url, token, secret) = (
            format!("mqtt://127.0.0.1:{}", self.broker.port),
            self.file("access-token"),
            self.file("app-secret"),
        );
        let arguments = [
            "--no-input",
            "--phone-number-id",
            PHONE_NUMBER_ID,
            "--business-account-id",
            BUSINESS,
            "--access-token-file",
            &token,
            "--app-secret-file",
            &secret,
            "--mqtt-url",
            &url,
            "--phone",
            "+995 555 12 34 56",
            "--site-name",
            "Corner",
        ];
        let mut arguments = [&arguments, more].concat();
        if let [option, value] = wrong {
            match arguments.iter().position(|known| known == option) {
                Some(at) => arguments[at + 1] = value,
                None => arguments.extend([option, value]),
            }
        }
        self.set_up(&arguments, "")
    }
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn mode(path: PathBuf) -> u32 {
    path.metadata().expect("there").permissions().mode() & 0o777
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).expect("readable")
}

#[test]
fn setup_by_arguments_leads_to_a_first_alert() {
    let fixture = Fixture::new();
    let output = fixture.by_arguments(&["--template"]);
    assert!(output.status.success(), "{}", text(&output));
    let sent = fixture.site.wait_sent(1);
    assert_eq!(sent[0]["to"], "+995555123456");
    assert_eq!(sent[0]["body"]["template"]["name"], "hello_world");
    assert!(text(&output).contains("alarm_v1 waits for approval (PENDING)"), "{}", text(&output));
    for name in ["access-token", "app-secret", "verify-token"] {
        assert_eq!(mode(fixture.site.path().join("secrets").join(name)), 0o640, "{name}");
    }
    assert!(
        text(&output).contains(&read(&fixture.site.path().join("secrets/verify-token"))),
        "{}",
        text(&output)
    );

    // What it wrote runs; only the ports and the place of the state are the test's own.
    let config = read(&fixture.site.config());
    let http = format!("[http]\nlisten = \"127.0.0.1:{}\"", fixture.site.http_port);
    let state = format!("[site]\nstate_directory = \"{}/state\"", fixture.site.path().display());
    let config = config.replacen("[http]", &http, 1).replacen("[site]", &state, 1);
    std::fs::write(fixture.site.config(), config).expect("written");
    let gateway = Gateway::start(&fixture.site);
    publish(fixture.broker.port, "bellwire/test", b"hello");
    let sent = fixture.site.wait_sent(2);
    assert!(sent[1]["body"].to_string().contains("A test of Corner: hello"), "{}", sent[1]);
    assert_eq!(gateway.stop(), Some(0));
}

#[test]
fn a_person_is_asked_corrected_and_may_go_on_later() {
    let fixture = Fixture::new();
    // A token with a typing error, and then the answers end.
    let output = fixture.set_up(&[], &format!("{PHONE_NUMBER_ID}\n{BUSINESS}\ntokem\n"));
    assert!(!output.status.success());
    assert!(text(&output).contains("the access token is not valid"), "{}", text(&output));
    assert!(text(&output).contains("start again"), "{}", text(&output));
    assert!(!fixture.site.path().join("secrets/access-token").exists(), "a wrong token is not kept");

    // The right one, and a wrong secret; what was right is known the next time.
    let output = fixture.set_up(&[], &format!("{PHONE_NUMBER_ID}\n{BUSINESS}\ntoken\nwrong\n"));
    assert!(text(&output).contains("this is not the secret of the app "), "{}", text(&output));
    let broker = format!("mqtt://127.0.0.1:{}", fixture.broker.port);
    let answers = format!("\n\n\nsecret\nOur shop\nAsia/Tbilisi\n{broker}\n0555\n+995 555 12 34 56\nn\n");
    let output = fixture.set_up(&[], &answers);
    let said = text(&output);
    assert!(output.status.success(), "{said}");
    assert!(said.contains("the number has no country code"), "{said}");
    let offered = said.split("a template:\n\n").nth(1).and_then(|rest| rest.split("\n\nCreate it").next());
    let draft = serde_json::json!({ "name": "as_offered", "language": "en", "category": "UTILITY",
        "components": [{ "type": "BODY", "text": offered.expect("a template is offered") }] });
    let (status, created) = fixture.create_template(&draft);
    assert_eq!(status, 200, "the template that is offered is one that Meta takes: {created}");
    let config = fixture.site.config();
    assert!(read(&config).contains("name = \"Our shop\""), "{}", read(&config));
    assert_eq!(read(&fixture.site.path().join("secrets/access-token")), "token");

    // Again: everything is known, and comments of one's own stay.
    std::fs::write(&config, format!("# mine\n{}", read(&config))).expect("written");
    let output = fixture.set_up(&[], "\n\n\n\nn\n");
    assert!(output.status.success(), "{}", text(&output));
    assert!(read(&config).starts_with("# mine\n"));
}

#[test]
fn setup_keeps_the_packaged_example_and_hides_secrets() {
    let fixture = Fixture::new();
    let example = format!("{}/../config/bellwire.toml", env!("CARGO_MANIFEST_DIR"));
    std::fs::copy(example, fixture.site.config()).expect("copied");
    let planted = "EAAplantedTOKENplanted";
    std::fs::write(fixture.site.path().join("access-token"), planted).expect("written");
    let refused = fixture.by_arguments(&[]);
    assert_eq!(refused.status.code(), Some(74));
    assert!(!text(&refused).contains(planted), "{}", text(&refused));
    assert!(!fixture.site.path().join("secrets/access-token").exists(), "a wrong token is not kept");

    std::fs::write(fixture.site.path().join("access-token"), "token").expect("written");
    let output = fixture.by_arguments(&[]);
    assert!(output.status.success(), "{}", text(&output));
    assert!(!read(&fixture.site.config()).contains("Corner Bakery"));
    assert!(read(&fixture.site.path().join("bellwire.toml.example")).contains("Corner Bakery"));
    let checked = bellwire(&["check", "--config", &fixture.file("bellwire.toml")]);
    assert!(checked.status.success(), "{}", text(&checked));
}

#[test]
fn setup_for_another_api_address_uses_no_kept_secret() {
    let fixture = Fixture::new();
    let output = fixture.by_arguments(&[]);
    assert!(output.status.success(), "{}", text(&output));
    let server = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    server.set_nonblocking(true).expect("set");
    let elsewhere = format!("http://{}", server.local_addr().expect("an address"));
    // Asked for a token, the person only presses return, as for the first address where everything is known.
    let output = fixture.set_up_for(&elsewhere, &[], "\n\n\n\n");
    assert!(!output.status.success(), "{}", text(&output));
    assert!(server.accept().is_err(), "nothing was sent there: {}", text(&output));
    assert!(read(&fixture.site.config()).contains(&fixture.site.api("")), "the configuration is as it was");
    let output = fixture.set_up(&[], "\n\n\n\nn\n");
    assert!(output.status.success(), "for the first address everything is known: {}", text(&output));
    let output = fixture.set_up_for("http://127.0.0.1.attacker.example", &[], "\n\n\n\n");
    assert!(text(&output).contains("https://"), "{}", text(&output));
}

/// The questions in their order: what cannot be an answer, and what is one.
fn questions(broker: u16) -> Vec<(&'static [&'static str], String)> {
    vec![
        (
            &["+995 555 12 34 56", "abc", "12", "1098 7654 3210", "109876543210123x"],
            PHONE_NUMBER_ID.to_owned(),
        ),
        (&["WABA", "102290129340398 ok", "-5"], BUSINESS.to_owned()),
        (&["two words", "\"token\"", "t\u{f6}ken"], "token".to_owned()),
        (&["a b", "'secret'", "wrong"], "secret".to_owned()),
        (&[], "Our \"best\" shop".to_owned()),
        (&["Tbilisi", "UTC+4", "Asia/Nowhere", "+04:00"], "Asia/Tbilisi".to_owned()),
        (
            &["127.0.0.1", "http://127.0.0.1", "mqtt://", "mqtt://127.0.0.1:99999"],
            format!("mqtt://127.0.0.1:{broker}"),
        ),
        (&["0555", "me", "+1"], "+995 555 12 34 56".to_owned()),
        (&[], "n".to_owned()),
    ]
}

/// Numbers without end, the same for a seed.
fn numbers(seed: u64) -> impl FnMut(usize) -> usize {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    move |below| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(state >> 33).unwrap_or_default() % below.max(1)
    }
}

/// Wrong answers in every place, and an end in any: it ends with a configuration that passes `check`, or with all that was said
/// known the next time.
#[test]
fn setup_survives_wrong_answers_and_interruption() {
    for seed in 0..10 {
        let fixture = Fixture::new();
        let mut next = numbers(seed);
        let all = questions(fixture.broker.port);
        let mut lines: Vec<(usize, &str)> = Vec::new();
        for (place, (wrong, right)) in all.iter().enumerate() {
            for _ in 0..next(4) {
                lines.extend(wrong.get(next(wrong.len())).map(|wrong| (place, *wrong)));
            }
            if place == 2 && next(2) == 0 {
                lines.extend([(2, "tokem"), (0, ""), (1, "")]); // Meta does not know it: asked again from the start
            }
            lines.push((place, right));
        }
        let typed =
            |lines: &[(usize, &str)]| lines.iter().map(|(_, line)| format!("{line}\n")).collect::<String>();
        let cut = next(lines.len());
        let output = fixture.set_up(&[], &typed(&lines[..cut]));
        assert!(!output.status.success(), "seed {seed}: {}", text(&output));
        assert!(text(&output).contains("it goes on where it was"), "seed {seed}: {}", text(&output));
        let config = fixture.site.config();
        if config.exists() {
            let checked = bellwire(&["check", "--no-secrets", "--config", &fixture.file("bellwire.toml")]);
            assert!(checked.status.success(), "seed {seed}: {}", text(&checked));
        }
        // Each answer that was right is offered again.
        let known: Vec<&(usize, &str)> =
            lines[..cut].iter().filter(|(at, line)| all[*at].1 == *line).collect();
        let output = fixture.set_up(&[], &typed(&lines));
        let said = text(&output);
        assert!(output.status.success(), "seed {seed}: {said}");
        for (place, line) in known.into_iter().filter(|(place, _)| ![2, 3, 7, 8].contains(place)) {
            assert!(said.contains(&format!("[{line}]: ")), "seed {seed}, place {place}: {said}");
        }
        let checked = bellwire(&["check", "--config", &fixture.file("bellwire.toml")]);
        assert!(checked.status.success(), "seed {seed}: {}", text(&checked));
        assert!(read(&config).contains("name = 'Our \"best\" shop'"), "seed {seed}: {}", read(&config));
    }
}

#[test]
fn the_next_step_fits_the_image_or_add_on() {
    let fixture = Fixture::new();
    let output = fixture.by_arguments(&[]);
    assert!(output.status.success(), "{}", text(&output));
    for (started_by, next) in [
        ("compose", "next: docker compose up -d, then: docker compose exec bellwire bellwire doctor\n"),
        ("add-on", "next: restart the add-on, then open Bellwire in the side bar: "),
    ] {
        let mut command = gateway_command();
        command.args(["setup", "--no-input", "--config", &fixture.file("bellwire.toml")]);
        command.args(["--api-url", &fixture.site.api("")]).env("BELLWIRE_STARTED_BY", started_by);
        let said = text(&command.output().expect("it ends"));
        assert!(said.contains(next) && !said.contains("systemctl"), "{started_by}: {said}");
    }
}

#[test]
fn a_wrong_answer_names_its_question() {
    let fixture = Fixture::new();
    for (wrong, says) in [
        (["--phone-number-id", "+995 555 12 34 56"], "Phone number ID: an ID has digits alone"),
        (["--time-zone", "Nowhere"], "Time zone: `Nowhere` is not a time zone"),
        (["--mqtt-url", "http://x"], "MQTT broker: "),
        (["--phone", "0555"], "Your phone number: the number has no country code"),
    ] {
        let output = fixture.by_arguments_but(&wrong);
        assert_eq!(output.status.code(), Some(64), "{}", text(&output));
        assert!(
            text(&output).contains(says) && !text(&output).contains("bellwire.toml:"),
            "{}",
            text(&output)
        );
    }
}

#[test]
fn setup_without_network_keeps_answers_for_later_checks() {
    let broker = Broker::start();
    let site = Site::new(broker.port, crate::round_trip::FREEZER);
    std::fs::remove_file(site.config()).expect("removed");
    let url = format!("mqtt://127.0.0.1:{}", broker.port);
    let run = |answers: &str, more: &[&str]| {
        let mut command = gateway_command();
        let config = site.config();
        let place = ["setup", "--config", config.to_str().expect("a path"), "--api-url", &site.api("")];
        command.args(place).args(more).env("TZ", "Asia/Tbilisi");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut process = command.spawn().expect("it starts");
        drop(process.stdin.take().expect("an input").write_all(answers.as_bytes()));
        process.wait_with_output().expect("it ends")
    };
    let refused = run(
        "",
        &[
            "--no-input",
            "--phone-number-id",
            PHONE_NUMBER_ID,
            "--business-account-id",
            BUSINESS,
            "--access-token-file",
            &site.path().join("access-token").to_string_lossy(),
        ],
    );
    assert!(text(&refused).contains("--unchecked"), "{}", text(&refused));
    let answers = format!(
        "{PHONE_NUMBER_ID}\n{BUSINESS}\ntoken\n\nlater\nsecret\nOur shop\n\n{url}\n+995 555 12 34 56\n"
    );
    let output = run(&answers, &[]);
    assert!(output.status.success(), "{}", text(&output));
    assert!(text(&output).contains("nothing of it was checked with Meta"), "{}", text(&output));
    assert!(
        read(&site.config()).contains("time_zone = \"Asia/Tbilisi\""),
        "the machine's: {}",
        read(&site.config())
    );
    let _simulator = Simulator::start_with(&site, &["--business-account-id", BUSINESS]);
    let output = run(&"\n".repeat(9), &[]);
    assert!(output.status.success() && text(&output).contains("written: "), "{}", text(&output));
    let checked = bellwire(&["check", "--config", &site.config().to_string_lossy()]);
    assert!(checked.status.success(), "{}", text(&checked));
}

#[test]
fn setup_leaves_a_faulty_configuration_untouched() {
    let fixture = Fixture::new();
    std::fs::write(fixture.site.config(), "[site\nname = \"mine\"\n").expect("written");
    let output = fixture.set_up(&[], "\n");
    assert_eq!(output.status.code(), Some(78), "{}", text(&output));
    assert_eq!(read(&fixture.site.config()), "[site\nname = \"mine\"\n");
}
