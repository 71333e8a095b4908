//! What numbers were, on the pages and for programs.

use bellwire_tests::{publish, wait_for};

use super::{get, log_in, start, token};

const RULES: &str = r#"
[[contact]]
id = "nino"
phone = "+995 555 12 34 56"
[[rule]]
name = "freezer"
topic = "freezer/{unit}"
when = "payload.celsius > -15"
resolve_when = "payload.celsius < -17"
value = "payload.celsius"
message = "Freezer {{ unit }} is at {{ value }} °C"
notify = ["nino"]
"#;

#[test]
fn pages_show_curves_with_a_text_description() {
    let (broker, site, _gateway) = start(RULES);
    let cookie = log_in(&site);
    let page = |path: &str, language: &str| get(&site, path, &[&cookie, language]).body;
    let (english, german) = ("Accept-Language: en", "Accept-Language: de");
    assert!(!page("/", english).contains("class=\"curve\""), "there is nothing to see yet");
    for (unit, celsius) in [("1", -18.25), ("1", -12.5), ("2", -20.0)] {
        publish(broker.port, &format!("freezer/{unit}"), format!("{{\"celsius\": {celsius}}}").as_bytes());
    }
    let curves = "SELECT count(*) FROM alert_memory WHERE kind = 'curve'";
    wait_for(10, "both", || (site.count(curves) == 2).then_some(()));

    let first = page("/", english);
    assert_eq!(first.matches("<figure class=\"curve\">").count(), 2);
    let (fires, other) = (first.find("unit=1").expect("one"), first.find("unit=2").expect("the other"));
    assert!(fires < other, "what goes on comes first");
    let alert = page("/alerts/1", english);
    for words in [
        "role=\"img\"",
        "<title>freezer unit=1</title>",
        "Last -12.5 at ",
        "lowest -18.25, highest -12.5",
        "The alert fires above -15.",
        "It is over below -17.",
        "It fired at ",
        "class=\"limit\"",
        "class=\"mark\"",
    ] {
        assert!(alert.contains(words), "{words}: {alert}");
    }
    let alert = page("/alerts/1", german);
    for words in [
        "Zuletzt -12.5 um ",
        "niedrigster -18.25, höchster -12.5",
        "Alarm über -15.",
        "Vorbei unter -17.",
        "Ausgelöst um ",
    ] {
        assert!(alert.contains(words), "{words}: {alert}");
    }

    let read = token(&site, &["read"]);
    let story = get(&site, "/api/alerts/1", &[&read]).json();
    let curve = &story["curve"];
    assert_eq!(
        (&curve["last"], &curve["lowest"], curve["thresholds"].as_array().map(Vec::len)),
        (&(-12.5).into(), &(-18.25).into(), Some(2))
    );
    assert!(curve["readings"][0]["at"].as_str().is_some_and(|at| at.ends_with('Z')), "{curve}");
    let overview = get(&site, "/api/overview", &[&read]).json();
    assert_eq!(overview["curves"].as_array().map(Vec::len), Some(2));
    assert_eq!(
        (&overview["curves"][0]["alert"], &overview["curves"][1]["alert"]),
        (&1.into(), &serde_json::Value::Null)
    );
}
