//! Rollback of memory when a transaction is rolled back: a full disk, another program that writes, a job that the
//! database refuses. Rows are rolled back by SQLite; a machine that took its turn in the transaction is rolled back
//! here.

use std::cell::RefCell;
use std::fmt;

use crate::store::Store;

/// Newest last.
#[derive(Default)]
pub(in crate::store) struct Undo(RefCell<Vec<Box<dyn FnOnce() + Send>>>);

impl fmt::Debug for Undo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Undo({})", self.0.borrow().len())
    }
}

impl Store {
    /// Inside a transaction: done if it is rolled back, after what is asked for later.
    pub fn on_rollback(&self, put_back: impl FnOnce() + Send + 'static) {
        self.undo.0.borrow_mut().push(Box::new(put_back));
    }

    /// Whether something would be put back if the transaction failed.
    #[must_use]
    pub fn can_roll_back(&self) -> bool {
        self.undo_depth() > 0
    }

    /// The number of entries that would be put back now: where a savepoint begins.
    pub(in crate::store) fn undo_depth(&self) -> usize {
        self.undo.0.borrow().len()
    }

    /// Rolled back to that savepoint, or as a whole.
    pub(in crate::store) fn undone(&self, depth: usize) {
        let gone = self.undo.0.borrow_mut().split_off(depth);
        gone.into_iter().rev().for_each(|put_back| put_back());
    }

    /// It is on disk.
    pub(in crate::store) fn held(&self) {
        self.undo.0.borrow_mut().clear();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use crate::store::Store;

    #[test]
    fn rollback_actions_run_newest_first_after_a_failed_transaction() {
        let (_folder, store) = Store::in_new_folder();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let run = |holds: bool| {
            let outcome = store.transaction(|store| {
                for number in [1, 2] {
                    let seen = Arc::clone(&seen);
                    store.on_rollback(move || seen.lock().expect("unpoisoned").push(number));
                }
                if holds { Ok(()) } else { Err(rusqlite::Error::InvalidQuery) }
            });
            assert_eq!(outcome.is_ok(), holds);
            std::mem::take(&mut *seen.lock().expect("unpoisoned"))
        };
        assert!(run(true).is_empty());
        assert_eq!(run(false), [2, 1], "and nothing of the one before, which held");
    }
}
