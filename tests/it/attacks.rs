//! Attacks by reply, one a row: each is refused, logged, and answered as it should be; nothing reaches a device by them.

use bellwire_tests::{Gateway, PHONE_NUMBER_ID, get_json, post_json, wait_for};
use serde_json::{Value, json};

use crate::replies::{OWNER, Shop, now_s, text};
use crate::webhook::{post, sign};

/// Each row has a person of its own, so that no row's refusals lock out another's.
#[derive(Clone, Copy, PartialEq)]
enum By {
    Manager,
    /// A manager of the bar alone.
    BarManager,
    /// A contact without a role.
    Cook,
    /// A manager when the alert came, none any more.
    FormerManager,
    Stranger,
    /// A stranger whose profile name is the owner's.
    StrangerCalledOwner,
}

#[derive(Clone, Copy)]
enum Does {
    Writes(&'static str),
    Forwards(&'static str),
    /// These words, as an answer to the alert of the person in the row before.
    WritesUnderAnothers(&'static str),
    TapsTheirButton,
    TapsTheirButtonADayLater,
    /// The button of the person in the row before.
    TapsAnothersButton,
    /// Their own, with this in place of that.
    TapsAltered(&'static str, &'static str),
    /// Corrects a message into a command.
    Edits(&'static str),
}

struct Attack {
    what: &'static str,
    by: By,
    does: Does,
    /// The word in the table of replies.
    becomes: &'static str,
    /// In the log, and kept with the reply.
    logged: &'static str,
    /// To who did it; empty: no answer.
    answered: &'static str,
    owner_hears: bool,
}

use By::{BarManager, Cook, FormerManager, Manager, Stranger, StrangerCalledOwner};
use Does::{
    Edits, Forwards, TapsAltered, TapsAnothersButton, TapsTheirButton, TapsTheirButtonADayLater, Writes,
    WritesUnderAnothers,
};

const NOT_YOURS: &str = "That button is not yours, or was altered";

#[rustfmt::skip]
const ATTACKS: [Attack; 23] = [
    row("an unknown sender", Stranger, Writes("open front"), "stranger", "not a contact", "Your number is not on its list").told(),
    row("the profile name of the owner", StrangerCalledOwner, Writes("open front"), "stranger", "not a contact", "Your number is not on its list").told(),
    row("a stranger's tap on a stolen button", Stranger, TapsAnothersButton, "stranger", "not a contact", "Your number is not on its list").told(),
    row("no role", Cook, Writes("open front"), "refused", "it needs the role manager", "“open front” was not done: it needs the role manager"),
    row("a tap without the role", Cook, TapsTheirButton, "refused", "it needs the role manager", "“Stop defrost” was not done"),
    row("a removed role: words", FormerManager, Writes("open front"), "refused", "it needs the role manager", "“open front” was not done"),
    row("a removed role: the button is still there", FormerManager, TapsTheirButton, "refused", "it needs the role manager", "“Stop defrost” was not done"),
    row("a place that is not theirs", BarManager, Writes("open front"), "refused", "not in your area", "not in your area"),
    row("an old button", Manager, TapsTheirButtonADayLater, "say", "older than it may be", "too old to act on"),
    row("the button of another person's message", Manager, TapsAnothersButton, "refused", "altered", NOT_YOURS),
    row("words under another person's message", Manager, WritesUnderAnothers("stop"), "refused", "sent to somebody else", "That message was for somebody else"),
    row("an altered token: another action", Manager, TapsAltered("/stop/", "/open/"), "refused", "altered", NOT_YOURS),
    row("an altered token: another alert", Manager, TapsAltered("/a1/", "/a2/"), "refused", "altered", NOT_YOURS),
    row("an altered token: a longer life", Manager, TapsAltered("/a1/1", "/a1/2"), "refused", "altered", NOT_YOURS),
    row("a forwarded command", Manager, Forwards("open front"), "say", "it was forwarded", "That was forwarded"),
    row("a command inside other words", Manager, Writes("please don't open front today"), "nothing", "nothing is set up", ""),
    row("a command inside a word", Manager, Writes("reopen front"), "nothing", "nothing is set up", ""),
    row("a Cyrillic о", Manager, Writes("оpen front"), "say", "only resembles", "Nothing was done. Did you mean “open front”?"),
    row("a full-width o", Manager, Writes("ｏpen front"), "say", "only resembles", "Nothing was done. Did you mean “open front”?"),
    row("a zero-width space", Manager, Writes("op\u{200b}en front"), "nothing", "nothing is set up", ""),
    row("a soft hyphen", Manager, Writes("open\u{ad} front"), "nothing", "nothing is set up", ""),
    row("a right-to-left override", Manager, Writes("\u{202e}tnorf nepo"), "nothing", "nothing is set up", ""),
    row("an edit into a command", Manager, Edits("open front"), "", "edit", ""),
];

const fn row(
    what: &'static str,
    by: By,
    does: Does,
    becomes: &'static str,
    logged: &'static str,
    answered: &'static str,
) -> Attack {
    Attack { what, by, does, becomes, logged, answered, owner_hears: false }
}

impl Attack {
    const fn told(self) -> Self {
        Self { owner_hears: true, ..self }
    }
}

/// Besides the rows': who plays the attacks that are no single message.
const RECYCLED: &str = "+995555777001";
const REPLAYED: &str = "+995555777002";
const TAPPER: &str = "+995555777003";

fn number(row: usize) -> String {
    format!("+9955558880{row:02}")
}

fn person(id: &str, phone: &str, by: By) -> String {
    let more = match by {
        Manager => "roles = [\"manager\"]",
        FormerManager => "roles = [\"manager\", \"former\"]",
        BarManager => "roles = [\"manager\"]\ntopics = [\"site/bar/#\"]",
        Cook => "",
        Stranger | StrangerCalledOwner => return String::new(),
    };
    format!("[[contact]]\nid = \"{id}\"\nphone = \"{phone}\"\n{more}\n")
}

fn rules() -> String {
    let mut people: String = [("recycled", RECYCLED), ("replayed", REPLAYED), ("tapper", TAPPER)]
        .map(|(id, phone)| person(id, phone, Manager))
        .concat();
    let mut told = vec!["\"tapper\"".to_owned()];
    for (at, attack) in ATTACKS.iter().enumerate() {
        let new = person(&format!("row{at}"), &number(at), attack.by);
        if !new.is_empty() {
            told.push(format!("\"row{at}\""));
        }
        people += &new;
    }
    format!(
        r#"{people}
[[rule]]
name = "freezer"
topic = "site/{{area}}/freezer/{{unit}}/temperature"
message = "Freezer {{{{ unit }}}} is warm"
notify = [{}]
[[rule.action]]
id = "stop"
title = "Stop defrost"
topic = "site/{{area}}/freezer/{{unit}}/set"
payload = "stop"
roles = ["manager"]
[[command]]
name = "open"
words = "open front"
topic = "site/front/set"
payload = "OPEN"
roles = ["manager"]
"#,
        told.join(", ")
    )
}

fn is_contact(attack: &Attack) -> bool {
    !matches!(attack.by, Stranger | StrangerCalledOwner)
}

/// A shop after an alert to everybody, and after the former manager's role was taken away.
fn shop() -> Shop {
    let mut shop = Shop::open(&rules(), "site/#");
    shop.alert();
    let told = 1 + ATTACKS.iter().filter(|attack| is_contact(attack)).count();
    assert_eq!(shop.site.wait_sent(told).len(), told);
    shop.gateway.take().unwrap().stop();
    let config = std::fs::read_to_string(shop.site.config()).unwrap();
    let config = config.replace("roles = [\"manager\", \"former\"]", "roles = []");
    std::fs::write(shop.site.config(), config).unwrap();
    shop.gateway = Some(Gateway::start(&shop.site));
    shop
}

fn button(shop: &Shop, whom: &str) -> String {
    shop.to(whom)[0]["buttons"][0]["id"].as_str().unwrap().to_owned()
}

fn tap(id: &str) -> Value {
    let reply = json!({ "type": "button_reply", "button_reply": { "id": id, "title": "Stop defrost" } });
    json!({ "raw": { "type": "interactive", "interactive": reply } })
}

/// The message with which the simulator's person tries this attack.
fn attempt(shop: &Shop, at: usize, attack: &Attack) -> Value {
    let me = number(at);
    // The nearest row before with somebody who got the alert.
    let another = || {
        let before = (0..ATTACKS.len()).rev().map(|back| (at + back) % ATTACKS.len());
        before.filter(|row| is_contact(&ATTACKS[*row])).map(number).next().unwrap()
    };
    let mut message = match attack.does {
        Writes(words) => json!({ "text": words }),
        Forwards(words) => json!({ "text": words, "forwarded": true }),
        WritesUnderAnothers(words) => {
            let context = json!({ "from": "15550100100", "id": shop.to(&another())[0]["id"] });
            json!({ "raw": { "type": "text", "text": { "body": words }, "context": context } })
        }
        TapsTheirButton => json!({ "tap": "Stop defrost" }),
        TapsTheirButtonADayLater => {
            let mut message = tap(&button(shop, &me));
            message["timestamp"] = json!(now_s() + 25 * 3600);
            message
        }
        TapsAnothersButton => tap(&button(shop, &another())),
        TapsAltered(that, this) => {
            let id = button(shop, &me);
            assert!(id.contains(that), "{}: {id}", attack.what);
            tap(&id.replacen(that, this, 1))
        }
        Edits(words) => {
            let first = shop.does(&json!({ "from": me, "text": "hello" }));
            shop.became(&first);
            json!({ "edit": first, "text": words })
        }
    };
    message["from"] = json!(me);
    if attack.by == StrangerCalledOwner {
        message["name"] = json!("owner");
    }
    message
}

#[test]
fn every_attack_by_reply_is_refused_logged_and_answered() {
    let shop = shop();
    let audit = |person: &str| {
        let listed = shop.audit("list").1;
        listed.lines().any(|line| line.contains("refused ") && line.contains(&format!(" {person} ")))
    };
    let mut heard = 0;
    for (at, attack) in ATTACKS.iter().enumerate() {
        let what = attack.what;
        let (me, id) = (number(at), format!("row{at}"));
        let (before, log) = (shop.to(&me).len(), shop.site.log().len());
        let message = shop.does(&attempt(&shop, at, attack));
        if attack.becomes.is_empty() {
            // It is no message at all: what it was stands with the body.
            let noted = format!("SELECT count(*) FROM inbox WHERE note LIKE '%{}%'", attack.logged);
            wait_for(10, what, || (shop.site.count(&noted) > 0).then_some(()));
        } else {
            assert_eq!(shop.became(&message), attack.becomes, "{what}");
            let reason: String = shop
                .site
                .database()
                .query_row("SELECT reason FROM reply WHERE wamid = ?1", [&message], |row| row.get(0))
                .unwrap();
            assert!(reason.contains(attack.logged), "{what}: {reason}");
            let said = wait_for(5, &format!("{what} in the log"), || {
                shop.site.log().get(log..).filter(|new| new.contains('\n')).map(str::to_owned)
            });
            assert!(said.contains("does not act") || said.contains("was refused"), "{what}: {said}");
        }
        assert_eq!(audit(&id), attack.becomes == "refused", "{what}: {}", shop.audit("list").1);
        if attack.answered.is_empty() {
            assert_eq!(shop.to(&me).len(), before, "{what}");
        } else {
            let answer = shop.wait_to(&me, before + 1);
            assert!(text(&answer).contains(attack.answered), "{what}: {answer}");
        }
        if attack.owner_hears {
            heard += 1;
            assert!(text(&shop.wait_to(OWNER, heard)).contains(&me), "{what}: the owner sees the number");
        }
    }
    assert_eq!(shop.to(OWNER).len(), heard, "of the others the owner hears nothing");
    for (at, attack) in ATTACKS.iter().enumerate().filter(|(_, attack)| attack.answered.is_empty()) {
        let told = usize::from(is_contact(attack));
        assert_eq!(shop.to(&number(at)).len(), told, "{}: no answer", attack.what);
    }
    assert_eq!(shop.site.count("SELECT count(*) FROM command"), 0);
    assert_eq!(shop.device.messages(), ["site/bar/freezer/2/temperature {\"celsius\": -12.5}"]);
    assert_eq!(shop.audit("verify").0, Some(0));
    a_recycled_number(&shop);
    a_replayed_body(&shop);
    a_thousand_taps(&shop);
}

/// The number has a new owner: WhatsApp gives another user id with it.
fn a_recycled_number(shop: &Shop) {
    let as_user = |user: &str| {
        let id = format!("wamid.{user}");
        let message = json!({ "from": RECYCLED.trim_start_matches('+'), "from_user_id": user, "id": id,
            "type": "text", "timestamp": now_s().to_string(), "text": { "body": "open front" } });
        let metadata = json!({ "display_phone_number": "15550100100", "phone_number_id": PHONE_NUMBER_ID });
        let value = json!({ "messaging_product": "whatsapp", "metadata": metadata, "messages": [message] });
        let body = json!({ "field": "messages", "value": value });
        assert_eq!(post_json(&shop.site.api("/_simulator/webhook"), &body).0, 200);
        shop.became(&id)
    };
    let heard = shop.to(OWNER).len();
    assert_eq!(as_user("GE.1111111111"), "command", "the first one is learned");
    assert_eq!(as_user("GE.2222222222"), "nothing");
    assert!(text(&shop.wait_to(OWNER, heard + 1)).contains("recycled has another WhatsApp user now"));
    assert!(shop.site.log().contains("recycled has another WhatsApp user now"));
    assert_eq!(as_user("GE.2222222223"), "nothing", "and the next one does not act either");
    assert_eq!(shop.to(RECYCLED).len(), 0, "whoever it is learns nothing of us");
    assert_eq!(shop.site.count("SELECT count(*) FROM command"), 1);
}

/// A body with Meta's own signature, posted again by somebody who saw it; and one with a bit of it changed.
fn a_replayed_body(shop: &Shop) {
    let id = shop.does(&json!({ "from": REPLAYED, "text": "open front" }));
    assert_eq!(shop.became(&id), "command");
    let read = "SELECT body FROM inbox WHERE id = (SELECT inbox FROM reply WHERE wamid = ?1)";
    let body: Vec<u8> = shop.site.database().query_row(read, [&id], |row| row.get(0)).unwrap();
    let signature = sign("secret", &body);
    for _ in 0..5 {
        assert_eq!(post(&shop.site, &body, Some(&signature)), 200, "Meta may repeat itself");
    }
    let other = String::from_utf8(body).unwrap().replace(&id, "wamid.another");
    assert_eq!(post(&shop.site, other.as_bytes(), Some(&signature)), 401);
    let repeated = "SELECT count(*) FROM inbox WHERE note LIKE '%taken before%'";
    wait_for(10, "the repetitions", || (shop.site.count(repeated) == 5).then_some(()));
    assert!(shop.site.log().contains("a message that was taken before"));
    assert_eq!(shop.site.count("SELECT count(*) FROM command"), 2);
}

/// Ten act; the eleventh is told so, once.
fn a_thousand_taps(shop: &Shop) {
    let before = shop.to(TAPPER).len();
    let taps: Vec<String> =
        (0..1_000).map(|_| shop.does(&json!({ "from": TAPPER, "tap": "Stop defrost" }))).collect();
    let became: Vec<String> = taps.iter().map(|id| shop.became(id)).collect();
    let count = |word: &str| became.iter().filter(|became| *became == word).count();
    assert_eq!((count("command"), count("hurried")), (10, 990));
    assert!(text(&shop.wait_to(TAPPER, before + 1)).contains("more than 10 in a minute"));
    wait_for(10, "ten commands", || (shop.device.messages().len() == 1 + 2 + 10).then_some(()));
    assert_eq!(shop.to(TAPPER).len(), before + 1, "told once");
    assert_eq!(shop.site.count("SELECT count(*) FROM command"), 12);
    assert!(shop.audit("list").1.contains("more than 10 acts in a minute"));
    assert!(get_json(&shop.site.api("/_simulator/messages")).is_array(), "and all else goes on");
}
