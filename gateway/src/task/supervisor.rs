//! Every task that runs as long as the daemon does. One that ends by itself ends the process with its name and reason: what
//! it did nobody does any more, and a process that starts again does all of it (crash only).

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::store::Stopped;

/// The reason why the daemon ends by itself.
#[derive(Debug, thiserror::Error)]
pub enum Fatal {
    /// Something that a person must change first.
    #[error("{0:#}")]
    Start(anyhow::Error),
    /// Exit 78: another copy of this gateway sends.
    #[error("{0}")]
    Stopped(Stopped),
    /// Exit 74; systemd starts it again, and it reads what is really on disk.
    #[error("the disk failed: {0}")]
    Disk(Arc<str>),
    /// Exit 74 as well: a new process begins with what is on disk.
    #[error("the database refused a statement that cannot be skipped: {0}")]
    Refused(String),
    /// Exit 74 as well: nobody does that task's work any more, and a new process does.
    #[error("the task {0} ended by itself: the process ends, and a new one does its work")]
    Task(&'static str),
}

/// Those that run, by what they are called in the log.
#[derive(Debug, Default)]
pub struct Tasks {
    /// They end when they are told to stop, and what they have under way may finish.
    draining: JoinSet<&'static str>,
    /// They end after those, which still need them, and finish what they have begun.
    last: JoinSet<&'static str>,
    /// They have nothing under way that the disk does not have.
    others: JoinSet<&'static str>,
}

impl Tasks {
    pub fn spawn(&mut self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        self.others.spawn(named(name, task));
    }

    pub fn spawn_draining(&mut self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        self.draining.spawn(named(name, task));
    }

    pub fn spawn_last(&mut self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        self.last.spawn(named(name, task));
    }

    /// The first that ends: its name. A panic ends the process by itself (`panic = "abort"`), except in tests.
    pub async fn first_end(&mut self) -> &'static str {
        let ended = tokio::select! {
            Some(ended) = self.draining.join_next() => ended,
            Some(ended) = self.last.join_next() => ended,
            Some(ended) = self.others.join_next() => ended,
            else => return "every task",
        };
        ended.unwrap_or("a task that panicked")
    }

    /// Waits for those that end by themselves, now that `end` tells them to; then the last are told, and then all others end.
    /// `enough`: so long may those take that drain; `last`: the last.
    pub async fn drain(mut self, end: &Endings, enough: impl Future<Output = ()>, last: Duration) -> Drained {
        end.draining.send_replace(true);
        let requests = all_end(&mut self.draining, enough).await;
        end.last.send_replace(true);
        let last = all_end(&mut self.last, tokio::time::sleep(last)).await;
        self.others.shutdown().await;
        Drained { requests, last }
    }
}

/// Tells tasks to end: those that drain, then the last.
#[derive(Debug)]
pub struct Endings {
    draining: watch::Sender<bool>,
    last: watch::Sender<bool>,
}

impl Default for Endings {
    fn default() -> Self {
        Self { draining: watch::channel(false).0, last: watch::channel(false).0 }
    }
}

impl Endings {
    /// Becomes true for tasks that drain.
    pub fn draining(&self) -> watch::Receiver<bool> {
        self.draining.subscribe()
    }

    /// Becomes true when those have ended.
    pub fn last(&self) -> watch::Receiver<bool> {
        self.last.subscribe()
    }
}

/// Whether they ended by themselves, or some were still at work when the time was over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Drained {
    pub requests: bool,
    pub last: bool,
}

async fn all_end(tasks: &mut JoinSet<&'static str>, enough: impl Future<Output = ()>) -> bool {
    let is_done = tokio::select! {
        () = async { while tasks.join_next().await.is_some() {} } => true,
        () = enough => false,
    };
    tasks.shutdown().await;
    is_done
}

async fn named(name: &'static str, task: impl Future<Output = ()>) -> &'static str {
    task.await;
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECONDS: Duration = Duration::from_secs(5);

    async fn until(mut told: watch::Receiver<bool>) {
        drop(told.wait_for(|told| *told).await);
    }

    #[tokio::test]
    async fn the_first_task_to_end_is_named_and_others_drained() {
        let (mut tasks, end) = (Tasks::default(), Endings::default());
        tasks.spawn("goes on", std::future::pending());
        tasks.spawn("ends", async {});
        assert_eq!(tasks.first_end().await, "ends");
        tasks.spawn_draining("sends", until(end.draining()));
        tasks.spawn_last("takes", until(end.last()));
        assert_eq!(
            tasks.drain(&end, tokio::time::sleep(SECONDS), SECONDS).await,
            Drained { requests: true, last: true }
        );

        let (mut tasks, end) = (Tasks::default(), Endings::default());
        tasks.spawn_draining("hangs", std::future::pending());
        tasks.spawn_last("hangs, too", std::future::pending());
        let drained = tasks.drain(&end, async {}, Duration::from_millis(1)).await;
        assert_eq!(drained, Drained { requests: false, last: false });
    }

    /// What a request under way leads to is still taken.
    #[tokio::test]
    async fn last_tasks_stop_after_the_others_ended() {
        let (mut tasks, end) = (Tasks::default(), Endings::default());
        let (to_last, mut from_request) = tokio::sync::mpsc::channel(1);
        let told = end.draining();
        tasks.spawn_draining("sends", async move {
            until(told).await;
            tokio::task::yield_now().await;
            to_last.send("an answer").await.expect("somebody takes it");
        });
        let (told, (took, taken)) = (end.last(), tokio::sync::oneshot::channel());
        tasks.spawn_last("takes", async move {
            assert!(!*told.borrow());
            took.send(from_request.recv().await).expect("a test listens");
            until(told).await;
        });
        assert!(tasks.drain(&end, tokio::time::sleep(SECONDS), SECONDS).await.last);
        assert_eq!(taken.await, Ok(Some("an answer")));
    }

    #[tokio::test]
    async fn a_panic_is_an_end_too() {
        let mut tasks = Tasks::default();
        tasks.spawn("goes on", std::future::pending());
        tasks.spawn("panics", async { panic!("on purpose") });
        assert_eq!(tasks.first_end().await, "a task that panicked");
    }
}
