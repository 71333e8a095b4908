//! What belongs to an operator, an arm, a field: cargo-mutants tells where each begins, the grammar how far it reaches.

use std::collections::HashMap;
use std::ops::Range;

use syn::spanned::Spanned;
use syn::visit::{self, Visit};

/// All by the byte at which the operator, arm or field begins.
#[derive(Default)]
pub struct Grammar {
    pub binary: HashMap<usize, Binary>,
    pub unary: HashMap<usize, Unary>,
    pub arms: HashMap<usize, Arm>,
    pub fields: HashMap<usize, Field>,
}

pub struct Binary {
    pub whole: Range<usize>,
    pub operator: Range<usize>,
    /// `if let … && …` is no expression that could stand elsewhere.
    pub has_let: bool,
}

pub struct Unary {
    pub whole: Range<usize>,
    pub operand: Range<usize>,
}

pub struct Arm {
    /// It takes whatever is left, so a guard would leave something out.
    pub takes_all: bool,
    pub pattern_end: usize,
    pub guard: Option<Range<usize>>,
}

/// Of a `Struct { field, ..rest }`.
pub struct Field {
    pub whole: Range<usize>,
    pub field: Range<usize>,
}

impl Grammar {
    pub fn of(text: &str) -> syn::Result<Self> {
        let file = syn::parse_file(text)?;
        let mut grammar = Self::default();
        grammar.visit_file(&file);
        Ok(grammar)
    }
}

fn range(of: &impl Spanned) -> Range<usize> {
    of.span().byte_range()
}

fn has_let(expression: &syn::Expr) -> bool {
    match expression {
        syn::Expr::Let(_) => true,
        syn::Expr::Binary(binary) => has_let(&binary.left) || has_let(&binary.right),
        _ => false,
    }
}

impl<'ast> Visit<'ast> for Grammar {
    fn visit_expr_binary(&mut self, binary: &'ast syn::ExprBinary) {
        let has_let = has_let(&binary.left) || has_let(&binary.right);
        let found = Binary { whole: range(binary), operator: range(&binary.op), has_let };
        self.binary.insert(found.operator.start, found);
        visit::visit_expr_binary(self, binary);
    }

    fn visit_expr_unary(&mut self, unary: &'ast syn::ExprUnary) {
        let found = Unary { whole: range(unary), operand: range(&*unary.expr) };
        self.unary.insert(found.whole.start, found);
        visit::visit_expr_unary(self, unary);
    }

    fn visit_arm(&mut self, arm: &'ast syn::Arm) {
        let guard = arm.guard.as_ref().map(|(_, guard)| range(&**guard));
        let takes_all = guard.is_none() && matches!(arm.pat, syn::Pat::Ident(_) | syn::Pat::Wild(_));
        let found = Arm { takes_all, pattern_end: range(&arm.pat).end, guard };
        self.arms.insert(range(arm).start, found);
        visit::visit_arm(self, arm);
    }

    fn visit_expr_struct(&mut self, made: &'ast syn::ExprStruct) {
        for field in made.fields.pairs().filter(|_| made.rest.is_some()) {
            let found = Field { whole: range(made), field: range(&field) };
            self.fields.insert(found.field.start, found);
        }
        visit::visit_expr_struct(self, made);
    }
}
