//! A condition is yes, no, or cannot be judged (Kleene's logic of three values): from what is missing, null, no number or of
//! the wrong kind nothing follows, and so neither an alarm nor an all-clear.

use minijinja::value::{Value, ValueKind};
use minijinja::{Environment, ErrorKind, State};

use crate::rule::comparison::{Mismatch, compare, is_absent, one_of, shown, truth};
use crate::rule::error::{EvaluationError, TemplateError};
use crate::rule::evaluation::Evaluation;
use crate::rule::expression::{Arguments, Comparison, Node};
use crate::rule::filters::spent;

/// What a condition says about an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Judgement {
    Yes,
    No,
    Unknown(EvaluationError),
}

/// A compiled expression: a condition, or one that gives a number or a text.
#[derive(Debug)]
pub(crate) struct Expression {
    root: Node,
}

impl Judgement {
    #[must_use]
    pub fn of(yes: bool) -> Self {
        if yes { Self::Yes } else { Self::No }
    }

    /// `None`: it cannot be judged.
    #[must_use]
    pub fn decided(&self) -> Option<bool> {
        match self {
            Self::Yes => Some(true),
            Self::No => Some(false),
            Self::Unknown(_) => None,
        }
    }

    fn not(self) -> Self {
        match self {
            Self::Yes => Self::No,
            Self::No => Self::Yes,
            unknown @ Self::Unknown(_) => unknown,
        }
    }
}

impl From<Result<bool, EvaluationError>> for Judgement {
    fn from(judged: Result<bool, EvaluationError>) -> Self {
        judged.map_or_else(Self::Unknown, Self::of)
    }
}

impl Expression {
    /// Unknown filters, tests and functions are found here, and not by the first event.
    pub fn compile(source: &str, engine: &Environment<'_>) -> Result<Self, TemplateError> {
        let root = Node::read(source)?;
        let mut unknown = None;
        root.each(&mut |node| unknown = unknown.take().or_else(|| unknown_name(node, engine)));
        match unknown {
            Some(what) => Err(TemplateError { line: 1, what }),
            None => Ok(Self { root }),
        }
    }

    pub fn judge(&self, evaluation: &Evaluation<'_>) -> Judgement {
        evaluation.judge(&self.root)
    }

    /// What it gives, which is never missing or null.
    pub fn value(&self, evaluation: &Evaluation<'_>) -> Result<Value, EvaluationError> {
        evaluation.known(&self.root)
    }
}

fn unknown_name(node: &Node, engine: &Environment<'_>) -> Option<String> {
    let is_unknown =
        |error: minijinja::Error| matches!(error.kind(), ErrorKind::UnknownFilter | ErrorKind::UnknownTest);
    let mut state = engine.empty_state();
    if let Node::Filter(name, ..) = node {
        state.apply_filter(name, &[]).is_err_and(is_unknown).then(|| format!("there is no filter `{name}`"))
    } else if let Node::Test(name, ..) = node {
        state.perform_test(name, &[]).is_err_and(is_unknown).then(|| format!("there is no test `{name}`"))
    } else if let Node::Function(name, _) = node {
        engine.globals().all(|(known, _)| *known != **name).then(|| format!("there is no function `{name}`"))
    } else {
        None
    }
}

impl Evaluation<'_> {
    pub(crate) fn judge(&self, node: &Node) -> Judgement {
        match node {
            Node::Not(of) => self.judge(of).not(),
            Node::Both(left, right) => self.both(left, right),
            Node::Either(left, right) => self.either(left, right),
            Node::Chain(first, steps) => self.chain(node, first, steps),
            Node::Test(name, of, arguments) => self.test(node, name, of, arguments).into(),
            Node::Choice { test, yes, no } => {
                let no = || no.as_ref().map_or(Judgement::No, |no| self.judge(no));
                match self.judge(test) {
                    Judgement::Yes => self.judge(yes),
                    Judgement::No => no(),
                    unknown @ Judgement::Unknown(_) => {
                        let (yes, no) = (self.judge(yes).decided(), no().decided());
                        yes.filter(|_| yes == no).map_or(unknown, Judgement::of)
                    }
                }
            }
            Node::Constant(_)
            | Node::Name(_)
            | Node::Field(..)
            | Node::Item(..)
            | Node::Part(..)
            | Node::Negative(_)
            | Node::Arithmetic(..)
            | Node::Filter(..)
            | Node::Function(..)
            | Node::Method(..)
            | Node::List(_)
            | Node::Map(_) => {
                let value = self.known(node);
                value.and_then(|value| truth(&value).map_err(|why| mismatched(node, why))).into()
            }
        }
    }

    fn both(&self, left: &Node, right: &Node) -> Judgement {
        match self.judge(left) {
            Judgement::Yes => self.judge(right),
            Judgement::No => Judgement::No,
            unknown @ Judgement::Unknown(_) => match self.judge(right) {
                Judgement::No => Judgement::No,
                Judgement::Yes | Judgement::Unknown(_) => unknown,
            },
        }
    }

    fn either(&self, left: &Node, right: &Node) -> Judgement {
        match self.judge(left) {
            Judgement::Yes => Judgement::Yes,
            Judgement::No => self.judge(right),
            unknown @ Judgement::Unknown(_) => match self.judge(right) {
                Judgement::Yes => Judgement::Yes,
                Judgement::No | Judgement::Unknown(_) => unknown,
            },
        }
    }

    /// `a < b < c` is `a < b and b < c`.
    fn chain(&self, node: &Node, first: &Node, steps: &[(Comparison, Node)]) -> Judgement {
        let mut left = (first, self.value(first));
        let mut doubt = None;
        for (how, right) in steps {
            let right = (right, self.value(right));
            match self.compared(node, *how, (left.0, &left.1), (right.0, &right.1)) {
                Ok(true) => {}
                Ok(false) => return Judgement::No,
                Err(error) => drop(doubt.get_or_insert(error)),
            }
            left = right;
        }
        doubt.map_or(Judgement::Yes, Judgement::Unknown)
    }

    fn compared(
        &self,
        node: &Node,
        how: Comparison,
        left: (&Node, &Result<Value, EvaluationError>),
        right: (&Node, &Result<Value, EvaluationError>),
    ) -> Result<bool, EvaluationError> {
        let is_member = matches!(how, Comparison::In | Comparison::NotIn);
        let sought = left.1.clone()?;
        if let (Node::List(items), true) = (right.0, is_member) {
            // What stands in a written list is looked at one by one.
            let found = self.listed(node, (left.0, &sought), items);
            return found.map(|found| found == (how == Comparison::In));
        }
        let other = right.1.clone()?;
        let is_equality = matches!(how, Comparison::Equal | Comparison::Unequal);
        if is_equality && (left.0.is_none() || right.0.is_none()) {
            // Its author asks for what is null; what is missing is another thing.
            let (node, value) = if right.0.is_none() { (left.0, &sought) } else { (right.0, &other) };
            if value.is_undefined() {
                return Err(self.absent(node, value));
            }
            return Ok(value.is_none() == (how == Comparison::Equal));
        }
        for (node, value) in [(left.0, &sought), (right.0, &other)] {
            if is_absent(value) {
                return Err(self.absent(node, value));
            }
        }
        self.charged(|spent| spent.seen([&sought, &other]))
            .map_err(|error| self.failed(node, &sought, &error))?;
        let is_written = [left.0, right.0].iter().any(|side| side.is_text());
        compare(how, &sought, &other, is_written).map_err(|why| mismatched(node, why))
    }

    fn listed(&self, node: &Node, sought: (&Node, &Value), items: &[Node]) -> Result<bool, EvaluationError> {
        let (of, sought) = sought;
        if is_absent(sought) && !(sought.is_none() && items.iter().any(Node::is_none)) {
            return Err(self.absent(of, sought));
        }
        let value = |item: &Node| {
            let value = self.value(item).unwrap_or(Value::UNDEFINED); // what cannot be made may be the one
            (value, matches!(item, Node::Constant(_)))
        };
        let values: Vec<(Value, bool)> = items.iter().map(value).collect();
        one_of(sought, values.iter().cloned()).map_err(|why| {
            let absent =
                items.iter().zip(&values).find(|(item, (value, _))| is_absent(value) && !item.is_none());
            match absent {
                Some((item, (value, _))) => {
                    self.value(item).err().unwrap_or_else(|| self.absent(item, value))
                }
                None => mismatched(node, why),
            }
        })
    }

    fn test(
        &self,
        node: &Node,
        name: &str,
        of: &Node,
        arguments: &Arguments,
    ) -> Result<bool, EvaluationError> {
        if let (Some(how), [other]) = (Comparison::of_test(name), arguments.positional.as_slice()) {
            let (left, right) = (self.value(of), self.value(other));
            return self.compared(node, how, (of, &left), (other, &right));
        }
        let value = self.value(of)?;
        match name {
            "defined" => return Ok(!value.is_undefined()),
            "undefined" => return Ok(value.is_undefined()),
            "none" if !value.is_undefined() => return Ok(value.is_none()),
            _ => {}
        }
        if is_absent(&value) {
            return Err(self.absent(of, &value));
        }
        let is_right_kind = match name {
            "odd" | "even" | "divisibleby" => value.kind() == ValueKind::Number,
            "startingwith" | "endingwith" | "lower" | "upper" => value.as_str().is_some(),
            "true" | "false" => value.kind() == ValueKind::Bool,
            _ => true,
        };
        if !is_right_kind {
            let kind = format!("it asks whether a value of another kind is {name}");
            return Err(mismatched(
                node,
                Mismatch { kind, what: format!("it asks whether {} is {name}", shown(&value)) },
            ));
        }
        let mut values = vec![value];
        values.extend(self.arguments(arguments)?);
        let judged = self.called(|state| state.perform_test(name, &values));
        judged.map_err(|error| self.failed(node, &values[0], &error))
    }
}

pub(crate) fn mismatched(node: &Node, why: Mismatch) -> EvaluationError {
    EvaluationError {
        kind: format!("{} in `{node}`", why.kind),
        what: format!("{} in `{node}`", why.what),
        is_missing: false,
    }
}

/// Filters such as `select` call the tests themselves: there, too, a text is not more than a number.
pub(crate) fn strict_tests(engine: &mut Environment<'_>) {
    let names = [
        "eq",
        "equalto",
        "==",
        "ne",
        "!=",
        "lt",
        "lessthan",
        "<",
        "le",
        "<=",
        "gt",
        "greaterthan",
        ">",
        "ge",
        ">=",
        "in",
    ];
    for name in names {
        let Some(how) = Comparison::of_test(name) else { continue };
        engine.add_test(name, move |state: &mut State<'_, '_>, left: Value, right: Value| {
            spent(state, |spent| spent.seen([&left, &right]))?;
            let is_written = right.as_str().is_some();
            compare(how, &left, &right, is_written)
                .map_err(|why| minijinja::Error::new(ErrorKind::InvalidOperation, why.what))
        });
    }
}

#[cfg(test)]
mod tests {
    use minijinja::value::Serde;
    use serde_json::{Value as Json, json};

    use super::*;
    use crate::rule::template::Expressions;

    /// `Ok`: yes or no; else why not.
    fn judge(condition: &str, payload: &Json) -> Result<bool, String> {
        crate::rule::template::check_condition(condition).expect(condition);
        let context = Value::from(Serde(json!({ "payload": payload })));
        match Expressions::default().judge(condition, &context) {
            Judgement::Yes => Ok(true),
            Judgement::No => Ok(false),
            Judgement::Unknown(error) => Err(error.what),
        }
    }

    /// One payload, many conditions: `yes`, `no` or `?`.
    fn all(payload: Json, conditions: &[(&str, &str)]) {
        for (condition, expected) in conditions {
            let judged = judge(condition, &payload);
            let word = judged.as_ref().map_or("?", |yes| if *yes { "yes" } else { "no" });
            assert_eq!(word, *expected, "{condition} on {payload}: {judged:?}");
        }
    }

    #[test]
    fn a_condition_is_true_false_or_an_explained_error() {
        let check = |condition: &str, payload: Json, expected: Result<bool, &str>| {
            assert_eq!(
                judge(condition, &payload),
                expected.map_err(str::to_owned),
                "{condition} on {payload}"
            );
        };
        check("payload.celsius > -15", json!({"celsius": -12.5}), Ok(true));
        check("payload.celsius > -15", json!({"celsius": -18}), Ok(false));
        check(
            "payload.celsius > -15",
            json!({"celsius": "warm"}),
            Err("it compares the text \"warm\" with the number -15 in `payload.celsius > -15`"),
        );
        check("payload.celsius > -15", json!({"celsius": null}), Err("`payload.celsius` is null"));
        check(
            "payload.celsius > -15",
            json!({"fahrenheit": 3}),
            Err("`payload.celsius` is undefined: `payload` is {\"fahrenheit\":3}"),
        );
        check(
            "payload.celsius > -15",
            json!("offline"),
            Err("`payload.celsius` is undefined: `payload` is the text \"offline\""),
        );
        check("payload.state == 'open'", json!({"state": "open"}), Ok(true));
        check("payload.state == 'open'", json!({"state": 3}), Ok(false));
        check("-20 < payload < -15", json!(-17), Ok(true));
        check(
            "-20 < payload < -15",
            json!("x"),
            Err("it compares the number -20 with the text \"x\" in `-20 < payload < -15`"),
        );
        check("payload.a.b > 3", json!({"a": null}), Err("`payload.a` is null"));
        check("payload.alarm", json!({"alarm": "off"}), {
            Err("it takes the text \"off\" for yes or no; compare it with `==` in `payload.alarm`")
        });
        check(
            "payload.a - 3 > 1",
            json!({"a": "x"}),
            Err("it computes the text \"x\" - the number 3 in `(payload.a - 3)`"),
        );
        check("payload.a / 0 > 1", json!({"a": 1.5}), {
            Err("it computes the number 1.5 / the number 0 in `(payload.a / 0)`")
        });
    }

    #[test]
    fn boolean_operators_short_circuit() {
        let guarded = "payload.celsius is number and payload.celsius > 3";
        assert_eq!(judge(guarded, &json!({"celsius": "warm"})), Ok(false));
        assert_eq!(judge(guarded, &json!({"celsius": 4})), Ok(true));
        assert_eq!(judge("payload.alarm or payload.celsius > 3", &json!({"alarm": true})), Ok(true));
        let choice = "payload.c > 3 if payload.c is number else payload.c == 'hot'";
        assert_eq!(judge(choice, &json!({"c": "hot"})), Ok(true));
        assert_eq!(judge("payload.alarm or payload.c > 3", &json!({"alarm": true, "c": "warm"})), Ok(true));
        for condition in ["payload.on and payload.c > 3", "payload.c > 3 if payload.on else false"] {
            let why = judge(condition, &json!({"on": true, "c": "warm"})).expect_err("cannot be compared");
            assert!(why.contains("it compares the text \"warm\" with the number 3"), "{why}");
        }
    }

    /// Kleene's tables.
    #[test]
    fn what_is_missing_decides_nothing_that_the_rest_decides() {
        all(
            json!({"yes": true, "no": false}),
            &[
                ("payload.x", "?"),
                ("not payload.x", "?"),
                ("payload.yes or payload.x", "yes"),
                ("payload.x or payload.yes", "yes"),
                ("payload.no or payload.x", "?"),
                ("payload.x or payload.no", "?"),
                ("payload.no and payload.x", "no"),
                ("payload.x and payload.no", "no"),
                ("payload.yes and payload.x", "?"),
                ("payload.x and payload.yes", "?"),
                ("not (payload.x and payload.no)", "yes"),
                ("(payload.x or payload.yes) == true", "yes"),
                ("(payload.x or payload.no) == true", "?"),
                ("(payload.x and payload.no) == false", "yes"),
                ("(payload.x > 3) == true", "?"),
                ("(payload.x > 3) == false", "?"),
                ("(not payload.x) == true", "?"),
                ("(payload.x or 5) > 3", "?"),
                ("true if payload.x else true", "yes"),
                ("true if payload.x else false", "?"),
                ("payload.x if payload.no else true", "yes"),
                ("payload.yes if payload.no", "no"),
                ("1 < payload.x < 0", "?"),
                ("3 < 2 < payload.x", "no"),
                ("payload.x < 3 > 5", "no"),
            ],
        );
    }

    #[test]
    fn what_is_missing_or_null_is_unknown_wherever_it_stands() {
        for payload in [json!({"t": [1]}), json!({"x": null, "t": [1]})] {
            all(
                payload,
                &[
                    ("payload.x == 1", "?"),
                    ("payload.x != 1", "?"),
                    ("payload.x == payload.x", "?"),
                    ("payload.x == ''", "?"),
                    ("payload.x in [1, 2]", "?"),
                    ("payload.x not in [1, 2]", "?"),
                    ("1 in payload.x", "?"),
                    ("1 in [payload.x, 2]", "?"),
                    ("1 in [payload.x, 1]", "yes"),
                    ("payload.x is gt 8", "?"),
                    ("payload.x is lt(8)", "?"),
                    ("payload.x is ge 8", "?"),
                    ("payload.x is eq 8", "?"),
                    ("payload.x is ne 8", "?"),
                    ("payload.x is in [1]", "?"),
                    ("payload.x is not gt 8", "?"),
                    ("payload.x is true", "?"),
                    ("payload.x is odd", "?"),
                    ("payload.x is number and payload.x > 3", "?"),
                    ("payload.x | int > 3", "?"),
                    ("payload.x | float < 3", "?"),
                    ("payload.x | round < 3", "?"),
                    ("payload.x | abs < 3", "?"),
                    ("payload.x | length == 0", "?"),
                    ("payload.x | lower == 'on'", "?"),
                    ("payload.x | string == 'none'", "?"),
                    ("payload.x | bool", "?"),
                    ("payload.x | tojson == 'null'", "?"),
                    ("[payload.x, 2] | max > 3", "?"),
                    ("[payload.x, 2] | min < 3", "?"),
                    ("[payload.x, 2] | sum < 9", "?"),
                    ("[payload.x, 2] | sort | first == 2", "?"),
                    ("[payload.x, 2] | join(',') == ',2'", "?"),
                    ("[payload.x] == [1]", "?"),
                    ("[payload.x] | select | list | length > 0", "?"),
                    ("[payload.x] | map('int') | sum == 0", "?"),
                    ("payload.t[3] > 1", "?"),
                    ("payload.x[0] == 1", "?"),
                    ("payload.x[0:1] == 'a'", "?"),
                    ("payload.x + 1 > 3", "?"),
                    ("-payload.x > 3", "?"),
                    ("payload.x ~ 'a' == 'a'", "?"),
                    ("payload.x.y.z", "?"),
                    ("payload.y[payload.x] == 1", "?"),
                    ("3 in payload.t or payload.x", "?"),
                ],
            );
        }
    }

    #[test]
    fn missing_values_can_be_tested_for() {
        all(
            json!({"null": null, "three": 3, "text": "x", "list": [1, null, 5]}),
            &[
                ("payload.x is defined and payload.x > 3", "no"),
                ("payload.x is undefined or payload.x > 3", "yes"),
                ("payload.a.b.c is defined", "no"),
                ("payload.null is defined", "yes"),
                ("payload.null is none", "yes"),
                ("payload.null is not none", "no"),
                ("payload.three is none", "no"),
                ("payload.x is none", "?"),
                ("payload.null == none", "yes"),
                ("payload.three != none and payload.three > 2", "yes"),
                ("payload.null in ['on', none]", "yes"),
                ("payload.text in ['on', none]", "no"),
                ("payload.x == none", "?"),
                ("payload.x | default(0) > 3", "no"),
                ("payload.x | default(9) > 3", "yes"),
                ("payload.a.b | default(9) > 3", "yes"),
                ("payload.three | default(payload.x) > 2", "yes"),
                ("payload.null | default(0) > 3", "?"),
                ("payload.null | default(0, true) > 3", "no"),
                ("payload.null | int(0) > 3", "no"),
                ("payload.x | float(default=9) > 3", "yes"),
                ("payload.text | float(0) > 3", "no"),
                ("'x' in payload", "no"),
                ("'null' in payload", "yes"),
                ("payload.text is number", "no"),
                ("payload.three is number", "yes"),
                ("payload.list | max > 3", "?"),
                ("payload.list | select('number') | max > 3", "yes"),
                ("payload.list | reject('none') | sum == 6", "yes"),
            ],
        );
    }

    #[test]
    fn a_text_is_no_number_by_operator_test_or_filter() {
        all(
            json!({"t": "21,5", "on": "ON", "n": 21, "yes": true, "mixed": [1, "2"], "rooms": [{"t": "x"}, {"t": 9}]}),
            &[
                ("payload.t > 8", "?"),
                ("(payload.t > 8) == true", "?"),
                ("payload.t is gt 8", "?"),
                ("payload.t is greaterthan(8)", "?"),
                ("8 is lt payload.t", "?"),
                ("payload.t == 21", "?"),
                ("payload.t != 21", "?"),
                ("payload.t in [20, 21]", "?"),
                ("payload.on == true", "?"),
                ("payload.on is true", "?"),
                ("payload.on in [1, true, 'on']", "no"),
                ("payload.n == '21'", "?"),
                ("payload.yes == 'true'", "?"),
                ("payload.n == 'warm'", "no"),
                ("payload == 'offline'", "no"),
                ("payload.yes > 0", "?"),
                ("payload.mixed | max > 1", "?"),
                ("payload.mixed | sort | last == 1", "?"),
                ("payload.mixed | sum > 1", "?"),
                ("payload.mixed | select('gt', 3) | list | length > 0", "?"),
                ("payload.rooms | selectattr('t', 'gt', 8) | list | length > 0", "?"),
                ("payload.rooms | map(attribute='t') | max > 8", "?"),
                ("payload.rooms | max(attribute='t') == 1", "?"),
                ("payload.t | float > 3", "?"),
                ("payload.t * 3 == 'x'", "?"),
                ("payload.n is startingwith '2'", "?"),
                ("3 in payload.t", "?"),
                ("3 in payload.n", "?"),
            ],
        );
    }

    #[test]
    fn what_is_there_is_judged_as_jinja_does() {
        all(
            json!({"n": 21.5, "zero": 0, "s": "open", "empty": "", "list": [3, 9], "on": true, "rooms": [{"t": 3}, {"t": 9}]}),
            &[
                ("payload.n | round | int == 22", "yes"),
                ("payload.n + 1 > 22 and payload.n * 2 == 43", "yes"),
                ("-payload.n < 0", "yes"),
                ("payload.zero", "no"),
                ("payload.s", "yes"),
                ("payload.empty", "no"),
                ("payload.on == 1", "yes"),
                ("payload.s in ('open', 'ajar')", "yes"),
                ("payload.s not in ['shut']", "yes"),
                ("'pe' in payload.s", "yes"),
                ("payload.s | upper ~ '!' == 'OPEN!'", "yes"),
                ("payload.s[0:2] == 'op'", "yes"),
                ("payload['s'] == 'open' and payload.list[0] == 3", "yes"),
                ("payload.list | max > 8 and payload.list | sum == 12", "yes"),
                ("payload.list == [3, 9]", "yes"),
                ("payload.rooms | selectattr('t', 'gt', 8) | list | length == 1", "yes"),
                ("payload.rooms | map(attribute='t') | max == 9", "yes"),
                ("payload.s is startingwith 'op'", "yes"),
                ("3 in range(5)", "yes"),
                ("{'a': payload.n}.a > 3", "yes"),
                ("payload.n is divisibleby 2", "no"),
                ("payload.n is eq 21.5 and payload.list is iterable", "yes"),
            ],
        );
    }

    #[test]
    fn unknown_filters_tests_and_functions_are_found_early() {
        let check = crate::rule::template::check_condition;
        for (condition, what) in [
            ("payload.x and payload.y is nosuchtest", "there is no test `nosuchtest`"),
            ("payload.x or payload.y | nosuch > 3", "there is no filter `nosuch`"),
            ("now() > 3", "there is no function `now`"),
            ("f(*payload)", "arguments stand one by one here, without `*`"),
        ] {
            assert_eq!(check(condition).expect_err(condition).what, what);
        }
        let deep = format!("{}payload", "not ".repeat(60));
        assert!(check(&deep).expect_err("deep").what.contains("more than 50 levels"));
    }
}
