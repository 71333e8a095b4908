//! All sites in memory, as the engine has them. A revocation is a change like any other and is known here as soon as it is
//! brought, so that a poll that is open ends.

use std::collections::BTreeMap;

use super::{People, Site, digest};
use crate::engine::{Change, Rows};

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Registry {
    sites: BTreeMap<String, Site>,
    by_token: BTreeMap<String, String>,
}

impl Rows for Registry {
    fn apply(&mut self, (name, value): Change) {
        let site = value.and_then(|value| match serde_json::from_slice::<Site>(&value) {
            Ok(site) => Some(site),
            Err(error) => {
                tracing::error!(site = name, %error, "the row of a site cannot be read: the site is refused; is the hub older than what wrote it?");
                None
            }
        });
        self.by_token.retain(|_, of| *of != name);
        match site {
            Some(site) => {
                self.by_token.extend(site.tokens.iter().map(|token| (token.clone(), name.clone())));
                self.sites.insert(name, site);
            }
            None => {
                self.sites.remove(&name);
            }
        }
    }
}

impl Registry {
    /// By the digest of its token: looking that up tells nothing about the token.
    #[must_use]
    pub fn of_token(&self, token: &str) -> Option<(&str, &Site)> {
        let name = self.by_token.get(&digest(token))?;
        Some((name, self.sites.get(name)?))
    }

    /// One that can ask for what is for it.
    #[must_use]
    pub fn serves(&self, name: &str, number: Option<&str>) -> bool {
        let of_number = |site: &Site| number.is_none_or(|number| site.numbers.contains(number));
        self.sites.get(name).is_some_and(|site| !site.tokens.is_empty() && of_number(site))
    }

    /// Whose words over that number are for: those who name the person; and where nobody does, those who take everybody.
    #[must_use]
    pub fn claim(&self, number: &str, ids: &[String]) -> Vec<String> {
        let of = |takes: &dyn Fn(&Site) -> bool| -> Vec<String> {
            let sites =
                self.sites.iter().filter(|(name, site)| self.serves(name, Some(number)) && takes(site));
            sites.map(|(name, _)| name.clone()).collect()
        };
        let named = of(&|site| site.names(ids));
        if named.is_empty() { of(&|site| site.people == People::All) } else { named }
    }

    /// All that have this number, or all there are.
    #[must_use]
    pub fn all(&self, number: Option<&str>) -> Vec<String> {
        self.sites.keys().filter(|name| self.serves(name, number)).cloned().collect()
    }

    pub fn iter(&self) -> impl Iterator<Item = (&String, &Site)> {
        self.sites.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(site: &Site) -> Option<bytes::Bytes> {
        serde_json::to_vec(site).ok().map(Into::into)
    }

    fn registry() -> Registry {
        let mut registry = Registry::default();
        let site = |people: People, token: &str| Site {
            numbers: ["1".into()].into(),
            people,
            tokens: vec![digest(token)],
            ..Site::default()
        };
        registry.apply(("a".into(), row(&site(People::Only(["49".into(), "50".into()].into()), "ta"))));
        registry.apply(("b".into(), row(&site(People::Only(["50".into()].into()), "tb"))));
        registry.apply(("rest".into(), row(&site(People::All, "tr"))));
        registry
    }

    #[test]
    fn a_token_names_its_site_until_it_is_revoked() {
        let mut registry = registry();
        assert_eq!(registry.of_token("ta").map(|(name, _)| name), Some("a"));
        assert_eq!(registry.of_token("tx"), None);
        registry.apply((
            "a".into(),
            row(&Site { tokens: Vec::new(), numbers: ["1".into()].into(), ..Site::default() }),
        ));
        assert_eq!((registry.of_token("ta"), registry.serves("a", None)), (None, false));
        registry.apply(("b".into(), None));
        assert_eq!(registry.all(None), ["rest"]);
    }

    #[test]
    fn sites_naming_a_person_precede_those_taking_everybody() {
        let registry = registry();
        assert_eq!(registry.claim("1", &["49".into()]), ["a"]);
        assert_eq!(registry.claim("1", &["50".into()]), ["a", "b"]);
        assert_eq!(registry.claim("1", &["51".into()]), ["rest"]);
        assert!(registry.claim("2", &["49".into()]).is_empty(), "another number");
    }

    #[test]
    fn a_row_that_cannot_be_read_lets_nobody_in() {
        let mut registry = registry();
        registry.apply(("a".into(), Some("{".into())));
        assert_eq!(registry.of_token("ta"), None);
    }
}
