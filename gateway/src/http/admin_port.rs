//! What the pages and the API ask for and have done; the composition root answers. Answers are JSON: the API hands them
//! out, the pages fill their templates with them.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use secrecy::SecretString;
use serde_json::Value;

use crate::event::topic::TopicPattern;
use crate::time::{Timestamp, parse_duration};
use crate::words::word_enum;

pub type ApiFuture<T> = Pin<Box<dyn Future<Output = Result<T, ApiError>> + Send>>;

/// Answers questions, and does what somebody who may asked for.
pub trait AdminApi: Send + Sync {
    fn ask(&self, question: AdminQuery) -> ApiFuture<Value>;
    /// Does it, and records in the audit that it was done, or why not.
    fn act(&self, action: AdminAction, who: Actor) -> ApiFuture<Value>;
    /// A number that changes when something that a page shows may have changed.
    fn revision(&self) -> ApiFuture<i64>;
}

/// What lets somebody in. Everything here is a hash of what was shown or typed.
pub trait Credentials: Send + Sync {
    fn password(&self) -> ApiFuture<Option<String>>;
    fn set_password(&self, hash: String, who: Actor) -> ApiFuture<()>;
    fn open_session(&self, hash: String, agent: String, who: Actor) -> ApiFuture<()>;
    /// Whether it is the link that opens the page once; it is used up then.
    fn use_link(&self, hash: String) -> ApiFuture<bool>;
    fn has_session(&self, hash: String) -> ApiFuture<bool>;
    fn close_session(&self, hash: String, who: Actor) -> ApiFuture<()>;
    /// One that was not revoked; its end may be over.
    fn token(&self, hash: String) -> ApiFuture<Option<ApiToken>>;
    fn add_token(&self, token: ApiToken, hash: String, who: Actor) -> ApiFuture<i64>;
    /// Somebody knew a wrong password.
    fn refused(&self, who: Actor);
}

#[derive(Debug, Clone)]
pub enum AdminQuery {
    Overview,
    Messages(Filter),
    Message(i64),
    Alerts(Filter),
    Alert(i64),
    Commands(Filter),
    /// Changes on the page and through the API.
    Audit(Filter),
    /// The chained audit: who asked what, and what became of it.
    Trail(Filter),
    /// Whether the whole chain holds.
    TrailCheck,
    /// What needs a Yes or a second person.
    Requests(Filter),
    /// What machines asked.
    Questions(Filter),
    Strangers(Filter),
    /// How many requests and questions are open.
    Waiting,
    Contacts,
    Contact(String),
    Rules,
    Try {
        topic: String,
        payload: String,
        content_type: Option<String>,
    },
    /// What is silenced, and the rules that could be.
    Silences,
    Configuration(ConfigurationQuery),
    Usage,
    Devices,
    Device(String),
    Connections,
    Connection(String),
    Setup,
    Tokens,
    Sessions,
}

#[derive(Debug, Clone)]
pub enum AdminAction {
    Decide(i64, MessageAction),
    /// What is held since a backup was restored.
    Release,
    /// To a contact, in words.
    Write {
        contact: String,
        text: String,
    },
    Event {
        topic: String,
        payload: String,
        content_type: Option<String>,
        key: String,
    },
    RevokeToken(i64),
    /// By the name that the list gives it.
    EndSession(String),
    Alert(i64, AlertAction),
    /// One rule, or all of them, for a while.
    Silence {
        rule: Option<String>,
        lasts: String,
        comment: String,
    },
    EndSilence(u64),
    /// The draft becomes the file.
    Configure(Box<Draft>),
    /// New, or with new values.
    Connect(Box<NewConnection>),
    /// Stops sending, wipes the token, keeps the history.
    Disconnect(String),
    Forget(String),
    /// Asks Meta.
    Check(String),
}

word_enum! {
    /// What somebody decides about a message.
    MessageAction {
        /// It leaves now, whatever it waited for.
        Retry = "retry",
        /// It waits until somebody sends it.
        Hold = "hold",
        /// It never leaves.
        Cancel = "cancel",
    }
}

word_enum! {
    /// What somebody decides about an alert that goes on.
    AlertAction {
        /// Somebody takes care.
        Acknowledge = "acknowledge",
        /// It is over.
        Resolve = "resolve",
        /// Nothing more of it for an hour.
        Silence = "silence",
    }
}

/// A number to connect; what is left out stays as it was. Secrets go in here, and nothing brings them out again.
#[derive(Debug, Clone, Default, serde::Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct NewConnection {
    #[cfg_attr(test, schemars(length(max = 40), regex(pattern = "^[A-Za-z0-9_-]+$")))]
    pub name: String,
    /// Digits; under WhatsApp, API Setup in Meta's dashboard
    pub phone_number_id: Option<String>,
    /// Digits; on the same page
    pub business_account_id: Option<String>,
    /// Write-only
    #[cfg_attr(test, schemars(with = "Option<String>", extend("writeOnly" = true)))]
    pub access_token: Option<SecretString>,
    /// Write-only
    #[cfg_attr(test, schemars(with = "Option<String>", extend("writeOnly" = true)))]
    pub app_secret: Option<SecretString>,
    /// Write-only
    #[cfg_attr(test, schemars(with = "Option<String>", extend("writeOnly" = true)))]
    pub verify_token: Option<SecretString>,
    /// https://graph.facebook.com without it
    pub api_url: Option<String>,
    /// v25.0 without it
    pub api_version: Option<String>,
    #[cfg_attr(test, schemars(range(min = 1, max = 1000)))]
    pub messages_per_second: Option<u32>,
}

#[derive(Debug, Clone)]
pub enum ConfigurationQuery {
    /// The file, and its history.
    File,
    Version(i64),
    /// What is wrong with it, what it changes, what it would do.
    Draft(Box<Draft>),
}

/// A text that may become the configuration. It lives in the browser, or in a program: nothing of it is kept.
#[derive(Debug, Clone, Default)]
pub struct Draft {
    pub text: String,
    /// The fingerprint of the file with which it began.
    pub base: Option<String>,
    pub trial: Option<Trial>,
}

/// What a draft is tried with.
#[derive(Debug, Clone)]
pub enum Trial {
    Event {
        topic: String,
        payload: String,
    },
    /// The events that came in a day.
    LastDay,
}

/// Rows of a list at most.
pub const LIMIT_MAX: u32 = 500;

/// Which rows of a list; the addresses of pages and of the API have the same names.
#[derive(Debug, Clone, Default, serde::Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Filter {
    /// A contact's id.
    pub contact: Option<String>,
    /// Only those in this state.
    pub state: Option<String>,
    /// To people, or from them.
    pub direction: Option<String>,
    /// A rule's name.
    pub rule: Option<String>,
    /// RFC 3339; empty is no bound.
    pub since: Option<String>,
    /// RFC 3339; empty is no bound.
    pub until: Option<String>,
    /// Words in the message.
    pub text: Option<String>,
    /// From an answer's `next`.
    pub cursor: Option<String>,
    /// Rows, 50 unless given.
    pub limit: Option<u32>,
}

/// Who asked, for the audit.
#[derive(Debug, Clone)]
pub struct Actor {
    pub name: String,
    pub address: String,
}

word_enum! {
    /// What a token may.
    Scope {
        /// Look at everything but tokens.
        Read = "read",
        /// Retry, hold, cancel.
        Act = "act",
        /// Hand in events.
        Events = "events",
        /// Connect and disconnect numbers.
        Manage = "manage",
        /// Look at the configuration, and change it.
        Configure = "configure",
    }
}

/// What opens the API to a program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiToken {
    pub name: String,
    pub scopes: Vec<Scope>,
    /// Events are taken on these topics alone: a pattern, as rules have them.
    pub topic: Option<String>,
    pub expires_at: Option<Timestamp>,
}

impl ApiToken {
    /// A year: whoever installed it comes by before.
    pub const LASTS: &str = "365d";

    /// As somebody typed it: an end such as `90d` or `never`, an empty topic for none.
    pub fn new(
        name: &str,
        scopes: Vec<Scope>,
        topic: &str,
        end: &str,
        now: Timestamp,
    ) -> Result<Self, &'static str> {
        let (name, topic) = (name.trim(), Some(topic.trim()).filter(|topic| !topic.is_empty()));
        if name.is_empty() || name.chars().count() > 60 || scopes.is_empty() {
            return Err("A token needs a name of up to 60 characters and at least one thing that it may do.");
        }
        if topic.is_some() && !scopes.contains(&Scope::Events) {
            return Err("A topic is for tokens that may hand in events.");
        }
        if topic.is_some_and(|topic| TopicPattern::parse(topic).is_err()) {
            return Err(
                "The topic is no pattern; write it as rules do: site/{area}/door, site/+/door, site/#.",
            );
        }
        let expires_at = match end {
            "never" => None,
            // It would have ended when the clock is right.
            _ if !now.is_sane() => {
                return Err(
                    "The clock of this machine is not set yet: make the token when it is, or one that never ends.",
                );
            }
            time => match parse_duration(time).filter(|time| !time.is_zero() && *time <= ENDS_MAX) {
                Some(time) => Some(now + time),
                None => return Err("Write when it ends as 30d or 365d, ten years at most, or never."),
            },
        };
        Ok(Self { name: name.to_owned(), scopes, topic: topic.map(str::to_owned), expires_at })
    }
}

/// What is longer is for ever.
const ENDS_MAX: Duration = Duration::from_secs(10 * 366 * 24 * 3_600);

/// Why not: each a sentence with the next step. The status is the answer's.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ApiError {
    #[error("{0}")]
    NotFound(String),
    #[error("{0}")]
    Malformed(String),
    /// Right in itself, but not in the present state.
    #[error("{0}")]
    NotPossible(String),
    /// Meta was asked, and something is wrong: what was looked at, and what to do.
    #[error("{0}")]
    Checked(String, Value),
    /// Not for this one, or not here.
    #[error("{0}")]
    Forbidden(String),
    /// It began with something that is no more.
    #[error("{0}")]
    Stale(String),
    /// Not at the moment; the same may be asked again.
    #[error("{0}")]
    Unavailable(String),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_api_token_is_as_requested_or_explains_why_not() {
        let now = Timestamp(1_795_242_180_000);
        let token =
            |topic: &str, end: &str, now| ApiToken::new(" till ", vec![Scope::Events], topic, end, now);
        let day = Duration::from_secs(24 * 3_600);
        let made = token(" site/{area}/door ", "30d", now).expect("a token");
        assert_eq!((made.name.as_str(), made.topic.as_deref()), ("till", Some("site/{area}/door")));
        assert_eq!(made.expires_at, Some(now + day * 30));
        let made = token("", "never", Timestamp(0)).expect("a token");
        assert_eq!((made.topic, made.expires_at), (None, None));
        for (topic, end, now, why) in [
            ("site/#/x", "30d", now, "no pattern"),
            ("", "", now, "Write when it ends"),
            ("", "0s", now, "Write when it ends"),
            ("", "4000d", now, "ten years"),
            ("", "99999999999999999999d", now, "Write when it ends"),
            ("", "30d", Timestamp(60_000), "clock"),
        ] {
            let refused = token(topic, end, now).expect_err(why);
            assert!(refused.contains(why), "{topic} {end}: {refused}");
        }
        let named = |name: &str, scopes| ApiToken::new(name, scopes, "", "1d", now).is_ok();
        assert!(named("x", vec![Scope::Read]) && !named("x", Vec::new()));
        assert!(!named(" ", vec![Scope::Read]) && !named(&"x".repeat(61), vec![Scope::Read]));
        assert!(
            ApiToken::new("x", vec![Scope::Read], "site/#", "1d", now).is_err(),
            "a topic without events"
        );
        assert!(ApiToken::new("x", vec![Scope::Read], "", ApiToken::LASTS, now).is_ok());
    }
}
