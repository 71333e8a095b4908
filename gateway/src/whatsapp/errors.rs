//! Meta's error codes as classes. The table is data: `error_codes.json`, from Meta's own page.

use std::sync::OnceLock;
use std::time::Duration;

use serde::Deserialize;

use crate::outbox::retry_policy::{Class, Refusal};
use crate::packed::{packed, unpack};

const TABLE: &[u8] = packed!("error_codes.json");

#[derive(Deserialize)]
struct Table {
    codes: Vec<Row>,
}

#[derive(Deserialize)]
struct Row {
    code: String,
    cls: String,
    action: String,
}

/// One row of the table: codes from `first` to `last`.
#[derive(Debug)]
struct ErrorRow {
    first: i64,
    last: i64,
    class: Class,
    advice: String,
}

/// What Meta said, before it is judged.
#[derive(Debug, Default)]
pub struct ApiMessage {
    pub code: i64,
    pub subcode: Option<i64>,
    pub details: String,
    pub fbtrace_id: Option<String>,
    pub http_status: Option<u16>,
    pub retry_after: Option<Duration>,
}

/// The refusal with its class and what to do about it.
#[must_use]
pub fn refusal(said: ApiMessage) -> Refusal {
    let (class, advice) = match (said.code, said.subcode) {
        (100, Some(33)) => (Class::Config, "the phone_number_id is wrong, or the token has no access to it"),
        _ => match known(said.code) {
            Some(known) => (known.class, known.advice.as_str()),
            None => (
                Class::Unknown,
                "this code is not in Meta's table: it is tried twice more; ask Meta's support",
            ),
        },
    };
    Refusal {
        code: said.code,
        class,
        details: said.details,
        fbtrace_id: said.fbtrace_id,
        http_status: said.http_status,
        advice: advice.to_owned(),
        retry_after: said.retry_after,
    }
}

/// The first and the last code of each row, for tests of what every row leads to.
#[cfg(test)]
pub fn codes() -> Vec<i64> {
    let rows = read_table();
    let mut codes: Vec<i64> = rows.iter().flat_map(|row| [row.first, row.last]).collect();
    codes.dedup();
    codes
}

fn known(code: i64) -> Option<&'static ErrorRow> {
    static KNOWN: OnceLock<Vec<ErrorRow>> = OnceLock::new();
    KNOWN.get_or_init(read_table).iter().find(|known| (known.first..=known.last).contains(&code))
}

fn read_table() -> Vec<ErrorRow> {
    let rows = serde_json::from_str::<Table>(&unpack(TABLE)).map(|table| table.codes).unwrap_or_default();
    rows.iter()
        .flat_map(|row| {
            let known = |(first, last)| ErrorRow {
                first,
                last,
                class: class(&row.cls, first),
                advice: advice(&rows, row),
            };
            row.code.split([',', '/']).filter_map(range).map(known).collect::<Vec<_>>()
        })
        .collect()
}

/// Meta's table says "As 10" where two codes ask for the same: whoever reads one code should not have to look up another.
fn advice(rows: &[Row], row: &Row) -> String {
    let reference = row.action.strip_prefix("As ").or_else(|| row.action.strip_prefix("Same as "));
    let code = reference.map(|rest| rest.chars().take_while(char::is_ascii_digit).collect::<String>());
    let referred = code.and_then(|code| rows.iter().find(|other| other.code == code));
    referred.map_or_else(|| row.action.clone(), |other| other.action.clone())
}

/// `131047`, `200-299`, `138000-138xxx`, `2388xxx`.
fn range(text: &str) -> Option<(i64, i64)> {
    let (first, last) = text.trim().split_once('-').unwrap_or((text.trim(), text.trim()));
    Some((first.replace('x', "0").parse().ok()?, last.replace('x', "9").parse().ok()?))
}

fn class(word: &str, code: i64) -> Class {
    match (word, code) {
        ("auth", _) => Class::Auth,
        ("permission", _) => Class::Permission,
        ("account", _) => Class::Account,
        ("registration", _) => Class::Registration,
        ("config", _) => Class::Config,
        ("throttle", 131_056) => Class::PairThrottle,
        ("throttle", _) => Class::Throttle,
        ("server", 1 | 2 | 131_000 | 131_016) => Class::ServerAmbiguous,
        ("server", _) => Class::Maintenance,
        ("limit", _) => Class::Limit,
        ("quality", _) => Class::Quality,
        ("window", _) => Class::Window,
        ("recipient", _) => Class::Recipient,
        ("media", _) => Class::Media,
        ("template", _) => Class::Template,
        // Calls that we do not make (flows, groups, paging, …): if one comes, the request was wrong.
        _ => Class::Request,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_of_metas_table_is_read() {
        let rows = serde_json::from_str::<Table>(&unpack(TABLE)).expect("JSON").codes;
        assert!(rows.len() > 80, "{}", rows.len());
        for row in &rows {
            for part in row.code.split([',', '/']) {
                let (first, last) = range(part).expect(part);
                for code in [first, last] {
                    assert!(known(code).is_some(), "{code} of {}", row.code);
                }
            }
        }
    }

    /// It stands behind "What to do:" in the outbox, where an installer reads it.
    #[test]
    fn every_advice_is_for_a_person_and_complete() {
        let rows = serde_json::from_str::<Table>(&unpack(TABLE)).expect("JSON").codes;
        for row in &rows {
            let said = advice(&rows, row);
            assert!(said.len() > 10 && said.starts_with(char::is_lowercase), "{}: {said}", row.code);
            assert!(!said.starts_with("As "), "{} refers to a code that refers on: {said}", row.code);
        }
        let told = |code| refusal(ApiMessage { code, ..ApiMessage::default() }).advice;
        assert_eq!(told(190), told(0));
        let details = "Invalid OAuth access token.".to_owned();
        let said = crate::outbox::api_error::sentence(&refusal(ApiMessage {
            code: 190,
            details,
            ..ApiMessage::default()
        }));
        assert!(
            said.starts_with("Meta refused it with code 190: Invalid OAuth access token. What to do: make"),
            "{said}"
        );
        assert!(told(190).contains("write it into its file"), "{}", told(190));
        assert!(told(131_026).contains("write to the business number"), "{}", told(131_026));
    }

    #[test]
    fn codes_have_the_class_that_decides() {
        let check = |code, expected| {
            let found = refusal(ApiMessage { code, ..ApiMessage::default() });
            assert_eq!(found.class, expected, "{code}");
            assert!(!found.advice.is_empty(), "{code}");
        };
        for code in [0, 190, 102, 104] {
            check(code, Class::Auth);
        }
        for code in [3, 10, 200, 250, 299, 131_005] {
            check(code, Class::Permission);
        }
        for code in [368, 131_031, 131_042] {
            check(code, Class::Account);
        }
        for code in [4, 17, 341, 613, 80_007, 130_429] {
            check(code, Class::Throttle);
        }
        for code in [1, 2, 131_000, 131_016] {
            check(code, Class::ServerAmbiguous);
        }
        for code in [131_057, 2_494_100] {
            check(code, Class::Maintenance);
        }
        for code in [132_000, 132_001, 132_015] {
            check(code, Class::Template);
        }
        check(131_056, Class::PairThrottle);
        check(131_047, Class::Window);
        check(131_049, Class::Limit);
        check(131_048, Class::Quality);
        check(131_026, Class::Recipient);
        check(131_053, Class::Media);
        check(100, Class::Request);
        check(138_500, Class::Request);
        check(2_388_073, Class::Request);
        check(999_999, Class::Unknown);
        let wrong_id = refusal(ApiMessage { code: 100, subcode: Some(33), ..ApiMessage::default() });
        assert_eq!(wrong_id.class, Class::Config);
    }
}
