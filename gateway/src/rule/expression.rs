//! A Jinja expression, read once: the tree that conditions are judged on.

use std::fmt::{self, Display, Formatter};

use minijinja::machinery::{ast, parse_expr};
use minijinja::value::Value;

use crate::rule::error::{TemplateError, describe};

/// Levels of one expression. Deeper is a mistake, and would cost the stack.
const DEPTH_MAX: usize = 50;

/// What an expression is made of: 40 bytes a node, of which a thousand rules have some thousands.
#[derive(Debug)]
pub(crate) enum Node {
    Constant(Value),
    Name(Box<str>),
    Field(Box<Node>, Box<str>),
    Item(Box<Node>, Box<Node>),
    /// `[start:stop:step]`
    Part(Box<Node>, Box<[Option<Node>; 3]>),
    Not(Box<Node>),
    Negative(Box<Node>),
    Both(Box<Node>, Box<Node>),
    Either(Box<Node>, Box<Node>),
    /// `a < b <= c`: each side is evaluated once.
    Chain(Box<Node>, Box<[(Comparison, Node)]>),
    Arithmetic(ast::BinOpKind, Box<Node>, Box<Node>),
    Choice {
        test: Box<Node>,
        yes: Box<Node>,
        no: Option<Box<Node>>,
    },
    Filter(Box<str>, Box<Node>, Box<Arguments>),
    Test(Box<str>, Box<Node>, Box<Arguments>),
    Function(Box<str>, Box<Arguments>),
    Method(Box<Node>, Box<str>, Box<Arguments>),
    /// A list or a tuple.
    List(Box<[Node]>),
    Map(Box<[(Node, Node)]>),
}

#[derive(Debug, Default)]
pub(crate) struct Arguments {
    pub positional: Vec<Node>,
    pub named: Vec<(String, Node)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Comparison {
    Equal,
    Unequal,
    Less,
    LessOrEqual,
    More,
    MoreOrEqual,
    In,
    NotIn,
}

impl Node {
    pub fn read(source: &str) -> Result<Self, TemplateError> {
        let tree = parse_expr(source).map_err(|error| describe(&error))?;
        Self::of(&tree, DEPTH_MAX)
    }

    fn of(tree: &ast::Expr<'_>, depth: usize) -> Result<Self, TemplateError> {
        let Some(depth) = depth.checked_sub(1) else {
            return Err(unsupported(tree, &format!("it has more than {DEPTH_MAX} levels; write it shorter")));
        };
        let node = |tree: &ast::Expr<'_>| Self::of(tree, depth).map(Box::new);
        let arguments = |call: &[ast::CallArg<'_>]| Arguments::of(tree, call, depth).map(Box::new);
        let list = |items: &[ast::Expr<'_>]| {
            let items = items.iter().map(|item| Self::of(item, depth));
            items.collect::<Result<_, _>>().map(Self::List)
        };
        Ok(match tree {
            ast::Expr::Const(constant) => Self::Constant(constant.value.clone()),
            ast::Expr::Var(name) => Self::Name(name.id.into()),
            ast::Expr::GetAttr(field) => Self::Field(node(&field.expr)?, field.name.into()),
            ast::Expr::GetItem(item) => Self::Item(node(&item.expr)?, node(&item.subscript_expr)?),
            ast::Expr::UnaryOp(operation) => match operation.op {
                ast::UnaryOpKind::Not => Self::Not(node(&operation.expr)?),
                ast::UnaryOpKind::Neg => Self::Negative(node(&operation.expr)?),
            },
            ast::Expr::BinOp(operation) => {
                let (left, right) = (node(&operation.left)?, node(&operation.right)?);
                Self::operation(operation.op, left, right)
            }
            ast::Expr::Compare(chain) => {
                let step = |step: &ast::CompareOp<'_>| Ok((Comparison::of(step.op), *node(&step.expr)?));
                Self::Chain(node(&chain.expr)?, chain.ops.iter().map(step).collect::<Result<_, _>>()?)
            }
            ast::Expr::IfExpr(choice) => Self::Choice {
                test: node(&choice.test_expr)?,
                yes: node(&choice.true_expr)?,
                no: choice.false_expr.as_ref().map(node).transpose()?,
            },
            ast::Expr::Filter(filter) => match &filter.expr {
                Some(of) => Self::Filter(filter.name.into(), node(of)?, arguments(&filter.args)?),
                None => return Err(unsupported(tree, "a filter stands behind the value that it changes")),
            },
            ast::Expr::Test(test) => Self::Test(test.name.into(), node(&test.expr)?, arguments(&test.args)?),
            ast::Expr::Call(call) => match call.identify_call() {
                ast::CallType::Function(name) => Self::Function(name.into(), arguments(&call.args)?),
                ast::CallType::Method(of, name) => {
                    Self::Method(node(of)?, name.into(), arguments(&call.args)?)
                }
                ast::CallType::Block(_) | ast::CallType::Object(_) => {
                    return Err(unsupported(tree, "only functions such as `range` can be called"));
                }
            },
            ast::Expr::List(items) => list(&items.items)?,
            ast::Expr::Tuple(items) => list(&items.items)?,
            ast::Expr::Map(map) => {
                let pairs = map.keys.iter().zip(&map.values);
                let pair = |(key, value)| Ok((*node(key)?, *node(value)?));
                Self::Map(pairs.map(pair).collect::<Result<_, _>>()?)
            }
            ast::Expr::Slice(part) => {
                let bound = |bound: &Option<ast::Expr<'_>>| {
                    bound.as_ref().map(|bound| Self::of(bound, depth)).transpose()
                };
                let bounds = [bound(&part.start)?, bound(&part.stop)?, bound(&part.step)?];
                Self::Part(node(&part.expr)?, Box::new(bounds))
            }
        })
    }

    fn operation(operator: ast::BinOpKind, left: Box<Self>, right: Box<Self>) -> Self {
        use ast::BinOpKind::{
            Add, Concat, Div, Eq, FloorDiv, Gt, Gte, In, Lt, Lte, Mul, Ne, Pow, Rem, ScAnd, ScOr, Sub,
        };
        let comparison = match operator {
            ScAnd => return Self::Both(left, right),
            ScOr => return Self::Either(left, right),
            Add | Sub | Mul | Div | FloorDiv | Rem | Pow | Concat => {
                return Self::Arithmetic(operator, left, right);
            }
            Eq => Comparison::Equal,
            Ne => Comparison::Unequal,
            Lt => Comparison::Less,
            Lte => Comparison::LessOrEqual,
            Gt => Comparison::More,
            Gte => Comparison::MoreOrEqual,
            In => Comparison::In,
        };
        Self::Chain(left, Box::new([(comparison, *right)]))
    }

    /// Looks at it and at everything in it.
    pub fn each<'a>(&'a self, look: &mut impl FnMut(&'a Self)) {
        look(self);
        let all = |nodes: &'a [Self], look: &mut _| nodes.iter().for_each(|node| node.each(look));
        let given = |arguments: &'a Arguments, look: &mut _| {
            arguments.positional.iter().for_each(|node| node.each(look));
            arguments.named.iter().for_each(|(_, node)| node.each(look));
        };
        match self {
            Self::Constant(_) | Self::Name(_) => {}
            Self::Field(of, _) | Self::Not(of) | Self::Negative(of) => of.each(look),
            Self::Item(left, right)
            | Self::Both(left, right)
            | Self::Either(left, right)
            | Self::Arithmetic(_, left, right) => {
                left.each(look);
                right.each(look);
            }
            Self::Part(of, bounds) => {
                of.each(look);
                bounds.iter().flatten().for_each(|bound| bound.each(look));
            }
            Self::Chain(first, steps) => {
                first.each(look);
                steps.iter().for_each(|(_, node)| node.each(look));
            }
            Self::Choice { test, yes, no } => {
                [Some(test), Some(yes), no.as_ref()].into_iter().flatten().for_each(|node| node.each(look));
            }
            Self::Filter(_, of, arguments)
            | Self::Test(_, of, arguments)
            | Self::Method(of, _, arguments) => {
                of.each(look);
                given(arguments, look);
            }
            Self::Function(_, arguments) => given(arguments, look),
            Self::List(items) => all(items, look),
            Self::Map(pairs) => pairs.iter().for_each(|(key, value)| {
                key.each(look);
                value.each(look);
            }),
        }
    }

    /// Whether it is a text that its author wrote.
    pub fn is_text(&self) -> bool {
        matches!(self, Self::Constant(value) if value.as_str().is_some())
    }

    /// Whether it is the word `none`, so that its author asks for what is null.
    pub fn is_none(&self) -> bool {
        matches!(self, Self::Constant(value) if value.is_none())
    }
}

impl Arguments {
    fn of(tree: &ast::Expr<'_>, arguments: &[ast::CallArg<'_>], depth: usize) -> Result<Self, TemplateError> {
        let mut found = Self::default();
        for argument in arguments {
            match argument {
                ast::CallArg::Pos(value) => found.positional.push(Node::of(value, depth)?),
                ast::CallArg::Kwarg(name, value) => {
                    found.named.push(((*name).to_owned(), Node::of(value, depth)?));
                }
                ast::CallArg::PosSplat(_) | ast::CallArg::KwargSplat(_) => {
                    return Err(unsupported(tree, "arguments stand one by one here, without `*`"));
                }
            }
        }
        Ok(found)
    }
}

fn unsupported(tree: &ast::Expr<'_>, what: &str) -> TemplateError {
    TemplateError { line: tree.span().start_line.max(1).into(), what: what.to_owned() }
}

impl Comparison {
    fn of(operator: ast::CompareOpKind) -> Self {
        match operator {
            ast::CompareOpKind::Eq => Self::Equal,
            ast::CompareOpKind::Ne => Self::Unequal,
            ast::CompareOpKind::Lt => Self::Less,
            ast::CompareOpKind::Lte => Self::LessOrEqual,
            ast::CompareOpKind::Gt => Self::More,
            ast::CompareOpKind::Gte => Self::MoreOrEqual,
            ast::CompareOpKind::In => Self::In,
            ast::CompareOpKind::NotIn => Self::NotIn,
        }
    }

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Equal => "==",
            Self::Unequal => "!=",
            Self::Less => "<",
            Self::LessOrEqual => "<=",
            Self::More => ">",
            Self::MoreOrEqual => ">=",
            Self::In => "in",
            Self::NotIn => "not in",
        }
    }

    /// The test that asks the same: `payload is gt 8`.
    pub fn of_test(name: &str) -> Option<Self> {
        Some(match name {
            "eq" | "equalto" | "==" => Self::Equal,
            "ne" | "!=" => Self::Unequal,
            "lt" | "lessthan" | "<" => Self::Less,
            "le" | "<=" => Self::LessOrEqual,
            "gt" | "greaterthan" | ">" => Self::More,
            "ge" | ">=" => Self::MoreOrEqual,
            "in" => Self::In,
            _ => return None,
        })
    }
}

/// The sign of an operation that is no comparison.
pub(crate) fn sign(operator: ast::BinOpKind) -> &'static str {
    match operator {
        ast::BinOpKind::Add => "+",
        ast::BinOpKind::Sub => "-",
        ast::BinOpKind::Mul => "*",
        ast::BinOpKind::Div => "/",
        ast::BinOpKind::FloorDiv => "//",
        ast::BinOpKind::Rem => "%",
        ast::BinOpKind::Pow => "**",
        ast::BinOpKind::Concat => "~",
        ast::BinOpKind::Eq
        | ast::BinOpKind::Ne
        | ast::BinOpKind::Lt
        | ast::BinOpKind::Lte
        | ast::BinOpKind::Gt
        | ast::BinOpKind::Gte
        | ast::BinOpKind::ScAnd
        | ast::BinOpKind::ScOr
        | ast::BinOpKind::In => "?",
    }
}

/// As its author may have written it, for reasons; what is long to write is `…`.
impl Display for Node {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Constant(value) if value.as_str().is_some() => write!(f, "'{value}'"),
            Self::Constant(value) => write!(f, "{value}"),
            Self::Name(name) => f.write_str(name),
            Self::Field(of, name) => write!(f, "{of}.{name}"),
            Self::Item(of, item) => write!(f, "{of}[{item}]"),
            Self::Part(of, _) => write!(f, "{of}[…]"),
            Self::Not(of) => write!(f, "not {of}"),
            Self::Negative(of) => write!(f, "-{of}"),
            Self::Both(left, right) => write!(f, "({left} and {right})"),
            Self::Either(left, right) => write!(f, "({left} or {right})"),
            Self::Chain(first, steps) => {
                write!(f, "{first}")?;
                steps.iter().try_for_each(|(step, node)| write!(f, " {} {node}", step.as_str()))
            }
            Self::Arithmetic(operator, left, right) => write!(f, "({left} {} {right})", sign(*operator)),
            Self::Choice { test, yes, .. } => write!(f, "({yes} if {test} …)"),
            Self::Filter(name, of, arguments) => write!(f, "{of} | {name}{arguments}"),
            Self::Test(name, of, arguments) => write!(f, "{of} is {name}{arguments}"),
            Self::Function(name, _) => write!(f, "{name}(…)"),
            Self::Method(of, name, _) => write!(f, "{of}.{name}(…)"),
            Self::List(items) => {
                f.write_str("[")?;
                for (index, item) in items.iter().enumerate() {
                    write!(f, "{}{item}", if index > 0 { ", " } else { "" })?;
                }
                f.write_str("]")
            }
            Self::Map(_) => f.write_str("{…}"),
        }
    }
}

impl Display for Arguments {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let positional = self.positional.iter().map(Node::to_string);
        let named = self.named.iter().map(|(name, node)| format!("{name}={node}"));
        let all: Vec<String> = positional.chain(named).collect();
        if all.is_empty() { Ok(()) } else { write!(f, "({})", all.join(", ")) }
    }
}
