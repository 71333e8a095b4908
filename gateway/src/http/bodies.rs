//! The memory that large bodies share. It is taken by bytes that have come, so that nobody holds it who does not send as much, and
//! one client never has more than half of it: who fills that from one place keeps nobody else's body out.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::pin::pin;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

/// Nearly all of Meta's bodies have less, and need nothing of what is shared.
pub const PIECE_BYTES: usize = 64 * 1024;
/// 16 MiB, an eighth of the unit's memory limit: four of Meta's largest at once, and two of them from one client. Whoever wants
/// all of it for the two seconds of a body has to fill the line with 8 MiB a second, from two places.
const PIECES: usize = 256;
const PIECES_OF_ONE: usize = PIECES / 2;

/// Who has how many pieces.
#[derive(Debug, Default)]
pub struct BodyBudget {
    taken: Mutex<BTreeMap<IpAddr, usize>>,
    freed: Notify,
}

/// What one body has; dropped, it is free.
#[derive(Debug)]
pub struct BodyShare<'a> {
    room: &'a BodyBudget,
    client: IpAddr,
    pieces: usize,
}

impl BodyBudget {
    pub fn enter(&self, client: IpAddr) -> BodyShare<'_> {
        BodyShare { room: self, client, pieces: 0 }
    }

    fn taken(&self) -> MutexGuard<'_, BTreeMap<IpAddr, usize>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self, client: IpAddr, more: usize) -> bool {
        let mut taken = self.taken();
        let (all, own) =
            (taken.values().sum::<usize>() + more, taken.get(&client).copied().unwrap_or(0) + more);
        let is_free = all <= PIECES && own <= PIECES_OF_ONE;
        if is_free {
            taken.insert(client, own);
        }
        is_free
    }
}

impl BodyShare<'_> {
    /// Room for a body that is so long by now; waits until there is.
    pub async fn grow(&mut self, bytes: usize) {
        let more = bytes.div_ceil(PIECE_BYTES).saturating_sub(1 + self.pieces);
        if more == 0 {
            return;
        }
        loop {
            let mut freed = pin!(self.room.freed.notified());
            freed.as_mut().enable(); // what is given back while we look counts
            if self.room.take(self.client, more) {
                self.pieces += more;
                return;
            }
            freed.await;
        }
    }
}

impl Drop for BodyShare<'_> {
    fn drop(&mut self) {
        if self.pieces == 0 {
            return;
        }
        let mut taken = self.room.taken();
        let left = taken.get(&self.client).copied().unwrap_or(0).saturating_sub(self.pieces);
        if left == 0 {
            taken.remove(&self.client);
        } else {
            taken.insert(self.client, left);
        }
        drop(taken);
        self.room.freed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use tokio::time::timeout;

    const LARGEST: usize = 4 * 1024 * 1024;
    const SOON: Duration = Duration::from_millis(20);

    #[tokio::test]
    async fn one_client_gets_at_most_half_of_the_budget() {
        let room = BodyBudget::default();
        let client = |last: u8| IpAddr::from([192, 0, 2, last]);
        let (mut first, mut second, mut third) =
            (room.enter(client(1)), room.enter(client(1)), room.enter(client(1)));
        first.grow(PIECE_BYTES).await;
        assert_eq!(first.pieces, 0, "a small one needs nothing");
        first.grow(LARGEST).await;
        second.grow(LARGEST).await;
        assert!(timeout(SOON, third.grow(LARGEST)).await.is_err(), "that would be more than half");
        let (mut other, mut another) = (room.enter(client(2)), room.enter(client(3)));
        timeout(SOON, other.grow(LARGEST)).await.expect("the other half is for others");
        timeout(SOON, another.grow(LARGEST)).await.expect("all of it");
        let mut late = room.enter(client(4));
        let waits = async { timeout(Duration::from_secs(20), late.grow(LARGEST)).await };
        let gives = async {
            tokio::time::sleep(SOON).await;
            drop(first);
        };
        assert!(tokio::join!(waits, gives).0.is_ok(), "what is given back wakes who waits");
        drop((second, third, other, another, late));
        assert!(room.taken().is_empty(), "nothing is kept of who has gone");
    }
}
