//! Passwords, and secrets that are shown once.

use argon2::{Algorithm, Argon2, Block, Params, Version};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::hex::{hex, unhex};
use crate::random::random_bytes;

/// OWASP's argon2id setting with the least memory, 7 MiB and 5 passes: the daemon's own budget is 10 MiB.
const MEMORY_KIB: u32 = 7 * 1024;
const PASSES: u32 = 5;
const HASH_BYTES: usize = 32;
/// NIST SP 800-63B asks for 8 where there is a rate limit, as there is here.
pub const PASSWORD_MIN: usize = 8;
/// Argon2 reads all of it; more is an attack on our time.
pub const PASSWORD_MAX: usize = 256;

/// More than this glibc always takes from the system and gives back to it at once; of less it keeps what was freed once, with
/// holes in it (mallopt(3), `M_MMAP_THRESHOLD`: 32 MiB at most).
const GIVEN_BACK_BYTES: usize = 33 * 1024 * 1024;

/// What one password is hashed in: 7 MiB, of an address range whose rest is never touched and so takes no memory. It is taken
/// and given back by the thread that answers everybody.
pub struct HashMemory(Vec<Block>);

impl HashMemory {
    pub fn new() -> Self {
        let count =
            Params::new(MEMORY_KIB, PASSES, 1, Some(HASH_BYTES)).map_or(0, |params| params.block_count());
        let mut blocks = Vec::with_capacity(count.max(GIVEN_BACK_BYTES / size_of::<Block>()));
        blocks.resize(count, Block::default());
        Self(blocks)
    }
}

/// `argon2id$M$T$SALT$HASH`, in hexadecimal digits. `None` when the machine gives no random bytes.
pub fn hash(password: &str, room: &mut HashMemory) -> Option<String> {
    let salt: [u8; 16] = random_bytes()?;
    let sum = derive(password, &salt, MEMORY_KIB, PASSES, room)?;
    Some(format!("argon2id${MEMORY_KIB}${PASSES}${}${}", hex(&salt), hex(&sum)))
}

/// Whether the password is the one that was hashed.
pub fn verify(password: &str, hashed: &str, room: &mut HashMemory) -> bool {
    let parts: Vec<&str> = hashed.split('$').collect();
    let [_, memory, passes, salt, sum] = parts[..] else { return false };
    let (Ok(memory), Ok(passes), Some(salt)) = (memory.parse(), passes.parse(), unhex(salt)) else {
        return false;
    };
    derive(password, &salt, memory, passes, room).is_some_and(|found| same(&hex(&found), sum))
}

/// A secret to show once: 256 random bits.
pub fn fresh(prefix: &str) -> Option<String> {
    random_bytes::<32>().map(|bytes| format!("{prefix}{}", hex(&bytes)))
}

/// The code of the first visit: 50 bits, in letters and digits that are not taken for each other (Crockford).
pub fn code() -> Option<String> {
    let letters = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
    let code: Vec<u8> = random_bytes::<10>()?.iter().map(|byte| letters[usize::from(byte % 32)]).collect();
    let code = String::from_utf8(code).ok()?;
    Some(format!("{}-{}", &code[..5], &code[5..]))
}

/// How a secret of 256 random bits is kept.
pub fn digest(secret: &str) -> String {
    hex(&Sha256::digest(secret.as_bytes()))
}

/// In a time that does not tell where they differ.
pub fn same(one: &str, other: &str) -> bool {
    one.as_bytes().ct_eq(other.as_bytes()).into()
}

fn derive(
    password: &str,
    salt: &[u8],
    memory: u32,
    passes: u32,
    room: &mut HashMemory,
) -> Option<[u8; HASH_BYTES]> {
    let params = Params::new(memory, passes, 1, Some(HASH_BYTES)).ok()?;
    if room.0.len() < params.block_count() {
        room.0.resize(params.block_count(), Block::default()); // another version's setting
    }
    let mut sum = [0; HASH_BYTES];
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password_into_with_memory(password.as_bytes(), salt, &mut sum, &mut room.0)
        .ok()
        .map(|()| sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_known_again_and_no_other() {
        let mut room = HashMemory::new();
        let hashed = hash("correct horse", &mut room).expect("hashed");
        assert!(hashed.starts_with("argon2id$7168$5$"), "{hashed}");
        assert!(verify("correct horse", &hashed, &mut room));
        assert!(!verify("correct horsE", &hashed, &mut room));
        assert!(!verify("", &hashed, &mut room));
        assert!(!verify("correct horse", "argon2id$x", &mut room));
        assert_ne!(hash("correct horse", &mut room), Some(hashed), "a salt of its own each time");
    }

    #[test]
    fn a_code_has_no_ambiguous_letters() {
        let code = code().expect("a code");
        assert_eq!(code.len(), 11);
        assert!(!code.contains(['I', 'L', 'O', 'U']), "{code}");
    }
}
