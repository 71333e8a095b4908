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

/// What an id on the wire counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Counted {
    Message,
    Alert,
    Request,
    Question,
    Command,
}

/// The newest ids of a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct NewestIds {
    pub message: i64,
    pub alert: i64,
    pub request: i64,
    pub question: i64,
    pub command: i64,
}

impl NewestIds {
    fn of(&self, what: Counted) -> i64 {
        match what {
            Counted::Message => self.message,
            Counted::Alert => self.alert,
            Counted::Request => self.request,
            Counted::Question => self.question,
            Counted::Command => self.command,
        }
    }
}

/// The tag of the copy that a restored store was made from. What that one wrote later has ids that are others' here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EarlierTag {
    pub tag: String,
    pub up_to: NewestIds,
}

/// Marks what one store has sent, so that a status meant for an earlier database (same row ids) is not taken for
/// one of ours. Eight lower-case hex digits, drawn once when the store is created, and anew when it is restored: then what the
/// earlier copy sent until its backup is ours as well, and what it sent after it is not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreTag {
    pub own: String,
    pub earlier: Vec<EarlierTag>,
}

impl StoreTag {
    /// Of a store that was never restored.
    #[must_use]
    pub fn new(own: impl Into<String>) -> Self {
        Self { own: own.into(), earlier: Vec::new() }
    }

    /// Whether this store wrote that id.
    #[must_use]
    pub fn wrote(&self, tag: &str, what: Counted, id: i64) -> bool {
        let wrote = |earlier: &EarlierTag| earlier.tag == tag && id <= earlier.up_to.of(what);
        tag == self.own || self.earlier.iter().any(wrote)
    }

    /// What goes out as `biz_opaque_callback_data` (at most 512 characters, Meta) and comes back in each status.
    #[must_use]
    pub fn callback(&self, id: MessageId) -> String {
        format!("bellwire/{}/{}", self.own, id.0)
    }

    /// The row that a status speaks of, if this store sent it.
    #[must_use]
    pub fn read_callback(&self, data: &str) -> Option<MessageId> {
        let (tag, id) = data.strip_prefix("bellwire/")?.split_once('/')?;
        self.read(tag, Counted::Message, id).map(MessageId)
    }

    /// The row "Read on" under a message whose text did not fit.
    #[must_use]
    pub fn more(&self, id: MessageId) -> String {
        format!("bellwire/{}/more/{}", self.own, id.0)
    }

    /// The message that is to be read on.
    #[must_use]
    pub fn read_more(&self, data: &str) -> Option<MessageId> {
        let (tag, id) = data.strip_prefix("bellwire/")?.split_once("/more/")?;
        self.read(tag, Counted::Message, id).map(MessageId)
    }

    /// A command's stable id on the wire, by which a device can recognise a repetition.
    #[must_use]
    pub fn command(&self, id: CommandId) -> String {
        format!("{}-{}", self.own, id.0)
    }

    /// The command that a device answers.
    #[must_use]
    pub fn read_command(&self, data: &str) -> Option<CommandId> {
        let (tag, id) = data.split_once('-')?;
        self.read(tag, Counted::Command, id).map(CommandId)
    }

    fn read(&self, tag: &str, what: Counted, id: &str) -> Option<i64> {
        id.parse().ok().filter(|id| self.wrote(tag, what, *id))
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
    fn only_the_sending_store_reads_a_callback() {
        let ours = StoreTag::new("0badcafe");
        let data = ours.callback(MessageId(42));
        assert_eq!(data, "bellwire/0badcafe/42");
        assert_eq!(ours.read_callback(&data), Some(MessageId(42)));
        assert_eq!(StoreTag::new("deadbeef").read_callback(&data), None);
        assert_eq!(ours.read_callback("bellwire/0badcafe/"), None);
        assert_eq!(ours.read_callback("somebody else's"), None);
        assert_eq!(ours.read_callback(&ours.more(MessageId(42))), None);
        assert_eq!(ours.read_more(&ours.more(MessageId(42))), Some(MessageId(42)));
        assert_eq!(ours.read_command(&ours.command(CommandId(7))), Some(CommandId(7)));
    }

    #[test]
    fn identifiers_newer_than_the_backup_belong_to_the_other_copy() {
        let earlier = StoreTag::new("0badcafe");
        let up_to = NewestIds { message: 42, command: 7, ..NewestIds::default() };
        let restored = StoreTag {
            own: "deadbeef".into(),
            earlier: vec![EarlierTag { tag: earlier.own.clone(), up_to }],
        };
        let read = |id| restored.read_callback(&earlier.callback(MessageId(id)));
        assert_eq!((read(42), read(43)), (Some(MessageId(42)), None));
        assert_eq!(restored.read_more(&earlier.more(MessageId(43))), None);
        let command = |id| restored.read_command(&earlier.command(CommandId(id)));
        assert_eq!((command(7), command(8)), (Some(CommandId(7)), None));
        assert_eq!(restored.read_callback(&restored.callback(MessageId(43))), Some(MessageId(43)));
        assert!(!restored.wrote("0badcafe", Counted::Alert, 1));
    }
}
