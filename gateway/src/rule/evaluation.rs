//! What an expression gives on one event. Every value is made here, from the event and from other values.

use std::cell::Cell;
use std::collections::BTreeMap;

use minijinja::machinery::{Span, ast};
use minijinja::value::{Kwargs, Value, ValueKind};
use minijinja::{Environment, State, context};

use crate::rule::bound::{EvaluationBudget, constant, join};
use crate::rule::comparison::{is_absent, is_not_finite, order, shown};
use crate::rule::condition::{Judgement, mismatched};
use crate::rule::error::{EvaluationError, words};
use crate::rule::expression::{Arguments, Node, sign};

/// Tests whose author knows that something may be missing or of another kind.
const TESTS_OF_KIND: [&str; 12] = [
    "defined",
    "undefined",
    "none",
    "number",
    "integer",
    "int",
    "float",
    "string",
    "boolean",
    "mapping",
    "sequence",
    "iterable",
];

/// An expression on one event.
pub(crate) struct Evaluation<'a> {
    pub engine: &'a Environment<'static>,
    pub context: &'a Value,
    /// What all of it has made and looked at.
    pub spent: Cell<EvaluationBudget>,
    /// Values that may still be made, so that what is evaluated twice on the way to a reason ends.
    pub steps: Cell<u32>,
}

impl Evaluation<'_> {
    /// What it gives; may be missing or null. Every value that an expression makes is made here.
    pub(crate) fn value(&self, node: &Node) -> Result<Value, EvaluationError> {
        let steps = self.steps.get().checked_sub(1);
        self.steps.set(steps.ok_or_else(|| EvaluationError::of("it takes too many steps"))?);
        Ok(match node {
            Node::Constant(value) => value.clone(),
            Node::Name(name) => self.context.get_attr(name).unwrap_or(Value::UNDEFINED),
            Node::Field(of, name) => self.value(of)?.get_attr(name).unwrap_or(Value::UNDEFINED),
            Node::Item(of, item) => {
                let (of, item) = (self.value(of)?, self.known(item)?);
                of.get_item(&item).unwrap_or(Value::UNDEFINED)
            }
            Node::Part(of, bounds) => self.part(node, of, bounds)?,
            Node::Both(left, right) => self.chosen(left, right, false)?,
            Node::Either(left, right) => self.chosen(left, right, true)?,
            Node::Not(_) | Node::Chain(..) | Node::Test(..) => match self.judge(node) {
                Judgement::Unknown(error) => return Err(error),
                judged @ (Judgement::Yes | Judgement::No) => Value::from(judged == Judgement::Yes),
            },
            Node::Choice { test, yes, no } => match (self.judge(test), no) {
                (Judgement::Yes, _) => self.value(yes)?,
                (Judgement::No, Some(no)) => self.value(no)?,
                (Judgement::No, None) => Value::UNDEFINED,
                (Judgement::Unknown(error), _) => return Err(error),
            },
            Node::Negative(of) => {
                let value = self.known(of)?;
                let negative = ast::UnaryOp { op: ast::UnaryOpKind::Neg, expr: constant(value.clone()) };
                let negative = ast::Expr::UnaryOp(ast::Spanned::new(negative, Span::default()));
                negative.as_const().ok_or_else(|| computes(node, format!("-({})", shown(&value))))?
            }
            Node::Arithmetic(operator, left, right) => {
                self.computed(node, *operator, &self.known(left)?, &self.known(right)?)?
            }
            Node::Filter(name, of, arguments) => self.filter(node, name, of, arguments)?,
            Node::Function(name, arguments) => {
                let function = self.engine.globals().find(|(known, _)| **known == **name);
                let function = function.map_or(Value::UNDEFINED, |(_, function)| function);
                let arguments = self.arguments(arguments)?;
                let call = |state: &mut State<'_, '_>| function.call(state, &arguments);
                self.called(call).map_err(|error| self.failed(node, &Value::UNDEFINED, &error))?
            }
            Node::Method(of, name, arguments) => {
                let of = self.known(of)?;
                let arguments = self.arguments(arguments)?;
                let call = |state: &mut State<'_, '_>| of.call_method(state, name, &arguments);
                self.called(call).map_err(|error| self.failed(node, &of, &error))?
            }
            Node::List(items) => {
                let items = items.iter().map(|item| self.value(item));
                self.made(node, Value::from(items.collect::<Result<Vec<Value>, _>>()?))?
            }
            Node::Map(pairs) => {
                let pair =
                    |(key, value): &(Node, Node)| Ok((self.known(key)?.to_string(), self.value(value)?));
                let pairs = pairs.iter().map(pair).collect::<Result<BTreeMap<_, _>, EvaluationError>>()?;
                self.made(node, Value::from(pairs))?
            }
        })
    }

    /// What it gives, if that is something.
    pub(crate) fn known(&self, node: &Node) -> Result<Value, EvaluationError> {
        let value = self.value(node)?;
        if is_absent(&value) { Err(self.absent(node, &value)) } else { Ok(value) }
    }

    /// `a or b` gives one of the two. Where the left one cannot be judged, only a plain yes or no is the same for both.
    fn chosen(&self, left: &Node, right: &Node, or: bool) -> Result<Value, EvaluationError> {
        let doubt = match self.judge(left) {
            Judgement::Unknown(doubt) => doubt,
            judged @ (Judgement::Yes | Judgement::No) if (judged == Judgement::Yes) == or => {
                return self.value(left);
            }
            Judgement::Yes | Judgement::No => return self.value(right),
        };
        let decides = |value: &Value| value.kind() == ValueKind::Bool && value.is_true() == or;
        self.known(right).ok().filter(decides).ok_or(doubt)
    }

    fn computed(
        &self,
        node: &Node,
        operator: ast::BinOpKind,
        left: &Value,
        right: &Value,
    ) -> Result<Value, EvaluationError> {
        let failed = || computes(node, format!("{} {} {}", shown(left), sign(operator), shown(right)));
        // A text many times over is no answer to anything, and may be larger than the memory.
        let repeats = |value: &Value| value.kind() != ValueKind::Number && value.kind() != ValueKind::Bool;
        if matches!(operator, ast::BinOpKind::Mul) && (repeats(left) || repeats(right)) {
            return Err(failed());
        }
        let seen = self.charged(|spent| spent.seen([left, right]));
        let made = seen.and_then(|()| join(operator, left, right)).map_err(|error| {
            let too_large = error.detail().filter(|what| what.contains("too large"));
            too_large.map_or_else(failed, |what| computes(node, what.to_owned()))
        })?;
        self.made(node, made)
    }

    fn part(&self, node: &Node, of: &Node, bounds: &[Option<Node>; 3]) -> Result<Value, EvaluationError> {
        let of = self.known(of)?;
        let bound = |index: usize| bounds[index].as_ref().map(|bound| self.known(bound)).transpose();
        let (start, stop, step) = (bound(0)?, bound(1)?, bound(2)?);
        let part = self.engine.compile_expression("of[start:stop:step]");
        let part = part.and_then(|part| part.eval(context! { of => &of, start, stop, step }));
        let part = part.map_err(|error| self.failed(node, &of, &error))?;
        self.made(node, part)
    }

    fn filter(
        &self,
        node: &Node,
        name: &str,
        of: &Node,
        arguments: &Arguments,
    ) -> Result<Value, EvaluationError> {
        let value = self.value(of)?;
        if matches!(name, "default" | "d") {
            let is_lax = || arguments.positional.get(1).map(|lax| self.judge(lax)) == Some(Judgement::Yes);
            let is_replaced = value.is_undefined() || (!value.is_true() && is_lax());
            return match arguments.positional.first() {
                Some(other) if is_replaced => self.value(other),
                None if is_replaced => Ok(Value::from("")),
                Some(_) | None => Ok(value),
            };
        }
        let has_default = matches!(name, "int" | "float")
            && (!arguments.positional.is_empty()
                || arguments.named.iter().any(|(name, _)| name == "default"));
        if is_absent(&value) && !has_default {
            return Err(self.absent(of, &value));
        }
        let mut values = vec![if is_absent(&value) { Value::from(()) } else { value }];
        let given = self.arguments(arguments)?;
        self.entries(node, name, &values[0], arguments, &given)?;
        values.extend(given);
        let filtered = self.called(|state| state.apply_filter(name, &values));
        filtered.map_err(|error| self.failed(node, &values[0], &error))
    }

    /// Filters that look at each entry take what is missing for nothing, and order a text and a number by their kinds.
    fn entries(
        &self,
        node: &Node,
        name: &str,
        list: &Value,
        arguments: &Arguments,
        given: &[Value],
    ) -> Result<(), EvaluationError> {
        let text = |index: usize| given.get(index).and_then(Value::as_str);
        let named = arguments.named.iter().find(|(name, _)| name == "attribute");
        let named = named.and_then(|(_, node)| self.value(node).ok());
        let named = named.as_ref().and_then(Value::as_str);
        let (field, is_ordered, asked) = match name {
            "max" | "min" | "sort" => (named, true, None),
            "unique" => (named, false, None),
            "sum" => (named.or(text(0)), false, None),
            "join" => (named.or(text(1)), false, None),
            "select" | "reject" => (None, false, text(0)),
            "selectattr" | "rejectattr" => (text(0), false, text(1)),
            "map" if named.is_none() => (None, false, text(0)),
            _ => return Ok(()),
        };
        let knows: &[&str] = if name == "map" { &["default", "d"] } else { &TESTS_OF_KIND };
        if asked.is_some_and(|asked| knows.contains(&asked)) {
            return Ok(());
        }
        let Ok(items) = list.try_iter() else { return Ok(()) }; // the filter itself says so
        let mut before: Option<Value> = None;
        for item in items {
            let value = field.map_or(item.clone(), |field| inside(&item, field));
            if is_absent(&value) {
                let what = match field {
                    Some(field) => format!("`{node}` meets {} without a known `{field}`", shown(&item)),
                    None => format!("`{node}` meets {}", shown(&value)),
                };
                let kind = format!("`{node}` meets what is missing or null");
                return Err(EvaluationError { kind, what, is_missing: false });
            }
            if let Some(before) = before.filter(|_| is_ordered) {
                order(&before, &value).map_err(|why| mismatched(node, why))?;
            }
            before = Some(value);
        }
        Ok(())
    }

    pub(crate) fn arguments(&self, arguments: &Arguments) -> Result<Vec<Value>, EvaluationError> {
        let value = |node: &Node| if node.is_none() { Ok(Value::from(())) } else { self.known(node) };
        let mut values = arguments.positional.iter().map(value).collect::<Result<Vec<_>, _>>()?;
        if !arguments.named.is_empty() {
            let named = arguments.named.iter().map(|(name, node)| Ok((name.clone(), value(node)?)));
            values.push(Value::from(named.collect::<Result<Kwargs, EvaluationError>>()?));
        }
        Ok(values)
    }

    /// What the engine does for us is charged to the same evaluation.
    pub(crate) fn called<T>(
        &self,
        call: impl FnOnce(&mut State<'_, '_>) -> Result<T, minijinja::Error>,
    ) -> Result<T, minijinja::Error> {
        let mut state = self.engine.empty_state();
        state.get_or_insert_extension(self.spent.get());
        let result = call(&mut state);
        self.spent.set(*state.get_or_insert_extension(self.spent.get()));
        result
    }

    pub(crate) fn charged(
        &self,
        charge: impl FnOnce(&mut EvaluationBudget) -> Result<(), minijinja::Error>,
    ) -> Result<(), minijinja::Error> {
        let mut spent = self.spent.get();
        let charged = charge(&mut spent);
        self.spent.set(spent);
        charged
    }

    fn made(&self, node: &Node, value: Value) -> Result<Value, EvaluationError> {
        self.charged(|spent| spent.made(&value)).map_err(|error| computes(node, words(&error)))?;
        Ok(value)
    }

    /// Names the first part of a path that is not there, and what was there instead.
    pub(crate) fn absent(&self, node: &Node, value: &Value) -> EvaluationError {
        if let (true, Node::Field(of, _) | Node::Item(of, _)) = (value.is_undefined(), node) {
            let found = self.value(of).unwrap_or(Value::UNDEFINED);
            if is_absent(&found) {
                return self.absent(of, &found);
            }
            let kind = format!("`{node}` is undefined");
            let what = format!("{kind}: `{of}` is {}", shown(&found));
            return EvaluationError { kind, what, is_missing: true };
        }
        let is = if value.is_undefined() {
            "undefined"
        } else if is_not_finite(value) {
            "not a finite number"
        } else {
            "null"
        };
        let error = EvaluationError::of(format!("`{node}` is {is}"));
        EvaluationError { is_missing: value.is_undefined(), ..error }
    }

    pub(crate) fn failed(&self, node: &Node, of: &Value, error: &minijinja::Error) -> EvaluationError {
        let what = format!("`{node}` cannot be made of {}: {}", shown(of), words(error));
        EvaluationError { kind: format!("`{node}` cannot be made"), what, is_missing: false }
    }
}

/// The field of an entry, by a path such as `state.t`.
fn inside(item: &Value, path: &str) -> Value {
    let step = |value: Value, name: &str| value.get_attr(name).unwrap_or(Value::UNDEFINED);
    path.split('.').fold(item.clone(), step)
}

fn computes(node: &Node, what: String) -> EvaluationError {
    EvaluationError {
        kind: format!("`{node}` cannot be computed"),
        what: format!("it computes {what} in `{node}`"),
        is_missing: false,
    }
}
