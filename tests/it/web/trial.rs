use serde_json::json;

use super::{get, json as post, log_in, start, token};

const RULES: &str = r#"
[[contact]]
id = "nino"
name = "Nino"
phone = "+995 555 12 34 56"
[[contact]]
id = "heike"
name = "Heike"
phone = "+49 30 901820"
language = "de"
[[rule]]
name = "door"
topic = "site/{door}/door"
when = "payload == 'open'"
for = "5m"
message = { en = "Door {{ door }} is open", de = "Tür {{ door }} steht offen" }
notify = ["nino", "heike"]
buttons = ["acknowledge"]
[[rule]]
name = "smoke"
topic = "site/{room}/smoke"
when = "payload == 1"
message = "Smoke in {{ room }}"
notify = ["nino"]
escalate = [
  { after = "5m", unless = "delivered", notify = ["heike"] },
  { after = "10m", unless = "acknowledged", notify = ["heike"] },
]
[[rule]]
name = "bell"
topic = "site/{door}/bell"
message = "Somebody is at door {{ door }}"
notify = ["nino"]
"#;

#[test]
fn the_try_box_foretells_what_comes_later_and_to_whom() {
    let (_broker, site, _gateway) = start(RULES);
    let cookie = log_in(&site);
    let page = get(&site, "/rules?topic=site%2Fback%2Fdoor&payload=open", &[&cookie]);
    assert_eq!(page.status, 200);
    let (_, later) = page.body.split_once("id=\"later\"").expect("what comes later");
    assert!(later.contains("in 5 min:"), "{later}");
    for words in
        ["Door back is open", "Nino", "I take care", "Tür back steht offen", "Heike", "Ich kümmere mich"]
    {
        assert!(later.contains(words), "{words}: {later}");
    }
    let german =
        get(&site, "/rules?topic=site%2Fback%2Fdoor&payload=open", &[&cookie, "Accept-Language: de"]);
    assert!(german.body.contains("Jetzt wird niemand benachrichtigt."), "{}", german.body);
    let at_once = get(&site, "/rules?topic=site%2Fback%2Fbell&payload=1", &[&cookie]).body;
    assert!(at_once.contains("Somebody is at door back") && !at_once.contains("id=\"later\""), "{at_once}");
    let stays = get(&site, "/rules?topic=site%2Fbar%2Fsmoke&payload=1", &[&cookie]).body;
    let (_, later) = stays.split_once("id=\"later\"").expect("what comes later");
    assert!(
        later.contains("nobody answers, in 10 min:") && later.contains("⬆ Seit 10 Min.: Smoke in bar"),
        "{later}"
    );
    let shut = get(&site, "/rules?topic=site%2Fback%2Fdoor&payload=shut", &[&cookie]).body;
    assert!(!shut.contains("id=\"later\""), "nothing comes of it");

    let token = token(&site, &["read"]);
    let asked = json!({ "topic": "site/back/door", "payload": "open" });
    let told = post(&site, "/api/rules/try", &[&token], &asked).json();
    assert_eq!((&told["later"]["after_ms"], &told["alerts"]), (&json!(300_000), &json!([])));
    assert_eq!(told["later"]["alerts"][1]["to"], json!([{ "id": "heike", "name": "Heike" }]));
    assert_eq!(site.count("SELECT count(*) FROM message"), 0, "nothing is sent");
}
