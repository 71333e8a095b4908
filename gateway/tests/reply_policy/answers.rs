use bellwire::alert::alert_key::AlertKey;
use bellwire::alert::engine::{AlertCommand, Person};
use bellwire::ids::AlertId;
use bellwire::reply::status_text::OngoingLine;

use super::*;

fn refused() -> Interpretation {
    let (text, reason) = ("Not you.".to_owned(), "no right".to_owned());
    Interpretation::Refused { contact: "levan".into(), text, reason }
}

#[test]
fn the_fifth_refusal_locks_out_and_tells_the_owner() {
    let mut site = Site::new(ReplyFacts::default());
    site.standing.refusals = 3;
    let refusal = ["refused levan: no right", "audit refused by levan: no right"];
    assert_eq!(site.follows("levan", &refused())[..2], refusal);
    assert_eq!(site.follows("levan", &refused())[2..], ["to levan over main under in: Not you."]);
    site.standing.refusals = 4;
    let found = site.follows("levan", &refused());
    assert_eq!(
        found[0],
        format!(
            "owner [lock-out levan {}] to nino over second: ⚙ Bar, WhatsApp number main: Levan was refused 5 times, and is \
             locked out for 15 minutes; the last time: no right",
            NOW.0
        )
    );
    assert_eq!(found[1..3], refusal);
    assert!(found[3].starts_with("to levan over main under in: Not you. "), "{}", found[3]);
    assert_eq!(
        site.follows("levan", &Interpretation::Locked { contact: "levan".into() }),
        ["nothing: the person is locked out", "audit refused by levan: locked out"],
        "and hears nothing more"
    );
}

#[test]
fn a_person_sending_too_fast_is_told_once() {
    let mut site = Site::new(ReplyFacts::default());
    let hurried = Interpretation::Hurried { contact: "levan".into() };
    let found = site.follows("levan", &hurried);
    assert_eq!(
        found[..2],
        ["nothing: too many in a minute", "audit refused by levan: more than 10 acts in a minute"]
    );
    assert!(found[2].starts_with("to levan over main under in: "), "{}", found[2]);
    site.standing.hurried = 1;
    assert_eq!(site.follows("levan", &hurried), ["nothing: too many in a minute"]);
}

#[test]
fn an_alert_is_acknowledged_by_the_first() {
    let takes = Interpretation::Acknowledge { contact: "levan".into(), alert: AlertId(3) };
    for (before, by) in
        [(None, "this person"), (Some("levan"), "this person"), (Some("nino"), "another before")]
    {
        let acknowledged_by = before.map(ContactId::from);
        let site = Site::new(ReplyFacts { acknowledged_by, ..ReplyFacts::default() });
        let audit = format!("audit acknowledged by levan: alert 3, by {by}");
        assert_eq!(site.follows("levan", &takes), ["levan takes care of 3".to_owned(), audit]);
    }
}

#[test]
fn alert_commands_by_people_are_audited() {
    let site = Site::new(ReplyFacts::default());
    let nino = Person { name: "Nino".into(), contact: Some("nino".into()) };
    let alert = AlertKey { rule: "freezer".into(), key: "bar".into() };
    for (note, audit) in [
        (AlertCommand::Acknowledge { alert: alert.clone(), by: nino }, Some("acknowledged")),
        (AlertCommand::Undelivered { alert: alert.clone(), episode: 1 }, None),
    ] {
        let found = site.follows("nino", &Interpretation::Note { contact: "nino".into(), note });
        assert!(found[0].starts_with("note "), "{found:?}");
        let expected = audit.map(|what| format!("audit {what} by nino: {alert}"));
        assert_eq!(found[1..], Vec::from_iter(expected));
    }
}

#[test]
fn status_names_what_goes_on_and_who_takes_care() {
    let line = |is_open, care: Option<&str>| OngoingLine {
        rule: "bell".into(),
        bindings: [("area".to_owned(), "bar".to_owned())].into(),
        at: NOW,
        care: care.map(str::to_owned),
        is_open,
    };
    let asks = Interpretation::Status { contact: "nino".into() };
    for (ongoing, expected) in [
        (vec![], vec!["Nothing fires, nothing is offline."]),
        (
            vec![line(false, Some("dato"))],
            vec![
                "Nothing fires, nothing is offline.",
                "Told in the last 24 h:",
                "• bell bar: 21 Sep, 14:13 👍 Dato",
            ],
        ),
        (vec![line(true, None)], vec!["Now:", "• bell bar: since 21 Sep, 14:13"]),
    ] {
        let site = Site::new(ReplyFacts { ongoing, ..ReplyFacts::default() });
        let found = site.follows("nino", &asks);
        let lines: Vec<&str> = found[0].split(" | ").skip(1).collect();
        assert_eq!(lines, expected, "{found:?}");
    }
}
