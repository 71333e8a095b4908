/// A site under a configuration of which anything may change.
mod site;
/// A STOP goes with the person.
mod stopped;

use std::sync::Arc;

use proptest::prelude::*;

use site::{FIRST, Has, NOW, Site};

use super::ends::NEWS_EXPIRES;
use super::*;
use crate::ids::MessageId;
use crate::outbox::button_token::ButtonSubject;
use crate::outbox::message::Content;
use crate::task::question_flow;

const TEXTS: &str = "SELECT contact || ': ' || (content ->> '$.text') FROM message WHERE state = 'queued' ORDER BY contact, id";
const WAITS: &str =
    "SELECT state || ' ' || contact || ': ' || reason FROM message WHERE state != 'queued' ORDER BY id";

#[test]
fn nothing_ends_that_the_configuration_still_has() {
    let site = Site::under(&FIRST);
    assert_eq!(site.end(&FIRST), Vec::<String>::new());
    assert_eq!(site.rows("SELECT state FROM alert"), ["firing"]);
    assert_eq!(site.rows("SELECT state FROM request"), ["open"]);
    assert_eq!(site.rows("SELECT state FROM question"), ["open"]);
    assert_eq!(
        site.rows("SELECT action FROM command WHERE state = 'queued' ORDER BY id"),
        [":escalation", "gate"]
    );
    assert_eq!(site.rows("SELECT state FROM post"), ["queued"]);
}

#[test]
fn a_renamed_rules_alert_ends_and_its_recipients_are_told() {
    for after in
        [Has { rule: "gate", ..FIRST }, Has { key: "side", ..FIRST }, Has { has_states: false, ..FIRST }]
    {
        let site = Site::under(&FIRST);
        site.store.dump("UPDATE message SET state = 'delivered' WHERE alert = 1").expect("arrived");
        site.end(&after);
        let ended = site.rows("SELECT state || ': ' || reason FROM alert");
        assert!(ended[0].starts_with("resolved: ") && ended[0].len() > 20, "{ended:?}");
        assert_eq!(site.rows("SELECT count(*) FROM alert_memory WHERE kind = 'alert'"), ["0"]);
        let told = site.rows("SELECT contact FROM message WHERE content ->> '$.text' LIKE '⏹ Not watched any more, its rule was changed: Door 1 is open%' ORDER BY contact");
        assert_eq!(told, ["boss", "giorgi", "nino"], "{after:?}");
        assert_eq!(site.end(&after), Vec::<String>::new(), "once");
    }
}

#[test]
fn an_orphaned_alert_not_yet_sent_is_told_once() {
    let site = Site::under(&FIRST);
    site.end(&Has { rule: "gate", ..FIRST });
    let about: Vec<String> = site.rows(TEXTS).into_iter().filter(|text| text.contains("Door 1")).collect();
    assert_eq!(about.len(), 3, "{about:?}");
    assert!(about.iter().all(|text| text.contains("⏹")), "{about:?}");
}

#[test]
fn an_open_alert_that_nobody_remembers_ends() {
    let site = Site::under(&FIRST);
    site.store.dump("DELETE FROM alert_memory").expect("lost");
    let ended = site.end(&FIRST);
    assert!(ended[0].starts_with("alert 1 (door id=1) ends: nothing is remembered of it"), "{ended:?}");
    assert_eq!(site.rows("SELECT state FROM alert"), ["resolved"]);
}

#[test]
fn a_pending_alert_ends_with_its_rule_and_a_record() {
    let site = Site::under(&FIRST);
    site.store
        .dump(
            "INSERT INTO alert_memory SELECT kind, replace(key, 'id=1', 'id=2'), json_set(state, '$.bindings.id', '2', '$.phase',
             json('{\"pending\":{\"since\":1,\"worst\":null}}')), checksum FROM alert_memory WHERE kind = 'alert'",
        )
        .expect("kept");
    assert_eq!(site.end(&FIRST), Vec::<String>::new());
    let ended = site.end(&Has { rule: "gate", ..FIRST });
    let why = "its rule is gone, or its alerts have no states any more";
    assert!(ended.contains(&format!("door id=2, whose `for` runs, will not fire: {why}")), "{ended:?}");
    assert_eq!(
        site.rows("SELECT why || ': ' || what FROM alert_record WHERE key = 'id=2'"),
        [format!("forgotten: {why}")]
    );
    assert_eq!(site.rows("SELECT count(*) FROM alert_memory WHERE kind = 'alert'"), ["0"]);
}

#[test]
fn removed_recipients_lose_their_waiting_messages() {
    let site = Site::under(&FIRST);
    assert_eq!(site.end(&FIRST), Vec::<String>::new());
    let after = Has { spares_giorgi: true, ..FIRST };
    let ended = site.end(&after);
    assert_eq!(ended.len(), 2, "{ended:?}");
    let cancelled = site.rows(WAITS);
    assert_eq!(cancelled, [format!("cancelled giorgi: {UNTOLD}"), format!("cancelled giorgi: {NOT_ASKED}")]);
    let told = site.rows(
        "SELECT t.key FROM alert_memory, json_each(state, '$.phase.firing.told') t WHERE kind = 'alert'",
    );
    assert_eq!(told, ["boss", "nino"], "who never heard of it does not hear of its end");
    assert_eq!(site.end(&after), Vec::<String>::new(), "once");
}

/// Rather the one who was taken off than nobody.
#[test]
fn the_last_recipient_keeps_a_message_despite_removal() {
    let site = Site::under(&FIRST);
    site.store
        .dump("UPDATE message SET state = 'expired' WHERE alert = 1 AND contact <> 'giorgi'")
        .expect("too old");
    site.end(&Has { spares_giorgi: true, ..FIRST });
    assert_eq!(site.rows("SELECT state FROM message WHERE alert = 1 AND contact = 'giorgi'"), ["queued"]);
}

/// Its window, Meta's restriction: they are that number's own.
#[test]
fn messages_held_for_a_removed_number_use_another() {
    let site = Site::under(&Has { action: None, asks: false, ..FIRST });
    for (contact, held_for) in [("boss", "window"), ("nino", "quality"), ("giorgi", "operator")] {
        let hold =
            format!("UPDATE message SET state = 'held', held_for = '{held_for}' WHERE contact = '{contact}'");
        site.store.dump(&hold).expect("held");
    }
    site.end(&Has { action: None, asks: false, number: "office", ..FIRST });
    let now = site
        .rows("SELECT DISTINCT contact || ' ' || state || ' ' || connection FROM message ORDER BY contact");
    assert_eq!(now, ["boss queued office", "giorgi held office", "nino queued office"]);
}

#[test]
fn deleting_a_number_moves_only_its_waiting_messages() {
    let site = Site::under(&Has { number: "shop", ..FIRST });
    let mut after = Has { key: "side", command: None, number: "office", ..FIRST }.config();
    Arc::make_mut(&mut after.rules[0]).connection = "shop".into(); // as a rule names one of the page's
    let write = |store: &Store| end_of_number(store, &after, &"shop".into(), NOW);
    let ended = site.store.transaction(write).expect("on disk");
    assert_eq!(ended.len(), 4, "three people, and what waited for a Yes: {ended:?}");
    assert_eq!(site.rows("SELECT DISTINCT connection FROM message WHERE state = 'queued'"), ["office"]);
    assert_eq!(site.rows("SELECT state FROM request"), ["expired"]);
    assert_eq!(site.rows("SELECT state FROM alert"), ["firing"], "the next start ends it");
    assert_eq!(site.rows("SELECT state FROM command WHERE action = 'gate'"), ["queued"]);
}

#[test]
fn retried_messages_need_an_existing_person_and_number() {
    let site = Site::under(&FIRST);
    let again = |id: i64, after: &Has| {
        let (config, mut outcome) = (after.config(), Ok(()));
        let write = |store: &Store| {
            outcome = retry(store, &config, MessageId(id), NOW);
            Ok(())
        };
        site.store.transaction(write).expect("on disk");
        outcome.map_err(|refusal| refusal.to_string())
    };
    let of = |contact: &str| {
        let ids = site.rows(&format!("SELECT id FROM message WHERE contact = '{contact}' AND alert = 1"));
        ids[0].parse::<i64>().expect("a number")
    };
    let (nino, giorgi) = (of("nino"), of("giorgi"));
    site.store.dump("UPDATE message SET state = 'failed'").expect("all in vain");
    let refused = again(giorgi, &Has { giorgi: false, ..FIRST }).expect_err("nobody is there");
    assert!(
        refused.contains("is to giorgi, who is not in the configuration any more: it is not sent"),
        "{refused}"
    );
    assert_eq!(again(nino, &Has { number: "office", ..FIRST }), Ok(()));
    assert_eq!(
        site.rows("SELECT id || ' ' || connection FROM message WHERE state = 'queued'"),
        [format!("{nino} office")]
    );
}

/// Nothing can be quoted or marked there: Meta knows the words of that number alone.
#[test]
fn answers_over_another_number_quote_nothing() {
    let site = Site::under(&FIRST);
    let config = Has { number: "office", ..FIRST }.config();
    let write = |store: &Store| {
        let command = store.command(crate::ids::CommandId(2))?.expect("the gate");
        let told = crate::command::outcome::tell(&command, None, &config.context(store.seal(), NOW));
        store.apply(told.as_slice(), NOW)
    };
    site.store.transaction(write).expect("on disk");
    let last = "SELECT contact || ' ' || connection || ' ' || (content ->> '$.text') || coalesce(content ->> '$.quotes', '') FROM message ORDER BY id DESC LIMIT 1";
    assert_eq!(site.rows(last), ["nino office ✅ gate"]);
}

#[test]
fn only_a_removed_contacts_messages_are_cancelled() {
    let site = Site::under(&FIRST);
    let ended = site.end(&Has { giorgi: false, ..FIRST });
    assert_eq!(
        ended,
        ["2 messages to giorgi will be cancelled: the person is not in the configuration any more"]
    );
    let gone = "cancelled giorgi: the person is not in the configuration any more";
    assert_eq!(site.rows(WAITS), [gone, gone]);
    assert!(site.rows(TEXTS).iter().any(|text| text.starts_with("nino: Door 1 is open")));
}

#[test]
fn messages_for_a_renamed_number_use_the_new_one() {
    let site = Site::under(&Has { action: None, ..FIRST });
    site.end(&Has { action: None, number: "office", ..FIRST });
    assert_eq!(site.rows("SELECT DISTINCT connection FROM message"), ["office"]);
    assert_eq!(site.rows("SELECT count(*) FROM message WHERE state = 'cancelled'"), ["0"]);
}

/// Its token goes, messages wait: so the page promises.
#[test]
fn messages_for_a_disconnected_number_keep_waiting() {
    let site = Site::under(&Has { action: None, ..FIRST });
    let kept = crate::store::KeptConnection {
        name: "shop".into(),
        phone_number_id: "2".into(),
        business_account_id: "3".into(),
        api_url: "https://graph.facebook.com".into(),
        api_version: "v25.0".into(),
        messages_per_second: 80,
        sealed: None,
    };
    site.store.keep_connection(&kept, NOW).expect("kept");
    site.store.dump("UPDATE message SET connection = 'shop'").expect("over it");
    assert_eq!(site.end(&Has { action: None, ..FIRST }), Vec::<String>::new());
    assert_eq!(site.rows("SELECT DISTINCT connection FROM message"), ["shop"]);
}

/// The topic, the roles, the action itself: what waits for a Yes is not what the configuration means.
#[test]
fn a_request_ends_when_its_action_changes() {
    for (after, why) in [
        (Has { action: None, ..FIRST }, GONE),
        (Has { action: Some("bell/{id}/set"), ..FIRST }, CHANGED),
        (Has { roles: "[\"cook\"]", ..FIRST }, CHANGED),
        (Has { number: "office", ..FIRST }, NUMBER_GONE),
    ] {
        let site = Site::under(&FIRST);
        site.end(&after);
        assert_eq!(site.rows("SELECT state FROM request"), ["expired"], "{after:?}");
        assert_eq!(
            site.rows("SELECT detail FROM audit WHERE detail LIKE 'request 1:%'"),
            [format!("request 1: {why}")]
        );
        let told = "nino: ❌ Shut it was not done: it was taken out of the configuration.";
        assert!(site.rows(TEXTS).contains(&told.to_owned()), "{after:?} {:?}", site.rows(TEXTS));
        assert!(!site.rows(TEXTS).iter().any(|text| text.contains("Shut it?")), "nobody is asked any more");
    }
}

#[test]
fn a_queued_command_ends_with_its_definition_or_asker() {
    for (after, why) in [
        (Has { command: None, ..FIRST }, GONE),
        (Has { command: Some("bell/set"), ..FIRST }, CHANGED),
        (Has { roles: "[\"cook\"]", ..FIRST }, ASKER_MAY_NOT),
        (Has { nino: false, ..FIRST }, ASKER_GONE),
    ] {
        let site = Site::under(&FIRST);
        site.end(&after);
        assert_eq!(
            site.rows("SELECT state || ': ' || reason FROM command WHERE action = 'gate'"),
            [format!("refused: {why}")]
        );
        let told = site.rows(TEXTS).iter().any(|text| text.starts_with("nino: ❌ gate was not done"));
        assert_eq!(told, after.nino, "{after:?}");
    }
}

#[test]
fn a_removed_question_is_decided_by_default() {
    let site = Site::under(&FIRST);
    site.end(&Has { asks: false, ..FIRST });
    assert_eq!(site.rows("SELECT state || ' ' || decision FROM question"), ["decided b"]);
    assert_eq!(
        site.rows("SELECT state FROM command WHERE action = 'recipe'"),
        ["queued"],
        "the machine hears it"
    );
    assert!(!site.rows(TEXTS).iter().any(|text| text.contains("Which?")), "{:?}", site.rows(TEXTS));
}

#[test]
fn a_last_resort_ends_with_its_step() {
    let site = Site::under(&FIRST);
    site.end(&Has { siren: false, post: false, ..FIRST });
    assert_eq!(
        site.rows("SELECT state || ': ' || reason FROM command WHERE action = ':escalation'"),
        [format!("refused: {STEP_GONE}")]
    );
    assert_eq!(site.rows("SELECT state || ': ' || reason FROM post"), [format!("failed: {STEP_GONE}")]);
}

#[test]
fn invitations_by_people_who_may_not_invite_are_void() {
    let site = Site::under(&FIRST);
    let guest = |by: &str| Guest {
        id: format!("guest-of-{by}").as_str().into(),
        name: "Maka".into(),
        phone: crate::contact::Phone::parse(if by == "boss" { "+15550100011" } else { "+15550100012" })
            .expect("a number"),
        roles: BTreeSet::new(),
        teams: BTreeSet::new(),
        places: Vec::new(),
        by: by.into(),
    };
    for by in ["boss", "nino"] {
        site.store.invite(&guest(by), NOW, NOW + NEWS_EXPIRES).expect("invited");
    }
    let ended = site.end(&FIRST);
    assert_eq!(ended, ["the invitation of Maka does not count any more: nino may not invite"]);
    assert_eq!(
        site.rows("SELECT contact || ' ' || state FROM guest ORDER BY contact"),
        ["guest-of-boss asked", "guest-of-nino removed"]
    );
}

fn has() -> impl Strategy<Value = Has> {
    let names = (prop::sample::select(vec!["door", "gate"]), prop::sample::select(vec!["id", "side"]));
    let topics = prop::sample::select(vec![None, Some("lock/{id}/set"), Some("bell/{id}/set")]);
    let commands = prop::sample::select(vec![None, Some("gate/set"), Some("bell/set")]);
    let words =
        (prop::sample::select(vec!["[]", "[\"cook\"]"]), prop::sample::select(vec!["main", "office"]));
    let yes = prop::array::uniform6(prop::bool::weighted(0.7));
    (names, topics, commands, words, yes).prop_map(|((rule, key), action, command, (roles, number), yes)| {
        Has {
            nino: yes[0],
            giorgi: yes[1],
            rule,
            has_states: yes[2],
            key,
            action,
            command,
            roles,
            asks: yes[3],
            number,
            siren: yes[4],
            post: yes[5],
            spares_giorgi: false,
        }
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]

    /// Whatever changes: what goes on afterwards has its place in the new configuration, what ended says why, and nobody who
    /// is gone gets anything.
    #[test]
    fn after_any_change_everything_has_an_owner_or_an_end(before in has(), after in has()) {
        let site = Site::under(&before);
        let told_before = site.rows("SELECT DISTINCT contact FROM message WHERE alert = 1 ORDER BY contact");
        let fired = !site.rows("SELECT 1 FROM alert WHERE state = 'firing'").is_empty();
        site.end(&after);
        let same_rule = before.rule == after.rule && before.has_states && after.has_states && before.key == after.key;
        prop_assert_eq!(!site.rows("SELECT 1 FROM alert WHERE state = 'firing'").is_empty(), fired && same_rule);
        for waiting in site.rows("SELECT contact FROM message WHERE state IN ('queued', 'held', 'unknown')") {
            prop_assert!(after.people().contains(&waiting.as_str()), "{waiting} is gone");
        }
        for over in site.rows("SELECT DISTINCT connection FROM message WHERE state IN ('queued', 'held', 'unknown')") {
            prop_assert_eq!(over, after.number);
        }
        if !site.rows("SELECT 1 FROM request WHERE state = 'open'").is_empty() {
            prop_assert_eq!((before.action, before.roles, before.number), (after.action, after.roles, after.number));
            prop_assert!(before.rule == after.rule && (after.nino || !before.nino) && after.roles == "[]");
        }
        if !site.rows("SELECT 1 FROM command WHERE action = 'gate' AND state = 'queued'").is_empty() {
            prop_assert!(before.command == after.command && after.roles == "[]" && (after.nino || !before.nino));
        }
        if !site.rows("SELECT 1 FROM command WHERE action = ':escalation' AND state = 'queued'").is_empty() {
            prop_assert!(after.siren && after.has_states && before.rule == after.rule);
        }
        if !site.rows("SELECT 1 FROM post WHERE state = 'queued'").is_empty() {
            prop_assert!(after.post && after.has_states && before.rule == after.rule);
        }
        prop_assert_eq!(!site.rows("SELECT 1 FROM question WHERE state = 'open'").is_empty(), before.asks && after.asks);
        for table in ["alert WHERE state = 'resolved'", "message WHERE state = 'cancelled'", "command WHERE state = 'refused'", "post WHERE state = 'failed'"] {
            let without = site.rows(&format!("SELECT 1 FROM {table} AND length(coalesce(reason, '')) < 10"));
            prop_assert!(without.is_empty(), "{table}");
        }
        if fired && !same_rule {
            let still = told_before.iter().filter(|id| after.people().contains(&id.as_str())).cloned().collect::<Vec<_>>();
            let told = site.rows("SELECT DISTINCT contact FROM message WHERE state = 'queued' AND content ->> '$.text' LIKE '⏹%' ORDER BY contact");
            prop_assert_eq!(told, still);
        }
        prop_assert_eq!(site.end(&after), Vec::<String>::new(), "once is enough");
    }
}
