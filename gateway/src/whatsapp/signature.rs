//! Webhook signatures and the verification handshake (docs/cloud-api.md 3.1, 3.2).

use hmac::{Hmac, KeyInit, Mac};
use percent_encoding::percent_decode_str;
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};

use crate::hex::{hex, unhex};

/// The answer to Meta's verification request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Handshake {
    /// Send this back as plain text.
    Challenge(String),
    /// 403: it is not our token.
    Wrong,
    /// 400: it is not such a request at all.
    Malformed,
}

/// Whether `X-Hub-Signature-256` is the HMAC of the raw bytes with one of the app secrets. Compared in constant time.
#[must_use]
pub fn verify(secrets: &[SecretString], header: Option<&str>, body: &[u8]) -> bool {
    let Some(claimed) = header.and_then(|header| header.strip_prefix("sha256=")).and_then(unhex) else {
        return false;
    };
    secrets.iter().any(|secret| {
        Hmac::<Sha256>::new_from_slice(secret.expose_secret().as_bytes())
            .is_ok_and(|mac| mac.chain_update(body).verify_slice(&claimed).is_ok())
    })
}

/// The header for a body of ours: what the simulated Cloud API signs with.
#[must_use]
pub fn sign(secret: &SecretString, body: &[u8]) -> String {
    let mac = Hmac::<Sha256>::new_from_slice(secret.expose_secret().as_bytes());
    let digest = mac.map(|mac| mac.chain_update(body).finalize().into_bytes().to_vec()).unwrap_or_default();
    format!("sha256={}", hex(&digest))
}

/// Judges `hub.mode`, `hub.verify_token` and `hub.challenge`.
#[must_use]
pub fn handshake(query: &str, verify_tokens: &[SecretString]) -> Handshake {
    let value = |name: &str| {
        query
            .split('&')
            .filter_map(|pair| pair.split_once('='))
            .find(|(key, _)| *key == name)
            .map(|(_, value)| percent(value))
    };
    let Some(mode) = value("hub.mode") else { return Handshake::Malformed };
    let token = value("hub.verify_token").unwrap_or_default();
    // Digests have one length, so that comparing them tells nothing about where two tokens differ.
    let digest = |text: &str| Sha256::digest(text.as_bytes());
    let ours = verify_tokens.iter().filter(|ours| digest(ours.expose_secret()) == digest(&token)).count() > 0;
    if mode != "subscribe" || token.is_empty() || !ours {
        return Handshake::Wrong;
    }
    value("hub.challenge").map_or(Handshake::Malformed, Handshake::Challenge)
}

fn percent(text: &str) -> String {
    percent_decode_str(&text.replace('+', " ")).decode_utf8_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;
    use serde_json::Value;

    use super::*;

    fn fixture(name: &str) -> Value {
        let path = format!("{}/../tests/fixtures/cloud-api/{name}.json", env!("CARGO_MANIFEST_DIR"));
        serde_json::from_slice(&std::fs::read(path).expect("a fixture")).expect("JSON")
    }

    #[test]
    fn every_signature_vector_is_judged_right() {
        let vectors = fixture("signatures");
        let vectors = vectors["vectors"].as_array().expect("a list");
        assert_eq!(vectors.len(), 18);
        for vector in vectors {
            let secret = SecretString::from(vector["app_secret"].as_str().expect("text"));
            let body = STANDARD.decode(vector["body_base64"].as_str().expect("text")).expect("base64");
            let header = vector["x_hub_signature_256"].as_str();
            let expected = vector["valid"].as_bool().expect("a truth value");
            assert_eq!(verify(&[secret], header, &body), expected, "{}", vector["name"]);
        }
        assert!(!verify(&[SecretString::from("s")], None, b""));
    }

    #[test]
    fn either_of_two_secrets_signs_during_a_rotation() {
        let secrets = [SecretString::from("old"), SecretString::from("new")];
        assert!(verify(&secrets, Some(&sign(&secrets[1], b"body")), b"body"));
        assert!(!verify(&secrets[..1], Some(&sign(&secrets[1], b"body")), b"body"));
    }

    #[test]
    fn query_values_are_decoded_and_invalid_escapes_kept() {
        for (text, expected) in [
            ("a%2Bb+c%20d", "a+b c d"),
            ("%C3%BC", "ü"),
            ("100%", "100%"),
            ("%g1%1", "%g1%1"),
            ("%+1", "% 1"),
            ("%FF", "\u{fffd}"),
        ] {
            assert_eq!(percent(text), expected, "{text}");
        }
    }

    #[test]
    fn every_handshake_is_answered_right() {
        let cases = fixture("handshake");
        let tokens = [SecretString::from("my-verify-token")];
        for case in cases["cases"].as_array().expect("a list") {
            let found = handshake(case["query"].as_str().expect("text"), &tokens);
            let expected = match case["status"].as_u64() {
                Some(200) => Handshake::Challenge(case["body"].as_str().expect("text").to_owned()),
                Some(403) => Handshake::Wrong,
                _ => Handshake::Malformed,
            };
            assert_eq!(found, expected, "{case}");
        }
    }
}
