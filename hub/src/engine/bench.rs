//! What the engine's acknowledgement costs, on the disks and lines that it has: in a log of its own, which is removed.

use std::time::Duration;

use anyhow::Context as _;
use async_nats::jetstream::context::Context;
use async_nats::jetstream::stream::{Config, StorageType};
use bellwire::time::SystemClock;
use bytes::Bytes;
use futures_util::stream::{self, StreamExt, TryStreamExt};

use super::jetstream::connect;
use super::ready::until_ready;
use crate::settings::EngineSettings;

/// Enough for the slowest of a hundred.
const IN_TURN: usize = 300;
/// Enough for some seconds with disks of this time, and for less than a minute with a card's.
const AT_ONCE: usize = 10_000;
pub const IN_FLIGHT: usize = 64;
/// As a webhook of Meta's has.
const BODY: &[u8] = &[b'x'; 1_024];
/// The log ends by itself if this program is killed.
const KEPT: Duration = Duration::from_secs(600);

#[derive(Debug)]
pub struct Measured {
    pub middle: Duration,
    /// 99 of 100 take as long at most.
    pub slow: Duration,
    /// With so many in flight as `IN_FLIGHT`.
    pub per_second: f64,
}

pub async fn bench(settings: &EngineSettings, name: &str) -> anyhow::Result<Measured> {
    let context = async_nats::jetstream::new(connect(settings).await?);
    let config = Config {
        name: format!("BENCH_{name}"),
        subjects: vec![format!("bench.{name}")],
        storage: StorageType::File,
        num_replicas: settings.replicas,
        max_age: KEPT,
        ..Config::default()
    };
    let log = &config.name;
    let made = context.create_stream(config.clone()).await;
    made.context("the engine does not make a log to measure with; `bellwire-hub doctor` says what it lacks")?;
    let measured = measure(&context, &config.subjects[0]).await;
    let removed = context.delete_stream(log).await;
    removed.with_context(|| format!("the log {log} was not removed; `nats stream rm {log}` does it"))?;
    measured
}

async fn measure(context: &Context, subject: &str) -> anyhow::Result<Measured> {
    until_ready(|| append(context, subject)).await?;
    let mut waits = Vec::with_capacity(IN_TURN);
    for _ in 0..IN_TURN {
        waits.push(append(context, subject).await?);
    }
    waits.sort();
    let begun = SystemClock.both().steady;
    stream::iter(0..AT_ONCE)
        .map(|_| append(context, subject))
        .buffer_unordered(IN_FLIGHT)
        .try_for_each(|_| std::future::ready(Ok(())))
        .await?;
    let took = SystemClock.both().steady.saturating_sub(begun);
    let per_second = f64::from(u32::try_from(AT_ONCE)?) / took.as_secs_f64();
    Ok(Measured { middle: waits[IN_TURN / 2], slow: waits[IN_TURN * 99 / 100], per_second })
}

/// Until it is acknowledged.
async fn append(context: &Context, subject: &str) -> anyhow::Result<Duration> {
    let begun = SystemClock.both().steady;
    context.publish(subject.to_owned(), Bytes::from_static(BODY)).await?.await?;
    Ok(SystemClock.both().steady.saturating_sub(begun))
}
