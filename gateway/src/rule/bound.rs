//! What one evaluation may make and look at. A payload drives every size: a text times a number, a width, a list of lists.
//! Nothing here runs before it is known how large its result becomes.

use minijinja::machinery::{Span, ast};
use minijinja::value::{Value, ValueKind};
use minijinja::{Error, ErrorKind};

/// Twice the largest payload that is read (64 KiB); a message has 4,096 characters.
pub(crate) const TEXT_MAX: usize = 128 * 1024;
/// Entries of a list that an expression makes or adds up. The densest JSON of 64 KiB has 32,768, and no one sends that.
pub(crate) const ITEMS_MAX: usize = 16_384;
/// A text times a number: a line of dashes, not longer than a message.
const REPEATED_MAX: usize = 4_096;
/// Lists within lists. JSON is read to 128.
const DEPTH_MAX: usize = 130;
/// What one evaluation may make, in bytes: all of it may be held at once, and a Pi has little.
const MADE_MAX: usize = 4 * 1024 * 1024;
/// What one evaluation may look at, in bytes: some 50 ms on a Pi.
const SEEN_MAX: usize = 32 * 1024 * 1024;
/// A value without its text: what a list holds of it.
const VALUE: usize = 24;
/// What writes a number: a float is written in full, 1e308 with 309 digits.
const NUMBER: usize = 24;
const LONG_NUMBER: usize = 340;

/// What an evaluation has made and looked at so far.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct EvaluationBudget {
    made: usize,
    seen: usize,
}

impl EvaluationBudget {
    /// A value that came to be.
    pub fn made(&mut self, value: &Value) -> Result<(), Error> {
        self.made += size(value, MADE_MAX.saturating_sub(self.made))?;
        Ok(())
    }

    /// A text that is written.
    pub fn written(&mut self, bytes: usize) -> Result<(), Error> {
        self.made = self.made.saturating_add(bytes);
        if bytes > TEXT_MAX || self.made > MADE_MAX { Err(too_large()) } else { Ok(()) }
    }

    /// Values that are compared, searched or walked through.
    pub fn seen<'a>(&mut self, values: impl IntoIterator<Item = &'a Value>) -> Result<(), Error> {
        for value in values {
            self.seen += size(value, SEEN_MAX.saturating_sub(self.seen))?;
        }
        Ok(())
    }
}

pub(crate) fn too_large() -> Error {
    let what = format!(
        "the result would be too large; one event may make texts of {} KiB and lists of {ITEMS_MAX} entries",
        TEXT_MAX / 1024
    );
    Error::new(ErrorKind::InvalidOperation, what)
}

/// What a value takes in memory. What is in it several times counts as often, since all that walks through it walks so.
fn size(value: &Value, limit: usize) -> Result<usize, Error> {
    let mut scales = Scales { left: limit, written: None };
    scales.weigh(value, 0)?;
    Ok(limit - scales.left)
}

/// The most bytes that a value takes when it is written; `indent` where each entry gets a line.
pub(crate) fn length(value: &Value, indent: usize) -> Result<usize, Error> {
    match value.as_str() {
        Some(text) if indent == 0 && text.len() > TEXT_MAX => return Err(too_large()),
        Some(text) if indent == 0 => return Ok(text.len()),
        Some(_) | None => {}
    }
    let mut scales = Scales { left: TEXT_MAX, written: Some(indent) };
    scales.weigh(value, 0)?;
    Ok(TEXT_MAX - scales.left)
}

/// How many entries it has; a text has its characters.
pub(crate) fn entries(value: &Value) -> Result<usize, Error> {
    let count = match (value.as_str(), value.len()) {
        (Some(text), _) => text.chars().count(),
        (None, Some(length)) => length,
        (None, None) => value.try_iter().map_or(0, |items| items.take(ITEMS_MAX + 1).count()),
    };
    if count > ITEMS_MAX { Err(too_large()) } else { Ok(count) }
}

struct Scales {
    left: usize,
    /// Written, with that indentation a level; else in memory.
    written: Option<usize>,
}

impl Scales {
    fn weigh(&mut self, value: &Value, depth: usize) -> Result<(), Error> {
        if depth > DEPTH_MAX {
            let what = format!("it has more than {DEPTH_MAX} levels");
            return Err(Error::new(ErrorKind::InvalidOperation, what));
        }
        let own = match self.written {
            None => VALUE + value.as_str().map_or(0, str::len),
            // A line break and a comma, and what stands before an entry.
            Some(indent) => 4 + indent * depth + written(value),
        };
        self.take(own)?;
        if self.written.is_none() && value.as_str().is_some_and(|text| text.len() > TEXT_MAX) {
            return Err(too_large());
        }
        let kind = value.kind();
        if matches!(kind, ValueKind::Seq | ValueKind::Iterable) {
            for item in value.try_iter()? {
                self.weigh(&item, depth + 1)?;
            }
        } else if kind == ValueKind::Map {
            let pairs = value.as_object().and_then(|object| object.try_iter_pairs());
            for (key, value) in pairs.into_iter().flatten() {
                self.weigh(&key, depth + 1)?;
                self.weigh(&value, depth + 1)?;
            }
        }
        Ok(())
    }

    fn take(&mut self, bytes: usize) -> Result<(), Error> {
        self.left = self.left.checked_sub(bytes).ok_or_else(too_large)?;
        Ok(())
    }
}

/// A value without its entries, in quotes and escaped as JSON, HTML or Rust do it.
fn written(value: &Value) -> usize {
    if let Some(text) = value.as_str() {
        let escaped = |letter: char| match letter {
            '<' | '>' | '&' | '\'' => 6,
            _ if letter.is_control() => 6,
            _ => letter.escape_debug().map(char::len_utf8).sum(),
        };
        return 2 + text.chars().map(escaped).sum::<usize>();
    }
    let is_long = |number: f64| number != 0.0 && !(1e-5..1e16).contains(&number.abs());
    match f64::try_from(value.clone()) {
        Ok(number) if !value.is_integer() && is_long(number) => LONG_NUMBER,
        Ok(_) | Err(_) => NUMBER + 16, // 128 bits have 39 digits
    }
}

/// `+`, `*` or `~`: what makes a text or a list of two.
pub(crate) fn join(operator: ast::BinOpKind, left: &Value, right: &Value) -> Result<Value, Error> {
    let texts = (left.as_str(), right.as_str());
    let lists = [left, right].map(|value| matches!(value.kind(), ValueKind::Seq | ValueKind::Iterable));
    match operator {
        ast::BinOpKind::Concat => {
            if length(left, 0)? + length(right, 0)? > TEXT_MAX {
                return Err(too_large());
            }
        }
        ast::BinOpKind::Add => {
            if let (Some(left), Some(right)) = texts
                && left.len() + right.len() > TEXT_MAX
            {
                return Err(too_large());
            }
            if lists == [true, true] && entries(left)? + entries(right)? > ITEMS_MAX {
                return Err(too_large());
            }
        }
        ast::BinOpKind::Mul => times(left, right)?,
        ast::BinOpKind::Eq
        | ast::BinOpKind::Ne
        | ast::BinOpKind::Lt
        | ast::BinOpKind::Lte
        | ast::BinOpKind::Gt
        | ast::BinOpKind::Gte
        | ast::BinOpKind::ScAnd
        | ast::BinOpKind::ScOr
        | ast::BinOpKind::Sub
        | ast::BinOpKind::Div
        | ast::BinOpKind::FloorDiv
        | ast::BinOpKind::Rem
        | ast::BinOpKind::Pow
        | ast::BinOpKind::In => {}
    }
    let operation = ast::BinOp { op: operator, left: constant(left.clone()), right: constant(right.clone()) };
    let operation = ast::Expr::BinOp(ast::Spanned::new(operation, Span::default()));
    operation.as_const().ok_or_else(|| {
        let (sign, left, right) = (crate::rule::expression::sign(operator), left.kind(), right.kind());
        let what = format!("tried to use {sign} operator on unsupported types {left} and {right}");
        Error::new(ErrorKind::InvalidOperation, what)
    })
}

/// A text or a list many times over.
fn times(left: &Value, right: &Value) -> Result<(), Error> {
    for (many, count) in [(left, right), (right, left)] {
        let is_list = matches!(many.kind(), ValueKind::Seq | ValueKind::Iterable);
        let length = match many.as_str() {
            Some(text) => text.len(),
            None if is_list => entries(many)?,
            None => continue,
        };
        let repeated = count.as_usize().and_then(|count| length.checked_mul(count));
        if repeated.is_some_and(|repeated| repeated > REPEATED_MAX) {
            return Err(too_large());
        }
    }
    Ok(())
}

pub(crate) fn constant(value: Value) -> ast::Expr<'static> {
    ast::Expr::Const(ast::Spanned::new(ast::Const { value }, Span::default()))
}

#[cfg(test)]
mod tests {
    use minijinja::value::Serde;
    use serde_json::{Value as Json, json};

    use super::*;
    use crate::rule::condition::Judgement;
    use crate::rule::template::{Expressions, check_condition, check_message, text};

    fn said(message: &str, payload: &Json) -> Result<String, String> {
        let context = Value::from(Serde(json!({ "payload": payload })));
        text(message, &context).map_err(|error| error.what)
    }

    fn refused(message: &str, payload: &Json) {
        let error = said(message, payload).expect_err(message);
        assert!(error.contains("too large") || error.contains("fuel"), "{message}: {error}");
        assert!(error.len() < 500, "a reason is a line: {} bytes", error.len());
    }

    #[test]
    fn message_templates_render_as_jinja_does() {
        let payload = json!({ "c": -3, "list": [3, 1, 2], "name": "ბარი", "on": true });
        for (message, expected) in [
            (
                "{{ payload.c * 9 / 5 + 32 }} {{ '-' * 5 }} {{ payload.list + [4] }}",
                "26.6 ----- [3, 1, 2, 4]",
            ),
            (
                "{{ payload.list | sort | join(', ') }} {{ payload.list | sum }} {{ payload.name | upper }}",
                "1, 2, 3 6 ᲑᲐᲠᲘ",
            ),
            (
                "{% for n in payload.list if n > 1 %}{{ loop.index }}={{ n }} {% else %}none{% endfor %}",
                "1=3 2=2 ",
            ),
            (
                "{% set ns = namespace(n=0) %}{% for n in payload.list %}{% set ns.n = ns.n + n %}{% endfor %}{{ ns.n }}",
                "6",
            ),
            (
                "{% macro say(what, end='!') %}{{ what ~ end }}{% endmacro %}{{ say('hi') }}{{ say('ho', end='?') }}",
                "hi!ho?",
            ),
            (
                "{% set t %}a{{ payload.c }}{% endset %}{{ t ~ t }} {% filter upper %}x{% endfilter %}",
                "a-3a-3 X",
            ),
            ("{% with a = payload.list | batch(2) | first %}{{ a }}{% endwith %}", "[3,1]"),
            (
                "{{ 'on' if payload.on else 'off' }} {{ payload.c is odd }} {{ 1 in payload.list }} {{ -payload.c }}",
                "on true true 3",
            ),
            (
                "{{ '%05.1f' | format(payload.c) }} {{ payload.list[1:] }} {{ payload.name[::-1] }}",
                "-03.0 [1, 2] ირაბ",
            ),
            (
                "{{ 1 < payload.list | length <= 3 }} {{ {'a': payload.c}.a ** 2 }} {{ payload.c ~ '°' }}",
                "true 9 -3°",
            ),
            (
                "{{ payload.none | default('–') }} {{ payload.name | replace('ი', 'x') | indent(2, true) }}",
                "–   ბარx",
            ),
            (
                "{{ payload.list | map('string') | list }} {{ payload.list | select('ge', 2) | list }}",
                "[\"3\",\"1\",\"2\"] [3,2]",
            ),
            (
                "{{ payload.list | tojson }} {{ 'a,b' | split(',') }} {{ range(3) | list }} {{ ' x ' | trim }}",
                "[3, 1, 2] [\"a\",\"b\"] [0,1,2] x",
            ),
        ] {
            check_message(message).expect(message);
            assert_eq!(said(message, &payload).as_deref(), Ok(expected), "{message}");
        }
    }

    /// A field that a device fills, in each way that makes much of little.
    #[test]
    fn no_payload_makes_a_message_large() {
        let many = json!({
            "t": "x".repeat(60_000), "n": 90_000_000, "list": vec![1; 15_000], "lines": "\n".repeat(10_000),
            "words": vec!["x".repeat(30); 1_000], "wide": "%90000000d",
        });
        for message in [
            "{{ payload.t * payload.n }}",
            "{{ payload.n * payload.t }}",
            "{{ (payload.list * payload.n) | length }}",
            "{{ payload.list + payload.list }}",
            "{{ payload.t ~ payload.t ~ payload.t }}",
            "{{ payload.t + payload.t + payload.t }}",
            "{% set ns = namespace(t='xy') %}{% for i in range(99) %}{% set ns.t = ns.t ~ ns.t %}{% endfor %}{{ ns.t }}",
            "{% set ns = namespace(t=[1]) %}{% for i in range(99) %}{% set ns.t = ns.t + ns.t %}{% endfor %}{{ ns.t }}",
            "{% set ns = namespace(t=[1]) %}{% for i in range(99) %}{% set ns.t = [ns.t, ns.t] %}{% endfor %}{{ ns.t }}",
            "{% set ns = namespace(t={}) %}{% for i in range(99) %}{% set ns.t = {'a': ns.t, 'b': ns.t} %}{% endfor %}x",
            "{% set ns = namespace(t='x') %}{% for i in range(99) %}{% set u %}{{ ns.t }}{{ ns.t }}{% endset %}{% set ns.t = u %}{% endfor %}x",
            "{% set u %}{% for i in payload.list %}one line of a message and no end of it{% endfor %}{% endset %}x",
            "{% for i in payload.list %}{{ payload.t }}{% endfor %}",
            "{% macro m(t) %}{{ t }}{{ t }}{% endmacro %}{{ m(m(m(m(payload.t)))) }}",
            "{% filter replace('x', payload.words[0]) %}{{ payload.t }}{% endfilter %}",
            "{{ payload.t | replace('x', payload.t) }}",
            "{{ payload.t | replace('', payload.t) }}",
            "{{ payload.lines | indent(payload.n) }}",
            "{{ payload.lines | indent(width=payload.n) }}",
            "{{ payload.words | join(payload.t) }}",
            "{{ payload.list | batch(payload.n, 0) | list }}",
            "{{ payload.list | slice(payload.n) | list }}",
            "{{ payload.wide | format(1) }}",
            "{{ '%*d' | format(payload.n, 1) }}",
            "{{ payload.list | tojson(payload.n) }}",
            "{{ payload.list | tojson(indent=payload.n) }}",
            "{{ payload.words | map('replace', 'x', payload.t) | list }}",
            "{{ payload.list | map('string') | map('center', 9) | list if false else range(payload.n) | list }}",
            "{{ payload.t | list | map('upper') | join(',') }}",
            "{{ payload.words | sum(start='') }}{{ payload.t | trim(payload.t) }}",
            "{% for a in payload.list %}{{ a in payload.list and payload.t == payload.t ~ 'x' }}{% endfor %}",
            "{% for a in range(9999) %}{{ payload.list | sort | first }}{% endfor %}",
        ] {
            refused(message, &many);
        }
    }

    #[test]
    fn constants_of_a_rule_are_refused_when_it_is_read() {
        for message in ["{{ 'a' * 100000000 }}", "{{ (1, 2) * 90000000 }}", "{{ ([0] * 9999999) | length }}"]
        {
            let error = check_message(message).expect_err(message);
            assert!(error.what.contains("too large"), "{message}: {error:?}");
        }
        for message in [
            "{% include 'x' %}",
            "{% extends 'x' %}",
            "{{ x | nosuch }}",
            "{% if false %}{{ x | nosuch }}{% endif %}",
        ] {
            assert!(check_message(message).is_err(), "{message}");
        }
        let deep = format!("{{{{ {}1{} }}}}", "(1 + ".repeat(99), ")".repeat(99));
        assert!(check_message(&deep).is_err(), "deeper than anybody writes");
    }

    #[test]
    fn no_payload_makes_a_condition_large_or_slow() {
        let many = json!({ "t": "x".repeat(60_000), "n": 90_000_000, "list": vec![1; 15_000], "short": "x" });
        let context = Value::from(Serde(json!({ "payload": many })));
        let expressions = Expressions::default();
        for condition in [
            "payload.t * 1000 > 3000",
            "payload.short * payload.n == 'y'",
            "(payload.t ~ payload.t ~ payload.t) == 'y'",
            "(payload.t | replace('x', payload.t)) == 'y'",
            "(payload.list + payload.list) | length > 3",
            "range(payload.n) | length > 3",
            "payload.t | indent(payload.n) | length > 3",
            "'%*d' | format(payload.n, 1) == 'y'",
            "[payload.list, payload.list, payload.list, payload.list] | map('map', 'string') | list | tojson | length > 3",
            "payload.list | select('in', payload.list) | list | length > 3",
        ] {
            check_condition(condition).expect(condition);
            let judged = expressions.judge(condition, &context);
            let Judgement::Unknown(error) = judged else { panic!("{condition}: {judged:?}") };
            assert!(error.what.len() < 1_000, "{condition}: {} bytes", error.what.len());
        }
        let twice = format!("{}payload.n{}", "(payload.gone in [".repeat(15), "])".repeat(15));
        assert!(matches!(expressions.judge(&twice, &context), Judgement::Unknown(_)));
    }
}
