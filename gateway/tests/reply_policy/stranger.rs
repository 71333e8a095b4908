use std::collections::BTreeSet;

use bellwire::contact::{Guest, KnownIdentity, Phone};
use bellwire::reply::facts::{GuestFacts, StrangerFacts};
use bellwire::reply::stranger::{answer_again, answers_again, invited, meet};

use super::*;

fn guest() -> Guest {
    Guest {
        id: "maka".into(),
        name: "Maka".into(),
        phone: Phone::parse("+995 555 77 77 77").expect("a number"),
        roles: ["manager".to_owned()].into(),
        teams: BTreeSet::new(),
        places: Vec::new(),
        by: "nino".into(),
    }
}

/// What follows of a stranger's message.
fn meets(reply: &InboundMessage, facts: &StrangerFacts) -> Vec<String> {
    let site = Site::new(ReplyFacts::default());
    let over = ConnectionName("main".into());
    meet(reply, &over, &site.config.context(&site.seal, NOW), facts).iter().map(line).collect()
}

#[test]
fn a_stranger_is_answered_once_and_the_owner_told() {
    let answered = StrangerFacts { is_answered: true, ..StrangerFacts::default() };
    let found = meets(&wrote("hello"), &answered);
    assert_eq!(found[..2], ["nothing: the sender is no contact", "met +995555777777, answered: true"]);
    assert!(
        found[2].starts_with("heard of stranger p-") && found[3].starts_with("to stranger p-"),
        "{found:?}"
    );
    assert!(
        found[4].starts_with("owner [stranger +995555777777] to nino over second: ")
            && found[4].ends_with("if they should be one, write: invite +995555777777 NAME as ROLE"),
        "{found:?}"
    );
    let again = meets(&wrote("hello"), &StrangerFacts::default());
    assert_eq!(again, ["nothing: the sender is no contact", "met +995555777777, answered: false"]);
    let hidden = InboundMessage { from: None, user_id: Some("US.1".into()), ..wrote("hello") };
    let told = meets(&hidden, &answered);
    assert!(told[4].ends_with("add a [[contact]] with this user_id"), "{told:?}");
    let in_group = InboundMessage { group: Some("g".into()), ..wrote("hello") };
    assert_eq!(meets(&in_group, &answered), ["nothing: a stranger wrote in a group"]);
}

#[test]
fn an_invitation_is_answered_in_any_spelling_of_its_number() {
    let all = || vec![(guest(), None)];
    let none = KnownIdentity::default();
    assert_eq!(invited(&wrote("yes"), &none, all()).len(), 1);
    let other = InboundMessage { from: Some("995555000000".into()), ..wrote("yes") };
    assert_eq!(invited(&other, &none, all()).len(), 0);
    let by_alias = vec![("maka".into(), "+995555777777".to_owned())];
    assert_eq!(invited(&other, &KnownIdentity { by_alias, by_id: None }, all()).len(), 1);
}

#[test]
fn whoever_is_invited_joins_declines_or_is_asked_again() {
    let facts = |declined_at: Option<Timestamp>| StrangerFacts {
        invited: vec![(guest(), declined_at)],
        ..StrangerFacts::default()
    };
    let heard = "heard of maka over main";
    let stop = "maka wants messages: false, by STOP to the invitation of nino (in)";
    let start = "maka wants messages: true, by Yes to the invitation of nino (in)";
    let joined = [
        "maka joins",
        "maka is nobody known from +995555777777",
        start,
        "audit joined by maka: by invitation",
    ];
    let declined = "audit declined by maka: the invitation";
    let not_yet = "nothing: an invited person has not answered yet";
    let (before, after) = (Some(NOW - Duration::from_secs(1)), Some(NOW + Duration::from_secs(1)));
    let releases = StrangerFacts { releases: true, ..facts(None) };
    let asked_again = StrangerFacts { is_answered: true, ..facts(None) };
    let overtaken = StrangerFacts { is_overtaken: true, ..facts(None) };
    for (words, facts, expected) in [
        ("yes", &facts(None), [&[heard], &joined[..]].concat()),
        ("no", &facts(None), vec![heard, "maka declines", declined]),
        ("no", &overtaken, vec![heard, "nothing: an invited person said Yes since"]),
        ("STOP", &facts(None), vec![stop, heard, "maka is declined", declined]),
        ("hello", &releases, vec![heard, not_yet]),
        ("hello", &facts(None), vec![heard, not_yet, "met +995555777777, answered: false"]),
        ("hello", &asked_again, vec![heard, not_yet, "met +995555777777, answered: true"]),
        ("yes", &facts(before), joined.to_vec()),
        ("yes", &facts(after), vec![start, "nothing: an invited person said No since"]),
        ("no", &facts(before), vec!["maka declines", "nothing: an invited person said No before"]),
        ("STOP", &facts(before), vec![stop, "nothing: an invited person said No before"]),
        (
            "hello",
            &facts(before),
            vec!["nothing: the sender is no contact", "met +995555777777, answered: false"],
        ),
    ] {
        let found = meets(&wrote(words), facts);
        let (said, found): (Vec<String>, Vec<String>) =
            found.into_iter().partition(|line| line.starts_with("to "));
        assert_eq!(found, expected, "{words} {facts:?}");
        // Both hear of a Yes and of a first No; whoever asks again is asked again.
        let tells = if joined.iter().all(|line| expected.contains(line)) || expected.contains(&declined) {
            2
        } else {
            0
        };
        assert_eq!(said.len(), tells + usize::from(facts.is_answered), "{words} {said:?}");
    }
    let forwarded = InboundMessage { forwarded: true, ..wrote("yes") };
    assert_eq!(meets(&forwarded, &releases), [heard, not_yet], "nobody said it");
}

#[test]
fn an_invitation_is_void_when_its_inviter_lost_permission() {
    for (by, roles) in [("dato", vec!["manager"]), ("nobody", vec![]), ("nino", vec!["cook"])] {
        let roles = roles.into_iter().map(str::to_owned).collect();
        let guest = Guest { by: by.into(), roles, ..guest() };
        let found =
            meets(&wrote("yes"), &StrangerFacts { invited: vec![(guest, None)], ..StrangerFacts::default() });
        assert_eq!(
            found[1..4],
            [
                "nothing: whoever invited may not any more",
                "maka is removed",
                "audit refused by maka: whoever invited may not any more"
            ]
        );
    }
    let twins = vec![(guest(), None), (Guest { id: "other".into(), ..guest() }, None)];
    let found = meets(&wrote("yes"), &StrangerFacts { invited: twins, ..StrangerFacts::default() });
    assert!(found.len() == 1 && found[0].starts_with("owner [two people +995555777777]"), "{found:?}");
}

#[test]
fn somebody_on_the_list_thinks_again_about_the_invitation() {
    let site = Site::new(ReplyFacts::default());
    let context = site.config.context(&site.seal, NOW);
    let nothing = Interpretation::Nothing { contact: Some("maka".into()), reason: "x".into() };
    let tap = |id: &str| InboundContent::Tap { id: id.into(), title: id.into() };
    let says = |content: InboundContent| InboundMessage { content, ..wrote("") };
    let text = |words: &str| says(InboundContent::Text(words.into()));
    let quoting = InboundMessage { quotes: Some(Wamid("x".into())), ..text("no") };
    let forwarded = InboundMessage { forwarded: true, ..says(tap("no")) };
    for (reply, is_about_invitation, is_overtaken, expected) in [
        (says(tap("yes")), false, false, Some("maka joins")),
        (says(tap("no")), false, false, Some("maka declines")),
        (says(tap("no")), false, true, Some("nothing: an invited person said Yes since")),
        (text("no"), true, false, Some("maka declines")),
        (text("no"), false, false, None),
        (text("yes"), true, false, None),
        (quoting, true, false, None),
        (forwarded, true, false, None),
    ] {
        let facts = GuestFacts { guest: guest(), is_about_invitation, is_overtaken };
        let over = ConnectionName("main".into());
        let choice = answers_again(&reply, &nothing);
        let again = choice.and_then(|choice| answer_again(choice, &reply, &over, &context, &facts));
        let found: Option<Vec<String>> = again.map(|(_, follows)| follows.iter().map(line).collect());
        let is_it = |found: &Vec<String>| expected.is_some_and(|line| found.iter().any(|one| one == line));
        assert_eq!(found.is_some(), expected.is_some(), "{reply:?}: {found:?}");
        assert!(found.as_ref().is_none_or(is_it), "{reply:?}: {found:?}");
    }
}
