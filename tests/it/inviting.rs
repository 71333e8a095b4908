//! The owner invites somebody, who says Yes: on the list from then on, with what the owner gave, until taken off it.

use std::time::Duration;

use bellwire_tests::{Gateway, bellwire, publish, wait_for};
use serde_json::json;

use crate::replies::{LEVAN, OWNER, Shop, text};

const MAKA: &str = "+4915112345678";

const RULES: &str = r#"
[[team]]
id = "kitchen"
members = ["levan"]
[[team]]
id = "deciders"
members = ["nino"]
[[rule]]
name = "oven"
topic = "site/oven/celsius"
message = "The oven is at {{ payload }} °C"
notify = ["kitchen"]
[[ask]]
name = "refund"
topic = "pos/{till}/refund"
text = "A refund?"
choices = ["Approve", "Deny"]
who = ["deciders"]
default = "Deny"
[[command]]
name = "open"
words = "open front"
topic = "site/front/set"
payload = "OPEN"
roles = ["owner"]
[[command]]
name = "safe"
words = "open the safe"
topic = "site/safe/set"
payload = "OPEN"
roles = ["manager"]
"#;

fn contact(shop: &Shop, arguments: &[&str]) -> String {
    let config = shop.site.config();
    let output = bellwire(&[&["contact"], arguments, &["--config", &config.to_string_lossy()]].concat());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn told(shop: &Shop, whom: &str, words: &str) {
    wait_for(10, &format!("“{words}” to {whom}; {:#?}", shop.to(whom)), || {
        shop.to(whom).iter().any(|sent| text(sent).contains(words)).then_some(())
    });
}

fn oven(shop: &Shop, celsius: &str, count: usize) -> bool {
    publish(shop.broker.port, "site/oven/celsius", celsius.as_bytes());
    told(shop, LEVAN, &format!("{celsius} °C"));
    std::thread::sleep(Duration::from_millis(300)); // room for what must not come
    shop.to(MAKA).iter().filter(|sent| text(sent).contains("°C")).count() == count
}

#[test]
fn an_accepted_invitation_lasts_until_removal() {
    let mut shop = Shop::open(RULES, "site/+/set");
    assert_eq!(shop.writes(OWNER, "invite +49 151 12345678 Maka Kobalia as owner, Kitchen"), "invite");
    told(&shop, OWNER, "Maka Kobalia is asked");
    assert!(!contact(&shop, &["list"]).contains("maka"), "not before the Yes");
    // The window is closed until she writes; then the question comes.
    assert_eq!(shop.writes(MAKA, "hello"), "stranger");
    told(&shop, MAKA, "owner invites Maka Kobalia to get messages of Test here");
    assert_eq!(shop.outcome(&json!({ "from": MAKA, "text": "yes", "forwarded": true })), "stranger");
    assert_eq!(shop.writes(MAKA, "open front"), "stranger");
    assert_eq!(shop.site.count("SELECT count(*) FROM guest WHERE state = 'joined'"), 0);
    assert_eq!(shop.writes(MAKA, "კი!"), "stranger");
    told(&shop, MAKA, "Welcome to Test");
    told(&shop, OWNER, "✅ Maka Kobalia said Yes and is on the list: owner, kitchen");
    // What the owner gave, and no more; alerts of the team, too.
    assert_eq!(shop.writes(MAKA, "open front"), "command");
    assert_eq!(shop.writes(MAKA, "open the safe"), "refused");
    assert_eq!(shop.writes(MAKA, "invite +995555000222 Another"), "refused", "a role is not the site");
    shop.wait_device(&["site/front/set OPEN"]);
    assert!(oven(&shop, "251", 1));
    let listed = contact(&shop, &["list"]);
    let row = listed.lines().find(|line| line.starts_with("maka-kobalia ")).expect("a row");
    assert!(row.contains("+491…678") && row.contains("owner (invited by owner)"), "{row}");
    assert!(contact(&shop, &["list", "--json"]).contains("\"invited_by\": \"owner\""));

    shop.gateway.take().unwrap().stop();
    shop.gateway = Some(Gateway::start(&shop.site));
    assert_eq!(shop.writes(MAKA, "open front"), "command", "also after a restart");
    assert!(oven(&shop, "252", 2));

    // Taken off at the command line: nothing acts from then on.
    contact(&shop, &["remove", "maka-kobalia"]);
    assert_eq!(shop.writes(MAKA, "open front"), "stranger");
    assert!(oven(&shop, "253", 2), "nor is she told");
    assert!(!contact(&shop, &["list"]).contains("maka"));
    // Invited again she is another contact; and the owner takes her off in words.
    assert_eq!(shop.writes(OWNER, &format!("invite {MAKA} Maka Kobalia as kitchen")), "invite");
    told(&shop, OWNER, "The invitation counts for 3 days");
    // The third question: the first time she was asked again after words that were no answer.
    wait_for(10, "the question", || {
        (shop.to(MAKA).iter().filter(|sent| text(sent).contains("invites")).count() == 3).then_some(())
    });
    assert_eq!(shop.taps(MAKA, "Yes"), "stranger");
    told(&shop, OWNER, "is on the list: kitchen");
    assert!(contact(&shop, &["list"]).contains("maka-kobalia-2"));
    assert_eq!(shop.writes(MAKA, "open front"), "refused", "the role of the first time is gone");
    assert_eq!(shop.writes(OWNER, &format!("uninvite {MAKA}")), "invite");
    told(&shop, OWNER, "Maka Kobalia is off the list");
    assert!(oven(&shop, "254", 2), "no alert any more");
    let (_, listed) = shop.audit("list");
    for word in [
        "invited       owner",
        "owner, kitchen",
        "joined        maka-kobalia ",
        "removed       owner",
        "at the command line",
    ] {
        assert!(listed.contains(word), "{word}: {listed}");
    }
    assert!(!listed.contains("Maka"), "by pseudonym: {listed}");
    assert_eq!(shop.audit("verify").0, Some(0));
}

#[test]
fn an_invitation_grants_only_the_inviters_rights_and_expires() {
    let shop = Shop::open(RULES, "site/+/set");
    let invite = |more: &str| shop.writes(OWNER, &format!("invite {MAKA} Maka{more}"));
    assert_eq!(shop.writes(LEVAN, &format!("invite {MAKA} Maka")), "refused", "only an owner");
    told(&shop, LEVAN, "Only the owner of this site may do that");
    assert_eq!(invite(" as manager"), "invite");
    told(&shop, OWNER, "Maka was not invited: you have no role “manager” to give");
    assert_eq!(invite(" as deciders"), "invite");
    told(&shop, OWNER, "the team deciders decides things, and you are not in it");
    assert_eq!(shop.site.count("SELECT count(*) FROM guest"), 0);
    assert_eq!(shop.site.count("SELECT count(*) FROM audit WHERE what = 'refused'"), 3);
    assert_eq!(shop.writes(OWNER, &format!("invite {LEVAN} Levan")), "invite");
    told(&shop, OWNER, "levan is on the list already");
    assert_eq!(shop.writes(OWNER, &format!("invite {MAKA}")), "say");
    assert_eq!(
        shop.outcome(&json!({ "from": OWNER, "text": format!("invite {MAKA} Maka"), "forwarded": true })),
        "say"
    );

    // She says No; the next time nobody answers; the third time the owner has lost the role meanwhile.
    assert_eq!(invite(""), "invite");
    assert_eq!(shop.writes(MAKA, "nein"), "stranger");
    told(&shop, OWNER, "❌ Maka said No");
    // Meta's times are whole seconds: this Yes is older than the No, however slow the machine is.
    shop.site.database().execute("UPDATE guest SET answered_at = answered_at + 60000", []).unwrap();
    assert_eq!(shop.writes(MAKA, "yes"), "stranger");
    assert_eq!(invite(""), "invite");
    let spoil = |change: &str| {
        let sql = format!("UPDATE guest SET {change} WHERE state = 'asked'");
        assert_eq!(shop.site.database().execute(&sql, []).unwrap(), 1, "{change}");
    };
    spoil("expires_at = 1");
    assert_eq!(shop.writes(MAKA, "yes"), "stranger");
    spoil("expires_at = 9000000000000, roles = '[\"manager\"]'");
    assert_eq!(shop.writes(MAKA, "yes"), "stranger");
    told(&shop, MAKA, "That invitation does not count any more");
    assert_eq!(shop.site.count("SELECT count(*) FROM guest WHERE state = 'joined'"), 0);

    // Ten a day: the others are as if they had been sent today.
    let many = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 8) INSERT INTO guest
        (contact, name, address, roles, teams, places, invited_by, invited_at, expires_at, state)
        SELECT 'g' || i, 'G', '+4930000000' || i, '[]', '[]', '[]', 'owner', (SELECT max(invited_at) FROM guest), 0, 'declined' FROM n";
    shop.site.database().execute(many, []).unwrap();
    assert_eq!(invite(""), "invite");
    told(&shop, OWNER, "there were 10 invitations in the last 24 h");
}
