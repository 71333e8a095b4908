//! Two numbers with apps of their own: what one app's secret signed says nothing about the other's number.

use std::collections::BTreeSet;

use super::*;

const SECOND: &str = r#"
[[connection]]
name = "second"
phone_number_id = "900000000000009"
business_account_id = "900000000000008"
access_token_file = "token"
app_secret_file = "another"
verify_token_file = "verify"
[[command]]
name = "open-door"
words = ["open front"]
topic = "site/doors/front/set"
payload = "OPEN"
"#;

impl Site {
    fn with_two_apps() -> Self {
        let mut site = Self::new();
        site.config = config_with(SECOND);
        site
    }

    /// A body that the apps of these connections signed.
    fn take_signed(&self, body: &str, by: &[&str]) {
        let by: BTreeSet<ConnectionName> = by.iter().map(|name| ConnectionName((*name).into())).collect();
        let keep = |store: &Store| store.keep_signed(body.as_bytes(), &Some(by.clone()), SystemClock.now());
        self.store.transaction(keep).expect("kept");
        self.read_all();
    }
}

/// Words, a file, a status, somebody who moved, a template that is paused: each by the other app, then by the number's own.
#[test]
fn an_app_secret_speaks_for_its_own_numbers_alone() {
    let at = (SystemClock.now().0 / 1_000).to_string();
    let messages = |messages: Value| {
        let value = json!({ "metadata": { "phone_number_id": NUMBER }, "messages": [messages] });
        json!({ "object": "whatsapp_business_account",
                "entry": [{ "id": "900000000000008", "changes": [{ "field": "messages", "value": value }] }] })
        .to_string()
    };
    let written = json!({ "from": "15550100123", "id": "wamid.in1", "timestamp": at, "type": "text",
                          "text": { "body": "open front" } });
    let image = json!({ "from": "15550100123", "id": "wamid.in2", "timestamp": at, "type": "image",
                        "image": { "id": "1", "mime_type": "image/jpeg" } });
    let moved = json!({ "from": "15550100123", "id": "wamid.in3", "timestamp": at, "type": "system",
                        "system": { "type": "user_changed_number", "wa_id": "15550100124" } });
    let paused = json!({ "event": "PAUSED", "message_template_name": "alarm", "message_template_language": "en",
                         "message_template_id": 1, "reason": "NONE" });
    let paused = json!({ "object": "whatsapp_business_account", "entry": [{ "id": "900000000000001",
        "changes": [{ "field": "message_template_status_update", "value": paused }] }] });
    let read = statuses(OURS, &Fate::Arrives(2));
    for body in [messages(written), messages(image), messages(moved), paused.to_string(), body(&read)] {
        let site = Site::with_two_apps();
        site.send(&[OURS.to_owned()]);
        let before = site.state();
        site.take_signed(&body, &["second"]);
        assert_eq!(site.state(), before, "{body}");
        let notes = site.notes();
        assert!(
            notes.contains("number of connection main, but signed with the app secret of second"),
            "{notes}"
        );
        site.take_signed(&body, &["main"]);
        assert_ne!(site.state(), before, "the same message counts when its own app signs it: {body}");
        let own = site.state();
        let both = Site::with_two_apps();
        both.send(&[OURS.to_owned()]);
        both.take_signed(&body, &["main", "second"]);
        assert_eq!(both.state(), own, "two numbers of one app: {body}");
    }
}

/// Whoever hides the number gave it when asked: the owner is told, whoever passed the answer on.
#[test]
fn a_shared_number_is_shown_to_the_owner() {
    for (origin, forwarded, shown) in
        [("contact_request", false, 1), ("contact_request", true, 1), ("other", false, 0)]
    {
        let site = Site::new();
        let id = Some("US.90010020030040050060");
        site.store.identify(&"op".into(), "+15550100123", id, Timestamp(0)).expect("known");
        let card =
            json!({ "origin": origin, "phones": [{ "phone": "+1 555 010 0177", "wa_id": "15550100177" }] });
        let message = json!({ "from_user_id": "US.90010020030040050060", "id": "wamid.K1", "timestamp": "1795900000",
                              "type": "contacts", "context": { "forwarded": forwarded }, "contacts": [card] });
        let value = json!({ "metadata": { "phone_number_id": NUMBER }, "messages": [message] });
        let body = json!({ "object": "whatsapp_business_account",
                           "entry": [{ "id": "1", "changes": [{ "field": "messages", "value": value }] }] });
        site.take(body.to_string().as_bytes());
        site.take(body.to_string().as_bytes());
        let told = "SELECT content FROM message WHERE contact = 'boss' AND content LIKE '%op shared a phone number: +15550100177.%'";
        assert_eq!(site.store.dump(told).expect("rows").len(), shown, "{origin}: {}", site.notes());
    }
}

/// A permission to call, a recording of a caller, a call that was missed: none of them is an answer to an alert.
#[test]
fn call_messages_do_not_act() {
    let permission = json!({ "id": "wamid.C1", "type": "interactive", "context": { "id": OURS },
        "interactive": { "type": "call_permission_reply",
                         "call_permission_reply": { "response": "accept", "is_permanent": false } } });
    let voicemail = json!({ "id": "wacid.C2", "type": "audio", "context": { "id": OURS },
                            "audio": { "id": "7", "mime_type": "audio/ogg", "voice": true } });
    let said = json!({ "id": "wacid.C3", "type": "text", "context": { "id": OURS }, "text": { "body": "I take care" } });
    let button = json!({ "id": "wamid.C4", "type": "button", "context": { "id": "wacid.X" },
                         "button": { "text": "I take care", "payload": "I take care" } });
    for mut message in [permission, voicemail, said, button] {
        let site = Site::new();
        site.send(&[OURS.to_owned()]);
        message["from"] = "15550100123".into();
        message["timestamp"] = "1795900000".into();
        let value = json!({ "metadata": { "phone_number_id": NUMBER }, "messages": [message] });
        let call =
            json!({ "id": "wacid.C5", "from": "15550100123", "event": "connect", "timestamp": "1795900000" });
        let calls = json!({ "metadata": { "phone_number_id": NUMBER }, "calls": [call],
                            "statuses": [{ "id": "wacid.C6", "type": "call", "status": "ACCEPTED" }] });
        let body = json!({ "object": "whatsapp_business_account", "entry": [{ "id": "1", "changes": [
            { "field": "messages", "value": value }, { "field": "calls", "value": calls }] }] });
        site.take(body.to_string().as_bytes());
        assert_eq!(site.store.dump("SELECT outcome FROM reply").expect("rows"), ["nothing"], "{message}");
        let acted = "SELECT 1 FROM command UNION ALL SELECT 1 FROM alert_note UNION ALL SELECT 1 FROM message WHERE id > 1";
        assert!(site.store.dump(acted).expect("rows").is_empty(), "{message}");
        assert!(site.notes().contains("field calls"), "{}", site.notes());
    }
}
