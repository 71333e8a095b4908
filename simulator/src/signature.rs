//! What Meta signs its webhooks with (docs/cloud-api.md 3.2). Written apart from the gateway's check, so that a mistake there
//! is not repeated here.

use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretString};
use sha2::Sha256;

use crate::encoding::hex;

/// The `X-Hub-Signature-256` of a body.
pub fn sign(app_secret: &SecretString, body: &[u8]) -> String {
    let mac = Hmac::<Sha256>::new_from_slice(app_secret.expose_secret().as_bytes());
    let digest = mac.map(|mac| mac.chain_update(body).finalize().into_bytes().to_vec()).unwrap_or_default();
    format!("sha256={}", hex(&digest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_vector_of_rfc_4231_is_signed_right() {
        let signed = sign(&SecretString::from("Jefe"), b"what do ya want for nothing?");
        assert_eq!(signed, "sha256=5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    }
}
