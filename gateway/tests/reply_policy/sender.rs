use bellwire::contact::Phone;
use bellwire::reply::inbound::{IdentityChange, Preference};
use bellwire::reply::opt_out::ConsentWord;
use bellwire::reply::sender::{Identity, KnownUser, has_moved, of_identity, prefers};

use super::*;

const ADDRESS: &str = "+995555123456";

#[test]
fn rights_follow_the_first_user_of_a_number() {
    use Identity::{Changed, First, Former, Known, Moved};
    let at = |minutes: i64| Timestamp(NOW.0 + minutes * 60_000);
    let known = |user: &str, since| KnownUser {
        user_id: Some(user.to_owned()),
        of: Some(ADDRESS.to_owned()),
        since: Some(at(since)),
        ..KnownUser::default()
    };
    let moved = |user, moved| KnownUser { moved_at: Some(at(moved)), ..known(user, -9) };
    let accepted = |accepted| KnownUser { accepted_at: Some(at(accepted)), ..KnownUser::default() };
    let elsewhere = KnownUser { of: Some("+49".into()), ..known("US.2", -9) };
    for (stands, user_id, expected) in [
        (KnownUser::default(), None, (Known, None)),
        (KnownUser::default(), Some("US.1"), (Known, Some(at(0)))),
        (known("US.1", -9), Some("US.1"), (Known, Some(at(-9)))),
        (known("US.1", 9), Some("US.1"), (Known, Some(at(0)))), // it was under way for longer
        (known("US.1", -9), None, (Known, None)),
        (known("US.2", -9), Some("US.1"), (Changed, None)),
        (known("US.2", 9), Some("US.1"), (First, Some(at(0)))),
        (elsewhere, Some("US.1"), (Known, Some(at(0)))),
        (moved("US.1", 0), Some("US.1"), (Moved, None)),
        (moved("US.1", 1), Some("US.1"), (Known, Some(at(-9)))),
        (accepted(1), Some("US.1"), (Former, None)),
        (accepted(1), None, (Former, None)),
        (accepted(0), Some("US.1"), (Known, Some(at(0)))),
        (KnownUser { accepted_at: Some(at(1)), ..known("US.1", -9) }, Some("US.1"), (Known, Some(at(-9)))),
    ] {
        assert_eq!(stands.clone().judge(ADDRESS, user_id, NOW), expected, "{stands:?} {user_id:?}");
    }
}

#[test]
fn uncertain_senders_do_not_act_and_owners_are_told() {
    let site = Site::new(ReplyFacts::default());
    let (context, over) = (site.config.context(&site.seal, NOW), ConnectionName("main".into()));
    let nino = &site.config.people.contacts[&ContactId::from("nino")];
    for (identity, acts, is_told) in [
        (Identity::Known, true, false),
        (Identity::First, true, true),
        (Identity::Changed, false, true),
        (Identity::Moved, false, false),
        (Identity::Former, false, false),
    ] {
        let (why, told) = of_identity(identity, nino, &over, &context);
        assert_eq!((why.is_none(), told.is_some()), (acts, is_told), "{identity:?}: {why:?}");
        assert!(told.is_none_or(|told| told.notice.field == "identity nino" && told.messages.len() == 1));
    }
    for (what, field, messages) in [
        (IdentityChange::Number("995555999999".into()), "moved nino", 1),
        (IdentityChange::UserId, "moved nino", 1),
        (IdentityChange::Phone, "moved nino", 0),
    ] {
        let told = has_moved(&what, nino, &over, &context);
        assert_eq!((told.notice.field.as_str(), told.messages.len()), (field, messages), "{what:?}");
    }
    let wish = Preference { phone_number_id: "1".into(), from: None, user_id: None, wants: false, at: NOW };
    let told = prefers(&wish, nino, &over, &context);
    assert_eq!(told.notice.text, "Nino asked WhatsApp to stop marketing messages of this business");
    assert!(told.messages.is_empty() && told.notice.at == Some(NOW));
}

#[test]
fn the_newest_stop_or_start_counts_and_is_answered_once() {
    let source = "a WhatsApp message to main (in)".to_owned();
    let is_late = "nothing: a later wish of the same person came before it, and counts";
    let second = Duration::from_secs(1);
    for (newest, counts) in [
        (None, true),
        (Some((NOW - second, "z".to_owned())), true),
        (Some((NOW, source.clone())), true),
        (Some((NOW, "b".to_owned())), false),
        (Some((NOW + second, "a".to_owned())), false),
    ] {
        for (wish, given) in [(ConsentWord::Stop, false), (ConsentWord::Start, true)] {
            let site = Site::new(ReplyFacts { newest_wish: newest.clone(), ..ReplyFacts::default() });
            let found = site.follows("levan", &Interpretation::Consent { contact: "levan".into(), wish });
            assert_eq!(found[0], format!("levan wants messages: {given}, by {source}"));
            let answers = found[1].starts_with("to levan over main: ");
            assert_eq!((answers, found[1] == is_late), (counts, !counts), "{newest:?}: {found:?}");
        }
    }
    let mut site = Site::new(ReplyFacts::default());
    let people = std::sync::Arc::make_mut(&mut site.config.people);
    let levan = people.contacts.get_mut(&ContactId::from("levan")).expect("levan");
    levan.may_stop = false;
    let stop = Interpretation::Consent { contact: "levan".into(), wish: ConsentWord::Stop };
    let found = site.follows("levan", &stop);
    assert!(found.len() == 1 && found[0].starts_with("to levan over main: "), "on duty: {found:?}");
}

#[test]
fn a_shared_number_is_shown_to_the_owner() {
    let site = Site::new(ReplyFacts::default());
    let numbers = vec![Phone::parse("+1 555 010 0177").expect("a number")];
    let reply = InboundMessage { content: InboundContent::SharedNumber(numbers), ..wrote("") };
    let nothing = Interpretation::Nothing { contact: Some("levan".into()), reason: "x".into() };
    let found = site.follows_of("levan", &nothing, &reply);
    assert_eq!(found[0], "nothing: x");
    assert!(found[1].starts_with("owner [shared number levan] to nino over second: "), "{found:?}");
    assert!(found[1].contains("+15550100177"), "{found:?}");
    assert_eq!(site.follows("levan", &nothing).len(), 1);
}
