//! What Meta says of accounts, templates and wishes counts by its own time, in whichever order it comes.

use std::sync::Arc;

use super::persons::{ago, post};
use super::*;
use crate::contact::{People, Recipient};
use crate::outbox::message::Content;
use crate::random::Rng;

/// A webhook about the account, of that second.
fn tells(field: &str, at: i64, value: &Value) -> String {
    json!({ "object": "whatsapp_business_account", "entry": [{ "id": "900000000000001", "time": at,
            "changes": [{ "field": field, "value": value }] }] })
    .to_string()
}

fn template(event: &str, at: i64) -> String {
    let value = json!({ "event": event, "message_template_id": 1, "message_template_name": "alarm_v1",
                        "message_template_language": "en_US", "reason": "NONE" });
    tells("message_template_status_update", at, &value)
}

fn account(event: &str, at: i64) -> String {
    let value = match event {
        "BAN" => {
            json!({ "event": "DISABLED_UPDATE", "ban_info": { "waba_ban_state": "DISABLE", "waba_ban_date": "May 1, 2026" } })
        }
        "UNBAN" => json!({ "event": "DISABLED_UPDATE", "ban_info": { "waba_ban_state": "REINSTATE" } }),
        "BEGIN" => restriction("RESTRICTED_BIZ_INITIATED_MESSAGING"),
        "ANSWER" => restriction("RESTRICTED_CUSTOMER_INITIATED_MESSAGING"),
        "VIOLATION" => {
            json!({ "event": "ACCOUNT_VIOLATION", "violation_info": { "violation_type": "SPAM" } })
        }
        event => json!({ "event": event }),
    };
    tells("account_update", at, &value)
}

fn restriction(kind: &str) -> Value {
    json!({ "event": "ACCOUNT_RESTRICTION", "restriction_info": [{ "restriction_type": kind }] })
}

fn wish(value: &str, at: i64) -> String {
    let wish = json!({ "wa_id": "15550100123", "value": value, "timestamp": at });
    let value = json!({ "metadata": { "phone_number_id": NUMBER }, "user_preferences": [wish] });
    tells("user_preferences", at, &value)
}

impl Site {
    pub(crate) fn takes(&self, bodies: &[String]) {
        bodies.iter().for_each(|body| self.take(body.as_bytes()));
    }

    fn known(&self) -> Vec<String> {
        self.rows("SELECT name, value FROM fact WHERE value <> '' ORDER BY name")
    }

    fn to_owner(&self) -> usize {
        self.rows("SELECT 1 FROM message WHERE contact = 'boss'").len()
    }
}

#[test]
fn a_late_template_event_undoes_no_newer_one() {
    for (older, newer) in [("APPROVED", "DISABLED"), ("REINSTATED", "PAUSED"), ("PAUSED", "APPROVED")] {
        let status = if newer == "REINSTATED" { "APPROVED" } else { newer };
        let expected = [format!("alarm_v1 {status}")];
        let (straight, late) = (Site::new(), Site::new());
        straight.takes(&[template(older, ago(3_600)), template(newer, ago(60))]);
        late.takes(&[template(newer, ago(60)), template(older, ago(3_600))]);
        for site in [&straight, &late] {
            assert_eq!(site.rows("SELECT name, status FROM template"), expected, "{older}, {newer}");
        }
        let words = if older == "PAUSED" { "is paused" } else { "is approved" };
        assert_eq!(late.told("boss", words), 0, "{older} is no longer so");
        assert!(
            late.notes().contains("something newer is known than: template alarm_v1"),
            "{}",
            late.notes()
        );
        assert_eq!(late.rows("SELECT 1 FROM notice").len(), 2, "it is kept with its own time");
    }
    // In the same second it stays out of use, whichever comes first.
    for order in [["APPROVED", "PAUSED"], ["PAUSED", "APPROVED"]] {
        let site = Site::new();
        site.takes(&order.map(|event| template(event, ago(60))));
        assert_eq!(site.rows("SELECT status FROM template"), ["PAUSED"]);
    }
}

/// A failure of an hour ago says that the template is out of use; Meta has approved it since.
#[test]
fn a_late_failure_disables_no_since_approved_template() {
    for (approved, expected) in [(60, "APPROVED"), (7_200, "refused with code 132015")] {
        let site = Site::new();
        site.send(&[OURS.to_owned()]);
        let form = "UPDATE message SET form = 'template alarm_v1 en_US' WHERE id = 1";
        site.store.dump(form).expect("written");
        site.take(template("APPROVED", ago(approved)).as_bytes());
        let mut status = json!({ "id": OURS, "status": "failed", "timestamp": ago(3_600).to_string() });
        status["errors"] = json!([{ "code": 132_015, "title": "x" }]);
        site.take(post(json!({ "statuses": [status] })).as_bytes());
        assert_eq!(site.rows("SELECT status FROM template"), [expected]);
    }
}

/// The catalogue is what Meta answers now: what a webhook said before is old, and what it says since is new.
#[test]
fn a_webhook_that_is_older_than_the_catalogue_changes_nothing() {
    let site = Site::new();
    let listed = [("alarm_v1".to_owned(), "en_US".to_owned(), {
        crate::outbox::window::TemplateInfo {
            status: "APPROVED".into(),
            category: "UTILITY".into(),
            ..Default::default()
        }
    })];
    let read_at = Timestamp(ago(600) * 1_000);
    let keep = |store: &Store| store.keep_catalogue(&ConnectionName("main".into()), &listed, read_at);
    site.store.transaction(keep).expect("kept");
    site.take(template("PAUSED", ago(601)).as_bytes());
    assert_eq!(site.rows("SELECT status FROM template"), ["APPROVED"]);
    site.take(template("PAUSED", ago(599)).as_bytes());
    assert_eq!(site.rows("SELECT status FROM template"), ["PAUSED"]);
}

#[test]
fn a_lifted_restriction_stays_lifted() {
    for (events, known) in [
        ([account("BEGIN", ago(90)), account("REINSTATE", ago(60))], vec![]),
        (
            [account("REINSTATE", ago(90)), account("BEGIN", ago(60))],
            vec!["restriction on messages that we begin RESTRICTED_BIZ_INITIATED_MESSAGING"],
        ),
        ([account("BAN", ago(90)), account("ACCOUNT_RECONNECTED", ago(60))], vec![]),
        ([account("BAN", ago(60)), account("UNBAN", ago(90))], vec!["account DISABLE"]),
        ([account("VIOLATION", ago(90)), account("UNBAN", ago(60))], vec![]),
    ] {
        let [first, second] = &events;
        for order in [[first, second], [second, first]] {
            let site = Site::new();
            site.takes(&order.map(Clone::clone));
            assert_eq!(site.known(), known, "{order:?}");
            let shown = site.store.facts(SystemClock.now()).expect("facts");
            assert_eq!(shown.len(), known.len(), "what is lifted is not shown");
        }
    }
    // What is over before it is heard of wakes nobody.
    let site = Site::new();
    site.takes(&[account("REINSTATE", ago(60)), account("BAN", ago(90))]);
    assert_eq!(site.to_owner(), 0, "{:?}", site.rows("SELECT text FROM notice"));
}

/// The same delivery again is nothing; the same words of another time may be something new.
#[test]
fn repeated_notices_are_told_only_when_new() {
    let pin =
        |at| tells("security", at, &json!({ "event": "PIN_CHANGED", "display_phone_number": "15550100100" }));
    let site = Site::new();
    let (day, first) = (86_400, ago(10 * 86_400));
    site.takes(&[pin(first), pin(first), pin(first + day), pin(first + day), pin(first)]);
    assert_eq!(site.told("boss", "pin changed"), 2);
    let standby =
        |at| tells("standby", at, &json!({ "metadata": { "phone_number_id": NUMBER }, "standby": {} }));
    let site = Site::new();
    site.takes(&[0, 10, 20, 3_600, day - 1].map(|after| standby(first + after)));
    assert_eq!(site.told("boss", "goes to another app or agent"), 1, "once a day");
    site.take(standby(first + day).as_bytes());
    assert_eq!(site.told("boss", "goes to another app or agent"), 2);
    // A message of a person that comes here says that they do again; one of before says nothing.
    for (at, known) in [(first + day - 9, vec!["standby true"]), (first + day + 9, vec![])] {
        site.hears(super::persons::text("15550100123", &format!("wamid.{at}"), at, "hello"));
        assert_eq!(site.known(), known);
    }
}

/// Meta may make a template marketing. Whoever wants no marketing does not get it: the next template goes out, or the message
/// waits and says why.
#[test]
fn a_person_who_wants_no_marketing_gets_no_marketing_template() {
    let site = Site::new();
    let facts = |category: &str| crate::outbox::window::TemplateInfo {
        status: "APPROVED".into(),
        category: category.into(),
        ..Default::default()
    };
    let listed =
        ["MARKETING", "UTILITY"].map(|category| (category.to_lowercase(), "en".to_owned(), facts(category)));
    let main = ConnectionName("main".into());
    site.store.transaction(|store| store.keep_catalogue(&main, &listed, SystemClock.now())).expect("kept");
    let goes_out = |names: &[&str]| {
        let template = |name: &&str| crate::outbox::message::Template {
            name: (*name).to_owned(),
            language: "en".into(),
            ..Default::default()
        };
        let content = Content { templates: names.iter().map(template).collect(), ..Content::text("Pump 7") };
        let lane = Conversation { connection: main.clone(), contact: ContactId("op".into()) };
        let to = &site.config.people.contacts[&lane.contact].to;
        let now = SystemClock.now();
        site.store.dump("DELETE FROM message").expect("deleted");
        site.store.dump("INSERT OR REPLACE INTO window VALUES ('main', 'op', 0, 0)").expect("closed");
        let compose = |store: &Store| {
            let id = store.compose(&lane, to, &content, now)?;
            store.load(now, &[id], &People::default())
        };
        let work = site.store.transaction(compose).expect("work");
        let due = &work.due[0];
        match crate::outbox::window::choose(&due.content.templates, &due.listed, due.window) {
            crate::outbox::window::Choice::Template { index, .. } => names[index].to_owned(),
            crate::outbox::window::Choice::Free => "free".to_owned(),
            crate::outbox::window::Choice::Hold(why) => why,
        }
    };
    assert_eq!(goes_out(&["marketing", "utility"]), "marketing");
    site.takes(&[wish("stop", ago(60)), wish("resume", ago(3_600)), wish("stop", ago(60))]);
    assert_eq!(site.rows("SELECT contact, no_marketing FROM person"), ["op 1"]);
    assert_eq!(
        site.rows("SELECT text FROM notice"),
        ["op asked WhatsApp to stop marketing messages of this business"]
    );
    assert_eq!(goes_out(&["marketing", "utility"]), "utility");
    let held = goes_out(&["marketing"]);
    assert!(
        held.contains("marketing (en) is marketing, and the person asked WhatsApp for no marketing"),
        "{held}"
    );
    site.store.dump("UPDATE message SET state = 'held', held_for = 'window'").expect("held");
    site.take(wish("resume", ago(30)).as_bytes());
    assert_eq!(site.rows("SELECT state FROM message"), ["queued"], "judged anew");
    assert_eq!(goes_out(&["marketing", "utility"]), "marketing");
}

/// Without a business account nobody lists the templates: that Meta approved one says not how many blanks it has.
#[test]
fn a_template_that_only_a_webhook_named_is_tried() {
    let site = Site::new();
    let template_of = crate::outbox::message::Template {
        name: "alarm_v1".into(),
        language: "en_US".into(),
        ..Default::default()
    };
    let listed = |site: &Site| site.store.listed(&ConnectionName("main".into()), &template_of).expect("read");
    site.take(template("APPROVED", ago(60)).as_bytes());
    assert_eq!(listed(&site), crate::outbox::window::CatalogueEntry::Unread);
    site.take(template("PAUSED", ago(30)).as_bytes());
    assert!(
        matches!(listed(&site), crate::outbox::window::CatalogueEntry::Facts(facts) if facts.status == "PAUSED")
    );
}

/// What one of a group gets or reads moves the message to that group, and no other; that one of them did not get it moves none.
#[test]
fn a_participants_receipt_moves_the_groups_message_alone() {
    let receipt = |wamid: &str, status: &str, who: &str| {
        let mut receipt = json!({ "id": wamid, "status": status, "timestamp": ago(9).to_string(), "recipient_id": "G1",
                                  "recipient_type": "group", "recipient_participant_id": who });
        if status == "failed" {
            receipt["errors"] = json!([{ "code": 131_047, "title": "x" }]);
        }
        post(json!({ "statuses": [receipt] }))
    };
    let mut site = Site::new();
    let contacts = &mut Arc::make_mut(&mut site.config.people).contacts;
    let op = contacts[&ContactId("op".into())].clone();
    let all = Contact { id: "all".into(), to: Recipient::Group("G1".into()), ..op };
    contacts.insert(all.id.clone(), all);
    site.send_to("all", "wamid.group", None);
    site.send_to("op", "wamid.op", None);
    let states = |site: &Site| site.rows("SELECT contact, state FROM message ORDER BY id");
    site.takes(&[
        receipt("wamid.op", "read", "15550100123"),
        receipt("wamid.group", "failed", "15550100123"),
    ]);
    assert_eq!(states(&site), ["all accepted", "op accepted"], "{}", site.notes());
    assert!(site.notes().contains("a status of read for a message that is not ours"), "{}", site.notes());
    site.takes(&[
        receipt("wamid.group", "delivered", "15550100124"),
        receipt("wamid.group", "delivered", "15550100125"),
    ]);
    assert_eq!(states(&site), ["all delivered", "op accepted"]);
    site.takes(&[
        receipt("wamid.group", "read", "15550100125"),
        receipt("wamid.group", "delivered", "15550100123"),
    ]);
    assert_eq!(states(&site), ["all read", "op accepted"]);
    assert!(site.rows("SELECT 1 FROM known_as").is_empty(), "a participant is nobody's other name");
    assert!(site.rows("SELECT 1 FROM window").is_empty(), "nothing is learned of a window");
    assert_eq!(
        site.rows("SELECT status FROM receipt WHERE status LIKE 'failed%'"),
        ["failed for one of the group"]
    );
}

/// One thing that Meta says of the account.
fn news() -> impl Strategy<Value = (&'static str, &'static str)> {
    let of = |kind: &'static str, events: &[&'static str]| {
        prop::sample::select(events.to_vec()).prop_map(move |event| (kind, event))
    };
    prop_oneof![
        of("template", &["APPROVED", "PAUSED", "DISABLED", "REINSTATED", "FLAGGED", "REJECTED"]),
        of(
            "account",
            &[
                "BAN",
                "UNBAN",
                "BEGIN",
                "ANSWER",
                "VIOLATION",
                "ACCOUNT_RECONNECTED",
                "ACCOUNT_DELETED",
                "PARTNER_ADDED"
            ]
        ),
        of("wish", &["stop", "resume"]),
        of("limit", &["TIER_250", "TIER_2K"]),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]
    /// Templates, restrictions, bans and their ends, wishes about marketing, limits: shuffled, delayed and repeated they end the
    /// same, also where several are of the same second.
    #[test]
    fn account_and_template_facts_do_not_depend_on_order(
        story in prop::collection::vec((news(), 1_i64..3), 1..12),
        seeds in prop::collection::vec(any::<u64>(), 2),
    ) {
        let mut at = ago(100_000);
        let bodies: Vec<String> = story.iter().map(|((kind, event), gap)| {
            at += gap - 1;
            match *kind {
                "template" => template(event, at),
                "account" => account(event, at),
                "wish" => wish(event, at),
                _ => tells("business_capability_update", at, &json!({ "max_daily_conversations_per_business": event })),
            }
        }).collect();
        let ends = |bodies: &[String]| {
            let site = Site::new();
            site.takes(bodies);
            [
                "SELECT name, language, status, changed_at FROM template ORDER BY 1",
                "SELECT name, value, at FROM fact ORDER BY 1",
                "SELECT contact, no_marketing, no_marketing_at FROM person",
            ].map(|sql| site.rows(sql))
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
