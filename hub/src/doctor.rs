//! Looks whether the engine is what the promises rest on: an acknowledgement that means "on disk", at as many nodes as were asked
//! for. Every finding is a sentence with its next step.

use std::time::Duration;

use anyhow::{Context, bail};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::engine::JetStream;
use crate::settings::{EngineSettings, Settings};

const DEADLINE: Duration = Duration::from_secs(5);
const ANSWER_MAX: u64 = 1024 * 1024;
/// Older ones cannot sync before they acknowledge, or lack what the tables need.
const OLDEST: (u64, u64) = (2, 12);

/// What is wrong; nothing: all is well.
pub async fn examine(settings: &Settings) -> Vec<String> {
    let mut wrong = nodes(&settings.engine).await;
    if let Err(error) = JetStream::open(&settings.engine).await {
        wrong.push(format!("the engine cannot be used: {error:#}"));
    }
    wrong
}

/// Whether the hub on this machine takes requests: what health checks ask.
pub async fn examine_daemon(settings: &Settings) -> anyhow::Result<()> {
    let listen = &settings.listen;
    let none = || format!("no hub takes requests at {listen}");
    let here = match listen.rsplit_once(':') {
        Some(("0.0.0.0" | "[::]", port)) => format!("127.0.0.1:{port}"),
        Some(_) | None => listen.clone(),
    };
    if settings.certificate()?.is_some() {
        // Whose name is in the certificate is not known here: that somebody takes connections must do.
        let connected = tokio::time::timeout(DEADLINE, TcpStream::connect(&here)).await;
        return connected.is_ok_and(|connected| connected.is_ok()).then_some(()).with_context(none);
    }
    let answer = ask(&here, "/readyz").await.with_context(none)?;
    match answer.split_whitespace().nth(1) {
        Some("200") => Ok(()),
        Some(_) | None => bail!("the hub at {listen} is about to end"),
    }
}

async fn nodes(engine: &EngineSettings) -> Vec<String> {
    let mut wrong = Vec::new();
    if engine.monitors.len() != engine.replicas {
        wrong.push(format!(
            "[engine] names {} monitors for {} replicas: name each node's (`http_port` in its settings), or nobody can \
             see whether it syncs",
            engine.monitors.len(),
            engine.replicas
        ));
    }
    for monitor in &engine.monitors {
        match node(monitor).await {
            Ok(found) => wrong.extend(judge(&found).into_iter().map(|what| format!("{monitor}: {what}"))),
            Err(error) => wrong.push(format!("{monitor} does not tell its settings: {error:#}")),
        }
    }
    wrong
}

/// What one node says of itself.
#[derive(Debug, Default, PartialEq, Eq)]
struct Node {
    version: String,
    syncs_always: bool,
    has_jetstream: bool,
}

fn judge(node: &Node) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut numbers = node.version.split('.').map(|number| number.parse::<u64>().unwrap_or(0));
    let version = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    if version < OLDEST {
        wrong.push(format!("it is nats-server {}; install {}.{} or newer", node.version, OLDEST.0, OLDEST.1));
    }
    if !node.has_jetstream {
        wrong.push("JetStream is off; write jetstream { store_dir: … } into its settings".to_owned());
    } else if !node.syncs_always {
        wrong.push(
            "it acknowledges before it is on disk, and a power cut loses that; write sync_interval: always into its \
             jetstream section"
                .to_owned(),
        );
    }
    wrong
}

async fn node(monitor: &str) -> anyhow::Result<Node> {
    let (about, jetstream) = (get(monitor, "/varz").await?, get(monitor, "/jsz?config=true").await?);
    Ok(Node {
        version: about["version"].as_str().unwrap_or_default().to_owned(),
        syncs_always: jetstream["config"]["sync_always"] == true,
        has_jetstream: jetstream["config"]["store_dir"].is_string(),
    })
}

/// The monitor speaks plain HTTP to whoever may reach it.
async fn get(monitor: &str, path: &str) -> anyhow::Result<Value> {
    let Some(host) = monitor.strip_prefix("http://").map(|host| host.trim_end_matches('/')) else {
        bail!("write it as http://host:8222");
    };
    let answer = ask(host, path).await.context("is http_port set in its settings?")?;
    let (_, body) = answer.split_once("\r\n\r\n").context("its answer is not HTTP")?;
    serde_json::from_str(body)
        .context("its answer is not that of a NATS server's monitor; is it the right port?")
}

/// The whole answer, as text.
async fn ask(host: &str, path: &str) -> anyhow::Result<String> {
    let answer = async {
        let mut stream = TcpStream::connect(host).await.context("nobody listens there")?;
        let request = format!("GET {path} HTTP/1.0\r\nHost: {host}\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        let mut answer = Vec::new();
        stream.take(ANSWER_MAX).read_to_end(&mut answer).await?;
        anyhow::Ok(String::from_utf8_lossy(&answer).into_owned())
    };
    tokio::time::timeout(DEADLINE, answer).await.context("it took longer than five seconds")?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_engine_that_acknowledges_too_early_is_refused() {
        let good = || Node { version: "2.15.1".into(), syncs_always: true, has_jetstream: true };
        assert!(judge(&good()).is_empty());
        for (node, expected) in [
            (Node { syncs_always: false, ..good() }, "sync_interval: always"),
            (Node { version: "2.9.10".into(), ..good() }, "2.12 or newer"),
            (Node { has_jetstream: false, ..good() }, "JetStream is off"),
        ] {
            let wrong = judge(&node);
            assert!(wrong.len() == 1 && wrong[0].contains(expected), "{wrong:?}");
        }
    }
}
