//! Certificates and keys come as PEM. What comes in another form is told with the command that makes PEM of it.

use std::path::Path;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pem {
    Certificate,
    Key,
}

/// Why the file is none, with the next step; `None` for one that is, or cannot be read, which is told elsewhere.
#[must_use]
pub fn not_pem(path: &Path, kind: Pem) -> Option<String> {
    let bytes = std::fs::read(path).ok()?;
    let (command, mark) = match kind {
        Pem::Certificate => ("x509", "-----BEGIN CERTIFICATE-----"),
        Pem::Key => ("pkey", "PRIVATE KEY-----"),
    };
    let (name, pem) = (path.display(), path.with_extension("pem"));
    let is_store = path.extension().is_some_and(|extension| extension == "p12" || extension == "pfx");
    if is_store {
        let part = if kind == Pem::Key { "-nocerts -nodes" } else { "-nokeys" };
        return Some(format!(
            "the file {name} is a PKCS#12 store; make PEM of it and name that file: openssl pkcs12 -in {name} {part} -out {}",
            pem.display()
        ));
    }
    // ASN.1: a sequence whose length takes one to four bytes more (X.690, 8.1.3.5).
    if matches!(bytes[..], [0x30, 0x81..=0x84, ..]) {
        return Some(format!(
            "the file {name} is in DER form; make PEM of it and name that file: openssl {command} -inform der -in {name} -out {}",
            pem.display()
        ));
    }
    let has_mark = String::from_utf8_lossy(&bytes).contains(mark);
    (!has_mark)
        .then(|| format!("the file {name} holds no {}: a file in PEM form has a line {mark}", kind.as_str()))
}

impl Pem {
    fn as_str(self) -> &'static str {
        match self {
            Self::Certificate => "certificate",
            Self::Key => "private key",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_no_pem_names_the_conversion_command() {
        let folder = tempfile::tempdir().expect("a folder");
        let told = |name: &str, bytes: &[u8], kind| {
            let path = folder.path().join(name);
            std::fs::write(&path, bytes).expect("written");
            not_pem(&path, kind).map(|text| text.replace(&format!("{}/", folder.path().display()), ""))
        };
        let der = [0x30, 0x82, 0x01, 0x0a];
        let expected = "the file ca.der is in DER form; make PEM of it and name that file: openssl x509 -inform der -in ca.der -out ca.pem";
        assert_eq!(told("ca.der", &der, Pem::Certificate).as_deref(), Some(expected));
        let expected = "the file key.cer is in DER form; make PEM of it and name that file: openssl pkey -inform der -in key.cer -out key.pem";
        assert_eq!(told("key.cer", &der, Pem::Key).as_deref(), Some(expected));
        let expected = "the file a.p12 is a PKCS#12 store; make PEM of it and name that file: openssl pkcs12 -in a.p12 -nokeys -out a.pem";
        assert_eq!(told("a.p12", &der, Pem::Certificate).as_deref(), Some(expected));
        let pem = b"subject=CN = broker\n-----BEGIN CERTIFICATE-----\nMII=\n-----END CERTIFICATE-----\n";
        assert_eq!(told("ca.pem", pem, Pem::Certificate), None);
        assert!(told("ca.pem", pem, Pem::Key).is_some_and(|text| text.contains("holds no private key")));
        assert_eq!(told("key.pem", b"-----BEGIN EC PRIVATE KEY-----\n", Pem::Key), None);
        assert_eq!(not_pem(&folder.path().join("none"), Pem::Key), None);
    }
}
