//! Meta's error form (docs/cloud-api.md 4.1), and the code, title and HTTP status of each error that the simulator gives by itself
//! (docs/cloud-api.md 4.2).

use serde_json::{Value, json};

/// What Meta answers instead of doing it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    pub code: i64,
    pub subcode: Option<i64>,
    pub details: String,
}

impl Refusal {
    pub fn new(code: i64, details: impl Into<String>) -> Self {
        Self { code, subcode: None, details: details.into() }
    }

    /// An object that is not there, or not of the kind that is asked for: code 100 with subcode 33.
    pub fn no_object(id: &str) -> Self {
        Self {
            code: 100,
            subcode: Some(33),
            details: format!(
                "Object with ID '{id}' does not exist, cannot be loaded due to missing permissions, or does not support this operation."
            ),
        }
    }

    pub fn status(&self) -> u16 {
        match self.code {
            0 | 102 | 104 | 190 => 401,
            10 | 200 | 368 | 131_005 | 131_031 => 403,
            132_001 => 404,
            _ => 400,
        }
    }

    pub fn body(&self, trace: &str) -> Value {
        // Graph's own words for an object or a call that is not there stand in the message itself.
        let title = title(self.code).filter(|_| self.subcode != Some(33)).unwrap_or(&self.details);
        let mut error = json!({
            "message": format!("(#{}) {title}", self.code), "type": "OAuthException", "code": self.code,
            "error_data": { "messaging_product": "whatsapp", "details": self.details }, "fbtrace_id": trace,
        });
        if let Some(subcode) = self.subcode {
            error["error_subcode"] = json!(subcode);
        }
        if self.subcode == Some(33) {
            error["type"] = json!("GraphMethodException");
        }
        json!({ "error": error })
    }

    /// As it stands in `statuses[].errors` and `messages[].errors`.
    pub fn in_webhook(&self) -> Value {
        let title = title(self.code).unwrap_or(&self.details);
        json!([{ "code": self.code, "title": title, "message": title, "error_data": { "details": self.details },
                 "href": "/documentation/business-messaging/whatsapp/support/error-codes" }])
    }
}

/// Meta's titles, as in its error page of 2026-09-11.
fn title(code: i64) -> Option<&'static str> {
    let title = match code {
        0 => "AuthException",
        4 => "Application request limit reached",
        33 => "Parameter value is not valid",
        100 => "Invalid parameter",
        190 => "Error validating access token",
        2_200 => "Callback verification failed",
        130_403 => "This user is blocked by the business",
        130_429 => "Rate limit hit",
        131_008 => "Required parameter is missing",
        131_009 => "Parameter value is not valid",
        131_021 => "Recipient cannot be sender",
        131_026 => "Message undeliverable",
        131_047 => "Re-engagement message",
        131_051 => "Message type unknown",
        131_052 => "Media download error",
        131_053 => "Media upload error",
        131_056 => "(Business Account, Consumer Account) pair rate limit hit",
        131_059 => "Invalid pagination cursor",
        131_062 => "Business-scoped User ID (BSUID) recipients are not supported for this message.",
        132_000 => "Number of parameters does not match the expected number of params",
        132_001 => "Template name does not exist in the translation",
        132_005 => "Translated text too long",
        132_007 => "Template format character policy violated",
        132_012 => "Parameter format does not match format in the created template",
        132_015 => "Template is paused",
        132_016 => "Template is disabled",
        132_018 => "Template validation error",
        133_005 => "Two step verification PIN mismatch",
        133_010 => "Phone number not registered",
        139_101 => "Block list limit reached",
        133_016 => "Account register deregister rate limit exceeded",
        _ => return None,
    };
    Some(title)
}
