use super::*;

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

fn wishes() -> Wishes {
    Wishes { without_secrets: true, ..Wishes::default() }
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
fn the_shipped_file_is_good_and_names_every_key() {
    let text = include_str!("../../../config/bellwire.toml");
    assert_eq!(problems(text), Vec::<String>::new());
    for key in [
        "name",
        "time_zone",
        "state_directory",
        "listen",
        "webhook_listen",
        "url",
        "version",
        "client_id",
        "username",
        "password_file",
        "ca_file",
        "client_certificate_file",
        "client_key_file",
        "max_packet_bytes",
        "phone_number_id",
        "business_account_id",
        "access_token_file",
        "app_secret_file",
        "verify_token_file",
        "api_url",
        "api_version",
        "id",
        "phone",
        "roles",
        "members",
        "topic",
        "when",
        "message",
        "notify",
        "connection",
        "severity",
        "payload",
        "on_unknown",
        "expires",
        "on_retained",
        "title",
        "retain",
    ] {
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
    check("[site]", "[site", "b.toml:2:");
    check("[mqtt]", "[http]\nlisten = \"0.0.0.0:80\"\n[mqtt]", "only 127.0.0.1");
}

#[test]
fn a_secret_that_everybody_can_read_is_refused() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("token");
    assert!(matches!(secret(&path), Err(SecretError::Unreadable(..))));
    std::fs::write(&path, "abc\n").expect("written");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).expect("set");
    assert!(matches!(secret(&path), Err(SecretError::Open(_))));
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).expect("set");
    let read = secret(&path).expect("readable");
    assert_eq!(secrecy::ExposeSecret::expose_secret(&read), "abc");
    std::fs::write(&path, "\n").expect("written");
    assert!(matches!(secret(&path), Err(SecretError::Empty(_))));
}
