//! Who is connected, and who makes room for the next: whoever has not yet said what they want. A post of Meta's, which comes
//! whole, is answered however many others dawdle.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::body::{Body, Frame, SizeHint};
use tokio::sync::Notify;

/// How long those whose request is whole are waited for when nobody else could make room.
const ANSWER_WAIT: Duration = Duration::from_millis(200);

/// Whether the request of a connection is whole, so that it is our turn.
#[derive(Debug, Clone, Default)]
pub struct Stage(Arc<AtomicBool>);

/// All connections of one listener.
#[derive(Debug, Clone)]
pub struct ConnectionTable(Arc<Table>);

#[derive(Debug)]
struct Table {
    most: usize,
    open: Mutex<BTreeMap<u64, Visitor>>,
    freed: Notify,
}

#[derive(Debug)]
struct Visitor {
    client: IpAddr,
    stage: Stage,
    leave: Arc<Notify>,
}

/// One connection's place; dropped, it is free.
#[derive(Debug)]
pub struct ConnectionSlot {
    number: u64,
    table: Arc<Table>,
    pub stage: Stage,
    leave: Arc<Notify>,
}

impl Stage {
    fn is_answering(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    fn answers(&self, answering: bool) {
        self.0.store(answering, Ordering::Relaxed);
    }
}

impl ConnectionTable {
    pub fn new(most: usize) -> Self {
        Self(Arc::new(Table { most, open: Mutex::default(), freed: Notify::new() }))
    }

    /// A place for one more; somebody else's if all are taken.
    pub async fn enter(&self, address: IpAddr) -> ConnectionSlot {
        if self.0.is_full() && !self.0.evict(false) {
            drop(tokio::time::timeout(ANSWER_WAIT, self.0.freed.notified()).await);
            if self.0.is_full() && !self.0.evict(false) {
                self.0.evict(true);
            }
        }
        let (stage, leave) = (Stage::default(), Arc::new(Notify::new()));
        let mut open = self.0.open();
        let number = open.last_key_value().map_or(0, |(last, _)| last + 1);
        let visitor = Visitor { client: client(address), stage: stage.clone(), leave: Arc::clone(&leave) };
        open.insert(number, visitor);
        drop(open);
        ConnectionSlot { number, table: Arc::clone(&self.0), stage, leave }
    }
}

impl Table {
    fn open(&self) -> MutexGuard<'_, BTreeMap<u64, Visitor>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_full(&self) -> bool {
        self.open().len() >= self.most
    }

    /// Of the client with the most connections the oldest one goes. `false`: there is none that may.
    fn evict(&self, also_answering: bool) -> bool {
        let mut open = self.open();
        let mut by_client: BTreeMap<IpAddr, (usize, u64)> = BTreeMap::new();
        for (number, visitor) in open.iter().rev() {
            if also_answering || !visitor.stage.is_answering() {
                let (count, oldest) = by_client.entry(visitor.client).or_default();
                (*count, *oldest) = (*count + 1, *number);
            }
        }
        let Some((_, oldest)) = by_client.into_values().max_by_key(|(count, _)| *count) else { return false };
        open.remove(&oldest).is_some_and(|visitor| {
            visitor.leave.notify_one();
            true
        })
    }
}

impl ConnectionSlot {
    /// Somebody else needs it.
    pub async fn asked_to_leave(&self) {
        self.leave.notified().await;
    }
}

impl Drop for ConnectionSlot {
    fn drop(&mut self) {
        let mine = |visitor: &Visitor| Arc::ptr_eq(&visitor.leave, &self.leave);
        let mut open = self.table.open();
        if open.get(&self.number).is_some_and(mine) {
            open.remove(&self.number);
        }
        drop(open);
        self.table.freed.notify_one();
    }
}

/// Who has one address of IPv6 has all of its /64.
#[must_use]
pub fn client(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX))),
    }
}

/// A request's body: read to its end, it is our turn.
#[derive(Debug)]
pub struct Received<B> {
    body: B,
    stage: Stage,
}

impl<B: Body> Received<B> {
    pub fn new(body: B, stage: &Stage) -> Self {
        stage.answers(body.is_end_stream());
        Self { body, stage: stage.clone() }
    }
}

impl<B: Body + Unpin> Body for Received<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(context);
        if matches!(polled, Poll::Ready(None)) || self.body.is_end_stream() {
            self.stage.answers(true);
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// An answer's body: gone, it is the visitor's turn again.
#[derive(Debug)]
pub struct Answered<B> {
    body: B,
    stage: Stage,
}

impl<B> Answered<B> {
    pub fn new(body: B, stage: &Stage) -> Self {
        Self { body, stage: stage.clone() }
    }
}

impl<B> Drop for Answered<B> {
    fn drop(&mut self) {
        self.stage.answers(false);
    }
}

impl<B: Body + Unpin> Body for Answered<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(last: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, last])
    }

    /// Whether it was asked to leave.
    async fn must_leave(place: &ConnectionSlot) -> bool {
        tokio::time::timeout(Duration::from_millis(1), place.asked_to_leave()).await.is_ok()
    }

    #[tokio::test]
    async fn the_slowest_client_makes_room_and_answered_ones_stay() {
        let visitors = ConnectionTable::new(4);
        let alone = visitors.enter(address(1)).await;
        let first = visitors.enter(address(2)).await;
        let whole = visitors.enter(address(2)).await;
        let last = visitors.enter(address(2)).await;
        whole.stage.answers(true);
        let next = visitors.enter(address(3)).await;
        assert!(must_leave(&first).await, "the oldest of those who have the most");
        for place in [&alone, &whole, &last, &next] {
            assert!(!must_leave(place).await);
        }
        drop(first); // it has made room already
        for place in [&alone, &last, &next] {
            place.stage.answers(true);
        }
        let patient = visitors.enter(address(4)).await; // after a while somebody goes all the same
        let mut gone = 0;
        for place in [&alone, &whole, &last, &next, &patient] {
            gone += usize::from(must_leave(place).await);
        }
        assert_eq!(gone, 1);
    }

    #[test]
    fn one_client_is_one_address_or_one_network_of_ipv6() {
        let of = |text: &str| client(text.parse().expect("an address"));
        assert_eq!(of("2001:db8:1:2:3:4:5:6"), of("2001:db8:1:2:ffff::1"));
        assert_ne!(of("2001:db8:1:2::1"), of("2001:db8:1:3::1"));
        assert_eq!(of("::ffff:192.0.2.7"), of("192.0.2.7"));
        assert_ne!(of("192.0.2.6"), of("192.0.2.7"));
    }
}
