//! Webhook bodies by their whole way: stored, read, and what is different afterwards.

use std::collections::BTreeSet;

use proptest::prelude::*;
use serde_json::{Value, json};

/// What the simulation found.
mod found;
/// Who was invited, and what they say.
mod invited;
/// What Meta says of accounts, templates and wishes.
mod notices;
/// Who wrote, and what counts of it.
mod persons;
/// Which app signed.
mod signed;

use super::*;
use crate::config::{LoadOptions, read};
use crate::ids::{ContactId, MessageId, Wamid};
use crate::outbox::message::Content;
use crate::outbox::message_state::State;
use crate::outbox::retry_policy::Next;
use crate::outbox::row::{MessageUpdate, SendResult};
use crate::outbox::window::MessageForm;
use crate::random::Rng;
use crate::time::{Clock, SystemClock};

const NUMBER: &str = "900000000000002";
const OURS: &str = "wamid.U1lOVEhFVElDT1VUMDAwMQ==";

/// The number and the person of Meta's examples.
fn config() -> Config {
    config_with("")
}

fn config_with(more: &str) -> Config {
    parsed(&config_text(more))
}

fn parsed(text: &str) -> Config {
    read("t.toml", text, &LoadOptions { without_secrets: true, ..LoadOptions::default() }).expect("good")
}

fn config_text(more: &str) -> String {
    format!(
        r#"
        [site]
        name = "Plant"
        owner = ["boss"]
        [mqtt]
        url = "mqtt://127.0.0.1"
        [[connection]]
        name = "main"
        phone_number_id = "{NUMBER}"
        business_account_id = "900000000000001"
        access_token_file = "token"
        app_secret_file = "secret"
        verify_token_file = "verify"
        [[contact]]
        id = "op"
        phone = "+1 555 010 0123"
        [[contact]]
        id = "boss"
        phone = "+1 555 010 0199"
        [[rule]]
        name = "pump"
        topic = "pump"
        message = "x"
        notify = ["op"]
        connection = "main"
        {more}
        "#
    )
}

struct Site {
    store: Store,
    config: Config,
    folder: tempfile::TempDir,
}

impl Site {
    fn new() -> Self {
        let (folder, store) = Store::in_new_folder();
        Self { store, config: config(), folder }
    }

    /// Another process goes on with the same rows.
    fn restart(&mut self) {
        self.store = Store::open(self.folder.path(), &mut Rng::seeded(2)).expect("a store");
        self.store.transaction(|store| store.recover(SystemClock.now())).expect("recovered");
    }

    /// A message to the person that Meta accepted with these ids, one after the other.
    fn send(&self, wamids: &[String]) {
        self.send_as("op", wamids, None);
    }

    /// A message to this contact, and what Meta called them in its answer.
    fn send_to(&self, contact: &str, wamid: &str, known_as: Option<&str>) {
        self.send_as(contact, &[wamid.to_owned()], known_as);
    }

    fn send_as(&self, contact: &str, wamids: &[String], known_as: Option<&str>) {
        let lane =
            Conversation { connection: ConnectionName("main".into()), contact: ContactId(contact.into()) };
        let to = &self.config.people.contacts[&lane.contact].to;
        let now = SystemClock.now();
        self.store
            .transaction(|store| {
                let id = store.compose(&lane, to, &Content::text("Pump 7"), now)?;
                store.change(
                    &MessageUpdate::Sending { id, attempt: 1, form: MessageForm::Free, at: now },
                    now,
                )?;
                for wamid in wamids {
                    let settled = SendResult {
                        id,
                        lane: lane.clone(),
                        attempt: 1,
                        counts: true,
                        at: now,
                        next: Next::to(State::Accepted, "accepted"),
                        wamid: Some(Wamid(wamid.clone())),
                        known_as: known_as.map(str::to_owned),
                        code: None,
                        http_status: Some(200),
                        fbtrace_id: None,
                    };
                    store.change(&MessageUpdate::Settled(Box::new(settled)), now)?;
                }
                Ok(())
            })
            .expect("sent");
    }

    fn take(&self, body: &[u8]) {
        self.store.transaction(|store| store.keep_webhook(body, SystemClock.now())).expect("kept");
        self.read_all();
    }

    fn read_all(&self) {
        let heed = |_| Ok(SendStep::default());
        let next = |store: &Store| {
            read_next(store, &self.config, SystemClock.now(), &mut Rng::seeded(1), |_| {}, heed)
        };
        while self.store.transaction(next).expect("read").is_some() {}
    }

    /// What webhooks may change, by table.
    fn state(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for (name, sql) in [
            (
                "message",
                "SELECT id, contact, state, coalesce(held_for, '') FROM message WHERE id = 1 OR contact = 'op' ORDER BY id",
            ),
            ("told", "SELECT count(*) FROM message WHERE contact = 'boss' HAVING count(*) > 0"),
            ("receipt", "SELECT wamid, status FROM receipt ORDER BY 1, 2"),
            ("usage", "SELECT category, kind, count FROM usage ORDER BY 1, 2"),
            ("reply", "SELECT contact, kind, outcome FROM reply ORDER BY wamid"),
            ("file", "SELECT contact, kind, mime, coalesce(name, ''), state FROM file ORDER BY id"),
            ("window", "SELECT contact, until > 0 FROM window ORDER BY 1"),
            ("person", "SELECT * FROM person ORDER BY 1"),
            ("consent", "SELECT contact, given FROM consent ORDER BY id"),
            ("notice", "SELECT severity, text FROM notice ORDER BY text"),
            ("fact", "SELECT name, value FROM fact ORDER BY name"),
            ("template", "SELECT name, language, status FROM template ORDER BY name"),
            ("command", "SELECT action FROM command ORDER BY id"),
        ] {
            let rows = self.store.dump(sql).expect(name);
            lines.extend(rows.iter().map(|row| format!("{name} {}", row.trim_end()).replace(OURS, "OURS")));
        }
        lines
    }

    fn notes(&self) -> String {
        self.store.dump("SELECT state, note FROM inbox ORDER BY id").expect("notes").join(" | ")
    }
}

/// Bodies from which nothing follows.
const IDLE: [&str; 26] = [
    "messages/edit_image.json",
    "messages/edit_text.json",
    "messages/revoke.json",
    "messages/system_unknown.json",
    "messages/value_errors_only.json",
    "statuses/call_ringing.json",
    "statuses/read_group.json",
    "fields/account_settings_update.json",
    "fields/account_update_partner_of_another_account.json",
    "fields/business_username_updates.json",
    "fields/calls_connect_by_person.json",
    "fields/calls_connect_by_us.json",
    "fields/calls_terminate.json",
    "fields/flows_status.json",
    "fields/group_lifecycle_update.json",
    "fields/group_participants_update.json",
    "fields/group_settings_update.json",
    "fields/group_status_update.json",
    "fields/history.json",
    "fields/message_echoes.json",
    "fields/smb_app_state_sync.json",
    "fields/smb_message_echoes_edit.json",
    "fields/smb_message_echoes_revoke.json",
    "fields/smb_message_echoes_text.json",
    "batches/empty_entry.json",
    "batches/not_whatsapp_object.json",
];

/// Each of Meta's examples: what it changes, or that it is stored and there is nothing to do. The list is read by people;
/// the two assertions are for a body that is neither.
#[test]
fn every_example_changes_something_or_is_stored_with_a_word() {
    let root = format!("{}/../tests/fixtures/cloud-api/webhooks", env!("CARGO_MANIFEST_DIR"));
    let (mut seen, mut idle) = (String::new(), Vec::new());
    let folders = ["messages", "statuses", "fields", "batches"];
    let all = std::fs::read_dir(&root).expect("a folder").flatten();
    let all: BTreeSet<String> = all.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    assert_eq!(all, folders.map(str::to_owned).into(), "each has its rows here");
    for folder in folders {
        let mut names: Vec<_> =
            std::fs::read_dir(format!("{root}/{folder}")).expect("a folder").flatten().collect();
        names.sort_by_key(std::fs::DirEntry::path);
        for file in names {
            let name = format!("{folder}/{}", file.file_name().to_string_lossy());
            let parsed: Value =
                serde_json::from_slice(&std::fs::read(file.path()).expect("readable")).expect("JSON");
            // A file of several bodies is what came one after the other.
            let bodies = parsed.as_array().cloned().unwrap_or_else(|| vec![parsed.clone()]);
            let site = Site::new();
            site.send(&[OURS.to_owned()]);
            let before = site.state();
            for body in &bodies {
                site.take(body.to_string().as_bytes());
            }
            let after = site.state();
            let notes = site.notes();
            assert!(
                !notes.contains("damaged") && notes.split(" | ").all(|note| note.starts_with("done ")),
                "{name}"
            );
            let changed: Vec<&str> =
                after.iter().filter(|line| !before.contains(line)).map(String::as_str).collect();
            let first = if changed.is_empty() { notes.as_str() } else { "changes" };
            seen += &format!("{name}: {first}\n");
            for line in &changed {
                seen += &format!("    {line}\n");
            }
            if changed.is_empty() {
                assert!(notes.contains("; "), "{name} says why there is nothing to do: {notes}");
                idle.push(name);
            }
            // Everything comes at least once, and a second time changes nothing.
            for body in &bodies {
                site.take(body.to_string().as_bytes());
            }
            assert_eq!(site.state(), after, "{}: again", file.path().display());
        }
    }
    assert_eq!(idle, IDLE, "stored, nothing to do");
    insta::assert_snapshot!(seen);
}

/// What Meta reports of one copy of a message: how far it came, or that it failed.
#[derive(Debug, Clone)]
enum Fate {
    Arrives(usize),
    Fails { sent: bool, code: i64 },
}

const WORDS: [&str; 4] = ["sent", "delivered", "read", "played"];

fn statuses(wamid: &str, fate: &Fate) -> Vec<Value> {
    let status = |word: &str| {
        let mut status =
            json!({ "id": wamid, "status": word, "timestamp": "1790000100", "recipient_id": "15550100123" });
        if matches!(word, "sent" | "delivered") {
            status["pricing"] = json!({ "category": "utility", "type": "regular", "pricing_model": "PMP" });
        }
        status
    };
    match fate {
        Fate::Arrives(far) => WORDS[..=*far].iter().map(|word| status(word)).collect(),
        Fate::Fails { sent, code } => {
            let mut failed = status("failed");
            failed["errors"] = json!([{ "code": code, "title": "x" }]);
            sent.then(|| status("sent")).into_iter().chain([failed]).collect()
        }
    }
}

/// One POST; statuses of others stand between ours.
fn body(statuses: &[Value]) -> String {
    let value = json!({ "messaging_product": "whatsapp", "metadata": { "phone_number_id": NUMBER }, "statuses": statuses });
    json!({ "object": "whatsapp_business_account",
            "entry": [{ "id": "900000000000001", "changes": [{ "field": "messages", "value": value }] }] })
    .to_string()
}

/// Messages with one copy, or two after an answer that was lost; both copies fail for the same reason, as they do.
fn story() -> impl Strategy<Value = Vec<Vec<Fate>>> {
    let code = || prop::sample::select(vec![131_026, 131_047, 131_000, 131_049, 131_048, 132_015, 987_654]);
    let message = (code(), 1_usize..=2).prop_flat_map(|(code, copies)| {
        let fate = prop_oneof![
            3 => (0_usize..4).prop_map(Fate::Arrives),
            1 => any::<bool>().prop_map(move |sent| Fate::Fails { sent, code }),
        ];
        prop::collection::vec(fate, copies)
    });
    prop::collection::vec(message, 1..4)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn statuses_in_any_order_and_any_batches_end_the_same(
        story in story(),
        orders in prop::collection::vec((any::<u64>(), 1_usize..9), 2),
    ) {
        let id = |message: usize, copy: usize| format!("wamid.M{message}C{copy}");
        let mut all = vec![json!({ "id": "wamid.NOBODYS", "status": "read", "timestamp": "1790000100" })];
        for (message, fates) in story.iter().enumerate() {
            for (copy, fate) in fates.iter().enumerate() {
                all.extend(statuses(&id(message, copy), fate));
            }
        }
        let ends = |batches: &[&[Value]]| {
            let site = Site::new();
            for (message, fates) in story.iter().enumerate() {
                site.send(&(0..fates.len()).map(|copy| id(message, copy)).collect::<Vec<_>>());
            }
            for batch in batches {
                site.take(body(batch).as_bytes());
            }
            site.state()
        };
        let straight = ends(&[&all]);
        for (seed, size) in orders {
            // Each twice, shuffled, in batches of `size`.
            let mut dice = Rng::seeded(seed);
            let mut shuffled = [all.clone(), all.clone()].concat();
            for at in (1..shuffled.len()).rev() {
                shuffled.swap(at, usize::try_from(dice.below(at as u64 + 1)).expect("small"));
            }
            prop_assert_eq!(&ends(&shuffled.chunks(size).collect::<Vec<_>>()), &straight);
        }
    }
}
