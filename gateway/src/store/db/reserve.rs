//! The reserve: a file that does nothing but take up room. On a full disk SQLite can neither delete a row nor
//! checkpoint (docs/reliability.md E9), so this file goes first, then the WAL, then old rows in small steps (E10).

use std::io::Write;
use std::path::Path;

use crate::store::Store;
use crate::store::db::state_file::state_file;
use crate::time::{Clock, SystemClock};

/// 1 MiB was enough to recover with a WAL of 64 pages (docs/reliability.md E10); twice that leaves room for a batch of deletes.
const RESERVE_BYTES: usize = 2 * 1024 * 1024;
const NAME: &str = "reserve";

/// Makes sure that the reserve is there. Without room for it the disk is as good as full, and that is logged.
pub fn keep(directory: &Path) {
    let path = directory.join(NAME);
    if path.symlink_metadata().is_ok_and(|file| file.len() == RESERVE_BYTES as u64) {
        return;
    }
    let written = state_file(&path).and_then(|mut file| {
        file.set_len(0)?;
        // Real bytes, not a hole: a sparse file would hold nothing back.
        let block = [0xb5; 64 * 1024];
        for _ in 0..RESERVE_BYTES / block.len() {
            file.write_all(&block)?;
        }
        file.sync_all()
    });
    if let Err(error) = written {
        drop(std::fs::remove_file(&path)); // half a reserve takes room and gives none
        tracing::error!(%error, "there is no room for the reserve of 2 MiB: free some space in the state directory");
    }
}

impl Store {
    /// After a commit that found no room. What it frees lets the next commit through; until then nothing is accepted.
    pub(in crate::store) fn make_room(&self) {
        if let Err(error) = std::fs::remove_file(self.directory.join(NAME)) {
            tracing::error!(%error, "the reserve could not be deleted to make room");
        }
        let checkpoint = || self.sql.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)");
        // At most 20 rounds: 50 rows of each kind go in one, which frees the pages of a thousand messages.
        for _ in 0..20 {
            if let Err(error) = checkpoint() {
                tracing::error!(%error, "the write-ahead log could not be checkpointed");
                return;
            }
            match self.transaction(|store| store.forget_old(SystemClock.now())) {
                Ok(true) => {}
                Ok(false) => break,
                Err(error) => {
                    tracing::error!(%error, "old rows could not be removed");
                    return;
                }
            }
        }
        self.mark();
        keep(&self.directory);
    }
}

/// The free space for the daemon's user, as `df` tells it: in MiB, rounded up. Waits as long as the file system does.
#[must_use]
pub fn free_megabytes(directory: &Path) -> Option<u64> {
    rustix::fs::statvfs(directory).ok().map(|of| megabytes(of.f_bavail, of.f_frsize))
}

fn megabytes(blocks: u64, block_bytes: u64) -> u64 {
    blocks.saturating_mul(block_bytes).div_ceil(1024 * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn free_room_is_rounded_up_to_whole_megabytes() {
        for (blocks, block_bytes, expected) in
            [(0, 4_096, 0), (1, 4_096, 1), (256, 4_096, 1), (257, 4_096, 2), (512, 1_048_576, 512)]
        {
            assert_eq!(megabytes(blocks, block_bytes), expected, "{blocks} of {block_bytes}");
        }
    }

    #[test]
    fn free_space_is_known_for_existing_folders_only() {
        let folder = tempfile::tempdir().expect("a folder");
        assert!(free_megabytes(folder.path()).is_some_and(|free| free > 0));
        assert_eq!(free_megabytes(&folder.path().join("missing")), None);
    }
}
