//! Questions and answers, from a person or from arguments.

use std::io::{BufRead, IsTerminal, Write};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use secrecy::{ExposeSecret, SecretString};

use crate::terminal::plain;

/// An answer that cannot be, or is missing where nobody may be asked: which question, and why.
#[derive(Debug, thiserror::Error)]
#[error("{0}: {1}")]
pub struct Wrong(pub String, pub String);

/// Asks at the terminal, or, for fleets, only takes what was given.
#[derive(Debug)]
pub struct Dialogue {
    may_ask: bool,
    /// A given answer that was wrong is not taken twice.
    refused: bool,
}

impl Dialogue {
    #[must_use]
    pub fn new(may_ask: bool) -> Self {
        Self { may_ask, refused: false }
    }

    pub fn say(&self, text: &str) {
        drop(writeln!(std::io::stdout(), "{}", plain(text))); // a reader that has gone is no failure
    }

    /// The given answers were wrong: asks the person, if there is one.
    pub fn again(&mut self) -> Result<()> {
        if !self.may_ask {
            bail!("what was given does not work; correct it and start again");
        }
        self.refused = true;
        Ok(())
    }

    /// What was given counts from here on again.
    pub fn settled(&mut self) {
        self.refused = false;
    }

    /// An answer that is judged where it is asked, and asked again. `what`, and where it stands.
    pub fn ask(
        &mut self,
        (what, place): (&str, &str),
        given: Option<&str>,
        known: Option<String>,
        judge: impl Fn(&str) -> std::result::Result<(), String>,
    ) -> Result<String> {
        if let Some(given) = given.map(str::trim).filter(|_| !self.refused) {
            match judge(given) {
                Ok(()) => return Ok(given.to_owned()),
                Err(why) if !self.may_ask => return Err(Wrong(what.to_owned(), why).into()),
                Err(why) => self.say(&format!("\n{what}: {why}")),
            }
        }
        if !self.may_ask {
            return known.ok_or_else(|| missing(what, place));
        }
        let shown = known.as_ref().map_or(String::new(), |known| format!(" [{known}]"));
        self.say(&format!("\n{what} ({place})"));
        loop {
            let answer = read_line(&format!("{what}{shown}: "))?;
            let answer = match (answer.is_empty(), &known) {
                (false, _) => answer,
                (true, Some(known)) => known.clone(),
                (true, None) => continue,
            };
            match judge(&answer) {
                Ok(()) => return Ok(answer),
                Err(why) => self.say(&format!("  {why}")),
            }
        }
    }

    /// As `ask`; what is typed is not shown, and neither is what is known.
    pub fn ask_secret(
        &mut self,
        (what, place): (&str, &str),
        given: Option<&SecretString>,
        known: Option<SecretString>,
    ) -> Result<SecretString> {
        if let Some(given) = given.filter(|_| !self.refused) {
            match judge_secret(given) {
                Ok(()) => return Ok(given.clone()),
                Err(why) if !self.may_ask => return Err(Wrong(what.to_owned(), why.to_owned()).into()),
                Err(why) => self.say(&format!("\n{what}: {why}")),
            }
        }
        if !self.may_ask {
            return known.ok_or_else(|| missing(what, place));
        }
        let shown = if known.is_some() { " [as before]" } else { "" };
        self.say(&format!("\n{what} ({place})"));
        loop {
            let answer = {
                let _hidden = Hidden::start();
                SecretString::from(read_line(&format!("{what}{shown}: "))?)
            };
            match (answer.expose_secret().is_empty(), &known) {
                (false, _) => match judge_secret(&answer) {
                    Ok(()) => return Ok(answer),
                    Err(why) => self.say(&format!("  {why}")),
                },
                (true, Some(known)) => return Ok(known.clone()),
                (true, None) => {}
            }
        }
    }

    /// Meta cannot be asked: `true` goes on without it, `false` tries again.
    pub fn goes_on_without(&mut self, why: &str) -> Result<bool> {
        self.say(&format!("Meta cannot be reached from here: {why}"));
        if !self.may_ask {
            bail!(
                "try again when there is a network, or add --unchecked to keep what was given without asking Meta"
            );
        }
        let answer = read_line("Enter tries again; `later` keeps the answers and goes on without Meta: ")?;
        Ok(answer.eq_ignore_ascii_case("later"))
    }

    pub fn agrees(&mut self, question: &str) -> Result<bool> {
        if !self.may_ask {
            return Ok(false);
        }
        Ok(read_line(&format!("\n{question} [y/N] "))?.to_lowercase().starts_with('y'))
    }
}

fn missing(what: &str, place: &str) -> anyhow::Error {
    Wrong(what.to_owned(), format!("it was not given ({place}); see bellwire setup --help")).into()
}

/// What was pasted with a line of something else, or with quotes around it.
fn judge_secret(answer: &SecretString) -> std::result::Result<(), &'static str> {
    let plain = answer.expose_secret().chars().all(|c| c.is_ascii_graphic() && c != '"' && c != '\'');
    if plain {
        Ok(())
    } else {
        Err("it is one word of letters, digits and signs, without spaces or quotes; paste it again")
    }
}

/// One line that is not shown while it is typed, asked beside whatever goes to standard output.
pub fn ask_hidden(prompt: &str) -> Result<SecretString> {
    let _hidden = Hidden::start();
    read_answer(prompt, std::io::stderr()).map(SecretString::from)
}

fn read_line(prompt: &str) -> Result<String> {
    read_answer(prompt, std::io::stdout())
}

fn read_answer(prompt: &str, mut out: impl Write) -> Result<String> {
    drop(write!(out, "{}", plain(prompt)).and_then(|()| out.flush()));
    let mut line = String::new();
    let read = std::io::stdin().lock().read_line(&mut line).context("the answer cannot be read")?;
    if read == 0 {
        bail!("the answers ended; start again, it goes on where it was");
    }
    Ok(line.trim().to_owned())
}

/// The terminal shows nothing of what is typed until this is dropped.
struct Hidden(bool);

impl Hidden {
    fn start() -> Self {
        Self(std::io::stdin().is_terminal() && echo("-echo"))
    }
}

impl Drop for Hidden {
    fn drop(&mut self) {
        if self.0 {
            echo("echo");
            drop(writeln!(std::io::stderr()));
        }
    }
}

/// Through stty, which every Debian has: the terminal's settings are out of reach without unsafe code.
fn echo(how: &str) -> bool {
    Command::new("stty").arg(how).stdin(Stdio::inherit()).status().is_ok_and(|status| status.success())
}
