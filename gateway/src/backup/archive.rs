//! Files one after the other: what the backup is of, then of each file its name and length as JSON, and its bytes.

use std::io::{Read, Result, Write};
use std::path::PathBuf;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::backup::BackupError;

/// The longest of ours has a path in it, of 4,096 bytes at most.
const HEAD_BYTES_MAX: u32 = 64 * 1024;

/// What a backup is of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// Of the program that wrote it.
    pub version: String,
    /// Of its database.
    pub database_version: usize,
    /// Milliseconds since 1970.
    pub taken_at: i64,
    pub site: String,
    /// The machine that it was taken from sends nothing any more.
    pub is_move: bool,
    pub configuration: PathBuf,
    pub state_directory: PathBuf,
    /// What could not be taken along: sentences.
    pub left_out: Vec<String>,
}

/// What a file is, which says where it belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    Database,
    Configuration,
    /// At its own path.
    Secret,
    /// Beside the database.
    State,
    /// One that a contact sent; its name is its number.
    Received,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    pub kind: Kind,
    pub name: PathBuf,
    pub bytes: u64,
}

/// Writes one.
pub struct ArchiveWriter<W: Write>(W);

impl<W: Write> ArchiveWriter<W> {
    pub fn new(mut to: W, manifest: &Manifest) -> Result<Self> {
        write_head(&mut to, manifest)?;
        Ok(Self(to))
    }

    /// Exactly `entry.bytes` of what is read: a file that grew meanwhile is taken as it was, one that shrank is an error.
    pub fn add(&mut self, entry: &Entry, from: impl Read) -> Result<()> {
        write_head(&mut self.0, entry)?;
        let copied = std::io::copy(&mut from.take(entry.bytes), &mut self.0)?;
        if copied == entry.bytes {
            return Ok(());
        }
        let what =
            format!("{} became shorter while it was read; take the backup again", entry.name.display());
        Err(std::io::Error::other(what))
    }

    pub fn finish(mut self) -> Result<W> {
        self.0.write_all(&0_u32.to_be_bytes())?;
        Ok(self.0)
    }
}

fn write_head(to: &mut impl Write, head: &impl Serialize) -> Result<()> {
    let json = serde_json::to_vec(head)?;
    let length = u32::try_from(json.len()).ok().filter(|length| *length <= HEAD_BYTES_MAX);
    let length =
        length.ok_or_else(|| std::io::Error::other("a name is too long for a backup; shorten it"))?;
    to.write_all(&length.to_be_bytes())?;
    to.write_all(&json)
}

/// Reads one: `next_file`, then the entry's bytes through `contents`, then `next_file` again.
pub struct ArchiveReader<R: Read> {
    from: R,
    left: u64,
}

impl<R: Read> ArchiveReader<R> {
    pub fn new(mut from: R) -> std::result::Result<(Self, Manifest), BackupError> {
        let manifest = read_head(&mut from)?.ok_or(BackupError::Damaged("it says not what it is of"))?;
        Ok((Self { from, left: 0 }, manifest))
    }

    /// The next file; `None` at the end, which is the end of the whole stream.
    pub fn next_file(&mut self) -> std::result::Result<Option<Entry>, BackupError> {
        std::io::copy(&mut self.contents(), &mut std::io::sink()).map_err(BackupError::of_io)?;
        let entry: Option<Entry> = read_head(&mut self.from)?;
        match &entry {
            Some(entry) => self.left = entry.bytes,
            None => {
                let behind = self.from.read(&mut [0]).map_err(BackupError::of_io)?;
                if behind > 0 {
                    return Err(BackupError::Damaged("something stands behind its end"));
                }
            }
        }
        Ok(entry)
    }

    /// What is left of the file.
    pub fn contents(&mut self) -> impl Read {
        Contents(self)
    }
}

struct Contents<'a, R: Read>(&'a mut ArchiveReader<R>);

impl<R: Read> Read for Contents<'_, R> {
    fn read(&mut self, to: &mut [u8]) -> Result<usize> {
        let most = usize::try_from(self.0.left).unwrap_or(usize::MAX).min(to.len());
        if most == 0 {
            return Ok(0);
        }
        match self.0.from.read(&mut to[..most])? {
            0 => Err(BackupError::Damaged("a file in it is shorter than announced").into_io()),
            read => {
                self.0.left -= read as u64;
                Ok(read)
            }
        }
    }
}

/// `None`: the end.
fn read_head<T: DeserializeOwned>(from: &mut impl Read) -> std::result::Result<Option<T>, BackupError> {
    let mut length = [0; 4];
    from.read_exact(&mut length).map_err(of_short)?;
    match u32::from_be_bytes(length) {
        0 => Ok(None),
        length if length > HEAD_BYTES_MAX => Err(BackupError::Damaged("a name in it has no end")),
        length => {
            let mut json = vec![0; length as usize];
            from.read_exact(&mut json).map_err(of_short)?;
            serde_json::from_slice(&json).map(Some).map_err(|_| BackupError::Damaged("a name in it"))
        }
    }
}

fn of_short(error: std::io::Error) -> BackupError {
    if error.kind() == std::io::ErrorKind::UnexpectedEof {
        return BackupError::Damaged("it ends in the middle");
    }
    BackupError::of_io(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest() -> Manifest {
        Manifest {
            version: "0.1.0".into(),
            database_version: 3,
            taken_at: 1_795_240_800_000,
            site: "ბარი".into(),
            is_move: false,
            configuration: "/etc/bellwire/bellwire.toml".into(),
            state_directory: "/var/lib/bellwire".into(),
            left_out: Vec::new(),
        }
    }

    fn entry(kind: Kind, name: &str, bytes: u64) -> Entry {
        Entry { kind, name: name.into(), bytes }
    }

    fn written() -> Vec<u8> {
        let mut writer = ArchiveWriter::new(Vec::new(), &manifest()).expect("begun");
        writer.add(&entry(Kind::Secret, "/etc/t", 5), &b"token and more"[..]).expect("added");
        writer.add(&entry(Kind::Received, "7", 0), &b""[..]).expect("added");
        writer.finish().expect("finished")
    }

    #[test]
    fn files_come_out_as_they_went_in() {
        let bytes = written();
        let (mut reader, found) = ArchiveReader::new(&bytes[..]).expect("read");
        assert_eq!(found, manifest());
        assert_eq!(reader.next_file().expect("read"), Some(entry(Kind::Secret, "/etc/t", 5)));
        let mut text = String::new();
        reader.contents().read_to_string(&mut text).expect("read");
        assert_eq!(text, "token");
        assert_eq!(reader.next_file().expect("read"), Some(entry(Kind::Received, "7", 0)));
        assert_eq!(reader.next_file().expect("read"), None);
    }

    #[test]
    fn a_file_that_is_not_read_is_passed_over() {
        let bytes = written();
        let (mut reader, _) = ArchiveReader::new(&bytes[..]).expect("read");
        assert!(reader.next_file().expect("read").is_some() && reader.next_file().expect("read").is_some());
        assert_eq!(reader.next_file().expect("read"), None);
    }

    #[test]
    fn a_short_archive_is_damaged_wherever_it_ends() {
        let bytes = written();
        for cut in 0..bytes.len() {
            let read_all = || -> std::result::Result<(), BackupError> {
                let (mut reader, _) = ArchiveReader::new(&bytes[..cut])?;
                while reader.next_file()?.is_some() {}
                Ok(())
            };
            assert!(matches!(read_all(), Err(BackupError::Damaged(_))), "{cut}");
        }
        let longer = [&bytes[..], b"x"].concat();
        let (mut reader, _) = ArchiveReader::new(&longer[..]).expect("read");
        while let Ok(Some(_)) = reader.next_file() {}
        assert!(reader.next_file().is_err());
    }

    #[test]
    fn a_file_that_shrank_is_an_error() {
        let mut writer = ArchiveWriter::new(Vec::new(), &manifest()).expect("begun");
        assert!(writer.add(&entry(Kind::Secret, "/etc/t", 5), &b"tok"[..]).is_err());
    }
}
