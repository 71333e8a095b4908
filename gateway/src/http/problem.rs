//! Errors as RFC 9457 problem details: what the client may know. The log was told the rest where it happened.

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

/// `type` is left out: it is `about:blank` then, and `title` the status's own words (RFC 9457, 4.2.1).
pub fn problem(status: StatusCode, detail: &str) -> Response {
    with(status, json!({ "detail": detail }))
}

fn with(status: StatusCode, mut body: Value) -> Response {
    body["title"] = status.canonical_reason().unwrap_or("Error").into();
    body["status"] = status.as_u16().into();
    (status, [(header::CONTENT_TYPE, "application/problem+json")], body.to_string()).into_response()
}
