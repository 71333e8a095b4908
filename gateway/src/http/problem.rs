//! Errors as RFC 9457 problem details: what the client may know. The log was told the rest where it happened.

use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use crate::http::admin_port::ApiError;

impl ApiError {
    pub fn status(&self) -> StatusCode {
        match self {
            Self::NotFound(_) => StatusCode::NOT_FOUND,
            Self::Malformed(_) | Self::Checked(..) => StatusCode::UNPROCESSABLE_ENTITY,
            Self::NotPossible(_) => StatusCode::CONFLICT,
            Self::Forbidden(_) => StatusCode::FORBIDDEN,
            Self::Stale(_) => StatusCode::PRECONDITION_FAILED,
            Self::Unavailable(_) => StatusCode::SERVICE_UNAVAILABLE,
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut more = match &self {
            Self::Checked(_, checks) => json!({ "checks": checks }),
            Self::NotFound(_)
            | Self::Malformed(_)
            | Self::NotPossible(_)
            | Self::Forbidden(_)
            | Self::Stale(_)
            | Self::Unavailable(_) => json!({}),
        };
        more["detail"] = self.to_string().into();
        with(self.status(), more)
    }
}

/// Why there is no other answer, as an answer.
pub struct Refusal(Box<Response>);

impl Refusal {
    pub fn new(status: StatusCode, detail: &str) -> Self {
        Self(Box::new(problem(status, detail)))
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        *self.0
    }
}

impl From<Box<Response>> for Refusal {
    fn from(refusal: Box<Response>) -> Self {
        Self(refusal)
    }
}

impl From<ApiError> for Refusal {
    fn from(trouble: ApiError) -> Self {
        Self(Box::new(trouble.into_response()))
    }
}

impl From<JsonRejection> for Refusal {
    fn from(wrong: JsonRejection) -> Self {
        Self::new(wrong.status(), &wrong.body_text())
    }
}

impl From<QueryRejection> for Refusal {
    fn from(wrong: QueryRejection) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, &wrong.body_text())
    }
}

/// `type` is left out: it is `about:blank` then, and `title` the status's own words (RFC 9457, 4.2.1).
pub fn problem(status: StatusCode, detail: &str) -> Response {
    with(status, json!({ "detail": detail }))
}

fn with(status: StatusCode, mut body: Value) -> Response {
    body["title"] = status.canonical_reason().unwrap_or("Error").into();
    body["status"] = status.as_u16().into();
    (status, [(header::CONTENT_TYPE, "application/problem+json")], body.to_string()).into_response()
}
