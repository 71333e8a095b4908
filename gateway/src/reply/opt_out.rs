//! The words of STOP and START. What they do is in `store/consent.rs`, with the commit that reads them.

use std::collections::BTreeSet;

/// The words that people write. Compared without case and without what stands around it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Words {
    stop: BTreeSet<String>,
    start: BTreeSet<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConsentWord {
    Stop,
    Start,
}

/// English, German, French, Spanish, Turkish, Russian, Georgian, Arabic.
const STOP: [&str; 15] = [
    "stop",
    "unsubscribe",
    "stopp",
    "abmelden",
    "arrêt",
    "arrêter",
    "baja",
    "parar",
    "dur",
    "durdur",
    "стоп",
    "отписаться",
    "შეწყვეტა",
    "إيقاف",
    "توقف",
];
const START: [&str; 9] =
    ["start", "subscribe", "anmelden", "reprendre", "alta", "başlat", "старт", "დაწყება", "ابدأ"];

impl Default for Words {
    fn default() -> Self {
        let set = |words: &[&str]| words.iter().map(|word| plain(word)).collect();
        Self { stop: set(&STOP), start: set(&START) }
    }
}

impl Words {
    /// With a site's own words.
    #[must_use]
    pub fn with(mut self, stop: impl Iterator<Item = String>, start: impl Iterator<Item = String>) -> Self {
        self.stop.extend(stop.map(|word| plain(&word)));
        self.start.extend(start.map(|word| plain(&word)));
        self
    }

    /// The wish of a text, read as a whole, since "stop the pump" is no goodbye.
    #[must_use]
    pub fn read(&self, text: &str) -> Option<ConsentWord> {
        let text = plain(text);
        if self.stop.contains(&text) {
            Some(ConsentWord::Stop)
        } else if self.start.contains(&text) {
            Some(ConsentWord::Start)
        } else {
            None
        }
    }
}

fn plain(text: &str) -> String {
    text.trim_matches(|c: char| !c.is_alphanumeric()).to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_whole_text_is_an_opt_out() {
        let words = Words::default().with(["halt".to_owned()].into_iter(), std::iter::empty());
        for (text, wish) in [
            ("STOP", Some(ConsentWord::Stop)),
            (" Stop! ", Some(ConsentWord::Stop)),
            ("Halt.", Some(ConsentWord::Stop)),
            ("СТОП", Some(ConsentWord::Stop)),
            ("Start", Some(ConsentWord::Start)),
            ("stop the pump", None),
            ("stopped", None),
            ("", None),
        ] {
            assert_eq!(words.read(text), wish, "{text}");
        }
    }
}
