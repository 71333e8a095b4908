//! Jinja for messages and expressions: strict about what is missing, bounded in steps, no access to files or clock.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use minijinja::machinery::parse_expr;
use minijinja::value::{Value, ValueKind};
use minijinja::{Environment, Output, State, UndefinedBehavior};

use crate::rule::bound::length;
use crate::rule::comparison::shown;
use crate::rule::condition::{Expression, Judgement, strict_tests};
use crate::rule::definition::Rule;
use crate::rule::error::{EvaluationError, TemplateError, describe, evaluation};
use crate::rule::evaluation::Evaluation;
use crate::rule::filters::{bounded, spent};
use crate::rule::program;

/// Steps that one evaluation may take. A message of a page takes about 200; a loop that a payload drives ends here.
pub(crate) const FUEL: u32 = 20_000;

/// One for all that is said. Its filters take a hundred allocations: made for each message of a configuration with a thousand
/// rules, they were a third of the start.
static MESSAGES: LazyLock<Environment<'static>> = LazyLock::new(engine);
/// The engine of expressions: its tests compare only what can be compared.
static EXPRESSIONS: LazyLock<Environment<'static>> = LazyLock::new(|| {
    let mut engine = MESSAGES.clone();
    strict_tests(&mut engine);
    engine
});

/// Jinja looks filters and tests up only when it comes to them: a run on nothing, where missing fields are no error,
/// finds a misspelt one before the first alarm does.
static REHEARSAL: LazyLock<Environment<'static>> = LazyLock::new(|| {
    let mut engine = MESSAGES.clone();
    engine.set_undefined_behavior(UndefinedBehavior::Chainable);
    engine
});

/// The compiled expressions of all rules, by their source: rules that ask the same share one.
#[derive(Debug, Default)]
pub struct Expressions(BTreeMap<String, Expression>);

/// What a message says of these names.
pub fn text(message: &str, names: &Value) -> Result<String, EvaluationError> {
    program::render(message, &MESSAGES, names).map_err(|error| evaluation(&error))
}

/// Whether a message template compiles.
pub fn check_message(source: &str) -> Result<(), TemplateError> {
    program::rehearse(source, &REHEARSAL)?.map(drop).or_else(|error| unless_unknown_name(&error))
}

/// Whether a condition compiles.
pub fn check_condition(source: &str) -> Result<(), TemplateError> {
    Expression::compile(source, &EXPRESSIONS).map(drop)
}

/// What a message names and does not set itself, in order; the engine's own functions aside.
pub fn names_in_message(source: &str) -> BTreeSet<String> {
    free(used_in_message(source, false))
}

/// The same with the fields that it reads: `payload.id`.
pub fn fields_in_message(source: &str) -> BTreeSet<String> {
    used_in_message(source, true)
}

/// The engine computes constants when it compiles, so that what is too large is refused before.
fn used_in_message(source: &str, with_fields: bool) -> BTreeSet<String> {
    let compiled = program::check(source).ok().and_then(|()| MESSAGES.template_from_str(source).ok());
    let used = compiled.map(|template| template.undeclared_variables(with_fields));
    used.unwrap_or_default().into_iter().collect()
}

/// What a condition names, in order.
pub fn names_in_condition(source: &str) -> BTreeSet<String> {
    let checked = parse_expr(source).ok().and_then(|tree| program::check_expression(&tree).ok());
    let compiled = checked.and_then(|()| MESSAGES.compile_expression(source).ok());
    let used = compiled.map(|expression| expression.undeclared_variables(false));
    free(used.unwrap_or_default().into_iter().collect())
}

fn free(used: BTreeSet<String>) -> BTreeSet<String> {
    used.into_iter().filter(|name| !MESSAGES.globals().any(|(global, _)| global == name)).collect()
}

impl Expressions {
    /// `config` has checked each source; an error here is one that it let through.
    pub fn compile<'a>(rules: impl IntoIterator<Item = &'a Rule>) -> Result<Self, TemplateError> {
        let mut expressions = BTreeMap::new();
        for source in rules.into_iter().flat_map(Rule::expressions) {
            if !expressions.contains_key(source) {
                expressions.insert(source.to_owned(), Expression::compile(source, &EXPRESSIONS)?);
            }
        }
        Ok(Self(expressions))
    }

    /// The number that an expression gives.
    pub fn number(&self, expression: &str, context: &Value) -> Result<f64, EvaluationError> {
        let value = self.value(expression, context)?;
        f64::try_from(value.clone()).map_err(|_| EvaluationError {
            kind: format!("`{expression}` is not a number"),
            what: format!("`{expression}` is {}, not a number", shown(&value)),
            is_missing: false,
        })
    }

    /// The text that an expression gives.
    pub fn words(&self, expression: &str, context: &Value) -> Result<String, EvaluationError> {
        self.value(expression, context).map(|value| value.to_string())
    }

    /// Whether the condition holds.
    pub fn judge(&self, condition: &str, context: &Value) -> Judgement {
        let judge = |compiled: &Expression| compiled.judge(&on(context));
        self.with(condition, judge).unwrap_or_else(Judgement::Unknown)
    }

    /// What an expression gives, which is never missing or null.
    pub fn value(&self, expression: &str, context: &Value) -> Result<Value, EvaluationError> {
        self.with(expression, |compiled| compiled.value(&on(context)))?
    }

    /// A rule's expression is compiled already; what else is asked is compiled now.
    fn with<T>(&self, source: &str, ask: impl FnOnce(&Expression) -> T) -> Result<T, EvaluationError> {
        match self.0.get(source) {
            Some(compiled) => Ok(ask(compiled)),
            None => Expression::compile(source, &EXPRESSIONS)
                .map(|compiled| ask(&compiled))
                .map_err(|error| EvaluationError::of(error.what)),
        }
    }
}

fn on(context: &Value) -> Evaluation<'_> {
    Evaluation { engine: &EXPRESSIONS, context, spent: Cell::default(), steps: Cell::new(FUEL) }
}

fn engine() -> Environment<'static> {
    let mut engine = Environment::new();
    engine.set_undefined_behavior(UndefinedBehavior::Strict);
    engine.set_auto_escape_callback(|_| minijinja::AutoEscape::None); // WhatsApp is not HTML
    engine.set_formatter(as_json);
    engine.set_fuel(Some(FUEL.into()));
    engine.set_recursion_limit(50); // templates here call nothing; deeper is a mistake
    bounded(&mut engine);
    engine
}

/// What is no text is written as the device wrote it, in JSON: Jinja's own way has `none` for null and `True` for true.
fn as_json(out: &mut Output<'_>, state: &mut State<'_, '_>, value: &Value) -> Result<(), minijinja::Error> {
    let differs = [ValueKind::Map, ValueKind::Seq, ValueKind::Bool, ValueKind::None].contains(&value.kind());
    let bytes = length(value, 0)?;
    spent(state, |spent| spent.written(bytes))?;
    if !differs {
        return minijinja::escape_formatter(out, state, value);
    }
    let json = serde_json::to_string(value)
        .map_err(|error| minijinja::Error::new(minijinja::ErrorKind::BadSerialization, error.to_string()))?;
    out.write_str(&json).map_err(minijinja::Error::from)
}

/// A message of which most is not known; `None` where it cannot be said.
pub fn without_event(source: &str, context: &Value) -> Option<String> {
    let mut engine = REHEARSAL.clone();
    engine.set_formatter(|out, state, value| match value.is_undefined() {
        true => out.write_str("…").map_err(minijinja::Error::from),
        false => as_json(out, state, value),
    });
    program::render(source, &engine, context).ok()
}

fn unless_unknown_name(error: &minijinja::Error) -> Result<(), TemplateError> {
    use minijinja::ErrorKind::{UnknownFilter, UnknownFunction, UnknownTest};
    let unknown_name = matches!(error.kind(), UnknownFilter | UnknownTest | UnknownFunction);
    if unknown_name { Err(describe(error)) } else { Ok(()) } // anything else depends on the payload
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_no_text_is_written_as_json() {
        let context = Value::from(minijinja::value::Serde(json!({
            "payload": {"on": true, "why": null, "celsius": -12.5, "name": "Nino \"N\"", "list": [1, null, "a"]},
        })));
        for (message, expected) in [
            (
                "{{ payload }}",
                r#"{"celsius":-12.5,"list":[1,null,"a"],"name":"Nino \"N\"","on":true,"why":null}"#,
            ),
            ("{{ payload.list }} {{ [payload.on, 1.0] }}", r#"[1,null,"a"] [true,1.0]"#),
            (
                "{{ payload.why }} {{ payload.on }} {{ payload.name }} {{ payload.celsius }}",
                r#"null true Nino "N" -12.5"#,
            ),
        ] {
            assert_eq!(text(message, &context).as_deref(), Ok(expected), "{message}");
        }
    }

    #[test]
    fn what_does_not_compile_names_its_line() {
        let error = check_message("fine\n{{ payload.").expect_err("unfinished");
        assert_eq!(error.line, 2);
        assert!(check_condition("payload.x >").is_err());
        assert!(check_condition("payload.x > 1").is_ok());
        assert!(check_message("{{ payload.x | nosuchfilter }}").is_err());
    }

    #[test]
    fn variables_set_in_a_template_are_no_event_names() {
        let message = "{% set warm = payload.c %}{% for n in range(3) %}{{ n + loop.index + warm }}{% endfor %}{{ unti }}";
        let names = |names: BTreeSet<String>| names.into_iter().collect::<Vec<_>>().join(" ");
        assert_eq!(names(names_in_message(message)), "payload unti");
        assert_eq!(
            names(names_in_condition("payload.c > 3 and (area == 'bar' or value is defined)")),
            "area payload value"
        );
    }

    #[test]
    fn a_loop_that_a_payload_drives_ends() {
        let nested = "{% for a in range(9999) %}{% for b in range(9999) %}x{% endfor %}{% endfor %}";
        let engine = engine();
        let outcome = engine.template_from_str(nested).expect("compiles").render(Value::UNDEFINED);
        assert!(outcome.is_err(), "{outcome:?}");
    }
}
