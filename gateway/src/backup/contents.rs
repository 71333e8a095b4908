//! Which files belong to a gateway: its configuration, the secrets that this names, and what lies beside the database.

use std::path::{Path, PathBuf};

use crate::backup::archive::Kind;
use crate::config::{Config, Secret};

/// What is made by itself, is of this machine alone, or is bytes of another file, is not among them: the mark, the reserve, the
/// lock, databases of before a migration.
const BESIDE: [&str; 2] = ["connections.key", "bellwire.toml.last-good"];
/// Where systemd puts credentials, which are bound to the machine (systemd/examples/credentials.conf).
const CREDENTIALS: &str = "/run/credentials";

/// The files beside the database and what contacts sent, and what has to be put there by hand on the other machine: sentences.
pub fn files(config: &Config, configuration: &Path) -> (Vec<(Kind, PathBuf)>, Vec<String>) {
    let mut found = vec![(Kind::Configuration, configuration.to_owned())];
    let mut left_out = Vec::new();
    for path in secrets(config) {
        if path.starts_with(CREDENTIALS) {
            left_out.push(format!(
                "{} is a credential of systemd's, bound to the machine it was made on: make it anew on the other one",
                path.display()
            ));
        } else if !found.iter().any(|(_, known)| *known == path) {
            found.push((Kind::Secret, path));
        }
    }
    let directory = &config.site.state_directory;
    found.extend(
        BESIDE.map(|name| (Kind::State, directory.join(name))).into_iter().filter(|(_, path)| path.exists()),
    );
    (found, left_out)
}

/// Tokens, keys, certificates and passwords, in the order of the file's sections.
fn secrets(config: &Config) -> Vec<PathBuf> {
    let tls = config.http.tls.iter().flat_map(|(certificate, key)| [certificate.clone(), key.clone()]);
    let mqtt =
        config.mqtt.tls.iter().flat_map(|tls| {
            [&tls.ca_file, &tls.client_certificate_file, &tls.client_key_file].map(Clone::clone)
        });
    let connections = config.connections.iter().flat_map(|connection| {
        [&connection.access_token, &connection.app_secret, &connection.verify_token].map(
            |secret| match secret {
                Secret::File(path) => Some(path.clone()),
                Secret::Known(_) | Secret::Lost(_) => None, // sealed in the database
            },
        )
    });
    tls.chain(config.mqtt.password_file.clone()).chain(mqtt.flatten()).chain(connections.flatten()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{LoadOptions, read};

    #[test]
    fn each_file_that_the_configuration_names_is_taken_once() {
        let text = "[site]\nname = \"Bar\"\n[http]\ncertificate_file = \"/s/cert\"\nkey_file = \"/s/key\"\n\
                    [mqtt]\nurl = \"mqtts://broker\"\nusername = \"b\"\npassword_file = \"/s/mqtt\"\nca_file = \"/s/ca\"\n\
                    client_certificate_file = \"/s/cc\"\nclient_key_file = \"/s/ck\"\n\
                    [[connection]]\nname = \"main\"\nphone_number_id = \"1\"\n\
                    access_token_file = \"/run/credentials/bellwire.service/token\"\n\
                    app_secret_file = \"/s/app\"\nverify_token_file = \"/s/app\"\n";
        let state = tempfile::tempdir().expect("a folder");
        std::fs::write(state.path().join("connections.key"), [1; 32]).expect("written");
        let wishes = LoadOptions {
            state_directory: Some(state.path().to_owned()),
            without_secrets: true,
            ..LoadOptions::default()
        };
        let config = read("b.toml", text, &wishes).expect("good");
        let (files, left_out) = files(&config, Path::new("/etc/b.toml"));
        let names: Vec<_> = files.iter().map(|(_, path)| path.to_string_lossy().into_owned()).collect();
        let key = state.path().join("connections.key").to_string_lossy().into_owned();
        let named =
            ["/etc/b.toml", "/s/cert", "/s/key", "/s/mqtt", "/s/ca", "/s/cc", "/s/ck", "/s/app", &key];
        assert_eq!(names, named);
        assert!(left_out.len() == 1 && left_out[0].contains("bellwire.service/token"), "{left_out:?}");
    }
}
