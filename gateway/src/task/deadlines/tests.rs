use bytes::Bytes;

use super::*;
use crate::command::action::{Awaited, CommandOrigin, NewCommand, ResolvedAction};
use crate::config::{LoadOptions, read};
use crate::event::incoming::{EventSource, Identity};
use crate::ids::{ConnectionName, ContactId};

const NOW: Timestamp = Timestamp(1_900_000_000_000);

struct Site {
    store: Store,
    config: Config,
    command: CommandId,
    _folder: tempfile::TempDir,
}

impl Site {
    /// Nino has asked for the gate.
    fn new() -> Self {
        let text = r#"
            [site]
            name = "Bar"
            [mqtt]
            url = "mqtt://127.0.0.1"
            [[connection]]
            name = "main"
            phone_number_id = "900000000000002"
            access_token_file = "token"
            app_secret_file = "secret"
            verify_token_file = "verify"
            [[contact]]
            id = "nino"
            phone = "+15550100001"
        "#;
        let config = read("t.toml", text, &LoadOptions { without_secrets: true, ..LoadOptions::default() });
        let (folder, store) = Store::in_new_folder();
        let awaited = Awaited { topic: None, when: None, refused_when: None, within_ms: 1_000 };
        let action = ResolvedAction {
            alert: None,
            name: "gate".into(),
            title: "Open gate".into(),
            topic: "site/gate/set".into(),
            payload: "OPEN".into(),
            retain: false,
            roles: BTreeSet::new(),
            expires_ms: 60_000,
            answer: Some(awaited),
        };
        let expires_at = NOW + Duration::from_secs(60);
        let asked = NewCommand { contact: ContactId("nino".into()), action, expires_at };
        let main = ConnectionName("main".into());
        let origin = CommandOrigin { connection: Some(main), ..CommandOrigin::default() };
        let command = store.transaction(|store| store.insert_command(&origin, &asked, NOW));
        let command = command.expect("on disk");
        Self { store, config: config.expect("good"), command, _folder: folder }
    }

    /// It comes on the command's own topic.
    fn answers(&self, payload: &'static [u8]) {
        let id = self.store.tag().command(self.command);
        let event = Event {
            source: EventSource::Mqtt,
            topic: format!("{}{id}", answer_prefix(&self.config)),
            payload: Bytes::from_static(payload),
            content_type: None,
            identity: Identity::None,
            retained: false,
            expires_in_s: None,
            received_at: NOW,
            happened_at: None,
        };
        let hear = |store: &Store| heard(store, &self.config, &event, &BTreeSet::new(), NOW);
        self.store.transaction(hear).expect("on disk");
    }

    fn settles(&self, change: &CommandUpdate) {
        self.store.transaction(|store| record_outcome(store, &self.config, change, NOW)).expect("on disk");
    }

    fn told(&self) -> Vec<String> {
        self.store.dump("SELECT content ->> '$.text' FROM message ORDER BY id").expect("messages")
    }
}

/// The gate had it: its acknowledgement was lost with the connection, and the next try came too late, or was refused. What
/// the device then says is true, whatever we believed.
#[test]
fn a_devices_answer_counts_even_for_an_unpublished_command() {
    let id = Site::new().command;
    for change in [
        CommandUpdate::Expired { id, at: NOW },
        CommandUpdate::Refused { id, at: NOW, reason: "not authorised".into() },
    ] {
        let site = Site::new();
        site.settles(&change);
        assert!(site.told()[0].starts_with("❌ Open gate was not done"), "{:?}", site.told());
        for _again in 0..2 {
            site.answers(br#"{"ok": true, "text": "open for 5 s"}"#);
        }
        assert_eq!(site.told()[1..], ["✅ Open gate: open for 5 s"], "{change:?}");
        site.settles(&CommandUpdate::Published { id, at: NOW });
        assert_eq!(site.told().len(), 2, "it has its end");
    }
}

#[test]
fn a_malformed_answer_is_ignored_and_the_asker_told() {
    let site = Site::new();
    site.settles(&CommandUpdate::Published { id: site.command, at: NOW });
    site.answers(&[0xff, 0xfe, 0]);
    assert_eq!(site.told(), Vec::<String>::new());
    let later = NOW + Duration::from_secs(2);
    site.store.transaction(|store| expire_overdue(store, &site.config, later)).expect("on disk");
    assert_eq!(site.told(), ["⏳ Open gate: sent, but no answer came. Please look yourself."]);
}

#[test]
fn who_asked_for_what_is_damaged_on_disk_is_told() {
    let site = Site::new();
    site.store.dump("UPDATE command SET payload = payload || 'X'").expect("a flipped bit");
    let load = |store: &Store| waiting(store, &site.config, 16, NOW);
    assert_eq!(site.store.transaction(load).expect("loaded"), (Vec::new(), true));
    assert_eq!(
        site.told(),
        ["❌ Open gate was not done: the row is damaged on disk: its checksum does not match."]
    );
    assert_eq!(site.store.transaction(load).expect("loaded"), (Vec::new(), false), "once");
}
