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
fn a_message_leaves_when_its_files_are_there_and_others_meanwhile() {
    for (uploaded, left) in [
        (Ok(vec![Media::Id("7".into())]), ("door", Some(Part::Image(Media::Id("7".into()))))),
        (Err("no answer".to_owned()), ("door\n(no picture: no answer)", None)),
    ] {
        let mut desk = Desk::new();
        let found = |due: Vec<DueMessage>| SchedulerInput::Loaded(Work { due, ..Work::default() });
        desk.tell(SchedulerInput::Wake, NOW);
        let effects = desk.tell(found(vec![pictured(1, "nino")]), NOW);
        assert!(effects.contains(&SchedulerEffect::Upload(Box::new(pictured(1, "nino")))), "{effects:?}");
        assert!(sending(&effects).is_empty() && desk.sender.is_idle(), "nothing of it is at Meta");
        let asked = effects
            .iter()
            .find_map(|effect| if let SchedulerEffect::Load(wanted) = effect { Some(wanted) } else { None });
        assert_eq!(asked.expect("asked again at once").uploads, BTreeMap::from([(lane("nino"), None)]));
        let effects = desk.tell(found(vec![due(2, "nino")]), NOW);
        assert_eq!(sending(&effects), [2], "the next one does not wait for it");
        desk.answer(2, accepted(), NOW);
        let effects = desk.tell(SchedulerInput::Uploaded(MessageId(1), uploaded), NOW);
        let Some(SchedulerEffect::Load(asked)) = effects.last() else { panic!("{effects:?}") };
        assert_eq!(asked.uploads, BTreeMap::from([(lane("nino"), Some(MessageId(1)))]));
        let effects = desk.tell(found(vec![pictured(1, "nino")]), NOW);
        assert_eq!(sending(&effects), [1]);
        let effects = desk.tell(SchedulerInput::SendingCommitted(MessageId(1)), NOW);
        let [SchedulerEffect::Post(due, _)] = &effects[..] else { panic!("{effects:?}") };
        assert_eq!((due.content.text.as_str(), due.content.part.clone()), left);
        desk.answer(1, accepted(), NOW);
        assert!(wanted(&mut desk, NOW).uploads.is_empty(), "it is over");
    }
}

#[test]
fn four_uploads_at_once_and_one_for_each_person() {
    let mut desk = Desk::new();
    desk.tell(SchedulerInput::Wake, NOW);
    let people = ["a", "a", "b", "c", "d", "e"];
    let due = people.iter().zip(1..).map(|(who, id)| pictured(id, who)).collect();
    let effects = desk.tell(SchedulerInput::Loaded(Work { due, ..Work::default() }), NOW);
    let began = effects.iter().filter(|effect| matches!(effect, SchedulerEffect::Upload(_))).count();
    let asked = effects
        .iter()
        .find_map(|effect| if let SchedulerEffect::Load(wanted) = effect { Some(wanted) } else { None });
    assert_eq!((began, asked.expect("asked").uploads_full), (UPLOADS_MAX, true));
    desk.tell(SchedulerInput::Loaded(Work { lapsed: vec![MessageId(1)], ..Work::default() }), NOW);
    let wanted = wanted(&mut desk, NOW);
    assert!(!wanted.uploads_full && !wanted.uploads.contains_key(&lane("a")), "one was cancelled");
}
