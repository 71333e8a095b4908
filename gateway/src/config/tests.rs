use super::*;
use crate::time::Timestamp;

/// What would start well and never work.
mod refusals;

/// 29 November 2026: whatever ends some day ends by this clock.
const TODAY: Timestamp = Timestamp(1_795_910_400_000);

const GOOD: &str = r#"
[site]
name = "Corner Bakery"
time_zone = "Asia/Tbilisi"
[mqtt]
url = "mqtt://127.0.0.1"
[[connection]]
name = "main"
phone_number_id = "109876543210123"
access_token_file = "token"
app_secret_file = "secret"
verify_token_file = "verify"
[[contact]]
id = "nino"
phone = "+995 555 12 34 56"
[[rule]]
name = "freezer"
topic = "site/{area}/freezer/{unit}/temperature"
when = "payload.celsius > -15"
message = "Freezer {{ unit }} is at {{ payload.celsius }}"
notify = ["nino"]
[[rule.action]]
id = "stop"
title = "Stop defrost"
topic = "site/{area}/freezer/{unit}/set"
payload = '{"defrost": false}'
"#;

fn wishes() -> LoadOptions {
    LoadOptions { without_secrets: true, ..LoadOptions::default() }
}

fn problems(text: &str) -> Vec<String> {
    match read("b.toml", text, &wishes()) {
        Ok(_) => Vec::new(),
        Err(problems) => problems.0.iter().map(Problem::to_string).collect(),
    }
}

#[test]
fn a_good_file_has_no_problems() {
    assert_eq!(problems(GOOD), Vec::<String>::new());
    let config = read("b.toml", GOOD, &wishes()).expect("good");
    assert_eq!(config.mqtt.client_id, "bellwire-corner-bakery");
    assert_eq!(config.mqtt.port, 1883);
    assert_eq!(config.rules[0].connection.0, "main");
    assert_eq!(config.rules[0].topic.filter(), "site/+/freezer/+/temperature");
}

#[test]
fn client_ids_are_unique_per_installation_and_fit_topics() {
    let client_tag = Some(crate::ids::StoreTag::new("0badcafe"));
    let tagged = LoadOptions { client_tag, ..wishes() };
    let id = |text: &str| read("b.toml", text, &tagged).expect("good").mqtt.client_id;
    assert_eq!(id(GOOD), "bellwire-corner-bakery-0badcafe");
    let with = |id: &str| GOOD.replace("[mqtt]\n", &format!("[mqtt]\nclient_id = \"{id}\"\n"));
    assert_eq!(id(&with("mine")), "mine");
    for (wrong, what) in
        [("", "is empty"), (" ", "is empty"), ("a/#", "without +, #"), ("a+b", "without +, #")]
    {
        let found = problems(&with(wrong));
        assert!(found.len() == 1 && found[0].contains(what), "{wrong:?}: {found:?}");
    }
}

#[test]
fn the_shipped_file_is_good_and_names_every_key() {
    let text = include_str!("../../../config/bellwire.toml");
    assert_eq!(problems(text), Vec::<String>::new());
    let keys = "name language time_zone state_directory listen names trusted_proxies ingress webhook_listen edit metrics_listen certificate_file key_file url version client_id username password_file \
        ca_file client_certificate_file client_key_file max_packet_bytes path baud phone_number_id business_account_id \
        access_token_file app_secret_file verify_token_file api_url api_version id phone roles members topic \
        when message notify connection severity payload on_unknown expires on_retained title retain \
        quiet_hours break_through rotation hand_over start override key for keep_firing_for resolve_when \
        resolve_after send_resolved repeat_interval group_by group_wait group_interval flap_changes \
        flap_window dedupe_key dedupe_window expect value window worst buttons escalate discovery mute_for source target equal";
    for key in keys.split_whitespace() {
        assert!(
            text.lines().any(|line| line.trim_start_matches(['#', ' ']).starts_with(&format!("{key} ="))),
            "{key}"
        );
    }
}

#[test]
fn five_mistakes_are_five_lines() {
    let text = include_str!("../../../tests/fixtures/config/five-mistakes.toml");
    insta::assert_snapshot!(problems(text).join("\n"));
}

#[test]
fn each_mistake_says_what_to_do() {
    let check = |from: &str, to: &str, expected: &str| {
        assert!(GOOD.contains(from), "{from}");
        let found = problems(&GOOD.replacen(from, to, 1));
        assert!(found.iter().any(|problem| problem.contains(expected)), "{to}: {found:#?}");
    };
    check(
        "+995 555 12 34 56",
        "555 12 34 56",
        "b.toml:15:9: `phone`: the number has no country code: write it as +COUNTRY",
    );
    check(
        "topic = \"site/{area}/freezer/{unit}/t",
        "tpoic = \"site/{area}/freezer/{unit}/t",
        "unknown key `tpoic`; did you mean `topic`?",
    );
    check("Asia/Tbilisi", "Asia/Nowhere", "is not a time zone");
    check("mqtt://127.0.0.1", "mqtt://user:pass@127.0.0.1", "use username and password_file");
    check("mqtt://127.0.0.1", "127.0.0.1", "write it as mqtt://HOST");
    check("notify = [\"nino\"]", "notify = [\"nina\"]", "no contact or team `nina`");
    check("notify = [\"nino\"]", "notify = []", "it concerns nobody");
    check("payload.celsius > -15", "payload.celsius >", "`when` does not compile");
    check("{{ payload.celsius }}", "{{ payload.celsius | rund }}", "unknown filter");
    check("Stop defrost", "Stop the defrost cycle now", "a WhatsApp button shows 20");
    check("freezer/{unit}/set", "freezer/{unit}/temperature", "it would raise its own alert");
    check("freezer/{unit}/set", "freezer/{door}/set", "`{door}` is not a level");
    check("id = \"nino\"", "id = 7", "`id` must be text in quotes, not integer");
    check("109876543210123", "+995 555", "not the phone number");
    check("[mqtt]", "[mqqt]", "the section [mqtt] is missing");
    check("name = \"main\"", "name = \"main\"\napi_url = \"http://example.com\"", "must begin with https://");
    check("[mqtt]", "[[serial]]\nbaud = 9600\n[mqtt]", "[[serial]] has no `path`");
    check(
        "[mqtt]",
        "[[serial]]\npath = \"/dev/ttyUSB0\"\n[[serial]]\npath = \"/dev/ttyUSB0\"\n[mqtt]",
        "two sections for /dev/ttyUSB0",
    );
    check(
        "site/{area}/freezer/{unit}/set",
        "bellwire/device/{unit}/set",
        "goes to bellwire/device/DEVICE/command/NAME",
    );
    check(
        "topic = \"site/{area}/freezer/{unit}/set\"\npayload = '{\"defrost\": false}'",
        &format!("topic = \"bellwire/device/{{unit}}/command/defrost\"\npayload = '{}'", "x".repeat(129)),
        "`payload` has 129 bytes; a device takes 128",
    );
    check("[site]", "[site", "b.toml:2:");
    check("[mqtt]", "[site]\n[mqtt]", "this stands in the file already; keep one of them");
    check("notify = [\"nino\"]", "notify = [\"nimo\"]", "did you mean `nino`?");
    check("[mqtt]", "[[team]]\nid = \"kitchen\"\nmembers = [\"nini\"]\n[mqtt]", "did you mean `nino`?");
    check("[mqtt]", "[http]\nlisten = \"localhost\"\n[mqtt]", "write it as 127.0.0.1:8080");
}

/// With a misspelt name a condition never holds and a message goes out plain, when it is too late.
#[test]
fn a_name_that_no_event_has_is_a_mistake() {
    let check = |from: &str, to: &str, expected: &[&str]| {
        assert!(GOOD.contains(from), "{from}");
        assert_eq!(problems(&GOOD.replacen(from, to, 1)), expected, "{to}");
    };
    let unit = "b.toml:20:11: `message` names `unti`, which no event of this topic has; did you mean `unit`?";
    check("{{ unit }}", "{{ unti }}", &[unit]);
    let field = "b.toml:19:8: `when` names `celsius`, which no event of this topic has; there are area, unit, payload, topic, \
                 site, value, previous, window; a field of the payload is payload.celsius";
    check("payload.celsius > -15", "celsius > -15", &[field]);
    let ends = "payload.celsius > -15\"\nresolve_when = \"paylod < 3";
    let told = "b.toml:20:16: `resolve_when` names `paylod`, which no event of this topic has; did you mean `payload`?";
    check("payload.celsius > -15", ends, &[told]);
    let template = |words: &str| {
        format!(
            "notify = [\"nino\"]\ntemplate = {{ name = \"a\", language = \"en\", parameters = [\"{{{{ {words} }}}}\"] }}"
        )
    };
    check("notify = [\"nino\"]", &template("text ~ site.name ~ unit"), &[]);
    let blank =
        "b.toml:22:57: `parameters` names `txt`, which no event of this topic has; did you mean `text`?";
    check("notify = [\"nino\"]", &template("txt"), &[blank]);
    check(
        "{{ unit }}",
        "{% for n in range(2) %}{{ n }}{{ loop.index }}{% endfor %}{% set a = area %}{{ a }}",
        &[],
    );
    check("{{ unit }}", "{{ previous }} {{ window.mean }} {{ value }} {{ topic }}", &[]);
    // The topic's own mistake is said, and nothing follows from it.
    check(
        "site/{area}/freezer/{unit}/temperature",
        "site/#/freezer",
        &[
            "b.toml:18:9: `topic`: `#` stands for the rest of the topic and must be its last level (MQTT 5, 4.7.1.2)",
        ],
    );
}

/// One mistake is one line: what only follows from it would send people to the wrong place.
#[test]
fn consequences_of_a_mistake_are_not_reported() {
    let check = |from: &str, to: &str, expected: &str| {
        assert!(GOOD.contains(from), "{from}");
        let found = problems(&GOOD.replacen(from, to, 1));
        assert!(found.len() == 1 && found[0].contains(expected), "{to}: {found:#?}");
    };
    check("+995 555 12 34 56", "555 12 34 56", "the number has no country code");
    check("notify = [\"nino\"]", "notify = \"nino\"", "`notify` must be a list");
    check("[mqtt]", "[[team]]\nid = \"kitchen\"\nmembers = \"nino\"\n[mqtt]", "`members` must be a list");
}

/// A rule that says nothing for ever, because one of its devices is always well.
#[test]
fn several_devices_in_one_alert_are_remarked() {
    let remarks = |topic: &str, message: &str, keys: &str| {
        let rule = format!(
            "[[rule]]\nname = \"r\"\ntopic = \"{topic}\"\nwhen = \"payload.t > 1\"\nmessage = \"{message}\"\nnotify = [\"nino\"]\n{keys}"
        );
        let config = read("b.toml", &format!("{GOOD}{rule}"), &wishes()).expect("good");
        crate::config::remarks(&config, crate::time::Timestamp::EARLIEST_SANE)
    };
    let check = |topic: &str, message: &str, keys: &str, expected: Option<&str>| {
        let found = remarks(topic, message, keys);
        assert_eq!(found.len(), usize::from(expected.is_some()), "{topic} {message} {keys}: {found:?}");
        assert!(found.iter().all(|remark| expected.is_some_and(|text| remark.contains(text))), "{found:?}");
    };
    let (id, plain) = ("{{ payload.id }}", "hot");
    check("rtl/{host}/events", id, "for = \"1m\"", Some("key = [\"host\", \"payload.id\"] tells them apart"));
    check(
        "rtl",
        "{{ payload.deviceInfo.devEui }}",
        "for = \"1m\"",
        Some("key = [\"payload.deviceInfo.devEui\"]"),
    );
    check("rtl/{host}/events", id, "key = [\"payload.id\"]", None);
    check("rtl/{host}/events", id, "", None); // each event is told
    check("rtl/{host}/events", plain, "for = \"1m\"", None);
    check("t/+/{x}", plain, "for = \"1m\"", None);
    check("t/+/{x}", plain, "key = [\"x\"]", Some("leaves out `+1` of t/+/{x}"));
    check("t/+/{x}", plain, "key = []", Some("leaves out `x`"));
    check("t/#", plain, "key = []", Some("leaves out `#`"));
    check("t", "{{ payload.ideal }}", "key = []", None);
}

#[test]
fn a_mistake_in_a_life_says_what_to_do() {
    let check = |key: &str, expected: &str| {
        let found =
            problems(&GOOD.replacen("notify = [\"nino\"]", &format!("notify = [\"nino\"]\n{key}"), 1));
        assert!(found.iter().any(|problem| problem.contains(expected)), "{key}: {found:#?}");
    };
    check(
        "resolve_wen = \"payload\"",
        "b.toml:22:1: unknown key `resolve_wen`; did you mean `resolve_when`?",
    );
    check("for = \"5\"", "`5` is not a duration");
    check("resolve_when = \"payload <\"", "`resolve_when` does not compile");
    check(
        "key = [\"door\"]",
        "b.toml:22:8: `door` is not a level of the rule's topic: area, unit; a field of the payload is payload.door",
    );
    check("key = [\"+1\"]", "`+1` is not a level of the rule's topic: area, unit");
    check("key = [\"door.id\"]", "`key` names `door`, which no event of this topic has");
    check("key = [\"payload.\"]", "`key` does not compile");
    check("group_by = [\"floor\"]", "`floor` is not a named level of the rule's topic: area, unit, rule");
    check("group_wait = \"1m\"", "need `group_by`");
    check("dedupe_window = \"1m\"", "needs `dedupe_key`");
    check("quiet_hours = \"22-7\"", "write it as \"22:00-07:00\"");
    check("quiet_hours = [\"22:00-07:00\", \"7-9\"]", "write it as \"22:00-07:00\"");
    check("quiet_hours = \"00:00-24:00\"", "they must leave some of the day");
    check("quiet_hours = 22", "`quiet_hours` must be a list such as");
    check("break_through = \"info\"", "needs `quiet_hours`");
    check("flap_changes = 1", "it must be from 2 to 99");
    check("expect = \"10m\"", "`expect` must be a section expect");
    check("expect = { evry = \"10m\" }", "did you mean `every`?");
    check("buttons = [\"ack\"]", "there are acknowledge, resolve and snooze 1h");
    check("escalate = [{ after = \"1m\", notify = [\"nina\"] }]", "no contact or team `nina`");
    check(
        "escalate = [{ after = \"1m\" }]",
        "a step has one of `notify`, `topic` (with `payload`) and `url`",
    );
    check("escalate = [{ after = \"1m\", topic = \"siren/{door}\" }]", "`{door}` is not a level");
    check("escalate = [{ after = \"1m\", url = \"ftp://x\" }]", "it must begin with http://");
    check(
        "escalate = [{ after = \"1m\", unless = \"seen\", notify = [\"nino\"] }]",
        "is not one of delivered, read",
    );
    let two = "escalate = [{ after = \"9m\", notify = [\"nino\"] }, { after = \"1m\", notify = [\"nino\"] }]";
    check(two, "put them in the order of `after`");
    let endless = GOOD.replace("when = \"payload.celsius > -15\"", "for = \"5m\"");
    assert!(
        problems(&endless).iter().any(|problem| problem.contains("would never end")),
        "{:?}",
        problems(&endless)
    );
    let inhibit = |text: &str| problems(&format!("{GOOD}[[inhibit_rule]]\n{text}"));
    let found = inhibit("source = \"freezer\"\ntarget = [\"frezer\"]");
    assert!(found.iter().any(|problem| problem.contains("has no state to inhibit with")), "{found:?}");
    assert!(found.iter().any(|problem| problem.contains("there is no rule `frezer`")), "{found:?}");
    let team = |text: &str| problems(&format!("{GOOD}[[team]]\nid = \"t\"\nmembers = [\"nino\"]\n{text}"));
    assert!(team("hand_over = \"08:00\"").iter().any(|problem| problem.contains("need `rotation`")));
    let other = "rotation = \"daily\"\noverride = [{ from = \"2026-01-01 10:00\", to = \"2026-01-01 09:00\", member = \"eka\" }]";
    assert!(
        team(other).iter().any(|problem| problem.contains("it ends before it begins")),
        "{:?}",
        team(other)
    );
    assert!(team(other).iter().any(|problem| problem.contains("is not in the team's `members`")));
}

#[test]
fn a_rule_without_a_key_of_a_life_has_none() {
    let config = read("b.toml", GOOD, &wishes()).expect("good");
    assert!(config.rules[0].life.is_none());
    let with = GOOD.replace("notify = [\"nino\"]", "notify = [\"nino\"]\nfor = \"5m\"");
    assert!(read("b.toml", &with, &wishes()).expect("good").rules[0].life.is_some());
}

#[test]
fn a_secret_that_everybody_can_read_is_refused() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("token");
    assert!(matches!(secret_file(&path), Err(SecretError::Unreadable(..))));
    std::fs::write(&path, "abc\n").expect("written");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).expect("set");
    assert!(matches!(secret_file(&path), Err(SecretError::Open(_))));
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).expect("set");
    let read = secret_file(&path).expect("readable");
    assert_eq!(secrecy::ExposeSecret::expose_secret(&read), "abc");
    std::fs::write(&path, "\n").expect("written");
    assert!(matches!(secret_file(&path), Err(SecretError::Empty(_))));
    std::fs::write(&path, "abc\ndef\n").expect("written");
    assert!(matches!(secret_file(&path), Err(SecretError::SeveralLines(_))));
    std::fs::write(&path, "-----BEGIN PRIVATE KEY-----\nabc\n-----END PRIVATE KEY-----\n").expect("written");
    secret_file(&path).expect("a key has lines");
}

#[test]
fn an_order_that_nobody_may_give_is_remarked() {
    let remarked = |terms: &str, roles: &str| {
        let text = GOOD
            .replace("title = ", &format!("{terms}\ntitle = "))
            .replace("phone = ", &format!("{roles}\nphone = "));
        remarks(&read("b.toml", &text, &wishes()).expect("good"), TODAY)
    };
    let nobody = "rule `freezer`, action `stop`: no contact has the role cook, so nobody may do this";
    assert_eq!(remarked("roles = [\"cook\"]", "roles = [\"manager\"]"), [nobody]);
    assert_eq!(remarked("roles = [\"cook\", \"manager\"]", "roles = [\"manager\"]"), Vec::<String>::new());
    let few = "rule `freezer`, action `stop`: 2 people have to want it, and of the contacts only 1 may";
    assert_eq!(remarked("approvals = 2", ""), [few]);
}

#[test]
fn an_ended_api_version_is_refused_when_the_date_counts() {
    let with = |version: &str| {
        GOOD.replace("verify_token_file", &format!("api_version = \"{version}\"\nverify_token_file"))
    };
    let checked = |version: &str, today| read("b.toml", &with(version), &LoadOptions { today, ..wishes() });
    for version in ["v17.0", "v20.0"] {
        let problems = checked(version, Some(TODAY)).expect_err("it has ended").0;
        let told = problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
        let place = format!("b.toml:12:15: version {version} of Meta's API ended ");
        assert!(told.starts_with(&place) && told.contains("write api_version = \"v25.0\""), "{told}");
        checked(version, None).expect("a daemon starts with it all the same");
    }
    let remarked = |version: &str| remarks(&checked(version, Some(TODAY)).expect("good"), TODAY);
    let soon = "connection `main`: version v21.0 of Meta's API ends on 2027-01-21; write api_version = \"v25.0\" under \
                [[connection]], or take the line out";
    assert_eq!(remarked("v21.0"), [soon]);
    assert_eq!(remarked("v22.0"), Vec::<String>::new());
}

#[test]
fn whoever_lets_others_listen_on_the_way_is_told() {
    let text = include_str!("../../../config/bellwire.toml");
    let wishes = LoadOptions { without_secrets: true, ..LoadOptions::default() };
    let found = |text: &str| -> Vec<String> {
        let config = read("b.toml", text, &wishes).expect("good");
        crate::config::exposed(&config).into_iter().map(|(what, _)| what).collect()
    };
    assert_eq!(found(text), Vec::<String>::new());
    let listens = |address: &str| text.replace("[http]\n", &format!("[http]\nlisten = \"{address}\"\n"));
    assert_eq!(found(&listens("127.0.0.5:8080")), Vec::<String>::new());
    for address in ["0.0.0.0:8080", "192.168.1.2:8080", "[::]:8080"] {
        assert!(found(&listens(address))[0].contains("without TLS"), "{address}");
    }
    let secured = listens("0.0.0.0:8080")
        .replace("[http]\n", "[http]\ncertificate_file = \"page.pem\"\nkey_file = \"page-key.pem\"\n");
    assert_eq!(found(&secured), Vec::<String>::new());
    let broker = |url: &str| text.replace("url = \"mqtt://127.0.0.1:1883\"", &format!("url = \"{url}\""));
    for (url, is_open) in [
        ("mqtt://localhost", false),
        ("mqtt://broker.lan", true),
        ("mqtt://192.168.1.5", true),
        ("mqtts://broker.lan", false),
        ("mqtt://127.0.0.1.attacker.example", true),
    ] {
        assert_eq!(!found(&broker(url)).is_empty(), is_open, "{url}");
    }
}
