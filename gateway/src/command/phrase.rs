//! Words as their speakers mean them: without case, with the letters that a keyboard cannot make, and nothing that only
//! looks alike. Both what is configured and what is typed is folded, and then compared exactly.

use unicode_normalization::UnicodeNormalization;

use crate::event::topic::Bindings;

/// A word of a text, as it is compared and as it was typed.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Word {
    folded: String,
    typed: String,
}

/// What people write to have something done: words, and `{places}` for what differs each time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Phrase {
    text: String,
    parts: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Word(String),
    Place(String),
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PhraseError {
    #[error("it needs at least one word that is no {{place}}: else it would match whatever anybody writes")]
    NoWord,
    #[error("`{0}`: a place is a whole word, such as `open {{door}}`; letters, digits and `_`")]
    Place(String),
    #[error("`{{{0}}}` stands in it twice: give each place its own name")]
    Twice(String),
    #[error("it holds a character that nobody can see; type it again")]
    Invisible,
}

/// The values that a place may have; without a list any plain word.
pub type Values = std::collections::BTreeMap<String, Vec<String>>;

/// The longest value without a list: a level of a topic, not a story.
const VALUE_MAX: usize = 64;
/// More words than any command has; a longer text is talk.
const WORDS_MAX: usize = 24;

/// A whole text, folded; `None` when something invisible is in it, or nothing at all.
#[must_use]
pub fn fold(text: &str) -> Option<String> {
    let words = split(text)?;
    Some(words.iter().map(|word| word.folded.as_str()).collect::<Vec<_>>().join(" "))
}

/// Whether both say the same.
#[must_use]
pub fn same(ours: &str, typed: &str) -> bool {
    fold(ours).is_some_and(|ours| fold(typed).as_deref() == Some(&ours))
}

/// Whether a slip of the finger lies between them: one letter in a short text, two in a long one.
#[must_use]
pub fn near(ours: &str, typed: &str) -> bool {
    let (Some(ours), Some(typed)) = (fold(ours), fold(typed)) else { return false };
    let slips = if ours.chars().count() <= 5 { 1 } else { 2 };
    ours.chars().count() >= 3 && strsim::osa_distance(&ours, &typed) <= slips
}

impl Phrase {
    pub fn parse(text: &str) -> Result<Self, PhraseError> {
        let mut parts = Vec::new();
        for word in text.split_whitespace() {
            let inside = word.strip_prefix('{').and_then(|rest| rest.strip_suffix('}'));
            let is_name = |name: &str| {
                name.starts_with(|c: char| c.is_ascii_alphabetic())
                    && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
            };
            match inside {
                Some(name) if is_name(name) && parts.contains(&Part::Place(name.into())) => {
                    return Err(PhraseError::Twice(name.into()));
                }
                Some(name) if is_name(name) => parts.push(Part::Place(name.into())),
                None if !word.contains(['{', '}']) => {
                    parts.push(Part::Word(fold_word(word).ok_or(PhraseError::Invisible)?));
                }
                Some(_) | None => return Err(PhraseError::Place(word.into())),
            }
        }
        if !parts.iter().any(|part| matches!(part, Part::Word(word) if !word.is_empty())) {
            return Err(PhraseError::NoWord);
        }
        Ok(Self { text: text.split_whitespace().collect::<Vec<_>>().join(" "), parts })
    }

    /// As it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The names of its places.
    pub fn places(&self) -> impl Iterator<Item = &str> {
        self.parts.iter().filter_map(|part| match part {
            Part::Place(name) => Some(name.as_str()),
            Part::Word(_) => None,
        })
    }

    /// What its places stand for, if the whole text is this phrase.
    #[must_use]
    pub fn read(&self, text: &str, values: &Values) -> Option<Bindings> {
        let mut bindings = Bindings::new();
        fill(&self.parts, &split(text)?, values, &mut bindings).then_some(bindings)
    }

    /// Whether somebody meant this and slipped: a letter wrong, or a value that there is not.
    #[must_use]
    pub fn is_near(&self, text: &str) -> bool {
        let Some(words) = split(text) else { return false };
        let slip = |(part, word): (&Part, &Word)| match part {
            Part::Place(_) => true,
            Part::Word(ours) => *ours == word.folded || near(ours, &word.folded),
        };
        words.len() == self.parts.len() && self.parts.iter().zip(&words).all(slip)
    }

    /// As people should write it: `open front|back`.
    #[must_use]
    pub fn shown(&self, values: &Values) -> String {
        let word = |word: &str| {
            let name = word.strip_prefix('{').and_then(|rest| rest.strip_suffix('}'));
            name.and_then(|name| values.get(name)).map_or_else(|| word.to_owned(), |list| list.join("|"))
        };
        self.text.split(' ').map(word).collect::<Vec<_>>().join(" ")
    }
}

/// A place takes as few words as it can; a value may have several.
fn fill(parts: &[Part], words: &[Word], values: &Values, bindings: &mut Bindings) -> bool {
    match parts.split_first() {
        None => words.is_empty(),
        Some((Part::Word(ours), rest)) => words
            .split_first()
            .is_some_and(|(word, others)| word.folded == *ours && fill(rest, others, values, bindings)),
        Some((Part::Place(name), rest)) => (1..=words.len()).any(|count| {
            let Some(value) = value(&words[..count], values.get(name)) else { return false };
            bindings.insert(name.clone(), value);
            fill(rest, &words[count..], values, bindings)
        }),
    }
}

/// A listed value as the list spells it. Without a list one plain word in ASCII: it becomes part of a topic, where
/// letters that only look alike would be another door.
fn value(words: &[Word], listed: Option<&Vec<String>>) -> Option<String> {
    if let Some(listed) = listed {
        let typed = words.iter().map(|word| word.folded.as_str()).collect::<Vec<_>>().join(" ");
        return listed.iter().find(|value| fold(value).as_deref() == Some(&typed)).cloned();
    }
    let [word] = words else { return None };
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_' || c == '.';
    let typed: String = word.typed.chars().map(digit).collect();
    (typed.len() <= VALUE_MAX && typed.chars().all(plain)).then(|| typed.to_ascii_lowercase())
}

fn split(text: &str) -> Option<Vec<Word>> {
    // Keyboards that write from right to left put marks of direction around what is typed.
    let around = |c: char| c.is_whitespace() || matches!(c, '\u{200e}' | '\u{200f}' | '\u{61c}');
    let text = text.trim_matches(around);
    let stop = |c: char| around(c) || matches!(c, '.' | '!' | ',' | '…' | '?' | '؟' | '。' | '！');
    let polite = text.trim_end_matches(stop);
    let text = if polite.is_empty() { text } else { polite };
    let mut words = Vec::new();
    for typed in text.split_whitespace() {
        let folded = fold_word(typed)?;
        if !folded.is_empty() {
            words.push(Word { folded, typed: typed.to_owned() });
        }
    }
    (1..=WORDS_MAX).contains(&words.len()).then_some(words)
}

/// `None` when something invisible is in it.
fn fold_word(word: &str) -> Option<String> {
    let mut folded = String::new();
    let mut before = ' ';
    for c in word.nfc() {
        match c {
            // How an emoji is drawn: as text, in colour, in which colour of skin.
            '\u{fe0e}' | '\u{fe0f}' | '\u{1f3fb}'..='\u{1f3ff}' => {}
            '\u{200d}' if before >= '\u{2190}' => folded.push(c), // it makes one emoji of two
            c if is_invisible(c) => return None,
            // Arabic: the stretching stroke, vowel marks, and the hamza that many leave out.
            '\u{640}' | '\u{64b}'..='\u{65f}' | '\u{670}' | '\u{6d6}'..='\u{6ed}' => {}
            'آ' | 'أ' | 'إ' | 'ٱ' => folded.push('ا'),
            'ى' => folded.push('ي'),
            // Turkish: I is the capital of ı, and İ of i; English speakers see one letter. The dot may come by itself
            // after an i; after an I it has become one letter with it by now (NFC).
            'I' | 'İ' | 'ı' => folded.push('i'),
            '\u{307}' if before == 'i' => {}
            // German: written out where a keyboard has none.
            'ß' | 'ẞ' => folded.push_str("ss"),
            'ä' | 'Ä' => folded.push_str("ae"),
            'ö' | 'Ö' => folded.push_str("oe"),
            'ü' | 'Ü' => folded.push_str("ue"),
            'ς' => folded.push('σ'),
            // Georgian capitals (Mtavruli) have small letters in Unicode, so this is all that they need.
            c => folded.extend(digit(c).to_lowercase()),
        }
        before = c;
    }
    Some(folded)
}

/// Arabic and Persian digits as 0 to 9.
fn digit(c: char) -> char {
    let from = |zero: char| char::from_digit(u32::from(c) - u32::from(zero), 10).unwrap_or(c);
    match c {
        '٠'..='٩' => from('٠'),
        '۰'..='۹' => from('۰'),
        c => c,
    }
}

/// Zero-width characters, marks of direction, soft hyphens, fillers, tags: nobody types them inside a word.
fn is_invisible(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
            | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
            | '\u{2800}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e0fff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_match_as_their_speakers_expect() {
        for (ours, typed) in [
            ("stop defrost", " Stop  DEFROST! "),
            ("kapıyı aç", "KAPIYI AÇ"),
            ("ışığı kapat", "IŞIĞI KAPAT"),
            ("iptal", "İPTAL"),
            ("iptal", "I\u{307}PTAL"),
            ("iptal", "i\u{307}ptal"),
            ("iptal", "IPTAL"),
            ("kapıyı aç", "kapıyı ac\u{327}"),
            ("öffne straße", "ÖFFNE STRASSE"),
            ("öffne straße", "o\u{308}ffne straße"),
            ("Tür schließen", "tuer schliessen"),
            ("გააღე კარი", "ᲒᲐᲐᲦᲔ ᲙᲐᲠᲘ"),
            ("افتح الباب", "اِفْتَحِ البَاب"),
            ("افتح الباب", "افتـــح الباب"),
            ("أوقف", "اوقف"),
            ("افتح الباب", "\u{200f}افتح الباب\u{200f}؟"),
            ("باب 2", "باب ٢"),
            ("👍", "👍🏽"),
            ("✅", "✅\u{fe0f}"),
            ("❤️", "❤"),
            ("👩‍🍳", "👩🏿‍🍳"),
        ] {
            assert!(same(ours, typed), "{ours} = {typed}");
        }
    }

    #[test]
    fn lookalike_characters_do_not_match() {
        for (ours, typed) in [
            ("open", "оpen"),     // a Cyrillic о
            ("open", "ｏｐｅｎ"), // full width
            ("open", "op\u{200b}en"),
            ("open", "op\u{ad}en"),
            ("aq", "aq\u{307}"),
            ("open", "op\u{202e}en"),
            ("open", "o\u{200d}pen"),
            ("open", "open\u{e0041}"),
            ("open", "opens"),
            ("open", ""),
            ("აბ", "ab"),
        ] {
            assert!(!same(ours, typed), "{ours} ≠ {typed}");
        }
        assert_eq!(fold("\u{200f}"), None);
    }

    #[test]
    fn a_phrase_is_the_whole_text() {
        let any = Values::new();
        let read = |phrase: &str, text: &str, values: &Values| {
            let bindings = Phrase::parse(phrase).expect(phrase).read(text, values)?;
            Some(bindings.into_values().collect::<Vec<_>>().join(","))
        };
        assert_eq!(read("open {door}", "Open FRONT", &any).as_deref(), Some("front"));
        assert_eq!(read("open {door}", "open front now", &any), None);
        assert_eq!(read("open {door}", "please open front", &any), None);
        assert_eq!(read("open {door}", "open", &any), None);
        assert_eq!(read("open {door}", "open ../#", &any), None);
        assert_eq!(read("open {door}", "open Back-2_b.c", &any).as_deref(), Some("back-2_b.c"));
        let level = "x".repeat(64);
        assert_eq!(read("open {door}", &format!("open {level}"), &any), Some(level.clone()));
        assert_eq!(read("open {door}", &format!("open {level}x"), &any), None);
        assert_eq!(read("open {door}", "open frоnt", &any), None, "a Cyrillic о is another topic");
        assert_eq!(read("باب {n}", "باب ٢", &any).as_deref(), Some("2"));
        assert_eq!(read("set {a} to {b}", "set oven to 200", &any).as_deref(), Some("oven,200"));
        let doors = Values::from([("door".into(), vec!["Vordertür".into(), "Back Door".into()])]);
        assert_eq!(read("open {door}", "open back door", &doors).as_deref(), Some("Back Door"));
        assert_eq!(read("{door} öffnen", "VORDERTUER öffnen", &doors).as_deref(), Some("Vordertür"));
        assert_eq!(read("open {door}", "open cellar", &doors), None);
        let open = Phrase::parse("open {door}").expect("valid");
        assert_eq!((open.shown(&doors).as_str(), open.as_str()), ("open Vordertür|Back Door", "open {door}"));
    }

    #[test]
    fn a_typing_error_is_suggested_and_talk_is_not() {
        let open = Phrase::parse("open {door}").expect("valid");
        assert!(open.is_near("opne front") && open.is_near("оpen front") && open.is_near("open cellar"));
        assert!(!open.is_near("close front") && !open.is_near("please open front") && !open.is_near("hello"));
        assert!(
            near("help", "hepl") && near("status", "statsu") && !near("help", "hello") && !near("ok", "no")
        );
    }

    #[test]
    fn a_wrong_phrase_says_why() {
        assert_eq!(Phrase::parse("{a} {b}"), Err(PhraseError::NoWord));
        assert_eq!(Phrase::parse("open {a}{b}"), Err(PhraseError::Place("{a}{b}".into())));
        assert_eq!(Phrase::parse("open a{b}"), Err(PhraseError::Place("a{b}".into())));
        assert_eq!(Phrase::parse("o\u{200d}pen"), Err(PhraseError::Invisible));
        assert_eq!(Phrase::parse("move {a} {a}"), Err(PhraseError::Twice("a".into())));
        assert_eq!(Phrase::parse("o\u{200b}pen"), Err(PhraseError::Invisible));
    }
}
