//! The start and the end: what may fail first, then everything runs, then what is under way finishes.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use bellwire::whatsapp::client::{Client, Deadlines};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use crate::engine::JetStream;
use crate::http::{Hub, routes, serve};
use crate::incoming::{self, Asker, Wakes};
use crate::pace::Paces;
use crate::settings::Settings;
use crate::sites::{follow, random_hex};

/// Less than the 35 s after which a repetition takes a hub for gone (`out::sent`).
const META: Deadlines = Deadlines { connect: Duration::from_secs(5), answer: Duration::from_secs(25) };

pub async fn run(settings: Settings) -> anyhow::Result<()> {
    let listener = TcpListener::bind(&settings.listen)
        .await
        .with_context(|| format!("{} cannot be listened at; is another hub there?", settings.listen))?;
    let engine = JetStream::open(&settings.engine).await?;
    let sites = follow(engine.clone()).await?;
    let signals = engine.signals();
    let name = random_hex::<8>()?;
    let paces = Paces::start(&settings.numbers, &name, &signals);
    let wakes = Wakes::start(&signals).await?;
    let (settings, client) = (Arc::new(settings), Client::new(META)?);
    let asker = Asker { settings: Arc::clone(&settings), client: client.clone(), paces: paces.clone() };
    let router = incoming::run(engine.clone(), sites.clone(), asker);
    let (stop, stopping) = watch::channel(false);
    let hub = Hub {
        settings,
        engine,
        client,
        sites,
        paces,
        wakes,
        stopping: stopping.clone(),
        seen: Arc::default(),
    };
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let routing = tokio::spawn(router);
    let serving = tokio::spawn(serve(listener, routes(hub), stopping));
    tracing::info!("the hub serves");
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    tracing::info!("the hub ends: what is under way may finish");
    stop.send_replace(true);
    serving.await.context("the server failed")?;
    routing.abort(); // another hub goes on from where it wrote down last
    Ok(())
}
