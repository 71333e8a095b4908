//! What one message to one person says, before it has Meta's form.

use serde::{Deserialize, Serialize};

/// Stored with the message's row, so that a restart or a later version sends the same words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Content {
    pub text: String,
    /// Reply buttons, at most three. With buttons it goes out as `interactive`, without as `text`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub buttons: Vec<Button>,
    /// The message that this one answers; WhatsApp shows it quoted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quotes: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Button {
    /// Comes back in the tap; at most 256 characters (Meta, Interactive reply buttons).
    pub id: String,
    /// At most 20 characters.
    pub title: String,
}
