//! What must hold of alerts with a life: no event counts twice, nobody is told the same twice, no step comes twice, and at
//! the end the last word that was acknowledged decides whether an alert is open.

use std::collections::{BTreeMap, BTreeSet};

use bellwire::config::Config;
use rusqlite::Connection;

use crate::Violation;
use crate::broker::Token;

#[derive(Debug, Default)]
pub struct Watched {
    /// The last that came on each topic, and the last that was acknowledged, with what it says.
    last: BTreeMap<String, u64>,
    acknowledged: BTreeMap<String, (u64, bool)>,
    seen: BTreeSet<u64>,
    serials: BTreeSet<u64>,
    /// Which events fire, by topic.
    fires: BTreeMap<String, BTreeSet<u64>>,
    /// How many alerts a start has ended, by rule and key: with them it forgot what they had taken.
    ended: BTreeMap<(String, String), usize>,
}

impl Watched {
    pub fn delivered(&mut self, token: &Token) {
        let (topic, serial) = (token.publication.topic.clone(), token.publication.serial);
        if let crate::site::Expected::Watched { fires } = token.publication.expected {
            if self.seen.insert(serial) {
                self.last.insert(topic.clone(), serial);
            }
            if fires {
                self.fires.entry(topic).or_default().insert(serial);
            }
        }
    }

    pub fn acknowledged(&mut self, token: &Token, fires: bool) {
        // One that is acknowledged again is not the last word again.
        if self.serials.insert(token.publication.serial) {
            self.acknowledged.insert(token.publication.topic.clone(), (token.publication.serial, fires));
        }
    }

    pub fn has_acknowledged(&self, serial: u64) -> bool {
        self.serials.contains(&serial)
    }

    /// The configuration is another one: what was the last word by the one before says nothing of what is open now.
    pub fn configuration_changed(&mut self) {
        self.acknowledged.clear();
        self.last.clear();
    }

    /// The configuration has no place for an alert: an event that comes again, since it was not acknowledged, fires again.
    pub fn ended(&mut self, rule: &str, key: &str) {
        *self.ended.entry((rule.to_owned(), key.to_owned())).or_default() += 1;
    }

    /// After a commit.
    pub fn look(&self, sql: &Connection) -> Result<(), Violation> {
        let wrong = [
            (
                "one person is told the same of one alert twice",
                "SELECT count(*) FROM (SELECT 1 FROM message m JOIN alert a ON a.id = m.alert WHERE a.key IS NOT NULL
                 GROUP BY m.alert, m.contact, json_extract(m.content, '$.text') HAVING count(*) > 1)",
            ),
            (
                "a step of an escalation comes twice",
                "SELECT count(*) FROM (SELECT 1 FROM command WHERE action = ':escalation' GROUP BY alert HAVING count(*) > 1)",
            ),
            (
                "one alert is open twice",
                "SELECT count(*) FROM (SELECT 1 FROM alert WHERE state IN ('firing', 'acknowledged') GROUP BY rule, key HAVING count(*) > 1)",
            ),
        ];
        for (what, query) in wrong {
            if number(sql, query, []) > 0 {
                return Err(format!("alerts: {what}"));
            }
        }
        for (topic, fires) in &self.fires {
            let (rule, key) = ident(topic);
            let episodes =
                number(sql, "SELECT count(*) FROM alert WHERE rule = ?1 AND key = ?2", [&rule, &key]);
            let most = fires.len() + self.ended.get(&(rule.clone(), key.clone())).copied().unwrap_or(0);
            if episodes > i64::try_from(most).unwrap_or(i64::MAX) {
                return Err(format!(
                    "alerts: {rule} {key} has fired {episodes} times by {} events",
                    fires.len()
                ));
            }
        }
        Ok(())
    }

    /// At the end, when time changes nothing any more.
    pub fn judge(&self, sql: &Connection, config: &Config) -> Result<(), Violation> {
        for (topic, (serial, fires)) in &self.acknowledged {
            let (rule, key) = ident(topic);
            if !has_its_alerts(config, &rule) {
                continue;
            }
            let open = "SELECT count(*) FROM alert WHERE rule = ?1 AND key = ?2 AND state IN ('firing', 'acknowledged')";
            let open = number(sql, open, [&rule, &key]) > 0;
            // A later one that the broker lost may have been judged before it could be acknowledged.
            if self.last.get(topic) == Some(serial) && open != *fires {
                return Err(format!(
                    "P1: the last word on {topic} was event {serial}, which fires: {fires}; open: {open}"
                ));
            }
        }
        let silent = "SELECT count(*) FROM alert a WHERE key IS NOT NULL
             AND NOT EXISTS (SELECT 1 FROM message WHERE alert = a.id)
             AND NOT EXISTS (SELECT 1 FROM alert_record r WHERE r.rule = a.rule AND r.key = a.key
                 AND r.at BETWEEN min(a.raised_at, a.changed_at) - 7200000 AND max(a.raised_at, a.changed_at) + 7200000
                 AND why IN ('told', 'quiet', 'nobody', 'flapping', 'silenced', 'inhibited', 'grouped'))";
        match number(sql, silent, []) {
            0 => Ok(()),
            count => Err(format!("alerts: nobody was told of {count}, and nothing says why")),
        }
    }
}

/// Whether the rule, as it may have been changed, still has an alert for each area.
fn has_its_alerts(config: &Config, name: &str) -> bool {
    let mut lives =
        config.rules.iter().filter(|rule| rule.name.0 == name).filter_map(|rule| rule.life.as_ref());
    lives.any(|life| life.key == ["area"])
}

/// `site/{area}/{rule}`.
fn ident(topic: &str) -> (String, String) {
    let levels: Vec<&str> = topic.split('/').collect();
    (levels[2].to_owned(), format!("area={}", levels[1]))
}

fn number(sql: &Connection, query: &str, values: impl rusqlite::Params) -> i64 {
    sql.prepare_cached(query)
        .and_then(|mut query| query.query_row(values, |row| row.get(0)))
        .expect("a count")
}
