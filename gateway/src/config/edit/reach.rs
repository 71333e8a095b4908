//! Whoever has the page's password may change rules and people; they must not get a secret that way, nor a file of this machine. So
//! where secrets are read, where they are sent, and which folders files are attached from is decided in the file itself.

use std::collections::BTreeSet;

use super::super::{Config, Secret};

/// What the new configuration reads or sends that none of the known ones does: a sentence with the next step.
#[must_use]
pub fn new_reach(known: &[&Config], new: &Config) -> Option<String> {
    let allowed: BTreeSet<(String, String)> = known.iter().flat_map(|config| reach(config)).collect();
    let (what, to) = reach(new).into_iter().find(|one| !allowed.contains(one))?;
    Some(match to.is_empty() {
        true => format!(
            "The page cannot let rules attach files from another folder ({what}): name it in the file on the machine itself."
        ),
        false => format!(
            "The page cannot change which file a secret is read from, nor where it is sent ({what}, to {to}): change that in the \
             file on the machine itself."
        ),
    })
}

/// Secrets with where they are sent; folders with nothing.
fn reach(config: &Config) -> BTreeSet<(String, String)> {
    let mut found = BTreeSet::new();
    if let Some(password) = &config.mqtt.password_file {
        let scheme = if config.mqtt.tls.is_some() { "mqtts" } else { "mqtt" };
        let to = format!("{scheme}://{}:{}", config.mqtt.host, config.mqtt.port);
        found.insert((password.display().to_string(), to));
    }
    for connection in &config.connections {
        for secret in [&connection.access_token, &connection.app_secret, &connection.verify_token] {
            if let Secret::File(path) = secret {
                found.insert((path.display().to_string(), connection.api_url.clone()));
            }
        }
    }
    let attached = config.rules.iter().filter_map(|rule| rule.attach.as_ref());
    found.extend(attached.filter_map(|attach| Some((attach.from.folder()?.to_owned(), String::new()))));
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{LoadOptions, read};

    const TEXT: &str = r#"
[site]
name = "Bar"
[mqtt]
url = "mqtts://broker"
password_file = "/secrets/mqtt"
[[connection]]
name = "main"
phone_number_id = "1"
access_token_file = "/secrets/token"
app_secret_file = "/secrets/app"
verify_token_file = "/secrets/verify"
[[contact]]
id = "nino"
phone = "+995 555 12 34 56"
[[rule]]
name = "motion"
topic = "camera/motion"
message = "Motion"
notify = ["nino"]
attach = { kind = "image", file = "/srv/motion/{{ payload.name }}" }
"#;

    fn config(text: &str) -> Config {
        let wishes = LoadOptions { without_secrets: true, ..LoadOptions::default() };
        read("b.toml", text, &wishes).expect("good")
    }

    #[test]
    fn secrets_and_folders_stay_where_the_file_put_them() {
        let known = config(TEXT);
        let told = |from: &str, to: &str| new_reach(&[&known], &config(&TEXT.replace(from, to)));
        assert_eq!(told("Motion", "Something moves"), None);
        assert_eq!(
            told("password_file = \"/secrets/mqtt\"\n", ""),
            None,
            "what is taken away reaches nowhere"
        );
        for (from, to, expected) in [
            ("mqtts://broker", "mqtts://elsewhere", "(/secrets/mqtt, to mqtts://elsewhere:8883)"),
            ("mqtts://broker", "mqtt://broker:8883", "(/secrets/mqtt, to mqtt://broker:8883)"),
            ("/secrets/mqtt", "/secrets/token", "(/secrets/token, to mqtts://broker:8883)"),
            (
                "name = \"main\"",
                "name = \"main\"\napi_url = \"https://elsewhere\"",
                "/secrets/app, to https://elsewhere",
            ),
            ("/srv/motion/", "/secrets/", "(/secrets"),
        ] {
            let told = told(from, to).unwrap_or_default();
            assert!(told.contains(expected), "{to}: {told}");
        }
        let moved = config(&TEXT.replace("mqtts://broker", "mqtts://new"));
        assert_eq!(new_reach(&[&known, &moved], &moved), None, "the file on disk says so already");
    }
}
