//! One file to what we run on, or all its problems.

use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use toml::de::DeTable;

use super::network::Network;
use super::problem::{Document, Problem, Problems};
use super::section::{At, Section};
use super::{
    Config, Http, Mqtt, MqttTls, MqttVersion, Pem, Site, commands, connections, devices, home_assistant,
    not_pem, onward, people, pieces, questions, rules, secret_file,
};
use crate::config::self_monitor_rules;
use crate::contact::People;
use crate::ids::{ConnectionName, StoreTag};
use crate::reply::opt_out::Words;
use crate::time::Timestamp;

/// Events of up to 64 KiB are read; what is a little larger should be counted, not cut off by the broker.
const MAX_PACKET_BYTES: u32 = 1024 * 1024;

/// What the caller wants beside the file.
#[derive(Debug, Clone, Default)]
pub struct LoadOptions {
    /// Overrides `state_directory`.
    pub state_directory: Option<PathBuf>,
    /// Do not look whether the secret files are there: `check` on a laptop.
    pub without_secrets: bool,
    /// Judge by this day what ends some day: for `check`.
    pub today: Option<Timestamp>,
    /// What makes the default `client_id` this installation's own: the database's tag (`Store::client_tag`).
    pub client_tag: Option<StoreTag>,
}

/// Where the configuration is, so that it can be read again.
#[derive(Debug, Clone, Default)]
pub struct ConfigurationFile {
    pub path: PathBuf,
    pub options: LoadOptions,
}

impl ConfigurationFile {
    /// What it says, and its text.
    pub fn load(&self) -> Result<(Config, String), Problems> {
        let name = self.path.to_string_lossy();
        match std::fs::read_to_string(&self.path) {
            Ok(text) => read(&name, &text, &self.options).map(|config| (config, text)),
            Err(error) => {
                let next = if error.kind() == ErrorKind::PermissionDenied {
                    "run this as the daemon's user: sudo -u bellwire bellwire …"
                } else {
                    "give its place with --config"
                };
                let what = format!("the file cannot be read ({error}); {next}");
                Err(Problems(vec![Problem { file: name.into_owned(), line: 0, column: 0, what }]))
            }
        }
    }
}

/// Reads the file at `path`.
pub fn load(path: &Path, wishes: &LoadOptions) -> Result<Config, Problems> {
    let file = ConfigurationFile { path: path.to_owned(), options: wishes.clone() };
    file.load().map(|(config, _)| config)
}

/// Reads a configuration; `name` is how problems call it, and where relative paths start.
pub fn read(name: &str, text: &str, wishes: &LoadOptions) -> Result<Config, Problems> {
    if let Some(table) = pieces::parse(text)
        && let Ok(config) = interpreted(Document::new(name, text), &table, wishes)
    {
        return Ok(config);
    }
    let document = Document::new(name, text);
    let (table, errors) = DeTable::parse_recoverable(text);
    for error in errors {
        let what = match error.message() {
            "duplicate key" => "this stands in the file already; keep one of them".to_owned(),
            other => format!("{other}; see toml.io"),
        };
        document.report(error.span().map_or(0, |span| span.start), what);
    }
    interpreted(document, table.get_ref(), wishes)
}

fn interpreted(
    document: Document<'_>,
    table: &DeTable<'_>,
    wishes: &LoadOptions,
) -> Result<Config, Problems> {
    let config = {
        let root = Section::new(&document, "the file", table, 0);
        let folder = Path::new(document.name).parent().unwrap_or(Path::new(""));
        let config = whole(&root, folder, wishes);
        root.finish();
        config
    };
    let problems = document.into_problems();
    match config {
        Some(config) if problems.is_empty() => Ok(config),
        _ => Err(Problems(problems)),
    }
}

fn whole(root: &Section, folder: &Path, wishes: &LoadOptions) -> Option<Config> {
    let people = people::read(root);
    let site = root.section("site", "[site]");
    if site.is_none() {
        root.report(0, "the section [site] is missing; add it with a name");
    }
    let site = site.and_then(|section| read_site(section, folder, wishes, &people));
    let http = root
        .section("http", "[http]")
        .map_or_else(|| Some(default_http()), |section| read_http(section, folder, wishes));
    let mqtt = root.section("mqtt", "[mqtt]");
    if mqtt.is_none() {
        root.report(0, "the section [mqtt] is missing; add it with a url");
    }
    let slug = site.as_ref().map(|site| slug(&site.name)).unwrap_or_default();
    let mqtt = mqtt.and_then(|section| read_mqtt(section, folder, &slug, wishes));
    let serial = devices::read(root, folder);
    let connections = connections::read(root, folder, wishes);
    let names: Vec<ConnectionName> = connections.iter().map(|connection| connection.name.clone()).collect();
    let mut rules = rules::read(root, &people, &names);
    let written_rules = rules.len();
    let owner = site.as_ref().map_or(&[][..], |site| &site.owner);
    rules.extend(self_monitor_rules::rules(owner, &people, &names, &rules));
    let home = home_assistant::Context {
        site: site.as_ref().map_or("", |site| &site.name),
        http: http.as_ref(),
        mqtt: mqtt.as_ref(),
        people: &people,
        connections: &names,
        rules: &rules,
    };
    let home = home_assistant::read(root, &home);
    let (home_assistant, own) = home.map_or((None, Vec::new()), |(home, own)| (Some(home), own));
    rules.extend(own);
    home_assistant.iter().for_each(|home| home_assistant::take_requests(home, &mut rules));
    let words = root.section("words", "[words]").map(read_words).unwrap_or_default();
    let commands = commands::read(root, &rules);
    let questions = questions::read(root, &people, &names);
    let onward = onward::read(root, &rules);
    let files = root.section("files", "[files]").map(connections::read_files).unwrap_or_default();
    Some(Config {
        site: site?,
        http: http?,
        mqtt: mqtt?,
        serial,
        connections,
        people: Arc::new(people),
        rules: rules.into_iter().map(Arc::new).collect(),
        written_rules,
        words,
        commands,
        questions,
        onward,
        files,
        home_assistant,
        stands_in: None,
    })
}

fn read_site(section: Section, folder: &Path, wishes: &LoadOptions, people: &People) -> Option<Site> {
    let name = section.required("name");
    people::read_zone(&section); // a mistake in them is told; what they say is everybody's voice already
    people::read_language(&section);
    let owner = section.strings("owner").unwrap_or_default();
    for name in owner.iter().filter(|name| !people.knows(&name.value)) {
        section.report(
            name.offset,
            format!("there is no contact or team `{}`; add one with this id", name.value),
        );
    }
    let given = section.text("state_directory").map(|text| folder.join(text.value));
    section.finish();
    // systemd's StateDirectory= arrives as an absolute path (systemd.exec, STATE_DIRECTORY).
    let from_systemd = std::env::var_os("STATE_DIRECTORY").map(PathBuf::from);
    let state_directory = wishes.state_directory.clone().or(from_systemd).or(given);
    Some(Site {
        name: name?.value,
        time_zone: people.locale.zone.clone(),
        state_directory: state_directory.unwrap_or_else(|| "/var/lib/bellwire".into()),
        owner: owner.into_iter().map(|name| name.value).collect(),
    })
}

/// What people write to get no more messages, and to get them again, besides the words that are always understood.
fn read_words(section: Section) -> Words {
    let list = |key| section.strings(key).unwrap_or_default().into_iter().map(|word| word.value);
    let words = Words::default().with(list("stop"), list("start"));
    section.finish();
    words
}

fn default_http() -> Http {
    Http {
        listen: SocketAddr::from(([127, 0, 0, 1], 8080)),
        names: Vec::new(),
        trusted_proxies: Vec::new(),
        ingress: None,
        webhook_listen: None,
        metrics_listen: None,
        tls: None,
        edit: true,
    }
}

fn read_http(section: Section, folder: &Path, wishes: &LoadOptions) -> Option<Http> {
    let address = |text: &str| match text.parse::<SocketAddr>() {
        Ok(address) if address.port() == 0 => {
            Err("port 0 is another one at each start; write one from 1 to 65535")
        }
        Ok(address) => Ok(address),
        Err(_) => Err("write it as 127.0.0.1:8080"),
    };
    let listen = section.parsed("listen", address);
    let names =
        section.strings("names").unwrap_or_default().into_iter().map(|name| name.value.to_ascii_lowercase());
    let trusted = section.strings("trusted_proxies").unwrap_or_default().into_iter();
    let network = |text: At<String>| {
        let wrong = |how| section.report(text.offset, format!("`{}` is no network; {how}", text.value));
        Network::parse(&text.value).map_err(wrong).ok()
    };
    let mut trusted_proxies: Vec<Network> = trusted.filter_map(network).collect();
    let supervisor =
        |text: &str| text.parse::<IpAddr>().map_err(|_| "write the Supervisor's address, 172.30.32.2");
    let ingress = section.parsed("ingress", supervisor);
    trusted_proxies.extend(ingress.and_then(|address| Network::parse(&address.to_string()).ok()));
    let webhook_listen = section.parsed("webhook_listen", address);
    let metrics_listen = section.parsed("metrics_listen", address);
    let file = |key| section.text(key).map(|text| (folder.join(&text.value), text.offset));
    let (certificate, key) = (file("certificate_file"), file("key_file"));
    let edit = section.bool("edit").unwrap_or(true);
    check_pem(&section, certificate.as_ref(), Pem::Certificate, wishes);
    check_pem(&section, key.as_ref(), Pem::Key, wishes);
    if certificate.is_some() != key.is_some() {
        section.report(section.offset(), "certificate_file and key_file belong together; give both or none");
    }
    let tls = certificate.zip(key).map(|((certificate, _), (key, _))| (certificate, key));
    section.finish();
    let listen = listen.unwrap_or(default_http().listen);
    Some(Http {
        listen,
        names: names.collect(),
        trusted_proxies,
        ingress,
        webhook_listen,
        metrics_listen,
        tls,
        edit,
    })
}

fn read_mqtt(section: Section, folder: &Path, slug: &str, wishes: &LoadOptions) -> Option<Mqtt> {
    let url = section.required_parsed("url", read_url);
    let version = section.enum_value("version", &["5", "3.1.1"], |word| match word {
        "5" => Some(MqttVersion::V5),
        "3.1.1" => Some(MqttVersion::V311),
        _ => None,
    });
    let file = |key| section.text(key).map(|text| (folder.join(&text.value), text.offset));
    let (password, ca) = (file("password_file"), file("ca_file"));
    let (certificate, key) = (file("client_certificate_file"), file("client_key_file"));
    if let Some((path, offset)) = &password {
        check_file(&section, path, *offset, wishes);
    }
    check_pem(&section, ca.as_ref(), Pem::Certificate, wishes);
    check_pem(&section, certificate.as_ref(), Pem::Certificate, wishes);
    check_pem(&section, key.as_ref(), Pem::Key, wishes);
    if certificate.is_some() != key.is_some() {
        section.report(
            section.offset(),
            "client_certificate_file and client_key_file belong together; give both or none",
        );
    }
    let client_id = read_client_id(&section);
    let username = section.text("username").map(|text| text.value);
    let max_packet_bytes = section.integer("max_packet_bytes", 1_024..=268_435_455);
    let path = |file: Option<(PathBuf, usize)>| file.map(|(path, _)| path);
    let (encrypted, host, port) = url.clone().unwrap_or_default();
    if let Some((_, offset)) = ca.as_ref().or(certificate.as_ref()).filter(|_| url.is_some() && !encrypted) {
        section.report(*offset, "certificates need a url that begins with mqtts://");
    }
    let tls = encrypted.then(|| MqttTls {
        ca_file: path(ca),
        client_certificate_file: path(certificate),
        client_key_file: path(key),
    });
    section.finish();
    url.map(|_| Mqtt {
        host,
        port,
        version: version.unwrap_or(MqttVersion::V5),
        is_client_id_given: client_id.is_some(),
        client_id: client_id.unwrap_or_else(|| default_client_id(slug, wishes.client_tag.as_ref())),
        username,
        password_file: path(password),
        tls,
        max_packet_bytes: max_packet_bytes.unwrap_or(MAX_PACKET_BYTES),
    })
}

/// Under it the broker keeps our session, and it stands in the topics of our own.
fn read_client_id(section: &Section) -> Option<String> {
    let id = section.text("client_id")?;
    if id.value.trim().is_empty() {
        section.report(
            id.offset,
            "client_id is empty: the broker would keep nothing for us while we are away; leave the line out, or give a name \
             that no other client of this broker has",
        );
    } else if id.value.contains(['+', '#']) || id.value.contains(char::is_control) {
        section.report(id.offset, "client_id stands in topics: without +, # and control characters");
    }
    Some(id.value)
}

fn default_client_id(slug: &str, tag: Option<&StoreTag>) -> String {
    let of_site = format!("bellwire-{slug}");
    tag.map_or(of_site.clone(), |tag| own_client_id(&of_site, tag))
}

/// Two machines with one site's name, or with names that have no Latin letter, must not take each other's session.
#[must_use]
pub fn own_client_id(of_site: &str, tag: &StoreTag) -> String {
    format!("{of_site}-{}", tag.own)
}

/// Whether it is encrypted, the host, the port: 1883, or 8883 with TLS (IANA).
fn read_url(text: &str) -> Result<(bool, String, u16), &'static str> {
    let (encrypted, rest) = match (text.strip_prefix("mqtt://"), text.strip_prefix("mqtts://")) {
        (Some(rest), _) => (false, rest),
        (_, Some(rest)) => (true, rest),
        (None, None) => {
            return Err("write it as mqtt://HOST or mqtts://HOST, with :PORT if it is not 1883 or 8883");
        }
    };
    if rest.contains('@') {
        return Err("a password in a URL ends up in logs; use username and password_file");
    }
    let rest = rest.trim_end_matches('/');
    let bracketed = rest.rfind(']').unwrap_or(0);
    let (host, port) = match rest.rfind(':').filter(|colon| *colon > bracketed) {
        Some(colon) => (
            &rest[..colon],
            rest[colon + 1..]
                .parse()
                .ok()
                .filter(|port| *port > 0) // nobody can be reached there
                .ok_or("the port is not a number from 1 to 65535")?,
        ),
        None => (rest, if encrypted { 8883 } else { 1883 }),
    };
    let host = host.trim_matches(['[', ']']);
    if host.is_empty() { Err("the host is missing") } else { Ok((encrypted, host.to_owned(), port)) }
}

pub(super) fn check_file(section: &Section, path: &Path, offset: usize, wishes: &LoadOptions) {
    if wishes.without_secrets {
        return;
    }
    if let Err(error) = secret_file(path) {
        section.report(offset, error.to_string());
    }
}

fn check_pem(section: &Section, file: Option<&(PathBuf, usize)>, kind: Pem, wishes: &LoadOptions) {
    let Some((path, offset)) = file.filter(|_| !wishes.without_secrets) else { return };
    if let Some(told) = not_pem(path, kind) {
        section.report(*offset, told);
    } else if kind == Pem::Key && path.extension().is_none_or(|extension| extension != "pem") {
        check_file(section, path, *offset, wishes); // a key that everybody can read is no secret
    } else if let Err(error) = std::fs::File::open(path) {
        section.report(*offset, format!("the file {} cannot be read ({error})", path.display()));
    }
}

fn slug(name: &str) -> String {
    let plain: String =
        name.to_lowercase().chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
    let slug: Vec<&str> = plain.split('-').filter(|part| !part.is_empty()).collect();
    if slug.is_empty() { "site".to_owned() } else { slug.join("-") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_relative_state_directory_starts_at_the_files_folder() {
        let text =
            "[site]\nname = \"Bar\"\nstate_directory = \"state\"\n[mqtt]\nurl = \"mqtt://127.0.0.1\"\n";
        let wishes = LoadOptions { without_secrets: true, ..LoadOptions::default() };
        let config = read("/srv/bar/bellwire.toml", text, &wishes).expect("good");
        assert_eq!(config.site.state_directory, Path::new("/srv/bar/state"));
    }
}
