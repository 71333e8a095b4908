//! The machine that the gateway's loops run on: its clocks are the world's, its chance comes from the seed, and what it spawns is
//! run when the world likes.

use std::collections::BTreeMap;
use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, SystemTime};

use bellwire::machine::{FileMark, Job, Machine};
use bellwire::random::Rng;
use bellwire::time::{Now, Timestamp};

#[derive(Debug)]
struct State {
    wall: Timestamp,
    steady: Duration,
    /// A sabotage: so far behind is the clock at the moment.
    behind: Duration,
    /// A sabotage: the clock is never set back.
    only_forward: bool,
    timers: BTreeMap<u64, (Duration, Waker)>,
    next_timer: u64,
    dice: Rng,
    /// How often the database was written to.
    writes: u64,
}

pub struct SimMachine {
    state: Mutex<State>,
    spawned: Mutex<Vec<Job>>,
}

impl std::fmt::Debug for SimMachine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}", self.state().timers.keys())
    }
}

impl SimMachine {
    pub fn new(clocks: Now, dice: Rng, only_forward: bool) -> Arc<Self> {
        let state = State {
            wall: clocks.wall,
            steady: clocks.steady,
            behind: Duration::ZERO,
            only_forward,
            timers: BTreeMap::new(),
            next_timer: 0,
            dice,
            writes: 0,
        };
        Arc::new(Self { state: Mutex::new(state), spawned: Mutex::default() })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// It is later, or the clock was set: timers that are due wake their tasks.
    pub fn tick(&self, clocks: Now) {
        let mut state = self.state();
        state.wall = if state.only_forward { state.wall.max(clocks.wall) } else { clocks.wall };
        state.steady = clocks.steady;
        let due: Vec<u64> =
            state.timers.iter().filter(|(_, (at, _))| *at <= clocks.steady).map(|(id, _)| *id).collect();
        let due: Vec<_> = due.iter().filter_map(|id| state.timers.remove(id)).collect();
        drop(state);
        due.into_iter().for_each(|(_, waker)| waker.wake());
    }

    /// How long until a timer is due; `None` without one.
    pub fn next_in(&self) -> Option<Duration> {
        let state = self.state();
        state.timers.values().map(|(at, _)| at.saturating_sub(state.steady)).min()
    }

    pub fn written(&self) {
        self.state().writes += 1;
    }

    /// A sabotage: from now on the clock is so far behind.
    pub fn is_behind(&self, by: Duration) {
        self.state().behind = by;
    }

    pub fn spawned(&self) -> Vec<Job> {
        std::mem::take(&mut *self.spawned.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// What a task holds: its own machine.
#[derive(Debug, Clone)]
pub struct OfMachine(pub Arc<SimMachine>);

impl Machine for OfMachine {
    fn now(&self) -> Timestamp {
        let state = self.0.state();
        state.wall - state.behind
    }

    fn both(&self) -> Now {
        let steady = self.0.state().steady;
        Now { wall: self.now(), steady }
    }

    fn dice(&self) -> Rng {
        Rng::seeded(self.0.state().dice.below(u64::MAX))
    }

    fn sleep(&self, how_long: Duration) -> Job {
        let mut state = self.0.state();
        state.next_timer += 1;
        let (id, at) = (state.next_timer, state.steady + how_long);
        Box::pin(Sleep { id, at, machine: Arc::clone(&self.0) })
    }

    fn spawn(&self, task: Job) {
        self.0.spawned.lock().unwrap_or_else(PoisonError::into_inner).push(task);
    }

    /// The files' own times would be another thing to each run.
    fn mark(&self, _: &Path) -> FileMark {
        Some((SystemTime::UNIX_EPOCH, self.0.state().writes))
    }
}

struct Sleep {
    id: u64,
    at: Duration,
    machine: Arc<SimMachine>,
}

impl Future for Sleep {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let mut state = self.machine.state();
        if self.at <= state.steady {
            return Poll::Ready(());
        }
        state.timers.insert(self.id, (self.at, context.waker().clone()));
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        self.machine.state().timers.remove(&self.id);
    }
}
