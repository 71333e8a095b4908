//! What waits for company, and what a digest carries.

use super::*;

#[test]
fn many_leave_as_one_once_the_person_had_some_peace() {
    for (count, is_pressed, rests, age_s, expected) in [
        (1, true, false, 0, "one"),
        (1, false, false, 999, "one"),
        (2, false, false, 0, "one"),
        (2, false, false, 299, "one"),
        (2, false, false, 300, "digest"),
        (2, true, false, 0, "digest"),
        (2, true, true, 0, "nothing"),
        (24, false, false, 0, "one"),
        (25, false, false, 0, "digest"),
        (25, false, true, 0, "nothing"),
    ] {
        let (_folder, store) = Store::in_new_folder();
        for _ in 0..count {
            waits(&store, "nino door warning");
        }
        store.sql.execute("UPDATE message SET created_at = created_at - ?1", [age_s * 1_000]).expect("aged");
        let wanted = if is_pressed { pressed() } else { any() };
        let resting = rests.then(|| lane("main", "nino")).into_iter().collect();
        let due = look(&store, &Kept { resting, ..wanted });
        let found = match due.first().map(|due| due.alert) {
            None => "nothing",
            Some(None) => "digest",
            Some(Some(_)) => "one",
        };
        let carried = store.dump("SELECT count(*) FROM message WHERE digest IS NOT NULL").expect("read");
        let all = if expected == "digest" { count } else { 0 };
        assert_eq!((found, carried), (expected, vec![all.to_string()]), "{count} {is_pressed} {age_s}");
    }
}

#[test]
fn an_answer_does_not_wait_for_the_digest_that_rests() {
    let (_folder, store) = Store::in_new_folder();
    let ids = all_wait(&store, &["nino door critical", "nino door warning", "nino - info"]);
    let resting = Kept { resting: [lane("main", "nino")].into(), ..pressed() };
    assert_eq!(look(&store, &resting).iter().map(|due| due.id).collect::<Vec<_>>(), [ids[2]]);
    store.hold(ids[2], NOW).expect("possible");
    assert!(look(&store, &resting).is_empty());
}

/// Beside two that a digest takes.
#[test]
fn a_digest_takes_only_untried_due_messages() {
    for (columns, is_taken) in [
        ("reason = 'as it is'", true),
        ("not_before = 1900000000000", true),
        ("not_before = 1900000000001", false),
        ("attempts = 1", false),
        ("mergeable = 0", false),
        ("state = 'held'", false),
        ("contact = 'dato'", false),
        ("connection = 'other'", false),
    ] {
        let (_folder, store) = Store::in_new_folder();
        let ids = all_wait(&store, &["nino door warning"; 3]);
        store.set(ids[2], columns, &[]).expect("changed");
        look(&store, &pressed());
        let carried = store.dump("SELECT digest IS NOT NULL FROM message WHERE id <= 3 ORDER BY id");
        assert_eq!(carried.expect("read"), ["1", "1", if is_taken { "1" } else { "0" }], "{columns}");
    }
}

#[test]
fn a_digest_keeps_its_members_texts_buttons_and_templates() {
    let (_folder, store) = Store::in_new_folder();
    let ids = all_wait(&store, &["nino door info", "nino gate critical", "nino door warning"]);
    let due = look(&store, &pressed());
    let [digest] = &due[..] else { panic!("{due:?}") };
    assert_eq!(digest.content.text, "🔔 3 alerts\n1. 🔴 gate\n2. 🟠 door\n3. 🔵 door");
    assert_eq!((digest.severity, &digest.lane), (Severity::Critical, &lane("main", "nino")));
    assert_eq!((digest.to.address(), digest.attempts, digest.tries), ("+15550100123", 0, 0));
    let nino = ContactId::from("nino");
    let taps = |button: &Button| match store.seal.open(&button.id, &nino, NOW) {
        Some(Ok(token)) => token.subject,
        other => panic!("{other:?}"),
    };
    let alerts = [2, 3, 1].map(ButtonSubject::Alert);
    assert_eq!(digest.content.buttons.iter().map(taps).collect::<Vec<_>>(), alerts);
    assert_eq!(digest.content.templates[0].name, "gate");
    let reason = format!("part of the digest {}, since many waited for the same person", digest.id);
    for id in ids {
        let row = store.dump(&format!("SELECT state, digest, reason FROM message WHERE id = {id}"));
        assert_eq!(row.expect("read"), [format!("queued {} {reason}", digest.id)]);
    }
    assert_eq!(look(&store, &pressed()), due, "and not one of them alone");
}

/// What must not come twice makes a digest that must not; and none of it is too old before its own time.
#[test]
fn a_digest_takes_the_strictest_policy_and_the_longest_expiry() {
    for (changed, hours, expected) in [
        ("reason = 'as it is'", 1, OnUnknown::Retry),
        ("on_unknown = 'hold'", 1, OnUnknown::Hold),
        ("on_unknown = 'a flipped bit'", 1, OnUnknown::Hold),
        ("expires_at = expires_at + 7200000", 3, OnUnknown::Retry),
        ("expires_at = expires_at - 1800000", 1, OnUnknown::Retry),
    ] {
        for index in 0..3 {
            let (_folder, store) = Store::in_new_folder();
            let ids = all_wait(&store, &["nino door warning"; 3]);
            store.set(ids[index], changed, &[]).expect("changed");
            let due = look(&store, &pressed());
            let read = "SELECT expires_at FROM message WHERE alert IS NULL";
            assert_eq!(store.dump(read).expect("read"), [(NOW + HOUR * hours).0.to_string()], "{changed}");
            assert_eq!(due[0].on_unknown, expected, "{changed}");
        }
    }
}

/// 5,000 of them; 200 have words, and the others count as much for what becomes of it.
#[test]
fn a_digest_counts_by_rule_what_has_no_words() {
    let (_folder, store) = Store::in_new_folder();
    let fill = |store: &Store| {
        for index in 0..MEMBERS_MAX + 2 {
            waits(store, ["nino door warning", "nino gate warning", "nino door warning"][index % 3]);
        }
        let last = MessageId(i64::try_from(MEMBERS_MAX).expect("few"));
        store.set(last, "on_unknown = 'hold', expires_at = expires_at + 3600000", &[])
    };
    store.transaction(fill).expect("written");
    store.transaction(|store| Ok(look(store, &any()))).expect("written");
    let digest = MessageId(i64::try_from(MEMBERS_MAX).expect("few") + 3);
    let digest = store.whole(digest).expect("read").expect("a row");
    let lines: Vec<&str> = digest.content.text.lines().collect();
    assert_eq!((lines[0], lines.len()), ("🔔 5000 alerts", 1 + WORDED + 1));
    assert_eq!((lines[1], lines[2], lines[200]), ("1. 🟠 door", "2. 🟠 gate", "200. 🟠 gate"));
    assert_eq!(lines[201], "… and 4800 more: door 3200, gate 1600");
    let counted = "SELECT count(*), min(id) FROM message WHERE digest IS NULL AND alert IS NOT NULL";
    assert_eq!(store.dump(counted).expect("read"), ["2 5001"], "they are the next one's");
    let read = "SELECT on_unknown, expires_at FROM message WHERE alert IS NULL";
    assert_eq!(store.dump(read).expect("read"), [format!("hold {}", (NOW + HOUR * 2).0)]);
}

#[test]
fn a_damaged_message_row_is_held_and_never_sent() {
    for columns in ["content = '{}'", "address = '+15550100124'", "checksum = x'00'"] {
        for (wanted, damaged, expected) in [
            (pressed(), &[1][..], Some("🔔 2 alerts\n1. 🟠 a\n2. 🟠 c")),
            (pressed(), &[0, 1], Some("🔔 1 alert\n1. 🟠 c")),
            (pressed(), &[0, 1, 2], None),
            (any(), &[0], None), // its lane's turn is over
            (any(), &[1], Some("a")),
        ] {
            let (_folder, store) = Store::in_new_folder();
            let ids = all_wait(&store, &["nino a warning", "nino b warning", "nino c warning"]);
            for index in damaged {
                store.set(ids[*index], columns, &[]).expect("damaged");
            }
            let due = look(&store, &wanted);
            assert_eq!(due.first().map(|due| due.content.text.as_str()), expected, "{columns} {damaged:?}");
            let held = "SELECT id - 1 FROM message WHERE state = 'held' AND digest IS NULL AND reason LIKE
                        'the row is damaged on disk%' ORDER BY id";
            let seen = if expected == Some("a") { &[][..] } else { damaged };
            let seen: Vec<_> = seen.iter().map(ToString::to_string).collect();
            assert_eq!(store.dump(held).expect("read"), seen, "{columns} {damaged:?}");
        }
    }
}

/// Seed 51005 of the simulation: it waited until something else woke the sender.
#[test]
fn the_next_message_leaves_at_once_after_a_damaged_row() {
    let (_folder, store) = Store::in_new_folder();
    let ids = all_wait(&store, &["nino a warning", "nino b warning"]);
    store.set(ids[0], "checksum = x'00'", &[]).expect("damaged");
    let first = store.load(NOW, &ids[..1], &People::default()).expect("found");
    assert!(first.due.is_empty() && first.damaged, "the sender looks again");
    assert_eq!(look(&store, &any())[0].id, ids[1]);
}
