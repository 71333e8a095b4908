//! What would start well and never work, or not as anybody meant it.

use super::*;

fn check(from: &str, to: &str, expected: &str) {
    assert!(GOOD.contains(from), "{from}");
    let found = problems(&GOOD.replacen(from, to, 1));
    assert!(found.iter().any(|problem| problem.contains(expected)), "{to}: {found:#?}");
}

#[test]
fn ports_and_topics_that_reach_nobody_are_refused() {
    check("mqtt://127.0.0.1", "mqtt://127.0.0.1:0", "the port is not a number from 1 to 65535");
    check("[mqtt]", "[http]\nlisten = \"127.0.0.1:0\"\n[mqtt]", "port 0 is another one at each start");
    check(
        "site/{area}/freezer/{unit}/temperature",
        "$share/g/site/{area}/{unit}",
        "leave `$share/` and the group's name away",
    );
}

/// They would stand in front of what conditions and messages mean by them.
#[test]
fn topic_levels_cannot_have_reserved_names() {
    let topic = "site/{area}/freezer/{unit}/temperature";
    for name in [
        "payload", "topic", "site", "value", "previous", "window", "text", "rule", "in", "not", "and", "is",
        "if", "none", "true", "loop", "range",
    ] {
        let expected = format!("`topic`: a level cannot be called `{name}`");
        check(topic, &format!("site/{{{name}}}/freezer/{{unit}}/temperature"), &expected);
        check(topic, &format!("site/{{area}}/freezer/{{{name}#}}"), &expected);
        let question = format!(
            "[[ask]]\nname = \"q\"\ntopic = \"till/{{{name}}}/q\"\ntext = \"?\"\nchoices = [\"a\", \"b\"]\nwho = [\"nino\"]\ndefault = \"a\"\n[mqtt]"
        );
        check("[mqtt]", &question, &expected);
    }
    let found =
        problems(&GOOD.replace("{unit}", "{payload_name}").replace("{{ unit }}", "{{ payload_name }}"));
    assert_eq!(found, Vec::<String>::new());
}

#[test]
fn a_picture_needs_a_number_and_stands_alone() {
    let rule = "notify = [\"nino\"]";
    let with = |keys: &str| format!("{rule}\n{keys}");
    let value = "value = \"payload.celsius\"\nchart = \"6h\"";
    check(rule, &with("chart = \"6h\""), "say which it is, such as value = \"payload.celsius\"");
    for span in ["59s", "8d", "6"] {
        check(rule, &with(&format!("value = \"payload.celsius\"\nchart = \"{span}\"")), "chart");
    }
    let attach = "attach = { kind = \"image\", from = \"payload\" }";
    check(rule, &with(&format!("{value}\n{attach}")), "take `attach` away, or `chart`");
    let template = "template = { name = \"t\", language = \"en\", header_file = true }";
    check(rule, &with(template), "`header_file` needs a `chart`");
    let plain = template
        .replace(", header_file = true }", " }]")
        .replace("= {", &format!("= [{}, {{", &template["template = ".len()..]));
    for (good, remarks) in
        [(value.to_owned(), 0), (format!("{value}\n{plain}"), 0), (format!("{value}\n{template}"), 1)]
    {
        let text = GOOD.replacen(rule, &with(&good), 1);
        assert_eq!(problems(&text), Vec::<String>::new(), "{good}");
        let found = crate::config::remarks(&read("b.toml", &text, &wishes()).expect("good"), TODAY);
        assert_eq!(found.iter().filter(|one| one.contains("carries no picture")).count(), remarks, "{good}");
    }
}

#[test]
fn jinja_in_literal_keys_is_refused() {
    let rule = "notify = [\"nino\"]";
    for (from, to, key) in [
        ("title = \"Stop defrost\"", "title = \"Stop {{ unit }}\"", "title"),
        ("title = \"Stop defrost\"", "title = { en = \"Stop\", de = \"{{ unit }} aus\" }", "title"),
        ("payload = '{\"defrost\": false}'", "payload = '{{ unit }}'", "payload"),
        ("id = \"stop\"", "id = \"stop\"\nwords = [\"stop\", \"stop {{ unit }}\"]", "words"),
        ("name = \"freezer\"", "name = \"freezer {% if x %}\"", "name"),
        (
            rule,
            "notify = [\"nino\"]\nattach = { kind = \"document\", url = \"http://a/{{ unit }}\", filename = \"{{ unit }}.pdf\" }",
            "filename",
        ),
        (rule, "notify = [\"nino\"]\nescalate = [{ after = \"1m\", url = \"http://a/{{ unit }}\" }]", "url"),
        (
            rule,
            "notify = [\"nino\"]\nescalate = [{ after = \"1m\", topic = \"siren\", payload = \"{{ unit }}\" }]",
            "payload",
        ),
        (
            "[mqtt]",
            "[[command]]\nwords = \"open\"\ntopic = \"door\"\npayload = \"{{ who }}\"\n[mqtt]",
            "payload",
        ),
        (
            "[mqtt]",
            "[[ask]]\nname = \"q\"\ntopic = \"q\"\ntext = \"{{ topic }}?\"\nchoices = [\"{{ topic }}\", \"b\"]\nwho = [\"nino\"]\ndefault = \"b\"\n[mqtt]",
            "choices",
        ),
        ("name = \"Corner Bakery\"", "name = \"{{ site }}\"", "name"),
    ] {
        check(from, to, &format!("`{key}` takes no Jinja"));
    }
    let attached = "notify = [\"nino\"]\nattach = { kind = \"image\", url = \"http://a/{{ unit }}\" }";
    assert_eq!(problems(&GOOD.replacen(rule, attached, 1)), Vec::<String>::new());
}

#[test]
fn repetition_intervals_are_at_least_a_minute() {
    let with = |keys: &str| {
        problems(&GOOD.replacen("notify = [\"nino\"]", &format!("notify = [\"nino\"]\n{keys}"), 1))
    };
    for wrong in ["59s", "1s", "500ms"] {
        let found = with(&format!("repeat_interval = \"{wrong}\""));
        assert!(found.len() == 1 && found[0].contains("once a minute at most; \"0s\" is never"), "{found:?}");
    }
    for good in [
        "repeat_interval = \"60s\"",
        "repeat_interval = \"0s\"",
        "quiet_hours = [\"22:00-24:00\", \"13:00-15:00\"]",
    ] {
        assert_eq!(with(good), Vec::<String>::new(), "{good}");
    }
}

#[test]
fn what_other_languages_write_is_shown_as_jinja_has_it() {
    let with = |key: &str, expression: &str| {
        let text = GOOD.replacen(
            "when = \"payload.celsius > -15\"\n",
            &format!("when = \"payload.celsius > -15\"\n{key} = {expression:?}\n"),
            1,
        );
        let text =
            if key == "when" { text.replacen("when = \"payload.celsius > -15\"\n", "", 1) } else { text };
        problems(&text)
    };
    let shown = |key: &str, expression: &str, expected: &str| {
        let found = with(key, expression);
        assert!(found.iter().any(|problem| problem.ends_with(expected)), "{key} {expression}: {found:#?}");
    };
    shown("when", "payload.a = 5", "; one compares with ==: write payload.a == 5");
    shown("when", "payload.a === 5", "; one compares with ==: write payload.a == 5");
    shown("when", "payload.a !== 5", "; one compares with !=: write payload.a != 5");
    shown("when", "payload.a => 5", "; greater or equal is >=: write payload.a >= 5");
    shown("when", "payload.a > 5 && payload.b", "; `and` stands for &&: write payload.a > 5 and payload.b");
    shown("when", "payload.a||payload.b", "; `or` stands for ||: write payload.a or payload.b");
    shown("when", "!payload.a", "; `not` stands for !: write not payload.a");
    shown("when", "{{ payload.a > 5 }}", "; an expression stands without {{ }}: write payload.a > 5");
    shown(
        "when",
        "payload.a = '&& = !' && !(payload.b | round(precision=1) = 2)",
        "`and` stands for &&, `not` stands for !, one compares with ==: write payload.a == '&& = !' and not (payload.b | round(precision=1) == 2)",
    );
    shown(
        "when",
        "payload.b | round(precision=1) > 2 && payload.c",
        "write payload.b | round(precision=1) > 2 and payload.c",
    );
    shown("resolve_when", "{{ payload.celsius }} < -17", ": write payload.celsius < -17");
    shown("value", "{{ payload.celsius }}", ": write payload.celsius");
    shown("dedupe_key", "{{ payload.id }}", ": write payload.id");
    for wrong in ["payload.a >", "payload.a == '&& = !' )", "payload.a &&"] {
        let found = with("when", wrong);
        assert!(found.iter().all(|problem| !problem.contains(": write")), "{wrong}: {found:#?}");
        assert!(found[0].contains("`when` does not compile"), "{wrong}: {found:#?}");
    }
    assert_eq!(with("when", "payload.a != 5 and payload.b >= 2 or payload.c == '='"), Vec::<String>::new());
    let answer = GOOD.replacen(
        "id = \"stop\"",
        "id = \"stop\"\nanswer = { topic = \"a\", when = \"payload = 1\" }",
        1,
    );
    assert!(
        problems(&answer).iter().any(|problem| problem.ends_with(": write payload == 1")),
        "{:?}",
        problems(&answer)
    );
}

/// A sensor called kitchen/leak publishes to zigbee2mqtt/kitchen/leak.
#[test]
fn names_of_zigbee2mqtt_with_a_slash_are_remarked() {
    let remarks = |topic: &str| {
        let rule =
            format!("[[rule]]\nname = \"r\"\ntopic = \"{topic}\"\nmessage = \"x\"\nnotify = [\"nino\"]\n");
        remarks(&read("b.toml", &format!("{GOOD}{rule}"), &wishes()).expect("good"), TODAY)
    };
    let found = remarks("zigbee2mqtt/{sensor}");
    assert!(
        found.len() == 1 && found[0].contains("topic = \"zigbee2mqtt/{sensor#}\" takes them, too"),
        "{found:?}"
    );
    for topic in
        ["zigbee2mqtt/{sensor#}", "zigbee2mqtt/kitchen", "zigbee2mqtt/{sensor}/action", "tele/{sensor}"]
    {
        assert_eq!(remarks(topic), Vec::<String>::new(), "{topic}");
    }
}
