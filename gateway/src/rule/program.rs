//! A message's template as it runs: Jinja's own tree, in which everything that makes a text or a list asks first how large it
//! becomes. Kinds of statements that a message has no use for are refused when the rule is read.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use minijinja::machinery::{CodeGenerator, Instructions, ast, eval, make_string_output, parse};
use minijinja::syntax::SyntaxConfig;
use minijinja::value::Value;
use minijinja::{AutoEscape, Environment, Error};
use self_cell::self_cell;

use ast::{Expr, Spanned, Stmt};

use crate::rule::bound::{constant, join};
use crate::rule::error::{TemplateError, describe, words};
use crate::rule::filters::{ADD, CONCAT, MADE, SEEN, TIMES, is_filter};

type Made<T> = Result<T, TemplateError>;

/// Levels of one template. Deeper is a mistake, and would cost the stack.
const DEPTH_MAX: usize = 100;

/// Whether it can be compiled, and within which limits its own constants stay.
pub(crate) fn check(source: &str) -> Made<()> {
    rebuilt(source).map(drop)
}

/// The same for an expression, which the engine would compile.
pub(crate) fn check_expression(tree: &Expr<'_>) -> Made<()> {
    Rebuilt { depth: DEPTH_MAX }.expression(tree).map(drop)
}

/// What it says of these names.
pub(crate) fn render(source: &str, engine: &Environment<'static>, names: &Value) -> Result<String, Error> {
    let syntax = |error: TemplateError| Error::new(minijinja::ErrorKind::SyntaxError, error.what);
    compiled(source).map_err(syntax)?.with_dependent(|_, program| program.run(engine, names))
}

/// The same of a message that is only looked at: nothing of it is kept.
pub(crate) fn rehearse(source: &str, engine: &Environment<'static>) -> Made<Result<String, Error>> {
    compile(source).map(|program| program.run(engine, &Value::UNDEFINED))
}

/// Compiled before, or now.
fn compiled(source: &str) -> Made<Arc<Compiled>> {
    let kept = || KEPT.lock().unwrap_or_else(PoisonError::into_inner); // a panic ends the process, so that nothing is ever poisoned
    if let Some(known) = kept().iter().find(|known| &**known.borrow_owner() == source) {
        return Ok(Arc::clone(known));
    }
    let made = Arc::new(Compiled::try_new(source.into(), |source| compile(source))?);
    let mut kept = kept();
    if kept.len() == KEPT_MAX {
        kept.remove(0);
    }
    kept.push(Arc::clone(&made));
    Ok(made)
}

fn compile(source: &str) -> Made<Program<'_>> {
    let mut code = CodeGenerator::new(NAME, source);
    code.compile_stmt(&rebuilt(source)?);
    let (instructions, blocks) = code.finish();
    Ok(Program { instructions, blocks })
}

fn rebuilt(source: &str) -> Made<Stmt<'_>> {
    let tree = parse(source, NAME, SyntaxConfig::default()).map_err(|error| describe(&error))?;
    Rebuilt { depth: DEPTH_MAX }.statement(&tree)
}

impl Program<'_> {
    fn run(&self, engine: &Environment<'static>, names: &Value) -> Result<String, Error> {
        let mut text = String::new();
        let (mut out, plain) = (make_string_output(&mut text), AutoEscape::None);
        eval(engine, &self.instructions, names.clone(), &self.blocks, &mut out, plain)?;
        drop(out);
        Ok(text)
    }
}

const NAME: &str = "<string>";

/// Compiled messages that are kept: a flood comes from few rules, and each takes 12 KB, since the engine makes room for 256
/// instructions whatever it compiles.
const KEPT_MAX: usize = 8;

/// What was compiled last, the oldest first. A thousand rules that alert in turn pay what each paid without it.
static KEPT: Mutex<Vec<Arc<Compiled>>> = Mutex::new(Vec::new());

struct Program<'a> {
    instructions: Instructions<'a>,
    blocks: BTreeMap<&'a str, Instructions<'a>>,
}

self_cell!(
    /// Its instructions name parts of its own text.
    struct Compiled {
        owner: Box<str>,
        #[not_covariant]
        dependent: Program,
    }
);

/// Copies the tree; what is left of it goes down with each level.
#[derive(Clone, Copy)]
struct Rebuilt {
    depth: usize,
}

impl Rebuilt {
    fn deeper(self, span: minijinja::machinery::Span) -> Made<Self> {
        let depth = self.depth.checked_sub(1);
        depth
            .map(|depth| Self { depth })
            .ok_or_else(|| refused(span, &format!("it has more than {DEPTH_MAX} levels; write it shorter")))
    }

    fn statements<'a>(self, all: &[Stmt<'a>]) -> Made<Vec<Stmt<'a>>> {
        all.iter().map(|one| self.statement(one)).collect()
    }

    fn statement<'a>(self, statement: &Stmt<'a>) -> Made<Stmt<'a>> {
        Ok(match statement {
            Stmt::Template(of) => {
                let children = self.statements(&of.children)?;
                Stmt::Template(Spanned::new(ast::Template { children }, of.span()))
            }
            Stmt::EmitExpr(of) => {
                let expr = self.expression(&of.expr)?;
                Stmt::EmitExpr(Spanned::new(ast::EmitExpr { expr }, of.span()))
            }
            // Counted like everything else that is written: a loop may write it often.
            Stmt::EmitRaw(of) => {
                let expr = constant(Value::from(of.raw));
                Stmt::EmitExpr(Spanned::new(ast::EmitExpr { expr }, of.span()))
            }
            Stmt::ForLoop(of) => Stmt::ForLoop(self.for_loop(of)?),
            Stmt::IfCond(of) => {
                let inner = self.deeper(of.span())?;
                let made = ast::IfCond {
                    expr: self.expression(&of.expr)?,
                    true_body: inner.statements(&of.true_body)?,
                    false_body: inner.statements(&of.false_body)?,
                };
                Stmt::IfCond(Spanned::new(made, of.span()))
            }
            Stmt::WithBlock(of) => {
                let pair = |(target, value): &(Expr<'a>, Expr<'a>)| {
                    Ok((self.target(target)?, self.expression(value)?))
                };
                let assignments = of.assignments.iter().map(pair).collect::<Made<_>>()?;
                let body = self.deeper(of.span())?.statements(&of.body)?;
                Stmt::WithBlock(Spanned::new(ast::WithBlock { assignments, body }, of.span()))
            }
            Stmt::Set(of) => {
                let made = ast::Set { target: self.target(&of.target)?, expr: self.expression(&of.expr)? };
                Stmt::Set(Spanned::new(made, of.span()))
            }
            Stmt::SetBlock(of) => Stmt::SetBlock(self.set_block(of)?),
            Stmt::FilterBlock(of) => {
                let (filter, body) =
                    (self.expression(&of.filter)?, self.deeper(of.span())?.statements(&of.body)?);
                Stmt::FilterBlock(Spanned::new(ast::FilterBlock { filter, body }, of.span()))
            }
            Stmt::Macro(of) => Stmt::Macro(self.macro_of(of)?),
            Stmt::CallBlock(of) => {
                let made =
                    ast::CallBlock { call: self.call(&of.call)?, macro_decl: self.macro_of(&of.macro_decl)? };
                Stmt::CallBlock(Spanned::new(made, of.span()))
            }
            Stmt::Do(of) => Stmt::Do(Spanned::new(ast::Do { call: self.call(&of.call)? }, of.span())),
            Stmt::AutoEscape(of) => {
                return Err(refused(of.span(), "`autoescape` has no meaning here: WhatsApp is not HTML"));
            }
            Stmt::Block(of) => return Err(elsewhere(of.span(), "block")),
            Stmt::Import(of) => return Err(elsewhere(of.span(), "import")),
            Stmt::FromImport(of) => return Err(elsewhere(of.span(), "from")),
            Stmt::Extends(of) => return Err(elsewhere(of.span(), "extends")),
            Stmt::Include(of) => return Err(elsewhere(of.span(), "include")),
        })
    }

    fn for_loop<'a>(self, of: &Spanned<ast::ForLoop<'a>>) -> Made<Spanned<ast::ForLoop<'a>>> {
        let inner = self.deeper(of.span())?;
        let made = ast::ForLoop {
            target: self.target(&of.target)?,
            iter: self.expression(&of.iter)?,
            filter_expr: of.filter_expr.as_ref().map(|expr| self.expression(expr)).transpose()?,
            recursive: of.recursive,
            body: inner.statements(&of.body)?,
            else_body: inner.statements(&of.else_body)?,
        };
        Ok(Spanned::new(made, of.span()))
    }

    fn set_block<'a>(self, of: &Spanned<ast::SetBlock<'a>>) -> Made<Spanned<ast::SetBlock<'a>>> {
        let made = ast::SetBlock {
            target: self.target(&of.target)?,
            filter: of.filter.as_ref().map(|filter| self.expression(filter)).transpose()?,
            body: self.deeper(of.span())?.statements(&of.body)?,
        };
        Ok(Spanned::new(made, of.span()))
    }

    fn macro_of<'a>(self, of: &Spanned<ast::Macro<'a>>) -> Made<Spanned<ast::Macro<'a>>> {
        let made = ast::Macro {
            name: of.name,
            args: of.args.iter().map(|name| self.target(name)).collect::<Made<_>>()?,
            defaults: self.expressions(&of.defaults)?,
            body: self.deeper(of.span())?.statements(&of.body)?,
        };
        Ok(Spanned::new(made, of.span()))
    }

    /// What a value is given to.
    fn target<'a>(self, target: &Expr<'a>) -> Made<Expr<'a>> {
        let all = |items: &[Expr<'a>]| items.iter().map(|item| self.target(item)).collect::<Made<_>>();
        Ok(match target {
            Expr::Var(of) => Expr::Var(Spanned::new(ast::Var { id: of.id }, of.span())),
            Expr::List(of) => Expr::List(Spanned::new(ast::List { items: all(&of.items)? }, of.span())),
            Expr::Tuple(of) => Expr::Tuple(Spanned::new(ast::Tuple { items: all(&of.items)? }, of.span())),
            Expr::GetAttr(of) => {
                let made = ast::GetAttr { expr: self.target(&of.expr)?, name: of.name };
                Expr::GetAttr(Spanned::new(made, of.span()))
            }
            Expr::Const(_)
            | Expr::Slice(_)
            | Expr::UnaryOp(_)
            | Expr::BinOp(_)
            | Expr::Compare(_)
            | Expr::IfExpr(_)
            | Expr::Filter(_)
            | Expr::Test(_)
            | Expr::GetItem(_)
            | Expr::Call(_)
            | Expr::Map(_) => return Err(refused(target.span(), "a value can be given to a name only")),
        })
    }

    fn expressions<'a>(self, all: &[Expr<'a>]) -> Made<Vec<Expr<'a>>> {
        all.iter().map(|one| self.expression(one)).collect()
    }

    fn expression<'a>(self, tree: &Expr<'a>) -> Made<Expr<'a>> {
        let span = tree.span();
        let inner = self.deeper(span)?;
        Ok(match tree {
            Expr::Var(of) => Expr::Var(Spanned::new(ast::Var { id: of.id }, span)),
            Expr::Const(of) => Expr::Const(Spanned::new(ast::Const { value: of.value.clone() }, span)),
            Expr::Slice(of) => through(MADE, Expr::Slice(inner.slice(of)?), Vec::new()),
            Expr::UnaryOp(of) => {
                let is_not = matches!(of.op, ast::UnaryOpKind::Not);
                let op = if is_not { ast::UnaryOpKind::Not } else { ast::UnaryOpKind::Neg };
                Expr::UnaryOp(Spanned::new(ast::UnaryOp { op, expr: inner.expression(&of.expr)? }, span))
            }
            Expr::BinOp(of) => inner.operation(of)?,
            Expr::Compare(of) => {
                let side = |op: &ast::CompareOp<'a>| {
                    Ok(ast::CompareOp { op: op.op, expr: seen(inner.expression(&op.expr)?) })
                };
                let ops = of.ops.iter().map(side).collect::<Made<_>>()?;
                let made = ast::Compare { expr: seen(inner.expression(&of.expr)?), ops };
                Expr::Compare(Spanned::new(made, span))
            }
            Expr::IfExpr(of) => {
                let made = ast::IfExpr {
                    test_expr: inner.expression(&of.test_expr)?,
                    true_expr: inner.expression(&of.true_expr)?,
                    false_expr: of.false_expr.as_ref().map(|expr| inner.expression(expr)).transpose()?,
                };
                Expr::IfExpr(Spanned::new(made, span))
            }
            Expr::Filter(of) => Expr::Filter(inner.filter(of)?),
            Expr::Test(of) => {
                let (expr, args) = (inner.expression(&of.expr)?, inner.arguments(&of.args)?);
                Expr::Test(Spanned::new(ast::Test { name: of.name, expr, args }, span))
            }
            Expr::GetAttr(of) => {
                let made = ast::GetAttr { expr: inner.expression(&of.expr)?, name: of.name };
                Expr::GetAttr(Spanned::new(made, span))
            }
            Expr::GetItem(of) => {
                let made = ast::GetItem {
                    expr: inner.expression(&of.expr)?,
                    subscript_expr: inner.expression(&of.subscript_expr)?,
                };
                Expr::GetItem(Spanned::new(made, span))
            }
            Expr::Call(of) => Expr::Call(inner.call(of)?),
            Expr::List(of) => {
                let made = ast::List { items: inner.expressions(&of.items)? };
                through(MADE, Expr::List(Spanned::new(made, span)), Vec::new())
            }
            Expr::Tuple(of) => {
                let made = ast::Tuple { items: inner.expressions(&of.items)? };
                through(MADE, Expr::Tuple(Spanned::new(made, span)), Vec::new())
            }
            Expr::Map(of) => {
                let made =
                    ast::Map { keys: inner.expressions(&of.keys)?, values: inner.expressions(&of.values)? };
                through(MADE, Expr::Map(Spanned::new(made, span)), Vec::new())
            }
        })
    }

    fn slice<'a>(self, of: &Spanned<ast::Slice<'a>>) -> Made<Spanned<ast::Slice<'a>>> {
        let bound = |bound: &Option<Expr<'a>>| bound.as_ref().map(|b| self.expression(b)).transpose();
        let made = ast::Slice {
            expr: self.expression(&of.expr)?,
            start: bound(&of.start)?,
            stop: bound(&of.stop)?,
            step: bound(&of.step)?,
        };
        Ok(Spanned::new(made, of.span()))
    }

    fn filter<'a>(self, of: &Spanned<ast::Filter<'a>>) -> Made<Spanned<ast::Filter<'a>>> {
        let name: String = of.name.chars().filter(|letter| !letter.is_whitespace()).collect();
        if !is_filter(&name) {
            return Err(refused(of.span(), &format!("unknown filter: filter {name} is unknown")));
        }
        let made = ast::Filter {
            name: of.name,
            expr: of.expr.as_ref().map(|expr| self.expression(expr)).transpose()?,
            args: self.arguments(&of.args)?,
        };
        Ok(Spanned::new(made, of.span()))
    }

    fn operation<'a>(self, of: &Spanned<ast::BinOp<'a>>) -> Made<Expr<'a>> {
        use ast::BinOpKind::{
            Add, Concat, Div, Eq, FloorDiv, Gt, Gte, In, Lt, Lte, Mul, Ne, Pow, Rem, ScAnd, ScOr, Sub,
        };
        let (left, right) = (self.expression(&of.left)?, self.expression(&of.right)?);
        let name = match of.op {
            Add => ADD,
            Mul => TIMES,
            Concat => CONCAT,
            Eq | Ne | Lt | Lte | Gt | Gte | In => {
                let made = ast::BinOp { op: of.op, left: seen(left), right: seen(right) };
                return Ok(Expr::BinOp(Spanned::new(made, of.span())));
            }
            Sub | Div | FloorDiv | Rem | Pow | ScAnd | ScOr => {
                return Ok(Expr::BinOp(Spanned::new(ast::BinOp { op: of.op, left, right }, of.span())));
            }
        };
        // The engine computes what is constant when it compiles, also where it only looks for names.
        if let (Some(left), Some(right)) = (of.left.as_const(), of.right.as_const()) {
            join(of.op, &left, &right).map_err(|error| refused(of.span(), &words(&error)))?;
        }
        Ok(through(name, left, vec![ast::CallArg::Pos(right)]))
    }

    fn call<'a>(self, of: &Spanned<ast::Call<'a>>) -> Made<Spanned<ast::Call<'a>>> {
        let made = ast::Call { expr: self.expression(&of.expr)?, args: self.arguments(&of.args)? };
        Ok(Spanned::new(made, of.span()))
    }

    fn arguments<'a>(self, all: &[ast::CallArg<'a>]) -> Made<Vec<ast::CallArg<'a>>> {
        let one = |argument: &ast::CallArg<'a>| {
            Ok(match argument {
                ast::CallArg::Pos(value) => ast::CallArg::Pos(self.expression(value)?),
                ast::CallArg::Kwarg(name, value) => ast::CallArg::Kwarg(name, self.expression(value)?),
                ast::CallArg::PosSplat(value) => ast::CallArg::PosSplat(seen(self.expression(value)?)),
                ast::CallArg::KwargSplat(value) => ast::CallArg::KwargSplat(seen(self.expression(value)?)),
            })
        };
        all.iter().map(one).collect()
    }
}

/// Looked at before it is compared.
fn seen(value: Expr<'_>) -> Expr<'_> {
    if matches!(value, Expr::Const(_)) { value } else { through(SEEN, value, Vec::new()) }
}

fn through<'a>(name: &'static str, value: Expr<'a>, args: Vec<ast::CallArg<'a>>) -> Expr<'a> {
    let span = value.span();
    Expr::Filter(Spanned::new(ast::Filter { name, expr: Some(value), args }, span))
}

fn refused(span: minijinja::machinery::Span, what: &str) -> TemplateError {
    TemplateError { line: span.start_line.max(1).into(), what: what.to_owned() }
}

fn elsewhere(span: minijinja::machinery::Span, what: &str) -> TemplateError {
    refused(span, &format!("`{what}` takes in another template, and there is none; write it here"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reused_compiled_template_renders_the_same() {
        let engine = Environment::new();
        let names = Value::from(BTreeMap::from([("unit", "7")]));
        for _ in 0..2 {
            for number in 0..KEPT_MAX + 3 {
                let text = render(&format!("{number}: {{{{ unit }}}}"), &engine, &names).expect("it says");
                assert_eq!(text, format!("{number}: 7"));
            }
        }
        assert!(KEPT.lock().expect("no panic").len() <= KEPT_MAX);
    }
}
