use bellwire::command::action::{Awaited, ResolvedAction};
use bellwire::command::approval::{Pending, Request};
use bellwire::command::command_state::CommandState;
use bellwire::command::device_answer::{DeviceVerdict, REFUSED};
use bellwire::command::dispatch::CommandUpdate;
use bellwire::command::outcome::{
    CommandStory, answered, dispatched, dropped, ended_by_device, request_dropped, request_expired, silent,
    tell,
};
use bellwire::device::order::{CommandEnd, EndState};
use bellwire::ids::CommandId;

use super::*;

const ID: CommandId = CommandId(4);

/// Nino has asked for the gate, with the message `asked`.
fn gate(state: &str) -> CommandStory {
    CommandStory {
        id: ID,
        reply: Some(Wamid("asked".into())),
        contact: "nino".into(),
        connection: ConnectionName("main".into()),
        title: "Open gate".into(),
        state: CommandState::parse(state).expect("a state"),
        reason: None,
        answer: Some(Awaited { topic: None, when: None, refused_when: None, within_ms: 1_000 }),
    }
}

fn lines(effects: &[ReplyEffect]) -> Vec<String> {
    effects.iter().map(line).collect()
}

/// The gate may have had what counts as expired or refused: its acknowledgement was lost. What the device says is true, whatever
/// we believed; an end that it told stays.
#[test]
fn a_device_is_believed_whatever_was_thought_of_its_command() {
    let site = Site::new(ReplyFacts::default());
    let context = site.config.context(&site.seal, NOW);
    for (state, may_answer, may_be_silent) in [
        ("published", true, true),
        ("queued", true, false),
        ("silent", true, false),
        ("expired", true, false),
        ("refused", true, false),
        ("done", false, false),
        ("failed", false, false),
    ] {
        let done = answered(&gate(state), &DeviceVerdict::Done(None), &context);
        assert_eq!(!done.is_empty(), may_answer, "{state}");
        assert_eq!(!silent(&gate(state), &context).is_empty(), may_be_silent, "{state}");
    }
}

#[test]
fn whoever_asked_hears_the_end_once() {
    let site = Site::new(ReplyFacts::default());
    let context = site.config.context(&site.seal, NOW);
    let to = "to nino over main under asked:";
    for (verdict, expected) in [
        (
            DeviceVerdict::Done(None),
            vec!["command 4 is done: -", "audit answered by : Open gate: done", "to nino over main: a mark "],
        ),
        (
            DeviceVerdict::Done(Some("for 5 s".into())),
            vec![
                "command 4 is done: for 5 s",
                "audit answered by : Open gate: done, for 5 s",
                &format!("{to} ✅ Open gate: for 5 s"),
            ],
        ),
        (
            DeviceVerdict::Refused("a car".into()),
            vec![
                "command 4 is failed: a car",
                "audit answered by : Open gate: failed, a car",
                &format!("{to} ❌ Open gate: a car"),
            ],
        ),
        (DeviceVerdict::Undecided, vec![]),
    ] {
        assert_eq!(lines(&answered(&gate("published"), &verdict, &context)), expected);
    }
    let refused = lines(&answered(&gate("published"), &DeviceVerdict::Refused(REFUSED.into()), &context));
    assert!(
        refused[2].starts_with(&format!("{to} ❌ Open gate: ")) && refused[2] != refused[1],
        "{refused:?}"
    );
    assert_eq!(
        lines(&silent(&gate("published"), &context)),
        [
            "command 4 is silent: no answer within 1 s",
            "audit answered by : Open gate: silent, no answer within 1 s",
            &format!("{to} ⏳ Open gate: sent, but no answer came. Please look yourself."),
        ]
    );
}

#[test]
fn over_another_number_nothing_is_quoted_or_marked() {
    let site = Site::new(ReplyFacts::default());
    let context = site.config.context(&site.seal, NOW);
    let told = |command: &CommandStory, text: Option<&str>| {
        lines(tell(command, text.map(str::to_owned), &context).as_slice())
    };
    let gone = CommandStory { connection: ConnectionName("gone".into()), ..gate("published") };
    assert_eq!(told(&gone, None), ["to nino over main: ✅ Open gate"]);
    assert_eq!(told(&gone, Some("x")), ["to nino over main: x"]);
    let nobody = CommandStory { contact: "nobody".into(), ..gate("published") };
    assert!(told(&nobody, Some("x")).is_empty());
    let of_clock = CommandStory { reply: None, ..gate("published") };
    assert!(told(&of_clock, None).is_empty(), "there is nothing to mark");
}

#[test]
fn only_failed_publishing_is_told() {
    let site = Site::new(ReplyFacts::default());
    let context = site.config.context(&site.seal, NOW);
    let to = "to nino over main under asked: ❌ Open gate was not done: ";
    for (update, audit, said) in [
        (CommandUpdate::Published { id: ID, at: NOW }, "published by : the broker has it", None),
        (
            CommandUpdate::Refused { id: ID, at: NOW, reason: "not authorised".into() },
            "failed by : not authorised",
            Some("not authorised"),
        ),
        (
            CommandUpdate::Expired { id: ID, at: NOW },
            "expired by : the broker could not be reached in time",
            Some(""),
        ),
    ] {
        let found = lines(&dispatched(&gate("queued"), &update, &context));
        assert_eq!(found[..2], [format!("{update:?}"), format!("audit {audit}")]);
        assert_eq!(found.len(), 2 + usize::from(said.is_some()));
        assert!(said.is_none_or(|why| found[2].starts_with(&format!("{to}{why}"))), "{found:?}");
        assert!(dispatched(&gate("done"), &update, &context).is_empty(), "the device was faster");
    }
    let update = CommandUpdate::Refused { id: ID, at: NOW, reason: "gone".into() };
    assert_eq!(dropped(&gate("queued"), &update, "gone", false, &context).len(), 2);
    let found = lines(&dropped(&gate("queued"), &update, "gone", true, &context));
    assert!(found[1] == "audit failed by : gone" && found[2].starts_with(to), "{found:?}");
}

#[test]
fn an_end_told_by_the_devices_own_link_is_recorded() {
    let site = Site::new(ReplyFacts::default());
    let context = site.config.context(&site.seal, NOW);
    let unanswered = CommandStory { answer: None, ..gate("done") };
    for (command, state, said) in [
        (Some(gate("done")), EndState::Done, Some(" a mark ")),
        (Some(unanswered), EndState::Done, None),
        (Some(gate("refused")), EndState::Refused, Some("❌ Open gate: why")),
        (Some(gate("expired")), EndState::Expired, Some("❌ Open gate was not done: why")),
        (Some(gate("silent")), EndState::NoAnswer, Some("⏳ Open gate: sent, but no answer came")),
        (None, EndState::Refused, None),
    ] {
        let ending = CommandEnd { state, reason: "why".into() };
        let found = lines(&ended_by_device(ID, command.as_ref(), &ending, &context));
        assert_eq!(found[0], format!("audit answered by : {}, why", CommandState::from(state).as_str()));
        assert_eq!(found.len(), 1 + usize::from(said.is_some()), "{found:?}");
        assert!(said.is_none_or(|said| found[1].contains(said)), "{found:?}");
    }
}

#[test]
fn an_expired_request_ends_and_its_asker_is_told() {
    let site = Site::new(ReplyFacts::default());
    let context = site.config.context(&site.seal, NOW);
    for (confirm, is_told) in [(true, false), (false, true)] {
        let action = ResolvedAction {
            alert: None,
            name: "gate".into(),
            title: "Open gate".into(),
            topic: "site/gate/set".into(),
            payload: "OPEN".into(),
            retain: false,
            roles: std::collections::BTreeSet::new(),
            expires_ms: 120_000,
            answer: None,
        };
        let (reply, connection) = (Wamid("asked".into()), ConnectionName("main".into()));
        let pending = Pending::new("nino".into(), confirm, 2, NOW);
        let request = Request { id: 7, reply, connection, action, pending };
        let found = lines(&request_expired(&request, &context));
        assert!(found[0].starts_with("request 7 is expired"), "{found:?}");
        assert_eq!(found[1], "audit expired by : request 7: the time is over");
        assert_eq!(
            found.len(),
            2 + usize::from(is_told),
            "who did not answer a question back knows: {found:?}"
        );
        let found = lines(&request_dropped(&request, "gone", &context));
        assert_eq!(found[1], "audit expired by : request 7: gone");
        assert!(
            found[2].starts_with("to nino over main under asked: ❌ Open gate was not done: "),
            "{found:?}"
        );
    }
}
