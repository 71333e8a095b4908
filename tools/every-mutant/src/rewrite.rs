//! One file with all of its changes, each behind the question whether it is the one.

use std::cmp::Reverse;
use std::ops::Range;

use crate::grammar::Grammar;
use crate::list::Mutant;

/// What is put around a piece of the text.
struct Around {
    range: Range<usize>,
    /// A function's early return stands outside of what is its first expression.
    rank: u8,
    before: String,
    after: String,
}

/// The text with these changes, and the numbers of those that have no such form.
pub fn rewrite(text: &str, mutants: &[(usize, &Mutant)]) -> syn::Result<(String, Vec<usize>)> {
    let grammar = Grammar::of(text)?;
    let mut pieces = Vec::new();
    let mut formless = Vec::new();
    for (number, mutant) in mutants {
        match around(text, &grammar, *number, mutant) {
            Some(piece) => pieces.push(piece),
            None => formless.push(*number),
        }
    }
    Ok((render(text, pieces), formless))
}

fn around(text: &str, grammar: &Grammar, number: usize, mutant: &Mutant) -> Option<Around> {
    let span = mutant.span.start.byte(text)?..mutant.span.end.byte(text)?;
    let with = &mutant.replacement;
    match mutant.genre.as_str() {
        "FnValue" => {
            let returns = mutant.function.as_ref().map_or("", |function| &function.return_type);
            let value = marked(number, with);
            if returns.contains("impl Iterator") {
                // Two of one type: what the function gives back has no name that another value could have.
                let before = format!("/*W{number}*/crate::mutant::instead({number}, {{ ");
                let after = format!(" }}, {value})/*w{number}*/");
                return Some(Around { range: span, rank: 0, before, after });
            }
            let before = format!("if crate::mutant::on({number}) {{ return {value}; }} ");
            let opaque = returns.contains("impl ");
            (!opaque).then_some(Around { range: span, rank: 0, before, after: String::new() })
        }
        "BinaryOperator" => {
            let found = grammar.binary.get(&span.start)?;
            let (left, right) =
                (&text[found.whole.start..found.operator.start], &text[found.operator.end..found.whole.end]);
            (!found.has_let).then(|| choice(number, &found.whole, &format!("{left}{with}{right}")))
        }
        "UnaryOperator" => {
            let found = grammar.unary.get(&span.start)?;
            Some(choice(number, &found.whole, &text[found.operand.clone()]))
        }
        "MatchArmGuard" => {
            let is_let = text[span.clone()].contains("let ");
            (!is_let).then(|| choice(number, &span, with))
        }
        "MatchArm" => {
            let arm = grammar.arms.get(&span.start).filter(|arm| !arm.takes_all)?;
            let (range, before, after) = match &arm.guard {
                Some(guard) if text[guard.clone()].contains("let ") => return None,
                Some(guard) => (guard.clone(), format!("!crate::mutant::on({number}) && ("), ")"),
                None => (arm.pattern_end..arm.pattern_end, format!(" if !crate::mutant::on({number})"), ""),
            };
            Some(Around { range, rank: 1, before, after: after.to_owned() })
        }
        "StructField" => {
            let field = grammar.fields.get(&span.start)?;
            let (before, after) =
                (&text[field.whole.start..field.field.start], &text[field.field.end..field.whole.end]);
            Some(choice(number, &field.whole, &format!("{before}{after}")))
        }
        _ => None,
    }
}

fn choice(number: usize, range: &Range<usize>, changed: &str) -> Around {
    let before =
        format!("/*W{number}*/(if crate::mutant::on({number}) {{ ({}) }} else {{ (", marked(number, changed));
    Around { range: range.clone(), rank: 2, before, after: format!(") }})/*w{number}*/") }
}

/// So that the compiler's complaint about a change can be told from one about the rest.
fn marked(number: usize, changed: &str) -> String {
    format!("/*M{number}*/{changed}/*m{number}*/")
}

fn render(text: &str, mut pieces: Vec<Around>) -> String {
    pieces.sort_by_key(|piece| {
        (piece.range.start, piece.range.is_empty(), Reverse(piece.range.end), piece.rank)
    });
    let mut out = String::new();
    let mut at = 0;
    let mut open: Vec<Around> = Vec::new();
    let close = |out: &mut String, at: &mut usize, piece: Around| {
        out.push_str(&text[*at..piece.range.end]);
        *at = piece.range.end;
        out.push_str(&piece.after);
    };
    for piece in pieces {
        while let Some(outer) = open.pop_if(|outer| outer.range.end <= piece.range.start) {
            close(&mut out, &mut at, outer);
        }
        out.push_str(&text[at..piece.range.start]);
        at = piece.range.start;
        out.push_str(&piece.before);
        open.push(piece);
    }
    while let Some(outer) = open.pop() {
        close(&mut out, &mut at, outer);
    }
    out.push_str(&text[at..]);
    out
}

/// The changes in whose text a complaint of the compiler's lies, else those around which it lies.
pub fn blamed(rewritten: &str, complaint: &Range<usize>) -> Vec<usize> {
    let inside = enclosing(rewritten, complaint, 'M', 'm');
    if inside.is_empty() {
        enclosing(rewritten, complaint, 'W', 'w').into_iter().rev().take(1).collect()
    } else {
        inside
    }
}

fn enclosing(text: &str, complaint: &Range<usize>, open: char, close: char) -> Vec<usize> {
    let mut found = Vec::new();
    for (at, _) in text[..complaint.start].match_indices(&format!("/*{open}")) {
        let Some(number) = text[at + 3..].split('*').next().and_then(|number| number.parse().ok()) else {
            continue;
        };
        let end = text[at..].find(&format!("/*{close}{number}*/")).map(|end| at + end);
        if end.is_some_and(|end| end >= complaint.end) {
            found.push(number);
        }
    }
    found
}
