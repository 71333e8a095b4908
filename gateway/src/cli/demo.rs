//! Everything in one process: a shop, a broker, a simulated WhatsApp and the real gateway between them.

use std::future::Future;
use std::net::SocketAddr;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::Request;
use hyper_util::client::legacy::{Client, connect::HttpConnector};
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;

use super::run::{on_signal, runtime};
use super::{Failure, say};
use crate::app::{self, Listeners, ReloadHandle, Start};
use crate::config::{ConfigurationFile, LoadOptions};
use crate::demo::{broker, shop};
use crate::http::{digest, fresh};
use crate::random::Rng;
use crate::store::Store;
use crate::time::{Clock, SystemClock, zone_of_this_machine};

/// No password has this for its hash: the page of the demo is opened by its link.
const NO_PASSWORD: &str = "none";
/// Meta's id of the shop's number.
const NUMBER: &str = "109876543210123";
/// How long the scripted round trip waits for each step.
const STEP: Duration = Duration::from_secs(30);

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Play one round trip by itself, print each step, and end
    #[arg(long)]
    headless: bool,
    /// Where the phone's page is; port 0 takes a free one
    #[arg(long, default_value = "127.0.0.1:8090")]
    listen: SocketAddr,
}

pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    let _flushing = crate::log::start();
    let runtime = runtime()?;
    let outcome = runtime.block_on(play(arguments)).map_err(Failure::Io);
    runtime.shutdown_timeout(Duration::from_secs(1));
    outcome
}

async fn play(arguments: &Arguments) -> Result<()> {
    let listen = if arguments.headless { SocketAddr::from(([127, 0, 0, 1], 0)) } else { arguments.listen };
    let phone = TcpListener::bind(listen)
        .await
        .with_context(|| format!("{listen} cannot be opened; choose another with --listen 127.0.0.1:0"))?;
    let phone_at = phone.local_addr()?;
    let local = TcpListener::bind("127.0.0.1:0").await?;
    let local_at = local.local_addr()?;
    let mqtt = TcpListener::bind("127.0.0.1:0").await?;
    let broker_port = mqtt.local_addr()?.port();
    let folder = Folder::new(&format!("bellwire-demo-{}", std::process::id()))?;
    let file = configure(&folder.0, broker_port, local_at, phone_at)?;
    let (config, text) = file.load()?;

    tokio::spawn(broker::serve(mqtt));
    let options = cloud_api_simulator::Options {
        webhook: Some(format!("http://{local_at}/webhook/whatsapp")),
        app_secret: "demo".into(),
        verify_token: "demo".into(),
        access_token: None,
        phone_number_ids: vec![NUMBER.to_owned()],
    };
    tokio::spawn(cloud_api_simulator::serve(options, phone, std::future::pending()));
    let store = Store::open(&config.site.state_directory, &mut Rng::from_machine())?;
    store.transaction(|store| store.runs_with(&text, SystemClock.now()))?;
    store.set_password(NO_PASSWORD)?;
    let link = fresh("").context("the machine gives no random bytes; restart it")?;
    store.set_login_link(&digest(&link))?;
    let (stop, stopped) = watch::channel(false);
    let listeners = Listeners { local: Arc::new(local), webhook: None, metrics: None };
    let (reload, requests) = ReloadHandle::new(file);
    let gateway = tokio::spawn(app::run(Start { config, store, listeners, reload, requests }, stopped));
    let (said, mut hears) = mpsc::unbounded_channel();
    greet(phone_at, local_at).await?;
    // The shop says a few lines a minute, so this channel needs no bound; the printer drains it at once.
    let devices = tokio::spawn(shop::run(broker_port, Box::new(move |line| drop(said.send(line)))));

    let end: Pin<Box<dyn Future<Output = Result<()>>>> = if arguments.headless {
        Box::pin(round_trip(phone_at, &mut hears))
    } else {
        invite(phone_at, &format!("http://{local_at}/open/{link}"), broker_port);
        Box::pin(async {
            let mut signal = on_signal()?;
            loop {
                tokio::select! {
                    Some(line) = hears.recv() => say(&format!("   {line}")),
                    _ = signal.wait_for(|stop| *stop) => return Ok(()),
                }
            }
        })
    };
    let outcome = end.await;
    devices.abort();
    stop.send_replace(true);
    gateway.await.context("the gateway ended in a panic")??;
    outcome
}

/// The demo's folder, removed at its end.
struct Folder(std::path::PathBuf);

impl Folder {
    fn new(name: &str) -> Result<Self> {
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).with_context(|| format!("{} cannot be made", path.display()))?;
        Ok(Self(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.0)); // what stays behind is a few kilobytes in the temporary folder
    }
}

fn configure(folder: &Path, broker: u16, local: SocketAddr, phone: SocketAddr) -> Result<ConfigurationFile> {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    let secret = folder.join("secret");
    std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&secret)?
        .write_all(b"demo")?;
    let text = format!(
        "[site]\nname = \"Corner Bakery\"\ntime_zone = \"{}\"\nstate_directory = \"{}\"\n[http]\nlisten = \"{local}\"\n\
         [mqtt]\nurl = \"mqtt://127.0.0.1:{broker}\"\nversion = \"3.1.1\"\n[[connection]]\nname = \"demo\"\n\
         phone_number_id = \"{NUMBER}\"\naccess_token_file = \"secret\"\napp_secret_file = \"secret\"\n\
         verify_token_file = \"secret\"\napi_url = \"http://{phone}\"\n{}",
        zone_of_this_machine(), // the simulated phones are in this browser, and show its time
        folder.join("state").display(),
        shop::RULES
    );
    let path = folder.join("demo.toml");
    std::fs::write(&path, text).with_context(|| format!("{} cannot be written", path.display()))?;
    Ok(ConfigurationFile { path, options: LoadOptions::default() })
}

/// The people of the shop write first, as WhatsApp wants it: that opens their 24-hour windows for free texts.
async fn greet(phone: SocketAddr, local: SocketAddr) -> Result<()> {
    let ready = async {
        let url = format!("http://{local}/readyz");
        while call(Request::get(&url).body(Full::default())?).await.is_err() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        anyhow::Ok(())
    };
    timeout(STEP, ready).await.context("the gateway did not start")??;
    for from in shop::PHONES {
        let wave = json!({ "from": from, "text": "👋" });
        let request = Request::post(format!("http://{phone}/_simulator/reply"));
        call(request.body(Full::new(Bytes::from(wave.to_string())))?).await?;
    }
    Ok(())
}

fn invite(phone: SocketAddr, page: &str, broker: u16) {
    say(&format!(
        "Bellwire's demo: a shop, a broker and a simulated WhatsApp, all in this process.\n\n\
         Open  http://{phone}/_simulator/  and try:\n\
         1. In a few seconds freezer 2 defrosts and Nino gets an alert. Tap \"Stop defrost\" and watch it obey below.\n\
         2. Answer an alert with words: the button's title, in any case, does the same as the button.\n\
         3. Publish an event of your own:\n\
         \u{20}  mosquitto_pub -p {broker} -q 1 -t shop/pos/2/refund -m '{{\"amount\": 250, \"currency\": \"GEL\"}}'\n\n\
         The owner's page:  {page}\n\
         \u{20}  This link opens it once, in the browser that follows it. Ctrl-C ends it all.\n"
    ));
}

async fn round_trip(phone: SocketAddr, hears: &mut mpsc::UnboundedReceiver<String>) -> Result<()> {
    let defrost = timeout(STEP, hears.recv()).await.context("the shop said nothing")?.unwrap_or_default();
    say(&format!("1. {defrost}"));
    let alert = timeout(STEP, first_message(phone)).await.context("no alert came")??;
    let text = alert["text"].as_str().unwrap_or_default().replace('\n', " ");
    say(&format!("2. WhatsApp to {}: {text}", alert["to"].as_str().unwrap_or_default()));
    let tap = json!({ "from": alert["to"], "tap": "Stop defrost", "message_id": alert["id"] });
    call(
        Request::post(format!("http://{phone}/_simulator/reply"))
            .body(Full::new(Bytes::from(tap.to_string())))?,
    )
    .await?;
    say("3. Nino taps \"Stop defrost\"");
    let obeyed = async {
        while let Some(line) = hears.recv().await {
            if line.contains("obeys") {
                return Ok(line);
            }
        }
        bail!("the shop has closed")
    };
    let line = timeout(STEP, obeyed).await.context("the freezer did not obey")??;
    say(&format!("4. {line}\nThe round trip works."));
    Ok(())
}

async fn first_message(phone: SocketAddr) -> Result<Value> {
    loop {
        let request = Request::get(format!("http://{phone}/_simulator/messages")).body(Full::default())?;
        if let Some(message) = call(request).await?.as_array().and_then(|messages| messages.first()) {
            return Ok(message.clone());
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

async fn call(request: Request<Full<Bytes>>) -> Result<Value> {
    let client: Client<HttpConnector, Full<Bytes>> = Client::builder(TokioExecutor::new()).build_http();
    let response = client.request(request).await?;
    let status = response.status();
    let body = response.into_body().collect().await?.to_bytes();
    if !status.is_success() {
        bail!("the simulator answered {status}: {}", String::from_utf8_lossy(&body));
    }
    Ok(serde_json::from_slice(&body)?)
}
