//! SQLite has no page checksums by default, and one flipped bit in 200 was noticed 8 times (docs/reliability.md E13); so each
//! row that carries content carries this, and is checked when it leaves the store.

use sha2::{Digest, Sha256};

/// Over the parts, each with its length, so that no two splits are alike.
pub fn of(parts: &[&[u8]]) -> Vec<u8> {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_le_bytes());
        hash.update(part);
    }
    hash.finalize()[..8].to_vec()
}
