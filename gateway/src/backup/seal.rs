//! A stream sealed with a passphrase: Argon2id makes the key, XChaCha20-Poly1305 seals chunks. Each chunk is bound to its number
//! and to whether it is the last (the STREAM construction, Hoang, Reyhanitabar, Rogaway and Vizár 2015), and to the header.

use std::io::{ErrorKind, Read, Result, Write};

use argon2::{Algorithm, Argon2, Params, Version};
use chacha20poly1305::aead::{AeadInOut, KeyInit};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use hmac::{Hmac, Mac};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::backup::BackupError;
use crate::random::random_bytes;

pub const MAGIC: &[u8; 16] = b"bellwire backup\n";
pub const FORM: u16 = 1;
/// What a guess at the passphrase costs.
#[derive(Debug, Clone, Copy)]
struct Cost {
    memory_kib: u32,
    passes: u32,
}

/// RFC 9106's second choice, for machines with little memory. Whoever has the file may guess as long as they like, other than at
/// the page's password.
const COST: Cost = Cost { memory_kib: 64 * 1024, passes: 3 };
/// A file that asks for more than a small machine has was not written by us.
const MEMORY_KIB_MAX: u32 = 256 * 1024;
const PASSES_MAX: u32 = 16;
/// Of plain text; a chunk is in memory as a whole.
const CHUNK_BYTES: usize = 64 * 1024;
const TAG_BYTES: usize = 16;
const SEALED_BYTES: usize = CHUNK_BYTES + TAG_BYTES;
const SALT_BYTES: usize = 16;
/// What is left of the 24 bytes of a nonce beside the chunk's number, 4 bytes, and whether it is the last.
const NONCE_BYTES: usize = 19;

/// Where each part of the header ends.
const FORM_END: usize = 16 + 2;
const MEMORY_END: usize = FORM_END + 4;
const PASSES_END: usize = MEMORY_END + 4;
const SALT_END: usize = PASSES_END + SALT_BYTES;
const NONCE_END: usize = SALT_END + NONCE_BYTES;
const CHECK_END: usize = NONCE_END + 16;
const HEADER_BYTES: usize = CHECK_END + 8;

/// What seals and opens the chunks of one file.
struct Chunks {
    cipher: XChaCha20Poly1305,
    header: [u8; HEADER_BYTES],
    number: u32,
}

impl Chunks {
    /// The nonce of the next chunk; no file is so long that the numbers end, 256 TiB.
    fn nonce(&mut self, is_last: bool) -> Option<XNonce> {
        let mut nonce = [0; NONCE_BYTES + 5];
        nonce[..NONCE_BYTES].copy_from_slice(&self.header[SALT_END..NONCE_END]);
        nonce[NONCE_BYTES..NONCE_BYTES + 4].copy_from_slice(&self.number.to_be_bytes());
        nonce[NONCE_BYTES + 4] = u8::from(is_last);
        self.number = self.number.checked_add(1)?;
        Some(XNonce::from(nonce))
    }
}

/// The cipher, and the check by which a wrong passphrase is told from damage.
fn derive(passphrase: &str, head: &[u8]) -> std::result::Result<(XChaCha20Poly1305, [u8; 16]), BackupError> {
    let number =
        |at: usize| head[at..at + 4].try_into().map(u32::from_be_bytes).map_err(|_| BackupError::NotOne);
    let (memory, passes) = (number(FORM_END)?, number(MEMORY_END)?);
    if memory > MEMORY_KIB_MAX || passes > PASSES_MAX {
        return Err(BackupError::Damaged("its header asks for more memory or time than any that we write"));
    }
    let params = Params::new(memory, passes, 1, Some(64));
    let params = params.map_err(|_| BackupError::Damaged("its header makes no sense"))?;
    let mut keys = [0; 64];
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password_into(passphrase.as_bytes(), &head[PASSES_END..SALT_END], &mut keys)
        .map_err(|_| BackupError::NoMemory)?;
    let cipher = XChaCha20Poly1305::new_from_slice(&keys[..32]).map_err(|_| BackupError::NoMemory)?;
    let mut mac =
        <Hmac<Sha256> as KeyInit>::new_from_slice(&keys[32..]).map_err(|_| BackupError::NoMemory)?;
    mac.update(&head[..NONCE_END]);
    let mut check = [0; 16];
    check.copy_from_slice(&mac.finalize().into_bytes()[..16]);
    Ok((cipher, check))
}

/// Seals what is written into it; without `finish` the stream has no end, and is refused.
pub struct Sealer<W: Write> {
    to: W,
    chunks: Chunks,
    buffer: Vec<u8>,
}

impl<W: Write> Sealer<W> {
    pub fn new(to: W, passphrase: &str) -> std::result::Result<Self, BackupError> {
        Self::with_cost(to, passphrase, COST)
    }

    fn with_cost(mut to: W, passphrase: &str, cost: Cost) -> std::result::Result<Self, BackupError> {
        let mut header = [0; HEADER_BYTES];
        header[..16].copy_from_slice(MAGIC);
        header[16..FORM_END].copy_from_slice(&FORM.to_be_bytes());
        header[FORM_END..MEMORY_END].copy_from_slice(&cost.memory_kib.to_be_bytes());
        header[MEMORY_END..PASSES_END].copy_from_slice(&cost.passes.to_be_bytes());
        let random: [u8; SALT_BYTES + NONCE_BYTES] = random_bytes().ok_or(BackupError::NoRandomness)?;
        header[PASSES_END..NONCE_END].copy_from_slice(&random);
        let (cipher, check) = derive(passphrase, &header)?;
        header[NONCE_END..CHECK_END].copy_from_slice(&check);
        let sum = Sha256::digest(&header[..CHECK_END]);
        header[CHECK_END..].copy_from_slice(&sum[..8]);
        to.write_all(&header)?;
        Ok(Self {
            to,
            chunks: Chunks { cipher, header, number: 0 },
            buffer: Vec::with_capacity(SEALED_BYTES),
        })
    }

    fn seal(&mut self, is_last: bool) -> Result<()> {
        let Chunks { cipher, header, .. } = &self.chunks;
        let (cipher, header) = (cipher.clone(), *header);
        let nonce = self.chunks.nonce(is_last).ok_or(ErrorKind::FileTooLarge)?;
        let sealed = cipher.encrypt_in_place(&nonce, &header, &mut self.buffer);
        sealed.map_err(|_| std::io::Error::from(ErrorKind::InvalidInput))?;
        self.to.write_all(&self.buffer)?;
        self.buffer.clear();
        Ok(())
    }

    /// The last chunk, and what it was written to.
    pub fn finish(mut self) -> Result<W> {
        self.seal(true)?;
        self.to.flush()?;
        Ok(self.to)
    }
}

impl<W: Write> Write for Sealer<W> {
    fn write(&mut self, bytes: &[u8]) -> Result<usize> {
        if self.buffer.len() == CHUNK_BYTES {
            self.seal(false)?; // more comes, so it is not the last
        }
        let taken = bytes.len().min(CHUNK_BYTES - self.buffer.len());
        self.buffer.extend_from_slice(&bytes[..taken]);
        Ok(taken)
    }

    fn flush(&mut self) -> Result<()> {
        self.to.flush()
    }
}

/// Opens what was sealed. What it hands out is whole; whether all of it came is known when it ends.
pub struct Opener<R: Read> {
    from: R,
    chunks: Chunks,
    /// Sealed, read ahead: the last chunk is known by there being none behind it.
    next: Vec<u8>,
    open: Vec<u8>,
    at: usize,
}

impl<R: Read> Opener<R> {
    pub fn new(mut from: R, passphrase: &str) -> std::result::Result<Self, BackupError> {
        let mut header = [0; HEADER_BYTES];
        let read = read_full(&mut from, &mut header)?;
        if read < FORM_END || header[..16] != *MAGIC {
            return Err(BackupError::NotOne);
        }
        match u16::from_be_bytes([header[16], header[17]]) {
            FORM => {}
            newer if newer > FORM => return Err(BackupError::NewerForm(newer)),
            _ => return Err(BackupError::Damaged("its header")),
        }
        if read < HEADER_BYTES || Sha256::digest(&header[..CHECK_END])[..8] != header[CHECK_END..] {
            return Err(BackupError::Damaged("its header"));
        }
        let (cipher, check) = derive(passphrase, &header)?;
        if !bool::from(check.ct_eq(&header[NONCE_END..CHECK_END])) {
            return Err(BackupError::WrongPassphrase);
        }
        let mut opener = Self {
            from,
            chunks: Chunks { cipher, header, number: 0 },
            next: Vec::new(),
            open: Vec::new(),
            at: 0,
        };
        opener.read_ahead()?;
        if opener.next.is_empty() {
            return Err(BackupError::Damaged("it ends after its header"));
        }
        Ok(opener)
    }

    fn read_ahead(&mut self) -> Result<()> {
        self.next.resize(SEALED_BYTES, 0);
        let read = read_full(&mut self.from, &mut self.next)?;
        self.next.truncate(read);
        Ok(())
    }

    fn open_next(&mut self) -> Result<()> {
        std::mem::swap(&mut self.open, &mut self.next);
        self.read_ahead()?;
        let is_last = self.next.is_empty();
        let nonce = self.chunks.nonce(is_last).ok_or(ErrorKind::FileTooLarge)?;
        let Chunks { cipher, header, .. } = &self.chunks;
        let opened = cipher.decrypt_in_place(&nonce, header, &mut self.open);
        let why = if is_last { "its last part" } else { "a part in its middle" };
        opened.map_err(|_| BackupError::Damaged(why).into_io())?;
        self.at = 0;
        Ok(())
    }
}

impl<R: Read> Read for Opener<R> {
    fn read(&mut self, to: &mut [u8]) -> Result<usize> {
        while self.at == self.open.len() {
            if self.next.is_empty() {
                return Ok(0);
            }
            self.open_next()?;
        }
        let taken = to.len().min(self.open.len() - self.at);
        to[..taken].copy_from_slice(&self.open[self.at..self.at + taken]);
        self.at += taken;
        Ok(taken)
    }
}

/// As much as there is, up to the buffer's length.
fn read_full(from: &mut impl Read, to: &mut [u8]) -> Result<usize> {
    let mut read = 0;
    while read < to.len() {
        match from.read(&mut to[read..]) {
            Ok(0) => break,
            Ok(more) => read += more,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(read)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSPHRASE: &str = "correct horse battery";

    fn sealed(plain: &[u8]) -> Vec<u8> {
        let cheap = Cost { memory_kib: 8, passes: 1 };
        let mut sealer = Sealer::with_cost(Vec::new(), PASSPHRASE, cheap).expect("begun");
        sealer.write_all(plain).expect("written");
        sealer.finish().expect("finished")
    }

    fn opened(bytes: &[u8], passphrase: &str) -> std::result::Result<Vec<u8>, BackupError> {
        let mut plain = Vec::new();
        Opener::new(bytes, passphrase)?.read_to_end(&mut plain).map_err(BackupError::of_io)?;
        Ok(plain)
    }

    #[test]
    fn what_was_sealed_opens_at_every_length() {
        for length in [0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 3 * CHUNK_BYTES] {
            let plain: Vec<u8> = (0..length).map(|at| (at % 251) as u8).collect();
            let sealed = sealed(&plain);
            assert_eq!(opened(&sealed, PASSPHRASE).expect("opened"), plain, "{length}");
            let chunks = length.div_ceil(CHUNK_BYTES).max(1);
            assert_eq!(sealed.len(), HEADER_BYTES + length + chunks * TAG_BYTES);
        }
    }

    #[test]
    fn another_passphrase_is_told_from_damage() {
        let bytes = sealed(b"token");
        assert!(matches!(opened(&bytes, "correct horse batterY"), Err(BackupError::WrongPassphrase)));
        assert!(!bytes.windows(5).any(|part| part == b"token"));
        assert_ne!(bytes, sealed(b"token"), "salt and nonce are drawn anew");
    }

    #[test]
    fn a_flipped_byte_anywhere_is_refused() {
        let bytes = sealed(b"a database");
        for at in 0..bytes.len() {
            let mut bent = bytes.clone();
            bent[at] ^= 1 << (at % 8);
            assert!(opened(&bent, PASSPHRASE).is_err(), "byte {at}");
        }
    }

    #[test]
    fn a_file_cut_off_anywhere_is_refused() {
        let bytes = sealed(&[7; 2 * CHUNK_BYTES]);
        let border = HEADER_BYTES + SEALED_BYTES;
        let cuts = [0, 1, 16, 18, HEADER_BYTES - 1, HEADER_BYTES, HEADER_BYTES + 1, border - 1, border];
        for cut in cuts.into_iter().chain([border + 1, bytes.len() - 1]) {
            let refused = opened(&bytes[..cut], PASSPHRASE).expect_err("refused");
            assert!(matches!(refused, BackupError::Damaged(_) | BackupError::NotOne), "{cut}: {refused}");
        }
        assert!(opened(&[&bytes[..], b"x"].concat(), PASSPHRASE).is_err(), "nothing may stand behind it");
    }

    #[test]
    fn chunks_in_another_order_are_refused() {
        let bytes = sealed(&[7; 3 * CHUNK_BYTES]);
        let (first, second) = (HEADER_BYTES, HEADER_BYTES + SEALED_BYTES);
        let third = second + SEALED_BYTES;
        let changed =
            [&bytes[..first], &bytes[second..third], &bytes[first..second], &bytes[third..]].concat();
        assert!(matches!(opened(&changed, PASSPHRASE), Err(BackupError::Damaged(_))));
        let dropped = [&bytes[..first], &bytes[second..]].concat();
        assert!(matches!(opened(&dropped, PASSPHRASE), Err(BackupError::Damaged(_))));
    }

    #[test]
    fn other_files_and_newer_forms_are_told_apart() {
        assert!(matches!(opened(b"PK\x03\x04", PASSPHRASE), Err(BackupError::NotOne)));
        let mut newer = sealed(b"x");
        newer[17] = 2;
        assert!(matches!(opened(&newer, PASSPHRASE), Err(BackupError::NewerForm(2))));
    }
}
