//! The same requests through a hub of ours (docs/hub.md). It sends what has one key once, so that a request whose answer was lost
//! on the way is asked again under its key, which nobody may do with Meta; and it has the webhooks for this site.

use std::future::Future;
use std::time::Duration;

use bytes::Bytes;
use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderName};
use hyper::{Method, StatusCode};
use serde::Deserialize;

use super::client::{Client, Endpoint, Exchanged, judge, retry_after, whole};
use super::prepare::PreparedRequest;
use crate::ids::StoreTag;
use crate::outbox::retry_policy::{ApiAnswer, Class, Refusal};
use crate::time::SystemClock;

const KEY: HeaderName = HeaderName::from_static("bellwire-key");
const SEVERITY: HeaderName = HeaderName::from_static("bellwire-severity");
/// Seconds since the first time: a hub that began the key longer ago has ended.
const WAITED: HeaderName = HeaderName::from_static("bellwire-waited");
/// On each answer of the hub's own; without it, it is some proxy's.
const HUB: &str = "bellwire-hub";
/// Its value where Meta was not asked and will not be.
const REFUSED: &str = "refused";
/// After each lost answer, and then as the last. A hub knows after 35 s whether the one that had it has ended; a hub that is
/// started again is back within a minute.
const PAUSES: [u64; 4] = [1, 2, 4, 8];
const GIVEN_UP_AFTER: Duration = Duration::from_secs(90);

/// What a hub has for this site.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
pub struct Fetched {
    /// Where it ends: to be kept with it, and asked with next.
    pub cursor: String,
    pub webhooks: Vec<SignedWebhook>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct SignedWebhook {
    pub body: String,
    pub signature: String,
}

/// What one exchange with the hub tells of the message.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Hop {
    /// Final, whatever came before.
    Settled(ApiAnswer),
    /// This one did not leave; one before may have.
    NotSent(ApiAnswer),
    /// It is being sent, or nobody knows: ask again.
    Unclear(ApiAnswer),
}

/// The way to a hub, and the time that passes on it. A simulation has its own.
pub trait HubLine: Clone + Send + Sync + 'static {
    /// One request, and the answer as it came.
    fn exchange(
        &self,
        method: Method,
        endpoint: &Endpoint,
        path: &str,
        headers: Vec<(HeaderName, String)>,
        body: Bytes,
    ) -> impl Future<Output = Exchanged> + Send;
    /// By a clock that nobody sets.
    fn time(&self) -> Duration;
    fn pause(&self, how_long: Duration) -> impl Future<Output = ()> + Send;
}

impl HubLine for Client {
    async fn exchange(
        &self,
        method: Method,
        endpoint: &Endpoint,
        path: &str,
        headers: Vec<(HeaderName, String)>,
        body: Bytes,
    ) -> Exchanged {
        self.call_with(method, endpoint, path, headers, whole(body)).await
    }

    fn time(&self) -> Duration {
        SystemClock.both().steady
    }

    async fn pause(&self, how_long: Duration) {
        tokio::time::sleep(how_long).await;
    }
}

/// Sends one message, and asks again under its key while it is not clear what became of it.
pub async fn send(line: &impl HubLine, endpoint: &Endpoint, request: PreparedRequest) -> ApiAnswer {
    let path = format!("{}/messages", endpoint.phone_number_id);
    let body = Bytes::from(request.body);
    let began = line.time();
    let elapsed = || line.time().saturating_sub(began);
    let mut pauses = PAUSES.into_iter();
    let (mut pause, mut is_clear) = (PAUSES[0], true);
    loop {
        let headers = vec![
            (CONTENT_TYPE, "application/json".to_owned()),
            (KEY, request.key.clone()),
            (SEVERITY, request.severity.as_str().to_owned()),
            (WAITED, elapsed().as_secs().to_string()),
        ];
        let answer = line.exchange(Method::POST, endpoint, &path, headers, body.clone()).await;
        let unclear = match read(answer) {
            Hop::Settled(answer) => return answer,
            Hop::NotSent(answer) if is_clear => return answer,
            Hop::NotSent(answer) => lost(&answer),
            Hop::Unclear(answer) => answer,
        };
        is_clear = false;
        pause = pauses.next().unwrap_or(pause);
        if elapsed() + Duration::from_secs(pause) > GIVEN_UP_AFTER {
            return unclear;
        }
        line.pause(Duration::from_secs(pause)).await;
    }
}

/// What the hub has behind the cursor; `None`: nothing came within half a minute. An error is a sentence. The store's tag says
/// whose the receipts of its messages are, also of those that left before there was a hub. The backlog is how many messages
/// wait here, and for how many seconds the oldest does.
pub async fn fetch_webhooks(
    line: &impl HubLine,
    endpoint: &Endpoint,
    tag: &StoreTag,
    cursor: Option<&str>,
    (waiting, oldest): (u64, u64),
) -> Result<Option<Fetched>, String> {
    let endpoint = Endpoint { api_version: "hub/v1".to_owned(), ..endpoint.clone() };
    let after = cursor.map(|cursor| format!("&after={cursor}")).unwrap_or_default();
    let path = format!("webhooks?store={}&waiting={waiting}&oldest={oldest}{after}", tag.own);
    let answer = line.exchange(Method::GET, &endpoint, &path, Vec::new(), Bytes::new()).await;
    let (status, headers, body) = answer.map_err(|answer| answer.in_words())?;
    match status {
        _ if said(&headers).is_none() => Err(not_now(status, &headers, &body)),
        StatusCode::NO_CONTENT => Ok(None),
        StatusCode::OK => serde_json::from_slice(&body)
            .map(Some)
            .map_err(|error| format!("the hub's answer cannot be read ({error}); is it of a newer version?")),
        _ => Err(not_now(status, &headers, &body)),
    }
}

/// Tells the hub whom it has to forget; it has when this is `Ok`. An error is a sentence.
pub async fn erase_at_hub(line: &impl HubLine, endpoint: &Endpoint, body: String) -> Result<(), String> {
    let endpoint = Endpoint { api_version: "hub/v1".to_owned(), ..endpoint.clone() };
    let headers = vec![(CONTENT_TYPE, "application/json".to_owned())];
    let answer = line.exchange(Method::POST, &endpoint, "erase", headers, Bytes::from(body)).await;
    let (status, headers, body) = answer.map_err(|answer| answer.in_words())?;
    match status {
        StatusCode::OK if said(&headers).is_some() => Ok(()),
        StatusCode::NOT_FOUND => Err("it is too old to forget somebody; it needs an update".to_owned()),
        _ => Err(not_now(status, &headers, &body)),
    }
}

/// Why the hub, or whatever answered in its place, did not do what it was asked.
fn not_now(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> String {
    match said(headers) {
        Some(REFUSED) => refused_by_hub(status, headers, body).in_words(),
        Some(_) => format!("the hub cannot answer now: {}", String::from_utf8_lossy(body).trim()),
        None => format!("the answer is not the hub's, HTTP {status}"),
    }
}

fn read(answer: Exchanged) -> Hop {
    let (status, headers, body) = match answer {
        Ok(answer) => answer,
        Err(unsent @ (ApiAnswer::Offline(_) | ApiAnswer::NotAsked(_))) => return Hop::NotSent(unsent),
        Err(answer) => return Hop::Unclear(answer),
    };
    match said(&headers) {
        Some(word @ ("again" | "later")) => Hop::NotSent(ApiAnswer::Refused(Refusal {
            code: 429,
            // `later` concerns this message alone.
            class: if word == "later" { Class::Limit } else { Class::HubThrottle },
            details: String::from_utf8_lossy(&body).trim().to_owned(),
            fbtrace_id: None,
            http_status: Some(429),
            advice: String::new(),
            retry_after: retry_after(&headers),
        })),
        Some("wait") => Hop::Unclear(unclear("the hub is still at it")),
        Some("unknown") => Hop::Settled(unclear(String::from_utf8_lossy(&body).trim())),
        Some(REFUSED) => Hop::Settled(refused_by_hub(status, &headers, &body)),
        Some(_) => Hop::Settled(judge(status, &headers, &body)),
        // A proxy's, or a captive portal's.
        None => match judge(status, &headers, &body) {
            unsent @ (ApiAnswer::Offline(_) | ApiAnswer::NotAsked(_)) => Hop::NotSent(unsent),
            answer @ (ApiAnswer::Accepted(_) | ApiAnswer::Refused(_)) => Hop::Unclear(lost(&answer)),
            answer @ ApiAnswer::Ambiguous { .. } => Hop::Unclear(answer),
        },
    }
}

fn said(headers: &HeaderMap) -> Option<&str> {
    headers.get(HUB).and_then(|value| value.to_str().ok())
}

/// Written as Meta writes it, so that its code decides what follows; what to do is in the hub's own sentence, not in Meta's table.
fn refused_by_hub(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> ApiAnswer {
    match judge(status, headers, body) {
        ApiAnswer::Refused(refusal) => ApiAnswer::Refused(Refusal { advice: String::new(), ..refusal }),
        answer @ (ApiAnswer::Accepted(_)
        | ApiAnswer::Offline(_)
        | ApiAnswer::NotAsked(_)
        | ApiAnswer::Ambiguous { .. }) => answer,
    }
}

fn lost(answer: &ApiAnswer) -> ApiAnswer {
    unclear(&format!("an answer of the hub's was lost, and then: {}", answer.in_words()))
}

fn unclear(what: &str) -> ApiAnswer {
    ApiAnswer::Ambiguous { detail: what.to_owned(), http_status: None, fbtrace_id: None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outbox::api_error::{for_a_person, sentence};

    fn hop(status: u16, hub: Option<&'static str>, body: &'static str) -> Hop {
        let mut headers = HeaderMap::new();
        hub.map(|hub| headers.insert(HUB, hub.parse().expect("a value")));
        read(Ok((StatusCode::from_u16(status).expect("a status"), headers, Bytes::from(body))))
    }

    #[test]
    fn only_what_the_hub_says_itself_settles_a_message() {
        let taken = r#"{"messages":[{"id":"wamid.1"}]}"#;
        assert!(matches!(hop(200, Some("answer"), taken), Hop::Settled(ApiAnswer::Accepted(_))));
        assert!(matches!(
            hop(400, Some("refused"), r#"{"error":{"code":190}}"#),
            Hop::Settled(ApiAnswer::Refused(_))
        ));
        assert!(matches!(hop(504, Some("unknown"), "x"), Hop::Settled(ApiAnswer::Ambiguous { .. })));
        assert!(matches!(hop(409, Some("wait"), ""), Hop::Unclear(_)));
        assert!(matches!(hop(200, None, taken), Hop::Unclear(_)), "no hub of ours said so");
        for status in [500, 502, 504] {
            assert!(matches!(hop(status, None, "<html>"), Hop::Unclear(_)), "a proxy's {status}");
        }
        assert!(
            matches!(hop(302, None, "log in"), Hop::NotSent(ApiAnswer::Offline(_))),
            "a captive portal's"
        );
        let offline = read(Err(ApiAnswer::Offline("no line".into())));
        assert_eq!(offline, Hop::NotSent(ApiAnswer::Offline("no line".into())));
    }

    #[test]
    fn a_hub_refusal_keeps_its_own_words() {
        let revoked =
            r#"{"error":{"code":190,"error_data":{"details":"it was revoked; enrol the site again"}}}"#;
        let Hop::Settled(ApiAnswer::Refused(refusal)) = hop(401, Some("refused"), revoked) else {
            panic!("it is final")
        };
        assert_eq!(refusal.class, Class::Auth, "the number waits until a person has done it");
        assert_eq!(sentence(&refusal), "the hub refused it: it was revoked; enrol the site again");
        assert_eq!(
            for_a_person(&refusal).as_deref(),
            Some(
                "sending has stopped, and what waits is kept. The hub refused it: it was revoked; enrol the site again"
            )
        );
    }

    #[test]
    fn a_busy_hub_is_a_hub_throttle() {
        let Hop::NotSent(ApiAnswer::Refused(refusal)) = hop(429, Some("again"), "too much\n") else {
            panic!("nothing was sent")
        };
        assert_eq!((refusal.class, refusal.details.as_str()), (Class::HubThrottle, "too much"));
        let Hop::NotSent(ApiAnswer::Refused(refusal)) = hop(429, Some("later"), "so many people\n") else {
            panic!("nothing was sent")
        };
        assert_eq!(refusal.class, Class::Limit, "this message alone");
    }
}
