//! Jinja for messages and expressions: strict about what is missing, bounded in steps, no access to files or clock.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};

use minijinja::machinery::parse_expr;
use minijinja::value::{Value, ValueKind};
use minijinja::{Environment, Output, State, UndefinedBehavior};

use crate::contact::language::Language;
use crate::ids::RuleName;
use crate::rule::attachment::FileSource;
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

/// The compiled messages and conditions of all rules.
#[derive(Debug)]
pub struct Templates {
    engine: Environment<'static>,
    /// What rules say, by `message_name` and its like. It is compiled when it is said: some microseconds an alert, and nothing
    /// of it in memory between alerts.
    sources: BTreeMap<String, String>,
    /// For expressions: its tests compare only what can be compared.
    strict: Environment<'static>,
    expressions: BTreeMap<String, Expression>,
}

/// Whether a message template compiles.
pub fn check_message(source: &str) -> Result<(), TemplateError> {
    program::check(source)?;
    program::render(source, &rehearsal(), &Value::UNDEFINED)
        .map(drop)
        .or_else(|error| unless_unknown_name(&error))
}

/// Whether a condition compiles.
pub fn check_condition(source: &str) -> Result<(), TemplateError> {
    Expression::compile(source, &strict()).map(drop)
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
    let engine = engine();
    let compiled = program::check(source).ok().and_then(|()| engine.template_from_str(source).ok());
    let used = compiled.map(|template| template.undeclared_variables(with_fields));
    used.unwrap_or_default().into_iter().collect()
}

/// What a condition names, in order.
pub fn names_in_condition(source: &str) -> BTreeSet<String> {
    let engine = engine();
    let checked = parse_expr(source).ok().and_then(|tree| program::check_expression(&tree).ok());
    let compiled = checked.and_then(|()| engine.compile_expression(source).ok());
    let used = compiled.map(|expression| expression.undeclared_variables(false));
    free(used.unwrap_or_default().into_iter().collect())
}

fn free(used: BTreeSet<String>) -> BTreeSet<String> {
    let engine = engine();
    used.into_iter().filter(|name| !engine.globals().any(|(global, _)| global == name)).collect()
}

impl Templates {
    /// `config` has checked each source; an error here is one that it let through.
    pub fn compile<'a>(rules: impl IntoIterator<Item = &'a Rule>) -> Result<Self, TemplateError> {
        let (strict, mut expressions, mut sources) = (strict(), BTreeMap::new(), BTreeMap::new());
        let mut keep = |name: String, source: &str| {
            sources.insert(name, source.to_owned());
            program::check(source)
        };
        for rule in rules {
            for source in rule.expressions() {
                expressions.insert(source.to_owned(), Expression::compile(source, &strict)?);
            }
            keep(message_name(&rule.name, None), &rule.message.own)?;
            for (language, message) in &rule.message.others {
                keep(message_name(&rule.name, Some(*language)), message)?;
            }
            if let Some(FileSource::Address(address) | FileSource::Path(address)) =
                rule.attach.as_ref().map(|attach| &attach.from)
            {
                keep(address_name(&rule.name), address)?;
            }
            for (index, template) in rule.templates.iter().enumerate() {
                for (blank, parameter) in template.parameters.iter().enumerate() {
                    keep(parameter_name(&rule.name, index, blank), &parameter.text)?;
                }
            }
        }
        Ok(Self { engine: engine(), sources, strict, expressions })
    }

    /// Where the file of that rule is.
    pub fn address(&self, rule: &RuleName, context: &Value) -> Result<String, EvaluationError> {
        self.said(&address_name(rule), context)
    }

    /// What fills one blank of one WhatsApp template of that rule.
    pub fn parameter(
        &self,
        rule: &RuleName,
        index: usize,
        blank: usize,
        context: &Value,
    ) -> Result<String, EvaluationError> {
        self.said(&parameter_name(rule, index, blank), context)
    }

    /// The message of that rule: in the site's language, or in another one that the rule has.
    pub fn message(
        &self,
        rule: &RuleName,
        language: Option<Language>,
        context: &Value,
    ) -> Result<String, EvaluationError> {
        self.said(&message_name(rule, language), context)
    }

    fn said(&self, name: &str, context: &Value) -> Result<String, EvaluationError> {
        let source =
            self.sources.get(name).ok_or_else(|| EvaluationError::of("the rule has no such text"))?;
        self.text(source, context)
    }

    /// A text that is no rule's.
    pub fn text(&self, source: &str, context: &Value) -> Result<String, EvaluationError> {
        program::render(source, &self.engine, context).map_err(|error| evaluation(&error))
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
        let judge = |compiled: &Expression| compiled.judge(&self.evaluation(context));
        self.with(condition, judge).unwrap_or_else(Judgement::Unknown)
    }

    /// What an expression gives, which is never missing or null.
    pub fn value(&self, expression: &str, context: &Value) -> Result<Value, EvaluationError> {
        self.with(expression, |compiled| compiled.value(&self.evaluation(context)))?
    }

    /// A rule's expression is compiled already; what else is asked is compiled now.
    fn with<T>(&self, source: &str, ask: impl FnOnce(&Expression) -> T) -> Result<T, EvaluationError> {
        match self.expressions.get(source) {
            Some(compiled) => Ok(ask(compiled)),
            None => Expression::compile(source, &self.strict)
                .map(|compiled| ask(&compiled))
                .map_err(|error| EvaluationError::of(error.what)),
        }
    }

    fn evaluation<'a>(&'a self, context: &'a Value) -> Evaluation<'a> {
        Evaluation { engine: &self.strict, context, spent: Cell::default(), steps: Cell::new(FUEL) }
    }
}

/// Rule names have no line breaks in them, so that what has is no other rule's.
fn message_name(rule: &RuleName, language: Option<Language>) -> String {
    match language {
        Some(language) => format!("{rule}\nin {}", language.code()),
        None => rule.0.clone(),
    }
}

fn parameter_name(rule: &RuleName, index: usize, blank: usize) -> String {
    format!("{rule}\n{index}\n{blank}")
}

fn address_name(rule: &RuleName) -> String {
    format!("{rule}\naddress")
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

/// The engine of expressions.
fn strict() -> Environment<'static> {
    let mut engine = engine();
    strict_tests(&mut engine);
    engine
}

/// Jinja looks filters and tests up only when it comes to them: a run on nothing, where missing fields are no error,
/// finds a misspelt one before the first alarm does.
fn rehearsal() -> Environment<'static> {
    let mut engine = engine();
    engine.set_undefined_behavior(UndefinedBehavior::Chainable);
    engine
}

/// A message of which most is not known; `None` where it cannot be said.
pub fn without_event(source: &str, context: &Value) -> Option<String> {
    let mut engine = rehearsal();
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
        let templates = Templates::compile([]).expect("nothing to compile");
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
            assert_eq!(templates.text(message, &context).as_deref(), Ok(expected), "{message}");
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
    fn what_a_text_sets_itself_is_no_name_of_the_event() {
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
