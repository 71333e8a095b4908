//! Everything that programs may ask for. The router is made of this list and the guard takes the scopes from it; what each takes
//! and answers is said in `admin/api_description.rs`, of which `assets/openapi.json` is made.

use axum::http::Method;
use axum::routing::MethodFilter;

use crate::http::admin_port::Scope;

macro_rules! endpoints {
    ($(#[doc = $summary:literal] $name:ident: $method:ident $path:literal $($scope:ident)?,)+) => {
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Endpoint {
            $(#[doc = $summary] $name,)+
        }

        impl Endpoint {
            pub const ALL: &[Self] = &[$(Self::$name,)+];

            pub fn path(self) -> &'static str {
                match self {
                    $(Self::$name => $path,)+
                }
            }

            pub fn method(self) -> MethodFilter {
                match self {
                    $(Self::$name => MethodFilter::$method,)+
                }
            }

            /// For `openapi.json`: its method and what it is for.
            #[cfg(test)]
            pub fn said(self) -> (&'static str, &'static str) {
                match self {
                    $(Self::$name => (stringify!($method), $summary.trim_ascii_start()),)+
                }
            }

            /// What a token must be allowed; `None`: every token has it.
            pub fn scope(self) -> Option<Scope> {
                let scope: &[Scope] = match self {
                    $(Self::$name => &[$(Scope::$scope)?],)+
                };
                scope.first().copied()
            }
        }
    };
}

endpoints! {
    /// This document
    Openapi: GET "/api/openapi.json",
    /// What is connected, what fires, what waits, the last 24 hours
    Overview: GET "/api/overview" Read,
    /// Messages in both directions
    Messages: GET "/api/messages" Read,
    /// A message with its event, attempts and receipts
    Message: GET "/api/messages/{id}" Read,
    /// Send it now, hold it, or give it up
    Decide: POST "/api/outbox/{id}/{action}" Act,
    /// Send what is held since a backup was restored
    Release: POST "/api/outbox/release" Act,
    /// Alerts
    Alerts: GET "/api/alerts" Read,
    /// An alert with its event, messages and commands
    Alert: GET "/api/alerts/{id}" Read,
    /// Take care of an alert that goes on, end it, or silence it for an hour
    DecideAlert: POST "/api/alerts/{id}/{action}" Act,
    /// Commands to devices
    Commands: GET "/api/commands" Read,
    /// What was changed on the page and through this API
    Audit: GET "/api/audit" Read,
    /// Who asked what of devices, what was confirmed, published and answered: an append-only chain
    Trail: GET "/api/trail" Read,
    /// Whether the whole chain holds, from its first entry
    TrailCheck: GET "/api/trail/check" Read,
    /// What was asked for and needs a Yes or a second person
    Requests: GET "/api/requests" Read,
    /// What machines asked people, with the votes
    Questions: GET "/api/questions" Read,
    /// The latest people who wrote and are no contacts
    Strangers: GET "/api/strangers" Read,
    /// Everybody in the configuration
    Contacts: GET "/api/contacts" Read,
    /// One contact
    Contact: GET "/api/contacts/{id}" Read,
    /// Write to them: at once while their 24-hour window is open, else it is held until they write
    Write: POST "/api/contacts/{id}/messages" Act,
    /// Rules and how often they hit
    Rules: GET "/api/rules" Read,
    /// What an event would lead to; nothing is sent
    Try: POST "/api/rules/try" Read,
    /// Devices that speak docs/device-protocol.md, those heard last first
    Devices: GET "/api/devices" Read,
    /// One device with its newest commands
    Device: GET "/api/devices/{id}" Read,
    /// What Meta counted, by month and category
    Usage: GET "/api/usage" Read,
    /// What is still to do, in order
    Setup: GET "/api/whatsapp/setup" Read,
    /// Hand in an event, as a publish on the topic would
    Event: POST "/api/events" Events,
    /// WhatsApp numbers: secrets (whether they are there), facts, templates, notices
    Connections: GET "/api/connections" Read,
    /// Connect a number: its credentials are checked with Meta, then kept sealed
    ConnectNew: POST "/api/connections" Manage,
    /// One connection
    Connection: GET "/api/connections/{name}" Read,
    /// Change a number that was connected here; what is left out stays, and all of it is checked with Meta first
    ChangeConnection: PATCH "/api/connections/{name}" Manage,
    /// Forget a number that was connected here; what it sent stays
    DeleteConnection: DELETE "/api/connections/{name}" Manage,
    /// Ask Meta now: token, scopes, number, quality, tier, subscription
    CheckConnection: POST "/api/connections/{name}/check" Manage,
    /// All connections, and what keeps the gateway from accepting
    Status: GET "/api/whatsapp/status" Read,
    /// The same as a POST to /api/connections, for a number that is new or not
    WhatsappConnect: POST "/api/whatsapp/connect" Manage,
    /// Stop sending over a number and wipe its token; messages wait, the history stays
    WhatsappDisconnect: POST "/api/whatsapp/disconnect" Manage,
    /// Tokens of programs: what each may, when it was used last, when it ends
    Tokens: GET "/api/tokens" Manage,
    /// Take a token back: it is refused from now on
    RevokeToken: POST "/api/tokens/{id}/revoke" Manage,
    /// Browsers that are logged in
    Sessions: GET "/api/sessions" Manage,
    /// Log a browser out
    EndSession: POST "/api/sessions/{id}/end" Manage,
    /// The configuration file, its problems, and its versions
    Configuration: GET "/api/configuration" Configure,
    /// Save another text as the configuration file; the gateway takes it over
    ReplaceConfiguration: PUT "/api/configuration" Configure,
    /// What is wrong with a text, and what it would change; nothing is saved
    CheckConfiguration: POST "/api/configuration/check" Configure,
}

impl Endpoint {
    /// What the router found at this address; `HEAD` is a `GET` without its body.
    pub fn at(method: &Method, path: &str) -> Option<Self> {
        let method = if method == Method::HEAD { Method::GET } else { method.clone() };
        let method = MethodFilter::try_from(method).ok()?;
        Self::ALL.iter().copied().find(|one| one.path() == path && one.method() == method)
    }
}
