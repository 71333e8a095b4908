//! Pictures, sounds and files that an alert carries: which kind bytes are, and how large Meta lets them be (docs/cloud-api.md 2).

use bytes::Bytes;
use sha2::{Digest, Sha256};

use crate::hex::hex;
use crate::outbox::message::{Content, Header, Media, Part};
use crate::words::word_enum;

/// What a rule attaches to its alerts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attachment {
    pub kind: Kind,
    pub from: FileSource,
    /// How a document is called on the phone.
    pub filename: Option<String>,
    /// From where files may be fetched if the event names the host; in small letters.
    pub hosts: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FileSource {
    /// The event's payload is the file.
    Payload,
    /// A Jinja template gives the address, such as a camera's; fetched by the gateway when the message leaves.
    Address(String),
    /// A Jinja template gives the path of a file on this machine; read when the message leaves.
    Path(String),
}

impl FileSource {
    /// The folder that its files lie in.
    #[must_use]
    pub fn folder(&self) -> Option<&str> {
        match self {
            Self::Path(template) => folder_of(template),
            Self::Payload | Self::Address(_) => None,
        }
    }
}

word_enum! {
    Kind {
        Image = "image",
        Video = "video",
        Audio = "audio",
        Document = "document",
    }
}

/// A file that came with an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredFile {
    /// Lower-case hex.
    pub sha256: String,
    pub mime: String,
    pub bytes: Bytes,
}

/// An address as it may be shown: names, passwords, keys and hooks stand everywhere but in its host.
#[must_use]
pub fn without_secrets(address: &str) -> String {
    let Some((scheme, rest)) = address.split_once("://") else { return "…".to_owned() };
    let authority = rest.split(['/', '?', '#', '\\']).next().unwrap_or_default();
    let host = authority.rsplit('@').next().unwrap_or_default();
    if rest.len() == host.len() { format!("{scheme}://{host}") } else { format!("{scheme}://{host}/…") }
}

/// The largest of all: what the gateway takes in memory at once stays far below (`max_packet_bytes`).
const DOCUMENT_MAX: usize = 100 * 1024 * 1024;

impl Kind {
    /// Bytes that Meta takes.
    #[must_use]
    pub fn limit(self) -> usize {
        match self {
            Self::Image => 5 * 1024 * 1024,
            Self::Video | Self::Audio => 16 * 1024 * 1024,
            Self::Document => DOCUMENT_MAX,
        }
    }

    /// Whether Meta shows files of this type so.
    fn takes(self, mime: &str) -> bool {
        match self {
            Self::Image => matches!(mime, "image/jpeg" | "image/png"),
            Self::Video => matches!(mime, "video/mp4" | "video/3gpp"),
            Self::Audio => {
                matches!(mime, "audio/aac" | "audio/amr" | "audio/mpeg" | "audio/mp4" | "audio/ogg")
            }
            Self::Document => true,
        }
    }
}

impl Attachment {
    /// What is drawn here goes where a picture would that came with the event.
    #[must_use]
    pub fn chart() -> Self {
        Self { kind: Kind::Image, from: FileSource::Payload, filename: None, hosts: Vec::new() }
    }

    /// The part of a message that shows it.
    #[must_use]
    pub fn part(&self, media: Media) -> Part {
        match self.kind {
            Kind::Image => Part::Image(media),
            Kind::Video => Part::Video(media),
            Kind::Audio => Part::Audio { media, voice: false },
            Kind::Document => Part::Document { media, filename: self.filename.clone() },
        }
    }

    /// Above an interactive message; a sound cannot stand there.
    #[must_use]
    pub fn header(&self, media: Media) -> Option<Header> {
        match self.kind {
            Kind::Image => Some(Header::Image(media)),
            Kind::Video => Some(Header::Video(media)),
            Kind::Document => Some(Header::Document(media)),
            Kind::Audio => None,
        }
    }

    /// Puts the file into a message and into each template that shows one. With buttons it stands above the words; an
    /// interactive message has no room for it elsewhere.
    pub fn place(&self, content: &mut Content, media: &Media) {
        for template in content.templates.iter_mut().filter(|template| template.header.is_some()) {
            template.header = self.header(media.clone());
        }
        match self.header(media.clone()).filter(|_| !content.buttons.is_empty()) {
            Some(header) => content.header = Some(header),
            None => content.part = Some(self.part(media.clone())),
        }
    }

    /// Whether the gateway may go to this address: to the host that the rule's author wrote, or, if an event fills it in, to one
    /// of those that they listed. The gateway stands where whoever sends the event may not reach.
    pub fn may_fetch(&self, template: &str, address: &str) -> Result<(), String> {
        let Some(host) = host_of(address) else {
            return Err("its address is none of http:// or https://".into());
        };
        let host = host.to_ascii_lowercase();
        let written = host_of(template).filter(|written| !written.contains(['{', '}']));
        let is_allowed = match written {
            Some(written) => written.eq_ignore_ascii_case(&host),
            None => self.hosts.contains(&host),
        };
        if is_allowed {
            return Ok(());
        }
        Err(format!("its host {host} is not among `hosts` of the rule's `attach`"))
    }

    /// The bytes as a file that Meta will take, or a sentence.
    pub fn keep(&self, bytes: &Bytes, content_type: Option<&str>) -> Result<StoredFile, String> {
        let mime = examine(self.kind, bytes, bytes.len(), content_type)?;
        let sha256 = hex(&Sha256::digest(bytes));
        Ok(StoredFile { sha256, mime, bytes: bytes.clone() })
    }
}

/// The host of an address, without its port; what stands before `@` is a name and a password.
fn host_of(address: &str) -> Option<&str> {
    let (scheme, rest) = address.split_once("://")?;
    if !matches!(scheme, "http" | "https") {
        return None;
    }
    let authority = rest.split(['/', '?', '#', '\\']).next().unwrap_or_default();
    let host = authority.rsplit('@').next().unwrap_or_default();
    let bare = match host.strip_prefix('[') {
        Some(inner) => inner.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    (!bare.is_empty()).then_some(bare)
}

/// The folder that a path's template names before its first blank: what events say must not lead out of it.
#[must_use]
pub fn folder_of(template: &str) -> Option<&str> {
    let fixed = template.split(['{']).next()?;
    let folder = &fixed[..=fixed.rfind('/')?];
    (folder.starts_with('/') && folder.len() > 1).then_some(folder)
}

/// The path, if it stays in the folder of its template.
pub fn inside(template: &str, path: &str) -> Result<String, String> {
    let folder = folder_of(template).unwrap_or("/");
    let leads_out = path.split('/').any(|level| level == "..") || path.contains('\0');
    match path.strip_prefix(folder) {
        Some(rest) if !leads_out && !rest.is_empty() => Ok(path.to_owned()),
        _ => Err(format!("the path {path:?} leads out of {folder}")),
    }
}

/// The MIME type of a file, if Meta takes it as that kind. Its first bytes are believed before the name that came with it.
pub fn examine(
    kind: Kind,
    beginning: &[u8],
    length: usize,
    content_type: Option<&str>,
) -> Result<String, String> {
    if length == 0 {
        return Err("it is empty".into());
    }
    if length > kind.limit() {
        return Err(format!("it has {length} bytes; WhatsApp takes {}", kind.limit()));
    }
    let named =
        content_type.and_then(|name| name.split(';').next()).map(|name| name.trim().to_ascii_lowercase());
    let mime = by_first_bytes(beginning).map(str::to_owned).or(named);
    let mime = mime.unwrap_or_else(|| "application/octet-stream".into());
    if kind.takes(&mime) { Ok(mime) } else { Err(format!("it is {mime}, which WhatsApp does not show so")) }
}

/// The kinds that devices send; each begins with bytes of its own.
fn by_first_bytes(bytes: &[u8]) -> Option<&'static str> {
    let brand = bytes.get(4..12);
    match bytes {
        [0xff, 0xd8, 0xff, ..] => Some("image/jpeg"),
        [0x89, b'P', b'N', b'G', ..] => Some("image/png"),
        [b'%', b'P', b'D', b'F', ..] => Some("application/pdf"),
        [b'O', b'g', b'g', b'S', ..] => Some("audio/ogg"),
        [b'I', b'D', b'3', ..] | [0xff, 0xfb, ..] => Some("audio/mpeg"),
        [b'#', b'!', b'A', b'M', b'R', ..] => Some("audio/amr"),
        _ if brand.is_some_and(|brand| brand.starts_with(b"ftyp3gp")) => Some("video/3gpp"),
        _ if brand.is_some_and(|brand| brand.starts_with(b"ftypM4A")) => Some("audio/mp4"),
        _ if brand.is_some_and(|brand| brand.starts_with(b"ftyp")) => Some("video/mp4"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(kind: Kind, bytes: &[u8], content_type: Option<&str>) -> Result<String, String> {
        examine(kind, bytes, bytes.len(), content_type)
    }

    #[test]
    fn an_address_is_shown_by_its_host_alone() {
        for (address, shown) in [
            ("http://cam", "http://cam"),
            ("http://admin:pass@cam:8080/snap.jpg?key=k", "http://cam:8080/…"),
            ("http://u:p@w@cam/snap", "http://cam/…"),
            ("https://hooks.example/T0/B0/secret", "https://hooks.example/…"),
            ("https://hooks.example?token=t@u", "https://hooks.example/…"),
            ("https://hooks.example#t@u", "https://hooks.example/…"),
            ("secret", "…"),
        ] {
            assert_eq!(without_secrets(address), shown);
        }
    }

    #[test]
    fn files_are_fetched_only_from_hosts_in_the_rule() {
        let attach = |hosts: &[&str]| Attachment {
            kind: Kind::Image,
            from: FileSource::Payload,
            filename: None,
            hosts: hosts.iter().map(|host| (*host).to_owned()).collect(),
        };
        let payload = "{{ payload.snapshot }}";
        for (hosts, template, address, may) in [
            (&[][..], "http://cam/{{ id }}.jpg", "http://cam/3.jpg", true),
            (&[], "http://u:p@cam:8080/{{ id }}.jpg", "http://u:p@cam:8080/3.jpg", true),
            (&[], "http://cam{{ id }}/x", "http://cam3/x", false),
            (&["cam3"], "http://cam{{ id }}/x", "http://cam3/x", true),
            (&["cam3"], "http://cam{{ id }}/x", "http://cam3@evil/x", false),
            (&["cam3"], "http://cam{{ id }}/x", "http://cam3.evil/x", false),
            (&[], payload, "http://cam/x", false),
            (&["cam"], payload, "HTTP://cam/x", false),
            (&["cam"], payload, "http://CAM:80/x", true),
            (&["cam"], payload, "http://evil/x?@cam/", false),
            (&["cam"], payload, "http://evil\\@cam/", false),
            (&["cam"], payload, "file:///etc/shadow", false),
            (&["cam"], payload, "gopher://cam", false),
            (&["2001:db8::1"], payload, "http://[2001:db8::1]:80/x", true),
        ] {
            assert_eq!(
                attach(hosts).may_fetch(template, address).is_ok(),
                may,
                "{hosts:?} {template} {address}"
            );
        }
    }

    #[test]
    fn bytes_are_believed_before_names() {
        let jpeg = [0xff, 0xd8, 0xff, 0xe0, 0, 0];
        assert_eq!(look(Kind::Image, &jpeg, Some("text/plain")), Ok("image/jpeg".into()));
        assert_eq!(look(Kind::Document, b"a,b\n", Some("text/csv; charset=utf-8")), Ok("text/csv".into()));
        assert_eq!(look(Kind::Audio, b"\0\0\0\x18ftypM4A ....", None), Ok("audio/mp4".into()));
        assert!(look(Kind::Image, b"%PDF-1.7", None).is_err_and(|why| why.contains("application/pdf")));
        assert!(look(Kind::Image, &[], None).is_err());
        let large = [&jpeg[..], &vec![0; 5 * 1024 * 1024]].concat();
        assert!(look(Kind::Image, &large, None).is_err_and(|why| why.contains("5242880")));
    }

    #[test]
    fn no_event_leads_out_of_the_folder() {
        let template = "/srv/motion/cam-{{ payload.camera }}/last.jpg";
        assert_eq!(folder_of(template), Some("/srv/motion/"));
        assert_eq!(inside(template, "/srv/motion/cam-2/last.jpg"), Ok("/srv/motion/cam-2/last.jpg".into()));
        for path in
            ["/srv/motion/cam-/../../../etc/shadow/last.jpg", "/etc/shadow", "/srv/motion/", "srv/motion/x"]
        {
            assert!(inside(template, path).is_err(), "{path}");
        }
        assert_eq!([folder_of("/{{ payload.path }}"), folder_of("a/b.jpg"), folder_of("{{ x }}")], [None; 3]);
    }

    #[test]
    fn each_kind_has_its_bytes_its_limit_and_its_place() {
        let large = 1024 * 1024;
        for (word, kind, limit, has_header) in [
            ("image", Kind::Image, 5 * large, true),
            ("video", Kind::Video, 16 * large, true),
            ("audio", Kind::Audio, 16 * large, false),
            ("document", Kind::Document, 100 * large, true),
        ] {
            assert_eq!((Kind::parse(word), kind.limit()), (Some(kind), limit));
            assert!(examine(kind, b"", limit + 1, None).is_err_and(|why| why.contains(&limit.to_string())));
            let attachment =
                Attachment { kind, from: FileSource::Payload, filename: None, hosts: Vec::new() };
            assert_eq!(attachment.header(Media::Id(String::new())).is_some(), has_header);
        }
        assert_eq!(Kind::parse("sticker"), None);
        for (kind, bytes, mime) in [
            (Kind::Image, &b"\xff\xd8\xff\xe0"[..], "image/jpeg"),
            (Kind::Image, b"\x89PNG\r\n", "image/png"),
            (Kind::Document, b"%PDF-1.7", "application/pdf"),
            (Kind::Audio, b"OggS\0", "audio/ogg"),
            (Kind::Audio, b"ID3\x04", "audio/mpeg"),
            (Kind::Audio, b"\xff\xfb\x90", "audio/mpeg"),
            (Kind::Audio, b"#!AMR\n", "audio/amr"),
            (Kind::Audio, b"\0\0\0\x18ftypM4A ....", "audio/mp4"),
            (Kind::Video, b"\0\0\0\x18ftyp3gp5....", "video/3gpp"),
            (Kind::Video, b"\0\0\0\x18ftypisom....", "video/mp4"),
        ] {
            assert_eq!(look(kind, bytes, None).as_deref(), Ok(mime));
        }
        assert_eq!(examine(Kind::Image, b"\xff\xd8\xff", 5 * large, None).as_deref(), Ok("image/jpeg"));
    }
}
