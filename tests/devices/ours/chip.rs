use std::fs::File;
use std::os::unix::fs::FileExt;

use embedded_storage::nor_flash::{
    ErrorType, NorFlash, NorFlashError, NorFlashErrorKind, ReadNorFlash, check_erase, check_read, check_write,
};

/// A flash chip in a file. No sync: the test kills this process, not the machine.
pub struct Chip {
    file: File,
    bytes: usize,
}

#[derive(Debug)]
pub struct Broken;

impl NorFlashError for Broken {
    fn kind(&self) -> NorFlashErrorKind {
        NorFlashErrorKind::Other
    }
}

impl Chip {
    /// As those of most flash chips, and so that the longest event fits one.
    const PAGE: usize = 4_096;

    pub fn open(path: &str, memory: usize) -> Self {
        let file = File::options().read(true).write(true).create(true).truncate(false).open(path).unwrap();
        let bytes = (memory / Self::PAGE + 4) * Self::PAGE;
        let chip = Self { file, bytes };
        if chip.file.metadata().unwrap().len() == 0 {
            chip.file.write_all_at(&vec![0xff; bytes], 0).unwrap();
        }
        chip
    }
}

impl ErrorType for Chip {
    type Error = Broken;
}

impl ReadNorFlash for Chip {
    const READ_SIZE: usize = 1;

    fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), Broken> {
        check_read(self, offset, bytes.len()).map_err(|_| Broken)?;
        self.file.read_exact_at(bytes, offset.into()).map_err(|_| Broken)
    }

    fn capacity(&self) -> usize {
        self.bytes
    }
}

impl NorFlash for Chip {
    const WRITE_SIZE: usize = 4;
    const ERASE_SIZE: usize = Self::PAGE;

    fn erase(&mut self, from: u32, to: u32) -> Result<(), Broken> {
        check_erase(self, from, to).map_err(|_| Broken)?;
        self.file.write_all_at(&vec![0xff; (to - from) as usize], from.into()).map_err(|_| Broken)
    }

    fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), Broken> {
        check_write(self, offset, bytes.len()).map_err(|_| Broken)?;
        self.file.write_all_at(bytes, offset.into()).map_err(|_| Broken)
    }
}
