//! A phone number in E.164: `+`, country code, at most 15 digits (ITU-T E.164).

use std::fmt;

/// Always with the `+`: without it Meta prepends the *sender's* country code (Meta, Messages API, "Phone number formats").
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Phone(String);

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PhoneError {
    #[error("the number has no country code: write it as +COUNTRY NUMBER, for example +995 555 12 34 56")]
    NoCountryCode,
    #[error(
        "`{0}` does not belong in a phone number: use digits, spaces, dashes, dots and brackets after the +"
    )]
    Unexpected(char),
    #[error("the number has {0} digits; with country code it must have 7 to 15")]
    Length(usize),
}

impl Phone {
    /// Reads any usual form: `+49 (0)30 1234567`, `0049-30-1234567`, `+1 (631) 555.1234`.
    pub fn parse(text: &str) -> Result<Self, PhoneError> {
        let text = text.trim();
        let rest = match text.strip_prefix('+').or_else(|| text.strip_prefix("00")) {
            Some(rest) => rest,
            None => return Err(PhoneError::NoCountryCode),
        };
        // The national trunk zero in brackets is not dialled from abroad.
        let rest = rest.replacen("(0)", "", 1);
        let mut digits = String::with_capacity(16);
        for c in rest.chars() {
            match c {
                '0'..='9' => digits.push(c),
                ' ' | '-' | '.' | '(' | ')' | '/' | '\u{a0}' | '\u{2011}' | '\u{2013}' => {}
                other => return Err(PhoneError::Unexpected(other)),
            }
        }
        match digits.as_bytes().first() {
            Some(b'0') => Err(PhoneError::NoCountryCode), // no country code starts with 0 (E.164)
            _ if (7..=15).contains(&digits.len()) => Ok(Self(format!("+{digits}"))),
            _ => Err(PhoneError::Length(digits.len())),
        }
    }

    /// What webhooks call `wa_id` or `from`: the digits without `+`.
    pub fn from_wa_id(wa_id: &str) -> Result<Self, PhoneError> {
        Self::parse(&format!("+{}", wa_id.trim_start_matches('+')))
    }

    /// `+995555123456`.
    #[must_use]
    pub fn e164(&self) -> &str {
        &self.0
    }

    /// `+995…456`: for logs and tables.
    #[must_use]
    pub fn masked(&self) -> String {
        let (head, tail) = (&self.0[..4], &self.0[self.0.len() - 3..]);
        format!("{head}…{tail}")
    }
}

impl fmt::Debug for Phone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Phone({})", self.masked())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usual_forms_become_e164() {
        let check = |text: &str, expected: &str| assert_eq!(Phone::parse(text).expect(text).e164(), expected);
        check("+995 555 12 34 56", "+995555123456");
        check("00995555123456", "+995555123456");
        check("+49 (0)30 1234567", "+49301234567");
        check(" +1 (631) 555-1234 ", "+16315551234");
        check("+44.20.7946.0958", "+442079460958");
        check("+49/30/1234567", "+49301234567");
        check("+995\u{a0}555\u{a0}123456", "+995555123456");
    }

    #[test]
    fn what_cannot_be_dialled_is_refused_with_the_reason() {
        let check =
            |text: &str, expected: PhoneError| assert_eq!(Phone::parse(text), Err(expected), "{text}");
        check("555 12 34 56", PhoneError::NoCountryCode);
        check("030 1234567", PhoneError::NoCountryCode);
        check("+0301234567", PhoneError::NoCountryCode);
        check("+49 30 CALL-ME", PhoneError::Unexpected('C'));
        check("+12345", PhoneError::Length(5));
        check("+1234567890123456", PhoneError::Length(16));
    }

    #[test]
    fn debug_shows_no_whole_number() {
        let phone = Phone::parse("+995555123456").expect("valid");
        assert_eq!(format!("{phone:?}"), "Phone(+995…456)");
    }
}
