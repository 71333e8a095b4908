//! Every task that runs as long as the daemon does. One that ends by itself ends the process with its name and reason: what
//! it did nobody does any more, and a process that starts again does all of it (crash only).

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;

/// Why the daemon ends by itself.
#[derive(Debug, thiserror::Error)]
pub enum Fatal {
    /// Something that a person must change first.
    #[error("{0:#}")]
    Start(anyhow::Error),
    /// Exit 74; systemd starts it again, and it reads what is really on disk.
    #[error("the disk failed: {0}")]
    Disk(Arc<str>),
    /// Exit 74 as well: a new process begins with what is on disk.
    #[error("the database refused what cannot be left out: {0}")]
    Refused(String),
    /// Exit 74 as well: nobody does that task's work any more, and a new process does.
    #[error("{0} ended, and nobody does its work any more; a new process does")]
    Task(&'static str),
}

/// Those that run, by what they are called in the log.
#[derive(Debug, Default)]
pub struct Tasks {
    /// They end when they are told to stop, and what they have under way may finish.
    draining: JoinSet<&'static str>,
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

    /// The first that ends: its name. A panic ends the process by itself (`panic = "abort"`), except in tests.
    pub async fn first_end(&mut self) -> &'static str {
        let ended = tokio::select! {
            Some(ended) = self.draining.join_next() => ended,
            Some(ended) = self.others.join_next() => ended,
            else => return "every task",
        };
        ended.unwrap_or("a task that panicked")
    }

    /// Waits for those that end by themselves, now that they are told to; `false`: some were still at work when the time was
    /// over. Then all others end.
    pub async fn drain(mut self, limit: Duration) -> bool {
        let all = async { while self.draining.join_next().await.is_some() {} };
        let is_done = tokio::time::timeout(limit, all).await.is_ok();
        self.draining.shutdown().await;
        self.others.shutdown().await;
        is_done
    }
}

async fn named(name: &'static str, task: impl Future<Output = ()>) -> &'static str {
    task.await;
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_first_task_that_ends_is_named_and_the_rest_are_drained() {
        let mut tasks = Tasks::default();
        tasks.spawn("goes on", std::future::pending());
        tasks.spawn("ends", async {});
        assert_eq!(tasks.first_end().await, "ends");
        let (told, stop) = tokio::sync::oneshot::channel::<()>();
        tasks.spawn_draining("sends", async { drop(stop.await) });
        drop(told);
        assert!(tasks.drain(Duration::from_secs(5)).await);

        let mut tasks = Tasks::default();
        tasks.spawn_draining("hangs", std::future::pending());
        assert!(!tasks.drain(Duration::from_millis(1)).await);
    }

    #[tokio::test]
    async fn a_panic_is_an_end_too() {
        let mut tasks = Tasks::default();
        tasks.spawn("goes on", std::future::pending());
        tasks.spawn("panics", async { panic!("on purpose") });
        assert_eq!(tasks.first_end().await, "a task that panicked");
    }
}
