//! What a person meant by a tap or by words: each row is what came, and what follows from it.

#![expect(clippy::expect_used, reason = "a row that cannot be read stops the test")]

use std::collections::BTreeMap;
use std::time::Duration;

use bellwire::command::authorise::{ACTS_MAX, REFUSALS_MAX, RecentAbuse};
use bellwire::config::{Config, LoadOptions, read};
use bellwire::ids::{AlertId, ContactId, MessageId, StoreTag, Wamid};
use bellwire::outbox::button_token::{ButtonSigner, ButtonSubject, ButtonToken};
use bellwire::reply::context::ReplyContext;
use bellwire::reply::inbound::{InboundContent, InboundMessage};
use bellwire::reply::interpret::{
    AlertRef, Interpretation, ReplySubject, SentMessage, SentMessages, interpret,
};
use bellwire::time::Timestamp;

const NOW: Timestamp = Timestamp(1_790_000_000_000);

const SITE: &str = concat!(
    r#"
[site]
name = "Plant"
"#,
    include_str!("../../tests/fixtures/connected.toml"),
    r#"
[[contact]]
id = "nino"
phone = "+995 555 12 34 56"
roles = ["manager"]
[[contact]]
id = "dato"
phone = "+995 555 00 00 01"
language = "de"

[[rule]]
name = "freezer"
topic = "site/{area}/freezer"
message = "Freezer {{ area }}"
notify = ["nino", "dato"]
resolve_after = "1h"
buttons = ["acknowledge", "snooze 1h"]
[[rule.action]]
id = "defrost"
title = { en = "Stop defrost", de = "Abtauen beenden" }
words = ["no more defrost"]
topic = "site/{area}/freezer/set"
payload = "STOP"
[[rule.action]]
id = "restart"
title = "Restart"
roles = ["manager"]
confirm = true
approvals = 2
topic = "site/{area}/freezer/set"
payload = "RESTART"

[[rule]]
name = "lamp"
topic = "site/lamp"
message = "The lamp is broken"
notify = ["nino"]
resolve_after = "1h"
buttons = ["resolve"]

[[rule]]
name = "bell"
topic = "site/bell"
message = "Somebody rings"
notify = ["nino", "dato"]

[[command]]
name = "open-door"
words = ["open {door}", "öffne {door}"]
values = { door = ["front", "back"] }
topic = "site/doors/{door}/set"
payload = "OPEN {door}"
[[command]]
name = "empty-till"
words = ["empty the till"]
topic = "site/till/set"
payload = "EMPTY"
roles = ["manager"]
confirm = true
[[command]]
name = "reset"
words = ["reset the meter"]
topic = "site/meter/set"
payload = "0"
approvals = 2

[[onward]]
name = "display"
rule = "bell"
topic = "site/display"
payload = "{{ text }}"
[[onward]]
name = "map"
takes = ["location"]
topic = "site/map"
"#
);

/// What was sent: `alert-1` and its neighbours to Nino, `of-dato` to Dato.
struct Past(BTreeMap<&'static str, SentMessage>);

fn alert(number: i64) -> Option<AlertRef> {
    let rule = match number {
        1 | 2 => "freezer",
        3 => "bell",
        4 => "gone",
        5 => "lamp",
        _ => return None,
    };
    let bindings = [("area".to_owned(), "bar".to_owned())].into();
    Some(AlertRef {
        alert: AlertId(number),
        rule: rule.into(),
        bindings,
        is_over: number == 2,
        actions: Vec::new(),
    })
}

impl Past {
    fn new() -> Self {
        let day = Duration::from_secs(86_400);
        let about = |number| ReplySubject::Alert(alert(number).expect("an alert"));
        let sent = |to: &str, at, about| SentMessage { to: to.into(), at, about };
        let choices = ["Approve", "Deny"].map(str::to_owned).to_vec();
        Self(BTreeMap::from([
            ("alert-1", sent("nino", NOW - day + Duration::from_millis(1), about(1))),
            ("yesterday", sent("nino", NOW - day, about(1))),
            ("over", sent("nino", NOW, about(2))),
            ("bell", sent("nino", NOW, about(3))),
            ("gone", sent("nino", NOW, about(4))),
            ("lamp", sent("nino", NOW, about(5))),
            ("request", sent("nino", NOW, ReplySubject::Asked(ButtonSubject::Request(7), Vec::new()))),
            ("question", sent("nino", NOW, ReplySubject::Asked(ButtonSubject::Question(8), choices))),
            ("answer", sent("nino", NOW, ReplySubject::Other)),
            ("of-dato", sent("dato", NOW, about(1))),
        ]))
    }
}

impl SentMessages for Past {
    fn alert(&self, id: AlertId) -> Option<AlertRef> {
        alert(id.0)
    }

    fn sent(&self, wamid: &Wamid) -> Option<SentMessage> {
        self.0.get(wamid.0.as_str()).cloned()
    }

    fn message(&self, wamid: &Wamid) -> Option<MessageId> {
        self.0.contains_key(wamid.0.as_str()).then_some(MessageId(5))
    }
}

struct Site {
    config: Config,
    tag: StoreTag,
    seal: ButtonSigner,
    standing: RecentAbuse,
    /// How long a reply was on its way.
    age: Duration,
}

impl Site {
    fn new() -> Self {
        let config = read("t.toml", SITE, &LoadOptions { without_secrets: true, ..LoadOptions::default() })
            .expect("good");
        let tag = StoreTag::new("tag");
        Self {
            config,
            seal: ButtonSigner::new(tag.clone(), [7; 32]),
            tag,
            standing: RecentAbuse::default(),
            age: Duration::ZERO,
        }
    }

    fn button(&self, subject: ButtonSubject, action: &str, expires_at: Timestamp) -> InboundContent {
        let token = ButtonToken { subject, action: action.into(), expires_at };
        InboundContent::Tap { id: self.seal.close(&token, &"nino".into()), title: action.into() }
    }

    fn reply(who: &str, quotes: &str, content: InboundContent) -> InboundMessage {
        InboundMessage {
            wamid: Wamid("in".into()),
            from: Some(who.into()),
            user_id: None,
            group: None,
            phone_number_id: "1".into(),
            at: NOW,
            quotes: Some(quotes).filter(|quotes| !quotes.is_empty()).map(|quotes| Wamid(quotes.into())),
            forwarded: false,
            content,
        }
    }

    fn means(&self, who: &str, quotes: &str, content: InboundContent) -> String {
        self.understood(&Self::reply(who, quotes, content))
    }

    fn understood(&self, reply: &InboundMessage) -> String {
        told(&self.outcome(reply))
    }

    fn outcome(&self, reply: &InboundMessage) -> Interpretation {
        let who = ContactId(reply.from.clone().unwrap_or_default());
        let house = ReplyContext {
            rules: &self.config.rules,
            commands: &self.config.commands,
            onward: &self.config.onward,
            words: &self.config.words,
            seal: &self.seal,
            sender: self.config.people.contacts.get(&who),
            standing: self.standing,
            is_owner: who.0 == "nino",
            now: reply.at + self.age,
        };
        interpret(reply, &house, &self.tag, &Past::new())
    }

    fn text(&self, who: &str, quotes: &str, text: &str) -> String {
        self.means(who, quotes, InboundContent::Text(text.into()))
    }
}

fn told(outcome: &Interpretation) -> String {
    match outcome {
        Interpretation::Command(new) => {
            let keeps = NOW.until(new.expires_at).as_secs();
            format!("{} <- {} ({}, {keeps} s)", new.action.topic, new.action.payload, new.action.title)
        }
        Interpretation::Confirm { action, confirm, approvals, .. } => {
            format!("{}? confirm {confirm}, approvals {approvals}", action.title)
        }
        Interpretation::Vote { subject, choice, .. } => format!("{subject:?}: {choice}"),
        Interpretation::Acknowledge { alert, .. } => format!("cares for {}", alert.0),
        Interpretation::Consent { wish, .. } => format!("{wish:?}"),
        Interpretation::Invite { .. } => "invites".into(),
        Interpretation::ReadOn { message, .. } => format!("reads on {}", message.0),
        Interpretation::Status { .. } => "status".into(),
        Interpretation::Say { reason, .. } => format!("says: {reason}"),
        Interpretation::Refused { text, .. } => format!("refused: {text}"),
        Interpretation::Hurried { .. } => "hurried".into(),
        Interpretation::Locked { .. } => "locked".into(),
        Interpretation::Stranger => "stranger".into(),
        Interpretation::Note { note, .. } => {
            let words = format!("{note:?}");
            words.split([' ', '{']).next().unwrap_or_default().to_lowercase()
        }
        Interpretation::Nothing { reason, .. } => format!("nothing: {reason}"),
    }
}

#[test]
fn quoted_text_acts_on_the_quoted_message() {
    let site = Site::new();
    let defrost = "site/bar/freezer/set <- STOP (Stop defrost, 120 s)";
    let restart = "Restart? confirm true, approvals 2";
    for (quotes, text, expected) in [
        ("alert-1", "stop defrost", defrost),
        ("alert-1", "Abtauen beenden", defrost),
        ("alert-1", "defrost", defrost),
        ("alert-1", "no more defrost!", defrost),
        ("alert-1", "restart", restart),
        ("alert-1", "I take care", "acknowledge"),
        ("alert-1", "Ich kümmere mich", "acknowledge"),
        ("alert-1", "Snooze 1 Std.", "snooze"),
        ("alert-1", "snooze 2h", "snooze"),
        ("alert-1", "restrat", "says: it only resembles a command, so it does not act"),
        ("alert-1", "defrsot", "says: it only resembles a command, so it does not act"),
        ("alert-1", "I take cre", "says: it only resembles a command, so it does not act"),
        ("alert-1", "It is over", "nothing: nothing is set up for these words"),
        ("alert-1", "open front", "site/doors/front/set <- OPEN front (open front, 120 s)"),
        ("alert-1", "nice weather", "nothing: nothing is set up for these words"),
        ("yesterday", "stop defrost", "says: the message that it answers is older than a day"),
        ("over", "ack", "says: the alert has ended, or has begun anew since"),
        ("gone", "ack", "nothing: nothing is set up for these words"),
        ("lamp", "It is over", "resolve"),
        ("lamp", "Es ist vorbei", "resolve"),
        ("lamp", "It is ovre", "says: it only resembles a command, so it does not act"),
        ("bell", "ack", "cares for 3"),
        ("bell", "Come in!", "site/display <- Come in! (display: Come in!, 120 s)"),
        ("bell", "help", "says: the person asked what may be done"),
        ("bell", "stop", "Stop"),
        ("bell", "open back", "site/doors/back/set <- OPEN back (open back, 120 s)"),
        ("request", "okay", "Request(7): yes"),
        ("request", "👎", "Request(7): no"),
        ("request", "perhaps", "nothing: nothing is set up for these words"),
        ("question", "deny", "Question(8): Deny"),
        ("question", "yes", "nothing: nothing is set up for these words"),
        ("answer", "yes", "nothing: nothing is set up for these words"),
        ("answer", "read on", "reads on 5"),
        ("", "read on", "nothing: nothing is set up for these words"),
        ("unknown", "read on", "nothing: nothing is set up for these words"),
        ("", "stop defrost", "nothing: nothing is set up for these words"),
        ("", "STOP", "Stop"),
        ("", "start", "Start"),
        ("", "öffne front", "site/doors/front/set <- OPEN front (open front, 120 s)"),
        ("", "empty the till", "empty the till? confirm true, approvals 1"),
        ("", "reset the meter", "reset the meter? confirm false, approvals 2"),
        ("", "opne front", "says: it only resembles a command, so it does not act"),
        ("", "statsu", "says: it only resembles a command, so it does not act"),
        ("", "hlep", "says: it only resembles a command, so it does not act"),
        ("", "Hilfe", "says: the person asked what may be done"),
        ("", "status?", "status"),
        ("", "invite +995555123450 Maka", "invites"),
        ("", "invite +995555123450", "says: the invitation is incomplete"),
        ("of-dato", "stop defrost", "refused: That message was for somebody else. Nothing was done."),
    ] {
        assert_eq!(site.text("nino", quotes, text), expected, "{text} under {quotes:?}");
    }
    assert_eq!(site.text("maka", "", "open front"), "stranger");
    for (text, expected) in [
        ("empty the till", "refused: „empty the till“ "),
        ("empty the tlil", "nothing: "),
        ("invite +995555123450 Maka", "refused: "),
    ] {
        assert!(site.text("dato", "", text).starts_with(expected), "{text}");
    }
}

#[test]
fn help_lists_permitted_commands_and_counts_the_rest() {
    let mut site = Site::new();
    let open = "• open front|back";
    let lines = |site: &Site, who: &str| {
        let reply = Site::reply(who, "", InboundContent::Text("?".into()));
        let Interpretation::Say { text, .. } = site.outcome(&reply) else { return Vec::new() };
        text.lines().map(str::to_owned).collect::<Vec<_>>()
    };
    let nino = lines(&site, "nino");
    assert_eq!(nino[2..5], [open, "• empty the till", "• reset the meter"]);
    assert_eq!(nino.len(), 8, "and how to invite, and what is always understood: {nino:?}");
    let dato = lines(&site, "dato");
    assert_eq!((&dato[2..4], dato.len()), (&[open.to_owned(), "• reset the meter".into()][..], 6));
    let one = site.config.commands[0].clone();
    site.config.commands = vec![one.clone(); 20];
    assert_eq!(lines(&site, "dato").len(), 24);
    site.config.commands = vec![one; 23];
    let many = lines(&site, "dato");
    assert!(many.len() == 25 && many[22].contains(" 3 "), "{many:?}");
    site.config.commands.clear();
    assert_eq!(lines(&site, "dato").len(), 3);
}

#[test]
fn a_tap_means_what_its_button_was_made_for() {
    let site = Site::new();
    let (soon, over) = (NOW + Duration::from_millis(1), NOW);
    let tap = |subject, action: &str, until| site.means("nino", "", site.button(subject, action, until));
    let alert = ButtonSubject::Alert(1);
    assert_eq!(tap(alert, "defrost", soon), "site/bar/freezer/set <- STOP (Stop defrost, 120 s)");
    assert_eq!(tap(alert, "defrost", over), "says: the button is older than it may be");
    assert_eq!(tap(alert, "melt", soon), "says: the alert has no action of this name any more");
    assert_eq!(tap(alert, ":acknowledge", soon), "acknowledge");
    assert_eq!(tap(alert, ":snooze-3600", soon), "snooze");
    assert_eq!(tap(alert, ":resolve", soon), "says: the rule does not offer to end the alert");
    assert_eq!(tap(ButtonSubject::Alert(3), ":acknowledge", soon), "cares for 3");
    assert!(
        tap(ButtonSubject::Alert(3), ":resolve", soon)
            .starts_with("nothing: alerts of this rule are told each time")
    );
    let gone = "says: the rule of this alert is no longer in the configuration";
    assert_eq!(
        [tap(ButtonSubject::Alert(4), "defrost", soon), tap(ButtonSubject::Alert(4), ":acknowledge", soon)],
        [gone; 2]
    );
    assert_eq!(
        tap(ButtonSubject::Alert(9), "defrost", soon),
        "says: the alert of this button is no longer kept"
    );
    assert_eq!(tap(ButtonSubject::Request(7), "yes", soon), "Request(7): yes");
    assert_eq!(tap(ButtonSubject::Question(8), "Deny", soon), "Question(8): Deny");
    let theirs = site.means("dato", "", site.button(alert, "defrost", soon));
    assert!(theirs.starts_with("refused: "), "{theirs}");
    // A template's quick reply brings back its label, and a "Read on" the message.
    let label = |quotes: &str, title: &str| {
        site.means("nino", quotes, InboundContent::Tap { id: title.into(), title: title.into() })
    };
    assert_eq!(label("alert-1", "Stop defrost"), "site/bar/freezer/set <- STOP (Stop defrost, 120 s)");
    assert_eq!([label("alert-1", "STOP"), label("", "stop")], ["Stop"; 2]);
    assert_eq!(label("", "open front"), "says: it only resembles a command, so it does not act");
    assert!(label("of-dato", "Stop defrost").starts_with("refused: "));
    let more = InboundContent::Tap { id: site.tag.more(MessageId(42)), title: "Read on".into() };
    assert_eq!(site.means("nino", "", more), "reads on 42");
}

#[test]
fn reactions_media_and_locations_are_interpreted() {
    let site = Site::new();
    let reaction = |quotes: &str, emoji: &str| {
        site.means("nino", quotes, InboundContent::Reaction { emoji: Some(emoji.into()) })
    };
    let nothing = "nothing: a reaction acts only as 👍 under an alert";
    assert_eq!([reaction("alert-1", "👍🏽"), reaction("alert-1", "✅")], ["acknowledge"; 2]);
    assert_eq!([reaction("alert-1", "❤"), reaction("answer", "👍"), reaction("", "👍")], [nothing; 3]);
    assert!(reaction("of-dato", "👍").starts_with("refused: "));
    assert_eq!(reaction("of-dato", "❤"), nothing);

    let given = |kind: &str, length: usize| {
        let facts = serde_json::Value::String("x".repeat(length));
        site.means("nino", "", InboundContent::Given { kind: kind.into(), facts })
    };
    assert!(given("location", 2).starts_with("site/map <- {"), "{}", given("location", 2));
    assert!(given("location", 2).contains(r#""location":"xx""#) || given("location", 2).contains("xx"));
    // With its quotation marks 16 KiB, and one more.
    assert!(given("location", 16 * 1024 - 2).starts_with("site/map <- "));
    assert_eq!(given("location", 16 * 1024 - 1), "nothing: a message of type location is longer than 16 KiB");
    assert_eq!(given("flow", 2), "nothing: nothing is set up for a message of type flow");
    let captioned = |caption: &str| {
        let facts = serde_json::Value::Null;
        site.means(
            "nino",
            "",
            InboundContent::Captioned { kind: "image".into(), caption: caption.into(), facts },
        )
    };
    assert!(captioned("open front").starts_with("site/doors/front/set"));
    assert_eq!(captioned("look"), "nothing: nothing is set up for a message of type image");
    assert_eq!(
        site.means("nino", "", InboundContent::Other("poll".into())),
        "nothing: nothing is set up for a message of type poll"
    );
}

/// Two hours under way: it does not act, whether it was written, tapped or has to be confirmed, and the person hears why. What
/// costs nobody anything is heard however late.
#[test]
fn a_late_reply_does_not_act_and_says_so() {
    let mut site = Site::new();
    let tap = |site: &Site| {
        let button = site.button(ButtonSubject::Alert(1), "defrost", NOW + Duration::from_secs(86_400));
        site.outcome(&Site::reply("nino", "", button))
    };
    site.age = Duration::from_millis(120_000 - 1);
    assert!(matches!(tap(&site), Interpretation::Command(_)));
    site.age = Duration::from_secs(7_200);
    let late = |name: &str, may: &str| {
        format!("says: {name} came too late: it was written 2 h 0 min ago, and has to be done within {may}")
    };
    assert_eq!(told(&tap(&site)), late("defrost", "2 min"));
    assert_eq!(site.text("nino", "", "open front"), late("open-door", "2 min"));
    assert_eq!(site.text("nino", "", "empty the till"), late("empty-till", "2 min"));
    assert_eq!(site.text("nino", "alert-1", "restart"), late("restart", "2 min"));
    let Interpretation::Say { text, .. } = tap(&site) else { panic!("nothing is said") };
    assert_eq!(text, "That came too late: it was written 2 h 0 min ago. “Stop defrost” was not done.");
    assert_eq!(site.text("nino", "alert-1", "I take care"), "acknowledge");
    assert_eq!(site.text("nino", "", "stop"), "Stop");
}

/// In a group nobody acts: no command, no acknowledgement, no STOP.
#[test]
fn what_is_written_in_a_group_does_not_act() {
    let site = Site::new();
    let button = site.button(ButtonSubject::Alert(1), "defrost", NOW + Duration::from_secs(60));
    let text = |text: &str| InboundContent::Text(text.into());
    for content in [text("open front"), text("stop"), text("help"), text("I take care"), button] {
        let reply = InboundMessage { group: Some("G1".into()), ..Site::reply("nino", "alert-1", content) };
        let nothing = "nothing: it was written in a group, where nothing acts: write to the number itself";
        assert_eq!(site.understood(&reply), nothing);
    }
}

#[test]
fn what_was_forwarded_or_comes_too_often_does_not_act() {
    let mut site = Site::new();
    let forwarded = |site: &Site, text: &str| {
        site.understood(&InboundMessage {
            forwarded: true,
            ..Site::reply("nino", "", InboundContent::Text(text.into()))
        })
    };
    let refused = "says: it was forwarded, not written by the sender, so it does not act";
    assert_eq!([forwarded(&site, "open front"), forwarded(&site, "stop")], [refused; 2]);
    assert!(forwarded(&site, "nice weather").starts_with("nothing: "));
    let door = site.text("nino", "", "open front");
    for (acts, refusals, expected) in [
        (ACTS_MAX - 1, REFUSALS_MAX - 1, door.as_str()),
        (ACTS_MAX, 0, "hurried"),
        (0, REFUSALS_MAX, "locked"),
        (ACTS_MAX, REFUSALS_MAX, "locked"),
    ] {
        site.standing = RecentAbuse { acts, hurried: 0, refusals };
        assert_eq!(site.text("nino", "", "open front"), expected, "{acts} {refusals}");
        assert_eq!(site.text("nino", "", "stop"), "Stop", "it is heard however often");
        assert!(site.text("nino", "", "nice weather").starts_with("nothing: "));
        assert_eq!(site.text("nino", "answer", "read on"), "reads on 5");
    }
}
