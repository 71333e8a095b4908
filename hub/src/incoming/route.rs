//! Which site a message or status is for. The rules in their order; the first that knows decides.

use super::split::Item;

/// What is known of an item: looked up before, so that the rules wait for nobody.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Facts {
    /// The site whose store has the tag of the callback, or of the button that was tapped.
    pub by_tag: Option<String>,
    /// The site that sent the message that it is about or quotes.
    pub by_message: Option<String>,
    /// Sites of the number that name whoever wrote, or the group; where none does, those that take everybody.
    pub claims: Vec<String>,
    /// The site that the person chose in the last 24 h.
    pub chosen: Option<String>,
    /// Which sites wrote to that person in the last 24 h.
    pub wrote: Vec<String>,
    /// Every site of the number.
    pub all: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Route {
    To(Vec<String>),
    /// The person is asked which of these is meant.
    Ask(Vec<String>),
    /// It waits for an operator: why.
    Unrouted(&'static str),
}

#[must_use]
pub fn route(item: &Item, facts: Facts) -> Route {
    if item.is_notice {
        return match facts.all.is_empty() {
            true => Route::Unrouted("no site has this number"),
            false => Route::To(facts.all),
        };
    }
    if let Some(site) = facts.by_tag.or(facts.by_message) {
        return Route::To(vec![site]);
    }
    if item.from.is_empty() {
        return Route::Unrouted("a status of a message that no site of this hub sent");
    }
    if let Some(site) = facts.chosen.filter(|site| facts.claims.contains(site)) {
        return Route::To(vec![site]);
    }
    let wrote: Vec<String> = facts.claims.iter().filter(|site| facts.wrote.contains(site)).cloned().collect();
    match (facts.claims.as_slice(), wrote.as_slice()) {
        ([], _) => Route::Unrouted("nobody takes what this person writes"),
        ([site], _) | (_, [site]) => Route::To(vec![site.clone()]),
        (_, _) => Route::Ask(facts.claims),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn routing_rules_apply_in_order() {
        let message = Item { from: names("491511"), ..Item::default() };
        let status = Item::default();
        let notice = Item { is_notice: true, ..Item::default() };
        let to = |text| Route::To(names(text));
        let ask = |text| Some(Route::Ask(names(text)));
        // Item, tag, message, claims, wrote, all: expected.
        for (item, tag, sent, claims, wrote, all, expected) in [
            (&notice, "a", "", "", "", "a b", Some(to("a b"))),
            (&notice, "", "", "", "", "", None),
            (&status, "a", "b", "c", "", "a b c", Some(to("a"))),
            (&status, "", "b", "", "", "a b c", Some(to("b"))),
            (&status, "", "", "a", "a", "a b c", None),
            (&message, "a", "b", "c", "c", "a b c", Some(to("a"))),
            (&message, "", "b", "c", "c", "a b c", Some(to("b"))),
            (&message, "", "", "c", "", "a b c", Some(to("c"))),
            (&message, "", "", "a b", "b", "a b c", Some(to("b"))),
            (&message, "", "", "a b", "c", "a b c", ask("a b")),
            (&message, "", "", "a b", "a b", "a b c", ask("a b")),
            (&message, "", "", "", "a", "a b c", None),
        ] {
            let one = |text: &str| (!text.is_empty()).then(|| text.to_owned());
            let facts = Facts {
                by_tag: one(tag),
                by_message: one(sent),
                chosen: None,
                claims: names(claims),
                wrote: names(wrote),
                all: names(all),
            };
            let found = route(item, facts.clone());
            match expected {
                Some(expected) => assert_eq!(found, expected, "{item:?} {facts:?}"),
                None => assert!(matches!(found, Route::Unrouted(_)), "{item:?} {facts:?}: {found:?}"),
            }
        }
    }

    #[test]
    fn what_a_person_chose_stands_while_that_site_knows_them() {
        let message = Item { from: names("491511"), ..Item::default() };
        let facts = |chosen: &str| Facts {
            chosen: Some(chosen.to_owned()),
            claims: names("a b"),
            wrote: names("a"),
            ..Facts::default()
        };
        assert_eq!(route(&message, facts("b")), Route::To(names("b")));
        assert_eq!(route(&message, facts("c")), Route::To(names("a")));
    }
}
