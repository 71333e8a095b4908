//! What is wrong with a condition or a message: where it stands, or on an event.

/// A reason may quote what failed; nobody reads more, and it is kept with the event.
const REASON_MAX: usize = 300;

/// A condition or message that does not compile.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what}")]
pub struct TemplateError {
    /// From 1, within the source.
    pub line: usize,
    pub what: String,
}

/// Why a condition or message could not be evaluated on one event.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what}")]
pub struct EvaluationError {
    /// Without the event's values: the same for all events that fail alike.
    pub kind: String,
    /// A sentence that names the field and what was there.
    pub what: String,
    /// A field is not there at all; a device that reports only what changed may send it with its next report.
    pub is_missing: bool,
}

impl EvaluationError {
    pub fn of(what: impl Into<String>) -> Self {
        let what = what.into();
        Self { kind: what.clone(), what, is_missing: false }
    }
}

pub(crate) fn describe(error: &minijinja::Error) -> TemplateError {
    TemplateError { line: error.line().unwrap_or(1), what: words(error) }
}

pub(crate) fn evaluation(error: &minijinja::Error) -> EvaluationError {
    let is_missing = error.kind() == minijinja::ErrorKind::UndefinedError;
    EvaluationError { kind: error.kind().to_string(), what: words(error), is_missing }
}

pub(crate) fn words(error: &minijinja::Error) -> String {
    match error.detail() {
        Some(detail) if detail.chars().nth(REASON_MAX).is_some() => {
            format!("{}: {}…", error.kind(), detail.chars().take(REASON_MAX).collect::<String>())
        }
        Some(detail) => format!("{}: {detail}", error.kind()),
        None => error.kind().to_string(),
    }
}
