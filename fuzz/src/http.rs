//! What a connection to the gateway's door says: the real routes, guard and limits, over a desk that has nothing. Nobody gets
//! to the desk without a key, and nothing is kept without Meta's signature.

use std::future::ready;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use bellwire::http::{
    Actor, AdminAction, AdminApi, AdminQuery, ApiError, ApiFuture, ApiToken, AppState, Credentials,
    Handshake, Peer, Scope, Stage, View, Webhook, converse, front_routes, webhook_routes,
};
use bellwire::time::{SystemClock, zone};
use bellwire::whatsapp::signature;
use bytes::Bytes;
use secrecy::SecretString;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::watch;

/// A session's cookie and a token; the digests are what the store would have (`tests/fuzz` says of what).
const SESSION: &str = "fuzzed-session";
const SESSION_DIGEST: &str = "ee89e8bc7d2bc9dab820bab83d7d36eb8ed76baad104560aa279750f51648026";
const TOKEN: &str = "bw_fuzzed";
const TOKEN_DIGEST: &str = "635dba330c020508e8651e4670fcffcefe803adf1fbd166b6ab93504554b29ee";
const SECRET: &str = "fuzzed-secret";
/// Larger than any bound of ours; a request that goes on for longer is answered before it is read.
const PIPE_BYTES: usize = 1024 * 1024;
/// Nothing here waits for a disk or a person.
const PATIENCE: Duration = Duration::from_secs(60);

/// What the doors lead to.
#[derive(Default)]
struct House {
    asked: AtomicBool,
    acted: AtomicBool,
    kept: AtomicBool,
}

fn nothing<T: Send + 'static>() -> ApiFuture<T> {
    Box::pin(ready(Err(ApiError::NotFound("there is nothing".into()))))
}

impl AdminApi for House {
    fn ask(&self, _: AdminQuery) -> ApiFuture<Value> {
        self.asked.store(true, SeqCst);
        nothing()
    }
    fn act(&self, _: AdminAction, _: Actor) -> ApiFuture<Value> {
        self.acted.store(true, SeqCst);
        nothing()
    }
    fn revision(&self) -> ApiFuture<i64> {
        Box::pin(ready(Ok(1)))
    }
}

impl Credentials for House {
    fn password(&self) -> ApiFuture<Option<String>> {
        Box::pin(ready(Ok(Some("a hash that no password has".into()))))
    }
    fn set_password(&self, _: String, _: Actor) -> ApiFuture<()> {
        unreachable!("nobody knows the password")
    }
    fn open_session(&self, _: String, _: String, _: Actor) -> ApiFuture<()> {
        unreachable!("nobody knows the password")
    }
    fn use_link(&self, _: String) -> ApiFuture<bool> {
        Box::pin(ready(Ok(false)))
    }
    fn has_session(&self, hash: String) -> ApiFuture<bool> {
        Box::pin(ready(Ok(hash == SESSION_DIGEST)))
    }
    fn close_session(&self, _: String, _: Actor) -> ApiFuture<()> {
        nothing()
    }
    fn token(&self, hash: String) -> ApiFuture<Option<ApiToken>> {
        let (name, scopes) = ("fuzz".to_owned(), Scope::ALL.to_vec());
        let token = || ApiToken { name, scopes, topic: None, expires_at: None };
        Box::pin(ready(Ok((hash == TOKEN_DIGEST).then(token))))
    }
    fn add_token(&self, _: ApiToken, _: String, _: Actor) -> ApiFuture<i64> {
        self.acted.store(true, SeqCst);
        nothing()
    }
    fn refused(&self, _: Actor) {}
}

impl Webhook for House {
    fn handshake(&self, query: &str) -> Handshake {
        match signature::handshake(query, &[SecretString::from("fuzzed-verify")]) {
            signature::Handshake::Challenge(challenge) => Handshake::Challenge(challenge),
            signature::Handshake::Wrong => Handshake::Wrong,
            signature::Handshake::Malformed => Handshake::Malformed,
        }
    }
    fn signed_by(&self, header: Option<&str>, body: &[u8]) -> Vec<String> {
        let signed = signature::verify(&[SecretString::from(SECRET)], header, body);
        signed.then(|| "main".to_owned()).into_iter().collect()
    }
    fn keep(&self, body: Bytes, _: Vec<String>) -> Pin<Box<dyn Future<Output = bool> + Send>> {
        self.kept.store(!body.is_empty(), SeqCst);
        Box::pin(ready(true))
    }
    fn refused(&self, _: bellwire::http::WebhookRejection) {}
}

pub fn http(data: &[u8]) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    let house = Arc::new(House::default());
    let answers = runtime.block_on(async {
        tokio::time::timeout(PATIENCE, talk(Arc::clone(&house), data)).await.expect("an end within a minute")
    });
    let said = String::from_utf8_lossy(&answers);
    assert!(said.is_empty() || said.starts_with("HTTP/1."), "{said}");
    let broken = ["HTTP/1.1 500", "HTTP/1.0 500"].iter().any(|status| said.contains(status));
    assert!(!broken, "{said}");
    let holds = |secret: &str| data.windows(secret.len()).any(|window| window == secret.as_bytes());
    let has_key = holds(SESSION) || holds(TOKEN);
    assert!(
        has_key || !(house.asked.load(SeqCst) || house.acted.load(SeqCst)),
        "the desk was asked without a key"
    );
    assert!(holds("sha256=") || !house.kept.load(SeqCst), "a body was kept without a signature");
}

async fn talk(house: Arc<House>, data: &[u8]) -> Vec<u8> {
    static VIEW: LazyLock<View> = LazyLock::new(|| {
        View::new("Corner Bakery", &zone("Asia/Tbilisi").expect("a zone"), Arc::new(SystemClock))
    });
    let (running, stop) = watch::channel(false);
    let (desk, keys) = (Arc::clone(&house), Arc::clone(&house));
    let front = AppState::new(
        desk,
        keys,
        VIEW.clone(),
        (vec!["bakery.example".into()], Vec::new(), None),
        None,
        stop.clone(),
    );
    let routes = front_routes(Arc::new(front)).merge(webhook_routes(house));
    let (mut client, server) = tokio::io::duplex(PIPE_BYTES);
    let peer = Peer { address: IpAddr::from([192, 0, 2, 7]), encrypted: false };
    let mut answers = Vec::new();
    let ask = async {
        // A door that closes early is no failure.
        if client.write_all(&data[..data.len().min(PIPE_BYTES)]).await.is_ok() {
            drop(client.shutdown().await);
        }
        drop(client.read_to_end(&mut answers).await);
    };
    let stage = Stage::default();
    tokio::join!(converse(server, peer, &stage, routes, stop), ask);
    drop(running);
    answers
}
