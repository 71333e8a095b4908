//! Files on their way to Meta (docs/cloud-api.md 2). Their bytes go from the source to the line piece by piece: a document of 100 MB
//! needs 64 KiB of memory.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt, Limited};
use hyper::Method;
use hyper::Request;
use hyper::Uri;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, HOST, USER_AGENT};
use rustix::fs::OFlags;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt, ReadBuf};

use super::client::{BoxError, Client, Endpoint, causes, judge, whole};
use crate::outbox::retry_policy::ApiAnswer;

/// A camera on the same network begins to answer in a second or two; the alert waits for it.
const FETCH_DEADLINE: Duration = Duration::from_secs(10);
/// A camera that does not say how long its file is has it read whole; what WhatsApp shows of videos is no longer.
const UNSAID_MAX: usize = 16 * 1024 * 1024;
/// Read from a file at once.
const PIECE: usize = 64 * 1024;
/// The longest beginning that tells what a file is.
const BEGINNING: usize = 16;

/// A file whose beginning is here and whose rest comes when it is sent.
#[derive(Debug)]
pub struct UploadSource {
    /// What it was called where it comes from.
    pub content_type: Option<String>,
    /// Its first bytes, 16 at least unless it is shorter.
    pub beginning: Bytes,
    /// All of its bytes.
    pub length: usize,
    rest: Rest,
}

#[derive(Debug)]
enum Rest {
    Nothing,
    Line(Incoming),
    File(tokio::fs::File),
}

impl UploadSource {
    /// A file that is in memory.
    #[must_use]
    pub fn of(bytes: Bytes) -> Self {
        Self { content_type: None, length: bytes.len(), beginning: bytes, rest: Rest::Nothing }
    }

    /// A file of this machine's; a link must not lead out of the folder. The error is a sentence.
    pub async fn file(path: &Path, within: Option<&Path>) -> Result<Self, String> {
        let wrong = |error: std::io::Error| format!("{}: {error}", path.display());
        let found = tokio::fs::canonicalize(path).await.map_err(wrong)?;
        if let Some(within) = within {
            let folder = tokio::fs::canonicalize(within).await.map_err(wrong)?;
            if !found.starts_with(&folder) {
                return Err(format!("{} leads out of {}", path.display(), within.display()));
            }
        }
        // Opening a pipe would wait for its writer.
        if !tokio::fs::symlink_metadata(&found).await.map_err(wrong)?.is_file() {
            return Err(format!("{} is not a file", path.display()));
        }
        let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
        let mut options = tokio::fs::OpenOptions::new();
        options.read(true).custom_flags(i32::try_from(flags.bits()).unwrap_or_default());
        let mut file = options.open(&found).await.map_err(wrong)?;
        let about = file.metadata().await.map_err(wrong)?;
        if !about.is_file() {
            return Err(format!("{} is not a file", path.display()));
        }
        let length = usize::try_from(about.len()).unwrap_or(usize::MAX);
        let mut beginning = vec![0; BEGINNING.min(length)];
        file.read_exact(&mut beginning).await.map_err(wrong)?;
        Ok(Self { content_type: None, beginning: beginning.into(), length, rest: Rest::File(file) })
    }
}

impl Client {
    /// Uploads a file; the answer is its id. The file part's MIME type decides what Meta takes it for.
    pub async fn upload(
        &self,
        endpoint: &Endpoint,
        mime: &str,
        source: UploadSource,
    ) -> Result<String, ApiAnswer> {
        let boundary = "bellwire-7c9e6679f0b84a3d"; // 64 bits that no file holds by chance
        let part = |name: &str, value: &str| {
            format!("--{boundary}\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n")
        };
        let head = format!(
            "{}{}--{boundary}\r\nContent-Disposition: form-data; name=\"file\"; filename=\"file\"\r\nContent-Type: {mime}\r\n\r\n",
            part("messaging_product", "whatsapp"),
            part("type", mime),
        );
        let body = Pieces::new(head, source, format!("\r\n--{boundary}--\r\n"));
        let path = format!("{}/media", endpoint.phone_number_id);
        let kind = format!("multipart/form-data; boundary={boundary}");
        let (status, headers, body) =
            self.call(Method::POST, endpoint, &path, Some(&kind), body.boxed_unsync()).await?;
        let json: Value = serde_json::from_slice(&body).unwrap_or(Value::Null);
        match json["id"].as_str().filter(|_| status.is_success()) {
            Some(id) => Ok(id.to_owned()),
            None => Err(judge(status, &headers, &body)),
        }
    }

    /// A file at an address on the local network, such as a camera's, `user:password@` included. The error is a sentence.
    pub async fn open(&self, url: &str, limit: usize) -> Result<UploadSource, String> {
        tokio::time::timeout(FETCH_DEADLINE, self.begin(url, limit))
            .await
            .unwrap_or_else(|_| Err(format!("no answer within {} s", FETCH_DEADLINE.as_secs())))
    }

    async fn begin(&self, url: &str, limit: usize) -> Result<UploadSource, String> {
        let (plain, credentials) = take_credentials(url);
        let (address, host) = reachable(&plain).await?;
        let mut request = Request::builder()
            .uri(address)
            .header(HOST, host)
            .header(USER_AGENT, concat!("bellwire/", env!("CARGO_PKG_VERSION")));
        if let Some(credentials) = credentials {
            request = request.header(AUTHORIZATION, format!("Basic {}", STANDARD.encode(credentials)));
        }
        let request =
            request.body(whole(Bytes::new())).map_err(|error| format!("the address is wrong: {error}"))?;
        let response = self.http.request(request).await.map_err(|error| causes(&error))?;
        if !response.status().is_success() {
            return Err(format!("HTTP {}", response.status()));
        }
        let word = |name| response.headers().get(name).and_then(|word| word.to_str().ok());
        let content_type = word(CONTENT_TYPE).map(str::to_owned);
        let length: Option<usize> = word(CONTENT_LENGTH).and_then(|length| length.parse().ok());
        let mut body = response.into_body();
        let Some(length) = length else {
            let all = Limited::new(body, limit.min(UNSAID_MAX)).collect().await;
            let beginning = all.map_err(|error| error.to_string())?.to_bytes();
            return Ok(UploadSource {
                content_type,
                length: beginning.len(),
                beginning,
                rest: Rest::Nothing,
            });
        };
        let mut beginning = BytesMut::new();
        while length <= limit && beginning.len() < BEGINNING.min(length) {
            let frame = body.frame().await.ok_or("the file broke off")?;
            if let Ok(data) = frame.map_err(|error| error.to_string())?.into_data() {
                beginning.extend_from_slice(&data);
            }
        }
        Ok(UploadSource { content_type, beginning: beginning.freeze(), length, rest: Rest::Line(body) })
    }
}

/// The body of an upload: what stands before the file, the file, what stands after it. Its length is known, since Meta's
/// servers take no other uploads.
struct Pieces {
    before: Vec<Bytes>,
    rest: Rest,
    /// Bytes that are still to come out of `rest`.
    missing: usize,
    after: Option<Bytes>,
}

impl Pieces {
    fn new(head: String, source: UploadSource, tail: String) -> Self {
        let missing = source.length.saturating_sub(source.beginning.len());
        let before = vec![source.beginning, Bytes::from(head)]; // taken from the end
        Self { before, rest: source.rest, missing, after: Some(Bytes::from(tail)) }
    }

    /// The next bytes of the rest; `None` at its end.
    fn poll_rest(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, BoxError>>> {
        loop {
            let data = match &mut self.rest {
                Rest::Nothing => return Poll::Ready(None),
                Rest::Line(body) => match std::task::ready!(Pin::new(body).poll_frame(context)) {
                    None => Bytes::new(),
                    Some(Err(error)) => return Poll::Ready(Some(Err(error.into()))),
                    Some(Ok(frame)) => match frame.into_data() {
                        Ok(data) if !data.is_empty() => data,
                        Ok(_) | Err(_) => continue, // trailers
                    },
                },
                Rest::File(file) => {
                    let mut room = vec![0; PIECE.min(self.missing.max(1))];
                    let mut piece = ReadBuf::new(&mut room);
                    if let Err(error) = std::task::ready!(Pin::new(file).poll_read(context, &mut piece)) {
                        return Poll::Ready(Some(Err(error.into())));
                    }
                    let read = piece.filled().len();
                    room.truncate(read);
                    Bytes::from(room)
                }
            };
            if data.is_empty() || data.len() >= self.missing {
                self.rest = Rest::Nothing;
            }
            // A file that grows while it is sent is cut where it ended when it was opened.
            let data = data.slice(..data.len().min(self.missing));
            self.missing -= data.len();
            if !data.is_empty() {
                return Poll::Ready(Some(Ok(data)));
            }
        }
    }
}

impl Body for Pieces {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let next = match self.before.pop() {
            Some(bytes) => Some(Ok(bytes)),
            None => match std::task::ready!(self.poll_rest(context)) {
                None if self.missing > 0 => {
                    let error = format!("the file broke off {} bytes before its end", self.missing);
                    self.missing = 0;
                    self.after = None;
                    Some(Err(error.into()))
                }
                None => self.after.take().map(Ok),
                data => data,
            },
        };
        Poll::Ready(next.map(|data| data.map(Frame::data)))
    }

    fn size_hint(&self) -> SizeHint {
        let here = self.before.iter().chain(&self.after).map(Bytes::len).sum::<usize>();
        SizeHint::with_exact((here + self.missing) as u64)
    }
}

/// The address to go to, and the host that is asked for: a name is looked up here, so that what was judged is where we go. What
/// serves TLS proves its name by itself.
async fn reachable(url: &str) -> Result<(String, String), String> {
    let wrong = |error: hyper::http::uri::InvalidUri| format!("the address is wrong: {error}");
    let uri: Uri = url.parse().map_err(wrong)?;
    let host = uri.host().map(|host| host.trim_start_matches('[').trim_end_matches(']')).unwrap_or_default();
    let authority = uri.authority().map(|authority| authority.as_str().to_owned()).unwrap_or_default();
    let port = uri.port_u16().unwrap_or(if uri.scheme_str() == Some("https") { 443 } else { 80 });
    let found = tokio::net::lookup_host((host, port)).await.map_err(|error| format!("{host}: {error}"))?;
    let is_local = host == "localhost" || host.parse::<IpAddr>().is_ok();
    let mut allowed = found.map(|socket| socket.ip().to_canonical()).filter(|ip| may_reach(*ip, is_local));
    let Some(ip) = allowed.next() else {
        return Err(format!("{host} leads to this machine or to an address that no camera has"));
    };
    if uri.scheme_str() == Some("https") {
        return Ok((url.to_owned(), authority));
    }
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    Ok((format!("http://{}{path}", SocketAddr::new(ip, port)), authority))
}

/// Link-local addresses are where clouds keep the machine's own secrets (169.254.169.254, fd00:ec2::254, 100.100.100.200). This
/// machine is meant only where it is named as such: a name that leads here is somebody's trick.
fn may_reach(ip: IpAddr, is_local: bool) -> bool {
    let is_secret = match ip {
        IpAddr::V4(ip) => ip.is_link_local() || ip.is_broadcast() || ip.octets() == [100, 100, 100, 200],
        IpAddr::V6(ip) => {
            ip.is_unicast_link_local() || ip.segments() == [0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254]
        }
    };
    !is_secret && !ip.is_unspecified() && !ip.is_multicast() && (is_local || !ip.is_loopback())
}

/// `http://user:password@camera/` as its two halves.
fn take_credentials(url: &str) -> (String, Option<&str>) {
    let halves = url.split_once("://").and_then(|(scheme, rest)| {
        let authority = rest.split(['/', '?']).next()?;
        let (credentials, host) = authority.rsplit_once('@')?;
        Some((format!("{scheme}://{host}{}", &rest[authority.len()..]), credentials))
    });
    match halves {
        Some((plain, credentials)) => (plain, Some(credentials)),
        None => (url.to_owned(), None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uploads_fetch_nothing_from_loopback_or_metadata_addresses() {
        for (ip, is_local, may) in [
            ("192.168.1.20", false, true),
            ("127.0.0.1", true, true),
            ("127.0.0.1", false, false),
            ("::1", false, false),
            ("169.254.169.254", true, false),
            ("fe80::1", true, false),
            ("fd00:ec2::254", true, false),
            ("100.100.100.200", true, false),
            ("0.0.0.0", true, false),
            ("224.0.0.1", true, false),
        ] {
            assert_eq!(may_reach(ip.parse().expect("an address"), is_local), may, "{ip}");
        }
    }

    #[tokio::test]
    async fn links_out_of_the_folder_and_pipes_are_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let inside = folder.path().join("motion");
        std::fs::create_dir(&inside).expect("made");
        std::fs::write(folder.path().join("secret"), "secret").expect("written");
        std::fs::write(inside.join("1.jpg"), "picture").expect("written");
        std::os::unix::fs::symlink("1.jpg", inside.join("last.jpg")).expect("linked");
        std::os::unix::fs::symlink("../secret", inside.join("out.jpg")).expect("linked");
        std::os::unix::fs::symlink("..", inside.join("up")).expect("linked");
        let made = std::process::Command::new("mkfifo").arg(inside.join("pipe")).status().expect("mkfifo");
        assert!(made.success());
        for (name, is_file) in [
            ("1.jpg", true),
            ("last.jpg", true),
            ("out.jpg", false),
            ("up/secret", false),
            ("pipe", false),
            ("up", false),
        ] {
            let path = inside.join(name);
            let source =
                tokio::time::timeout(Duration::from_secs(5), UploadSource::file(&path, Some(&inside)));
            assert_eq!(source.await.expect("at once").is_ok(), is_file, "{name}");
        }
    }

    #[test]
    fn a_cameras_password_goes_into_the_header() {
        assert_eq!(
            take_credentials("http://u:p@w@cam/snap?x=a@b"),
            ("http://cam/snap?x=a@b".into(), Some("u:p@w"))
        );
        assert_eq!(take_credentials("http://cam/snap?x=a@b"), ("http://cam/snap?x=a@b".into(), None));
    }

    #[tokio::test]
    async fn a_file_goes_out_in_pieces_and_whole() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("film");
        for length in [0, 1, 15, 16, 17, PIECE, PIECE + 16, PIECE * 3 + 5] {
            let bytes: Vec<u8> = (0..length).map(|at| (at % 251) as u8).collect();
            std::fs::write(&path, &bytes).expect("written");
            let mut body =
                Pieces::new("<".into(), UploadSource::file(&path, None).await.expect("opens"), ">".into());
            assert_eq!(body.size_hint().exact(), Some(length as u64 + 2));
            let mut sent = Vec::new();
            while let Some(frame) = body.frame().await {
                let data = frame.expect("a piece").into_data().expect("data");
                assert!(data.len() <= PIECE);
                sent.extend_from_slice(&data);
            }
            assert_eq!(sent, [b"<", &bytes[..], b">"].concat(), "{length}");
        }
    }

    #[tokio::test]
    async fn a_file_that_became_shorter_is_said_to_be_broken() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("film");
        std::fs::write(&path, vec![7; 1_000]).expect("written");
        let source = UploadSource::file(&path, None).await.expect("opens");
        std::fs::write(&path, vec![7; 500]).expect("written");
        let error = Pieces::new("<".into(), source, ">".into()).collect().await.expect_err("broken");
        assert_eq!(error.to_string(), "the file broke off 500 bytes before its end");
        let nowhere = UploadSource::file(&folder.path().join("nowhere"), None).await.expect_err("nothing");
        assert!(nowhere.contains("nowhere: No such file"), "{nowhere}");
        assert!(
            UploadSource::file(folder.path(), None).await.expect_err("a folder").contains("is not a file")
        );
    }
}
