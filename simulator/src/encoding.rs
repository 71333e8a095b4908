//! Bytes as text, as Meta writes them.

use std::fmt::Write as _;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// All but the unreserved characters of RFC 3986, 2.3.
const ESCAPED: AsciiSet = NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Two small hexadecimal digits each.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _a_string_takes_all = write!(text, "{byte:02x}");
        text
    })
}

/// A word as a value of a query.
pub fn query_value(word: &str) -> String {
    utf8_percent_encode(word, &ESCAPED).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_have_two_small_digits_each() {
        assert_eq!(hex(&[0x00, 0x0a, 0xff]), "000aff");
    }

    #[test]
    fn a_word_cannot_end_the_value_of_a_query() {
        assert_eq!(query_value("EAA-b_c.d~1|2&x=ü"), "EAA-b_c.d~1%7C2%26x%3D%C3%BC");
    }
}
