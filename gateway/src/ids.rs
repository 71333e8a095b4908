//! The newtypes that keep one kind of number from being taken for another.

use std::fmt;

macro_rules! row_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub i64);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

row_id!(/// An accepted event's row.
    EventId);
row_id!(/// An alert's row.
    AlertId);
row_id!(/// An outgoing message's row in the outbox.
    MessageId);
row_id!(/// A stored webhook body's row in the inbox.
    InboxId);
row_id!(/// A command's row.
    CommandId);

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub String);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                Self(text.to_owned())
            }
        }
    };
}

text_id!(/// A contact's id in the configuration, for example `nino`.
    ContactId);
text_id!(/// A connection's name in the configuration, for example `main`.
    ConnectionName);
text_id!(/// A rule's name in the configuration.
    RuleName);
text_id!(/// WhatsApp's id of a message: opaque, of no fixed length (Meta, Messages API).
    Wamid);

/// Marks what one store has sent, so that a status meant for an earlier database (same row ids) is not taken for
/// one of ours. Eight lower-case hex digits, drawn once when the store is created.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreTag(pub String);

impl StoreTag {
    /// What goes out as `biz_opaque_callback_data` (at most 512 characters, Meta) and comes back in each status.
    #[must_use]
    pub fn callback(&self, id: MessageId) -> String {
        format!("bellwire/{}/{}", self.0, id.0)
    }

    /// The row that a status speaks of, if this store sent it.
    #[must_use]
    pub fn read_callback(&self, data: &str) -> Option<MessageId> {
        let id = data.strip_prefix("bellwire/")?.strip_prefix(self.0.as_str())?.strip_prefix('/')?;
        id.parse().ok().map(MessageId)
    }

    /// The row "Read on" under a message whose text did not fit.
    #[must_use]
    pub fn more(&self, id: MessageId) -> String {
        format!("bellwire/{}/more/{}", self.0, id.0)
    }

    /// The message that is to be read on.
    #[must_use]
    pub fn read_more(&self, data: &str) -> Option<MessageId> {
        let id = data.strip_prefix("bellwire/")?.strip_prefix(self.0.as_str())?.strip_prefix("/more/")?;
        id.parse().ok().map(MessageId)
    }

    /// A command's stable id on the wire, by which a device can recognise a repetition.
    #[must_use]
    pub fn command(&self, id: CommandId) -> String {
        format!("{}-{}", self.0, id.0)
    }
}

/// By which two texts are the same. Not stable between versions of Rust: then a message may be said once too often.
#[must_use]
pub fn fingerprint(text: &str) -> u64 {
    let mut hasher = std::hash::DefaultHasher::new();
    std::hash::Hash::hash(text, &mut hasher);
    std::hash::Hasher::finish(&hasher)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_callback_comes_back_only_to_the_store_that_sent_it() {
        let ours = StoreTag("0badcafe".into());
        let data = ours.callback(MessageId(42));
        assert_eq!(data, "bellwire/0badcafe/42");
        assert_eq!(ours.read_callback(&data), Some(MessageId(42)));
        assert_eq!(StoreTag("deadbeef".into()).read_callback(&data), None);
        assert_eq!(ours.read_callback("bellwire/0badcafe/"), None);
        assert_eq!(ours.read_callback("somebody else's"), None);
        assert_eq!(ours.read_callback(&ours.more(MessageId(42))), None);
        assert_eq!(ours.read_more(&ours.more(MessageId(42))), Some(MessageId(42)));
    }
}
