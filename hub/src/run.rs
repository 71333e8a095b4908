//! The start and the end: what may fail first, then everything runs, then what is under way finishes.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use bellwire::whatsapp::client::{Client, Deadlines};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::audit::Audit;
use crate::engine::{JetStream, Table, follow, until_ready};
use crate::http::{Bodies, Hub, admin_routes, routes, serve};
use crate::incoming::{self, Asker, CAME, Wakes};
use crate::pace::{Limits, Paces, Reach};
use crate::settings::{Settings, Silent};
use crate::sites::{Registry, SeenSites, random_hex, silence};

/// Less than the 35 s after which a repetition takes a hub for gone (`out::sent`).
const META: Deadlines = Deadlines { connect: Duration::from_secs(5), answer: Duration::from_secs(25) };

fn warn_of_strangers(silent: &Silent, sites: &Registry) {
    let known = sites.all(None);
    for site in silent.tell.iter().filter(|site| !known.contains(site)) {
        tracing::warn!(site, "[silent] tells a site that is not enrolled; `bellwire-hub sites add` makes it");
    }
}

async fn bind(address: &str, what: &str) -> anyhow::Result<TcpListener> {
    let listener = TcpListener::bind(address).await;
    listener.with_context(|| format!("{what} cannot listen at {address}; does another hub?"))
}

pub async fn run(settings: Settings) -> anyhow::Result<()> {
    let certificate = settings.certificate()?;
    let listener = bind(&settings.listen, "the hub").await?;
    let admin = match &settings.admin {
        Some(address) => Some(bind(address, "the page of all sites").await?),
        None => None,
    };
    let engine = JetStream::open(&settings.engine).await?;
    let sites = until_ready(|| follow::<Registry>(engine.clone(), Table::Sites)).await?;
    let seen = until_ready(|| follow::<SeenSites>(engine.clone(), Table::Seen)).await?;
    let signals = engine.signals();
    let name = random_hex::<8>()?;
    let paces = Paces::start(&settings.numbers, &name, &signals);
    let wakes = until_ready(|| Wakes::start(&engine, &signals)).await?;
    let (settings, client) = (Arc::new(settings), Client::new(META)?);
    let limits = Limits::new(&engine, until_ready(|| Reach::start(&engine, &settings, &client)).await?);
    let asker = Asker {
        settings: Arc::clone(&settings),
        client: client.clone(),
        paces: paces.clone(),
        limits: limits.clone(),
    };
    let mut tasks = JoinSet::new();
    tasks.spawn(incoming::run(engine.clone(), name, sites.clone(), asker, signals.hear(CAME).await?));
    if let Some(silent) = settings.silent.clone() {
        warn_of_strangers(&silent, &sites.borrow());
        tasks.spawn(silence::watch(engine.clone(), sites.clone(), seen.clone(), silent));
    }
    let (stop, stopping) = watch::channel(false);
    let audit = until_ready(|| Audit::start(engine.clone())).await?;
    let hub = Hub {
        settings,
        limits,
        engine,
        signals,
        client,
        sites,
        paces,
        wakes,
        stopping: stopping.clone(),
        seen,
        noted: Arc::default(),
        metrics: Arc::default(),
        audit: audit.clone(),
        bodies: Bodies::default(),
    };
    if let Some(listener) = admin {
        tasks.spawn(serve(listener, None, admin_routes(hub.clone()), stopping.clone()));
    }
    let of_engine = hub.engine.clone();
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let serving = tokio::spawn(serve(listener, certificate, routes(hub), stopping));
    tracing::info!("the hub is ready");
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
        log = of_engine.lost() => bail!("the engine has lost {}: is it another engine, or were its disks lost? Start the hub again, and it makes a new one", log.name()),
        ended = tasks.join_next() => bail!("a part of the hub ended by itself: {ended:?}"), // whoever started it starts it again
    }
    tracing::info!("the hub stops; requests under way may finish");
    stop.send_replace(true);
    serving.await.context("the server failed")?;
    audit.end().await;
    drop(tasks); // another hub goes on from where this one wrote down last
    Ok(())
}
