//! The access list of a mosquitto on the same machine (mosquitto.conf(5), `acl_file`). mosquitto grants each subscription and
//! keeps back what the list denies, without a word: nothing else shows it.

use crate::event::subscription_cover::{covers, overlap};

/// What the list lets somebody read.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Access {
    allowed: Vec<String>,
    denied: Vec<String>,
}

/// How much of a filter comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reads {
    All,
    Part,
    Nothing,
}

impl Access {
    /// The lines that count for this user, or for clients without a name.
    #[must_use]
    pub fn read(text: &str, user: Option<&str>, client_id: &str) -> Self {
        let (mut access, mut is_ours) = (Self::default(), user.is_none());
        for line in text.lines().map(str::trim) {
            let Some((word, rest)) = line.split_once(char::is_whitespace) else { continue };
            match (word, rest.trim()) {
                ("user", name) => is_ours = user == Some(name),
                ("topic", rest) if is_ours => access.add(rest),
                // Without a name there is nothing to put in.
                ("pattern", rest) if user.is_some() || !rest.contains("%u") => {
                    access.add(&rest.replace("%u", user.unwrap_or_default()).replace("%c", client_id));
                }
                _ => {}
            }
        }
        access
    }

    fn add(&mut self, rest: &str) {
        let (kind, topic) = match rest.split_once(char::is_whitespace) {
            Some((kind @ ("read" | "write" | "readwrite" | "deny"), topic)) => (kind, topic.trim()),
            Some(_) | None => ("readwrite", rest),
        };
        match kind {
            "write" => {}
            "deny" => self.denied.push(topic.to_owned()),
            _ => self.allowed.push(topic.to_owned()),
        }
    }

    /// A denial goes before what is allowed.
    #[must_use]
    pub fn reads(&self, filter: &str) -> Reads {
        let is_denied = |test: fn(&str, &str) -> bool| self.denied.iter().any(|denied| test(denied, filter));
        let is_allowed =
            |test: fn(&str, &str) -> bool| self.allowed.iter().any(|allowed| test(allowed, filter));
        if is_denied(covers) || !is_allowed(overlap) {
            Reads::Nothing
        } else if is_allowed(covers) && !is_denied(overlap) {
            Reads::All
        } else {
            Reads::Part
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIST: &str = "# everybody\ntopic read public/#\npattern readwrite devices/%u/#\npattern read clients/%c/+\n\n\
                        user bellwire\ntopic readwrite site/#\ntopic deny site/secret/#\ntopic write commands/#\n\
                        topic bare/topic\n\nuser other\ntopic read hidden/#\n";

    #[test]
    fn mosquittos_access_list_is_evaluated_for_our_filters() {
        let ours = Access::read(LIST, Some("bellwire"), "bw");
        for (filter, reads) in [
            ("site/+/door", Reads::Part), // site/secret/door
            ("site/bar/#", Reads::All),
            ("site/secret/door", Reads::Nothing),
            ("commands/door", Reads::Nothing),
            ("bare/topic", Reads::All),
            ("hidden/x", Reads::Nothing),
            ("public/x", Reads::Nothing),
            ("devices/bellwire/x", Reads::All),
            ("devices/+/x", Reads::Part),
            ("clients/bw/x", Reads::All),
            ("#", Reads::Part),
        ] {
            assert_eq!(ours.reads(filter), reads, "{filter}");
        }
        let anybody = Access::read(LIST, None, "bw");
        for (filter, reads) in [
            ("public/x", Reads::All),
            ("site/bar/door", Reads::Nothing),
            ("devices//x", Reads::Nothing),
            ("clients/bw/x", Reads::All),
        ] {
            assert_eq!(anybody.reads(filter), reads, "{filter}");
        }
    }
}
