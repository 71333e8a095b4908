//! Devices, by rules, questions and commands: nobody has told us their names.

use super::written::{Line, May, Section};
use super::{Rights, actions_of, decisions, escalation, is_of_link, node, steps_of};
use crate::alert::route::subscription;
use crate::command::action::ActionPolicy;
use crate::event::subscription_cover::overlap;
use crate::event::topic::TopicTemplate;

/// What a Sparkplug node may say; NCMD and DCMD are what it is told (Sparkplug 3.0, 4.1).
const NODE_SAYS: [&str; 6] = ["NBIRTH", "NDEATH", "NDATA", "DBIRTH", "DDEATH", "DDATA"];
const NODE_HEARS: [&str; 2] = ["NCMD", "DCMD"];

/// Somebody who is not the gateway: what it says, what it hears, and on which topics its answers come.
#[derive(Debug, Default)]
pub struct Party {
    user: String,
    about: String,
    says: Vec<(String, String)>,
    hears: Vec<(String, String)>,
    answers: Vec<(String, String)>,
}

impl Party {
    fn new(kind: &str, name: &str) -> Self {
        Self { user: format!("{kind}-{name}"), about: format!("{kind} {name}"), ..Self::default() }
    }

    fn commanded(&mut self, rights: &Rights, why: String, topic: &TopicTemplate, terms: &ActionPolicy) {
        if is_of_link(&topic.filter()) {
            return; // it reaches the device in the protocol's own form
        }
        self.answers.extend(rights.answer(terms).map(|answer| (answer, format!("answers to {why}"))));
        self.hears.push((topic.filter(), why));
    }
}

impl Rights<'_> {
    /// Whoever rules and questions hear, and commands reach.
    pub fn parties(&self) -> Vec<Party> {
        let mut found = Vec::new();
        for rule in self.rules().filter(|rule| !self.is_somebodys(&rule.topic.filter())) {
            let mut party = Party::new("rule", &rule.name.0);
            let filter = subscription(rule);
            party.says = match NODE_SAYS.iter().map(|word| node(rule, word)).collect::<Option<Vec<_>>>() {
                Some(topics) => topics.into_iter().map(|topic| (topic, party.about.clone())).collect(),
                None => vec![(filter, party.about.clone())],
            };
            let commands = NODE_HEARS.iter().filter_map(|word| node(rule, word));
            party.hears.extend(commands.map(|topic| (topic, "what a node is told".to_owned())));
            for (why, topic, terms) in actions_of(rule) {
                party.commanded(self, why, topic, terms);
            }
            party.hears.extend(steps_of(rule).map(|topic| (topic.filter(), escalation(rule))));
            found.push(party);
        }
        for query in self.config.questions.iter().filter(|one| !self.is_somebodys(&one.topic.filter())) {
            let mut party = Party::new("question", &query.name);
            party.says.push((query.topic.filter(), party.about.clone()));
            party.hears.extend(decisions(query).into_iter().map(|topic| (topic, "its decisions".to_owned())));
            found.push(party);
        }
        for command in &self.config.commands {
            let mut party = Party::new("command", &command.name);
            party.commanded(self, party.about.clone(), &command.topic, &command.terms);
            found.push(party);
        }
        for onward in &self.config.onward {
            let mut party = Party::new("onward", &onward.name);
            party.commanded(self, party.about.clone(), &onward.topic, &onward.terms);
            found.push(party);
        }
        found.retain(|party| !party.says.is_empty() || !party.hears.is_empty());
        found
    }

    /// All of a party's devices with one user: a bridge, or devices that need not be told apart.
    pub fn together(&self, party: &Party) -> Section {
        let needs = |topic: &String| {
            let mut needed = party.hears.iter().chain(&party.answers);
            needed.any(|(needed, _)| overlap(needed, topic))
        };
        let closed = party.says.iter().flat_map(|(topic, _)| self.closed(topic));
        let denied = closed.filter(|(topic, _)| !needs(topic));
        let lines = |may, all: &[(String, String)]| -> Vec<Line> {
            all.iter().map(|(topic, why)| Line::new(may, topic, why)).collect()
        };
        let mut all = lines(May::Write, &party.says);
        all.extend(denied.map(|(topic, why)| Line { why, may: May::Nothing, topic }));
        all.extend(lines(May::Read, &party.hears));
        all.extend(lines(May::Write, &party.answers));
        let about = format!(
            "All devices of {} with one user, or what speaks for them (a bridge, a PLC).",
            party.about
        );
        Section { about: vec![about], user: Some(party.user.clone()), lines: all }
    }

    /// Where one level is left open, each device by its name in that level.
    pub fn by_name(&self, party: &Party) -> Option<Section> {
        let all = || party.says.iter().chain(&party.hears).chain(&party.answers);
        let has_one = |(topic, _): &(String, String)| {
            topic.split('/').filter(|level| *level == "+").count() == 1 && !topic.ends_with('#')
        };
        if all().next().is_none()
            || party.says.iter().any(|(topic, _)| !self.closed(topic).is_empty())
            || !all().all(has_one)
        {
            return None;
        }
        let named = |may, (topic, why): &(String, String)| {
            let levels: Vec<&str> =
                topic.split('/').map(|level| if level == "+" { "%u" } else { level }).collect();
            Line { why: why.clone(), may, topic: levels.join("/") }
        };
        let says = party.says.iter().chain(&party.answers).map(|line| named(May::Write, line));
        let lines = says.chain(party.hears.iter().map(|line| named(May::Read, line))).collect();
        let about = format!(
            "Each device of {} by its name, which stands for %u: it cannot speak for another.",
            party.about
        );
        Some(Section { about: vec![about], user: None, lines })
    }
}
