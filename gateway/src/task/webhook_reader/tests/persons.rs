//! One person, several spellings; a number that changed hands; and what counts of what people said, in whichever order it comes.

use super::*;
use crate::random::Rng;

const PEOPLE: &str = r#"
[[contact]]
id = "bia"
phone = "+55 11 98765-4321"
[[contact]]
id = "memo"
phone = "+52 55 1234 5678"
[[contact]]
id = "tano"
phone = "+54 11 15 2345-6789"
[[contact]]
id = "ann"
phone = "+1 555 010 0155"
[[command]]
name = "open-door"
words = ["open front"]
topic = "site/doors/front/set"
payload = "OPEN"
"#;
/// How a webhook names each of them: no digit that the configuration does not make us guess.
const SPELLED: [(&str, &str); 3] =
    [("bia", "551187654321"), ("memo", "5215512345678"), ("tano", "5491123456789")];

/// Unix seconds, so long before the test first asked: two that are meant to be equal are so, however slow the machine is.
pub(crate) fn ago(seconds: i64) -> i64 {
    thread_local!(static BEGIN: i64 = SystemClock.now().0 / 1_000);
    BEGIN.with(|begin| begin - seconds)
}

/// What somebody wrote or did.
fn from(number: &str, id: &str, at: i64, mut what: Value) -> Value {
    what["id"] = id.into();
    what["timestamp"] = at.to_string().into();
    if !number.is_empty() {
        what["from"] = number.into();
    }
    what
}

pub(crate) fn text(number: &str, id: &str, at: i64, words: &str) -> Value {
    from(number, id, at, json!({ "type": "text", "text": { "body": words } }))
}

fn moves(number: &str, id: &str, at: i64, system: Value) -> Value {
    from(number, id, at, json!({ "type": "system", "system": system }))
}

pub(crate) fn post(value: Value) -> String {
    let mut value = value;
    value["metadata"] = json!({ "phone_number_id": NUMBER });
    json!({ "object": "whatsapp_business_account",
            "entry": [{ "id": "900000000000001", "changes": [{ "field": "messages", "value": value }] }] })
    .to_string()
}

impl Site {
    pub(crate) fn with(more: &str) -> Self {
        let mut site = Self::new();
        site.config = config_with(more);
        site
    }

    pub(crate) fn hears(&self, message: Value) {
        self.take(post(json!({ "messages": [message] })).as_bytes());
    }

    pub(crate) fn rows(&self, sql: &str) -> Vec<String> {
        self.store.dump(sql).expect(sql).iter().map(|row| row.trim_end().to_owned()).collect()
    }

    pub(crate) fn told(&self, whom: &str, what: &str) -> usize {
        self.rows(&format!("SELECT 1 FROM message WHERE contact = '{whom}' AND content LIKE '%{what}%'"))
            .len()
    }
}

/// Words act, STOP and START count, a file is theirs, somebody who moves is known, and every duplicate is one.
#[test]
fn a_person_is_known_in_every_spelling_of_the_number() {
    for (who, number) in SPELLED {
        let site = Site::with(PEOPLE);
        for _ in 0..2 {
            site.hears(text(number, "wamid.1", ago(30), "open front"));
        }
        assert_eq!(
            site.rows("SELECT contact, payload FROM command"),
            [format!("{who} OPEN")],
            "{}",
            site.notes()
        );
        site.hears(text(number, "wamid.2", ago(20), "STOP"));
        assert_eq!(site.rows("SELECT contact, stopped FROM person"), [format!("{who} 1")]);
        site.hears(text(number, "wamid.3", ago(10), "START"));
        assert_eq!(site.rows("SELECT contact, stopped FROM person"), [format!("{who} 0")]);
        let image = json!({ "type": "image", "image": { "id": "77", "mime_type": "image/jpeg" } });
        site.hears(from(number, "wamid.4", ago(9), image));
        assert_eq!(site.rows("SELECT contact FROM file"), [who]);
        site.hears(moves(
            number,
            "wamid.5",
            ago(8),
            json!({ "type": "user_changed_number", "wa_id": "15550100177" }),
        ));
        assert_eq!(site.told("boss", &format!("{who} has a new WhatsApp number")), 1);
    }
}

/// Meta's answer to a send and its statuses say how it spells a number; a user id in a status is a name, too. None of it counts
/// any more when the contact is written to elsewhere.
#[test]
fn user_ids_are_learned_from_answers_and_statuses() {
    let (answer, status, id) = ("15550100001", "15550100002", "US.7");
    for alias in [answer, status, id] {
        let mut site = Site::with(PEOPLE);
        site.send_to("ann", "wamid.ours", (alias == answer).then_some(answer));
        let mut told = json!({ "id": "wamid.ours", "status": "sent", "timestamp": ago(60).to_string() });
        match alias {
            "US.7" => told["recipient_user_id"] = id.into(),
            number => told["recipient_id"] = number.into(),
        }
        if alias != answer {
            site.take(post(json!({ "statuses": [told] })).as_bytes());
        }
        let mut said = text(if alias == id { "" } else { alias }, "wamid.1", ago(30), "open front");
        if alias == id {
            said["from_user_id"] = id.into();
        }
        site.hears(said.clone());
        assert_eq!(site.rows("SELECT contact FROM command"), ["ann"], "{alias}: {}", site.notes());
        // A tap under the alert that was sent to them counts as theirs.
        said["id"] = "wamid.2".into();
        said["type"] = "reaction".into();
        said["reaction"] = json!({ "message_id": "wamid.ours", "emoji": "👍" });
        site.hears(said.clone());
        assert_eq!(site.rows("SELECT contact FROM reply ORDER BY wamid"), ["ann", "ann"]);
        site.config = config_with(&PEOPLE.replace("+1 555 010 0155", "+1 555 010 0156"));
        said["id"] = "wamid.3".into();
        site.hears(said);
        assert_eq!(site.rows("SELECT outcome FROM reply WHERE wamid = 'wamid.3'"), ["stranger"], "{alias}");
    }
}

/// Two contacts in the file with one telephone: neither acts, neither is stopped, and the owner hears it in their own language.
#[test]
fn a_number_that_fits_two_people_acts_for_nobody() {
    let twin = "[[contact]]\nid = \"lia\"\nphone = \"+55 11 8765-4321\"\n";
    let site = Site::with(&format!("{twin}{PEOPLE}"));
    for (number, id) in [("551187654321", "wamid.1"), ("5511987654321", "wamid.2")] {
        site.hears(text(number, id, ago(30), "open front"));
        site.hears(text(number, &format!("{id}s"), ago(20), "STOP"));
        assert_eq!(site.told("boss", &format!("+{number} fits bia, lia, so nothing was done")), 1);
    }
    assert!(site.rows("SELECT 1 FROM command UNION SELECT 1 FROM person WHERE stopped").is_empty());
    let remarks = crate::config::remarks(&site.config, SystemClock.now());
    assert!(
        remarks.iter().any(|remark| remark.contains("`bia` and `lia` have the same telephone")),
        "{remarks:?}"
    );
    let mut german = Site::with(&format!("{twin}{PEOPLE}"));
    german.config = config_with(&format!("{twin}{PEOPLE}"));
    let people = std::sync::Arc::make_mut(&mut german.config.people);
    let boss = people.contacts.get_mut(&ContactId("boss".into())).expect("there");
    boss.locale.language = crate::contact::language::Language::German;
    german.hears(text("551187654321", "wamid.1", ago(30), "open front"));
    assert_eq!(german.told("boss", "passt zu bia, lia, daher ist nichts geschehen"), 1);
}

/// Whatever form tells it. Nothing acts, nothing is learned, until an operator says who it is; what was written before counts
/// when it comes late, and what was written before the acceptance does not count after it.
#[test]
fn a_number_with_a_new_owner_acts_only_once_accepted() {
    let forms = [
        json!({ "type": "user_changed_number", "wa_id": "15550100177", "body": "x" }),
        json!({ "type": "user_changed_number", "new_wa_id": "15550100177", "body": "x" }),
        json!({ "type": "customer_changed_number", "new_wa_id": "15550100177", "customer": "15550100155" }),
        json!({ "type": "user_changed_user_id", "user_id": "US.2" }),
    ];
    for form in forms {
        let site = Site::with(PEOPLE);
        let told = moves("15550100155", "wamid.m", ago(100), form.clone());
        for _ in 0..2 {
            let contacts = json!([{ "wa_id": "15550100155", "profile": { "name": "x" } }]);
            site.take(post(json!({ "messages": [told], "contacts": contacts })).as_bytes());
        }
        assert_eq!(site.rows("SELECT 1 FROM message WHERE contact = 'boss'").len(), 1, "{form}: told once");
        let mut with_id = text("15550100155", "wamid.1", ago(50), "open front");
        with_id["from_user_id"] = "US.9".into();
        let stop = text("15550100155", "wamid.2", ago(40), "STOP");
        site.hears(with_id);
        site.hears(stop);
        site.hears(text("15550100155", "wamid.3", ago(100), "open front"));
        let picture = json!({ "type": "image", "image": { "id": "78", "mime_type": "image/jpeg" } });
        site.hears(from("15550100155", "wamid.3p", ago(39), picture));
        let acted = "SELECT 1 FROM command UNION SELECT 1 FROM person WHERE stopped OR user_id IS NOT NULL
                     UNION SELECT 1 FROM known_as UNION SELECT 1 FROM window WHERE until > 0
                     UNION SELECT 1 FROM consent UNION SELECT 1 FROM file";
        assert!(site.rows(acted).is_empty(), "{form}: {:?} {}", site.rows(acted), site.notes());
        // Under way for two minutes when it happened.
        site.hears(text("15550100155", "wamid.4", ago(101), "open front"));
        assert_eq!(site.rows("SELECT contact FROM command"), ["ann"], "{form}: {}", site.notes());
        let accept = |store: &Store| store.accept_identity(&"ann".into(), SystemClock.now());
        assert!(site.store.transaction(accept).expect("accepted"));
        site.hears(text("15550100155", "wamid.5", ago(2), "open front"));
        site.hears(moves("15550100155", "wamid.m", ago(100), form.clone()));
        assert_eq!(site.rows("SELECT 1 FROM command").len(), 1, "{form}: written before it was accepted");
        site.hears(text("15550100155", "wamid.6", ago(-60), "open front"));
        assert_eq!(site.rows("SELECT 1 FROM command").len(), 2, "{form}: {}", site.notes());
    }
}

/// The newest wish counts by Meta's time, and then by its id; an older one that comes late is not answered, since it is not so.
#[test]
fn a_late_stop_or_start_undoes_no_newer_one() {
    for (newest, older, stopped) in [("STOP", "START", 1), ("START", "STOP", 0)] {
        for (newer_at, older_at) in [(60, 3_600), (60, 60)] {
            let site = Site::with(PEOPLE);
            site.hears(text("15550100155", "wamid.S2", ago(newer_at), newest));
            let answers = site.rows("SELECT 1 FROM message WHERE contact = 'ann'").len();
            site.hears(text("15550100155", "wamid.S1", ago(older_at), older));
            assert_eq!(site.rows("SELECT stopped FROM person"), [stopped.to_string()]);
            assert_eq!(site.rows("SELECT 1 FROM message WHERE contact = 'ann'").len(), answers);
            assert_eq!(site.rows("SELECT 1 FROM consent").len(), 2, "both are on record");
        }
    }
}

/// Two ids behind one number: whoever wrote first is the contact, whichever of the two is heard first.
#[test]
fn the_earliest_message_decides_a_numbers_user() {
    for order in [[0, 1], [1, 0]] {
        let site = Site::with(PEOPLE);
        let said = |id: &str, user: &str, at| {
            let mut said = text("15550100155", id, ago(at), "hello");
            said["from_user_id"] = user.into();
            said
        };
        let both = [said("wamid.1", "US.1", 100), said("wamid.2", "US.2", 50)];
        order.iter().for_each(|which| site.hears(both[*which].clone()));
        assert_eq!(site.rows("SELECT user_id FROM person"), ["US.1"]);
        assert_eq!(site.told("boss", "The number of ann has another WhatsApp user now"), 1);
    }
}

/// A status of an hour ago says that the window was closed; the person has written since.
#[test]
fn late_events_change_no_window_set_by_newer_ones() {
    let closed = |site: &Site, at: i64| {
        let mut status = json!({ "id": OURS, "status": "failed", "timestamp": at.to_string() });
        status["errors"] = json!([{ "code": 131_047, "title": "x" }]);
        site.take(post(json!({ "statuses": [status] })).as_bytes());
    };
    let open = |site: &Site| site.rows("SELECT until > 0 FROM window WHERE contact = 'op'");
    for late in [true, false] {
        let site = Site::new();
        site.send(&[OURS.to_owned()]);
        let (word, closing) = if late { (60, 3_600) } else { (3_600, 60) };
        closed(&site, ago(closing));
        site.hears(text("15550100123", "wamid.1", ago(word), "hello"));
        assert_eq!(open(&site), [if late { "1" } else { "0" }]);
        let site = Site::new();
        site.send(&[OURS.to_owned()]);
        site.hears(text("15550100123", "wamid.1", ago(word), "hello"));
        closed(&site, ago(closing));
        assert_eq!(open(&site), [if late { "1" } else { "0" }]);
    }
}

const INVITES: &str = r#"
[[contact]]
id = "owner"
phone = "+1 555 010 0144"
roles = ["owner", "manager"]
"#;

/// An owner invites Maria by the number that people write; her Yes comes from the one that WhatsApp has. Of a Yes and a No under
/// the invitation the newer one counts, in whichever order they come.
#[test]
fn an_invited_person_answers_in_any_spelling_and_order() {
    let mut file = config_with(INVITES);
    file.site.owner = vec!["owner".into()];
    let tap = |title: &str, id: &str, at| {
        let button =
            json!({ "type": "button_reply", "button_reply": { "id": title.to_lowercase(), "title": title } });
        from("551187654321", id, ago(at), json!({ "type": "interactive", "interactive": button }))
    };
    let (yes, no) = (|at| tap("Yes", "wamid.yes", at), |at| tap("No", "wamid.no", at));
    for (answers, state) in [
        (vec![yes(30)], "joined"),
        (vec![text("551187654321", "wamid.t", ago(30), "Yes")], "joined"),
        (vec![no(30), no(30)], "declined"),
        (vec![yes(50), no(30)], "declined"),
        (vec![no(30), yes(50)], "declined"),
        (vec![no(50), yes(30)], "joined"),
        (vec![yes(30), no(50)], "joined"),
    ] {
        let mut site = Site::new();
        site.config = file.clone();
        site.hears(text("15550100144", "wamid.i", ago(90), "invite +55 11 98765-4321 Maria as manager"));
        site.hears(text("15550100144", "wamid.j", ago(80), "invite +55 11 98765-0000 Ines as manager"));
        for answer in &answers {
            site.hears(answer.clone());
        }
        let found = site.rows("SELECT state FROM guest WHERE name = 'Maria'");
        assert_eq!(found, [state], "{answers:?}: {}", site.notes());
        assert_eq!(site.rows("SELECT state FROM guest WHERE name = 'Ines'"), ["asked"]);
    }
    // Whoever is on the list is not invited in another spelling, and is taken off it in any.
    let mut site = Site::new();
    site.config = file;
    site.hears(text("15550100144", "wamid.i", ago(90), "invite +55 11 98765-4321 Maria as manager"));
    site.hears(yes(60));
    site.hears(text("15550100144", "wamid.k", ago(50), "invite +55 11 8765-4321 Mary as manager"));
    assert_eq!(site.rows("SELECT name, state FROM guest"), ["Maria joined"]);
    site.hears(text("15550100144", "wamid.l", ago(40), "uninvite +55 11 8765-4321"));
    assert_eq!(site.rows("SELECT name, state FROM guest"), ["Maria removed"]);
}

/// One thing that Meta tells.
#[derive(Debug, Clone)]
enum Told {
    Word(&'static str),
    /// The last words are said otherwise, or taken back.
    Edited(&'static str),
    Status(i64),
    Moved,
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    /// Wishes, words, receipts and a number that changes hands, each at its own second: shuffled, delayed and repeated they end
    /// the same.
    #[test]
    fn a_persons_state_does_not_depend_on_order(
        story in prop::collection::vec(prop_oneof![
            3 => prop::sample::select(vec!["STOP", "START", "hello"]).prop_map(Told::Word),
            2 => prop::sample::select(vec![0_i64, 131_047]).prop_map(Told::Status),
            1 => prop::sample::select(vec!["edit", "revoke"]).prop_map(Told::Edited),
            1 => Just(Told::Moved),
        ], 1..9),
        seeds in prop::collection::vec(any::<u64>(), 2),
    ) {
        let start = ago(10_000);
        let mut moved = false;
        let bodies: Vec<String> = story.iter().enumerate().map(|(number, told)| {
            let at = start + 100 * number as i64;
            let id = format!("wamid.{number}");
            match told {
                Told::Word(words) => {
                    let mut said = text("15550100155", &id, at, words);
                    said["from_user_id"] = if moved { "US.2" } else { "US.1" }.into();
                    post(json!({ "messages": [said] }))
                }
                Told::Edited(kind) => {
                    let edited = json!({ "original_message_id": format!("wamid.{}", number.saturating_sub(1)),
                                         "message": { "type": "text", "text": { "body": "STOP" } } });
                    post(json!({ "messages": [from("15550100155", &id, at, json!({ "type": kind, *kind: edited }))] }))
                }
                Told::Status(code) => {
                    let mut status = json!({ "id": format!("wamid.ours{number}"), "timestamp": at.to_string(), "recipient_id": "15550100001" });
                    status["status"] = if *code == 0 { "delivered" } else { "failed" }.into();
                    if *code != 0 {
                        status["errors"] = json!([{ "code": code, "title": "x" }]);
                    }
                    post(json!({ "statuses": [status] }))
                }
                Told::Moved => {
                    moved = true;
                    let system = json!({ "type": "user_changed_number", "wa_id": "15550100177" });
                    post(json!({ "messages": [moves("15550100155", &id, at, system)] }))
                }
            }
        }).collect();
        let ends = |bodies: &[String]| {
            let site = Site::with(PEOPLE);
            (0..story.len()).for_each(|number| site.send_to("ann", &format!("wamid.ours{number}"), None));
            bodies.iter().for_each(|body| site.take(body.as_bytes()));
            [
                "SELECT contact, user_id, stopped, moved_at FROM person",
                "SELECT at, given, source FROM consent ORDER BY at",
                "SELECT contact, until FROM window WHERE until > 0",
                "SELECT alias, contact FROM known_as",
            ]
            .map(|sql| site.rows(sql))
        };
        let straight = ends(&bodies);
        for seed in seeds {
            let mut dice = Rng::seeded(seed);
            let mut shuffled = [bodies.clone(), bodies.clone()].concat();
            for at in (1..shuffled.len()).rev() {
                shuffled.swap(at, usize::try_from(dice.below(at as u64 + 1)).expect("small"));
            }
            prop_assert_eq!(&ends(&shuffled), &straight);
        }
    }
}
