use super::*;

/// Its program publishes under another name than its messages say: it hears so, and people can read it.
#[test]
fn a_name_that_differs_from_its_topic_is_reported_rarely() {
    let mut fleet = welcomed();
    let (mut answers, mut notes) = (0, 0);
    for second in 0..3_600_u64 {
        let now = NOW + Duration::from_secs(second);
        let topic = if second < 10 { "g".to_owned() } else { format!("h{}\u{1b}[2J", second % 100) };
        let message = if second % 2 == 0 { hello("other", 1) } else { event(1, 1, 0) };
        let effects = play(&mut fleet, over_mqtt(message, &topic), now);
        for effect in &effects {
            match effect {
                ExchangeEffect::Send { device, kind: Kind::Ack, message, .. } => {
                    assert_eq!(
                        (device, &message[..]),
                        (&topic, &[1, 0, 0][..]),
                        "where its program may listen"
                    );
                    answers += 1;
                }
                ExchangeEffect::Note { text, .. } => {
                    assert!(!text.contains('\u{1b}') && text.len() < 400, "{text:?}");
                    notes += 1;
                }
                ExchangeEffect::Ignored { why, .. } => assert_eq!(*why, "other-name"),
                ExchangeEffect::Send { .. }
                | ExchangeEffect::Take { .. }
                | ExchangeEffect::Write(_)
                | ExchangeEffect::Load
                | ExchangeEffect::Status(_)
                | ExchangeEffect::Tell { .. }
                | ExchangeEffect::Warn { .. } => panic!("{effect:?}"),
            }
        }
        if second == 1 {
            assert_eq!((answers, notes), (2, 1), "each is answered, and it is told once");
        }
    }
    assert!((700..=20 + 720).contains(&answers), "{answers} in an hour: one in five seconds");
    assert_eq!(notes, 8, "no more names than that in an hour");
}

#[test]
fn names_that_strangers_make_up_keep_no_new_device_out() {
    let mut fleet = welcomed(); // f, on a wire
    play(&mut fleet, over_mqtt(hello("old", 1), "old"), NOW);
    let mut event = firmware_bridge::Event {
        device: "old".try_into().expect("short"),
        boot: 1,
        sequence: 1,
        fields: [].into_iter().collect(),
    };
    let mut say = |fleet: &mut Fleet, sequence, now| {
        event.sequence = sequence;
        let input = heard(None, Kind::Event, event.encode(&mut [0; 200]).expect("fits"));
        play(fleet, over_mqtt(input, "old"), now)
    };
    assert_eq!(sent(&say(&mut fleet, 1, NOW), Kind::Ack).len(), 1);
    let approved = ["mine".to_owned()].into_iter().collect();
    play(&mut fleet, over_mqtt(hello("mine", 0), "mine"), NOW);
    let wishes = NameDecisions { approved, ..NameDecisions::default() };
    play(&mut fleet, ExchangeInput::Loaded { queued: Vec::new(), broker: true, wishes }, NOW);
    let later = NOW + Duration::from_secs(60);
    for number in 0..DEVICES_MAX + 100 {
        let name = format!("rogue-{number}");
        play(&mut fleet, over_mqtt(hello(&name, 1), &name), later);
    }
    let mut is_welcome = |name: &str| {
        let effects = play(&mut fleet, over_mqtt(hello(name, 0), name), later + Duration::from_secs(1));
        (sent(&effects, Kind::Welcome).len(), effects.iter().any(is_forgotten))
    };
    assert_eq!(is_welcome("new"), (1, true), "another name gives way");
    assert_eq!(is_welcome("mine"), (1, false), "it was never gone");
    assert_eq!(sent(&say(&mut fleet, 2, later), Kind::Ack).len(), 1, "nor was the one with events");
}

fn is_forgotten(effect: &ExchangeEffect) -> bool {
    matches!(effect, ExchangeEffect::Write(DeviceWrite::Forgotten { .. }))
}

fn warnings(effects: &[ExchangeEffect]) -> usize {
    effects.iter().filter(|effect| matches!(effect, ExchangeEffect::Warn { .. })).count()
}

#[test]
fn mqtt_takes_no_serial_device_over_until_it_is_forgotten() {
    let mut fleet = welcomed();
    let effects = play(&mut fleet, over_mqtt(hello("f", 2), "f"), NOW);
    assert_eq!((sent(&effects, Kind::Welcome).len(), warnings(&effects)), (0, 1), "{effects:?}");
    let effects = play(&mut fleet, over_mqtt(event(1, 1, 0), "f"), NOW);
    assert_eq!((sent(&effects, Kind::Ack).len(), warnings(&effects)), (0, 0), "told once");
    let command = play(&mut fleet, loaded(1), NOW);
    let of_command = |effect: &ExchangeEffect| {
        if let ExchangeEffect::Send { route, kind: Kind::Command, .. } = effect {
            Some(route.clone())
        } else {
            None
        }
    };
    let route = command.iter().find_map(of_command);
    assert_eq!(route, Some(port()), "commands go to the wire");
    let id = Command::decode(&sent(&command, Kind::Command)[0]).expect("a command").id;
    let result = CommandResult { device: "f", boot: 1, id, outcome: Outcome::Done, detail: "" };
    let result = heard(None, Kind::Result, result.encode(&mut [0; 200]).expect("fits"));
    assert_eq!(ending(&play(&mut fleet, over_mqtt(result, "f"), NOW)), None, "nor is its result believed");

    let wishes = NameDecisions { forget: vec!["f".to_owned()], ..NameDecisions::default() };
    play(&mut fleet, ExchangeInput::Loaded { queued: Vec::new(), broker: true, wishes }, NOW);
    assert_eq!(sent(&play(&mut fleet, over_mqtt(hello("f", 2), "f"), NOW), Kind::Welcome).len(), 1);
}

#[test]
fn hellos_without_end_are_answered_ever_more_seldom() {
    let mut fleet = welcomed();
    let answered = (0..600).filter(|tenth| {
        let now = NOW + Duration::from_millis(100 * tenth);
        sent(&play(&mut fleet, hello("f", 1), now), Kind::Welcome).len() == 1
    });
    let answered = answered.count();
    assert!((20..=32).contains(&answered), "{answered} in a minute");
    let later = NOW + Duration::from_secs(600);
    assert_eq!(sent(&play(&mut fleet, hello("f", 1), later), Kind::Welcome).len(), 1);
}
