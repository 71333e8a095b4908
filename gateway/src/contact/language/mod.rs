//! In which words, and by which clock, somebody is written to. Every sentence of ours that a person reads on WhatsApp stands
//! in [`Sentences`], once a language. To add a language: a file beside `english.rs`, and its place in [`Language`]; what is
//! missing then does not compile, and a blank that is misspelt fails a test.

mod english;
mod french;
mod german;
/// What there is to say.
mod sentences;
mod spanish;

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

pub use sentences::Sentences;

use crate::time::Timestamp;

/// Those that Bellwire speaks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Language {
    #[default]
    #[serde(rename = "en")]
    English,
    #[serde(rename = "de")]
    German,
    #[serde(rename = "fr")]
    French,
    #[serde(rename = "es")]
    Spanish,
}

/// How one person is spoken to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Locale {
    pub language: Language,
    /// The clock on the wall where the person is.
    pub zone: TimeZone,
}

/// Words of the configuration.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Translated {
    /// In the site's language, and for everybody who has no other.
    pub own: String,
    pub others: BTreeMap<Language, String>,
}

impl Translated {
    #[must_use]
    pub fn to(&self, language: Language) -> &str {
        self.others.get(&language).unwrap_or(&self.own)
    }

    pub fn all(&self) -> impl Iterator<Item = &String> {
        std::iter::once(&self.own).chain(self.others.values())
    }
}

impl Language {
    pub const ALL: [Self; 4] = [Self::English, Self::German, Self::French, Self::Spanish];

    /// ISO 639-1, as the configuration writes it.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::English => "en",
            Self::German => "de",
            Self::French => "fr",
            Self::Spanish => "es",
        }
    }

    #[must_use]
    pub fn parse(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|language| language.code() == code)
    }

    /// Whether this is what Meta calls it: `de`, or with a country or script as in `en_US`.
    #[must_use]
    pub fn is(self, code: &str) -> bool {
        code.split('_').next().is_some_and(|base| base.eq_ignore_ascii_case(self.code()))
    }

    #[must_use]
    pub fn sentences(self) -> &'static Sentences {
        match self {
            Self::English => &english::SENTENCES,
            Self::German => &german::SENTENCES,
            Self::French => &french::SENTENCES,
            Self::Spanish => &spanish::SENTENCES,
        }
    }
}

impl Default for Locale {
    /// What operators and logs read: English, and the clock of nobody in particular.
    fn default() -> Self {
        Self { language: Language::English, zone: TimeZone::UTC }
    }
}

impl Locale {
    /// The sentence that `choose` takes out of those of this language, with its blanks filled.
    #[must_use]
    pub fn say(&self, choose: fn(&Sentences) -> &'static str, blanks: &[(&str, &str)]) -> String {
        fill(choose(self.language.sentences()), blanks)
    }

    /// One that has no blanks.
    #[must_use]
    pub fn plain(&self, choose: fn(&Sentences) -> &'static str) -> String {
        choose(self.language.sentences()).to_owned()
    }

    /// When: `14:03` on the day itself is not enough when it is read tomorrow, so `21 Nov, 14:03`.
    #[must_use]
    pub fn time(&self, at: Timestamp) -> String {
        let civil = at.calendar(&self.zone);
        let months = self.language.sentences().months;
        let month = months.split(' ').nth(usize::from(civil.month) - 1).unwrap_or_default();
        self.say(|s| s.moment, &[("day", &civil.day.to_string()), ("month", month), ("time", &civil.time)])
    }

    /// As [`Locale::time`], but on that day `14:03` alone.
    #[must_use]
    pub fn time_on(&self, at: Timestamp, day: Timestamp) -> String {
        let same = at.local(&self.zone).day == day.local(&self.zone).day;
        if same { at.calendar(&self.zone).time } else { self.time(at) }
    }

    /// For how long, in the two largest units: `2 h 5 min`.
    #[must_use]
    pub fn duration(&self, duration: Duration) -> String {
        let seconds = duration.as_secs();
        let (unit, large, small): (fn(&Sentences) -> &'static str, u64, u64) = match seconds {
            0..60 => (|s| s.seconds, seconds, 0),
            60..3_600 => (|s| s.minutes, seconds / 60, 0),
            3_600..86_400 => (|s| s.hours, seconds / 3_600, seconds % 3_600 / 60),
            _ => (|s| s.days, seconds / 86_400, seconds % 86_400 / 3_600),
        };
        self.say(unit, &[("large", &large.to_string()), ("small", &small.to_string())])
    }

    /// At most two decimals, and none that are zero.
    #[must_use]
    pub fn number(&self, value: f64) -> String {
        let text = format!("{value:.2}");
        let text = text.trim_end_matches('0').trim_end_matches('.');
        let text = if text == "-0" { "0" } else { text };
        text.replace('.', self.language.sentences().decimal_mark)
    }

    /// `1 alert`, `3 alerts`.
    #[must_use]
    pub fn alerts(&self, count: usize) -> String {
        let choose: fn(&Sentences) -> &'static str =
            if count == 1 { |s| s.one_alert } else { |s| s.many_alerts };
        self.say(choose, &[("count", &count.to_string())])
    }
}

/// In one pass, so that what a device said is never read as a blank.
fn fill(sentence: &str, blanks: &[(&str, &str)]) -> String {
    let mut filled = String::with_capacity(sentence.len() + 64);
    let mut rest = sentence;
    while let Some((before, after)) = rest.split_once('{') {
        filled += before;
        let Some((name, tail)) = after.split_once('}') else { return filled };
        filled += blanks.iter().find(|(known, _)| *known == name).map_or("", |(_, value)| value);
        rest = tail;
    }
    filled + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blanks(sentence: &str) -> Vec<&str> {
        let mut names: Vec<&str> =
            sentence.split('{').skip(1).filter_map(|rest| rest.split('}').next()).collect();
        names.sort_unstable();
        names
    }

    #[test]
    fn every_language_fills_the_same_blanks() {
        let english = Language::English.sentences().all();
        for language in Language::ALL {
            for ((key, ours), (_, theirs)) in language.sentences().all().into_iter().zip(&english) {
                assert!(!ours.trim().is_empty(), "{language:?} {key} is empty");
                assert_eq!(blanks(ours), blanks(theirs), "{language:?} {key}: {ours}");
                assert_eq!(ours.matches('\n').count(), theirs.matches('\n').count(), "{language:?} {key}");
            }
        }
    }

    #[test]
    fn a_button_has_room_for_its_words() {
        for language in Language::ALL {
            let locale = Locale { language, ..Locale::default() };
            let long = [("large", "90"), ("small", "0"), ("time", "90 min")];
            for choose in [
                |s: &Sentences| s.take_care,
                |s: &Sentences| s.end_it,
                |s: &Sentences| s.snooze,
                |s: &Sentences| s.yes,
                |s: &Sentences| s.no,
                |s: &Sentences| s.read_on,
                |s: &Sentences| s.more,
                |s: &Sentences| s.act,
            ] {
                let title = locale.say(choose, &long);
                assert!(title.encode_utf16().count() <= 20, "{language:?}: {title}");
            }
            assert_eq!(language.sentences().months.split(' ').count(), 12, "{language:?}");
        }
    }

    #[test]
    fn a_language_is_known_by_its_code_and_by_metas() {
        assert_eq!(Language::parse("de"), Some(Language::German));
        assert_eq!(["DE", "de_AT", "tlh", ""].map(Language::parse), [None; 4]);
        assert!(Language::German.is("de") && Language::English.is("en_US") && Language::English.is("EN"));
        assert!(!Language::German.is("den") && !Language::English.is("de") && !Language::English.is(""));
        for language in Language::ALL {
            let written = serde_json::to_string(&language).expect("JSON");
            assert_eq!(written, format!("{:?}", language.code()), "the store writes what people write");
        }
    }

    #[test]
    fn times_durations_and_numbers_read_as_their_readers_expect() {
        let at = Timestamp(1_795_242_180_000); // 2026-11-21T06:23:00Z
        let check = |language, zone: &str, expected: [&str; 6]| {
            let locale = Locale { language, zone: crate::time::zone(zone).expect("a zone") };
            let found = [
                locale.time(at),
                locale.time_on(at, at + Duration::from_secs(3_600)),
                locale.time_on(at, at + Duration::from_secs(86_400)),
                locale.duration(Duration::from_secs(2 * 86_400 + 3 * 3_600)),
                locale.duration(Duration::from_secs(7_500)),
                locale.number(-9.40),
            ];
            assert_eq!(found, expected);
        };
        let english = ["21 Nov, 10:23", "10:23", "21 Nov, 10:23", "2 d 3 h", "2 h 5 min", "-9.4"];
        check(Language::English, "Asia/Tbilisi", english);
        let german = ["21. Nov., 07:23", "07:23", "21. Nov., 07:23", "2 Tg. 3 Std.", "2 Std. 5 Min.", "-9,4"];
        check(Language::German, "Europe/Berlin", german);
        let french = ["21 nov., 07:23", "07:23", "21 nov., 07:23", "2 j 3 h", "2 h 5 min", "-9,4"];
        check(Language::French, "Europe/Paris", french);
        let spanish = ["21 nov., 07:23", "07:23", "21 nov., 07:23", "2 d 3 h", "2 h 5 min", "-9,4"];
        check(Language::Spanish, "Europe/Madrid", spanish);
        let locale = Locale::default();
        let durations =
            [0, 59, 60, 3_599, 3_600, 86_399].map(|count| locale.duration(Duration::from_secs(count)));
        assert_eq!(durations, ["0 s", "59 s", "1 min", "59 min", "1 h 0 min", "23 h 59 min"]);
        assert_eq!(
            [locale.number(-0.001), locale.number(3.0), locale.alerts(1), locale.alerts(2)],
            ["0", "3", "1 alert", "2 alerts"]
        );
    }

    #[test]
    fn what_a_device_says_is_no_blank() {
        assert_eq!(fill("{by}: {text}.", &[("by", "{text}"), ("text", "a {by} b")]), "{text}: a {by} b.");
        assert_eq!(fill("{nobody} {unfinished", &[]), " ");
    }
}
