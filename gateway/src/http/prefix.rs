//! The page under a path of somebody else's, behind a proxy that strips it: Home Assistant's ingress says it in `X-Ingress-Path`
//! (developers.home-assistant.io, "Presenting your app"), others in `X-Forwarded-Prefix`. Only proxies of ours are believed.

use std::net::IpAddr;

use axum::body::{Body, to_bytes};
use axum::http::header::{self, HeaderMap, HeaderValue};
use axum::http::response::Parts;
use axum::response::Response;

use crate::config::Network;

/// Of ingress: 20 and a token of 43 characters.
const PREFIX_MAX_CHARS: usize = 200;
/// The longest list of a page has 0.3 MB.
const PAGE_MAX_BYTES: usize = 8 * 1024 * 1024;
/// Attributes that hold an address of ours. A slash that a template filled in is escaped.
const ADDRESSES: [&str; 4] = ["href=\"", "action=\"", "src=\"", "data-watch=\""];
const SLASHES: [&str; 2] = ["/", "&#x2f;"];

/// Where the page stands for whoever asks, without a slash at the end.
#[derive(Debug, Clone)]
pub struct Prefix {
    path: String,
    /// Home Assistant shows the page in a frame of its own address.
    is_framed: bool,
}

impl Prefix {
    /// What the other end of the connection says, if it is a proxy of ours.
    pub fn of(
        (proxies, ingress): (&[Network], Option<IpAddr>),
        peer: IpAddr,
        headers: &HeaderMap,
    ) -> Option<Self> {
        if ingress == Some(peer.to_canonical()) {
            return Self::read(headers, "x-ingress-path", true);
        }
        let is_proxy = proxies.iter().any(|network| network.contains(peer));
        is_proxy.then(|| Self::read(headers, "x-forwarded-prefix", false)).flatten()
    }

    /// Nothing that could lead to another site or break out of an attribute.
    fn read(headers: &HeaderMap, name: &str, is_framed: bool) -> Option<Self> {
        let path = headers.get(name)?.to_str().ok()?.trim_end_matches('/');
        let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '-' | '_' | '.' | '~');
        let good = path.starts_with('/') && !path.starts_with("//") && path.chars().all(is_plain);
        (good && path.len() <= PREFIX_MAX_CHARS).then(|| Self { path: path.to_owned(), is_framed })
    }

    pub fn is_framed(&self) -> bool {
        self.is_framed
    }

    /// The answer with its addresses below the prefix.
    pub async fn apply(&self, response: Response) -> Response {
        let (mut parts, body) = response.into_parts();
        self.redirect(&mut parts);
        let is_page = parts
            .headers
            .get(header::CONTENT_TYPE)
            .is_some_and(|kind| kind.as_bytes().starts_with(b"text/html"));
        if !is_page {
            return Response::from_parts(parts, body);
        }
        let Ok(page) = to_bytes(body, PAGE_MAX_BYTES).await else {
            return super::problem::problem(
                axum::http::StatusCode::INTERNAL_SERVER_ERROR,
                "the page is too long for a proxy; ask for a shorter list",
            );
        };
        parts.headers.remove(header::CONTENT_LENGTH);
        Response::from_parts(parts, Body::from(self.below(&String::from_utf8_lossy(&page))))
    }

    fn redirect(&self, parts: &mut Parts) {
        let target = parts.headers.get(header::LOCATION).and_then(|to| to.to_str().ok());
        let below = target.filter(|to| to.starts_with('/')).map(|to| format!("{}{to}", self.path));
        if let Some(Ok(below)) = below.map(HeaderValue::try_from) {
            parts.headers.insert(header::LOCATION, below);
        }
    }

    fn below(&self, page: &str) -> String {
        let mut page = page.to_owned();
        for attribute in ADDRESSES {
            for slash in SLASHES {
                page =
                    page.replace(&format!("{attribute}{slash}"), &format!("{attribute}{}{slash}", self.path));
            }
        }
        page
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(value: &str) -> Option<Prefix> {
        let mut headers = HeaderMap::new();
        headers.insert("x-forwarded-prefix", HeaderValue::try_from(value).expect("a header"));
        Prefix::read(&headers, "x-forwarded-prefix", false)
    }

    #[test]
    fn addresses_lead_below_the_prefix_and_what_people_typed_stays() {
        let prefix = of("/api/hassio_ingress/a-B_9").expect("a prefix");
        let page = r#"<a href="/alerts"><a href="&#x2f;rules"><form action="/login"><input name="back" value="/alerts">
            <body data-watch="/live"><p>href=&quot;/x</p><a href="https://example.org/">"#;
        let shown = r#"<a href="/api/hassio_ingress/a-B_9/alerts"><a href="/api/hassio_ingress/a-B_9&#x2f;rules"><form action="/api/hassio_ingress/a-B_9/login"><input name="back" value="/alerts">
            <body data-watch="/api/hassio_ingress/a-B_9/live"><p>href=&quot;/x</p><a href="https://example.org/">"#;
        assert_eq!(prefix.below(page), shown);
    }

    #[test]
    fn a_prefix_that_could_lead_elsewhere_is_none() {
        for bad in ["//evil.example", "https://evil.example", "/a\"onload=", "/a b", "relative", "/a<b", "/"]
        {
            assert!(of(bad).is_none(), "{bad}");
        }
        assert!(of(&format!("/{}", "a".repeat(PREFIX_MAX_CHARS))).is_none());
        assert!(of("/bellwire/").is_some_and(|prefix| prefix.path == "/bellwire"));
    }
}
