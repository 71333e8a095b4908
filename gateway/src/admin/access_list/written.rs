//! The list as mosquitto reads it: one right a line, and above each what it is for. A comment has a line of its own: behind a
//! topic it would be part of the topic.

use std::fmt::Write;

use crate::config::Config;

/// What may be done with a topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum May {
    Read,
    Write,
    Both,
    Nothing,
}

#[derive(Debug)]
pub struct Line {
    pub why: String,
    pub may: May,
    pub topic: String,
}

/// The rights of one user, or with `None` of each user by its name.
#[derive(Debug)]
pub struct Section {
    pub about: Vec<String>,
    pub user: Option<String>,
    pub lines: Vec<Line>,
}

impl Line {
    pub fn new(may: May, topic: &str, why: &str) -> Self {
        Self { why: why.to_owned(), may, topic: topic.to_owned() }
    }
}

impl May {
    fn word(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Both => "readwrite",
            Self::Nothing => "deny",
        }
    }
}

/// What a person has to know and to do.
pub fn head(config: &Config, client: Option<&str>, gateway: &str) -> Vec<String> {
    let mut lines = vec![
        format!(
            "Who may do what at the broker, for mosquitto, made by `bellwire acl` from the configuration of {}.",
            config.site.name
        ),
        "After a change of rules or commands make it again:".into(),
        String::new(),
        "  sudo -u bellwire bellwire acl | sudo tee /etc/mosquitto/bellwire.acl".into(),
        "  sudo mosquitto_passwd -c /etc/mosquitto/passwords USER    # the first user; each other one without -c".into(),
        "  sudo chown mosquitto /etc/mosquitto/bellwire.acl /etc/mosquitto/passwords".into(),
        "  sudo chmod 600 /etc/mosquitto/bellwire.acl /etc/mosquitto/passwords".into(),
        String::new(),
        "In /etc/mosquitto/conf.d/bellwire-access.conf, then: sudo systemctl restart mosquitto".into(),
        String::new(),
        "  allow_anonymous false".into(),
        "  password_file /etc/mosquitto/passwords".into(),
        "  acl_file /etc/mosquitto/bellwire.acl".into(),
        String::new(),
        "Give passwords only to the users that you need: a user without one does not exist."
            .into(),
    ];
    if config.mqtt.username.is_none() {
        lines.push(format!(
            "[mqtt] of the configuration names no user yet: write username = \"{gateway}\" and password_file = \"…\" there."
        ));
    }
    if client.is_none() {
        lines.push(
            "The + in bellwire/+/… stands for the client id, which the first start makes: make this list again after it.".into(),
        );
    }
    lines
}

/// The whole text; an error names what no line can hold.
pub fn list(head: &[String], sections: &[Section]) -> Result<String, String> {
    let mut text = String::new();
    comment(&mut text, head.iter().map(String::as_str));
    for section in sections {
        text.push('\n');
        comment(&mut text, section.about.iter().map(String::as_str));
        if let Some(user) = &section.user {
            let _ = writeln!(text, "user {}", fits(user)?);
        }
        let word = if section.user.is_some() { "topic" } else { "pattern" };
        let mut said = String::new();
        for line in merged(&section.lines) {
            if line.why != said {
                comment(&mut text, [line.why.as_str()].into_iter());
            }
            let _ = writeln!(text, "{word} {} {}", line.may.word(), fits(&line.topic)?);
            said = line.why;
        }
    }
    Ok(text)
}

/// The same right for several reasons is one line.
fn merged(lines: &[Line]) -> Vec<Line> {
    let mut found: Vec<Line> = Vec::new();
    for line in lines {
        match found.iter_mut().find(|one| one.may == line.may && one.topic == line.topic) {
            Some(one) if one.why.split("; ").any(|why| why == line.why) => {}
            Some(one) => one.why = format!("{}; {}", one.why, line.why),
            None => found.push(Line::new(line.may, &line.topic, &line.why)),
        }
    }
    found
}

fn comment<'a>(text: &mut String, lines: impl Iterator<Item = &'a str>) {
    for line in lines {
        let line: String = line.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        let _ = writeln!(text, "{}", format!("# {line}").trim_end());
    }
}

/// mosquitto cuts blanks off both ends, and a line break would begin another right.
fn fits(text: &str) -> Result<&str, String> {
    let is_fine = !text.is_empty() && text.trim() == text && !text.contains(char::is_control);
    is_fine.then_some(text).ok_or_else(|| {
        format!("{text:?} fits into no line of mosquitto's list: without blanks at its ends and control characters")
    })
}
