//! What a person meant by a tap or by words under an alert, and what follows.

use crate::alert::life::Offer;
use crate::alert::lifecycle::Ident;
use crate::alert::render::read_button_id;
use crate::alert::rule::{Action, Rule};
use crate::alert::topic::Bindings;
use crate::alert::watch::{Note, Person};
use crate::command::authorise::may;
use crate::command::consent::{Wish, Words};
use crate::command::inbound::{Content, Reply};
use crate::contact::Contact;
use crate::ids::{AlertId, ContactId, MessageId, RuleName, StoreTag, Wamid};
use crate::time::Timestamp;

/// What is known of an alert that somebody answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    pub alert: AlertId,
    pub rule: RuleName,
    pub bindings: Bindings,
}

/// What the store can tell about what was sent.
pub trait Memory {
    /// The alert with this id.
    fn alert(&self, id: AlertId) -> Option<Known>;
    /// The alert that this message of ours spoke of, and to whom it went.
    fn sent(&self, wamid: &Wamid) -> Option<(ContactId, Option<Known>)>;
    /// The message of ours with this id of Meta's.
    fn message(&self, wamid: &Wamid) -> Option<MessageId>;
}

/// What a reply is understood by.
#[derive(Debug, Clone, Copy)]
pub struct House<'a> {
    pub rules: &'a [Rule],
    pub words: &'a Words,
    /// The contact who wrote; `None` for a stranger.
    pub sender: Option<&'a Contact>,
}

/// What becomes of a reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    Command(NewCommand),
    /// The person asks for no more messages, or for messages again.
    Consent {
        contact: ContactId,
        wish: Wish,
    },
    /// The rest of a message that was too long for one.
    ReadOn {
        contact: ContactId,
        message: MessageId,
    },
    /// Somebody takes care of an alert, ends it, or wants to hear nothing of it for a while.
    Note {
        contact: ContactId,
        note: Note,
    },
    /// Nothing is done; the reason is a sentence.
    Nothing {
        contact: Option<ContactId>,
        reason: String,
    },
}

/// A command to be written down, then published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewCommand {
    pub contact: ContactId,
    pub alert: AlertId,
    pub action: String,
    pub topic: String,
    pub payload: String,
    pub retain: bool,
    pub expires_at: Timestamp,
}

/// Understands one reply. Its age counts: the time is the webhook's own, so a body that was held up for a day asks for
/// a command that has expired, and it does not act (RELIABILITY F38).
#[must_use]
pub fn understand(reply: &Reply, house: &House, tag: &StoreTag, memory: &dyn Memory) -> Outcome {
    let nothing = |contact: Option<&Contact>, reason: &str| Outcome::Nothing {
        contact: contact.map(|contact| contact.id.clone()),
        reason: reason.to_owned(),
    };
    let Some(contact) = house.sender else {
        return nothing(
            None,
            "the sender is not a contact; add a [[contact]] with this number if it should be one",
        );
    };
    if reply.forwarded {
        return nothing(Some(contact), "it was forwarded, not written by the sender, so it does not act");
    }
    if let Some(message) = read_on(reply, tag, memory) {
        return Outcome::ReadOn { contact: contact.id.clone(), message };
    }
    let wanted = match &reply.content {
        Content::Tap { id, title } => tapped(id, title, reply, tag, memory),
        Content::Text(text) => quoted(text, reply, contact, memory),
        Content::Reaction { .. } | Content::Other(_) => {
            return nothing(Some(contact), "nothing is set up for this kind of message");
        }
    };
    // A word under an alert may be its action's name, so STOP is looked for only where it is not.
    let wish = match &reply.content {
        Content::Text(text) => house.words.read(text),
        Content::Tap { title, .. } => house.words.read(title),
        Content::Reaction { .. } | Content::Other(_) => None,
    };
    let (known, wanted) = match (wanted, wish) {
        (Ok((known, wanted)), Some(wish)) if !has_action(house.rules, &known, &wanted) => {
            return Outcome::Consent { contact: contact.id.clone(), wish };
        }
        (Ok(wanted), _) => wanted,
        (Err(_), Some(wish)) => return Outcome::Consent { contact: contact.id.clone(), wish },
        (Err(reason), None) => return nothing(Some(contact), reason),
    };
    let Some(rule) = house.rules.iter().find(|rule| rule.name == known.rule) else {
        return nothing(Some(contact), "the rule of this alert is no longer in the configuration");
    };
    if let Some(note) = offered(rule, &known, &wanted, contact) {
        return Outcome::Note { contact: contact.id.clone(), note };
    }
    let Some(action) = rule.actions.iter().find(|action| is_wanted(action, &wanted)) else {
        return nothing(Some(contact), "the alert has no action of this name");
    };
    if !may(contact, action) {
        return nothing(Some(contact), "the contact has none of the roles that this action asks for");
    }
    let Some(topic) = action.topic.fill(&known.bindings) else {
        return nothing(Some(contact), "the levels of this alert make no topic that can be published to");
    };
    Outcome::Command(NewCommand {
        contact: contact.id.clone(),
        alert: known.alert,
        action: action.id.clone(),
        topic,
        payload: action.payload.clone(),
        retain: action.retain,
        expires_at: reply.at + action.expires,
    })
}

/// "Read on" was tapped, or `more` was written under a message.
fn read_on(reply: &Reply, tag: &StoreTag, memory: &dyn Memory) -> Option<MessageId> {
    match &reply.content {
        Content::Tap { id, .. } => tag.read_more(id),
        Content::Text(text) if text.trim().eq_ignore_ascii_case("more") => {
            memory.message(reply.quotes.as_ref()?)
        }
        Content::Text(_) | Content::Reaction { .. } | Content::Other(_) => None,
    }
}

type Wanted = Result<(Known, String), &'static str>;

fn tapped(id: &str, title: &str, reply: &Reply, tag: &StoreTag, memory: &dyn Memory) -> Wanted {
    if let Some((alert, action)) = read_button_id(tag, id) {
        let known = memory.alert(alert).ok_or("the alert of this button is no longer kept")?;
        return Ok((known, action.to_owned()));
    }
    // A template's quick reply may bring back only its label (FACTS 1.3); the message that it answers tells the alert.
    let (_, known) = answered(reply, memory)?;
    Ok((known, title.to_owned()))
}

fn quoted(text: &str, reply: &Reply, contact: &Contact, memory: &dyn Memory) -> Wanted {
    let (to, known) = answered(reply, memory)?;
    if to != contact.id {
        return Err("the message that it answers was sent to somebody else");
    }
    Ok((known, text.to_owned()))
}

fn answered(reply: &Reply, memory: &dyn Memory) -> Result<(ContactId, Known), &'static str> {
    let wamid =
        reply.quotes.as_ref().ok_or("it answers no message: reply to the alert itself, or tap its button")?;
    let (to, known) =
        memory.sent(wamid).ok_or("the message that it answers is not one of ours, or no longer kept")?;
    Ok((to, known.ok_or("the message that it answers is not an alert")?))
}

/// A button of ours, tapped or named.
fn offered(rule: &Rule, known: &Known, wanted: &str, contact: &Contact) -> Option<Note> {
    let life = rule.life.as_deref()?;
    let named = |offer: &&Offer| offer.title().eq_ignore_ascii_case(wanted.trim());
    let by_title = || life.offers.iter().find(named).copied();
    let offer = Offer::of_button(wanted).or_else(by_title)?;
    let alert = Ident::of(&rule.name, &life.key, &known.bindings);
    let by = Person { name: contact.name.clone(), contact: Some(contact.id.clone()) };
    Some(match offer {
        Offer::Acknowledge => Note::Acknowledge { alert, by },
        Offer::Resolve => Note::Resolve { alert, by },
        Offer::Snooze(time) => Note::Snooze { alert, by, seconds: time.as_secs() },
    })
}

fn has_action(rules: &[Rule], known: &Known, wanted: &str) -> bool {
    let rule = rules.iter().find(|rule| rule.name == known.rule);
    rule.is_some_and(|rule| rule.actions.iter().any(|action| is_wanted(action, wanted)))
}

/// By id or by title, in any case, spaces around it aside.
fn is_wanted(action: &Action, wanted: &str) -> bool {
    let wanted = wanted.trim().to_lowercase();
    action.id.to_lowercase() == wanted || action.title.to_lowercase() == wanted
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;
    use crate::alert::life::{Flapping, Life, Worst};
    use crate::alert::rule::{PayloadFormat, Severity};
    use crate::alert::state::OnUnknown;
    use crate::alert::topic::{TopicPattern, TopicTemplate};
    use crate::contact::{Phone, Recipient};
    use crate::ids::ConnectionName;

    const AT: Timestamp = Timestamp(1_795_242_180_000);

    /// One alert, of the rule that is named; one message of ours about it to nino, and one about nothing to nino.
    struct Sent(&'static str, Option<&'static str>);

    impl Sent {
        fn known(&self) -> Known {
            let bindings = self.1.map(|area| ("area".to_owned(), area.to_owned()));
            Known {
                alert: AlertId(7),
                rule: RuleName(self.0.into()),
                bindings: bindings.into_iter().collect(),
            }
        }
    }

    impl Memory for Sent {
        fn alert(&self, id: AlertId) -> Option<Known> {
            (id == AlertId(7)).then(|| self.known())
        }
        fn sent(&self, wamid: &Wamid) -> Option<(ContactId, Option<Known>)> {
            let known = match wamid.0.as_str() {
                "wamid.alert" => Some(self.known()),
                "wamid.hello" => None,
                _ => return None,
            };
            Some((ContactId("nino".into()), known))
        }
        fn message(&self, wamid: &Wamid) -> Option<MessageId> {
            (wamid.0 == "wamid.alert").then_some(MessageId(3))
        }
    }

    fn contact(id: &str, roles: &[&str]) -> Contact {
        Contact {
            id: ContactId(id.into()),
            name: id.to_uppercase(),
            to: Recipient::Phone(Phone::parse("+995 555 12 34 56").expect("a number")),
            roles: roles.iter().map(|role| (*role).to_owned()).collect(),
            may_stop: true,
        }
    }

    fn rule(name: &str, offers: Option<Vec<Offer>>) -> Rule {
        let topic = TopicPattern::parse("site/{area}/freezer").expect("a pattern");
        let action = |id: &str, title: &str, to: &str, roles: &[&str]| Action {
            id: id.into(),
            title: title.into(),
            topic: TopicTemplate::parse(to, &topic).expect("a topic"),
            payload: format!("{id}!"),
            retain: id == "stop",
            roles: roles.iter().map(|role| (*role).to_owned()).collect(),
            expires: Duration::from_secs(120),
        };
        Rule {
            name: RuleName(name.into()),
            when: None,
            message: String::new(),
            templates: Vec::new(),
            attach: None,
            notify: Vec::new(),
            connection: ConnectionName("main".into()),
            severity: Severity::Warning,
            payload: PayloadFormat::Auto,
            on_unknown: OnUnknown::Retry,
            expires: Duration::from_secs(60),
            on_retained: false,
            actions: vec![
                action("defrost", "Stop defrost", "site/{area}/set", &["manager"]),
                action("stop", "Halt", "{area}", &[]),
            ],
            life: offers.map(|offers| {
                Arc::new(Life {
                    key: vec!["area".into()],
                    pending_for: Duration::ZERO,
                    keep_firing_for: Duration::ZERO,
                    resolve_when: None,
                    resolve_after: None,
                    send_resolved: true,
                    repeat_interval: None,
                    group: None,
                    inhibited_by: Vec::new(),
                    flapping: Flapping { changes: 6, within: Duration::from_secs(600) },
                    dedupe: None,
                    quiet: None,
                    escalate: Vec::new(),
                    expect: None,
                    value: None,
                    window: None,
                    worst: Worst::Highest,
                    offers,
                })
            }),
            topic,
        }
    }

    fn reply(content: Content, quotes: Option<&str>) -> Reply {
        Reply {
            wamid: Wamid("wamid.in".into()),
            from: None,
            user_id: None,
            phone_number_id: "1".into(),
            at: AT,
            quotes: quotes.map(|quoted| Wamid(quoted.into())),
            forwarded: false,
            content,
        }
    }

    fn text(words: &str) -> Content {
        Content::Text(words.into())
    }

    fn tap(id: &str, title: &str) -> Content {
        Content::Tap { id: id.into(), title: title.into() }
    }

    fn by(sender: Option<&Contact>, reply: &Reply, memory: &Sent) -> Outcome {
        let offers = vec![Offer::Acknowledge, Offer::Resolve, Offer::Snooze(Duration::from_secs(3_600))];
        let rules = [rule("plain", None), rule("alive", Some(offers))];
        let house = House { rules: &rules, words: &Words::default(), sender };
        understand(reply, &house, &StoreTag("0badcafe".into()), memory)
    }

    fn outcome(content: Content, quotes: Option<&str>) -> Outcome {
        by(Some(&contact("nino", &["manager"])), &reply(content, quotes), &Sent("plain", Some("bar")))
    }

    fn reason(outcome: Outcome) -> String {
        let Outcome::Nothing { reason, .. } = outcome else { panic!("{outcome:?}") };
        reason
    }

    fn command(action: &str, topic: &str, retain: bool) -> Outcome {
        Outcome::Command(NewCommand {
            contact: ContactId("nino".into()),
            alert: AlertId(7),
            action: action.into(),
            topic: topic.into(),
            payload: format!("{action}!"),
            retain,
            expires_at: AT + Duration::from_secs(120),
        })
    }

    #[test]
    fn a_tap_or_a_word_under_the_alert_is_its_action() {
        let defrost = command("defrost", "site/bar/set", false);
        assert_eq!(outcome(tap("bellwire/0badcafe/7/defrost", "Stop defrost"), None), defrost);
        // A template's quick reply brings its label back, under the message that it answers.
        assert_eq!(outcome(tap("Stop defrost", "Stop defrost"), Some("wamid.alert")), defrost);
        for word in ["defrost", " DEFROST ", "stop Defrost"] {
            assert_eq!(outcome(text(word), Some("wamid.alert")), defrost, "{word}");
        }
        assert_eq!(outcome(text("halt"), Some("wamid.alert")), command("stop", "bar", true));
    }

    #[test]
    fn what_asks_for_nothing_says_why() {
        let check = |content, quotes, why: &str| {
            let found = reason(outcome(content, quotes));
            assert!(found.contains(why), "{found}");
        };
        check(text("defrost"), None, "it answers no message");
        check(text("defrost"), Some("wamid.other"), "not one of ours");
        check(text("defrost"), Some("wamid.hello"), "not an alert");
        check(text("dance"), Some("wamid.alert"), "no action of this name");
        check(tap("bellwire/0badcafe/8/defrost", "x"), None, "no longer kept");
        check(tap("bellwire/deadbeef/7/defrost", "x"), None, "it answers no message");
        check(Content::Other("image".into()), Some("wamid.alert"), "this kind of message");
        check(Content::Reaction { emoji: Some("👍".into()) }, Some("wamid.alert"), "this kind of message");
    }

    #[test]
    fn only_who_may_acts() {
        let memory = Sent("plain", Some("bar"));
        let tapped = reply(tap("bellwire/0badcafe/7/defrost", "Stop defrost"), None);
        let (nino, giorgi) = (contact("nino", &["manager"]), contact("giorgi", &["cook"]));
        assert!(reason(by(None, &tapped, &memory)).contains("not a contact"));
        assert!(reason(by(Some(&giorgi), &tapped, &memory)).contains("none of the roles"));
        let forwarded = Reply { forwarded: true, ..tapped };
        assert!(reason(by(Some(&nino), &forwarded, &memory)).contains("forwarded"));
        let quoted = reply(text("halt"), Some("wamid.alert"));
        assert!(reason(by(Some(&giorgi), &quoted, &memory)).contains("somebody else"));
        let removed = Sent("gone", Some("bar"));
        assert!(reason(by(Some(&nino), &quoted, &removed)).contains("no longer in the configuration"));
        // `{area}` of an alert whose topic ended in a slash.
        assert!(reason(by(Some(&nino), &quoted, &Sent("plain", Some("")))).contains("make no topic"));
    }

    #[test]
    fn stop_is_obeyed_unless_it_is_the_name_of_an_action() {
        let consent = |wish| Outcome::Consent { contact: ContactId("nino".into()), wish };
        assert_eq!(outcome(text("STOP"), None), consent(Wish::Stop));
        assert_eq!(outcome(text("Start!"), Some("wamid.alert")), consent(Wish::Start));
        assert_eq!(outcome(tap("anything", "Stop"), None), consent(Wish::Stop));
        assert_eq!(outcome(text("stop"), Some("wamid.alert")), command("stop", "bar", true));
    }

    #[test]
    fn the_rest_is_had_by_a_tap_or_by_a_word() {
        let rest = Outcome::ReadOn { contact: ContactId("nino".into()), message: MessageId(3) };
        assert_eq!(outcome(tap("bellwire/0badcafe/more/3", "Read on"), None), rest);
        assert_eq!(outcome(text(" More "), Some("wamid.alert")), rest);
        assert!(reason(outcome(text("more"), None)).contains("it answers no message"));
        assert!(reason(outcome(text("moreover"), Some("wamid.alert"))).contains("no action"));
    }

    #[test]
    fn buttons_of_an_alert_with_a_life_are_notes() {
        let nino = contact("nino", &[]);
        let memory = Sent("alive", Some("bar"));
        let note = |content| {
            let outcome = by(Some(&nino), &reply(content, Some("wamid.alert")), &memory);
            let Outcome::Note { contact, note } = outcome else { panic!("{outcome:?}") };
            assert_eq!(contact.0, "nino");
            note
        };
        let alert = Ident::of(&RuleName("alive".into()), &["area".into()], &memory.known().bindings);
        let by = Person { name: "NINO".into(), contact: Some(ContactId("nino".into())) };
        let offers = [Offer::Acknowledge, Offer::Resolve, Offer::Snooze(Duration::from_secs(3_600))];
        for offer in offers {
            let expected = match offer {
                Offer::Acknowledge => Note::Acknowledge { alert: alert.clone(), by: by.clone() },
                Offer::Resolve => Note::Resolve { alert: alert.clone(), by: by.clone() },
                Offer::Snooze(_) => Note::Snooze { alert: alert.clone(), by: by.clone(), seconds: 3_600 },
            };
            assert_eq!(note(text(&format!(" {} ", offer.title().to_uppercase()))), expected);
        }
    }
}
