use serde_json::json;

use super::*;

/// Severity, text and facts of a notice.
fn told(field: &str, value: &Value) -> (Severity, String, Vec<(String, String)>) {
    let Some(notice) = read(Some("900"), field, value) else { panic!("{field}: no notice") };
    (notice.severity, notice.text, notice.facts)
}

fn fact(name: &str, value: &str) -> (String, String) {
    (name.to_owned(), value.to_owned())
}

#[test]
fn a_flagged_template_is_a_dated_warning_and_stays_usable() {
    let flagged = |info: Value| {
        json!({ "event": "FLAGGED", "message_template_id": 1, "message_template_name": "alarm_v1",
                "message_template_language": "en_US", "reason": null, "disable_info": info })
    };
    for (info, day) in [
        (json!({ "disable_date": "January 31, 2027" }), "January 31, 2027"),
        (json!({ "disable_date": 1_801_353_600 }), "2027-01-31"),
        (json!({ "disable_date": "1801353600" }), "2027-01-31"),
    ] {
        let (severity, text, _) = told("message_template_status_update", &flagged(info));
        let expected = format!(
            "template alarm_v1 (en_US) is flagged: Meta disables it on {day}; improve it in WhatsApp Manager"
        );
        assert!(severity == Severity::Warning && text.starts_with(&expected), "{text}");
    }
    let (severity, text, _) = told("message_template_status_update", &flagged(Value::Null));
    assert_eq!((severity, text.as_str()), (Severity::Info, "template alarm_v1 (en_US) is flagged"));
    let Some(notice) = read(None, "message_template_status_update", &flagged(Value::Null)) else {
        panic!("no notice")
    };
    let template = ("alarm_v1".to_owned(), "en_US".to_owned(), TemplateNews::Changed);
    assert_eq!(notice.template, Some(template), "it stays in use");
}

#[test]
fn a_hub_says_which_sites_are_silent() {
    let text = "The hub has heard nothing of shop-kassel for 5 min";
    let (severity, told, facts) = told(HUB, &json!({ "severity": "critical", "text": text }));
    assert_eq!((severity, told.as_str(), facts), (Severity::Critical, text, vec![]));
}

#[test]
fn a_ban_says_when_and_its_end_is_no_ban() {
    let ban = |state: &str| {
        told(
            "account_update",
            &json!({ "event": "DISABLED_UPDATE",
            "ban_info": { "waba_ban_state": state, "waba_ban_date": "October 1, 2026" } }),
        )
    };
    let next = "; ask for a review in Meta's Business Support Home";
    let critical =
        |text: &str, state: &str| (Severity::Critical, format!("{text}{next}"), vec![fact("account", state)]);
    assert_eq!(
        ban("SCHEDULE_FOR_DISABLE"),
        critical("Meta disables the account on October 1, 2026", "SCHEDULE_FOR_DISABLE")
    );
    assert_eq!(ban("DISABLE"), critical("the account is disabled, since October 1, 2026", "DISABLE"));
    let (severity, text, facts) = ban("REINSTATE");
    assert_eq!(severity, Severity::Info);
    assert!(text.contains("reinstated") && !text.contains("disabled"), "{text}");
    assert_eq!(facts, [fact("account", ""), fact("restriction", ""), fact("violation", "")]);
}

#[test]
fn each_account_restriction_is_its_own_fact() {
    let (severity, text, facts) = told(
        "account_update",
        &json!({ "event": "ACCOUNT_RESTRICTION", "restriction_info": [
        { "restriction_type": "RESTRICTED_BIZ_INITIATED_MESSAGING", "expiration": 1_796_500_000 },
        { "restriction_type": "RESTRICTED_ADD_PHONE_NUMBER_ACTION" }] }),
    );
    let until = "2026-12-05T19:46:40Z";
    let expected = format!(
        "the account: account restriction, restricted biz initiated messaging until {until}; restricted add phone number action"
    );
    assert_eq!((severity, text), (Severity::Critical, expected));
    assert_eq!(
        facts,
        [
            fact(
                "restriction on messages that we begin",
                &format!("RESTRICTED_BIZ_INITIATED_MESSAGING until {until}")
            ),
            fact("restriction on new numbers", "RESTRICTED_ADD_PHONE_NUMBER_ACTION"),
        ]
    );
}

/// All that Meta's page on `account_update` names (of April 2026), older words, and one that nobody has written down. What says
/// nothing of a restriction leaves it as it is.
#[test]
fn each_event_of_an_account_has_its_level() {
    use Severity::{Critical, Info, Warning};
    for (event, level, lasts) in [
        ("ACCOUNT_DELETED", Critical, true),
        ("ACCOUNT_OFFBOARDED", Critical, true),
        ("ACCOUNT_RECONNECTED", Info, true),
        ("ACCOUNT_RESTRICTION", Critical, true),
        ("ACCOUNT_VIOLATION", Critical, true),
        ("AD_ACCOUNT_LINKED", Info, false),
        ("AUTH_INTL_PRICE_ELIGIBILITY_UPDATE", Info, false),
        ("BUSINESS_PRIMARY_LOCATION_COUNTRY_UPDATE", Info, false),
        ("DISABLED_UPDATE", Critical, true),
        ("MM_LITE_TERMS_SIGNED", Info, false),
        ("PARTNER_ADDED", Info, false),
        ("PARTNER_APP_INSTALLED", Info, false),
        ("PARTNER_APP_UNINSTALLED", Warning, false),
        ("PARTNER_CLIENT_CERTIFICATION_STATUS_UPDATE", Info, false),
        ("PARTNER_REMOVED", Warning, false),
        ("VOLUME_BASED_PRICING_TIER_UPDATE", Info, false),
        ("VERIFIED_ACCOUNT", Info, false),
        ("REINSTATE", Info, true),
        ("SOMETHING_NEW", Warning, false),
    ] {
        let (severity, text, facts) = told("account_update", &json!({ "event": event }));
        assert_eq!((severity, !facts.is_empty()), (level, lasts), "{event}: {text}");
        assert!(severity == Info || text.contains("the account") && !text.contains('_'), "{text}");
    }
}

#[test]
fn conversations_handed_to_another_app_raise_an_alarm() {
    let standby = json!({ "metadata": { "phone_number_id": "7" }, "standby": {} });
    let taken = |object: &Value| {
        json!({ "recipient": { "phone_number_id": "7" }, "sender": { "phone_number": "1" },
        "type": "control_taken", "timestamp": "1790000000", "control_taken": object })
    };
    for (field, value, words) in [
        ("standby", standby, "comes here only as `standby`"),
        ("messaging_handovers", taken(&json!({ "new_owner_role": "ai_agent" })), "was taken over (ai agent)"),
        (
            "messaging_handovers",
            taken(&json!({ "new_owner_app_role": "escalation" })),
            "was taken over (escalation)",
        ),
        ("messaging_handovers", taken(&Value::Null), "was taken over (another app)"),
    ] {
        let Some(notice) = read(Some("900"), field, &value) else { panic!("{field}: no notice") };
        assert_eq!((notice.severity, notice.account.as_deref()), (Severity::Critical, Some("7")), "{field}");
        assert!(
            notice.text.contains(words) && notice.text.contains("nobody can acknowledge"),
            "{}",
            notice.text
        );
    }
    let back =
        json!({ "recipient": { "phone_number_id": "7" }, "type": "control_passed", "control_passed": {} });
    let (severity, _, facts) = told("messaging_handovers", &back);
    assert_eq!((severity, facts), (Severity::Info, vec![fact("standby", ""), fact("taken over", "")]));
    assert!(read(None, "messaging_handovers", &json!({ "type": "control_blessed" })).is_none());
}
