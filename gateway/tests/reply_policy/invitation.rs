use bellwire::contact::{Guest, Phone};
use bellwire::reply::invitation_syntax::{Invitation, InvitationRequest};

use super::*;

fn invite(number: &str, name: &str, gives: &[&str]) -> Interpretation {
    let phone = Phone::parse(number).expect("a number");
    let gives = gives.iter().map(|give| (*give).to_owned()).collect();
    let wanted = InvitationRequest::Invite(Invitation { phone, name: name.into(), gives });
    Interpretation::Invite { contact: "nino".into(), wanted }
}

fn guest(number: &str) -> Guest {
    Guest {
        id: "maka".into(),
        name: "Maka".into(),
        phone: Phone::parse(number).expect("a number"),
        roles: ["manager".to_owned()].into(),
        teams: std::collections::BTreeSet::new(),
        places: Vec::new(),
        by: "nino".into(),
    }
}

#[test]
fn an_owner_gives_what_they_have_and_no_more() {
    let mut site = Site::new(ReplyFacts { free_id: Some("maka".into()), ..ReplyFacts::default() });
    let new = "+995 555 77 77 77";
    for (gives, invited) in [
        (vec![], Ok("invite maka as  for 3 days")),
        (vec!["Manager", "bar"], Ok("invite maka as manager bar for 3 days")),
        (vec!["owners"], Ok("invite maka as owners for 3 days")),
        (vec!["cook"], Err("you have no role “cook” to give, and there is no such team")),
    ] {
        let found = site.follows("nino", &invite(new, "Maka", &gives));
        match invited {
            Ok(invited) => {
                assert_eq!(found[0], invited);
                assert!(found[1].starts_with("audit invited by nino: p-"), "{found:?}");
                assert!(found[2].starts_with("to maka over main: "), "{found:?}");
                assert!(found[3].starts_with("to nino over main under in: "), "{found:?}");
            }
            Err(why) => assert_eq!(found[0], format!("refused nino: {why}")),
        }
    }
    let found = site.follows("dato", &invite(new, "Maka", &["owners"]));
    assert!(found[0].starts_with("refused dato: "), "to be in it is a right that Dato lacks: {found:?}");
    let known = site.follows("nino", &invite("+995 555 00 00 02", "Levan", &[]));
    assert_eq!(known.len(), 1, "{known:?}");
    site.facts.invited_lately = 10;
    let found = site.follows("nino", &invite(new, "Maka", &[]));
    assert_eq!(found[0], "refused nino: more than 10 invitations in a day");
}

#[test]
fn whoever_is_on_the_list_or_asked_is_taken_off() {
    let remove = |number: &str| {
        let wanted = InvitationRequest::Remove(Phone::parse(number).expect("a number"));
        Interpretation::Invite { contact: "nino".into(), wanted }
    };
    let (mine, others) = ("+995 555 77 77 77", "+995 555 77 77 78");
    for (what, guests, invitations, number, is_off) in [
        ("joined", vec![guest(mine)], vec![], mine, true),
        ("asked", vec![], vec![(guest(mine), None)], mine, true),
        ("said No", vec![], vec![(guest(mine), Some(NOW))], mine, false),
        ("another", vec![guest(others)], vec![], mine, false),
        ("in the file", vec![], vec![], "+995 555 00 00 02", false),
    ] {
        let site = Site::new(ReplyFacts { guests, invitations, ..ReplyFacts::default() });
        let found = site.follows("nino", &remove(number));
        assert_eq!(found[0] == "maka is off the list", is_off, "{what}: {found:?}");
        assert_eq!(found.len(), if is_off { 3 } else { 1 }, "{what}: {found:?}");
    }
}
