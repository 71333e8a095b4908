//! How long Meta lets things be (docs/cloud-api.md 1.2, 1.3), and how what is longer is cut. Meta does not say how it counts;
//! UTF-16 units are the larger count for emoji.

use unicode_segmentation::UnicodeSegmentation;

/// Meta, Text messages; and the body of an interactive list.
pub const TEXT: usize = 4_096;
/// Meta, Interactive reply buttons, call-to-action URL, location request, flow: the body. Captions too.
pub const BODY: usize = 1_024;
/// Header texts, and footers.
pub const MARGIN: usize = 60;
pub const BUTTON_TITLE: usize = 20;
pub const BUTTONS: usize = 3;
pub const ROW_TITLE: usize = 24;
pub const ROW_DESCRIPTION: usize = 72;
/// In all sections of a list together.
pub const ROWS: usize = 10;
/// A template's body after its blanks are filled (132005); what the template itself says takes its part.
pub const TEMPLATE_BODY: usize = 1_024;

/// UTF-16 units.
#[must_use]
pub fn length(text: &str) -> usize {
    text.encode_utf16().count()
}

/// At most `limit` units, cut between characters as people see them; a cut shows as `…`.
#[must_use]
pub fn cut(text: &str, limit: usize) -> String {
    let (shown, rest) = split(text, limit);
    if rest.is_empty() { shown.to_owned() } else { format!("{shown}…") }
}

/// What is shown of a text and what is left: at a line's end when one is near, else between words, else between
/// characters as people see them. One unit is kept free for `…`.
#[must_use]
pub fn split(text: &str, limit: usize) -> (&str, &str) {
    if length(text) <= limit {
        return (text, "");
    }
    let (mut used, mut end) = (1, 0);
    for (at, character) in text.grapheme_indices(true) {
        used += length(character);
        if used > limit {
            break;
        }
        end = at + character.len();
    }
    let head = &text[..end];
    // A line or a word that ends in the last quarter is a better place than the middle of one.
    let near = |at: &usize| *at >= end - end / 4 && *at > 0;
    let best = head.rfind('\n').filter(near).or_else(|| head.rfind(' ').filter(near)).unwrap_or(end);
    (&text[..best], text[best..].trim_start())
}

/// What a template's parameter may hold: no line breaks, tabs or more than four spaces in a row (132007, 132012), and
/// not nothing.
#[must_use]
pub fn parameter(text: &str, limit: usize) -> String {
    let lines = text.split(['\n', '\r']).map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "));
    let line = lines.filter(|line| !line.is_empty()).collect::<Vec<_>>().join(" · ");
    if line.is_empty() { "–".into() } else { cut(&line, limit) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_is_too_long_is_cut_between_characters() {
        assert_eq!(cut("short", 5), "short");
        assert_eq!(cut("longer", 5), "long…");
        let family = "👨‍👩‍👧"; // one character to people, 8 UTF-16 units
        assert_eq!(cut(&family.repeat(3), 17), format!("{family}{family}…"));
        assert_eq!(cut(&family.repeat(3), 16), format!("{family}…"));
        assert_eq!(split("one two three four", 14), ("one two three", "four"));
        assert_eq!(split("first line\nsecond line", 14), ("first line", "second line"));
    }

    #[test]
    fn a_parameter_is_one_line() {
        assert_eq!(parameter("a\n\n b\t c     d \r\ne", 100), "a · b c d · e");
        assert_eq!(parameter(" \n ", 100), "–");
        assert_eq!(parameter("abcdef", 4), "abc…");
    }

    proptest! {
        #[test]
        fn nothing_is_lost_and_nothing_too_long(text in ".{0,300}", limit in 8_usize..80) {
            let squeeze = |text: &str| text.split_whitespace().collect::<String>();
            let (mut rest, mut seen) = (text.as_str(), String::new());
            for _ in 0..1_000 {
                let (shown, left) = split(rest, limit);
                prop_assert!(length(shown) <= limit);
                seen.push_str(shown);
                if left.is_empty() || left.len() == rest.len() {
                    break; // a single character longer than the limit stays
                }
                rest = left;
            }
            if text.graphemes(true).all(|character| length(character) < limit) {
                prop_assert_eq!(squeeze(&seen), squeeze(&text));
            }
            prop_assert!(length(&parameter(&text, limit)) <= limit);
        }
    }
}
