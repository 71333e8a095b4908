//! Jinja for messages and conditions: strict about what is missing, bounded in steps, no access to files or clock.

use std::collections::BTreeSet;

use minijinja::machinery::{CodeGenerator, ast, parse_expr};
use minijinja::value::{Value, ValueKind};
use minijinja::{Environment, Output, State, UndefinedBehavior};

use crate::alert::media::From;
use crate::alert::rule::Rule;
use crate::contact::voice::Language;
use crate::ids::RuleName;

/// Steps that one evaluation may take. A message of a page takes about 200; a loop that a payload drives ends here.
const FUEL: u64 = 20_000;

/// A condition or message that does not compile.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what}")]
pub struct TemplateError {
    /// From 1, within the source.
    pub line: usize,
    pub what: String,
}

/// Why a condition or message could not be evaluated on one event, as a sentence.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct EvaluationError(pub String);

/// The compiled messages and conditions of all rules.
#[derive(Debug)]
pub struct Templates {
    engine: Environment<'static>,
}

/// Whether a message template compiles.
pub fn check_message(source: &str) -> Result<(), TemplateError> {
    let engine = rehearsal();
    let template = engine.template_from_str(source).map_err(|error| describe(&error))?;
    template.render(Value::UNDEFINED).map(drop).or_else(|error| unless_unknown_name(&error))
}

/// Whether a condition compiles.
pub fn check_condition(source: &str) -> Result<(), TemplateError> {
    let engine = rehearsal();
    let expression = engine.compile_expression(source).map_err(|error| describe(&error))?;
    expression.eval(Value::UNDEFINED).map(drop).or_else(|error| unless_unknown_name(&error))
}

/// What a message names and does not set itself, in order; the engine's own functions aside.
pub fn names_in_message(source: &str) -> BTreeSet<String> {
    let engine = engine();
    let used = engine.template_from_str(source).map(|template| template.undeclared_variables(false));
    free(&engine, used.unwrap_or_default())
}

/// The same with the fields that it reads: `payload.id`.
pub fn fields_in_message(source: &str) -> BTreeSet<String> {
    let engine = engine();
    let used = engine.template_from_str(source).map(|template| template.undeclared_variables(true));
    used.unwrap_or_default().into_iter().collect()
}

/// What a condition names, in order.
pub fn names_in_condition(source: &str) -> BTreeSet<String> {
    let engine = engine();
    let used = engine.compile_expression(source).map(|expression| expression.undeclared_variables(false));
    free(&engine, used.unwrap_or_default())
}

fn free(engine: &Environment<'_>, used: impl IntoIterator<Item = String>) -> BTreeSet<String> {
    used.into_iter().filter(|name| !engine.globals().any(|(global, _)| global == name)).collect()
}

impl Templates {
    /// `config` has checked each source; an error here is one that it let through.
    pub fn compile<'a>(rules: impl IntoIterator<Item = &'a Rule>) -> Result<Self, TemplateError> {
        let mut engine = engine();
        for rule in rules {
            engine
                .add_template_owned(message_name(&rule.name, None), rule.message.own.clone())
                .map_err(|error| describe(&error))?;
            for (language, message) in &rule.message.others {
                engine
                    .add_template_owned(message_name(&rule.name, Some(*language)), message.clone())
                    .map_err(|error| describe(&error))?;
            }
            if let Some(From::Address(address) | From::Path(address)) =
                rule.attach.as_ref().map(|attach| &attach.from)
            {
                engine
                    .add_template_owned(address_name(&rule.name), address.clone())
                    .map_err(|error| describe(&error))?;
            }
            for (index, template) in rule.templates.iter().enumerate() {
                for (blank, parameter) in template.parameters.iter().enumerate() {
                    engine
                        .add_template_owned(parameter_name(&rule.name, index, blank), parameter.text.clone())
                        .map_err(|error| describe(&error))?;
                }
            }
        }
        Ok(Self { engine })
    }

    /// Where the file of that rule is.
    pub fn address(&self, rule: &RuleName, context: &Value) -> Result<String, EvaluationError> {
        let template = self.engine.get_template(&address_name(rule)).map_err(|error| evaluation(&error))?;
        template.render(context).map_err(|error| evaluation(&error))
    }

    /// What fills one blank of one WhatsApp template of that rule.
    pub fn parameter(
        &self,
        rule: &RuleName,
        index: usize,
        blank: usize,
        context: &Value,
    ) -> Result<String, EvaluationError> {
        let template = self
            .engine
            .get_template(&parameter_name(rule, index, blank))
            .map_err(|error| evaluation(&error))?;
        template.render(context).map_err(|error| evaluation(&error))
    }

    /// A text that is no rule's.
    pub fn text(&self, source: &str, context: &Value) -> Result<String, EvaluationError> {
        let template = self.engine.template_from_str(source).map_err(|error| evaluation(&error))?;
        template.render(context).map_err(|error| evaluation(&error))
    }

    /// The message of that rule: in the site's language, or in another one that the rule has.
    pub fn message(
        &self,
        rule: &RuleName,
        language: Option<Language>,
        context: &Value,
    ) -> Result<String, EvaluationError> {
        let name = message_name(rule, language);
        let template = self.engine.get_template(&name).map_err(|error| evaluation(&error))?;
        template.render(context).map_err(|error| evaluation(&error))
    }

    /// The number that an expression gives.
    pub fn number(&self, expression: &str, context: &Value) -> Result<f64, EvaluationError> {
        let value = self.value(expression, context)?;
        f64::try_from(value.clone())
            .map_err(|_| EvaluationError(format!("`value` is {}, not a number", kind(&value))))
    }

    /// The text that an expression gives.
    pub fn words(&self, expression: &str, context: &Value) -> Result<String, EvaluationError> {
        self.value(expression, context).map(|value| value.to_string())
    }

    /// What an expression gives.
    pub fn value(&self, expression: &str, context: &Value) -> Result<Value, EvaluationError> {
        let compiled = self.engine.compile_expression(expression).map_err(|error| evaluation(&error))?;
        compiled.eval(context).map_err(|error| evaluation(&error))
    }

    /// Whether the condition holds. Comparing a text with a number is an error: Jinja would order them by kind, and an
    /// alarm would be silent, or sound, for no reason that anyone can see.
    pub fn holds(&self, condition: &str, context: &Value) -> Result<bool, EvaluationError> {
        let tree = parse_expr(condition).map_err(|error| evaluation(&error))?;
        let check = KindCheck { engine: &self.engine, context };
        check.walk(&tree)?;
        Ok(check.evaluate(&tree).map_err(|error| evaluation(&error))?.is_true())
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

/// Walks a condition as Jinja would evaluate it and compares the kinds on both sides of `<`, `<=`, `>` and `>=`.
struct KindCheck<'a> {
    engine: &'a Environment<'a>,
    context: &'a Value,
}

impl<'a> KindCheck<'a> {
    fn walk(&self, tree: &ast::Expr<'a>) -> Result<(), EvaluationError> {
        use ast::{BinOpKind, CompareOpKind};
        if let ast::Expr::UnaryOp(operation) = tree {
            return self.walk(&operation.expr);
        }
        if let ast::Expr::IfExpr(choice) = tree {
            self.walk(&choice.test_expr)?;
            return match (self.is_true(&choice.test_expr), &choice.false_expr) {
                (true, _) => self.walk(&choice.true_expr),
                (false, Some(otherwise)) => self.walk(otherwise),
                (false, None) => Ok(()),
            };
        }
        if let ast::Expr::Compare(chain) = tree {
            let mut left = &chain.expr;
            for step in &chain.ops {
                let ordered = !matches!(
                    step.op,
                    CompareOpKind::Eq | CompareOpKind::Ne | CompareOpKind::In | CompareOpKind::NotIn
                );
                if ordered {
                    self.comparable(left, &step.expr)?;
                }
                left = &step.expr;
            }
            return Ok(());
        }
        let ast::Expr::BinOp(operation) = tree else { return Ok(()) };
        if matches!(operation.op, BinOpKind::Lt | BinOpKind::Lte | BinOpKind::Gt | BinOpKind::Gte) {
            return self.comparable(&operation.left, &operation.right);
        }
        if matches!(operation.op, BinOpKind::ScAnd | BinOpKind::ScOr) {
            self.walk(&operation.left)?;
            let decided = self.is_true(&operation.left) == matches!(operation.op, BinOpKind::ScOr);
            return if decided { Ok(()) } else { self.walk(&operation.right) };
        }
        Ok(())
    }

    fn comparable(&self, left: &ast::Expr<'a>, right: &ast::Expr<'a>) -> Result<(), EvaluationError> {
        // What cannot be evaluated (a missing field) is reported by the evaluation itself, in its own words.
        let (Ok(left), Ok(right)) = (self.evaluate(left), self.evaluate(right)) else { return Ok(()) };
        let undefined = |value: &Value| value.kind() == ValueKind::Undefined;
        if left.kind() == right.kind() || undefined(&left) || undefined(&right) {
            return Ok(());
        }
        Err(EvaluationError(format!("it compares {} with {}", kind(&left), kind(&right))))
    }

    fn is_true(&self, tree: &ast::Expr<'a>) -> bool {
        self.evaluate(tree).is_ok_and(|value| value.is_true())
    }

    fn evaluate(&self, tree: &ast::Expr<'a>) -> Result<Value, minijinja::Error> {
        let mut generator = CodeGenerator::new("condition", "");
        generator.compile_expr(tree);
        let (instructions, _) = generator.finish();
        let (mut unused, blocks) = (String::new(), std::collections::BTreeMap::new());
        let (value, _) = minijinja::machinery::eval(
            self.engine,
            &instructions,
            self.context.clone(),
            &blocks,
            &mut minijinja::machinery::make_string_output(&mut unused),
            minijinja::AutoEscape::None,
        )?;
        Ok(value.unwrap_or(Value::UNDEFINED))
    }
}

fn engine() -> Environment<'static> {
    let mut engine = Environment::new();
    engine.set_undefined_behavior(UndefinedBehavior::Strict);
    engine.set_auto_escape_callback(|_| minijinja::AutoEscape::None); // WhatsApp is not HTML
    engine.set_formatter(as_json);
    engine.set_fuel(Some(FUEL));
    engine.set_recursion_limit(50); // templates here call nothing; deeper is a mistake
    engine
}

/// What is no text is written as the device wrote it, in JSON: Jinja's own way has `none` for null and `True` for true.
fn as_json(out: &mut Output<'_>, state: &mut State<'_, '_>, value: &Value) -> Result<(), minijinja::Error> {
    let differs = [ValueKind::Map, ValueKind::Seq, ValueKind::Bool, ValueKind::None].contains(&value.kind());
    if !differs {
        return minijinja::escape_formatter(out, state, value);
    }
    let json = serde_json::to_string(value)
        .map_err(|error| minijinja::Error::new(minijinja::ErrorKind::BadSerialization, error.to_string()))?;
    out.write_str(&json).map_err(minijinja::Error::from)
}

/// Jinja looks filters and tests up only when it comes to them: a run on nothing, where missing fields are no error,
/// finds a misspelt one before the first alarm does.
fn rehearsal() -> Environment<'static> {
    let mut engine = engine();
    engine.set_undefined_behavior(UndefinedBehavior::Chainable);
    engine
}

fn unless_unknown_name(error: &minijinja::Error) -> Result<(), TemplateError> {
    use minijinja::ErrorKind::{UnknownFilter, UnknownFunction, UnknownTest};
    let unknown_name = matches!(error.kind(), UnknownFilter | UnknownTest | UnknownFunction);
    if unknown_name { Err(describe(error)) } else { Ok(()) } // anything else depends on the payload
}

fn describe(error: &minijinja::Error) -> TemplateError {
    TemplateError { line: error.line().unwrap_or(1), what: words(error) }
}

fn evaluation(error: &minijinja::Error) -> EvaluationError {
    EvaluationError(words(error))
}

fn words(error: &minijinja::Error) -> String {
    match error.detail() {
        Some(detail) => format!("{}: {detail}", error.kind()),
        None => error.kind().to_string(),
    }
}

fn kind(value: &Value) -> String {
    let kind = value.kind();
    if kind == ValueKind::String {
        format!("the text {:?}", shorten(&value.to_string()))
    } else if kind == ValueKind::Number || kind == ValueKind::Bool {
        format!("the {kind} {value}")
    } else {
        format!("a {kind}")
    }
}

fn shorten(text: &str) -> String {
    text.chars().take(40).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn holds(condition: &str, payload: &serde_json::Value) -> Result<bool, String> {
        let templates = Templates::compile([]).expect("nothing to compile");
        let context = Value::from(minijinja::value::Serde(json!({ "payload": payload })));
        templates.holds(condition, &context).map_err(|error| error.0)
    }

    #[test]
    fn a_condition_is_true_false_or_says_why_it_cannot_tell() {
        let check = |condition: &str, payload: serde_json::Value, expected: Result<bool, &str>| {
            assert_eq!(
                holds(condition, &payload),
                expected.map_err(str::to_owned),
                "{condition} on {payload}"
            );
        };
        check("payload.celsius > -15", json!({"celsius": -12.5}), Ok(true));
        check("payload.celsius > -15", json!({"celsius": -18}), Ok(false));
        check(
            "payload.celsius > -15",
            json!({"celsius": "warm"}),
            Err("it compares the text \"warm\" with the number -15"),
        );
        check(
            "payload.celsius > -15",
            json!({"celsius": null}),
            Err("it compares a none with the number -15"),
        );
        check(
            "payload.celsius > -15",
            json!({"fahrenheit": 3}),
            Err("undefined value: `payload.celsius` is undefined"),
        );
        check(
            "payload.celsius > -15",
            json!("offline"),
            Err("undefined value: `payload.celsius` is undefined"),
        );
        check("payload.state == 'open'", json!({"state": "open"}), Ok(true));
        check("payload.state == 'open'", json!({"state": 3}), Ok(false));
        check("-20 < payload < -15", json!(-17), Ok(true));
        check("-20 < payload < -15", json!("x"), Err("it compares the number -20 with the text \"x\""));
    }

    #[test]
    fn a_side_that_is_not_reached_is_not_judged() {
        let guarded = "payload.celsius is number and payload.celsius > 3";
        assert_eq!(holds(guarded, &json!({"celsius": "warm"})), Ok(false));
        assert_eq!(holds(guarded, &json!({"celsius": 4})), Ok(true));
        assert_eq!(holds("payload.alarm or payload.celsius > 3", &json!({"alarm": true})), Ok(true));
        let choice = "payload.c > 3 if payload.c is number else payload.c == 'hot'";
        assert_eq!(holds(choice, &json!({"c": "hot"})), Ok(true));
        assert_eq!(holds("payload.alarm or payload.c > 3", &json!({"alarm": true, "c": "warm"})), Ok(true));
        let compared = Err("it compares the text \"warm\" with the number 3".to_owned());
        assert_eq!(holds("payload.on and payload.c > 3", &json!({"on": true, "c": "warm"})), compared);
        assert_eq!(
            holds("payload.c > 3 if payload.on else false", &json!({"on": true, "c": "warm"})),
            compared
        );
    }

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
