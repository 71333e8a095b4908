//! Jinja's filters, tests and functions, each with what it may cost: a size is known before anything is made.

use minijinja::machinery::ast;
use minijinja::value::{Rest, Value, ValueKind, ValueOrKwargs};
use minijinja::{Environment, Error, ErrorKind, State, UndefinedBehavior, filters, functions, tests};

use crate::rule::bound::{EvaluationBudget, ITEMS_MAX, TEXT_MAX, entries, join, length, too_large};

/// What a program has in place of operators; no author can write these names.
pub(crate) const ADD: &str = "$add";
pub(crate) const TIMES: &str = "$times";
pub(crate) const CONCAT: &str = "$concat";
/// A list or an object that was just made.
pub(crate) const MADE: &str = "$made";
/// What is about to be compared.
pub(crate) const SEEN: &str = "$seen";

/// Numbers from one to another. A loop over more runs out of steps anyway.
const RANGE_MAX: usize = 10_000;
/// Characters that `trim` takes away: each of the text is compared with each of these.
const TRIMMED_MAX: usize = 64;

/// How the result of a filter grows.
#[derive(Debug, Clone, Copy)]
enum Growth {
    /// It makes nothing larger than what it was given.
    None,
    /// It writes what it was given.
    Text,
    /// It lists what it was given.
    List,
    Sum,
    Split,
    Reverse,
    Replace,
    Indent,
    Join,
    /// Lists of that many, or that many lists.
    Parts,
    Format,
    /// As text in lines.
    Lines,
    Trim,
}

macro_rules! filters {
    ($($name:literal $filter:ident $growth:ident)*) => {
        fn all() -> Vec<(&'static str, Value, Growth)> {
            vec![$(($name, Value::from_function(filters::$filter), Growth::$growth)),*]
        }

        /// Whether a filter is there: a misspelt one is found before the first alarm.
        pub(crate) fn is_filter(name: &str) -> bool {
            matches!(name, $($name)|*)
        }
    };
}

filters! {
    "abs" abs None "attr" attr None "batch" batch Parts "bool" bool None "capitalize" capitalize Text
    "chain" chain List "count" length None "d" default None "default" default None "dictsort" dictsort List
    "e" escape Text "escape" escape Text "first" first None "float" float None "format" format Format
    "groupby" groupby List "indent" indent Indent "int" int None "items" items List "join" join Join
    "last" last None "length" length None "lines" lines Split "list" list List "lower" lower Text
    "map" map List "max" max None "min" min None "pprint" pprint Lines "reject" reject List
    "rejectattr" rejectattr List "replace" replace Replace "reverse" reverse Reverse "round" round None
    "safe" safe Text "select" select List "selectattr" selectattr List "slice" slice Parts
    "sort" sort List "split" split Split "string" string Text "sum" sum Sum "title" title Text
    "tojson" tojson Lines "trim" trim Trim "unique" unique List "upper" upper Text "zip" zip List
}

/// Everything that an expression or a message may call, and nothing else.
pub(crate) fn bounded(engine: &mut Environment<'static>) {
    for (name, filter, growth) in all() {
        engine.add_filter(name, move |state: &mut State<'_, '_>, given: Rest<ValueOrKwargs>| {
            let given = given.into_values();
            spent(state, |spent| spent.seen(&given))?;
            growth.check(&given)?;
            let result = filter.call(state, &given)?;
            spent(state, |spent| spent.made(&result))?;
            Ok(result)
        });
    }
    for (name, operator) in
        [(ADD, ast::BinOpKind::Add), (TIMES, ast::BinOpKind::Mul), (CONCAT, ast::BinOpKind::Concat)]
    {
        engine.add_filter(name, move |state: &mut State<'_, '_>, given: Rest<ValueOrKwargs>| {
            let given = given.into_values();
            let [left, right] = given.as_slice() else { return Err(ErrorKind::MissingArgument.into()) };
            let is_strict = state.undefined_behavior() == UndefinedBehavior::Strict;
            if is_strict && (left.is_undefined() || right.is_undefined()) {
                return Err(ErrorKind::UndefinedError.into());
            }
            spent(state, |spent| spent.seen([left, right]))?;
            let result = join(operator, left, right)?;
            spent(state, |spent| spent.made(&result))?;
            Ok(result)
        });
    }
    for (name, is_new) in [(MADE, true), (SEEN, false)] {
        engine.add_filter(name, move |state: &mut State<'_, '_>, given: Rest<ValueOrKwargs>| {
            let value = given.into_values().into_iter().next().unwrap_or_default();
            spent(state, |spent| if is_new { spent.made(&value) } else { spent.seen([&value]) })?;
            Ok(value)
        });
    }
    comparing_tests(engine);
    engine.add_function("range", |lower: i64, upper: Option<i64>, step: Option<i64>| {
        let narrow = |number: i64| isize::try_from(number).map_err(|_| too_large());
        let (from, to) = upper.map_or((0, lower), |upper| (lower, upper));
        let steps = from.abs_diff(to) / step.map_or(1, i64::unsigned_abs).max(1);
        if steps > RANGE_MAX as u64 {
            return Err(too_large());
        }
        functions::range(narrow(from)?, Some(narrow(to)?), step.map(narrow).transpose()?)
    });
    engine.remove_global("debug"); // writes everything that there is
}

/// What is charged to the evaluation that runs.
pub(crate) fn spent<T>(
    state: &mut State<'_, '_>,
    charge: impl FnOnce(&mut EvaluationBudget) -> Result<T, Error>,
) -> Result<T, Error> {
    charge(state.get_or_insert_extension(EvaluationBudget::default()))
}

/// Filters such as `select` call them for each entry.
fn comparing_tests(engine: &mut Environment<'static>) {
    macro_rules! comparing {
        ($($name:literal $test:ident)*) => {
            [$(($name, Value::from_function(tests::$test))),*]
        };
    }
    let all = comparing! {
        "eq" is_eq "equalto" is_eq "==" is_eq "ne" is_ne "!=" is_ne "lt" is_lt "lessthan" is_lt "<" is_lt
        "le" is_le "<=" is_le "gt" is_gt "greaterthan" is_gt ">" is_gt "ge" is_ge ">=" is_ge "in" is_in
        "startingwith" is_startingwith "endingwith" is_endingwith "lower" is_lower "upper" is_upper
    };
    for (name, test) in all {
        engine.add_test(name, move |state: &mut State<'_, '_>, given: Rest<ValueOrKwargs>| {
            let given = given.into_values();
            spent(state, |spent| spent.seen(&given))?;
            Ok::<bool, Error>(test.call(state, &given)?.is_true())
        });
    }
}

impl Growth {
    /// Whether the result stays within its limits.
    fn check(self, given: &[Value]) -> Result<(), Error> {
        let Some((value, others)) = given.split_first() else { return Ok(()) }; // the filter itself says so
        match self {
            Self::None => Ok(()),
            Self::Text => length(value, 0).map(drop),
            Self::Reverse if value.as_str().is_some() => length(value, 0).map(drop),
            // Numbers add up to one; texts and lists become longer with each.
            Self::Sum if others.is_empty() && is_of_numbers(value) => Ok(()),
            Self::Split => {
                let (text, between) = (text_of(value)?, others.first().filter(|by| by.as_str().is_some()));
                let parts = match between.map(text_of).transpose()?.filter(|by| !by.is_empty()) {
                    Some(between) => text.matches(between.as_str()).count(),
                    None => text.matches(char::is_whitespace).count(),
                };
                if parts >= ITEMS_MAX { Err(too_large()) } else { Ok(()) }
            }
            Self::List | Self::Sum | Self::Reverse => {
                given.iter().try_for_each(|value| entries(value).map(drop))
            }
            Self::Replace => {
                let text = text_of(value)?;
                let from = others.first().map(text_of).transpose()?.unwrap_or_default();
                let to = others.get(1).map(text_of).transpose()?.unwrap_or_default();
                let count =
                    if from.is_empty() { text.len() + 1 } else { text.matches(from.as_str()).count() };
                within(count.checked_mul(to.len()).and_then(|more| more.checked_add(text.len())))
            }
            Self::Indent => {
                let text = text_of(value)?;
                let lines = text.matches('\n').count() + 1;
                let more = largest(others).checked_mul(lines);
                within(more.and_then(|more| more.checked_add(text.len())))
            }
            Self::Join => {
                let between = others.iter().map(|value| length(value, 0)).sum::<Result<usize, _>>()?;
                let more = entries(value)?.checked_mul(between);
                within(more.and_then(|more| more.checked_add(length(value, 0).ok()?)))
            }
            Self::Parts => match entries(value)?.checked_add(largest(others)) {
                Some(all) if all <= ITEMS_MAX => Ok(()),
                Some(_) | None => Err(too_large()),
            },
            Self::Format => {
                let text = text_of(value)?;
                let arguments = others.iter().map(|value| length(value, 0)).sum::<Result<usize, _>>()?;
                let numbers = text.split(|letter: char| !letter.is_ascii_digit()).filter(|n| !n.is_empty());
                let widths = numbers.map(|number| number.parse::<usize>().unwrap_or(usize::MAX));
                let given = if text.contains('*') { largest(others) } else { 0 };
                let widest = widths.max().unwrap_or_default().max(given);
                let each = widest.checked_add(arguments).and_then(|each| each.checked_add(64));
                within(each.and_then(|each| each.checked_mul(text.matches('%').count())))?;
                within(Some(text.len()))
            }
            Self::Lines => length(value, largest(others).max(4)).map(drop),
            Self::Trim => {
                within(Some(length(value, 0)?))?;
                let trimmed = others.first().map_or(Ok(0), |value| length(value, 0))?;
                if trimmed > TRIMMED_MAX { Err(too_large()) } else { Ok(()) }
            }
        }
    }
}

fn within(bytes: Option<usize>) -> Result<(), Error> {
    if bytes.is_some_and(|bytes| bytes <= TEXT_MAX) { Ok(()) } else { Err(too_large()) }
}

fn text_of(value: &Value) -> Result<String, Error> {
    length(value, 0).map(|_| value.to_string())
}

fn is_of_numbers(value: &Value) -> bool {
    value.try_iter().is_ok_and(|mut items| items.next().is_none_or(|first| first.is_number()))
}

/// The largest number among the arguments, named ones included.
fn largest(given: &[Value]) -> usize {
    let number = |value: &Value| if value.is_number() { value.as_usize().unwrap_or(usize::MAX) } else { 0 };
    let of = |value: &Value| {
        let named = value.as_object().filter(|_| value.kind() == ValueKind::Map);
        let named = named.and_then(|named| named.try_iter_pairs()).into_iter().flatten();
        named.map(|(_, value)| number(&value)).chain([number(value)]).max().unwrap_or_default()
    };
    given.iter().map(of).max().unwrap_or_default()
}
