//! JSON, and what is wrong with what only begins like it, in words for whoever looks after the device.

use serde::Deserialize;
use serde_json::Value;

/// One document. The error is a part of a sentence, with the place.
pub fn read(text: &str) -> Result<Value, String> {
    if text.trim().is_empty() {
        return Err("it is empty".into());
    }
    // serde_json refuses more than 128 levels, so that no payload overflows the stack.
    let mut reader = serde_json::Deserializer::from_str(text);
    let value = Value::deserialize(&mut reader).map_err(|error| explain(text, &error))?;
    match reader.end() {
        Ok(()) => Ok(value),
        Err(error) => Err(format!("more follows at {}; a publish holds one document", place(&error))),
    }
}

/// How C, JavaScript, Python and .NET print what is no number. A device without a reading sends it.
pub fn is_no_number(word: &str) -> bool {
    let word = word.strip_prefix(['+', '-']).unwrap_or(word);
    ["nan", "NaN", "NAN", "inf", "Inf", "INF", "Infinity", "infinity"].contains(&word)
}

fn explain(text: &str, error: &serde_json::Error) -> String {
    let place = place(error);
    if error.is_eof() {
        return format!("it is cut off after {} bytes", text.len());
    }
    let at = offset(text, error);
    let before = text[..at].trim_end().chars().next_back();
    let (word, rest) = word_around(text, at);
    match text[at..].chars().next() {
        Some('}' | ']') if before == Some(',') => return format!("a comma too many stands before {place}"),
        Some('\'') => return format!("a text begins with ' at {place}; JSON takes \" alone"),
        Some('/') => return format!("a comment stands at {place}; JSON has none"),
        Some(_) | None => {}
    }
    if is_no_number(word) {
        return format!(
            "`{word}` at {place} is no number; without a reading send null or leave the field out"
        );
    }
    let written = match word {
        "True" | "TRUE" => "true",
        "False" | "FALSE" => "false",
        "None" | "Null" | "NULL" | "nil" | "undefined" => "null",
        _ if rest.trim_start().starts_with(':') && !word.is_empty() => {
            return format!("the name `{word}` at {place} stands without \"");
        }
        _ if word.starts_with(char::is_alphabetic) => {
            return format!(
                "`{word}` at {place} is neither a number nor true, false or null, and a text stands in \""
            );
        }
        _ => return error.to_string(),
    };
    format!("`{word}` at {place} is written {written} in JSON")
}

fn place(error: &serde_json::Error) -> String {
    format!("line {} column {}", error.line(), error.column())
}

/// Where the character is that did not fit: serde_json counts bytes from the line's begin, and has read it.
fn offset(text: &str, error: &serde_json::Error) -> usize {
    let line: usize = text.split_inclusive('\n').take(error.line().saturating_sub(1)).map(str::len).sum();
    text.floor_char_boundary(line + error.column().saturating_sub(1))
}

/// The word that this byte belongs to, at most 40 characters of it, and what follows.
fn word_around(text: &str, at: usize) -> (&str, &str) {
    let other = |c: char| !(c.is_alphanumeric() || "_+-.".contains(c));
    let begin =
        text[..at].rfind(other).map_or(0, |end| end + text[end..].chars().next().map_or(0, char::len_utf8));
    let length = text[begin..].find(other).unwrap_or(text.len() - begin);
    let (word, rest) = text[begin..].split_at(length);
    (&word[..word.floor_char_boundary(40)], rest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_is_wrong_is_said_with_its_place() {
        for (text, expected) in [
            (
                r#"{"leak":true,"temperature":nan}"#,
                "`nan` at line 1 column 29 is no number; without a reading send null or leave the field out",
            ),
            (
                r#"{"a": [1, -Infinity]}"#,
                "`-Infinity` at line 1 column 12 is no number; without a reading send null or leave the field out",
            ),
            (
                r#"{"a":NaN}"#,
                "`NaN` at line 1 column 6 is no number; without a reading send null or leave the field out",
            ),
            (r#"{"a":1,}"#, "a comma too many stands before line 1 column 8"),
            ("[1,\n 2, ]", "a comma too many stands before line 2 column 5"),
            (r#"{"a":1}{"a":2}"#, "more follows at line 1 column 8; a publish holds one document"),
            ("{\"a\":1}\n{\"a\":2}\n", "more follows at line 2 column 1; a publish holds one document"),
            (r#"{"a":1} OK"#, "more follows at line 1 column 9; a publish holds one document"),
            ("{'a': 1}", "a text begins with ' at line 1 column 2; JSON takes \" alone"),
            (r#"{"a": 'on'}"#, "a text begins with ' at line 1 column 7; JSON takes \" alone"),
            (r#"{"a": True}"#, "`True` at line 1 column 7 is written true in JSON"),
            (r#"{"a": None, "b": 1}"#, "`None` at line 1 column 7 is written null in JSON"),
            (r#"{celsius: 3}"#, "the name `celsius` at line 1 column 2 stands without \""),
            (
                r#"{"a": on}"#,
                "`on` at line 1 column 7 is neither a number nor true, false or null, and a text stands in \"",
            ),
            (r#"{"a": /* now */ 1}"#, "a comment stands at line 1 column 7; JSON has none"),
            (r#"{"celsius": -1"#, "it is cut off after 14 bytes"),
            (r#"{"celsius"#, "it is cut off after 9 bytes"),
            (" \n", "it is empty"),
            (r#"{"a" 1}"#, "expected `:` at line 1 column 6"),
        ] {
            assert_eq!(read(text), Err(expected.to_owned()), "{text}");
        }
        assert_eq!(read("{\"a\":1}\r\n"), Ok(serde_json::json!({"a": 1})));
    }

    proptest! {
        #[test]
        fn any_text_is_survived(text in r#"[\[{"][-{}\[\],:"'nN0aéü\n .]{0,40}"#) {
            drop(read(&text));
        }
    }
}
