//! Who is behind a connection: the other end, or whoever a proxy names that we trust.

use std::net::IpAddr;

use axum::http::HeaderMap;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use super::password::{fresh, same};
use super::visitors::client;
use crate::config::Network;
use crate::hex::hex;
use crate::http::cookies::cookie;
use crate::http::rate_limit::Key;

/// A browser that was logged in before; it has tries of its own, which nobody else can use up.
pub const KNOWN_COOKIE: &str = "bellwire_known";
/// Five wrong passwords: a person mistypes.
const TRIES: u32 = 5;
/// Through one proxy that is not trusted: what it says of its visitors may be made up, so all of them together have this many.
const TRIES_OF_PROXY: u32 = 50;

/// The client: the last one in `X-Forwarded-For` that is not a proxy of ours, if the other end is one.
#[must_use]
pub fn address(peer: IpAddr, headers: &HeaderMap, trusted: &[Network]) -> IpAddr {
    let is_trusted = |address: IpAddr| trusted.iter().any(|network| network.contains(address));
    if !is_trusted(peer) {
        return peer;
    }
    let mut before = peer;
    for named in forwarded(headers).into_iter().rev() {
        let Some(named) = named else { break }; // nonsense: whoever passed it on is as far as we know
        before = named;
        if !is_trusted(named) {
            break;
        }
    }
    before
}

/// Each address of `X-Forwarded-For`, `None` where it is none.
fn forwarded(headers: &HeaderMap) -> Vec<Option<IpAddr>> {
    let lines = headers.get_all("x-forwarded-for").into_iter();
    let named = |word: &str| {
        let word = word.trim();
        let bare =
            word.strip_prefix('[').and_then(|rest| rest.split_once(']')).map_or(word, |(inner, _)| inner);
        bare.parse().ok().or_else(|| word.parse::<std::net::SocketAddr>().ok().map(|socket| socket.ip()))
    };
    lines
        .flat_map(|line| line.to_str().unwrap_or_default().split(',').map(named).collect::<Vec<_>>())
        .collect()
}

/// Whose tries a password counts for, and how many are free. `peer` is the other end, `address` who is behind it.
#[must_use]
pub fn keys(peer: IpAddr, address: IpAddr, headers: &HeaderMap, hashed: Option<&str>) -> Vec<(Key, u32)> {
    if let Some(known) = hashed.and_then(|hashed| known(headers, hashed)) {
        return vec![(Key::Known(known), TRIES)];
    }
    match forwarded(headers).last() {
        Some(claimed) if address == peer => {
            let claimed = claimed.map_or(client(peer), client);
            vec![(Key::Claimed(client(peer), claimed), TRIES), (Key::Proxy(client(peer)), TRIES_OF_PROXY)]
        }
        Some(_) | None => vec![(Key::Address(client(address)), TRIES)],
    }
}

/// What a browser gets that has given the right password. It opens nothing, and ends with the password.
#[must_use]
pub fn make_known(hashed: &str) -> Option<String> {
    let word = fresh("")?;
    let sum = sum(&word, hashed)?;
    Some(format!("{word}.{sum}"))
}

fn known(headers: &HeaderMap, hashed: &str) -> Option<String> {
    let (word, claimed) = cookie(headers, KNOWN_COOKIE)?.split_once('.')?;
    same(claimed, &sum(word, hashed)?).then(|| word.to_owned())
}

fn sum(word: &str, hashed: &str) -> Option<String> {
    let mac = Hmac::<Sha256>::new_from_slice(hashed.as_bytes()).ok()?;
    Some(hex(&mac.chain_update(format!("known {word}")).finalize().into_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(lines: &[(&'static str, &str)]) -> HeaderMap {
        lines
            .iter()
            .map(|(name, value)| (name.parse().expect("a name"), value.parse().expect("a value")))
            .collect()
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn a_trusted_proxy_names_the_client_and_nobody_else_does() {
        let trusted =
            [Network::parse("127.0.0.1").expect("one"), Network::parse("10.0.0.0/8").expect("many")];
        for (peer, forwarded, client) in [
            ("192.0.2.1", "198.51.100.7", "192.0.2.1"),
            ("127.0.0.1", "198.51.100.7", "198.51.100.7"),
            ("127.0.0.1", "203.0.113.5, 198.51.100.7", "198.51.100.7"),
            ("127.0.0.1", "203.0.113.5, 198.51.100.7, 10.1.1.1", "198.51.100.7"),
            ("127.0.0.1", "10.2.2.2, 10.1.1.1", "10.2.2.2"),
            ("127.0.0.1", "198.51.100.7, nonsense", "127.0.0.1"),
            ("127.0.0.1", "nonsense, 198.51.100.7", "198.51.100.7"),
            ("127.0.0.1", "[2001:db8::1]:443", "2001:db8::1"),
            ("127.0.0.1", "198.51.100.7:5000", "198.51.100.7"),
        ] {
            let found = address(ip(peer), &headers(&[("x-forwarded-for", forwarded)]), &trusted);
            assert_eq!(found, ip(client), "{peer} {forwarded}");
        }
        assert_eq!(address(ip("127.0.0.1"), &HeaderMap::new(), &trusted), ip("127.0.0.1"));
    }

    #[test]
    fn a_browser_is_known_until_the_password_changes() {
        let cookie = make_known("hash").expect("made");
        let with = |cookie: &str| headers(&[("cookie", &format!("a=b; {KNOWN_COOKIE}={cookie}"))]);
        let at = ip("192.0.2.1");
        let of = |headers: &HeaderMap, hashed| keys(at, at, headers, hashed);
        assert!(matches!(of(&with(&cookie), Some("hash"))[..], [(Key::Known(_), 5)]));
        for (cookie, hashed) in
            [(cookie.as_str(), Some("other")), (&cookie[1..], Some("hash")), (&cookie, None)]
        {
            assert_eq!(of(&with(cookie), hashed), [(Key::Address(at), 5)]);
        }
        let through = headers(&[("x-forwarded-for", "203.0.113.5")]);
        assert_eq!(of(&through, None), [(Key::Claimed(at, ip("203.0.113.5")), 5), (Key::Proxy(at), 50)]);
    }
}
