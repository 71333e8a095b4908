//! A person was erased at a site: what the hub has of them through that site goes, too. What came from Meta, and what is for the site,
//! ends by its age.

use std::collections::BTreeSet;

use serde::Deserialize;

use super::{People, Site, Wrote, person};
use crate::engine::{Engine, Result, Table, change, json};
use crate::incoming::{person_key, route_key};

/// As many in one request; a site makes several of them.
const MESSAGES_MAX: usize = 1_000;
const PEOPLE_MAX: usize = 100;

/// What a site asks for.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
pub struct Erasure {
    /// Numbers and user ids of one person.
    pub people: Vec<String>,
    /// Meta's ids of their messages.
    pub messages: Vec<String>,
}

impl Erasure {
    #[must_use]
    pub fn is_too_much(&self) -> bool {
        self.people.len() > PEOPLE_MAX || self.messages.len() > MESSAGES_MAX
    }
}

/// Only what is of this site: another that knows the person has its own. It may be asked again.
pub async fn erase(engine: &impl Engine, site: &str, erasure: &Erasure) -> Result<()> {
    let people: BTreeSet<String> = erasure.people.iter().map(|id| person(id)).collect();
    change(engine, Table::Sites, site, |row| {
        let mut row: Site = serde_json::from_slice(row?).ok()?;
        let People::Only(named) = &mut row.people else { return None };
        let before = named.len();
        named.retain(|id| !people.contains(id));
        (named.len() < before).then(|| json(&row))
    })
    .await?;
    for id in &people {
        let key = person_key(id);
        change(engine, Table::Wrote, &key, |row| Wrote::read(row).without(site)).await?;
        remove_if_of(engine, Table::Wrote, &format!("chosen.{key}"), site).await?;
    }
    for wamid in &erasure.messages {
        remove_if_of(engine, Table::Routes, &route_key(wamid), site).await?;
    }
    Ok(())
}

async fn remove_if_of(engine: &impl Engine, table: Table, key: &str, site: &str) -> Result<()> {
    if let Some(row) = engine.get(table, key).await?
        && row.value == site.as_bytes()
    {
        // A row that changes meanwhile is of a later message.
        engine.remove(table, key, row.revision).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use bellwire::time::Timestamp;

    use super::*;
    use crate::engine::memory::Memory;

    #[tokio::test]
    async fn a_person_is_forgotten_for_the_asking_site_alone() {
        let engine = Memory::default();
        for site in ["a", "b"] {
            let people = People::Only(["491511".into(), "491512".into()].into());
            engine.put(Table::Sites, site, json(&Site { people, ..Site::default() })).await.expect("written");
        }
        let (key, now) = (person_key("491511"), Timestamp(0));
        for site in ["a", "b"] {
            let wrote = |row: Option<&[u8]>| Wrote::read(row).with(site, now);
            change(&engine, Table::Wrote, &key, wrote).await.expect("written");
        }
        let chosen = format!("chosen.{key}");
        engine.put(Table::Wrote, &chosen, "b".into()).await.expect("written");
        for (wamid, site) in [("w1", "a"), ("w2", "b")] {
            engine.put(Table::Routes, &route_key(wamid), site.into()).await.expect("written");
        }
        let asked = Erasure { people: vec!["+491511".into()], messages: vec!["w1".into(), "w2".into()] };
        for _ in 0..2 {
            erase(&engine, "a", &asked).await.expect("erased");
        }
        let row = |table: Table, key: String| {
            let engine = engine.clone();
            async move { engine.get(table, &key).await.expect("asked").map(|row| row.value) }
        };
        let named = |row: Option<bytes::Bytes>| -> Site {
            serde_json::from_slice(&row.expect("there")).expect("a site")
        };
        assert!(!named(row(Table::Sites, "a".into()).await).may_write_to("491511"));
        assert!(named(row(Table::Sites, "a".into()).await).may_write_to("491512"));
        assert!(named(row(Table::Sites, "b".into()).await).may_write_to("491511"));
        assert_eq!(row(Table::Wrote, key).await, Wrote::default().with("b", now));
        assert_eq!(row(Table::Wrote, chosen).await, Some("b".into()), "it is the other's");
        assert_eq!(row(Table::Routes, route_key("w1")).await, None);
        assert_eq!(row(Table::Routes, route_key("w2")).await, Some("b".into()));
    }
}
