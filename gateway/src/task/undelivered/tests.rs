use std::collections::BTreeSet;

use super::*;
use crate::config::{LoadOptions, read};
use crate::ids::{MessageId, Wamid};
use crate::outbox::message::Content;
use crate::outbox::message_state::{OnUnknown, State};
use crate::outbox::retry_policy::{
    ApiAnswer, Class, FailureCount, HeldFor, MessageCase, Refusal, after_answer,
};
use crate::outbox::row::{Conversation, MessageUpdate, SendResult};
use crate::outbox::window::MessageForm;
use crate::random::Rng;
use crate::reply::inbound::Status;
use crate::whatsapp::errors::{ApiMessage, codes, refusal};

mod documented;

const NOW: Timestamp = Timestamp(1_900_000_000_000);
const HOUR: Duration = Duration::from_secs(3_600);
const DAY: Duration = Duration::from_secs(24 * 3_600);

struct Site {
    store: Store,
    config: Config,
    _folder: tempfile::TempDir,
}

impl Site {
    /// One alert to those people, each message lives so long; Meta has accepted none yet.
    fn new(people: &[&str], lives: Duration) -> Self {
        let contact = |id: &str, number: u32, more: &str| {
            format!("[[contact]]\nid = \"{id}\"\nphone = \"+1555010{number:04}\"\n{more}\n")
        };
        let text = format!(
            "[site]\nname = \"Bar\"\nowner = [\"boss\"]\n[mqtt]\nurl = \"mqtt://127.0.0.1\"\n\
             [[connection]]\nname = \"main\"\nphone_number_id = \"1\"\naccess_token_file = \"t\"\napp_secret_file = \"s\"\n\
             verify_token_file = \"v\"\n{}{}{}",
            contact("nino", 1, ""),
            contact("keti", 2, ""),
            contact("boss", 3, "language = \"de\"")
        );
        let config = read("t.toml", &text, &LoadOptions { without_secrets: true, ..LoadOptions::default() })
            .expect("good");
        let (folder, store) = Store::in_new_folder();
        let site = Self { store, config, _folder: folder };
        site.alert(people, lives);
        site
    }

    /// The same again, as the only alert that there ever was.
    fn alert(&self, people: &[&str], lives: Duration) {
        for table in ["receipt", "sent", "attempt", "notice", "window", "message", "alert"] {
            self.sql(&format!("DELETE FROM {table}"));
        }
        self.sql(
            "INSERT INTO alert (id, rule, severity, bindings, raised_at) VALUES (1, 'freezer', 2, '{}', 1)",
        );
        for person in people {
            let lane = self.lane(person);
            let to = self.config.people.contacts[&lane.contact].to.clone();
            self.run(|store| {
                store.compose(&lane, &to, &Content::text("Freezer 2 is warm\nsince 14:03"), NOW).map(drop)
            });
        }
        self.sql(&format!("UPDATE message SET alert = 1, expires_at = {}", (NOW + lives).0));
    }

    fn lane(&self, person: &str) -> Conversation {
        Conversation { connection: self.config.connections[0].name.clone(), contact: person.into() }
    }

    fn sql(&self, sql: &str) -> Vec<String> {
        self.store.dump(sql).expect("a statement")
    }

    fn run(&self, work: impl Fn(&Store) -> Result<()>) {
        self.store.transaction(work).expect("on disk");
    }

    fn answer(&self, id: i64, answer: &ApiAnswer, lives: Duration) {
        let id = MessageId(id);
        let count = FailureCount { tries: 1, streak: 1 };
        let (form, expires_at) = (MessageForm::Free, NOW + lives);
        let case = MessageCase {
            count,
            on_unknown: OnUnknown::Retry,
            form,
            templates: 0,
            has_media: false,
            expires_at,
        };
        let next = after_answer(answer, &case, NOW, &mut Rng::seeded(1));
        let (wamid, code) = match answer {
            ApiAnswer::Accepted(taken) => (Some(taken.wamid.clone()), None),
            ApiAnswer::Refused(refusal) => (None, Some(refusal.code)),
            ApiAnswer::Offline(_) | ApiAnswer::NotAsked(_) | ApiAnswer::Ambiguous { .. } => (None, None),
        };
        let lane = self.lane("nino");
        let settled = SendResult {
            id,
            attempt: 1,
            counts: true,
            at: NOW,
            next,
            lane,
            wamid,
            code,
            http_status: None,
            fbtrace_id: None,
            known_as: None,
        };
        self.run(|store| {
            store
                .change(&MessageUpdate::Sending { id, attempt: 1, form: MessageForm::Free, at: NOW }, NOW)?;
            store.change(&MessageUpdate::Settled(Box::new(settled.clone())), NOW).map(drop)
        });
    }

    fn accepted(&self, id: i64) {
        self.answer(id, &ApiAnswer::Accepted(Wamid(format!("wamid.{id}")).into()), DAY);
    }

    fn status(&self, id: i64, state: State, refusal: Option<Refusal>) {
        let wamid = Wamid(format!("wamid.{id}"));
        let word = state.as_str().to_owned();
        let status = Status {
            wamid,
            phone_number_id: None,
            callback: None,
            state: Some(state),
            word,
            at: NOW,
            refusal,
            pricing: None,
            recipients: Vec::new(),
            group: None,
        };
        let over = self.lane("nino").connection;
        self.run(|store| store.receive(&status, Some(&over), NOW, &mut Rng::seeded(1)).map(drop));
    }

    fn told(&self, now: Timestamp) -> Vec<String> {
        let said = self.store.transaction(|store| tell(store, &self.config, now)).expect("told");
        said.into_iter().map(|(_, text)| text).collect()
    }

    fn message(&self, id: i64) -> (String, i64) {
        let row = self.sql(&format!("SELECT state, not_before FROM message WHERE id = {id}"));
        let (state, at) = row[0].split_once(['|', ' ']).expect("two columns");
        (state.trim().to_owned(), at.trim_matches(['|', ' ']).parse().expect("a number"))
    }

    /// What the owner was written, in the owner's language.
    fn to_owner(&self) -> usize {
        self.sql("SELECT content FROM message WHERE contact = 'boss'").len()
    }
}

fn refused(code: i64) -> Refusal {
    refusal(ApiMessage { code, details: "details".into(), ..ApiMessage::default() })
}

/// Every row of Meta's table, as an answer and as a status: what can no longer arrive is told at once, and what is tried
/// again is tried while it is worth it, and told when even that was in vain.
#[test]
fn the_owner_is_told_once_for_every_final_code() {
    let site = Site::new(&[], DAY);
    for code in codes() {
        for by_status in [false, true] {
            site.alert(&["nino"], DAY);
            if by_status {
                site.accepted(1);
                assert!(site.told(NOW).is_empty(), "accepted, and nothing is known");
                site.status(1, State::Failed, Some(refused(code)));
            } else {
                site.answer(1, &ApiAnswer::Refused(refused(code)), DAY);
            }
            let (state, not_before) = site.message(1);
            if matches!(state.as_str(), "queued" | "unknown") {
                assert!(site.told(NOW).is_empty(), "{code}: it is tried again");
                assert!(not_before < (NOW + DAY).0, "{code} waits for longer than the message lives");
                for _ in 0..2 {
                    site.run(|store| store.tend(NOW + DAY)); // nothing came of it
                }
            }
            let late = NOW + DAY;
            let told = site.told(late);
            assert_eq!(told.len(), 1, "{code}, status: {by_status}, {:?}", site.message(1));
            assert!(
                told[0].starts_with("nobody got alert 1 of rule freezer (Freezer 2 is warm); nino: "),
                "{told:?}"
            );
            assert_eq!(site.to_owner(), 1, "{code}");
            assert!(site.told(late + HOUR).is_empty(), "{code}: once");
        }
    }
    let site = Site::new(&["nino"], DAY);
    site.answer(1, &ApiAnswer::Refused(refused(131_026)), DAY);
    site.told(NOW);
    let words = site.sql("SELECT content FROM message WHERE contact = 'boss'").concat();
    assert!(words.contains("⚠ Bar: diese Meldung hat niemanden erreicht: Freezer 2 is warm"), "{words}");
}

/// Each class by a code of it, and what docs/messages.md calls it.
const CLASSES: [(i64, &str); 17] = [
    (190, "token (0, 190)"),
    (10, "permission (3, 10, 200 to 299)"),
    (131_042, "account (368, 131031, 131042)"),
    (133_010, "number not registered (133010)"),
    (2_635, "configuration (2635)"),
    (130_429, "too fast (4, 80007, 130429)"),
    (131_056, "one person too fast (131056)"),
    (131_057, "Meta's maintenance (131057)"),
    (131_000, "in doubt (1, 2, 131000, 131016)"),
    (987_654, "a code that nobody knows"),
    (131_049, "kept from this person for a day (131049)"),
    (131_048, "the number's quality (131048, 131064)"),
    (131_047, "window (131047)"),
    (132_001, "template (132000 to 132018)"),
    (131_053, "file (131052, 131053)"),
    (100, "this message (100, 131009)"),
    (131_026, "this person (131026)"),
];

/// For each class when it is tried again, and of a message that lives for a day and for ten minutes whether that is before it
/// expires.
#[test]
fn a_retry_happens_only_before_expiry() {
    let minutes = |count: u64| Duration::from_secs(count * 60);
    for (code, class, of_a_day, of_ten_minutes) in [
        (190, Class::Auth, "queued", "queued"),
        (10, Class::Permission, "queued", "queued"),
        (131_042, Class::Account, "queued", "queued"),
        (133_010, Class::Registration, "queued", "queued"),
        (2_635, Class::Config, "queued", "queued"),
        (130_429, Class::Throttle, "queued", "queued"),
        (131_056, Class::PairThrottle, "queued", "queued"),
        (131_057, Class::Maintenance, "queued", "queued"),
        (131_000, Class::ServerAmbiguous, "unknown", "unknown"),
        (987_654, Class::Unknown, "queued", "queued"),
        (131_049, Class::Limit, "failed", "failed"),
        (131_048, Class::Quality, "held", "held"),
        (131_047, Class::Window, "held", "held"),
        (132_001, Class::Template, "failed", "failed"),
        (131_053, Class::Media, "failed", "failed"),
        (100, Class::Request, "failed", "failed"),
        (131_026, Class::Recipient, "failed", "failed"),
    ] {
        assert_eq!(refused(code).class, class, "{code}");
        for (lives, expected) in [(DAY, of_a_day), (minutes(10), of_ten_minutes)] {
            let site = Site::new(&["nino"], lives);
            site.answer(1, &ApiAnswer::Refused(refused(code)), lives);
            let (state, not_before) = site.message(1);
            assert_eq!(state, expected, "{code} of {lives:?}");
            assert!(not_before < (NOW + lives).0, "{code}");
            assert_eq!(
                site.told(NOW).len(),
                usize::from(matches!(state.as_str(), "failed" | "held")),
                "{code}"
            );
        }
    }
    // Meta asks for an hour: too long for a message of ten minutes.
    let slow = Refusal { retry_after: Some(HOUR), ..refused(80_007) };
    for (lives, expected) in [(DAY, "queued"), (minutes(10), "failed")] {
        let site = Site::new(&["nino"], lives);
        site.answer(1, &ApiAnswer::Refused(slow.clone()), lives);
        assert_eq!(site.message(1).0, expected);
    }
    // Of two days: the retry 24 h later happens.
    let site = Site::new(&["nino"], DAY * 2);
    site.answer(1, &ApiAnswer::Refused(refused(131_049)), DAY * 2);
    assert_eq!(site.message(1), ("queued".to_owned(), (NOW + DAY).0));
}

#[test]
fn only_delivery_to_somebody_prevents_an_undelivered_notice() {
    // Delivered to one: nobody hears of the other.
    let site = Site::new(&["nino", "keti"], DAY);
    site.accepted(1);
    site.accepted(2);
    site.status(2, State::Delivered, None);
    site.status(1, State::Failed, Some(refused(131_026)));
    assert!(site.told(NOW).is_empty() && site.told(NOW + HOUR).is_empty());

    // Accepted for the other: it may still arrive, and when that fails too the question is open again.
    let site = Site::new(&["nino", "keti"], DAY);
    site.accepted(1);
    site.accepted(2);
    site.status(1, State::Failed, Some(refused(131_026)));
    assert!(site.told(NOW).is_empty());
    site.status(2, State::Failed, Some(refused(131_026)));
    let told = site.told(NOW);
    assert!(told.len() == 1 && told[0].contains("nino: ") && told[0].contains("keti: "), "{told:?}");

    // It stays silent: after a minute nobody is known to have got it.
    let site = Site::new(&["nino", "keti"], DAY);
    site.accepted(1);
    site.accepted(2);
    site.status(1, State::Failed, Some(refused(131_026)));
    assert!(site.told(NOW + PATIENCE - Duration::from_millis(1)).is_empty());
    assert_eq!(site.told(NOW + PATIENCE).len(), 1);
}

#[test]
fn a_long_outage_gives_the_owner_one_notice() {
    let site = Site::new(&[], DAY);
    site.sql("DELETE FROM alert");
    let lane = site.lane("nino");
    let to = site.config.people.contacts[&lane.contact].to.clone();
    for _ in 0..40 {
        site.run(|store| store.compose(&lane, &to, &Content::text("hot"), NOW).map(drop));
    }
    site.sql("INSERT INTO alert (id, rule, severity, bindings, raised_at) SELECT id, 'freezer', 2, '{}', 1 FROM message");
    site.sql(&format!("UPDATE message SET alert = id, expires_at = {}", (NOW + HOUR).0));
    site.run(|store| store.tend(NOW + HOUR));
    let told = site.told(NOW + HOUR);
    assert!(told.len() == 1 && told[0].contains("and 39 other alerts"), "{told:?}");
    assert_eq!(site.to_owner(), 1);
}

#[test]
fn an_operators_decision_is_not_reported() {
    let site = Site::new(&["nino"], DAY);
    assert!(site.store.transaction(|store| Ok(store.hold(MessageId(1), NOW).is_ok())).expect("held"));
    assert!(site.told(NOW).is_empty());
    let site = Site::new(&["nino"], DAY);
    assert!(site.store.transaction(|store| Ok(store.cancel(MessageId(1), NOW).is_ok())).expect("cancelled"));
    assert!(site.told(NOW).is_empty());
}
