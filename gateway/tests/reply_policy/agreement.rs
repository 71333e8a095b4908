use bellwire::command::action::{Awaited, ResolvedAction};
use bellwire::command::approval::{Pending, Request};
use bellwire::command::question::OpenQuestion;
use bellwire::outbox::button_token::ButtonSubject;

use super::*;

fn action(roles: &[&str]) -> ResolvedAction {
    ResolvedAction {
        alert: None,
        name: "gate".into(),
        title: "Open gate".into(),
        topic: "site/gate/set".into(),
        payload: "OPEN".into(),
        retain: false,
        roles: roles.iter().map(|role| (*role).to_owned()).collect(),
        expires_ms: 120_000,
        answer: None,
    }
}

fn confirm(roles: &[&str], confirm: bool, approvals: u32) -> Interpretation {
    Interpretation::Confirm { contact: "nino".into(), action: action(roles), confirm, approvals }
}

fn vote(number: i64, choice: &str) -> Interpretation {
    let subject = ButtonSubject::Request(number);
    Interpretation::Vote { contact: "nino".into(), subject, choice: choice.into() }
}

/// Request 7, which Nino made with the message `asked`.
fn request(roles: &[&str], confirm: bool, approvals: u32, agreed: &[&str]) -> Request {
    let mut pending = Pending::new("nino".into(), confirm, approvals, minutes(2));
    pending.agreed.extend(agreed.iter().map(|who| ContactId::from(*who)));
    let main = ConnectionName("main".into());
    Request { id: 7, reply: Wamid("asked".into()), connection: main, action: action(roles), pending }
}

#[test]
fn a_command_with_conditions_asks_back_or_asks_others() {
    let site = Site::new(ReplyFacts { next_request: 7, ..ReplyFacts::default() });
    let asked = "audit asked by nino: request 7: gate: OPEN to site/gate/set";
    let agree = |who: &str| {
        format!(
            "to {who} over main, asks Request(7): Nino asks for: Open gate | site/gate/set | Do you agree? Within 10 min."
        )
    };
    let back =
        "to nino over main under in, asks Request(7): Open gate? | site/gate/set | Yes counts for 2 min.";
    assert_eq!(site.follows("nino", &confirm(&[], true, 1)), ["request 7 opens", asked, back]);
    let of_others = site.follows("nino", &confirm(&["manager"], false, 2));
    assert_eq!(of_others, ["request 7 opens".to_owned(), asked.to_owned(), agree("dato")], "whoever may");
    let of_all = site.follows("nino", &confirm(&[], false, 2));
    assert_eq!(of_all[2..], [agree("dato"), agree("levan")]);
    assert_eq!(
        site.follows("nino", &confirm(&["nobody's"], false, 2))[2..],
        [
            "nothing: nobody else may agree",
            "to nino over main under in: ❌ Open gate was not done: nobody else may agree to it.",
            "request 7 is declined, agreed: nino"
        ]
    );
}

/// When this stands, and that person says so, this follows.
fn follows(stands: Request, who: &str, choice: &str, expected: &[&str]) {
    let what = format!("{who} {choice}: {stands:?}");
    let site = Site::new(ReplyFacts { request: Some(stands), ..ReplyFacts::default() });
    assert_eq!(site.follows(who, &vote(7, choice)), expected, "{what}");
}

const COMMAND: &str =
    "command site/gate/set <- OPEN of \"asked\"; audit commanded by nino: gate: OPEN to site/gate/set";

#[test]
fn a_yes_counts_until_there_are_enough() {
    let done = |who| format!("audit agreed by {who}: request 7: Done");
    let is_done = "request 7 is done, agreed: dato nino";
    let confirmed = [&done("nino"), "request 7 is done, agreed: nino", COMMAND];
    follows(request(&[], true, 1, &[]), "nino", "yes", &confirmed);
    let others = [
        "audit agreed by nino: request 7: AskOthers",
        "request 7 is open, agreed: nino",
        "to dato over main, asks Request(7): Nino asks for: Open gate | site/gate/set | Do you agree? Within 10 min.",
    ];
    follows(request(&["manager"], true, 2, &[]), "nino", "yes", &others);
    let agrees = "to nino over main under asked: ✅ Dato agrees: Open gate";
    follows(request(&[], false, 2, &[]), "dato", "yes", &[&done("dato"), agrees, is_done, COMMAND]);
    // One message tells the end: where the device answers, that is it.
    let mut answered = request(&[], false, 2, &[]);
    answered.action.answer = Some(Awaited { topic: None, when: None, refused_when: None, within_ms: 1_000 });
    follows(answered, "dato", "yes", &[&done("dato"), is_done, COMMAND]);
    let noted = ["audit agreed by dato: request 7: Noted", "request 7 is open, agreed: dato nino"];
    follows(request(&[], false, 3, &[]), "dato", "yes", &noted);
    follows(
        request(&[], false, 3, &["levan"]),
        "dato",
        "yes",
        &[&done("dato"), agrees, "request 7 is done, agreed: dato levan nino", COMMAND],
    );
}

#[test]
fn a_no_ends_a_request_and_invalid_votes_are_answered() {
    let declined = [
        "audit declined by dato: request 7: Declined",
        "to nino over main under asked: ❌ Dato does not agree: Open gate",
        "request 7 is declined, agreed: nino",
    ];
    follows(request(&[], false, 2, &[]), "dato", "no", &declined);
    let own = ["audit declined by nino: request 7: Declined", "request 7 is declined, agreed: "];
    follows(request(&[], true, 1, &[]), "nino", "no", &own);
    // A role was taken away since.
    let refused = [
        "refused levan: it needs the role manager",
        "audit refused by levan: it needs the role manager",
        "to levan over main under in: “Open gate” was not done: it needs the role manager.",
    ];
    follows(request(&["manager"], false, 2, &[]), "levan", "yes", &refused);
    let mut over = request(&[], true, 1, &[]);
    over.pending.is_open = false;
    let late = [
        "audit agreed by nino: request 7: TooLate",
        "to nino over main under in: That is decided already, or its time is over.",
    ];
    follows(over, "nino", "yes", &late);
    let own = [
        "audit agreed by nino: request 7: NotYours",
        "to nino over main under in: Somebody else has to agree to that.",
    ];
    follows(request(&[], false, 2, &[]), "nino", "yes", &own);
    let gone = Site::new(ReplyFacts::default()).follows("nino", &vote(7, "yes"));
    assert_eq!(gone, ["to nino over main under in: Nothing waits for that any more."]);
}

fn question(needed: u32) -> OpenQuestion {
    OpenQuestion {
        id: 8,
        name: "refund".into(),
        key: None,
        text: "Refund?".into(),
        choices: ["Approve", "Deny"].map(str::to_owned).to_vec(),
        voters: ["nino", "dato", "levan"].map(str::to_owned).to_vec(),
        needed,
        response_topic: "pos/1/decision".into(),
        correlation: None,
        default_choice: "Deny".into(),
        connection: ConnectionName("main".into()),
        expires_at: minutes(5),
        decision: None,
    }
}

/// What follows of that person's choice, after these have chosen; a command that decides comes apart.
fn chooses(
    asked: Option<OpenQuestion>,
    before: &[(&str, &str)],
    who: &str,
    choice: &str,
) -> (Vec<String>, Vec<String>) {
    let votes = before.iter().map(|(who, choice)| (ContactId::from(*who), (*choice).to_owned())).collect();
    let site = Site::new(ReplyFacts { question: asked, votes, ..ReplyFacts::default() });
    let subject = ButtonSubject::Question(8);
    let choice = Interpretation::Vote { contact: who.into(), subject, choice: choice.into() };
    site.follows(who, &choice).into_iter().partition(|line| !line.starts_with("command "))
}

#[test]
fn a_machine_gets_a_decision_once_enough_chose_the_same() {
    for (needed, before, choice, count, decides) in [
        (1, vec![], "c0", 1, true),
        (1, vec![], "Approve", 1, true),
        (2, vec![("dato", "Deny")], "c0", 1, false),
        (2, vec![("dato", "Approve")], "c0", 2, true),
        // The first choice of a person counts.
        (2, vec![("nino", "Deny"), ("dato", "Approve")], "c0", 1, false),
        (2, vec![("nino", "Approve")], "c0", 1, false),
    ] {
        let (found, commands) = chooses(Some(question(needed)), &before, "nino", choice);
        let audit = format!("audit chose by nino: question 8: Approve, {count} of {needed}");
        let closes = decides.then(|| "question 8 closes: Approve".to_owned());
        let expected = ["nino votes Approve in 8".to_owned(), audit].into_iter().chain(closes);
        assert_eq!(found, Vec::from_iter(expected), "{needed} {before:?}");
        assert_eq!(commands.len(), usize::from(decides), "{needed} {before:?}");
        for line in commands {
            assert!(line.starts_with("command pos/1/decision <- {\"by\":\"p-"), "{line}");
            assert!(line.ends_with("audit decided by nino: question 8: Approve"), "{line}");
        }
    }
}

#[test]
fn a_choice_that_does_not_count_is_answered() {
    let decided = OpenQuestion { decision: Some("Approve".into()), ..question(1) };
    let late = OpenQuestion { expires_at: NOW, ..question(1) };
    let said = |text: &str| vec![format!("to nino over main under in: {text}")];
    for (asked, choice, expected) in [
        (None, "c0", said("Nothing waits for that any more.")),
        (Some(question(1)), "c9", vec![]),
        (Some(decided), "c1", said("That is decided already: Approve.")),
        (Some(late), "c0", said("The time for that is over.")),
    ] {
        assert_eq!(chooses(asked, &[], "nino", choice), (expected, vec![]), "{choice}");
    }
    // In the configuration others are asked now.
    let (found, _) = chooses(Some(question(1)), &[], "levan", "c0");
    let reason = "the person is not asked any more";
    let refused = format!("refused levan: {reason}");
    let audit = format!("audit refused by levan: {reason}");
    let told = "to levan over main under in: You were not asked that. Nothing was done.".to_owned();
    assert_eq!(found, [refused, audit, told]);
}
