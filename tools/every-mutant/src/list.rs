//! The changes, as `cargo mutants --list --json` tells them.

use serde::Deserialize;

#[derive(Deserialize)]
pub struct Mutant {
    pub file: String,
    pub name: String,
    pub genre: String,
    pub replacement: String,
    pub span: Span,
    pub function: Option<Function>,
}

#[derive(Deserialize)]
pub struct Function {
    pub return_type: String,
}

#[derive(Deserialize)]
pub struct Span {
    pub start: Place,
    pub end: Place,
}

#[derive(Deserialize)]
pub struct Place {
    pub line: usize,
    /// In characters, from 1.
    pub column: usize,
}

impl Place {
    pub fn byte(&self, text: &str) -> Option<usize> {
        let line: usize = text.split_inclusive('\n').take(self.line - 1).map(str::len).sum();
        let (column, _) = text.get(line..)?.char_indices().nth(self.column - 1)?;
        Some(line + column)
    }
}
