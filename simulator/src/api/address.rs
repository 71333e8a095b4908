//! How Graph reads an address: a slash at the end says nothing, a path without version means the app's oldest, and the token
//! may stand in the query.

use axum::extract::Query;
use axum::http::uri::PathAndQuery;
use axum::http::{HeaderValue, Request, Uri, header};

/// The oldest version that Meta still answers on 2026-11-29 (v20.0 ended on 2026-09-24).
const OLDEST_VERSION: &str = "v21.0";
/// What is not Graph's: the control interface, and where media are fetched.
const OTHERS: [&str; 2] = ["/_simulator", "/whatsapp_business/"];

/// Brings a request into the form that the routes have.
pub fn bring_into_form<B>(request: &mut Request<B>) {
    if OTHERS.iter().any(|other| request.uri().path().starts_with(other)) {
        return;
    }
    if !request.headers().contains_key(header::AUTHORIZATION)
        && let Some(token) = token(request.uri())
        && let Ok(bearer) = HeaderValue::from_str(&format!("Bearer {token}"))
    {
        request.headers_mut().insert(header::AUTHORIZATION, bearer);
    }
    let path = path(request.uri().path());
    let whole = match request.uri().query() {
        Some(query) => format!("{path}?{query}"),
        None => path,
    };
    let mut parts = request.uri().clone().into_parts();
    parts.path_and_query = PathAndQuery::try_from(whole).ok();
    if let Ok(uri) = Uri::from_parts(parts) {
        *request.uri_mut() = uri;
    }
}

fn token(uri: &Uri) -> Option<String> {
    let Query(pairs) = Query::<Vec<(String, String)>>::try_from_uri(uri).ok()?;
    pairs.into_iter().find(|(key, _)| key == "access_token").map(|(_, token)| token)
}

fn path(path: &str) -> String {
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    let versioned = parts.first().is_some_and(|first| is_version(first));
    let version = if versioned { "" } else { OLDEST_VERSION };
    let parts: Vec<&str> = [version].into_iter().filter(|part| !part.is_empty()).chain(parts).collect();
    format!("/{}", parts.join("/"))
}

/// `v25.0`.
fn is_version(part: &str) -> bool {
    let numbers = part.strip_prefix('v').and_then(|rest| rest.split_once('.'));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    numbers.is_some_and(|(major, minor)| digits(major) && digits(minor))
}

#[cfg(test)]
mod tests {
    use axum::body::Body;

    use super::*;

    #[test]
    fn paths_get_a_version_and_lose_trailing_slashes() {
        for (given, expected) in [
            ("/v25.0/1", "/v25.0/1"),
            ("/v25.0/1/", "/v25.0/1"),
            ("/v25.0//1/messages/", "/v25.0/1/messages"),
            ("/1/block_users", "/v21.0/1/block_users"),
            ("/1", "/v21.0/1"),
            ("/debug_token", "/v21.0/debug_token"),
        ] {
            assert_eq!(path(given), expected);
        }
    }

    #[test]
    fn a_token_in_the_query_is_a_bearer_token() {
        let mut request = Request::get("/1?access_token=a%7Cb&x=1").body(Body::empty()).expect("a request");
        bring_into_form(&mut request);
        assert_eq!(request.headers()[header::AUTHORIZATION], "Bearer a|b");
        assert_eq!(request.uri().to_string(), "/v21.0/1?access_token=a%7Cb&x=1");
    }
}
