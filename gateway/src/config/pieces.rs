//! A large file's tables, piece by piece. Beside the tables that it makes the parser takes thirteen times the text, which with a
//! thousand rules is 2.5 MB; and what a process has taken at its start stays with it.

use std::borrow::Cow;
use std::collections::BTreeSet;

use toml::de::{DeTable, DeValue};

/// Shorter files are read whole.
const WHOLE_MAX: usize = 32 * 1024;
/// Of a piece, if none of its sections is longer.
const PIECE: usize = 16 * 1024;

/// `None`: it is short, or has a mistake, or its pieces are not certain to mean what they mean in the whole file. Places are counted
/// from the beginning of their piece: whoever finds a mistake reads the whole file to tell of it.
pub fn parse(text: &str) -> Option<DeTable<'_>> {
    if text.len() <= WHOLE_MAX { None } else { joined(text, PIECE) }
}

fn joined(text: &str, length: usize) -> Option<DeTable<'_>> {
    let mut all = DeTable::new();
    // A list that is written before the first section is none that sections add to.
    let mut first: Option<BTreeSet<Cow<'_, str>>> = None;
    for piece in pieces(text, length) {
        let (table, errors) = DeTable::parse_recoverable(piece);
        if !errors.is_empty() {
            return None;
        }
        let table = table.into_inner();
        let first = first.get_or_insert_with(|| table.keys().map(|key| key.get_ref().clone()).collect());
        for (key, value) in table {
            let Some(known) = all.get_mut(key.get_ref().as_ref()) else {
                all.insert(key, value);
                continue;
            };
            match (known.get_mut(), value.into_inner()) {
                (DeValue::Array(known), DeValue::Array(more)) if !first.contains(key.get_ref()) => {
                    more.into_iter().for_each(|item| known.push(item));
                }
                (_, _) => return None,
            }
        }
    }
    Some(all)
}

/// What is before the first `[[section]]`, then as many sections as that length has room for. A line of a text or a list that looks
/// like one leaves the piece before it unfinished, which is a mistake there.
fn pieces(text: &str, length: usize) -> Vec<&str> {
    let (mut found, mut begin, mut end) = (Vec::new(), 0, 0);
    let mut is_first = true;
    for (at, _) in text.match_indices("\n[[") {
        let line = text[at + 1..].lines().next().unwrap_or_default();
        let name = line.trim_end().strip_prefix("[[").and_then(|rest| rest.strip_suffix("]]"));
        if !name.is_some_and(|name| !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_lowercase())) {
            continue;
        }
        if is_first || at + 1 - begin > length && end > begin {
            let until = if is_first { at + 1 } else { end };
            found.push(&text[begin..until]);
            (begin, is_first) = (until, false);
        }
        end = at + 1;
    }
    found.push(&text[begin..]);
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{LoadOptions, read};
    use proptest::prelude::*;

    /// What stands in it, without where.
    fn shown(table: &DeTable<'_>) -> String {
        fn value(of: &DeValue<'_>) -> String {
            match of {
                DeValue::Array(items) => items.iter().map(|item| value(item.get_ref()) + ",").collect(),
                DeValue::Table(table) => shown(table),
                DeValue::String(text) => format!("{text:?}"),
                DeValue::Integer(_) | DeValue::Float(_) | DeValue::Boolean(_) | DeValue::Datetime(_) => {
                    format!("{of:?}")
                }
            }
        }
        let pair = |(key, of): (&toml::Spanned<Cow<'_, str>>, &toml::Spanned<DeValue<'_>>)| {
            format!("{}={};", key.get_ref(), value(of.get_ref()))
        };
        format!("{{{}}}", table.iter().map(pair).collect::<String>())
    }

    fn check(text: &str, length: usize) -> Result<(), TestCaseError> {
        prop_assert_eq!(pieces(text, length).concat(), text);
        let (whole, errors) = DeTable::parse_recoverable(text);
        if let Some(joined) = joined(text, length) {
            prop_assert!(errors.is_empty(), "{errors:?} in\n{text}");
            prop_assert_eq!(shown(&joined), shown(whole.get_ref()), "{}", text);
        }
        Ok(())
    }

    proptest! {
        /// Texts and lists over several lines, sections within sections, keys that are there twice: what is read in pieces is what
        /// the whole file says, or it is not read in pieces.
        #[test]
        fn pieces_mean_what_the_whole_file_means(
            lines in prop::collection::vec(prop::sample::select(vec![
                "[[rule]]", "[[contact]]", "[site]", "[rule.attach]", "[[rule.action]]", "[[site]]", "  [[rule]]", "[contact.x]",
                "a = 1", "b = \"x\"", "rule = []", "rule = [{ a = 1 }]", "site = { a = 1 }", "t = \"\"\"", "\"\"\"", "u = '''", "'''",
                "l = [", "]", "[1],", "# [[rule]]", "", "rule.a = 2", "c.d = 3", "[[ rule ]]", "[[\"rule\"]]",
            ]), 0..24),
            length in 0..60_usize,
        ) {
            check(&lines.join("\n"), length)?;
        }
    }

    #[test]
    fn the_example_is_read_in_pieces_as_it_is_whole() {
        let text = include_str!("../../../config/bellwire.toml");
        check(text, 500).expect("the same");
        assert!(joined(text, 500).is_some(), "it comes apart");
        assert!(parse("a = 1").is_none(), "short");
    }

    #[test]
    fn a_mistake_in_a_large_file_has_its_line() {
        let mut text = "[site]\nname = \"S\"\n[mqtt]\nurl = \"mqtt://h\"\n[[connection]]\nname = \"main\"\nphone_number_id = \"1\"\n\
                        access_token_file = \"t\"\napp_secret_file = \"s\"\nverify_token_file = \"v\"\n"
            .to_owned();
        for person in 0..1_000 {
            text +=
                &format!("[[contact]]\nid = \"p{person}\"\nphone = \"+4915{:09}\"\n", 100_000_000 + person);
        }
        let wishes = LoadOptions { without_secrets: true, ..LoadOptions::default() };
        assert_eq!(read("s.toml", &text, &wishes).expect("good").people.contacts.len(), 1_000);
        let problems = read("s.toml", &text.replace("\"p700\"", "\"p7\""), &wishes).expect_err("twice");
        assert_eq!(problems.to_string(), "s.toml:2112:6: there are two contacts `p7`; give each its own id");
    }
}
