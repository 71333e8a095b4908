use super::*;
use crate::alert::intake::{Intake, IntakeEffect as Step, IntakeInput};
use crate::command::action::{CommandOrigin, NewCommand};
use crate::command::approval::Pending;
use crate::config::{LoadOptions, read};
use crate::event::incoming::{Event, EventSource, Identity};
use crate::ids::{AlertId, Wamid};
use crate::time::Now;

/// A Tuesday in 2030: nobody has quiet hours.
pub const NOW: Timestamp = Timestamp(1_900_000_000_000);

/// What one configuration has, of all that may change.
#[derive(Debug, Clone, PartialEq)]
pub struct Has {
    pub nino: bool,
    pub giorgi: bool,
    /// The rule's name, if it has states; without it the rule tells each event.
    pub rule: &'static str,
    pub has_states: bool,
    pub key: &'static str,
    /// Where the rule's action leads, if it has one.
    pub action: Option<&'static str>,
    pub command: Option<&'static str>,
    pub roles: &'static str,
    pub asks: bool,
    pub number: &'static str,
    pub siren: bool,
    pub post: bool,
    /// Giorgi is left in peace: the rule does not tell him, the machine does not ask him.
    pub spares_giorgi: bool,
}

pub const FIRST: Has = Has {
    nino: true,
    giorgi: true,
    rule: "door",
    has_states: true,
    key: "id",
    action: Some("lock/{id}/set"),
    command: Some("gate/set"),
    roles: "[]",
    asks: true,
    number: "main",
    siren: true,
    post: true,
    spares_giorgi: false,
};

impl Has {
    pub fn people(&self) -> Vec<&'static str> {
        let all = [("boss", true), ("nino", self.nino), ("giorgi", self.giorgi)];
        all.into_iter().filter(|(_, is_there)| *is_there).map(|(id, _)| id).collect()
    }

    pub fn config(&self) -> Config {
        let mut text = format!(
            "[site]\nname = \"Bar\"\nowner = [\"boss\"]\n[mqtt]\nurl = \"mqtt://127.0.0.1\"\n\
             [[connection]]\nname = \"{}\"\nphone_number_id = \"1\"\naccess_token_file = \"t\"\napp_secret_file = \"s\"\n\
             verify_token_file = \"v\"\n",
            self.number
        );
        for (number, id) in
            ["boss", "nino", "giorgi"].iter().enumerate().filter(|(_, id)| self.people().contains(id))
        {
            text += &format!("[[contact]]\nid = \"{id}\"\nphone = \"+1555010000{number}\"\n");
        }
        let mut people = self.people();
        people.retain(|id| !self.spares_giorgi || *id != "giorgi");
        text += &format!(
            "[[rule]]\nname = \"{}\"\ntopic = \"door/{{id}}/{{side}}\"\nmessage = \"Door {{{{ id }}}} is open\"\nnotify = {people:?}\n",
            self.rule
        );
        if self.has_states {
            text += &format!(
                "key = [\"{}\"]\nrepeat_interval = \"1h\"\nresolve_when = \"payload == 'shut'\"\n",
                self.key
            );
            let mut steps = Vec::new();
            steps.extend(self.siren.then_some(
                "{ after = \"1m\", unless = \"acknowledged\", topic = \"siren/{id}/set\", payload = \"ON\" }",
            ));
            steps.extend(self.post.then_some(
                "{ after = \"1m\", unless = \"acknowledged\", url = \"https://pager.example/x\" }",
            ));
            if !steps.is_empty() {
                text += &format!("escalate = [{}]\n", steps.join(", "));
            }
        }
        if let Some(topic) = self.action {
            text += &format!(
                "[[rule.action]]\nid = \"shut\"\ntitle = \"Shut it\"\ntopic = \"{topic}\"\npayload = \"SHUT\"\nconfirm = true\nroles = {}\n",
                self.roles
            );
        }
        if let Some(topic) = self.command {
            text += &format!(
                "[[command]]\nname = \"gate\"\nwords = [\"gate\"]\ntopic = \"{topic}\"\npayload = \"OPEN\"\nroles = {}\n",
                self.roles
            );
        }
        if self.asks {
            text += &format!(
                "[[ask]]\nname = \"recipe\"\ntopic = \"ask/recipe\"\ntext = \"Which?\"\nchoices = [\"a\", \"b\"]\nwho = {people:?}\nwithin = \"10m\"\ndefault = \"b\"\nresponse_topic = \"answer/recipe\"\n"
            );
        }
        read("t.toml", &text, &LoadOptions { without_secrets: true, ..LoadOptions::default() })
            .unwrap_or_else(|problems| panic!("{problems}\n{text}"))
    }
}

pub struct Site {
    pub store: Store,
    _folder: tempfile::TempDir,
}

impl Site {
    /// Under this configuration a door is open and told, the siren sounds and the pager is called; Nino has asked for the
    /// gate, and wants to shut the door; a machine asks for the recipe.
    pub fn under(before: &Has) -> Self {
        let (folder, store) = Store::in_new_folder();
        let site = Self { store, _folder: folder };
        let config = before.config();
        let judge = config.rule_set().expect("compiles");
        let watch = judge.watch();
        let mut intake: Intake<()> = Intake::new(judge, watch);
        let later = NOW + std::time::Duration::from_secs(70);
        for (topic, at) in [("door/1/front", NOW), ("nothing", later)] {
            let event = event(topic, at);
            let now = Now {
                wall: at,
                steady: at.until(at) + std::time::Duration::from_millis(at.0.unsigned_abs()),
            };
            for step in intake.handle(IntakeInput::Arrived(vec![(event, None)]), now) {
                let write = |store: &Store| match &step {
                    Step::Commit(_, decisions) => store.accept(decisions).map(drop),
                    Step::Watched { effects, taken } => store.watched(effects, taken).map(drop),
                    Step::Acknowledge(()) => Ok(()),
                };
                site.store.transaction(write).expect("on disk");
            }
        }
        site.asked(before, &config);
        site
    }

    fn asked(&self, before: &Has, config: &Config) {
        let number = ConnectionName(before.number.to_owned());
        let asker = ContactId(if before.nino { "nino" } else { "boss" }.to_owned());
        let write = |store: &Store| {
            for wamid in ["wamid.1", "wamid.2"] {
                store.dump(&format!(
                    "INSERT INTO reply VALUES ('{wamid}', 1, 1, '{asker}', 'text', 'x', 'command', NULL)"
                ))?;
            }
            if let Some(spoken) = config.commands.first() {
                let action = spoken.read("gate").expect("its own words");
                let command: NewCommand = action.command(asker.clone(), NOW);
                let origin = CommandOrigin {
                    reply: Some(Wamid("wamid.1".into())),
                    connection: Some(number.clone()),
                    correlation: None,
                };
                store.insert_command(&origin, &command, NOW)?;
            }
            if let Some(action) = config.rules[0].actions.first() {
                let bindings =
                    [("id".to_owned(), "1".to_owned()), ("side".to_owned(), "front".to_owned())].into();
                let what = (&action.topic, action.payload.as_str(), false);
                let action = ResolvedAction::new(
                    ("shut", "Shut it"),
                    what,
                    &action.terms,
                    &bindings,
                    Some(AlertId(1)),
                );
                let request = Request {
                    id: store.next_request()?,
                    reply: Wamid("wamid.2".into()),
                    connection: number.clone(),
                    action: action.expect("a topic"),
                    pending: Pending::new(asker.clone(), true, 1, NOW + std::time::Duration::from_secs(600)),
                };
                store.open_request(&request, NOW)?;
                let lane = Conversation { connection: number.clone(), contact: asker.clone() };
                let to = config.people.contacts[&asker].to.clone();
                let message = store.compose(&lane, &to, &Content::text("Shut it?"), NOW)?;
                store.keep_asked(message, ButtonSubject::Request(request.id))?;
            }
            if let Some(question) = config.questions.first() {
                question_flow::ask(
                    store,
                    config,
                    question,
                    &std::collections::BTreeMap::new(),
                    (&event("ask/recipe", NOW), None),
                    NOW,
                )?;
            }
            Ok(())
        };
        self.store.transaction(write).expect("on disk");
    }

    pub fn end(&self, after: &Has) -> Vec<String> {
        let config = after.config();
        self.store.transaction(|store| end(store, &config, NOW)).expect("on disk")
    }

    pub fn rows(&self, sql: &str) -> Vec<String> {
        self.store.dump(sql).expect("a statement")
    }
}

fn event(topic: &str, at: Timestamp) -> Event {
    Event {
        source: EventSource::Mqtt,
        topic: topic.to_owned(),
        payload: bytes::Bytes::from_static(b"open"),
        content_type: None,
        identity: Identity::None,
        retained: false,
        expires_in_s: None,
        received_at: at,
        happened_at: None,
    }
}
