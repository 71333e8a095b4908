//! Words from outside on somebody's terminal: what a device, a contact or Meta wrote may be read there, and must not be obeyed.

use std::borrow::Cow;

/// A terminal takes it for an order, or shows what follows in another order than it stands (Unicode, UAX 9).
fn is_order(letter: char) -> bool {
    letter.is_control()
        || matches!(letter, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Lines as they may be printed: `␛` stands for Escape, and so on; what has no picture is `�`.
#[must_use]
pub fn plain(text: &str) -> Cow<'_, str> {
    let is_fine = |letter: char| matches!(letter, '\n' | '\t') || !is_order(letter);
    if text.chars().all(is_fine) {
        return Cow::Borrowed(text);
    }
    let shown = |letter: char| match u32::from(letter) {
        _ if is_fine(letter) => letter,
        code @ 0..0x20 => char::from_u32(0x2400 + code).unwrap_or('\u{fffd}'),
        0x7f => '\u{2421}',
        _ => '\u{fffd}',
    };
    Cow::Owned(text.chars().map(shown).collect())
}

/// JSON as it may be printed: the same value for a program, each such character as `\u009b`.
#[must_use]
pub fn json(text: &str) -> Cow<'_, str> {
    let is_fine = |letter: char| letter == '\n' || !is_order(letter);
    if text.chars().all(is_fine) {
        return Cow::Borrowed(text);
    }
    let mut escaped = String::with_capacity(text.len() + 16);
    for letter in text.chars() {
        if is_fine(letter) {
            escaped.push(letter);
        } else {
            escaped.push_str(&format!("\\u{:04x}", u32::from(letter))); // all of them are in the first plane
        }
    }
    Cow::Owned(escaped)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terminal_control_sequences_are_neutralised() {
        for (text, shown) in [
            ("ბარი: -3 °C\n\t✓ 👍🏽", "ბარი: -3 °C\n\t✓ 👍🏽"),
            ("\u{1b}]0;x\u{7}\u{1b}[2J", "␛]0;x␇␛[2J"),
            ("all well\rALARM\u{8}\u{7f}", "all well␍ALARM␈␡"),
            ("\u{9b}2J\u{202e}gnp.exe\u{2066}", "�2J�gnp.exe�"),
        ] {
            assert_eq!(plain(text), shown);
        }
    }

    #[test]
    fn json_stays_the_same_value() {
        let value = serde_json::json!({ "a": "\u{9b}2J \u{7f} \u{202e} \u{1b} x" });
        let text = format!("{value:#}");
        let shown = json(&text);
        assert!(!shown.contains(['\u{9b}', '\u{7f}', '\u{202e}', '\u{1b}']), "{shown}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&shown).expect("JSON"), value);
        assert!(matches!(json("{\n  \"a\": 1\n}"), Cow::Borrowed(_)));
    }
}
