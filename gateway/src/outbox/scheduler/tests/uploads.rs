//! Files go to Meta before their message.

use super::*;

/// A message with a picture that a camera has.
fn pictured(id: i64, contact: &str) -> DueMessage {
    let picture = Part::Image(Media::Fetch { url: "http://192.0.2.1/a.jpg".into() });
    DueMessage { content: Content { part: Some(picture), ..Content::text("door") }, ..due(id, contact) }
}

fn sending(effects: &[SchedulerEffect]) -> Vec<i64> {
    let id = |effect: &SchedulerEffect| {
        if let SchedulerEffect::Commit(MessageUpdate::Sending { id, .. }) = effect {
            Some(id.0)
        } else {
            None
        }
    };
    effects.iter().filter_map(id).collect()
}

#[test]
fn a_message_waits_for_its_files_while_others_leave() {
    for (uploaded, left) in [
        (Ok(vec![Media::Id("7".into())]), ("door", Some(Part::Image(Media::Id("7".into()))))),
        (Err("no answer".to_owned()), ("door\n(no picture: no answer)", None)),
    ] {
        let mut fixture = Fixture::new();
        fixture.tell(SchedulerInput::Wake, NOW);
        let effects = fixture.tell(found(vec![pictured(1, "nino")]), NOW);
        assert!(effects.contains(&SchedulerEffect::Upload(Box::new(pictured(1, "nino")))), "{effects:?}");
        assert!(sending(&effects).is_empty() && fixture.sender.is_idle(), "nothing of it is at Meta");
        let asked = asked(&effects);
        assert_eq!(asked.uploads, BTreeMap::from([(lane("nino"), None)]));
        assert_eq!(asked.reread, [lane("nino")].into(), "at once, for what may go before it");
        let effects = fixture.tell(found(vec![due(2, "nino")]), NOW);
        assert_eq!(sending(&effects), [2], "the next one does not wait for it");
        fixture.answer(2, accepted(), NOW);
        let effects = fixture.tell(SchedulerInput::Uploaded(MessageId(1), uploaded), NOW);
        let Some(SchedulerEffect::Look(asked)) = effects.last() else { panic!("{effects:?}") };
        assert_eq!(asked.reread, [lane("nino")].into());
        assert_eq!(asked.uploads, BTreeMap::from([(lane("nino"), Some(MessageId(1)))]));
        let effects = fixture.tell(found(vec![pictured(1, "nino")]), NOW);
        assert_eq!(sending(&effects), [1]);
        let effects = fixture.tell(SchedulerInput::SendingCommitted(MessageId(1)), NOW);
        let [SchedulerEffect::Post(under_way)] = &effects[..] else { panic!("{effects:?}") };
        let due = &under_way.0;
        assert_eq!((due.content.text.as_str(), due.content.part.clone()), left);
        fixture.answer(1, accepted(), NOW);
        assert!(self::asked(&fixture.tell(SchedulerInput::Wake, NOW)).uploads.is_empty(), "it is over");
    }
}

#[test]
fn four_uploads_at_once_and_one_for_each_person() {
    let mut fixture = Fixture::new();
    fixture.tell(SchedulerInput::Wake, NOW);
    let people = ["a", "a", "b", "c", "d", "e"];
    let due = people.iter().zip(1..).map(|(who, id)| pictured(id, who)).collect();
    let effects = fixture.tell(found(due), NOW);
    let began = effects.iter().filter(|effect| matches!(effect, SchedulerEffect::Upload(_))).count();
    assert_eq!((began, asked(&effects).uploads_full, asked(&effects).all), (UPLOADS_MAX, true, true));
    let lapsed = LaneReport { lapsed: vec![MessageId(1)], ..LaneReport::default() };
    fixture.tell(SchedulerInput::Lanes(lapsed), NOW);
    let wanted = asked(&fixture.tell(SchedulerInput::Wake, NOW));
    assert!(
        wanted.all && !wanted.uploads_full && !wanted.uploads.contains_key(&lane("a")),
        "one was cancelled"
    );
}

/// What the store is asked.
fn asked(effects: &[SchedulerEffect]) -> LaneRequest {
    let look = |effect: &SchedulerEffect| {
        if let SchedulerEffect::Look(wanted) = effect { Some(wanted.clone()) } else { None }
    };
    effects.iter().find_map(look).expect("asked")
}
