//! Whether a package is what the maintainers released: minisign's form (jedisct1.github.io/minisign, "Signature format"), so
//! that anybody can check it with another program, too. docs/decisions/0025 says why it is here.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use blake2::{Blake2b512, Digest};
use ring::signature::{ED25519, UnparsedPublicKey};

use super::{Failure, say};

/// The maintainers' keys. A new one comes with a release that an old one has signed.
const KEYS: &str = include_str!("../../release.pub");
/// Four lines; the comments are a sentence each.
const SIGNATURE_MAX_BYTES: u64 = 4_096;
/// `Ed`, the key's number, the key.
const KEY_BYTES: usize = 2 + 8 + 32;
/// `ED`, the key's number, the signature.
const SIGNATURE_BYTES: usize = 2 + 8 + 64;

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The package
    file: PathBuf,
    /// Its signature; without this the file's name with .minisig behind it
    #[arg(long)]
    signature: Option<PathBuf>,
    /// A public key of minisign's, instead of the maintainers'
    #[arg(long)]
    key: Option<PathBuf>,
}

pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    let cannot = |path: &Path, error: std::io::Error| {
        Failure::Usage(format!("{} cannot be read ({error})", path.display()))
    };
    let text = |path: &Path| small(path).map_err(|error| cannot(path, error));
    let beside = || {
        let mut name = arguments.file.clone().into_os_string();
        name.push(".minisig");
        PathBuf::from(name)
    };
    let keys = arguments.key.as_deref().map(text).transpose()?;
    let keys = read_keys(keys.as_deref().unwrap_or(KEYS)).map_err(Failure::Usage)?;
    if keys.is_empty() {
        let how = "this program knows no key of a release; give the key with --key FILE";
        return Err(Failure::Usage(how.into()));
    }
    let signature = arguments.signature.clone().unwrap_or_else(beside);
    let signature = Signature::read(&text(&signature)?).map_err(Failure::Usage)?;
    let digest = digest(&arguments.file).map_err(|error| cannot(&arguments.file, error))?;
    signature.verify(&keys, &digest).map_err(Failure::Refused)?;
    say(&format!("{}: the signature is right ({})", arguments.file.display(), signature.comment));
    Ok(())
}

/// One public key, and the number by which signatures name it.
struct Key {
    number: [u8; 8],
    key: [u8; 32],
}

struct Signature {
    key: [u8; 8],
    signature: [u8; 64],
    comment: String,
    /// Over signature and comment.
    seal: [u8; 64],
}

/// One key a line, beside comments.
fn read_keys(text: &str) -> Result<Vec<Key>, String> {
    let lines = text.lines().map(str::trim);
    let keys = lines.filter(|line| !line.is_empty() && !line.starts_with("untrusted comment:"));
    let read = |line: &str| {
        let bytes: [u8; KEY_BYTES] = decoded(line)?;
        let number = bytes.get(2..10)?.try_into().ok()?;
        let key = bytes.get(10..)?.try_into().ok()?;
        bytes.starts_with(b"Ed").then_some(Key { number, key })
    };
    keys.map(read).collect::<Option<_>>().ok_or_else(|| "that is no public key of minisign's".to_owned())
}

impl Signature {
    fn read(text: &str) -> Result<Self, String> {
        let mut lines = text.lines();
        let mut next = || lines.next().unwrap_or_default();
        let (untrusted, signature, comment, seal) = (next(), next(), next(), next());
        let read = || {
            untrusted.strip_prefix("untrusted comment: ")?;
            let signature: [u8; SIGNATURE_BYTES] = decoded(signature)?;
            let comment = comment.strip_prefix("trusted comment: ")?.to_owned();
            Some((signature, comment, decoded::<64>(seal)?))
        };
        let (bytes, comment, seal) = read().ok_or("that is no signature of minisign's")?;
        // What minisign makes since 2021. The older kind signs the file itself, which could be shaped like such a digest.
        if !bytes.starts_with(b"ED") {
            return Err(
                "this signature is of minisign's old kind; sign it with minisign 0.11 or newer".into()
            );
        }
        let part = |range: std::ops::Range<usize>| bytes.get(range).unwrap_or_default();
        let key = part(2..10).try_into().map_err(|_| "too short")?;
        let signature = part(10..SIGNATURE_BYTES).try_into().map_err(|_| "too short")?;
        Ok(Self { key, signature, comment, seal })
    }

    fn verify(&self, keys: &[Key], digest: &[u8]) -> Result<(), String> {
        let Some(key) = keys.iter().find(|key| key.number == self.key) else {
            return Err("it is signed with another key than the one that releases are signed with".into());
        };
        let key = UnparsedPublicKey::new(&ED25519, key.key);
        let sealed = [&self.signature[..], self.comment.as_bytes()].concat();
        let is_right = key.verify(digest, &self.signature).is_ok() && key.verify(&sealed, &self.seal).is_ok();
        is_right
            .then_some(())
            .ok_or_else(|| "the signature does not belong to this file: do not install it".into())
    }
}

fn decoded<const BYTES: usize>(text: &str) -> Option<[u8; BYTES]> {
    STANDARD.decode(text.trim()).ok()?.try_into().ok()
}

fn small(path: &Path) -> std::io::Result<String> {
    let mut text = String::new();
    File::open(path)?.take(SIGNATURE_MAX_BYTES).read_to_string(&mut text)?;
    Ok(text)
}

/// What is signed of a file of any size.
fn digest(path: &Path) -> std::io::Result<Vec<u8>> {
    let (mut file, mut hash) = (File::open(path)?, Blake2b512::new());
    let mut piece = vec![0; 64 * 1_024];
    loop {
        match file.read(&mut piece)? {
            0 => return Ok(hash.finalize().to_vec()),
            count => hash.update(piece.get(..count).unwrap_or_default()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// From minisign's own documentation: of the four letters `test`.
    const KEY: &str =
        "untrusted comment: minisign public key\nRWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3\n";
    const GOOD: &str = "untrusted comment: signature from minisign secret key\n\
        RUQf6LRCGA9i559r3g7V1qNyJDApGip8MfqcadIgT9CuhV3EMhHoN1mGTkUidF/z7SrlQgXdy8ofjb7bNJJylDOocrCo8KLzZwo=\n\
        trusted comment: timestamp:1633700835\tfile:test\tprehashed\n\
        wLMDjy9FLAuxZ3q4NlEvkgtyhrr0gtTu6KC4KBJdITbbOeAi1zBIYo0v4iTgt8jJpIidRJnp94ABQkJAgAooBQ==\n";
    const OLD: &str = "untrusted comment: signature from minisign secret key\n\
        RWQf6LRCGA9i59SLOFxz6NxvASXDJeRtuZykwQepbDEGt87ig1BNpWaVWuNrm73YiIiJbq71Wi+dP9eKL8OC351vwIasSSbXxwA=\n\
        trusted comment: timestamp:1555779966\tfile:test\n\
        QtKMXWyYcwdpZAlPF7tE2ENJkRd1ujvKjlj1m9RtHTBnZPa5WKU5uWRs5GoP5M/VqE81QFuMKI5k/SfNQUaOAA==\n";

    fn verify(key: &str, signature: &str, file: &[u8]) -> Result<(), String> {
        Signature::read(signature)?.verify(&read_keys(key)?, &Blake2b512::digest(file))
    }

    #[test]
    fn a_minisign_signature_fits_its_file_key_and_comment_only() {
        assert_eq!(verify(KEY, GOOD, b"test"), Ok(()));
        let refused = |key: &str, signature: &str, file: &[u8], why: &str| {
            let found = verify(key, signature, file).expect_err(why);
            assert!(found.contains(why), "{found}");
        };
        refused(KEY, GOOD, b"tesu", "does not belong to this file");
        refused(KEY, &GOOD.replace("file:test", "file:evil"), b"test", "does not belong");
        refused(KEY, &GOOD.replace("wLMDjy9F", "wLMDjy9G"), b"test", "does not belong");
        refused(&KEY.replace("RWQf6L", "RWQf6M"), GOOD, b"test", "another key");
        // The same number, another key.
        refused(&KEY.replace("Y7GFO3", "Y7GFO2"), GOOD, b"test", "does not belong");
        refused(KEY, OLD, b"test", "old kind");
        refused(KEY, "", b"test", "no signature");
        refused(KEY, &GOOD.replace("trusted comment: t", "comment: t"), b"test", "no signature");
        refused("RWQf6LRC", GOOD, b"test", "no public key");
    }

    proptest! {
        /// It is root who asks, about a file of anybody's.
        #[test]
        fn any_signature_and_any_key_are_read_or_refused(
            lines in prop::collection::vec("(untrusted comment: |trusted comment: )?[A-Za-z0-9+/=é \\t]{0,120}", 0..6),
            file: Vec<u8>,
        ) {
            let text = lines.join("\n");
            prop_assert!(verify(KEY, &text, &file).is_err());
            prop_assert!(verify(&text, GOOD, &file).is_err());
        }
    }

    #[test]
    fn every_bit_of_a_signature_counts() {
        let line = GOOD.lines().nth(1).expect("a signature");
        let bytes: [u8; SIGNATURE_BYTES] = decoded(line).expect("bytes");
        for bit in 0..SIGNATURE_BYTES * 8 {
            let mut turned = bytes;
            turned[bit / 8] ^= 1 << (bit % 8);
            let text = GOOD.replace(line, &STANDARD.encode(turned));
            assert!(verify(KEY, &text, b"test").is_err(), "bit {bit}");
        }
    }

    #[test]
    fn the_keys_of_this_program_are_keys() {
        read_keys(KEYS).expect("keys, or none");
    }
}
